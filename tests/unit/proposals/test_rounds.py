"""Rounds: their window, their state, and what a new one must look like."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.proposals.domain.rounds import (
    CHANGEABLE,
    TERMS,
    Criterion,
    RoundRules,
    RoundState,
    Window,
    as_json,
    changes_in,
    check_change,
    check_changeable,
    check_closing,
    check_takes_drafts,
    check_terms,
    from_json,
    problems_of,
)
from shared.errors import Conflict, Invalid

WINDOW = Window("R-2026-0001", date(2026, 9, 1), date(2026, 11, 30))
TODAY = date(2026, 10, 5)
NEED = {"key": "need", "title": "Need", "weight": 60}
SAVINGS = {"key": "savings", "title": "Savings", "weight": 40}
BEFORE = {
    "title": "Autumn 2026",
    "opens_on": WINDOW.opens_on,
    "closes_on": WINDOW.closes_on,
    "criteria": [NEED, SAVINGS],
    "min_participants": 2,
    "quorum": 2,
    "ceiling_pence": 40_000_000,
}


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


def test_a_round_that_somebody_closed_is_closed_by_whichever_clock() -> None:
    window = _closed_on(10, 5)
    for hour in (11, 12):
        assert window.state(_at(10, 5, hour), undecided=True) == RoundState.CLOSED
    assert window.closes_at == _at(10, 5, 12)
    assert window.closing == "5 October 2026 at 12:00:00 UTC"


def test_a_closed_round_is_decided_once_nothing_waits() -> None:
    assert WINDOW.state(_at(12, 1), undecided=False) == RoundState.DECIDED
    assert WINDOW.state(_at(11, 1), undecided=False) == RoundState.OPEN


def test_a_closing_put_on_record_afterwards_does_not_move_the_last_day() -> None:
    for window in (WINDOW, _closed_on(12, 24)):
        assert window.closes_at == _at(12, 1, 0)
        assert window.closing == "30 November 2026 at 24:00 UTC"


def test_a_round_until_the_last_day_of_all_has_an_end_too() -> None:
    window = Window("R-2026-0001", date(2026, 9, 1), date.max)
    assert window.is_open(datetime(9999, 12, 31, 23, tzinfo=UTC))
    assert window.closing == "31 December 9999 at 24:00 UTC"


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
    assert all(
        window.opens_on <= moment.date() <= window.closes_on and moment < window.closes_at
        for moment in moments
        if window.is_open(moment)
    )


def test_terms_must_make_sense_and_every_problem_is_told_at_once() -> None:
    check_terms({**BEFORE, "opens_on": TODAY, "closes_on": TODAY}, TODAY)
    with pytest.raises(Invalid) as error:
        check_terms(
            {**BEFORE, "closes_on": date(2026, 8, 31), "criteria": [NEED, NEED, {**SAVINGS, "weight": 30}]}, TODAY
        )
    assert error.value.fields == {
        "closes_on": [
            "This window is already over; choose 2026-10-05 or later.",
            "The last day cannot be before the first; choose 2026-09-01 or later.",
        ],
        "criteria": [
            "Each criterion needs a key of its own; given more than once: need.",
            "The weights add up to 150; make them add up to 100 percent.",
        ],
    }
    assert error.value.message.startswith("Correct the round's closes_on, criteria: This window is already over;")


@pytest.mark.parametrize("left_out", TERMS)
def test_what_is_left_out_is_not_looked_at(left_out: str) -> None:
    assert problems_of({term: value for term, value in BEFORE.items() if term != left_out}, TODAY) == {}


CHANGES = {
    "title": "Autumn and winter",
    "opens_on": date(2026, 9, 15),
    "closes_on": date(2026, 12, 15),
    "criteria": [{**NEED, "weight": 100}],
    "min_participants": 3,
    "quorum": 3,
    "ceiling_pence": 1,
}


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize(
    ("at", "state"),
    [(_at(8, 31), RoundState.PLANNED), (_at(10, 5), RoundState.OPEN), (_at(12, 1, 0), RoundState.CLOSED)],
)
def test_what_may_change_when(term: str, at: datetime, state: RoundState) -> None:
    def change() -> None:
        check_changeable(WINDOW, 3, 3, at)
        check_change(WINDOW, BEFORE, {term: CHANGES[term]}, at)

    if term in CHANGEABLE[state]:
        change()
    else:
        with pytest.raises(Conflict):
            change()


def test_a_first_day_that_has_come_stays_and_the_rest_of_what_is_wrong_is_told_with_it() -> None:
    with pytest.raises(Conflict) as error:
        check_change(WINDOW, BEFORE, {"opens_on": date(2026, 10, 1), "criteria": [NEED]}, _at(10, 5))
    assert error.value.fields == {
        "opens_on": ["R-2026-0001 has begun, so this stays 2026-09-01; leave it out."],
        "criteria": ["The weights add up to 60; make them add up to 100 percent."],
    }


def test_a_last_day_moves_either_way_but_not_into_the_past() -> None:
    for day in (TODAY, date(2026, 10, 6), date(2027, 5, 1)):
        check_change(WINDOW, BEFORE, {"closes_on": day}, _at(10, 5, 23))
    with pytest.raises(Invalid, match="choose 2026-10-05 or later"):
        check_change(WINDOW, BEFORE, {"closes_on": date(2026, 10, 4)}, _at(10, 5, 0))


def test_a_closed_round_says_what_to_do_instead() -> None:
    for window, at, moment in (
        (WINDOW, _at(12, 1, 0), "30 November 2026 at 24:00 UTC"),
        (_closed_on(10, 5), _at(10, 6), "5 October 2026 at 12:00:00 UTC"),
    ):
        # Whoever has also missed a version need not read the round again to learn that.
        with pytest.raises(Conflict, match="announce another round with open_round") as error:
            check_changeable(window, 3, 2, at)
        assert error.value.fields == {"round_id": [f"Closed on {moment}."]}


def test_a_change_starts_from_what_the_round_is_now() -> None:
    with pytest.raises(Conflict, match=r"at version 3 now\. Read it again") as error:
        check_changeable(WINDOW, 3, 2, _at(10, 5))
    assert (error.value.code, error.value.fields) == (
        "stale_round",
        {"expected_version": ["The round is at version 3."]},
    )


def test_a_change_changes_something() -> None:
    assert changes_in(BEFORE, {"title": "Winter", "quorum": 2}) == {"title": "Winter"}
    for wanted in ({}, {"quorum": 2, "criteria": [NEED, SAVINGS]}):
        with pytest.raises(Invalid, match="Give at least one of title, opens_on"):
            changes_in(BEFORE, wanted)


def test_a_round_is_closed_by_hand_once_and_not_before_it_begins() -> None:
    check_closing(WINDOW, _at(10, 5))
    check_closing(WINDOW, _at(12, 24))
    with pytest.raises(Conflict, match="opens on 1 September 2026 at 00:00 UTC"):
        check_closing(WINDOW, _at(8, 1))
    with pytest.raises(Conflict, match="closed on 5 October 2026 at 12:00:00 UTC already"):
        check_closing(_closed_on(10, 5), _at(10, 6))


def test_drafts_begin_in_rounds_that_are_planned_or_open() -> None:
    check_takes_drafts(WINDOW, _at(8, 1))
    check_takes_drafts(WINDOW, _at(10, 1))
    with pytest.raises(Conflict, match="closed on 30 November 2026 at 24:00 UTC") as error:
        check_takes_drafts(WINDOW, _at(12, 1))
    assert error.value.fields == {"round_id": ["Closed on 30 November 2026 at 24:00 UTC."]}


def test_terms_survive_being_kept() -> None:
    kept = as_json(BEFORE)
    assert json.loads(json.dumps(kept)) == kept
    assert from_json(kept) == BEFORE


def test_rules_survive_being_pinned() -> None:
    rules = RoundRules((Criterion("need", "Need", 60), Criterion("savings", "Savings", 40)), 2, 3, 40_000_000)
    assert RoundRules.from_json(rules.as_json()) == rules
