"""The funding service on each database, on a day that stands still."""

from collections.abc import Iterator

import pytest

from shared import clock
from tests.integration.conftest import OpenDatabase
from tests.support.funding import NOW, Funding


@pytest.fixture
def at() -> Iterator[clock.FixedClock]:
    """The clock: 1 June 2026 until a test moves it."""
    standing = clock.FixedClock(NOW)
    with clock.using(standing):
        yield standing


@pytest.fixture
def funding(open_database: OpenDatabase, at: clock.FixedClock) -> Funding:
    """The funding service on a fresh database."""
    return Funding(open_database("funding"))
