"""Where the story plays: embedded in this process, or three service processes on real servers."""

import json
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import DBAPIError

from commonweal import Client
from shared import clock
from shared.clock import RehearsalClock
from shared.messaging import broker, embedded, topology
from shared.ops import launch
from shared.ops.names import SERVICES
from shared.security.tokens import SigningKey
from shared.storage import migrate


class StageFailed(Exception):
    """The story has nowhere to play; the message says what to do."""


@dataclass(frozen=True)
class Stage:
    """Running services, a clock that the story moves, and a connection to call with."""

    description: str
    client: Client
    signing_key: SigningKey
    clock: RehearsalClock


@contextmanager
def embedded_stage(directory: Path | None) -> Iterator[Stage]:
    """Run all services in this process, on the in-memory broker and SQLite.

    :param directory: where the databases are kept; a temporary place unless given.
    """
    from shared.ops import embedded as embedded_services

    with ExitStack() as stack:
        if directory is None:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="commonweal-demo-")))
        elif any(directory.glob("*.db")):
            raise StageFailed(f"{directory} holds databases already; name a new directory.")
        directory.mkdir(parents=True, exist_ok=True)
        signing_key = SigningKey.new()
        rehearsal_clock = RehearsalClock(directory / "clock")
        stack.enter_context(clock.using(rehearsal_clock))
        stack.enter_context(embedded_services.running(directory, signing_key, rehearsal_clock.path))
        client = stack.enter_context(Client(embedded.URI, ""))
        yield Stage("three services in one process, in-memory broker, SQLite", client, signing_key, rehearsal_clock)


@contextmanager
def server_stage(amqp_uri: str, database_url: str) -> Iterator[Stage]:
    """Run each service in its own process on a RabbitMQ and a PostgreSQL that are running.

    :param amqp_uri: a virtual host in which no service of Commonweal runs.
    :param database_url: a PostgreSQL database as a role that may create others; three are created beside it and
        dropped at the end.
    :raises StageFailed: when one of the servers cannot be used for that.
    """
    signing_key = SigningKey.new()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="commonweal-demo-")))
        keys = directory / "keys.json"
        keys.write_text(json.dumps({"keys": [signing_key.public_jwk()]}))
        rehearsal_clock = RehearsalClock(directory / "clock")
        urls = stack.enter_context(_databases(database_url))
        stack.enter_context(_queues(amqp_uri))
        for service in SERVICES:
            migrate.upgrade(service, urls[service])
        stack.enter_context(
            launch.running(
                SERVICES,
                lambda service: {
                    "COMMONWEAL_AMQP_URI": amqp_uri,
                    "COMMONWEAL_DATABASE_URL": urls[service],
                    "COMMONWEAL_TOKEN_KEYS": str(keys),
                    "COMMONWEAL_PUBLISHERS": "any",
                    "COMMONWEAL_REHEARSAL_CLOCK": str(rehearsal_clock.path),
                },
            )
        )
        client = stack.enter_context(Client(amqp_uri, ""))
        yield Stage(
            f"three service processes, RabbitMQ at {broker.place_of(amqp_uri)}, "
            f"PostgreSQL at {broker.place_of(database_url)}",
            client,
            signing_key,
            rehearsal_clock,
        )


@contextmanager
def _databases(database_url: str) -> Iterator[dict[str, str]]:
    """Create a database per service; drop them at the end of the block."""
    server = make_url(database_url)
    if server.get_backend_name() != "postgresql":
        raise StageFailed("--database-url must name a PostgreSQL: postgresql://user:password@host:5432/database")
    server = server.set(drivername="postgresql+psycopg2")
    suffix = secrets.token_hex(4)
    names = {service: f"commonweal_demo_{suffix}_{service}" for service in SERVICES}
    engine = create_engine(server, isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 5})
    created: list[str] = []
    try:
        with engine.connect() as connection:
            for name in names.values():
                connection.exec_driver_sql(f'CREATE DATABASE "{name}"')
                created.append(name)
        yield {service: server.set(database=name).render_as_string(False) for service, name in names.items()}
    except DBAPIError as error:
        if len(created) == len(names):
            raise
        raise StageFailed(f"The databases could not be created: {str(error.orig).strip()}") from error
    finally:
        if created:
            with engine.connect() as connection:
                for name in created:
                    connection.exec_driver_sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        engine.dispose()


@contextmanager
def _queues(amqp_uri: str) -> Iterator[None]:
    """Declare the topology where nothing of Commonweal is; take it away at the end of the block."""
    wanted = topology.topology()
    try:
        with broker.connect(amqp_uri) as connection:
            connection.connect()
            if any(topology.is_applied(connection, service) for service in SERVICES):
                raise StageFailed(
                    "Commonweal's queues are on this broker already, and the demo leaves them alone. Give it a virtual "
                    "host of its own: rabbitmqctl add_vhost demo, and /demo at the end of --amqp-uri."
                )
            wanted.apply(connection)
    except StageFailed:
        raise
    except Exception as error:
        raise StageFailed(f"The broker at {broker.place_of(amqp_uri)} cannot be used: {error}") from error
    try:
        yield
    finally:
        with broker.connect(amqp_uri) as connection:
            wanted.delete(connection)
