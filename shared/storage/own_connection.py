"""A database connection that is kept, for what PostgreSQL ties to a session: locks, notifications."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from shared.storage.database import Database


class OwnConnection:
    """A connection that nobody else uses meanwhile. Once it is lost, so is what hangs on it, and nothing more is done.

    SQLite has one process and no such locks: there a lock is always had, and transactions are the database's own.

    :param postgresql: the connection; None on SQLite.
    """

    def __init__(self, database: Database, postgresql: Connection | None) -> None:
        self._database = database
        self.postgresql = postgresql
        self._spoke_at = time.monotonic()

    @property
    def silent_s(self) -> float:
        """For how many seconds nothing was asked of the database."""
        return time.monotonic() - self._spoke_at

    def try_lock(self, key: int) -> bool:
        """Take an advisory lock until this connection ends; False when another one holds it.

        :param key: the lock's number, below 2**63; to be asked for once.
        """
        if self.postgresql is None:
            return True
        with self.transaction() as connection:
            return bool(connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({key})").scalar())

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Open a transaction: committed at the end of the block, rolled back by any exception."""
        if self.postgresql is None:
            with self._database.transaction() as session:
                yield session.connection()
        else:
            with self.postgresql.begin():
                yield self.postgresql
            self._spoke_at = time.monotonic()


@contextmanager
def own_connection(database: Database, *, silence_timeout_s: int | None = None) -> Iterator[OwnConnection]:
    """Keep a connection for the block.

    :param silence_timeout_s: PostgreSQL ends the session, and with it the lock, when it hears nothing for so long:
        something between the two may hang and answer in our place, so that TCP notices nothing.
    """
    if not database.is_postgresql:
        yield OwnConnection(database, None)
        return
    with database.engine.connect() as connection:
        try:
            if silence_timeout_s is not None:
                with connection.begin():
                    connection.exec_driver_sql(f"SET idle_session_timeout = '{silence_timeout_s}s'")
            yield OwnConnection(database, connection)
        finally:
            # What was locked belongs to the database's session: a pooled connection would keep it after the block.
            connection.invalidate()
