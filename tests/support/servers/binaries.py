"""Finds the servers' programs on this machine."""

import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.support.servers.sources import Absent

# The scripts before what the PATH has: Debian's wrappers in /usr/sbin serve root and the rabbitmq user alone.
_RABBITMQ_DIRECTORIES = (
    "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin",
    "/usr/lib/rabbitmq/bin",
    "/usr/local/lib/rabbitmq*/sbin",
    "/usr/local/rabbitmq*/sbin",
    "/opt/rabbitmq*/sbin",
)
_POSTGRESQL_DIRECTORIES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql*/bin", "/usr/local/bin")
_ERLANG_DIRECTORIES = (
    "/usr/lib/erlang/erts-*/bin",
    "/usr/local/lib/erlang/erts-*/bin",
    "/opt/erlang/lib/erlang/erts-*/bin",
)


@dataclass(frozen=True)
class RabbitmqBinaries:
    """Attributes: the directory of RabbitMQ's own scripts, and Erlang's port mapper."""

    scripts: Path
    epmd: Path


@dataclass(frozen=True)
class PostgresqlBinaries:
    """Attributes: the server and the program that makes its data directory, of the same version."""

    postgres: Path
    initdb: Path


def find_rabbitmq() -> RabbitmqBinaries:
    """The newest RabbitMQ that is installed.

    Raises:
        Absent: there is none, or its Erlang is missing.
    """
    scripts = next(
        # rabbitmq-env lies beside the scripts themselves, not beside wrappers around them.
        (each for each in _directories(_RABBITMQ_DIRECTORIES) if _has(each, "rabbitmq-server", "rabbitmq-env")),
        None,
    )
    if not scripts:
        raise Absent("no rabbitmq-server is installed")
    if not shutil.which("erl"):
        raise Absent(f"there is RabbitMQ in {scripts}, but Erlang's erl is not on the PATH")
    epmd = next((each / "epmd" for each in _directories(_ERLANG_DIRECTORIES) if _has(each, "epmd")), None)
    if not epmd:
        raise Absent(f"there is RabbitMQ in {scripts}, but Erlang's epmd is not on the PATH")
    return RabbitmqBinaries(scripts.resolve(), epmd)


def find_postgresql() -> PostgresqlBinaries:
    """The newest PostgreSQL server that is installed.

    Raises:
        Absent: there is none.
    """
    for directory in _directories(_POSTGRESQL_DIRECTORIES):
        if _has(directory, "postgres", "initdb"):
            return PostgresqlBinaries(directory / "postgres", directory / "initdb")
    raise Absent("no PostgreSQL server is installed")


def _directories(patterns: Iterable[str]) -> Iterable[Path]:
    """The directories that the patterns match, the newest version of each first, and then those of the PATH."""
    for pattern in patterns:
        yield from sorted(Path("/").glob(pattern.lstrip("/")), key=_version, reverse=True)
    yield from (Path(part).resolve() for part in os.get_exec_path())


def _version(directory: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", str(directory))]


def _has(directory: Path, *programs: str) -> bool:
    return all(os.access(directory / program, os.R_OK) for program in programs)
