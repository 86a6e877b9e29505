"""Drawdowns: a milestone unlocks a tranche, and it is requested, approved and paid."""

from typing import Any

import pytest

from shared.errors import Conflict, Forbidden, Invalid, NotFound
from shared.security.principal import APPROVER, PROPOSER, TREASURER, Principal
from tests.support.funding import (
    ABERDEENSHIRE,
    APPROVER_BEN,
    EDINBURGH,
    FIFE,
    TREASURER_ANN,
    TREASURER_TOM,
    Funding,
    milestone_achieved,
    proposer,
)


@pytest.fixture
def pool_id(funding: Funding) -> str:
    """A pool that has received 100,000 pounds."""
    return funding.funded_pool(100_000_00)


@pytest.fixture
def award(funding: Funding, pool_id: str) -> dict[str, Any]:
    """An active award of 25,000 pounds: 10,000 for alpha, nothing for beta, 15,000 for live."""
    return funding.active_award(pool_id)


def states(funding: Funding, award: dict[str, Any]) -> dict[str, str]:
    current = funding.call(TREASURER_ANN, "get_award", award_id=award["award_id"])
    return {tranche["tranche"]: tranche["state"] for tranche in current["tranches"]}


def request(funding: Funding, award: dict[str, Any], who: Principal, tranche: str = "alpha") -> dict[str, Any]:
    return funding.call(
        who, "request_drawdown", award_id=award["award_id"], tranche=tranche, evidence="The assessment report."
    )


def pay(funding: Funding, award: dict[str, Any], *, who: Principal = TREASURER_ANN, **facts: Any) -> dict[str, Any]:
    usual = {"tranche": "alpha", "payment_reference": "PAY-1", "paid_on": "2026-06-01"}
    return funding.call(who, "record_payment", award_id=award["award_id"], **usual | facts)


# --- unlocking ------------------------------------------------------------------------------------------------------


def test_a_milestone_unlocks_its_tranche(funding: Funding, award: dict[str, Any]) -> None:
    achieved = milestone_achieved(award, "alpha")
    funding.receive(achieved)
    funding.receive(achieved)
    assert states(funding, award) == {"alpha": "claimable", "live": "locked"}


def test_a_milestone_without_money_unlocks_nothing(funding: Funding, award: dict[str, Any]) -> None:
    funding.receive(milestone_achieved(award, "beta"))
    assert states(funding, award) == {"alpha": "locked", "live": "locked"}


def test_a_milestone_that_comes_before_the_acceptance_is_tried_again(funding: Funding, pool_id: str) -> None:
    award = funding.approved_offer(pool_id)
    achieved = milestone_achieved(award, "alpha")
    with pytest.raises(Conflict):
        funding.receive(achieved)
    award = funding.call(
        Principal("s95@edinburgh.example", frozenset({"s95_officer"}), EDINBURGH),
        "accept_award",
        award_id=award["award_id"],
    )
    funding.receive(achieved)
    assert states(funding, award)["alpha"] == "claimable"


def test_a_repeated_milestone_does_not_set_a_request_back(funding: Funding, award: dict[str, Any]) -> None:
    funding.requested_drawdown(award)
    funding.receive(milestone_achieved(award, "alpha"))
    assert states(funding, award)["alpha"] == "requested"


# --- requesting -----------------------------------------------------------------------------------------------------


def test_the_lead_requests_a_claimable_tranche(funding: Funding, award: dict[str, Any]) -> None:
    funding.receive(milestone_achieved(award, "alpha"))
    alpha = request(funding, award, proposer(EDINBURGH))["tranches"][0]
    assert (alpha["state"], alpha["requested_by"], alpha["evidence"], alpha["achieved_on"]) == (
        "requested",
        proposer(EDINBURGH).subject,
        "The assessment report.",
        "2026-05-30",
    )


