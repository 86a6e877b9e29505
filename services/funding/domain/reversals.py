"""Corrections are reversals: which transactions can be taken back, and why others cannot."""

from collections.abc import Mapping
from datetime import date

from services.funding import ledger
from services.funding.domain.records import check_not_in_the_future
from shared import councils
from shared.errors import Conflict, Invalid
from shared.money import format_pounds

#: Flows that are taken back by a reversal. What was recorded of them is then as if it had never been.
REVERSIBLE = frozenset({ledger.PLEDGE, ledger.RECEIPT, ledger.PAY, ledger.REFUND, ledger.RETURN, ledger.CLAW_BACK})

#: What is done about the others instead.
_OTHER_WAYS = {
    "reserve": "the lead council declines the offer, or it lapses by itself",
    "release": "the proposal is offered another award",
    "commit": "the award is terminated, which frees what is not paid",
    "decommit": "its award has ended, and the proposal is offered another one",
    ledger.CANCEL: "the council joins again, and add_contribution pledges its share anew",
}


def check_reversible(number: int, kind: str) -> None:
    """Refuse a flow that has its own way back, or none. :raises Conflict: ``not_reversible``."""
    if ledger.is_reversal(kind):
        raise Conflict(
            "not_reversible", f"Transaction {number} is a reversal and stays; record again what it has taken back."
        )
    if kind not in REVERSIBLE:
        instead = _OTHER_WAYS.get(kind, "it has its own way back")
        raise Conflict("not_reversible", f"Transaction {number} is a {kind} and cannot be reversed: {instead}.")


def check_day(on: date, original_on: date, today: date) -> None:
    """Refuse a day that has not come, or is before the original's.

    :raises Invalid: ``in_the_future``, ``before_the_original``.
    """
    check_not_in_the_future("effective_on", on, today)
    if on < original_on:
        sentence = f"It is dated {original_on}; a reversal cannot come before that."
        raise Invalid("before_the_original", sentence, {"effective_on": [sentence]})


def check_still_there(postings: Mapping[str, int], balances: Mapping[str, int]) -> None:
    """Refuse when an account no longer holds what its reversal takes from it.

    :param postings: of the original, in pence by account.
    :param balances: of those accounts, by name.
    :raises Conflict: ``money_has_moved_on``.
    """
    for account, pence in sorted(postings.items()):
        held_pence = balances.get(account, 0)
        if not ledger.may_go_below_zero(account) and held_pence < pence:
            raise Conflict(
                "money_has_moved_on",
                f"{account} holds {format_pounds(held_pence)} of the {format_pounds(pence)} that this would take back:"
                f" the money has moved on. {_NEXT_STEPS[ledger.kind_of(account)]}",
            )


_NEXT_STEPS = {
    ledger.AVAILABLE: "Let offers be declined or lapse, or record the right receipt first.",
    ledger.PLEDGED: "A receipt has settled what was pledged, or it was cancelled; reverse the receipt first.",
    ledger.PAID: "Part of the payment has come back from the project; that stands in its place.",
    ledger.RESERVED: "Look at the pool's transactions.",
    ledger.COMMITTED: "Look at the pool's transactions.",
}


def check_nobody_below_zero(left: Mapping[str, int]) -> None:
    """Refuse what would leave a council with less than nothing of what it paid in.

    :param left: the unspent share of each council afterwards, in pence, by GSS code.
    :raises Conflict: ``money_has_moved_on``.
    """
    for council, left_pence in sorted(left.items()):
        if left_pence < 0:
            raise Conflict(
                "money_has_moved_on",
                f"{councils.name_of(council)} has {format_pounds(-left_pence)} too little left in the pool for this:"
                " payments have cost it that, or it was refunded. Record what it paid in first.",
            )


def check_not_returned(costs: Mapping[str, int], in_project: Mapping[str, int]) -> None:
    """Refuse to take back a payment's costs when a council got part of them back since.

    :param costs: what the payment cost each council, in pence.
    :param in_project: what the project has cost each so far.
    :raises Conflict: ``money_has_moved_on``.
    """
    if any(pence > in_project.get(council, 0) for council, pence in costs.items()):
        raise Conflict("money_has_moved_on", f"Money has moved on. {_NEXT_STEPS[ledger.PAID]}")
