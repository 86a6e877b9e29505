"""The proposals service on a fresh database, on a day in October 2026."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from shared import clock
from tests.integration.conftest import OpenDatabase
from tests.support.proposals import Programme


@pytest.fixture
def today() -> Iterator[clock.FixedClock]:
    """The clock, standing at half past nine on 5 October 2026."""
    fixed = clock.FixedClock(datetime(2026, 10, 5, 9, 30, tzinfo=UTC))
    with clock.using(fixed):
        yield fixed


@pytest.fixture
def programme(open_database: OpenDatabase, today: clock.FixedClock) -> Programme:
    """The service, with nothing in it."""
    return Programme(open_database("proposals"))