def test_nobody_else_requests_it(funding: Funding, award: dict[str, Any]) -> None:
    funding.receive(milestone_achieved(award, "alpha"))
    with pytest.raises(Forbidden) as participant:
        request(funding, award, proposer(ABERDEENSHIRE))
    assert participant.value.code == "not_the_lead"
    with pytest.raises(NotFound):
        request(funding, award, proposer(FIFE))


def test_a_locked_tranche_is_not_requested(funding: Funding, award: dict[str, Any]) -> None:
    with pytest.raises(Conflict) as refusal:
        request(funding, award, proposer(EDINBURGH))
    assert refusal.value.code == "tranche_locked"


def test_a_tranche_has_the_key_of_a_milestone_with_money(funding: Funding, award: dict[str, Any]) -> None:
    with pytest.raises(NotFound) as refusal:
        request(funding, award, proposer(EDINBURGH), "beta")
    assert "alpha, live" in refusal.value.message


def test_an_offer_has_no_tranches(funding: Funding, pool_id: str) -> None:
    award = funding.approved_offer(pool_id)
    with pytest.raises(Conflict) as refusal:
        request(funding, award, proposer(EDINBURGH))
    assert refusal.value.code == "award_not_active"


# --- approving and rejecting ----------------------------------------------------------------------------------------


def test_a_second_person_approves(funding: Funding, award: dict[str, Any]) -> None:
    funding.requested_drawdown(award)
    approved = funding.call(APPROVER_BEN, "approve_drawdown", award_id=award["award_id"], tranche="alpha")
    assert approved["tranches"][0]["approved_by"] == APPROVER_BEN.subject
    [event] = funding.recorded("drawdown_approved")
    assert (event.subject, event.sequence) == (award["award_id"], approved["version"])
    assert event.data == {
        "award_id": award["award_id"],
        "pool_id": award["pool_id"],
        "proposal_id": award["proposal_id"],
        "proposal_reference": award["proposal_reference"],
        "lead_council": EDINBURGH,
        "project_id": award["project_id"],
        "tranche": "alpha",
        "amount_pence": 10_000_00,
        "approved_at": "2026-06-01T09:00:00+00:00",
    }


def test_whoever_requests_never_approves(funding: Funding, award: dict[str, Any]) -> None:
    both = Principal("lead@edinburgh.example", frozenset({PROPOSER, APPROVER}), EDINBURGH)
    funding.receive(milestone_achieved(award, "alpha"))
    request(funding, award, both)
    with pytest.raises(Forbidden) as refusal:
        funding.call(both, "approve_drawdown", award_id=award["award_id"], tranche="alpha")
    assert refusal.value.code == "two_people"


def test_a_rejected_request_is_made_again(funding: Funding, award: dict[str, Any]) -> None:
    funding.requested_drawdown(award)
    rejected = funding.call(
        APPROVER_BEN, "reject_drawdown", award_id=award["award_id"], tranche="alpha", reason="The report is a draft."
    )
    assert rejected["tranches"][0]["state"] == "claimable"
    again = request(funding, award, proposer(EDINBURGH))["tranches"][0]
    assert (again["state"], again["rejection_reason"]) == ("requested", "The report is a draft.")
    assert funding.recorded("drawdown_approved") == []


# --- paying ---------------------------------------------------------------------------------------------------------


