"""Drawdowns: a tranche is unlocked by its milestone, requested, approved and paid."""

from datetime import date, datetime
from enum import StrEnum
from typing import Protocol

from services.funding.domain.awards import AwardFacts
from services.funding.domain.people import check_acts_for_lead, check_two_people
from services.funding.domain.records import check_not_in_the_future
from shared.errors import Conflict, Invalid
from shared.money import format_pounds
from shared.security.principal import PROPOSER, Principal


class TrancheState(StrEnum):
    """Where the drawdown of a tranche stands.

    A rejected request goes back to claimable and keeps the reason. The end of an award cancels what is not paid.
    """

    LOCKED = "locked"
    CLAIMABLE = "claimable"
    REQUESTED = "requested"
    APPROVED = "approved"
    PAID = "paid"
    CANCELLED = "cancelled"


class TrancheFacts(Protocol):
    """A tranche of an active award and its drawdown, as the rules see them."""

    key: str
    amount_pence: int
    state: str
    achieved_on: date | None
    evidence: str | None
    requested_by: str | None
    requested_at: datetime | None
    approved_by: str | None
    approved_at: datetime | None
    rejected_by: str | None
    rejected_at: datetime | None
    rejection_reason: str | None

    @property
    def payment_reference(self) -> str | None: ...
    @property
    def paid_on(self) -> date | None: ...


def unlock_tranche(tranche: TrancheFacts, achieved_on: date) -> None:
    """Let a tranche be claimed, because its milestone is achieved; one that is unlocked stays as it is."""
    if tranche.state == TrancheState.LOCKED:
        tranche.state = TrancheState.CLAIMABLE
        tranche.achieved_on = achieved_on


def request_drawdown(tranche: TrancheFacts, award: AwardFacts, *, by: Principal, at: datetime, evidence: str) -> None:
    """Ask for the payment of a tranche, for the lead council.

    :raises Forbidden: ``not_the_lead`` for anybody but a proposer of the lead council.
    :raises Conflict: when the tranche is not claimable.
    """
    check_acts_for_lead(award.lead_council, by, PROPOSER, "proposer")
    if tranche.state == TrancheState.LOCKED:
        raise Conflict(
            "tranche_locked",
            f"The tranche {tranche.key} is locked; report its milestone as achieved in outcomes first.",
        )
    _check_tranche_is(tranche, TrancheState.CLAIMABLE, "requested")
    tranche.state = TrancheState.REQUESTED
    tranche.requested_by, tranche.requested_at, tranche.evidence = by.subject, at, evidence


def approve_drawdown(tranche: TrancheFacts, *, by: Principal, at: datetime) -> None:
    """Let a tranche be paid, as the second person.

    :raises Forbidden: ``two_people`` for whoever requested it.
    :raises Conflict: when the tranche is not requested.
    """
    _check_tranche_is(tranche, TrancheState.REQUESTED, "approved")
    check_two_people(tranche.requested_by, by, "requested this drawdown", "approve it")
    tranche.state = TrancheState.APPROVED
    tranche.approved_by, tranche.approved_at = by.subject, at


def reject_drawdown(tranche: TrancheFacts, *, by: Principal, at: datetime, reason: str) -> None:
    """Send a request back: the tranche is claimable again, and the reason is kept for the next one.

    :raises Conflict: when the tranche is not requested.
    """
    _check_tranche_is(tranche, TrancheState.REQUESTED, "rejected")
    tranche.state = TrancheState.CLAIMABLE
    tranche.rejected_by, tranche.rejected_at, tranche.rejection_reason = by.subject, at, reason


def check_paid_whole(tranche: TrancheFacts, amount_pence: int) -> None:
    """Refuse a payment of another sum than the tranche's. :raises Invalid: ``amount_differs``."""
    if amount_pence != tranche.amount_pence:
        whole, paid = format_pounds(tranche.amount_pence), format_pounds(amount_pence)
        raise Invalid(
            "amount_differs",
            f"The tranche {tranche.key} is {whole} and {paid} was paid; a tranche is paid whole. Correct the amount, or"
            " have the bank put the difference right and then report the whole payment.",
            {"amount_pence": [f"{tranche.amount_pence} pence were to be paid."]},
        )


def pay_tranche(tranche: TrancheFacts, *, by: Principal, paid_on: date, today: date) -> None:
    """Note that a tranche was paid, once and whole.

    :param by: who records the payment: a person, or the system that made it.
    :raises Forbidden: ``two_people`` for whoever requested or approved the drawdown.
    :raises Conflict: when the drawdown is not approved, or is paid already.
    :raises Invalid: for a day in the future, or before the approval.
    """
    if tranche.state == TrancheState.PAID:
        raise Conflict(
            "tranche_not_approved",
            f"The tranche {tranche.key} was paid on {tranche.paid_on} as {tranche.payment_reference}; a tranche is paid"
            " once. If this is the same payment, give it that reference; if money left twice, have it sent back.",
            {"payment_reference": [f"Recorded before as {tranche.payment_reference}."]},
        )
    _check_tranche_is(tranche, TrancheState.APPROVED, "paid")
    check_two_people(tranche.requested_by, by, "requested this drawdown", "record its payment")
    check_two_people(tranche.approved_by, by, "approved this drawdown", "record its payment")
    check_not_in_the_future("paid_on", paid_on, today)
    if tranche.approved_at is not None and paid_on < tranche.approved_at.date():
        sentence = f"The drawdown was approved on {tranche.approved_at.date()}; a payment cannot come before that."
        raise Invalid("paid_before_approval", sentence, {"paid_on": [sentence]})
    tranche.state = TrancheState.PAID


def take_payment_back(tranche: TrancheFacts) -> None:
    """Note that the payment of a tranche was reversed: it is approved as before, and may be paid again.

    :raises Conflict: when the tranche is not paid.
    """
    _check_tranche_is(tranche, TrancheState.PAID, "unpaid")
    tranche.state = TrancheState.APPROVED


def _check_tranche_is(tranche: TrancheFacts, state: TrancheState, participle: str) -> None:
    if tranche.state != state:
        raise Conflict(
            f"tranche_not_{state}",
            f"The tranche {tranche.key} is {tranche.state}; only one that is {state} can be {participle}.",
        )
