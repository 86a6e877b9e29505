"""What time it is, for everything but tokens: one clock per process, replaced in tests and rehearsals.

Handlers ask ``clock.now()`` and ``clock.today()`` and pass the answer on; domain code receives it as an argument.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Protocol

#: Who did what a service does by itself when its time has come. Not a person: no token's subject has a space.
THE_CLOCK = "the clock"


class Clock(Protocol):
    """Anything that tells the time in UTC."""

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class FixedClock:
    """A clock that stands still until it is moved; for tests."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def advance(self, by: timedelta) -> None:
        """Move the clock on by ``by``."""
        self.at += by


class RehearsalClock:
    """A clock that runs at real speed from a moment that somebody else sets, for rehearsals and training.

    The offset from real time, in seconds, stands in a file, so that several processes share it and one of them can
    move it. An absent or empty file means no offset. Services say so at start when they run on this clock.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def now(self) -> datetime:
        return datetime.fromtimestamp(time.time() + self._offset_seconds(), UTC)

    def set(self, moment: datetime) -> None:
        """Make it ``moment`` now, for every process that reads the file."""
        replacement = self.path.with_suffix(".new")
        replacement.write_text(repr(moment.timestamp() - time.time()))
        os.replace(replacement, self.path)

    def _offset_seconds(self) -> float:
        try:
            return float(self.path.read_text().strip() or 0)
        except FileNotFoundError:
            return 0.0


_current: Clock = SystemClock()


def install(clock: Clock) -> None:
    """Make ``clock`` the process's clock."""
    global _current
    _current = clock


@contextmanager
def using(clock: Clock) -> Iterator[Clock]:
    """Make ``clock`` the process's clock within a block."""
    previous = _current
    install(clock)
    try:
        yield clock
    finally:
        install(previous)


def now() -> datetime:
    """Return the present moment, aware, in UTC."""
    return _current.now()


def today() -> date:
    """Return the present day in UTC."""
    return now().date()
