"""Servers that environment variables name: the only ones not started here that are ever used."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from tests.support.servers.broker import Broker
from tests.support.servers.lifecycle import NotOurs
from tests.support.servers.postgresql import PostgresServer
from tests.support.servers.sources import Absent, NoServer, StartFailed

AMQP_URI = "COMMONWEAL_TEST_AMQP_URI"
MANAGEMENT_URL = "COMMONWEAL_TEST_MANAGEMENT_URL"
DATABASE_URL = "COMMONWEAL_TEST_DATABASE_URL"

# It is supposed to run already.
_DEADLINE_S = 10.0


def named_broker(environment: Mapping[str, str]) -> Broker:
    """The broker that `COMMONWEAL_TEST_AMQP_URI` names.

    Its management API is at `COMMONWEAL_TEST_MANAGEMENT_URL`, or else where RabbitMQ has it by default.

    Raises:
        Absent: the variable isn't set.
        NoServer: the broker, or its management API, does not answer or refuses the user.
    """
    uri = environment.get(AMQP_URI)
    if not uri:
        raise Absent("the variable is not set")
    management_url = environment.get(MANAGEMENT_URL) or f"http://{urlsplit(uri).hostname}:15672"
    broker = Broker(uri, management_url.rstrip("/"), NotOurs(AMQP_URI))
    try:
        broker.wait_until_ready(_DEADLINE_S)
    except StartFailed as reason:
        raise NoServer(
            f"The broker that {AMQP_URI} names, with its management API at {management_url}, cannot be used: start it"
            f" with its plugin rabbitmq_management, or unset the variable. {_first_line(reason)}"
        ) from reason
    return broker


def named_postgresql(environment: Mapping[str, str]) -> PostgresServer:
    """The PostgreSQL server that `COMMONWEAL_TEST_DATABASE_URL` names; its user must be allowed to create databases.

    Raises:
        Absent: the variable isn't set.
        NoServer: the URL can't be read, or the server does not answer or refuses the user.
    """
    value = environment.get(DATABASE_URL)
    if not value:
        raise Absent("the variable is not set")
    try:
        url = make_url(value).set(drivername="postgresql+psycopg2")
    except ArgumentError as error:
        raise NoServer(f"{DATABASE_URL} is not a URL such as postgresql://user:password@host:5432/postgres") from error
    server = PostgresServer(
        url.set(database=url.database or "postgres").render_as_string(hide_password=False), NotOurs(DATABASE_URL)
    )
    try:
        server.wait_until_ready(_DEADLINE_S)
    except StartFailed as reason:
        raise NoServer(
            f"The server that {DATABASE_URL} names cannot be used: start it, or unset the variable."
            f" {_first_line(reason)}"
        ) from reason
    return server


def _first_line(reason: StartFailed) -> str:
    return str(reason).splitlines()[0]
