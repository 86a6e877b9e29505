"""The end of a financial year: when it may be closed, and what a closed one refuses."""

from collections.abc import Sequence
from datetime import date, timedelta

from shared import periods
from shared.errors import Conflict


def check_closing(year: str, years: Sequence[str], closed: Sequence[str], today: date) -> None:
    """Refuse to close a financial year that is not over, is closed, or comes after one that is open.

    :param year: one of the pool's years.
    :param years: the pool's years, in order.
    :param closed: those that are closed.
    :raises Conflict: ``year_closed``, ``year_not_over``, ``earlier_year_open``.
    """
    if year in closed:
        raise Conflict("year_closed", f"{year} is closed already; get_year shows its figures.")
    ends_on = periods.parse_year(year).ends_on
    if today <= ends_on:
        raise Conflict("year_not_over", f"{year} ends on {ends_on}; close it after that day.")
    for earlier in years[: years.index(year)]:
        if earlier not in closed:
            raise Conflict(
                "earlier_year_open", f"{earlier} is open, and what it carries forward begins {year}; close it first."
            )


def check_open(field: str | None, day: date, closed_through: date | None) -> None:
    """Refuse a day of a financial year that is closed.

    :param field: that holds the day, if the caller gave it.
    :param closed_through: the last day of the last year that is closed, if one is.
    :raises Conflict: ``year_closed``.
    """
    if closed_through is not None and day <= closed_through:
        sentence = (
            f"The books are closed up to {closed_through}, and {day} is not after it; use a day from"
            f" {closed_through + timedelta(days=1)} on. What is wrong in a closed year is reversed in the open one."
        )
        raise Conflict("year_closed", sentence, {field: [sentence]} if field else {})
