"""Funding's events, whatever their order and however often they come."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import partial
from itertools import permutations
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from services.proposals.models import Member
from shared import clock
from shared.errors import Conflict
from shared.ids import new_id
from shared.proposal_content import ProposalContent
from tests.support.proposals import EDINBURGH, GLASGOW, Programme, content, proposer

AT = datetime(2026, 12, 1, 12, tzinfo=UTC)


class Award:
    """An award of a proposal, and the events that funding would tell of it."""

    def __init__(self, programme: Programme, proposal_id: str) -> None:
        self.programme = programme
        self.award_id, self.project_id = new_id(), new_id()
        self.about: dict[str, Any] = {
            "award_id": self.award_id,
            "pool_id": programme.pool_id,
            "proposal_id": UUID(proposal_id),
            "proposal_reference": "P-2026-0001",
            "lead_council": EDINBURGH,
        }

    def offered(self) -> None:
        facts = {"amount_pence": 25_000_000, "expires_on": date(2026, 12, 31)}
        self.programme.deliver("award_offered", **self.about, **facts)

    def declined(self) -> None:
        self.programme.deliver("award_declined", **self.about, reason="No staff to run it.", declined_at=AT)

    def lapsed(self) -> None:
        self.programme.deliver("award_lapsed", **self.about, expires_on=date(2026, 12, 31), lapsed_at=AT)

    def completed(self) -> None:
        self.programme.deliver("project_completed", **self.about, project_id=self.project_id, completed_at=AT)

    def terminated(self) -> None:
        self.programme.deliver(
            "award_terminated", **self.about, project_id=self.project_id, reason="The supplier left.", terminated_at=AT
        )

    def funded(self) -> None:
        self.programme.deliver(
            "project_funded",
            **self.about,
            project_id=self.project_id,
            amount_pence=25_000_000,
            revision=1,
            content_hash="0" * 64,
            content=ProposalContent().load(content()),
            funded_at=AT,
        )


def test_a_member_joins_once_however_often_it_is_told(programme: Programme) -> None:
    for _ in range(3):
        programme.members(EDINBURGH, GLASGOW)
    programme.members(EDINBURGH, joins_on=date(2027, 4, 1))
    rows = programme.database.run(lambda session: list(session.scalars(select(Member))))
    assert sorted((row.council, row.joins_on) for row in rows) == [
        (EDINBURGH, date(2026, 4, 1)),
        (EDINBURGH, date(2027, 4, 1)),
        (GLASGOW, date(2026, 4, 1)),
    ]


@pytest.mark.parametrize("first", ["joined", "left"])
def test_a_council_is_a_member_until_its_last_day(programme: Programme, today: clock.FixedClock, first: str) -> None:
    proposal_id = programme.draft(participants=[GLASGOW])
    programme.members(EDINBURGH)
    left = {"pool_id": programme.pool_id, "council": GLASGOW, "joins_on": date(2026, 4, 1)}
    tell: list[Callable[[], None]] = [
        partial(programme.members, GLASGOW),
        partial(programme.deliver, "member_left", **left, leaves_on=date(2026, 10, 6)),
    ]
    for news in tell if first == "joined" else reversed(tell):
        news()
        news()

    def not_members() -> str:
        rules = programme.call("check_eligibility", proposer(), proposal_id=proposal_id)["rules"]
        return str(next(rule["sentence"] for rule in rules if rule["rule"] == "councils_are_members"))

    today.at = datetime(2026, 10, 6, 23, 59, 59, tzinfo=UTC)
    assert not_members() == "Every council that takes part is a member of a pool on 2026-10-06."
    today.at = datetime(2026, 10, 7, tzinfo=UTC)
    assert "Not a member of a pool on 2026-10-07: Glasgow City" in not_members()
    with pytest.raises(Conflict) as refusal:
        programme.call("submit_proposal", proposer(), proposal_id=proposal_id)
    assert refusal.value.code == "not_eligible"
    with pytest.raises(Conflict) as contradiction:
        programme.deliver("member_left", **left, leaves_on=date(2026, 12, 31))
    assert contradiction.value.code == "membership_contradicted"
    programme.members(GLASGOW, joins_on=date(2026, 10, 7))
    assert not_members() == "Every council that takes part is a member of a pool on 2026-10-07."


def test_an_offer_is_noted_and_changes_no_state(programme: Programme) -> None:
    proposal_id = programme.decided()
    award = Award(programme, proposal_id)
    award.offered()
    seen = programme.seen(proposal_id, proposer())
    assert seen["state"] == "approved"
    assert seen["award"] == {
        "award_id": str(award.award_id),
        "state": "offered",
        "amount_pence": 25_000_000,
        "expires_on": "2026-12-31",
        "project_id": None,
        "reason": None,
    }


@pytest.mark.parametrize(
    "order", [["offered", "funded"], ["funded", "offered"], ["offered", "funded", "offered", "funded"]]
)
def test_a_proposal_is_funded_in_whatever_order_it_is_told(programme: Programme, order: list[str]) -> None:
    proposal_id = programme.decided()
    award = Award(programme, proposal_id)
    for name in order:
        getattr(award, name)()
    seen = programme.seen(proposal_id)
    assert (seen["state"], seen["award"]["state"]) == ("funded", "funded")
    assert seen["award"]["project_id"] == str(award.project_id)
    assert seen["award"]["expires_on"] == "2026-12-31"
    told = len(programme.told())
    award.offered()
    assert programme.seen(proposal_id) == seen
    assert len(programme.told()) == told


@pytest.mark.parametrize("order", [["offered", "declined"], ["declined", "offered", "declined"]])
def test_a_declined_award_leaves_a_proposal_not_funded(programme: Programme, order: list[str]) -> None:
    proposal_id = programme.decided()
    award = Award(programme, proposal_id)
    for name in order:
        getattr(award, name)()
    seen = programme.seen(proposal_id)
    assert (seen["state"], seen["award"]["state"]) == ("not_funded", "declined")
    assert seen["award"]["reason"] == "No staff to run it."


def test_a_second_offer_revives_a_proposal_even_when_the_first_refusal_comes_late(programme: Programme) -> None:
    proposal_id = programme.decided()
    first, second = Award(programme, proposal_id), Award(programme, proposal_id)
    first.offered()
    second.offered()
    first.declined()
    seen = programme.seen(proposal_id)
    assert (seen["state"], seen["award"]["award_id"]) == ("approved", str(second.award_id))
    second.funded()
    first.declined()
    assert programme.seen(proposal_id)["state"] == "funded"


@pytest.mark.parametrize("order", [("offered", "lapsed"), ("lapsed", "offered")])
def test_an_award_that_nobody_takes_in_time_leaves_a_proposal_not_funded(
    programme: Programme, order: tuple[str, ...]
) -> None:
    proposal_id = programme.decided()
    award = Award(programme, proposal_id)
    for name in order:
        getattr(award, name)()
    seen = programme.seen(proposal_id)
    assert (seen["state"], seen["award"]["state"], seen["award"]["reason"]) == ("not_funded", "lapsed", None)


@pytest.mark.parametrize("end", ["completed", "terminated"])
def test_a_project_is_followed_to_its_end_in_whatever_order_it_is_told(programme: Programme, end: str) -> None:
    round_id = programme.open_round()
    for order in permutations(["offered", "funded", end]):
        proposal_id = programme.decided(round_id=round_id)
        award = Award(programme, proposal_id)
        for name in (*order, *order):
            getattr(award, name)()
        seen = programme.seen(proposal_id)
        assert seen["state"] == end
        assert seen["award"] == {
            "award_id": str(award.award_id),
            "state": end,
            "amount_pence": 25_000_000,
            "expires_on": "2026-12-31",
            "project_id": str(award.project_id),
            "reason": "The supplier left." if end == "terminated" else None,
        }


def test_a_terminated_project_may_be_offered_money_again(programme: Programme) -> None:
    proposal_id = programme.decided()
    first, second = Award(programme, proposal_id), Award(programme, proposal_id)
    first.terminated()
    second.offered()
    assert programme.seen(proposal_id)["state"] == "approved"
    second.funded()
    first.funded()
    seen = programme.seen(proposal_id)
    assert (seen["state"], seen["award"]["award_id"]) == ("funded", str(second.award_id))


@pytest.mark.parametrize(
    ("one", "other"), [("declined", "lapsed"), ("completed", "terminated"), ("lapsed", "completed")]
)
def test_an_award_has_one_end(programme: Programme, one: str, other: str) -> None:
    proposal_id = programme.decided()
    award = Award(programme, proposal_id)
    getattr(award, one)()
    seen = programme.seen(proposal_id)
    with pytest.raises(Conflict) as error:
        getattr(award, other)()
    assert error.value.code == "award_contradicted"
    assert programme.seen(proposal_id) == seen


def test_what_is_approved_is_withdrawn_through_funding(programme: Programme) -> None:
    proposal_id = programme.decided()
    request = {"proposal_id": proposal_id, "reason": "Our budget was cut."}
    with pytest.raises(Conflict, match="Section 95 officer declines the award") as approved:
        programme.call("withdraw_proposal", proposer(), **request)
    assert approved.value.code == "wrong_state"
    Award(programme, proposal_id).funded()
    with pytest.raises(Conflict, match="ask the pool's treasurer to terminate the award"):
        programme.call("withdraw_proposal", proposer(), **request)


def test_an_award_is_not_both_taken_and_declined(programme: Programme) -> None:
    proposal_id = programme.decided()
    award = Award(programme, proposal_id)
    award.funded()
    seen = programme.seen(proposal_id)
    with pytest.raises(Conflict) as error:
        award.declined()
    assert error.value.code == "award_contradicted"
    assert programme.seen(proposal_id) == seen


def test_an_award_or_a_project_of_another_proposal_is_a_contradiction(programme: Programme) -> None:
    round_id = programme.open_round()
    first, other = (programme.decided(round_id=round_id) for _ in range(2))
    award = Award(programme, first)
    award.funded()
    seen = programme.seen(other)
    stolen, twice = Award(programme, other), Award(programme, other)
    stolen.about["award_id"] = award.award_id
    twice.project_id = award.project_id
    for wrong in (stolen.offered, stolen.funded, twice.funded):
        with pytest.raises(Conflict) as error:
            wrong()
        assert error.value.code == "award_contradicted"
    assert programme.seen(other) == seen


def test_an_award_of_a_proposal_that_is_not_here_waits(programme: Programme) -> None:
    with pytest.raises(Conflict) as error:
        Award(programme, str(new_id())).offered()
    assert error.value.code == "proposal_unknown"


def test_an_award_of_a_proposal_that_was_not_approved_waits(programme: Programme) -> None:
    for proposal_id in (programme.draft(), programme.under_assessment()):
        with pytest.raises(Conflict) as error:
            Award(programme, proposal_id).funded()
        assert error.value.code == "wrong_state"
        assert programme.seen(proposal_id)["award"] is None
