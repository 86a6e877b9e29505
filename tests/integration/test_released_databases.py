"""What a released version left in its database outlives every migration, there and back."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import make_url

from shared.ops.names import SERVICES
from shared.storage import migrate
from shared.storage.database import Database
from tests.support import released
from tests.support.servers import Servers


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database with nothing in it."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'released.db'}"
        return
    servers: Servers = request.getfixturevalue("servers")
    created = servers.postgresql.create_database()
    yield created
    servers.postgresql.drop_database(created)


def test_every_service_has_one() -> None:
    assert {path.name.partition(".")[0] for path in released.recorded()} == set(SERVICES)


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in released.recorded()])
def test_a_released_database_is_upgraded_with_everything_in_it(path: Path, url: str) -> None:
    service, revision = path.stem.split(".")
    migrate.upgrade(service, url, revision)
    database = Database(url)
    try:
        released.load(path, database.engine)
        before = released.rows_of(path, database.engine)
        assert before
        migrate.upgrade(service, url)
        assert not migrate.missing(service, database.engine)
        assert released.rows_of(path, database.engine) == before
        database.close()
        _downgrade(service, url, revision)
        assert released.rows_of(path, database.engine) == before
    finally:
        database.close()


def _downgrade(service: str, url: str, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", f"services.{service}:migrations")
    config.set_main_option("path_separator", "os")
    config.set_main_option("sqlalchemy.url", make_url(url).render_as_string(hide_password=False).replace("%", "%%"))
    command.downgrade(config, revision)
