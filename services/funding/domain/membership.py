"""Membership of a pool over time: who joins, who leaves, who is a member when.

A membership lasts from ``joins_on`` to ``leaves_on``, both days included, or to the pool's end. A council that has left
may join again; its memberships never overlap, and each begins after the one before it has ended.
"""

from collections.abc import Iterable
from datetime import date
from typing import Protocol, TypeVar

from shared import councils, periods
from shared.errors import Conflict, Invalid


class MemberFacts(Protocol):
    """A council's membership of a pool; ``leaves_on`` is None while nobody has said that it leaves."""

    council: str
    joins_on: date
    leaves_on: date | None


M = TypeVar("M", bound=MemberFacts)


def check_joining(members: Iterable[MemberFacts], council: str, joins_on: date, starts_on: date, ends_on: date) -> None:
    """Refuse a council that is a member then or later, or a day on which there is no pool.

    :param joins_on: the first day of the membership.
    :param starts_on: the pool's first day.
    :param ends_on: the pool's last day.
    :raises Conflict: ``already_member``.
    :raises Invalid: ``outside_the_pool``.
    """
    for member in _memberships_of(members, council):
        if member.leaves_on is None:
            raise Conflict(
                "already_member",
                f"{councils.name_of(council)} is a member of the pool from {member.joins_on}; there is nothing to add.",
            )
        if joins_on <= member.leaves_on:
            sentence = (
                f"{councils.name_of(council)} is a member of the pool from {member.joins_on} to {member.leaves_on};"
                " let it join again after that."
            )
            raise Conflict("already_member", sentence, {"joins_on": [sentence]})
    if not starts_on <= joins_on <= ends_on:
        sentence = f"The pool runs from {starts_on} to {ends_on}; let the council join on one of its days."
        raise Invalid("outside_the_pool", sentence, {"joins_on": [sentence]})


def check_leaving(members: Iterable[M], council: str, leaves_on: date, ends_on: date) -> M:
    """Return the membership that ends; refuse when there is none, or a day that is not one of it.

    :param leaves_on: the last day of the membership; it may have been, or lie ahead.
    :param ends_on: the pool's last day.
    :raises Conflict: ``not_a_member``, ``already_leaves``.
    :raises Invalid: ``not_in_the_membership``.
    """
    member = last_membership(members, council)
    name = councils.name_of(council)
    if member is None:
        raise _not_a_member(council)
    if member.leaves_on is not None:
        raise Conflict(
            "already_leaves", f"The last day of {name} in the pool is {member.leaves_on}; that is told and stays so."
        )
    if not member.joins_on <= leaves_on <= ends_on:
        sentence = f"{name} is a member from {member.joins_on} and the pool ends on {ends_on}; give a day in between."
        raise Invalid("not_in_the_membership", sentence, {"leaves_on": [sentence]})
    return member


def members_during(members: Iterable[MemberFacts], year: str) -> list[str]:
    """Return the GSS codes of the councils that are members at some time of a financial year, in order."""
    period = periods.parse_year(year)
    return sorted(
        {
            member.council
            for member in members
            if member.joins_on <= period.ends_on and (member.leaves_on is None or member.leaves_on >= period.starts_on)
        }
    )


def check_member_during(members: Iterable[MemberFacts], council: str, year: str) -> None:
    """Refuse a council that is no member in a financial year. :raises Conflict: ``not_a_member_in_that_year``."""
    if council not in members_during(members, year):
        sentence = f"{councils.name_of(council)} is not a member of the pool in {year}; add it first."
        raise Conflict("not_a_member_in_that_year", sentence, {"council": [sentence]})


def check_was_a_member(members: Iterable[MemberFacts], council: str) -> None:
    """Refuse a council that never was a member; one that has left may still owe. :raises Conflict: ``not_a_member``."""
    if last_membership(members, council) is None:
        raise _not_a_member(council)


def check_stays(members: Iterable[MemberFacts], council: str) -> None:
    """Refuse a council that is not a member, or leaves: an award needs a lead council that stays.

    :raises Conflict: ``not_a_member``, ``leaves_the_pool``.
    """
    member = last_membership(members, council)
    if member is None:
        raise _not_a_member(council)
    if member.leaves_on is not None:
        raise Conflict(
            "leaves_the_pool",
            f"The last day of {councils.name_of(council)} in the pool is {member.leaves_on}, and an award needs a lead"
            " council that stays; let it join again, or offer to another proposal.",
        )


def check_has_left(members: Iterable[MemberFacts], council: str, today: date) -> None:
    """Refuse a council that is a member still, or again. :raises Conflict: ``not_a_member``, ``still_a_member``."""
    member = last_membership(members, council)
    if member is None:
        raise _not_a_member(council)
    if member.leaves_on is None or member.leaves_on >= today:
        until = f"until {member.leaves_on}" if member.leaves_on else "and nobody has said that it leaves"
        raise Conflict(
            "still_a_member",
            f"{councils.name_of(council)} is a member of the pool {until}; what it paid in is refunded after that.",
        )


def last_membership(members: Iterable[M], council: str) -> M | None:
    """Return a council's membership that begins last, or None if it never was a member."""
    return max(_memberships_of(members, council), key=lambda member: member.joins_on, default=None)


def _memberships_of(members: Iterable[M], council: str) -> list[M]:
    return [member for member in members if member.council == council]


def _not_a_member(council: str) -> Conflict:
    sentence = f"{councils.name_of(council)} is not a member of the pool; add it first, or correct the council."
    return Conflict("not_a_member", sentence, {"council": [sentence]})
