"""Rounds: their window, their state, and what a new one must look like."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.proposals.domain.rounds import (
    Criterion,
    RoundRules,
    RoundState,
    Window,
    check_closing,
    check_criteria,
    check_takes_drafts,
    check_window,
)
from shared.errors import Conflict, Invalid

WINDOW = Window("R-2026-0001", date(2026, 9, 1), date(2026, 11, 30))


def _at(month: int, day: int, hour: int = 12) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


def _closed_on(month: int, day: int) -> Window:
    return Window(WINDOW.reference, WINDOW.opens_on, WINDOW.closes_on, _at(month, day))


@pytest.mark.parametrize(
    ("at", "state"),
    [
        (_at(8, 31, 23), RoundState.PLANNED),
        (_at(9, 1, 0), RoundState.OPEN),
        (_at(11, 30, 23), RoundState.OPEN),
        (_at(12, 1, 0), RoundState.CLOSED),
    ],
)
def test_a_round_is_open_on_its_first_and_its_last_day_and_between(at: datetime, state: RoundState) -> None:
    assert WINDOW.state(at, undecided=True) == state
    assert WINDOW.is_open(at) == (state == RoundState.OPEN)


def test_a_round_that_somebody_closed_is_closed_from_that_moment() -> None:
    window = _closed_on(10, 5)
    assert window.is_open(_at(10, 5, 11))
    assert window.state(_at(10, 5, 12), undecided=True) == RoundState.CLOSED
    assert window.last_day == date(2026, 10, 5)


def test_a_closed_round_is_decided_once_nothing_waits() -> None:
    assert WINDOW.state(_at(12, 1), undecided=False) == RoundState.DECIDED
    assert WINDOW.state(_at(11, 1), undecided=False) == RoundState.OPEN


def test_a_closing_put_on_record_afterwards_does_not_move_the_last_day() -> None:
    assert _closed_on(12, 24).last_day == WINDOW.closes_on


@given(
    opens_on=st.dates(date(2026, 1, 1), date(2027, 1, 1)),
    days=st.integers(0, 300),
    closed_after=st.none() | st.integers(0, 400),
    undecided=st.booleans(),
)
def test_a_round_never_goes_back(opens_on: date, days: int, closed_after: int | None, undecided: bool) -> None:
    begin = datetime.combine(opens_on, datetime.min.time(), UTC)
    closed_at = None if closed_after is None else begin + timedelta(days=closed_after, hours=7)
    window = Window("R-2026-0001", opens_on, opens_on + timedelta(days=days), closed_at)
    order = list(RoundState)
    moments = [begin + timedelta(hours=12 * step) for step in range(-4, 820)]
    places = [order.index(window.state(moment, undecided=undecided)) for moment in moments]
    assert places == sorted(places)
    assert all(window.opens_on <= moment.date() <= window.last_day for moment in moments if window.is_open(moment))


def test_a_window_must_not_be_upside_down_nor_over() -> None:
    check_window(date(2026, 9, 1), date(2026, 9, 1), date(2026, 9, 1))
    with pytest.raises(Invalid, match="cannot be before the first") as upside_down:
        check_window(date(2026, 9, 2), date(2026, 9, 1), date(2026, 8, 1))
    assert upside_down.value.fields.keys() == {"closes_on"}
    with pytest.raises(Invalid, match="already over"):
        check_window(date(2026, 9, 1), date(2026, 9, 2), date(2026, 9, 3))


def test_weights_make_a_hundred_percent_and_keys_differ() -> None:
    check_criteria([Criterion("need", "Need", 60), Criterion("savings", "Savings", 40)])
    with pytest.raises(Invalid, match="add up to 90; make them add up to 100"):
        check_criteria([Criterion("need", "Need", 60), Criterion("savings", "Savings", 30)])
    with pytest.raises(Invalid, match="need is given twice"):
        check_criteria([Criterion("need", "Need", 60), Criterion("need", "Savings", 40)])


def test_a_round_is_closed_by_hand_once_and_not_before_it_begins() -> None:
    check_closing(WINDOW, _at(10, 5))
    check_closing(WINDOW, _at(12, 24))
    with pytest.raises(Conflict, match="opens on 2026-09-01"):
        check_closing(WINDOW, _at(8, 1))
    with pytest.raises(Conflict, match="closed on 2026-10-05 already"):
        check_closing(_closed_on(10, 5), _at(10, 6))


def test_drafts_begin_in_rounds_that_are_planned_or_open() -> None:
    check_takes_drafts(WINDOW, _at(8, 1))
    check_takes_drafts(WINDOW, _at(10, 1))
    with pytest.raises(Conflict, match="closed on 2026-11-30"):
        check_takes_drafts(WINDOW, _at(12, 1))


def test_rules_survive_being_pinned() -> None:
    rules = RoundRules((Criterion("need", "Need", 60), Criterion("savings", "Savings", 40)), 2, 3, 40_000_000)
    assert RoundRules.from_json(rules.as_json()) == rules
