"""A database connection that is kept, for what PostgreSQL ties to a session: locks, notifications."""

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

    def try_lock(self, key: int) -> bool:
        """Take an advisory lock until this connection ends; False when another one holds it.

        :param key: the lock's number, below 2**63; to be asked for once.
        """
        if self.postgresql is None:
            return True
        with self.postgresql.begin():
            return bool(self.postgresql.exec_driver_sql(f"SELECT pg_try_advisory_lock({key})").scalar())

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Open a transaction: committed at the end of the block, rolled back by any exception."""
        if self.postgresql is None:
            with self._database.transaction() as session:
                yield session.connection()
        else:
            with self.postgresql.begin():
                yield self.postgresql


@contextmanager
def own_connection(database: Database) -> Iterator[OwnConnection]:
    """Keep a connection for the block."""
    if not database.is_postgresql:
        yield OwnConnection(database, None)
        return
    with database.engine.connect() as connection:
        try:
            yield OwnConnection(database, connection)
        finally:
            # What was locked belongs to the database's session: a pooled connection would keep it after the block.
            connection.invalidate()
