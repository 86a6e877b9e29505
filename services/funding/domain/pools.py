"""Pools: for which financial years."""

from collections.abc import Iterable
from datetime import date

from shared import periods
from shared.errors import Invalid

#: A pool is for this many whole financial years at most.
MAX_POOL_YEARS = 5


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


def check_year_of_pool(year: str, years: Iterable[str]) -> None:
    """Refuse a financial year that the pool is not for. :raises Invalid: ``not_a_year_of_the_pool``."""
    years = list(years)
    if year not in years:
        sentence = f"The pool is for the financial years {', '.join(years)}; choose one of them."
        raise Invalid("not_a_year_of_the_pool", sentence, {"year": [sentence]})
