"""The rules of tracking: the reporting calendar, a period's states, what a report must say, who decides on it.

A period is stored as ``pending``, ``reported``, ``certified`` or ``returned``. A pending period shows as ``upcoming``
until it has ended and as ``open`` from the day after; that, and whether it is overdue, follows from the day on which
somebody looks, so that nothing has to run for it to become true.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from typing import Any, Protocol

from services.outcomes import decimals
from shared import periods
from shared.errors import Conflict, Forbidden, Invalid
from shared.proposal_content import SAVING_KINDS
from shared.security.principal import CDO, S95_OFFICER

#: How long after a period's end its report is due. Four weeks: long enough for a council to close the last month's
#: ledger and check its figures, short enough that a quarter is known before the next one is half over.
REPORTING_DAYS = 28

PENDING, REPORTED, CERTIFIED, RETURNED = "pending", "reported", "certified", "returned"
UPCOMING, OPEN, OVERDUE = "upcoming", "open", "overdue"

#: What the database keeps.
STORED_STATES = (PENDING, REPORTED, CERTIFIED, RETURNED)
#: What callers see.
SHOWN_STATES = (UPCOMING, OPEN, REPORTED, CERTIFIED, RETURNED)
#: What callers can ask for: a state, or what is owed and late in whichever state.
PERIOD_FILTERS = (*SHOWN_STATES, OVERDUE)

#: A plan's states. It is active from the moment of funding.
ACTIVE, CLOSED = "active", "closed"
PLAN_STATES = (ACTIVE, CLOSED)

#: How a milestone shows: a planned one is late once its day has passed.
PLANNED, LATE, ACHIEVED = "planned", "late", "achieved"


@dataclass(frozen=True)
class CalendarEntry:
    """What one council owes for one indicator and one period, and the target that it set itself."""

    council: str
    period: str
    starts_on: date
    ends_on: date
    due_on: date
    target: str


def calendar_of(benefit: Mapping[str, Any]) -> list[CalendarEntry]:
    """Return the reporting calendar of a benefit: an entry per target, in the order of time and then of councils.

    :param benefit: a benefit of a proposal's content, loaded.
    :raises ValueError: for a target whose period does not fit the benefit's frequency.
    """
    entries = [_entry_of(target, benefit["frequency"]) for target in benefit["targets"]]
    return sorted(entries, key=lambda entry: (entry.starts_on, entry.council))


def _entry_of(target: Mapping[str, Any], frequency: str) -> CalendarEntry:
    period = periods.parse_period(target["period"], frequency)
    return CalendarEntry(
        council=target["council"],
        period=period.code,
        starts_on=period.starts_on,
        ends_on=period.ends_on,
        due_on=period.ends_on + timedelta(days=REPORTING_DAYS),
        target=target["value"],
    )


@dataclass(frozen=True)
class ReportingSpan:
    """The first and the last day on which a plan expects a report."""

    first_due_on: date
    last_due_on: date


def reporting_span(calendars: Iterable[Iterable[CalendarEntry]]) -> ReportingSpan:
    """Return how long a plan runs: to the last period of the last of its benefits, whenever the project itself ends."""
    due_days = [entry.due_on for calendar in calendars for entry in calendar]
    return ReportingSpan(min(due_days), max(due_days))


class Period(Protocol):
    """A reporting period, as far as the rules look at it."""

    @property
    def state(self) -> str:
        """One of :data:`STORED_STATES`."""

    @property
    def ends_on(self) -> date:
        """The last day that is measured."""

    @property
    def due_on(self) -> date:
        """The last day on which a report is in time."""


def opens_on(period: Period) -> date:
    """Return the first day on which a period takes a report: the day after it ends."""
    return period.ends_on + timedelta(days=1)


def shown_state(period: Period, today: date) -> str:
    """Return the state that a caller sees on a day."""
    if period.state != PENDING:
        return period.state
    return OPEN if today >= opens_on(period) else UPCOMING


def is_overdue(period: Period, today: date) -> bool:
    """Tell whether a report is owed, be it the first or after a return, and its day has passed."""
    return period.state in (PENDING, RETURNED) and today > period.due_on


def milestone_state(due_on: date, achieved_on: date | None, today: date) -> str:
    """Return how a milestone shows on a day."""
    if achieved_on is not None:
        return ACHIEVED
    return LATE if today > due_on else PLANNED


def check_reportable(period: Period, today: date) -> None:
    """Refuse a report that comes too early, or on top of one that stands.

    :raises Conflict: ``not_open_yet``, ``awaits_certification`` or ``already_certified``.
    """
    if period.state == CERTIFIED:
        raise _already_certified()
    if period.state == REPORTED:
        raise Conflict(
            "awaits_certification",
            "A value is reported and awaits certification. To change it, ask whoever certifies it to return it.",
        )
    if today < opens_on(period):
        raise Conflict(
            "not_open_yet",
            f"This period takes a report from {opens_on(period)}, the day after it ends. Report it then.",
        )


def check_decidable(period: Period) -> None:
    """Refuse a decision where no report awaits one.

    :raises Conflict: ``already_certified`` or ``nothing_reported``.
    """
    if period.state == CERTIFIED:
        raise _already_certified()
    if period.state != REPORTED:
        raise Conflict("nothing_reported", "No report awaits a decision for this period. It has to be reported first.")


def _already_certified() -> Conflict:
    return Conflict("already_certified", "This period is certified; its value stands and cannot be changed.")


def certifying_role(kind: str) -> str:
    """Return the role that decides on a report: money is a Section 95 officer's, everything else the CDO's.

    Section 95 of the Local Government (Scotland) Act 1973 makes one officer of each council responsible for the
    administration of its financial affairs.
    """
    return S95_OFFICER if kind in SAVING_KINDS else CDO


def check_two_people(reporters: Sequence[str], decider: str) -> None:
    """Refuse a decision by anybody who ever reported the period, on a report that was returned too.

    :raises Forbidden: ``two_people``.
    """
    if decider in reporters:
        raise Forbidden(
            "two_people",
            "You reported a value for this period, so somebody else has to decide on it: it takes two people.",
        )


def check_figures(measure: str, value: str, numerator: str | None, denominator: str | None) -> None:
    """Refuse a percentage that does not say what its parts say, and parts of anything that is no percentage.

    A percentage is ``100 * numerator / denominator``, rounded half up to as many decimals as the value is given with.

    :param measure: the indicator's measure.
    :param value: a decimal string; so are the numerator and the denominator.
    :raises Invalid: with the fields at fault.
    """
    if measure == "percentage":
        _check_percentage(value, numerator, denominator)
    elif numerator is not None or denominator is not None:
        sentence = f"Only a percentage has a numerator and a denominator; this is a {measure}. Leave both out."
        given = {"numerator": numerator, "denominator": denominator}
        raise Invalid(
            "not_a_percentage", sentence, {name: [sentence] for name, part in given.items() if part is not None}
        )


def _check_percentage(value: str, numerator: str | None, denominator: str | None) -> None:
    if numerator is None or denominator is None:
        sentence = "A percentage comes with the numerator and the denominator that it was made from. Give both."
        given = {"numerator": numerator, "denominator": denominator}
        raise Invalid("ratio_missing", sentence, {name: [sentence] for name, part in given.items() if part is None})
    if Fraction(denominator) <= 0:
        sentence = "Give a denominator above zero."
        raise Invalid("denominator_not_positive", sentence, {"denominator": [sentence]})
    exact = 100 * Fraction(numerator) / Fraction(denominator)
    expected = decimals.write(exact, places=decimals.places_of(value))
    if Fraction(value) != Fraction(expected):
        sentence = (
            f"{numerator} of {denominator} is {expected} %, not {value} %. Correct the value or the figures behind it."
        )
        raise Invalid("percentage_differs", sentence, {"value": [sentence]})
