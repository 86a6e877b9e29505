"""How an award ends, completed or terminated, and how money of it comes back to the pool."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Protocol

from services.funding.domain.awards import WITH_PROJECT, AwardFacts, AwardState
from services.funding.domain.drawdowns import TrancheFacts, TrancheState
from services.funding.domain.records import check_not_in_the_future
from shared.errors import Conflict
from shared.money import format_pounds

#: Somebody waits for the money of a tranche in these states.
OPEN_DRAWDOWNS = (TrancheState.REQUESTED, TrancheState.APPROVED)


class EndingFacts(AwardFacts, Protocol):
    """An award and how it ended, as the rules see it."""

    reference: str
    completed_at: datetime | None
    terminated_at: datetime | None
    termination_reason: str | None


class EndingTrancheFacts(TrancheFacts, Protocol):
    """A tranche, as the rules of endings see it."""

    amount_pence: int


def check_completion(award: EndingFacts, tranches: Sequence[EndingTrancheFacts]) -> None:
    """Refuse to complete a project that is not going on, or that still expects money.

    :raises Conflict: ``award_not_active``; ``drawdown_open`` while a drawdown is requested, or approved and not paid.
    """
    check_active(award, "completed")
    for tranche in tranches:
        if tranche.state == TrancheState.REQUESTED:
            raise Conflict(
                "drawdown_open",
                f"The drawdown of {tranche.key} is requested; have it rejected, or approved and paid, first.",
            )
        if tranche.state == TrancheState.APPROVED:
            raise Conflict(
                "drawdown_open", f"The drawdown of {tranche.key} is approved; record its payment first, then complete."
            )


def check_active(award: EndingFacts, participle: str) -> None:
    """Refuse to end an award that is not active. :raises Conflict: ``award_not_active``."""
    if award.state != AwardState.ACTIVE:
        raise Conflict("award_not_active", f"This award is {award.state}; only an active one can be {participle}.")


def unpaid(tranches: Sequence[EndingTrancheFacts]) -> list[EndingTrancheFacts]:
    """Return the tranches that are not paid, which the end of an award cancels."""
    return [tranche for tranche in tranches if tranche.state != TrancheState.PAID]


def complete_project(award: EndingFacts, tranches: Sequence[EndingTrancheFacts], *, at: datetime) -> None:
    """End a project that has done what it was funded for; nothing more is drawn down.

    :raises Conflict: see :func:`check_completion`.
    """
    check_completion(award, tranches)
    award.state, award.completed_at = AwardState.COMPLETED, at
    _cancel(tranches)


def terminate_award(award: EndingFacts, tranches: Sequence[EndingTrancheFacts], *, at: datetime, reason: str) -> None:
    """End a project early; nothing more is drawn down, whatever has been requested or approved.

    :raises Conflict: ``award_not_active``.
    """
    check_active(award, "terminated")
    award.state, award.terminated_at, award.termination_reason = AwardState.TERMINATED, at, reason
    _cancel(tranches)


def _cancel(tranches: Sequence[EndingTrancheFacts]) -> None:
    for tranche in unpaid(tranches):
        tranche.state = TrancheState.CANCELLED


def can_come_back(movements: Iterable[tuple[date, int]], on: date) -> int:
    """Return how much of what a project was paid can come back on a day, in pence.

    No more than it has by then, and no more than leaves enough for what has come back since: a balance as at any day
    stays above zero.

    :param movements: day and pence of each payment, and below zero of each return.
    """
    by_day: dict[date, int] = {}
    for day, pence in movements:
        by_day[day] = by_day.get(day, 0) + pence
    held = sum(pence for day, pence in by_day.items() if day <= on)
    least = held
    for day in sorted(day for day in by_day if day > on):
        held += by_day[day]
        least = min(least, held)
    return max(0, least)


def check_return(
    award: EndingFacts, *, amount_pence: int, received_on: date, today: date, movements: Sequence[tuple[date, int]]
) -> None:
    """Refuse to take back what was never paid; after the end of an award it may come back as before.

    :param movements: see :func:`can_come_back`.
    :raises Conflict: ``award_not_accepted`` for an award that never became a project; ``more_than_was_paid``.
    :raises Invalid: ``in_the_future``.
    """
    if award.state not in WITH_PROJECT:
        raise Conflict("award_not_accepted", f"This award is {award.state}; nothing has been paid that can come back.")
    check_not_in_the_future("received_on", received_on, today)
    at_most_pence = can_come_back(movements, received_on)
    if amount_pence > at_most_pence:
        paid_pence = sum(pence for day, pence in movements if pence > 0 and day <= received_on)
        sentence = (
            f"By {received_on} the project of {award.reference} was paid {format_pounds(paid_pence)}, and"
            f" {format_pounds(at_most_pence)} of it can come back that day; take no more, or correct the day."
        )
        raise Conflict("more_than_was_paid", sentence, {"amount_pence": [f"At most {at_most_pence} pence."]})