def test_a_payment_moves_the_whole_tranche(funding: Funding, award: dict[str, Any]) -> None:
    funding.approved_drawdown(award)
    payment = pay(funding, award)
    assert payment == {
        "payment_id": payment["payment_id"],
        "pool_id": award["pool_id"],
        "award_id": award["award_id"],
        "tranche": "alpha",
        "amount_pence": 10_000_00,
        "payment_reference": "PAY-1",
        "paid_on": "2026-06-01",
        "recorded_by": TREASURER_ANN.subject,
        "recorded_at": "2026-06-01T09:00:00+00:00",
    }
    assert funding.position(award["pool_id"]) == {
        "available": 75_000_00,
        "committed": 15_000_00,
        "paid": 10_000_00,
        "received": 100_000_00,
    }
    current = funding.call(TREASURER_ANN, "get_award", award_id=award["award_id"])
    alpha = current["tranches"][0]
    assert (current["paid_pence"], alpha["state"]) == (10_000_00, "paid")
    assert (alpha["payment_reference"], alpha["paid_on"]) == ("PAY-1", "2026-06-01")
    [event] = funding.recorded("tranche_paid")
    assert (event.subject, event.sequence) == (award["award_id"], current["version"])
    assert event.data == {
        "award_id": award["award_id"],
        "pool_id": award["pool_id"],
        "proposal_id": award["proposal_id"],
        "proposal_reference": award["proposal_reference"],
        "lead_council": EDINBURGH,
        "project_id": award["project_id"],
        "tranche": "alpha",
        "amount_pence": 10_000_00,
        "payment_reference": "PAY-1",
        "paid_on": "2026-06-01",
    }
    assert funding.ledger_is_sound(award["pool_id"])


def test_a_payment_reference_counts_once(funding: Funding, award: dict[str, Any]) -> None:
    funding.approved_drawdown(award)
    first = pay(funding, award)
    assert pay(funding, award, who=TREASURER_TOM) == first
    assert len(funding.recorded("tranche_paid")) == 1
    assert funding.position(award["pool_id"])["paid"] == 10_000_00


def test_a_payment_reference_with_other_facts_is_refused(funding: Funding, award: dict[str, Any]) -> None:
    funding.approved_drawdown(award, "alpha")
    funding.approved_drawdown(award, "live")
    other = funding.active_award(award["pool_id"])
    funding.approved_drawdown(other)
    pay(funding, award)
    again: list[tuple[dict[str, Any], dict[str, Any]]] = [
        (award, {"tranche": "live"}),
        (award, {"paid_on": "2026-05-31"}),
        (other, {}),
    ]
    for to, fact in again:
        with pytest.raises(Conflict) as refusal:
            pay(funding, to, **fact)
        assert refusal.value.code == "reference_used"
        assert set(refusal.value.fields) == (set(fact) or {"award_id"})
    assert funding.position(award["pool_id"])["paid"] == 10_000_00


def test_a_tranche_is_paid_once(funding: Funding, award: dict[str, Any]) -> None:
    funding.approved_drawdown(award)
    pay(funding, award)
    with pytest.raises(Conflict) as refusal:
        pay(funding, award, payment_reference="PAY-2")
    assert refusal.value.code == "tranche_not_approved"
    assert funding.position(award["pool_id"])["paid"] == 10_000_00


def test_whoever_approved_the_drawdown_does_not_record_its_payment(funding: Funding, award: dict[str, Any]) -> None:
    funding.approved_drawdown(award)
    with pytest.raises(Forbidden) as refusal:
        pay(funding, award, who=Principal(APPROVER_BEN.subject, frozenset({APPROVER, TREASURER})))
    assert refusal.value.code == "two_people"


def test_a_payment_waits_for_the_approval_and_the_day(funding: Funding, award: dict[str, Any]) -> None:
    funding.requested_drawdown(award)
    with pytest.raises(Conflict):
        pay(funding, award)
    funding.call(APPROVER_BEN, "approve_drawdown", award_id=award["award_id"], tranche="alpha")
    for day in ("2026-05-31", "2026-06-02"):
        with pytest.raises(Invalid) as refusal:
            pay(funding, award, paid_on=day)
        assert list(refusal.value.fields) == ["paid_on"]


def test_every_tranche_is_paid_and_nothing_is_left_over(funding: Funding, award: dict[str, Any]) -> None:
    for number, tranche in enumerate(("alpha", "live"), start=1):
        funding.approved_drawdown(award, tranche)
        pay(funding, award, tranche=tranche, payment_reference=f"PAY-{number}")
    assert funding.position(award["pool_id"]) == {
        "available": 75_000_00,
        "paid": 25_000_00,
        "received": 100_000_00,
    }
