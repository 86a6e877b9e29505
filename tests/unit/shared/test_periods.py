"""Financial years and the reporting periods in them."""

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import periods
from shared.periods import ANNUAL, FREQUENCIES, MONTHLY, QUARTERLY, Period, parse_period, parse_year

starts = st.integers(min_value=2000, max_value=2098)
days = st.dates(min_value=date(2000, 4, 1), max_value=date(2099, 3, 31))


def year_code(start: int) -> str:
    return f"{start}-{(start + 1) % 100:02d}"


def codes_of(start: int, frequency: str) -> list[str]:
    """Every period of a financial year, as the module's table writes them."""
    if frequency == MONTHLY:
        return [f"{start}-{month:02d}" for month in range(4, 13)] + [f"{start + 1}-{month:02d}" for month in (1, 2, 3)]
    if frequency == QUARTERLY:
        return [f"{start}-Q{number}" for number in (1, 2, 3, 4)]
    return [year_code(start)]


@pytest.mark.parametrize(
    ("code", "frequency", "starts_on", "ends_on"),
    [
        ("2026-10", MONTHLY, date(2026, 10, 1), date(2026, 10, 31)),
        ("2028-02", MONTHLY, date(2028, 2, 1), date(2028, 2, 29)),
        ("2026-12", MONTHLY, date(2026, 12, 1), date(2026, 12, 31)),
        ("2026-Q1", QUARTERLY, date(2026, 4, 1), date(2026, 6, 30)),
        ("2026-Q3", QUARTERLY, date(2026, 10, 1), date(2026, 12, 31)),
        ("2026-Q4", QUARTERLY, date(2027, 1, 1), date(2027, 3, 31)),
        ("2026-27", ANNUAL, date(2026, 4, 1), date(2027, 3, 31)),
        ("2011-12", ANNUAL, date(2011, 4, 1), date(2012, 3, 31)),
        ("2011-12", MONTHLY, date(2011, 12, 1), date(2011, 12, 31)),
        ("2099-00", ANNUAL, date(2099, 4, 1), date(2100, 3, 31)),
        ("2099-Q4", QUARTERLY, date(2100, 1, 1), date(2100, 3, 31)),
    ],
)
def test_a_code_names_its_days(code: str, frequency: str, starts_on: date, ends_on: date) -> None:
    assert parse_period(code, frequency) == Period(code, starts_on, ends_on)


@given(start=starts, frequency=st.sampled_from(FREQUENCIES))
def test_the_periods_of_a_year_tile_it(start: int, frequency: str) -> None:
    year = parse_year(year_code(start))
    parts = [parse_period(code, frequency) for code in codes_of(start, frequency)]
    assert parts[0].starts_on == year.starts_on
    assert parts[-1].ends_on == year.ends_on
    assert all(later.starts_on == earlier.ends_on + timedelta(days=1) for earlier, later in pairwise(parts))


@given(day=days)
def test_a_day_lies_in_its_own_year(day: date) -> None:
    year = parse_year(periods.year_of(day))
    assert year.starts_on <= day <= year.ends_on


@given(one=days, other=days)
def test_the_years_between_two_days_follow_one_another_and_hold_both(one: date, other: date) -> None:
    first, last = sorted((one, other))
    years = [parse_year(code) for code in periods.years_between(first, last)]
    assert years[0].starts_on <= first <= years[0].ends_on
    assert years[-1].starts_on <= last <= years[-1].ends_on
    assert all(later.starts_on == earlier.ends_on + timedelta(days=1) for earlier, later in pairwise(years))


def test_a_year_turns_on_the_first_of_april() -> None:
    assert periods.year_of(date(2027, 3, 31)) == "2026-27"
    assert periods.year_of(date(2027, 4, 1)) == "2027-28"
    assert periods.years_between(date(2026, 4, 1), date(2029, 3, 31)) == ["2026-27", "2027-28", "2028-29"]
    assert periods.years_between(date(2027, 3, 31), date(2027, 4, 1)) == ["2026-27", "2027-28"]


@pytest.mark.parametrize("code", ["2026-28", "2026-26", "2026", "26-27", "2026/27", "1999-00", "2026-27 ", ""])
def test_what_is_no_year_is_refused_with_an_example(code: str) -> None:
    with pytest.raises(ValueError, match="write it like 2026-27") as refusal:
        parse_year(code)
    assert str(refusal.value) == f"{code!r} is not a financial year; write it like 2026-27."


@pytest.mark.parametrize(
    ("code", "frequency", "sentence"),
    [
        ("2026-27", MONTHLY, "'2026-27' is not a monthly period; write it like 2026-10."),
        ("2026-13", MONTHLY, "'2026-13' is not a monthly period; write it like 2026-10."),
        ("2026-00", MONTHLY, "'2026-00' is not a monthly period; write it like 2026-10."),
        ("2026-10", QUARTERLY, "'2026-10' is not a quarterly period; write it like 2026-Q3."),
        ("2026-Q5", QUARTERLY, "'2026-Q5' is not a quarterly period; write it like 2026-Q3."),
        ("2026-q3", QUARTERLY, "'2026-q3' is not a quarterly period; write it like 2026-Q3."),
        ("2026-Q3", ANNUAL, "'2026-Q3' is not a financial year; write it like 2026-27."),
        ("2026-10", ANNUAL, "'2026-10' is not a financial year; write it like 2026-27."),
    ],
)
def test_a_code_of_another_frequency_is_refused_with_an_example(code: str, frequency: str, sentence: str) -> None:
    with pytest.raises(ValueError, match="write it like") as refusal:
        parse_period(code, frequency)
    assert str(refusal.value) == sentence


@pytest.mark.parametrize(
    ("code", "frequency"), [("20٢٦-27", ANNUAL), ("202٦-Q3", QUARTERLY), ("202\uff16-10", MONTHLY)]
)
def test_a_period_is_written_one_way_only_in_ascii_digits(code: str, frequency: str) -> None:
    """Two spellings of one period would pass for two periods wherever a code is compared."""
    with pytest.raises(ValueError, match="write it like"):
        parse_period(code, frequency)
