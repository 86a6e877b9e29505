"""A PostgreSQL for the tests, with a fresh database for whoever asks."""

import secrets

from sqlalchemy import NullPool, create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from tests.support.authority import Certificate
from tests.support.servers.lifecycle import Lifecycle
from tests.support.servers.sources import StartFailed
from tests.support.servers.waiting import wait_until

READY_DEADLINE_S = 90.0


class PostgresServer:
    """One PostgreSQL server.

    Attributes:
        url: SQLAlchemy's URL of its maintenance database, as a user who may do anything.
        version: PostgreSQL's, once it is ready.
    """

    def __init__(self, url: str, lifecycle: Lifecycle) -> None:
        self.url = url
        self.version = ""
        self._obstacle = ""
        self._lifecycle = lifecycle
        self._databases: set[str] = set()
        # No pool: between two requests the server may have been killed and restarted.
        self._engine = create_engine(
            url, isolation_level="AUTOCOMMIT", poolclass=NullPool, connect_args={"connect_timeout": 5}
        )

    def create_database(self, *, like: str | None = None) -> str:
        """SQLAlchemy's URL of a fresh database with a random name: empty, or a copy of another.

        Args:
            like: URL of a database that this method made and that nobody is connected to.

        Raises:
            ValueError: `like` was not made by this method.
            sqlalchemy.exc.DBAPIError: the server refused or is away.
        """
        name = f"test_{secrets.token_hex(6)}"
        template = "template0" if like is None else self._name_of(like)
        # With a fixed locale, so that text sorts alike whichever server it is.
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template} ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'")
        self._databases.add(name)
        return make_url(self.url).set(database=name).render_as_string(hide_password=False)

    def drop_database(self, url: str) -> None:
        """Drops a database that `create_database` made, whoever is connected to it.

        Raises:
            ValueError: it was not made by this server's `create_database`.
            sqlalchemy.exc.DBAPIError: the server refused or is away.
        """
        name = self._name_of(url)
        self._execute(f"DROP DATABASE {name} WITH (FORCE)")
        self._databases.remove(name)

    def encrypt(self, certificate: Certificate) -> None:
        """Has the server take encrypted connections with a certificate, beside plain ones."""
        with self._engine.connect() as connection:
            for name, content in (("server.crt", certificate.file), ("server.key", certificate.key_file)):
                made = connection.scalar(text("SELECT lo_from_bytea(0, :content)"), {"content": content.read_bytes()})
                connection.execute(text("SELECT lo_export(:made, :name)"), {"made": made, "name": name})
            connection.execute(text("COPY (SELECT) TO PROGRAM 'chmod 600 server.key'"))
            connection.execute(text("ALTER SYSTEM SET ssl = on"))
            connection.execute(text("SELECT pg_reload_conf()"))
            wait_until(
                lambda: connection.scalar(text("SHOW ssl")) == "on", what="PostgreSQL's encryption", deadline_s=10
            )

    def wait_until_ready(self, deadline_s: float = READY_DEADLINE_S) -> None:
        """Returns once the server answers queries.

        Raises:
            StartFailed: the server ended, or the deadline passed.
        """
        address = f"{self._engine.url.host}:{self._engine.url.port}"
        try:
            wait_until(self._ready, what=f"PostgreSQL at {address}", deadline_s=deadline_s)
        except TimeoutError as late:
            raise StartFailed(f"{late}: {self._obstacle}\n{self._lifecycle.log_tail()}") from late

    def restart(self) -> None:
        """Starts the server again with the same port and data, after an orderly stop if it runs.

        Raises:
            StartFailed: it didn't get ready again.
        """
        if self._lifecycle.running:
            self._lifecycle.shut_down()
        self._lifecycle.start()
        self.wait_until_ready()

    def kill(self) -> None:
        """Ends the server by SIGKILL, as a crash would; `restart` brings it back."""
        self._lifecycle.kill()

    def stop(self) -> None:
        """Ends the server for good and removes its data; a named one is left alone."""
        self._lifecycle.remove()

    def _name_of(self, url: str) -> str:
        name = make_url(url).database or ""
        if name not in self._databases:
            raise ValueError(f"{name!r} is not one of the databases that were created here")
        return name

    def _ready(self) -> bool:
        if not self._lifecycle.running:
            raise StartFailed(f"PostgreSQL ended while it started; its log ends:\n{self._lifecycle.log_tail()}")
        try:
            with self._engine.connect() as connection:
                # "15.18 (Debian 15.18-0+deb12u1)": the packager's part says nothing to a reader.
                self.version = str(connection.scalar(text("SHOW server_version"))).split()[0]
        except OperationalError as error:
            self._obstacle = str(error.orig).strip()
            return False
        return True

    def _execute(self, statement: str) -> None:
        with self._engine.connect() as connection:
            connection.execute(text(statement))
