"""The reporting calendar that a project's benefits make."""

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.outcomes import domain
from shared import councils, periods

CODES = sorted(councils.all_councils())


def benefit(frequency: str, *targets: tuple[str, str]) -> dict[str, Any]:
    return {
        "frequency": frequency,
        "targets": [{"period": period, "council": council, "value": "1"} for period, council in targets],
    }


def test_a_quarter_of_the_financial_year_becomes_a_period_due_four_weeks_after_its_end() -> None:
    [entry] = domain.calendar_of(benefit("quarterly", ("2027-Q3", "S12000036")))
    assert entry == domain.CalendarEntry(
        council="S12000036",
        period="2027-Q3",
        starts_on=date(2027, 10, 1),
        ends_on=date(2027, 12, 31),
        due_on=date(2028, 1, 28),
        target="1",
    )


@pytest.mark.parametrize(
    ("frequency", "code", "starts_on", "ends_on"),
    [
        ("monthly", "2028-02", date(2028, 2, 1), date(2028, 2, 29)),
        ("quarterly", "2027-Q4", date(2028, 1, 1), date(2028, 3, 31)),
        ("annual", "2026-27", date(2026, 4, 1), date(2027, 3, 31)),
    ],
)
def test_each_frequency_has_its_own_periods(frequency: str, code: str, starts_on: date, ends_on: date) -> None:
    [entry] = domain.calendar_of(benefit(frequency, (code, "S12000036")))
    assert (entry.starts_on, entry.ends_on) == (starts_on, ends_on)


def test_periods_come_in_the_order_of_time_and_then_of_councils() -> None:
    calendar = domain.calendar_of(
        benefit("quarterly", ("2027-Q3", "S12000036"), ("2027-Q1", "S12000036"), ("2027-Q3", "S12000034"))
    )
    assert [(entry.period, entry.council) for entry in calendar] == [
        ("2027-Q1", "S12000036"),
        ("2027-Q3", "S12000034"),
        ("2027-Q3", "S12000036"),
    ]


def codes(frequency: str) -> st.SearchStrategy[str]:
    years = st.integers(2000, 2098)
    if frequency == "annual":
        return years.map(lambda year: f"{year}-{(year + 1) % 100:02d}")
    if frequency == "quarterly":
        return st.builds("{}-Q{}".format, years, st.integers(1, 4))
    return st.builds("{}-{:02d}".format, years, st.integers(1, 12))


@st.composite
def benefits(draw: st.DrawFn) -> dict[str, Any]:
    frequency = draw(st.sampled_from(periods.FREQUENCIES))
    targets = st.tuples(codes(frequency), st.sampled_from(CODES))
    return benefit(frequency, *draw(st.lists(targets, min_size=1, max_size=20, unique=True)))


@given(st.lists(benefits(), min_size=1, max_size=5))
def test_the_calendar_has_each_target_once_and_runs_to_the_last_period_of_all(drawn: list[dict[str, Any]]) -> None:
    calendars = [domain.calendar_of(each) for each in drawn]
    for each, calendar in zip(drawn, calendars, strict=True):
        given_targets = [(target["period"], target["council"], target["value"]) for target in each["targets"]]
        assert sorted((entry.period, entry.council, entry.target) for entry in calendar) == sorted(given_targets)
    entries = [entry for calendar in calendars for entry in calendar]
    assert all(entry.starts_on <= entry.ends_on < entry.due_on for entry in entries)
    span = domain.reporting_span(calendars)
    assert span.first_due_on == min(entry.due_on for entry in entries)
    assert span.last_due_on == max(entry.ends_on for entry in entries) + timedelta(days=domain.REPORTING_DAYS)
