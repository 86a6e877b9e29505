"""What a council that leaves the pool gets back, and what it still owes, in plain Python (design, section 7).

**Back.** A council's unspent share is what it has paid in, less refunds and less what payments have cost it
(:mod:`services.funding.attribution`). All unspent shares together are the money in the pool: available, reserved and
committed. What is reserved or committed is promised to projects that the leaver helped to decide on: it stays and is
paid as promised. So a leaver is refunded its part of what is available, pro rata to all unspent shares. Pennies that an
exact part would cut go to the largest remainders, equal ones in the order of the GSS codes.

Edinburgh, Aberdeenshire and Fife have paid in £30,000, £30,000 and £40,000; payments have cost them £6,000, £6,000 and
£8,000. Of the £80,000 left, £24,000, £24,000 and £32,000, a project has been promised £30,000 and £50,000 is available.
Fife leaves and gets 32/80 of £50,000: £20,000. Its other £12,000 stays with what is promised.

What it leaves behind goes on counting as paid in by it. When money that was promised becomes available again, as after
an underspend, the leaver may be refunded its part of that too, by the same rule.

**Owed.** What it has pledged for financial years that begin after it leaves is cancelled, as far as it is not paid;
what it has paid ahead is unspent, and refunded like all else. Pledges are paid in the order of their years. What it has
pledged for the year in which it leaves, and for earlier ones, stays owed: the others' plans for that year rest on it.

Fife has pledged £40,000 for each of 2026-27, 2027-28 and 2028-29 and paid £50,000. It leaves on 31 December 2027: the
£40,000 for 2028-29 are cancelled, and £30,000 for 2027-28 stay owed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from shared import periods
from shared.money import split_by_largest_remainder


def refund_of(leaver: str, available_pence: int, left: Mapping[str, int]) -> int:
    """Return what a leaver is refunded, in pence.

    :param leaver: the council's GSS code.
    :param available_pence: what the pool has received and not promised.
    :param left: the unspent share of each council, by GSS code, none below zero; together at least what is available.
    """
    councils = sorted(left)
    if not any(left.values()):
        return 0
    parts = split_by_largest_remainder(available_pence, [left[council] for council in councils])
    return dict(zip(councils, parts, strict=True)).get(leaver, 0)


@dataclass(frozen=True)
class Pledged:
    """A council's share of a financial year, less what was cancelled; ``nth`` tells several for one year apart."""

    year: str
    nth: int
    amount_pence: int


def cancelled_by_leaving(
    pledges: Iterable[Pledged], outstanding_pence: int, leaves_on: date
) -> list[tuple[Pledged, int]]:
    """Return which pledges are cancelled, each with its part that is, in pence above zero; the last year first.

    :param pledges: all of the council's.
    :param outstanding_pence: what it has pledged and not paid, all years together.
    :param leaves_on: its last day as a member.
    """
    cancelled = []
    for pledge in sorted(pledges, key=lambda pledge: (pledge.year, pledge.nth), reverse=True):
        unpaid_pence = min(pledge.amount_pence, outstanding_pence)
        outstanding_pence -= unpaid_pence
        if unpaid_pence and periods.parse_year(pledge.year).starts_on > leaves_on:
            cancelled.append((pledge, unpaid_pence))
    return cancelled
