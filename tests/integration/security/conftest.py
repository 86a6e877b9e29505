"""What the tests that fuzz share."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.databases import PostgresDatabases
from tests.support.worlds import World, build


@pytest.fixture(scope="module")
def world(request: pytest.FixtureRequest, postgresql_databases: PostgresDatabases) -> Iterator[World]:
    """A service with something in every state; nothing that a test does to it lasts."""
    with ExitStack() as stack:
        url = postgresql_databases.lend(request.param)
        stack.callback(postgresql_databases.take_back, request.param, url)
        yield build(request.param, url, stack)
