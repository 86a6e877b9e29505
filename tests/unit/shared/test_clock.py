"""One clock per process, replaced in tests and shifted in rehearsals."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from shared import clock
from shared.clock import FixedClock, RehearsalClock, SystemClock

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
#: Far more than a slow machine needs between two lines of a test.
SOON = timedelta(minutes=1)


def test_a_fixed_clock_stands_still_until_it_is_moved() -> None:
    fixed = FixedClock(NOON)
    assert (fixed.now(), fixed.now()) == (NOON, NOON)
    fixed.advance(timedelta(hours=13))
    assert fixed.now() == datetime(2026, 6, 2, 1, tzinfo=UTC)


def test_the_process_has_one_clock_and_gets_its_old_one_back() -> None:
    before = clock.now()
    with clock.using(FixedClock(NOON)) as outer:
        assert (clock.now(), clock.today()) == (NOON, date(2026, 6, 1))
        with clock.using(FixedClock(NOON + timedelta(days=1))):
            assert clock.today() == date(2026, 6, 2)
        assert clock.now() == outer.now()
    assert before <= clock.now() < before + SOON


def test_the_old_clock_comes_back_after_an_error_too() -> None:
    before = clock.now()
    with pytest.raises(ZeroDivisionError), clock.using(FixedClock(NOON)):
        raise ZeroDivisionError
    assert before <= clock.now() < before + SOON


def test_the_systems_clock_is_aware_and_in_utc() -> None:
    assert SystemClock().now().utcoffset() == timedelta(0)


def test_rehearsals_share_their_clock_through_its_file(tmp_path: Path) -> None:
    one, other = RehearsalClock(tmp_path / "clock"), RehearsalClock(tmp_path / "clock")
    one.set(NOON)
    assert NOON <= other.now() < NOON + SOON
    other.set(NOON + timedelta(days=400))
    assert NOON + timedelta(days=400) <= one.now() < NOON + timedelta(days=400) + SOON
    other.set(NOON - timedelta(days=400))
    assert one.now() < NOON
    assert [path.name for path in tmp_path.iterdir()] == ["clock"]


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_a_rehearsals_clock_that_nobody_set_runs_on_real_time(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "clock").write_text(content)
    before = datetime.now(UTC)
    assert before - SOON < RehearsalClock(tmp_path / "clock").now() < before + SOON
