"""A database connection that is kept, for what PostgreSQL ties to a session: locks, notifications."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from shared.storage.database import Database

_log = logging.getLogger(__name__)

MAX_BACKOFF_S = 10.0


class ConnectionLost(Exception):
    """The connection is gone, and with it what the database had tied to it."""


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

    def ask(self) -> None:
        """Ask the database a question, so that it hears of us.

        :raises sqlalchemy.exc.DBAPIError: when it is away.
        :raises ConnectionLost: as :meth:`transaction`.
        """
        with self.transaction() as connection:
            connection.exec_driver_sql("SELECT 1")

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Open a transaction: committed at the end of the block, rolled back by any exception.

        :raises ConnectionLost: once the connection was lost, of which the transaction before has told.
        """
        if self.postgresql is None:
            with self._database.transaction() as session:
                yield session.connection()
        elif self.postgresql.invalidated:
            # SQLAlchemy would connect anew, and nobody would notice that the lock is another one's.
            raise ConnectionLost("the connection to the database was lost, and the lock with it")
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


def take_turns(
    database: Database,
    key: int,
    work: Callable[[OwnConnection], None],
    stopping: threading.Event,
    *,
    name: str,
    interval_s: float,
    silence_timeout_s: int,
) -> None:
    """Work in one of the processes at a database, taking over from one that ends; returns when it is time to stop.

    :param key: the advisory lock of whoever works.
    :param work: works on the connection that holds the lock until ``stopping`` is set; whatever it raises, such as that
        the database is away, ends its turn, and another one is taken after a growing wait.
    :param name: who waits, for the log.
    :param interval_s: how often to ask whether it is our turn; the shortest wait after an error.
    :param silence_timeout_s: as in :func:`own_connection`; nothing that ``work`` does may keep silent for longer.
    """
    backoff_s = interval_s
    while not stopping.is_set():
        try:
            with own_connection(database, silence_timeout_s=silence_timeout_s) as turn:
                while not turn.try_lock(key):
                    if stopping.wait(interval_s):
                        return
                backoff_s = interval_s
                work(turn)
        except Exception as error:
            _log.warning("%s waits %.1f s: %s", name, backoff_s, error)
            stopping.wait(backoff_s)
            backoff_s = min(backoff_s * 2, MAX_BACKOFF_S)
