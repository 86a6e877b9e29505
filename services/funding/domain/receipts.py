"""Receipts: a council's money that arrived, and how it stands to what the council pledged."""

from collections.abc import Mapping, Sequence
from datetime import date
from enum import StrEnum
from typing import Protocol

from services.funding.domain.membership import MemberFacts
from shared import councils
from shared.errors import Conflict
from shared.money import format_pounds


class ReceiptFlag(StrEnum):
    """How a receipt stands to what its council had pledged and not yet paid.

    Pledges are settled in the order of their years: who pays the whole of this year's is exact, though next year's is
    pledged already.
    """

    EXACT = "exact"
    PARTIAL = "partial"
    OVER = "over"
    UNPLEDGED = "unpledged"


def flag_of(*, amount_pence: int, unpledged_pence: int, still_owed_pence: int) -> ReceiptFlag:
    """Return how a receipt stands to the pledge.

    :param unpledged_pence: the part of it that went beyond what was pledged.
    :param still_owed_pence: what it left unpaid of the year that it went towards.
    """
    if unpledged_pence == amount_pence:
        return ReceiptFlag.UNPLEDGED
    if unpledged_pence:
        return ReceiptFlag.OVER
    return ReceiptFlag.PARTIAL if still_owed_pence else ReceiptFlag.EXACT


def still_owed(pledges: Mapping[str, int], outstanding_pence: int, amount_pence: int) -> int:
    """Return what a receipt leaves unpaid of the year that it goes towards, in pence; nothing when it completes one.

    :param pledges: what the council pledged, in pence by financial year.
    :param outstanding_pence: what of all of it was not yet paid when the money came.
    """
    left_pence = max(0, outstanding_pence - amount_pence)
    for year in sorted(pledges, reverse=True):
        if left_pence < pledges[year]:
            break
        left_pence -= pledges[year]
    return left_pence


class PoolFacts(Protocol):
    """A pool as the rules for its receipts see it."""

    @property
    def name(self) -> str: ...
    @property
    def starts_on(self) -> date: ...
    @property
    def ends_on(self) -> date: ...
    @property
    def members(self) -> Sequence[MemberFacts]: ...


def takes_in(pool: PoolFacts, council: str, on: date) -> bool:
    """Tell whether a pool runs on a day and the council is a member of it then."""
    return pool.starts_on <= on <= pool.ends_on and any(
        member.council == council and member.joins_on <= on and (member.leaves_on is None or on <= member.leaves_on)
        for member in pool.members
    )


def check_one_pool(pools: Sequence[PoolFacts], council: str, on: date) -> None:
    """Refuse money of which nobody says whose pool it is for, unless there is just one that it can be for.

    :param pools: those that take the council's money on the day that it arrived.
    :raises Conflict: ``no_pool`` or ``several_pools``.
    """
    name = councils.name_of(council)
    if not pools:
        raise Conflict(
            "no_pool",
            f"{name} was a member of no pool that ran on {on}. Make it a member and try this again, or correct the"
            " council or the day; money for a pool that has ended, or not begun, must name its pool_id.",
            {"council": [f"No pool takes money of {name} on {on}."]},
        )
    if len(pools) > 1:
        names = ", ".join(sorted(pool.name for pool in pools))
        raise Conflict(
            "several_pools",
            f"{name} was a member of {len(pools)} pools on {on} ({names}); say by pool_id which of them the money is"
            " for.",
            {"pool_id": ["Name the pool."]},
        )


def check_still_takes(pool: PoolFacts, on: date, unpledged_pence: int) -> None:
    """Refuse money that comes after a pool's last day, beyond what is owed to it: nobody could spend it.

    :param on: the day on which it arrived.
    :param unpledged_pence: the part that goes beyond what its council had pledged.
    :raises Conflict: ``pool_ended``.
    """
    if on > pool.ends_on and unpledged_pence:
        raise Conflict(
            "pool_ended",
            f"{pool.name} ended on {pool.ends_on}. After that it takes what is still owed to it, and this is"
            f" {format_pounds(unpledged_pence)} more: record it in the pool that it is for, or send it back.",
            {"amount_pence": [f"{unpledged_pence} pence beyond what is owed."]},
        )
