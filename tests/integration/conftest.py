"""Databases for the integration tests: the same tests run on SQLite and on PostgreSQL."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared.storage.database import Database
from tests.support.databases import PostgresDatabases, SqliteDatabases
from tests.support.servers import Servers

OpenDatabase = Callable[[str], Database]


@pytest.fixture(scope="session")
def sqlite_databases(tmp_path_factory: pytest.TempPathFactory) -> SqliteDatabases:
    """Migrated SQLite files, to be copied."""
    return SqliteDatabases(tmp_path_factory.mktemp("templates"))


@pytest.fixture(scope="session")
def postgresql_databases(servers: Servers) -> Iterator[PostgresDatabases]:
    """Migrated PostgreSQL databases, to be lent."""
    databases = PostgresDatabases(servers.postgresql)
    yield databases
    databases.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def open_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenDatabase]:
    """A factory: a service's short name to its fresh, migrated database."""
    opened: list[tuple[str, str, Database]] = []
    # Asked for by name only when it is wanted, so that a run on SQLite alone starts no server.
    lender = request.getfixturevalue(f"{request.param}_databases")

    def open_one(service: str) -> Database:
        if isinstance(lender, PostgresDatabases):
            url = lender.lend(service)
        else:
            url = lender.copy(service, tmp_path / f"{service}-{len(opened)}.db")
        opened.append((service, url, Database(url)))
        return opened[-1][2]

    yield open_one
    for service, url, database in opened:
        database.close()
        if isinstance(lender, PostgresDatabases):
            lender.take_back(service, url)
