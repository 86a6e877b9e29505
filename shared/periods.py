"""Financial years and reporting periods.

A council's financial year runs from 1 April to 31 March and is written ``2026-27`` (Local Government (Scotland) Act
1973, section 96). Reporting periods follow it:

===========  ==========================  =================================
frequency    written                     covers
===========  ==========================  =================================
monthly      ``2026-10``                 the calendar month
quarterly    ``2026-Q3``                 the third quarter of the financial
                                         year that begins in April 2026:
                                         October to December 2026
annual       ``2026-27``                 the financial year
===========  ==========================  =================================

``2026-10`` is a month and ``2026-27`` a year because no month is numbered 27; a financial year that could be read as a
month (``2011-12``) is told apart by the frequency that goes with it.
"""

import re
from dataclasses import dataclass
from datetime import date, timedelta

MONTHLY, QUARTERLY, ANNUAL = "monthly", "quarterly", "annual"
FREQUENCIES = (MONTHLY, QUARTERLY, ANNUAL)
FIRST_MONTH = 4

_YEAR = re.compile(r"(20\d\d)-(\d\d)", re.ASCII)
_QUARTER = re.compile(r"(20\d\d)-Q([1-4])", re.ASCII)
_MONTH = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])", re.ASCII)
#: Letters of a code that is not one which a sentence shows; none that is one is half as long.
_MAX_SHOWN = 20
_EXAMPLES = {MONTHLY: "2026-10", QUARTERLY: "2026-Q3", ANNUAL: "2026-27"}


@dataclass(frozen=True)
class Period:
    """A reporting period: the way it is written, its first and its last day."""

    code: str
    starts_on: date
    ends_on: date


def parse_year(code: str) -> Period:
    """Return the financial year written as ``2026-27``.

    :raises ValueError: when it is not written so, or its two halves do not follow one another.
    """
    match = _YEAR.fullmatch(code)
    if not match or (int(match[1]) + 1) % 100 != int(match[2]):
        raise ValueError(f"{_shown(code)} is not a financial year; write it like 2026-27.")
    return _span(code, int(match[1]), FIRST_MONTH, 12)


def parse_period(code: str, frequency: str) -> Period:
    """Return the period that a code names.

    :param code: the period as in the table above.
    :param frequency: ``monthly``, ``quarterly`` or ``annual``.
    :raises ValueError: when the code is not of that frequency.
    """
    if frequency == ANNUAL:
        return parse_year(code)
    match = (_QUARTER if frequency == QUARTERLY else _MONTH).fullmatch(code)
    if not match:
        raise ValueError(f"{_shown(code)} is not a {frequency} period; write it like {_EXAMPLES[frequency]}.")
    year, number = int(match[1]), int(match[2])
    if frequency == QUARTERLY:
        return _span(code, year, FIRST_MONTH + 3 * (number - 1), 3)
    return _span(code, year, number, 1)


def year_of(day: date) -> str:
    """Return the financial year that a day belongs to, as ``2026-27``."""
    start = day.year if day.month >= FIRST_MONTH else day.year - 1
    return f"{start}-{(start + 1) % 100:02d}"


def years_between(starts_on: date, ends_on: date) -> list[str]:
    """Return the financial years that two days and the days between them touch, in order."""
    first, last = int(year_of(starts_on)[:4]), int(year_of(ends_on)[:4])
    return [f"{year}-{(year + 1) % 100:02d}" for year in range(first, last + 1)]


def _shown(code: str) -> str:
    return repr(code) if len(code) <= _MAX_SHOWN else "This"


def _span(code: str, year: int, month: int, months: int) -> Period:
    return Period(code, _first_day(year, month), _first_day(year, month + months) - timedelta(days=1))


def _first_day(year: int, month: int) -> date:
    return date(year + (month - 1) // 12, (month - 1) % 12 + 1, 1)
