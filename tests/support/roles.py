"""A service's database as ``deploy/databases.sql`` makes it: a role that owns it, and one that the service runs as."""

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import NullPool, create_engine, make_url

from tests.support.servers import PostgresServer
from tests.support.servers.binaries import find_postgresql
from tests.support.servers.sources import Absent

SCRIPT = Path(__file__).parents[2] / "deploy/databases.sql"


class PsqlMissing(Exception):
    """There is no psql on this machine."""


@dataclass(frozen=True)
class Made:
    """A database.

    :param name: what the script was given as the service's name: the database is called so.
    :param owner_url: SQLAlchemy's URL as the role that owns it.
    :param app_url: SQLAlchemy's URL as the role that a service runs as.
    """

    name: str
    owner_url: str
    app_url: str

    @property
    def owner(self) -> str:
        """The role that owns it."""
        return f"{self.name}_owner"

    @property
    def app(self) -> str:
        """The role that a service runs as."""
        return f"{self.name}_app"


@dataclass
class RoleMaker:
    """Makes databases with two roles each, and whatever roles a test needs beside them."""

    server: PostgresServer
    _databases: list[str] = field(default_factory=list)
    _roles: list[str] = field(default_factory=list)

    def make(self) -> Made:
        """Run the script as a superuser."""
        name = f"test_{secrets.token_hex(6)}"
        self._databases.append(name)
        self._roles += [f"{name}_owner", f"{name}_app"]
        passwords = {"COMMONWEAL_OWNER_PASSWORD": secrets.token_hex(8), "COMMONWEAL_APP_PASSWORD": secrets.token_hex(8)}
        ran = self.run_script(f"--set=service={name}", **passwords)
        if ran.returncode:
            raise AssertionError(f"{SCRIPT.name} failed: {ran.stderr}")
        owner_password, app_password = passwords.values()
        return Made(
            name, self._url(name, f"{name}_owner", owner_password), self._url(name, f"{name}_app", app_password)
        )

    def run_script(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run the script with psql as an operator does. :raises PsqlMissing: when there is none."""
        url = make_url(self.server.url)
        connection = {
            "PGHOST": str(url.host),
            "PGPORT": str(url.port or 5432),
            "PGUSER": str(url.username),
            "PGPASSWORD": str(url.password or ""),
            "PGDATABASE": str(url.database),
        }
        return subprocess.run(
            [_psql(), "--no-psqlrc", "--quiet", *arguments, f"--file={SCRIPT}"],
            env={**os.environ, **connection, **environment},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def role(self, attributes: str = "", *, name: str | None = None) -> str:
        """Make a role, such as ``SUPERUSER``, that nobody logs in as; returns its name."""
        name = name or f"test_{secrets.token_hex(6)}_role"
        self._roles.append(name)
        self.execute(f"CREATE ROLE {_quoted(name)} {attributes}")
        return name

    def execute(self, *statements: str, database: str | None = None) -> None:
        """Run statements as a superuser, in a database or else in the server's own."""
        url = make_url(self.server.url).set(database=database) if database else make_url(self.server.url)
        with create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool).connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement, execution_options={"no_parameters": True})

    def close(self) -> None:
        """Drop everything that was made."""
        self.execute(*(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)" for name in self._databases))
        self.execute(*(f"DROP ROLE IF EXISTS {_quoted(name)}" for name in self._roles))

    def _url(self, database: str, role: str, password: str) -> str:
        return (
            make_url(self.server.url)
            .set(database=database, username=role, password=password)
            .render_as_string(hide_password=False)
        )


@contextmanager
def making_roles(server: PostgresServer) -> Iterator[RoleMaker]:
    """Make databases and roles within the block, and drop them at its end."""
    maker = RoleMaker(server)
    try:
        yield maker
    finally:
        maker.close()


def _psql() -> str:
    if found := shutil.which("psql"):
        return found
    try:
        beside = find_postgresql().postgres.with_name("psql")
    except Absent as error:
        raise PsqlMissing("install PostgreSQL's client, psql (Debian: apt-get install postgresql-client)") from error
    return str(beside)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
