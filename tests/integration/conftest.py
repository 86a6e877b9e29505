"""Databases for the integration tests: the same tests run on SQLite and on PostgreSQL."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared.storage import migrate
from shared.storage.database import Database

OpenDatabase = Callable[[str], Database]


@pytest.fixture(params=["sqlite", "postgresql"])
def open_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenDatabase]:
    """A factory: a service's short name to its fresh, migrated database."""
    opened: list[Database] = []

    def open_one(service: str) -> Database:
        if request.param == "sqlite":
            url = f"sqlite:///{tmp_path}/{service}-{len(opened)}.db"
        else:
            url = request.getfixturevalue("make_database")()
        migrate.upgrade(service, url)
        opened.append(Database(url))
        return opened[-1]

    yield open_one
    for database in opened:
        database.close()
