"""Awards: what may be offered, and who may answer when."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from services.funding.domain import awards
from services.funding.domain.awards import AwardState
from shared import ids
from shared.errors import CommonwealError, Conflict, Forbidden, Invalid
from shared.security.principal import APPROVER, S95_OFFICER, TREASURER, Principal
from tests.support.funding import (
    ABERDEENSHIRE,
    APPROVER_BEN,
    EDINBURGH,
    NOW,
    TREASURER_ANN,
    AnAward,
    content,
    officer,
    proposer,
)

LAST_MOMENT = datetime(2026, 6, 30, 23, 59, 59, tzinfo=UTC)
TOO_LATE = LAST_MOMENT + timedelta(seconds=1)


def approved() -> AnAward:
    return AnAward(approved_by=APPROVER_BEN.subject, approved_at=NOW)


def accept(award: AnAward, by: Principal, at: datetime = NOW) -> None:
    awards.accept_award(award, by=by, at=at, project_id=ids.new_id())


def decline(award: AnAward, by: Principal, at: datetime = NOW) -> None:
    awards.decline_award(award, by=by, at=at, reason="No staff.")


def code_of(refusal: pytest.ExceptionInfo[CommonwealError]) -> str:
    return refusal.value.code


# --- offers ---------------------------------------------------------------------------------------------------------


def check_offer(
    proposal: dict[str, Any],
    *,
    amount_pence: int = 25_000_00,
    expires_on: date = date(2026, 6, 30),
    withdrawn_at: datetime | None = None,
) -> None:
    awards.check_offer(
        proposal, withdrawn_at=withdrawn_at, amount_pence=amount_pence, expires_on=expires_on, today=NOW.date()
    )


def test_an_offer_is_what_the_panel_approved() -> None:
    check_offer(content())
    for amount_pence in (24_999_99, 25_000_01):
        with pytest.raises(Invalid) as refusal:
            check_offer(content(), amount_pence=amount_pence)
        assert list(refusal.value.fields) == ["amount_pence"]


def test_the_tranches_must_add_up_to_it() -> None:
    with pytest.raises(Invalid) as refusal:
        check_offer(content(requested_pence=30_000_00), amount_pence=30_000_00)
    assert code_of(refusal) == "tranches_do_not_add_up"


@pytest.mark.parametrize("expires_on", [NOW.date(), date(2026, 5, 31)])
def test_an_offer_leaves_time_to_accept(expires_on: date) -> None:
    check_offer(content(), expires_on=NOW.date() + timedelta(days=1))
    with pytest.raises(Invalid) as refusal:
        check_offer(content(), expires_on=expires_on)
    assert list(refusal.value.fields) == ["expires_on"]


def test_a_withdrawn_proposal_gets_no_offer() -> None:
    with pytest.raises(Conflict) as refusal:
        check_offer(content(), withdrawn_at=NOW)
    assert code_of(refusal) == "proposal_withdrawn"


def test_each_milestone_with_money_is_a_tranche() -> None:
    assert [(terms.key, terms.amount_pence, terms.due_on) for terms in awards.tranches_of(content())] == [
        ("alpha", 10_000_00, date(2027, 1, 28)),
        ("live", 15_000_00, date(2027, 3, 28)),
    ]


# --- approval -------------------------------------------------------------------------------------------------------


def test_a_second_person_approves() -> None:
    award = AnAward()
    awards.approve_award(award, by=APPROVER_BEN, at=LAST_MOMENT)
    assert (award.approved_by, award.approved_at) == (APPROVER_BEN.subject, LAST_MOMENT)
    assert award.state == AwardState.OFFERED


def test_whoever_offers_never_approves_even_with_both_roles() -> None:
    both = Principal(TREASURER_ANN.subject, frozenset({TREASURER, APPROVER}))
    with pytest.raises(Forbidden) as refusal:
        awards.approve_award(AnAward(), by=both, at=NOW)
    assert code_of(refusal) == "two_people"


@pytest.mark.parametrize(
    ("award", "at", "code"),
    [
        (approved(), NOW, "already_approved"),
        (AnAward(), TOO_LATE, "offer_expired"),
        (AnAward(state=AwardState.DECLINED), NOW, "award_not_offered"),
    ],
)
def test_an_offer_is_approved_once_and_in_time(award: AnAward, at: datetime, code: str) -> None:
    with pytest.raises(Conflict) as refusal:
        awards.approve_award(award, by=APPROVER_BEN, at=at)
    assert code_of(refusal) == code


# --- answers --------------------------------------------------------------------------------------------------------


def test_acceptance_makes_the_project() -> None:
    award, project_id = approved(), ids.new_id()
    awards.accept_award(award, by=officer(EDINBURGH), at=LAST_MOMENT, project_id=project_id)
    assert award.state == AwardState.ACTIVE
    assert award.project_id == project_id
    assert (award.accepted_by, award.accepted_at) == (officer(EDINBURGH).subject, LAST_MOMENT)


def test_an_offer_that_has_expired_cannot_be_accepted_and_the_refusal_says_so() -> None:
    with pytest.raises(Conflict) as refusal:
        accept(approved(), officer(EDINBURGH), TOO_LATE)
    assert code_of(refusal) == "offer_expired"
    assert "2026-06-30" in refusal.value.message


def test_declining_keeps_the_reason_and_is_possible_after_expiry() -> None:
    award = approved()
    decline(award, officer(EDINBURGH), TOO_LATE)
    assert (award.state, award.decline_reason) == (AwardState.DECLINED, "No staff.")
    assert (award.declined_by, award.declined_at) == (officer(EDINBURGH).subject, TOO_LATE)


@pytest.mark.parametrize("answer", [accept, decline])
@pytest.mark.parametrize(
    "by", [officer(ABERDEENSHIRE), proposer(EDINBURGH), TREASURER_ANN, Principal("x", frozenset({S95_OFFICER}))]
)
def test_only_the_lead_councils_section_95_officer_answers(answer: Any, by: Principal) -> None:
    with pytest.raises(Forbidden) as refusal:
        answer(approved(), by)
    assert code_of(refusal) == "not_the_lead"
    assert "City of Edinburgh" in refusal.value.message


def test_whoever_approved_the_offer_does_not_accept_it() -> None:
    both = Principal(APPROVER_BEN.subject, frozenset({APPROVER, S95_OFFICER}), EDINBURGH)
    with pytest.raises(Forbidden) as refusal:
        accept(approved(), both)
    assert code_of(refusal) == "two_people"


@pytest.mark.parametrize("answer", [accept, decline])
def test_an_offer_is_answered_once_it_is_approved(answer: Any) -> None:
    with pytest.raises(Conflict) as refusal:
        answer(AnAward(), officer(EDINBURGH))
    assert code_of(refusal) == "offer_not_approved"


@pytest.mark.parametrize("answer", [accept, decline])
@pytest.mark.parametrize("state", [AwardState.ACTIVE, AwardState.DECLINED])
def test_an_offer_is_answered_once(answer: Any, state: AwardState) -> None:
    award = approved()
    award.state = state
    with pytest.raises(Conflict) as refusal:
        answer(award, officer(EDINBURGH))
    assert code_of(refusal) == "award_not_offered"


# --- lapsing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offer", [AnAward(), approved()], ids=["not approved", "approved"])
def test_an_offer_lapses_once_its_last_day_is_over(offer: AnAward) -> None:
    with pytest.raises(Conflict) as refusal:
        awards.lapse_award(offer, at=LAST_MOMENT)
    assert code_of(refusal) == "offer_stands"
    awards.lapse_award(offer, at=TOO_LATE)
    assert (offer.state, offer.lapsed_at) == (AwardState.LAPSED, TOO_LATE)
    with pytest.raises(Conflict) as twice:
        awards.lapse_award(offer, at=TOO_LATE)
    assert code_of(twice) == "award_not_offered"
