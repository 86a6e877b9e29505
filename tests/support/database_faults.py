"""What can go wrong with a PostgreSQL database while a service uses it, for real and to be undone."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from sqlalchemy import NullPool, create_engine, make_url, text

_END_SESSIONS = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name AND pid <> :own")


@contextmanager
def away(url: str) -> Iterator[None]:
    """Make the server refuse every connection to a database within the block, and end those that there are."""
    name = make_url(url).database
    _administer(url, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    try:
        end_sessions(url)
        yield
    finally:
        _administer(url, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


@contextmanager
def read_only(url: str) -> Iterator[None]:
    """Make a database refuse writes within the block, as one does that is being moved; its sessions start anew."""
    with _with_setting(url, "default_transaction_read_only", "on"):
        yield


@contextmanager
def serializable(url: str) -> Iterator[None]:
    """Make every transaction of a database serializable within the block, so that concurrent ones fail for real."""
    with _with_setting(url, "default_transaction_isolation", "serializable"):
        yield


@contextmanager
def full_server(url: str) -> Iterator[None]:
    """Take every connection that the server has to give within the block, those of the services too."""
    taken: list[Any] = []
    arguments = make_url(url).translate_connect_args(username="user", database="dbname")
    try:
        first = psycopg2.connect(**arguments)
        first.autocommit = True
        taken.append(first)
        for _ in range(10):
            _take_all(arguments, taken)
            with first.cursor() as cursor:
                own = [connection.info.backend_pid for connection in taken]
                cursor.execute(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                    " WHERE backend_type = 'client backend' AND pid <> ALL(%s)",
                    (own,),
                )
                if cursor.fetchone() == (0,):
                    break
        yield
    finally:
        for connection in taken:
            connection.close()


@contextmanager
def deadlocks_noticed_late(url: str) -> Iterator[None]:
    """Let a session wait for three seconds before it looks for a deadlock, so that a test can complete one."""
    _administer(url, "ALTER SYSTEM SET deadlock_timeout = '3s'")
    _administer(url, "SELECT pg_reload_conf()")
    try:
        yield
    finally:
        _administer(url, "ALTER SYSTEM RESET deadlock_timeout")
        _administer(url, "SELECT pg_reload_conf()")


def end_sessions(url: str) -> None:
    """End every session of a database but the one that does it, as an operator or a fail-over does."""
    engine = create_engine(make_url(url).set(database="postgres"), poolclass=NullPool)
    with engine.connect() as connection:
        own = connection.scalar(text("SELECT pg_backend_pid()"))
        connection.execute(_END_SESSIONS, {"name": make_url(url).database, "own": own})


@contextmanager
def _with_setting(url: str, setting: str, value: str) -> Iterator[None]:
    name = make_url(url).database
    _administer(url, f"ALTER DATABASE {name} SET {setting} = '{value}'")
    try:
        end_sessions(url)
        yield
    finally:
        # The sessions that began meanwhile keep the setting: that they are let go is the services' business.
        _administer(url, f"ALTER DATABASE {name} RESET {setting}")


def _take_all(arguments: dict[str, Any], taken: list[Any]) -> None:
    while True:
        try:
            taken.append(psycopg2.connect(**arguments))
        except psycopg2.OperationalError:
            return


def _administer(url: str, statement: str) -> None:
    engine = create_engine(make_url(url).set(database="postgres"), isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text(statement))
