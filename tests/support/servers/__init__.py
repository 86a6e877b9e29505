"""A RabbitMQ and a PostgreSQL for the tests, on any machine that can have them.

Each is looked for on its own, in this order:

1. a server that a variable names: `COMMONWEAL_TEST_AMQP_URI` (and `COMMONWEAL_TEST_MANAGEMENT_URL`, if its management
   API isn't at port 15672), `COMMONWEAL_TEST_DATABASE_URL`;
2. a container, where a Docker-compatible engine answers;
3. a private server from installed binaries: own ports, own data, under a fresh temporary directory;
4. the same after installing the package, as root on a system with apt-get.

    with servers.start() as started:
        uri = started.broker.create_vhost()
        url = started.postgresql.create_database()

Nothing is left behind, however the tests end: `keeper` and `processes` see to that.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from tests.support.authority import Certificate
from tests.support.servers import named, packages
from tests.support.servers.binaries import find_postgresql, find_rabbitmq
from tests.support.servers.broker import Broker, ManagementError
from tests.support.servers.keeper import Keeper
from tests.support.servers.postgresql import PostgresServer
from tests.support.servers.private_postgresql import start_private_postgresql
from tests.support.servers.private_rabbitmq import start_private_cluster, start_private_rabbitmq
from tests.support.servers.sources import Absent, Found, NoServer, Source, StartFailed, first_available
from tests.support.servers.waiting import wait_until

__all__ = [
    "Broker",
    "ManagementError",
    "NoServer",
    "PostgresServer",
    "Servers",
    "StartFailed",
    "start",
    "wait_until",
]

Report = Callable[[str], None]
Server = TypeVar("Server", Broker, PostgresServer)
Outcome = TypeVar("Outcome")

_RABBITMQ_PACKAGE = "rabbitmq-server"
_POSTGRESQL_PACKAGE = "postgresql"
_REMEDY = (
    "Do one of these: install it (Debian, Ubuntu: apt-get install {package}); start a Docker-compatible engine, and"
    " name its socket in DOCKER_HOST if it isn't the default one; or name a running server in {variable}."
)


@dataclass(frozen=True)
class Servers:
    """The servers of a test run.

    Attributes:
        broker: shared by all tests, each of which takes a vhost of its own.
        postgresql: shared by all tests, each of which takes a database of its own.
        summary: a line for people: versions, where the servers come from, how long they took.
        notes: a line for each source that should have had a server and failed.
    """

    broker: Broker
    postgresql: PostgresServer
    summary: str
    notes: tuple[str, ...]
    _start_broker: Callable[[], Broker]
    _start_postgresql: Callable[[], PostgresServer]
    _start_cluster: Callable[[int], list[Broker]]
    _start_tls_broker: Callable[[Certificate], Broker]

    @contextlib.contextmanager
    def private_broker(self) -> Iterator[Broker]:
        """One more broker, for a test that kills or fills it; of the same source as the shared one, if it is ours.

        Raises:
            NoServer: there is none to be had.
        """
        broker = self._start_broker()
        try:
            yield broker
        finally:
            broker.stop()

    @contextlib.contextmanager
    def private_cluster(self, size: int = 3) -> Iterator[list[Broker]]:
        """The nodes of a RabbitMQ cluster, for a test that kills them one at a time; always from installed binaries.

        Raises:
            NoServer: there is none to be had.
        """
        nodes = self._start_cluster(size)
        try:
            yield nodes
        finally:
            for node in nodes:
                node.stop()

    @contextlib.contextmanager
    def private_tls_broker(self, certificate: Certificate) -> Iterator[Broker]:
        """A broker that listens for encrypted connections too; always from installed binaries.

        Raises:
            NoServer: there is none to be had.
        """
        broker = self._start_tls_broker(certificate)
        try:
            yield broker
        finally:
            broker.stop()

    @contextlib.contextmanager
    def private_postgresql(self) -> Iterator[PostgresServer]:
        """One more PostgreSQL server, for a test that kills it; of the same source as the shared one, if it is ours.

        Raises:
            NoServer: there is none to be had.
        """
        server = self._start_postgresql()
        try:
            yield server
        finally:
            server.stop()


@contextlib.contextmanager
def start(*, environment: Mapping[str, str] = os.environ, report: Report = print) -> Iterator[Servers]:
    """Starts both servers at the same time, and ends them with the context.

    Args:
        environment: where the variables that name servers are looked up.
        report: is told what takes long: a pull, an installation.

    Raises:
        NoServer: one of them is not to be had; the text says what to do.
    """
    with Keeper() as keeper:
        started_at = time.monotonic()
        brokers = _broker_sources(keeper, environment, report)
        databases = _postgresql_sources(keeper, environment, report)
        broker, postgresql = _at_once(partial(_find_broker, brokers), partial(_find_postgresql, databases))
        yield Servers(
            broker.server,
            postgresql.server,
            _summary(broker, postgresql, took_s=time.monotonic() - started_at),
            broker.notes + postgresql.notes,
            _start_broker=lambda: _find_broker(_more_from(brokers, broker)).server,
            _start_postgresql=lambda: _find_postgresql(_more_from(databases, postgresql)).server,
            _start_cluster=lambda size: _installed(lambda: start_private_cluster(keeper, size), report),
            _start_tls_broker=lambda certificate: _installed(
                lambda: start_private_rabbitmq(keeper, certificate), report
            ),
        )


def _installed(start_private: Callable[[], Outcome], report: Report) -> Outcome:
    """What only installed binaries can be started as here."""

    def installed() -> Outcome:
        _install(_RABBITMQ_PACKAGE, find_rabbitmq, report)
        return start_private()

    sources = [
        Source("private nodes from installed binaries", start_private),
        Source("private nodes from a package installed for them", installed),
    ]
    remedy = f"Install it (Debian, Ubuntu: apt-get install {_RABBITMQ_PACKAGE})."
    return first_available("RabbitMQ from installed binaries", sources, remedy=remedy).server


def _broker_sources(keeper: Keeper, environment: Mapping[str, str], report: Report) -> list[Source[Broker]]:
    def in_container() -> Broker:
        # Not at the top: the SDK takes a while to import.
        from tests.support.servers.containers import start_rabbitmq_container

        return start_rabbitmq_container(keeper, report)

    def private() -> Broker:
        return start_private_rabbitmq(keeper)

    def installed() -> Broker:
        _install(_RABBITMQ_PACKAGE, find_rabbitmq, report)
        return private()

    return _in_order(named.AMQP_URI, lambda: named.named_broker(environment), in_container, private, installed)


def _postgresql_sources(keeper: Keeper, environment: Mapping[str, str], report: Report) -> list[Source[PostgresServer]]:
    def in_container() -> PostgresServer:
        from tests.support.servers.containers import start_postgresql_container

        return start_postgresql_container(keeper, report)

    def private() -> PostgresServer:
        return start_private_postgresql(keeper)

    def installed() -> PostgresServer:
        _install(_POSTGRESQL_PACKAGE, find_postgresql, report)
        return private()

    return _in_order(named.DATABASE_URL, lambda: named.named_postgresql(environment), in_container, private, installed)


def _in_order(
    variable: str,
    named_server: Callable[[], Server],
    in_container: Callable[[], Server],
    private: Callable[[], Server],
    installed: Callable[[], Server],
) -> list[Source[Server]]:
    return [
        Source(f"the server that {variable} names", named_server),
        Source("a container", in_container),
        Source("a private server from installed binaries", private),
        Source("a private server from a package installed for it", installed),
    ]


def _more_from(sources: list[Source[Server]], found: Found[Server]) -> list[Source[Server]]:
    """The sources for a further server: never the named one, and none that had nothing to give the first time."""
    _, container, private, _ = sources
    return sources[1:] if found.source in (sources[0], container) else sources[sources.index(private) :]


def _find_broker(sources: Sequence[Source[Broker]]) -> Found[Broker]:
    remedy = _REMEDY.format(package=_RABBITMQ_PACKAGE, variable=named.AMQP_URI)
    return first_available("RabbitMQ", sources, remedy=remedy)


def _find_postgresql(sources: Sequence[Source[PostgresServer]]) -> Found[PostgresServer]:
    remedy = _REMEDY.format(package=_POSTGRESQL_PACKAGE, variable=named.DATABASE_URL)
    return first_available("PostgreSQL", sources, remedy=remedy)


def _install(package: str, find: Callable[[], object], report: Report) -> None:
    try:
        find()
    except Absent:
        packages.install(package, report)
    else:
        raise Absent("it is installed already")


def _at_once(
    find_broker: Callable[[], Found[Broker]], find_postgresql: Callable[[], Found[PostgresServer]]
) -> tuple[Found[Broker], Found[PostgresServer]]:
    """Looks for both servers at the same time.

    Raises:
        NoServer: one or both are not to be had.
    """
    broker, postgresql = _in_thread(find_broker), _in_thread(find_postgresql)
    # Both reasons are told at once, so that nobody meets the second one only after having mended the first.
    errors = [broker.exception(), postgresql.exception()]
    missing = [error for error in errors if isinstance(error, NoServer)]
    if missing:
        raise NoServer("\n".join(str(error) for error in missing))
    return broker.result(), postgresql.result()


def _in_thread(work: Callable[[], Outcome]) -> "Future[Outcome]":
    """Runs work in a daemon thread, which an interrupted test run need not wait for, unlike an executor's."""
    future: Future[Outcome] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def _summary(broker: Found[Broker], postgresql: Found[PostgresServer], took_s: float) -> str:
    rabbitmq, database = f"RabbitMQ {broker.server.version}", f"PostgreSQL {postgresql.server.version}"
    if broker.source.name == postgresql.source.name:
        found = f"{rabbitmq} and {database}, each {broker.source.name}"
    else:
        found = f"{rabbitmq}, {broker.source.name}, and {database}, {postgresql.source.name}"
    return f"{found}, ready in {took_s:.1f} s"
