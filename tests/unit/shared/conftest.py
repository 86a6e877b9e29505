"""A SQLite file with the tables that every service has, and nothing of any service."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from shared.storage import migrate
from shared.storage.database import Database

Undone = Callable[[Callable[[Session], object]], None]


class Failure(Exception):
    """Ends a transaction that a test wants undone."""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """An outbox, an inbox, the idempotency keys and the audit trail, all empty."""
    made = Database(f"sqlite:///{tmp_path}/test.db")
    for metadata in migrate.SHARED_METADATA:
        metadata.create_all(made.engine)
    yield made
    made.close()


@pytest.fixture
def undone(database: Database) -> Undone:
    """Does some work in a transaction that fails at its end."""

    def run(work: Callable[[Session], object]) -> None:
        def work_and_fail(session: Session) -> None:
            work(session)
            raise Failure

        with pytest.raises(Failure):
            database.run(work_and_fail)

    return run
