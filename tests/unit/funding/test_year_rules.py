"""Years: when one may be closed, and what a closed one refuses."""

from datetime import date

import pytest

from services.funding.domain import years
from shared.errors import Conflict

POOL_YEARS = ["2026-27", "2027-28", "2028-29"]


@pytest.mark.parametrize(
    ("year", "closed", "today", "code"),
    [
        ("2026-27", [], date(2027, 3, 31), "year_not_over"),
        ("2026-27", ["2026-27"], date(2027, 4, 1), "year_closed"),
        ("2027-28", [], date(2028, 4, 1), "earlier_year_open"),
        ("2028-29", ["2026-27"], date(2029, 4, 1), "earlier_year_open"),
    ],
)
def test_years_are_closed_once_each_in_order_when_they_are_over(
    year: str, closed: list[str], today: date, code: str
) -> None:
    with pytest.raises(Conflict) as refusal:
        years.check_closing(year, POOL_YEARS, closed, today)
    assert refusal.value.code == code
    years.check_closing("2026-27", POOL_YEARS, [], date(2027, 4, 1))
    years.check_closing("2027-28", POOL_YEARS, ["2026-27"], date(2028, 4, 1))


def test_a_closed_year_says_from_when_it_is_open() -> None:
    years.check_open("paid_on", date(2027, 4, 1), date(2027, 3, 31))
    years.check_open("paid_on", date(2020, 4, 1), None)
    with pytest.raises(Conflict) as refusal:
        years.check_open("paid_on", date(2027, 3, 31), date(2027, 3, 31))
    assert "2027-04-01" in refusal.value.message
    assert list(refusal.value.fields) == ["paid_on"]
