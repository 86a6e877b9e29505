"""Pools: for which years, and who is a member when."""

from collections.abc import Iterable
from datetime import date
from typing import Protocol

from shared import councils, periods
from shared.errors import Conflict, Invalid

#: A pool is for this many whole financial years at most.
MAX_POOL_YEARS = 5


class MemberFacts(Protocol):
    """A council's membership of a pool."""

    council: str
    joins_on: date


def check_pool_years(starts_on: date, ends_on: date) -> None:
    """Refuse a pool that is not for one to five whole financial years, such as the three of 2016-17 to 2018-19.

    :raises Invalid: naming the day at fault.
    """
    faults: dict[str, list[str]] = {}
    if (starts_on.month, starts_on.day) != (4, 1):
        faults["starts_on"] = ["Give the first day of a financial year: 1 April."]
    if (ends_on.month, ends_on.day) != (3, 31):
        faults["ends_on"] = ["Give the last day of a financial year: 31 March."]
    if not faults:
        years = periods.years_between(starts_on, ends_on)
        if not 1 <= len(years) <= MAX_POOL_YEARS:
            faults["ends_on"] = [f"Give a day one to {MAX_POOL_YEARS} financial years after the start."]
        elif not _are_years(years):
            faults["starts_on"] = ["Give a financial year of this century."]
    if faults:
        raise Invalid(
            "not_financial_years",
            f"A pool is for one to {MAX_POOL_YEARS} whole financial years, from a 1 April to a 31 March.",
            faults,
        )


def _are_years(codes: Iterable[str]) -> bool:
    try:
        for code in codes:
            periods.parse_year(code)
    except ValueError:
        return False
    return True


def check_joining(members: Iterable[MemberFacts], council: str, joins_on: date, starts_on: date, ends_on: date) -> None:
    """Refuse a council that is a member already, or a day on which there is no pool.

    :param joins_on: the first day of the membership.
    :param starts_on: the pool's first day.
    :param ends_on: the pool's last day.
    :raises Conflict: ``already_member``.
    :raises Invalid: ``outside_the_pool``.
    """
    for member in members:
        if member.council == council:
            raise Conflict(
                "already_member",
                f"{councils.name_of(council)} is a member of the pool from {member.joins_on}; there is nothing to add.",
            )
    if not starts_on <= joins_on <= ends_on:
        sentence = f"The pool runs from {starts_on} to {ends_on}; let the council join on one of its days."
        raise Invalid("outside_the_pool", sentence, {"joins_on": [sentence]})


def check_year_of_pool(year: str, years: Iterable[str]) -> None:
    """Refuse a financial year that the pool is not for. :raises Invalid: ``not_a_year_of_the_pool``."""
    years = list(years)
    if year not in years:
        sentence = f"The pool is for the financial years {', '.join(years)}; choose one of them."
        raise Invalid("not_a_year_of_the_pool", sentence, {"year": [sentence]})


def members_during(members: Iterable[MemberFacts], year: str) -> list[str]:
    """Return the GSS codes of the councils that are members at some time of a financial year, in order."""
    ends_on = periods.parse_year(year).ends_on
    return sorted(member.council for member in members if member.joins_on <= ends_on)


def check_member(members: Iterable[MemberFacts], council: str) -> None:
    """Refuse a council that is not a member. :raises Conflict: ``not_a_member``."""
    if council not in {member.council for member in members}:
        sentence = f"{councils.name_of(council)} is not a member of the pool; add it first, or correct the council."
        raise Conflict("not_a_member", sentence, {"council": [sentence]})
