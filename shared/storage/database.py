"""A service's database: PostgreSQL in earnest, SQLite embedded, with one way to run a transaction."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

from sqlalchemy import Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoFreeConnection
from sqlalchemy.orm import Session, sessionmaker

Result = TypeVar("Result")

LOCK_TIMEOUT_MS = 5_000
STATEMENT_TIMEOUT_MS = 15_000
IDLE_IN_TRANSACTION_TIMEOUT_MS = 30_000
CONNECT_TIMEOUT_S = 5
TCP_USER_TIMEOUT_MS = 25_000
KEEPALIVE_IDLE_S, KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT = 10, 5, 3
TRANSACTION_ATTEMPTS = 3

# Class 40 (serialization failure, deadlock) and lock_not_available: the same transaction may succeed if run again.
_WORTH_ANOTHER_TRY = {"40001", "40P01", "55P03"}
# read_only_sql_transaction: a server that is being moved or has failed over. The session stays so when the database no
# longer is, so its connection must not go back to the pool.
_OVER_FOR_THE_SESSION = {"25006"}


class Database:
    """One service's database.

    :param url: an SQLAlchemy URL; ``postgresql+psycopg2://...`` or ``sqlite:///file``.
    :param pool_size: the most connections that the process keeps; waiting for one is bounded too.
    """

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        self.url = make_url(url)
        self.is_postgresql = self.url.get_backend_name() == "postgresql"
        self.engine: Engine = _postgresql(url, pool_size) if self.is_postgresql else _sqlite(url)
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        # SQLite has one writer, and a greenlet that yields inside a write freezes the whole process until "database is
        # locked" (NAMEKO.md, 13): in embedded mode transactions take turns here instead.
        self._turn: Any = nullcontext() if self.is_postgresql else threading.Lock()
        self._after_commit: list[Callable[[], None]] = []

    def wake_after_commit(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` after each commit of a transaction that recorded an event; it must return at once."""
        self._after_commit.append(wake)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Open a session in a transaction: committed at the end of the block, rolled back by any exception."""
        with self._turn, self._sessions() as session:
            with session.begin():
                yield session
            woken = session.info.pop("event_recorded", False)
        if woken:
            for wake in self._after_commit:
                wake()

    def run(self, work: Callable[[Session], Result]) -> Result:
        """Run ``work`` in a transaction, again from the start when the database asks for that (deadlock, lock timeout).

        :param work: takes the session; must do nothing outside the database, because it can run more than once.
        :raises sqlalchemy.exc.DBAPIError: when it still fails after :data:`TRANSACTION_ATTEMPTS`.
        """
        for attempt in range(1, TRANSACTION_ATTEMPTS + 1):
            try:
                with self.transaction() as session:
                    return work(session)
            except DBAPIError as error:
                if attempt == TRANSACTION_ATTEMPTS or sqlstate_of(error) not in _WORTH_ANOTHER_TRY:
                    raise
                time.sleep(0.01 * 2**attempt)
        raise AssertionError("unreachable")

    def check(self) -> None:
        """Ask the database a question. :raises sqlalchemy.exc.DBAPIError: when it does not answer."""
        with self._turn, self.engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    def close(self) -> None:
        """Give every connection back."""
        self.engine.dispose()


def problem_of(database_url: str) -> str | None:
    """Return what is wrong with a database's URL, as a sentence without anything of it; or None."""
    try:
        url = make_url(database_url)
        # An @ further on means that the password, with one of these signs in it, was cut in two.
        sound = url.drivername in ("postgresql+psycopg2", "sqlite") and "@" not in f"{url.host}"
    except (ArgumentError, ValueError):
        sound = False
    if sound:
        return None
    return (
        "must look like postgresql+psycopg2://user:password@host:5432/database, with signs such as / @ # in it written"
        " as %2F ..."
    )


def sqlstate_of(error: DBAPIError) -> str | None:
    """Return PostgreSQL's five-character error code, or None where there is none."""
    return getattr(error.orig, "pgcode", None)


def is_transient(error: BaseException) -> bool:
    """Tell whether the same work may succeed later: database away, lock timeout, deadlock, serialization failure."""
    if isinstance(error, NoFreeConnection):
        return True
    if not isinstance(error, DBAPIError):
        return False
    return (
        error.connection_invalidated
        or isinstance(error, OperationalError | InterfaceError)
        or sqlstate_of(error) in _WORTH_ANOTHER_TRY
    )


def _postgresql(url: str, pool_size: int) -> Engine:
    options = (
        f"-c lock_timeout={LOCK_TIMEOUT_MS} -c statement_timeout={STATEMENT_TIMEOUT_MS}"
        f" -c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_TIMEOUT_MS} -c timezone=UTC"
        # To compile a statement takes longer than to run any of ours, also one that is mistaken for a long one.
        " -c jit=off"
        # A client that vanished without a word must not keep its locks, such as the relay's, for two hours.
        f" -c tcp_keepalives_idle={KEEPALIVE_IDLE_S} -c tcp_keepalives_interval={KEEPALIVE_INTERVAL_S}"
        f" -c tcp_keepalives_count={KEEPALIVE_COUNT} -c tcp_user_timeout={TCP_USER_TIMEOUT_MS}"
    )
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=LOCK_TIMEOUT_MS / 1000,
        pool_pre_ping=True,
        # What a statement carries is nobody's business who reads the logs.
        hide_parameters=True,
        connect_args={
            "options": options,
            "connect_timeout": CONNECT_TIMEOUT_S,
            "application_name": "commonweal",
            # A server that vanished without a word: the bounds above are the server's own and end with it.
            "keepalives_idle": KEEPALIVE_IDLE_S,
            "keepalives_interval": KEEPALIVE_INTERVAL_S,
            "keepalives_count": KEEPALIVE_COUNT,
            "tcp_user_timeout": TCP_USER_TIMEOUT_MS,
        },
    )

    @event.listens_for(engine, "handle_error")
    def _judge(context: Any) -> None:
        if getattr(context.original_exception, "pgcode", None) in _OVER_FOR_THE_SESSION:
            context.is_disconnect = True

    return engine


def _sqlite(url: str) -> Engine:
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": LOCK_TIMEOUT_MS / 1000})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: Any) -> None:
        # The driver's own transaction handling would open a write transaction late and leave DDL outside of it.
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
