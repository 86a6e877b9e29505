"""Databases for the integration tests: the same tests run on SQLite and on PostgreSQL."""

import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from shared.storage import migrate
from shared.storage.database import Database
from tests.support.servers import Servers

OpenDatabase = Callable[[str], Database]
UrlOf = Callable[[str], str]


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A service's short name to a migrated SQLite file, made once; to be copied, not used."""
    directory = tmp_path_factory.mktemp("templates")

    @cache
    def template(service: str) -> Path:
        path = directory / f"{service}.db"
        migrate.upgrade(service, f"sqlite:///{path}")
        return path

    return template


@pytest.fixture(scope="session")
def postgresql_template(request: pytest.FixtureRequest) -> Iterator[UrlOf]:
    """A service's short name to the URL of a migrated PostgreSQL database, made once; to be copied, not used."""
    made: list[str] = []

    @cache
    def template(service: str) -> str:
        servers: Servers = request.getfixturevalue("servers")
        made.append(servers.postgresql.create_database())
        migrate.upgrade(service, made[-1])
        return made[-1]

    yield template
    for url in made:
        request.getfixturevalue("servers").postgresql.drop_database(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def open_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenDatabase]:
    """A factory: a service's short name to its fresh, migrated database."""
    opened: list[Database] = []
    copies: list[str] = []

    def open_on_sqlite(service: str) -> str:
        path = tmp_path / f"{service}-{len(opened)}.db"
        shutil.copyfile(request.getfixturevalue("sqlite_template")(service), path)
        return f"sqlite:///{path}"

    def open_on_postgresql(service: str) -> str:
        template = request.getfixturevalue("postgresql_template")(service)
        copies.append(request.getfixturevalue("servers").postgresql.create_database(like=template))
        return copies[-1]

    open_url = open_on_sqlite if request.param == "sqlite" else open_on_postgresql

    def open_one(service: str) -> Database:
        opened.append(Database(open_url(service)))
        return opened[-1]

    yield open_one
    for database in opened:
        database.close()
    for url in copies:
        request.getfixturevalue("servers").postgresql.drop_database(url)
