"""Drawdowns: from locked to paid, by the right people."""

from collections.abc import Callable
from datetime import date, timedelta

import pytest

from services.funding.domain import drawdowns
from services.funding.domain.drawdowns import TrancheState
from shared.errors import CommonwealError, Conflict, Forbidden, Invalid
from shared.security.principal import APPROVER, PROPOSER, SYSTEM, TREASURER, Principal
from tests.support.funding import (
    ABERDEENSHIRE,
    APPROVER_BEN,
    EDINBURGH,
    NOW,
    TREASURER_ANN,
    AnAward,
    ATranche,
    officer,
    proposer,
)

TODAY = NOW.date()
LEAD = proposer(EDINBURGH)
AT_EACH_STATE = {
    TrancheState.LOCKED: ATranche(),
    TrancheState.CLAIMABLE: ATranche(state=TrancheState.CLAIMABLE),
    TrancheState.REQUESTED: ATranche(state=TrancheState.REQUESTED, requested_by=LEAD.subject, requested_at=NOW),
    TrancheState.APPROVED: ATranche(
        state=TrancheState.APPROVED, requested_by=LEAD.subject, approved_by=APPROVER_BEN.subject, approved_at=NOW
    ),
    TrancheState.PAID: ATranche(state=TrancheState.PAID),
    TrancheState.CANCELLED: ATranche(state=TrancheState.CANCELLED),
}


def tranche(state: TrancheState) -> ATranche:
    return ATranche(**vars(AT_EACH_STATE[state]))


def request(tranche: ATranche, by: Principal = LEAD) -> None:
    drawdowns.request_drawdown(tranche, AnAward(), by=by, at=NOW, evidence="The report.")


def approve(tranche: ATranche, by: Principal = APPROVER_BEN) -> None:
    drawdowns.approve_drawdown(tranche, by=by, at=NOW)


def reject(tranche: ATranche, by: Principal = APPROVER_BEN) -> None:
    drawdowns.reject_drawdown(tranche, by=by, at=NOW, reason="No report.")


def pay(tranche: ATranche, by: Principal = TREASURER_ANN, on: date = TODAY) -> None:
    drawdowns.pay_tranche(tranche, by=by, paid_on=on, today=TODAY)


def test_the_whole_way() -> None:
    it = ATranche()
    drawdowns.unlock_tranche(it, date(2026, 5, 30))
    assert (it.state, it.achieved_on) == (TrancheState.CLAIMABLE, date(2026, 5, 30))
    request(it)
    assert (it.state, it.requested_by, it.evidence) == (TrancheState.REQUESTED, LEAD.subject, "The report.")
    approve(it)
    assert (it.state, it.approved_by, it.approved_at) == (TrancheState.APPROVED, APPROVER_BEN.subject, NOW)
    pay(it)
    assert it.state == TrancheState.PAID


def test_a_rejected_request_can_be_made_again_and_keeps_the_reason() -> None:
    it = tranche(TrancheState.REQUESTED)
    reject(it)
    assert (it.state, it.rejected_by, it.rejection_reason) == (
        TrancheState.CLAIMABLE,
        APPROVER_BEN.subject,
        "No report.",
    )
    request(it)
    assert (it.state, it.rejection_reason) == (TrancheState.REQUESTED, "No report.")


@pytest.mark.parametrize("state", [state for state in TrancheState if state != TrancheState.LOCKED])
def test_a_milestone_unlocks_its_tranche_once(state: TrancheState) -> None:
    it = tranche(state)
    drawdowns.unlock_tranche(it, date(2026, 5, 30))
    assert it == AT_EACH_STATE[state]


@pytest.mark.parametrize(
    ("step", "right"),
    [
        (request, TrancheState.CLAIMABLE),
        (approve, TrancheState.REQUESTED),
        (reject, TrancheState.REQUESTED),
        (pay, TrancheState.APPROVED),
    ],
)
@pytest.mark.parametrize("state", list(TrancheState))
def test_each_step_has_one_state_before_it(step: Callable[[ATranche], None], right: str, state: TrancheState) -> None:
    it = tranche(state)
    if state == right:
        step(it)
        return
    with pytest.raises(Conflict):
        step(it)
    assert it == AT_EACH_STATE[state]


def test_a_locked_tranche_says_what_unlocks_it() -> None:
    with pytest.raises(Conflict) as refusal:
        request(tranche(TrancheState.LOCKED))
    assert refusal.value.code == "tranche_locked"
    assert "milestone" in refusal.value.message


@pytest.mark.parametrize("by", [proposer(ABERDEENSHIRE), officer(EDINBURGH), TREASURER_ANN])
def test_only_the_lead_councils_proposer_requests(by: Principal) -> None:
    with pytest.raises(Forbidden) as refusal:
        request(tranche(TrancheState.CLAIMABLE), by)
    assert refusal.value.code == "not_the_lead"


@pytest.mark.parametrize(
    ("step", "state", "first"),
    [
        (approve, TrancheState.REQUESTED, LEAD.subject),
        (pay, TrancheState.APPROVED, APPROVER_BEN.subject),
    ],
)
def test_two_people_for_money_whatever_roles_one_holds(
    step: Callable[[ATranche, Principal], None], state: TrancheState, first: str
) -> None:
    every_role = Principal(first, frozenset({PROPOSER, APPROVER, TREASURER}), EDINBURGH)
    with pytest.raises(Forbidden) as refusal:
        step(tranche(state), every_role)
    assert refusal.value.code == "two_people"


@pytest.mark.parametrize("days", [-1, 1])
def test_a_payment_is_made_between_the_approval_and_today(days: int) -> None:
    with pytest.raises(CommonwealError) as refusal:
        pay(tranche(TrancheState.APPROVED), on=TODAY + timedelta(days=days))
    assert isinstance(refusal.value, Invalid)
    assert list(refusal.value.fields) == ["paid_on"]


@pytest.mark.parametrize("pence", [9_999_99, 10_000_01])
def test_another_sum_than_the_tranche_is_not_its_payment(pence: int) -> None:
    drawdowns.check_paid_whole(ATranche(), 10_000_00)
    with pytest.raises(Invalid) as refusal:
        drawdowns.check_paid_whole(ATranche(), pence)
    assert refusal.value.code == "amount_differs"
    assert "The tranche alpha is £10,000 and" in refusal.value.message
    assert list(refusal.value.fields) == ["amount_pence"]


def test_what_is_paid_says_when_and_as_what() -> None:
    it = ATranche(state=TrancheState.PAID, payment_reference="PAY-1", paid_on=TODAY)
    with pytest.raises(Conflict) as refusal:
        pay(it)
    assert refusal.value.code == "tranche_not_approved"
    assert f"paid on {TODAY} as PAY-1" in refusal.value.message


def test_the_system_that_paid_is_nobody_who_asked_or_approved() -> None:
    finance = Principal("finance", frozenset({SYSTEM}))
    it = tranche(TrancheState.APPROVED)
    pay(it, by=finance)
    assert it.state == TrancheState.PAID
    for role in ("requested_by", "approved_by"):
        it = tranche(TrancheState.APPROVED)
        setattr(it, role, finance.subject)
        with pytest.raises(Forbidden):
            pay(it, by=finance)
