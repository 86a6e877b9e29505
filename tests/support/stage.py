"""The three services running, to be called and to be sent events: as processes on real servers, or embedded.

The same tests run on both (design, rule 7). Embedded, the services live in the test's own process, so that run has a
process of its own: see ``tests/integration/messaging/test_embedded_pair.py``.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from kombu import Connection

from commonweal import Client
from shared import ids
from shared.messaging import broker, embedded
from shared.messaging.publisher import Message, Publisher
from shared.messaging.topology import topology
from shared.ops.launch import ServiceProcess, running
from shared.ops.names import SERVICES
from shared.security.principal import SYSTEM
from shared.security.tokens import SigningKey
from shared.storage import migrate
from shared.storage.database import Database
from tests.support.servers import Servers

Result = TypeVar("Result")

#: Short waits before an event is tried again, so that a test sees all of them.
RETRY_DELAYS_MS = (50, 100)
WAIT_S = 20.0


def eventually(ask: Callable[[], Result], *, within_s: float = WAIT_S) -> Result:
    """Ask until the answer is true, and return it; fail with the last answer or error when it never is."""
    deadline = time.monotonic() + within_s
    answer: object = None
    problem: Exception | None = None
    while True:
        try:
            found = ask()
            if found:
                return found
            answer, problem = found, None
        except Exception as error:
            problem = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not so within {within_s:g} s; the last answer was {answer!r}") from problem
        time.sleep(0.02)


def stays(so: Callable[[], bool], *, for_s: float = 2.0) -> None:
    """Watch for a while that something remains so; fail at once when it does not."""
    end = time.monotonic() + for_s
    while time.monotonic() < end:
        assert so(), "it did not stay so"
        time.sleep(0.05)


@dataclass
class Stage:
    """A running system.

    :param kind: ``embedded`` or ``servers``.
    :param processes: the service processes by name; none embedded.
    """

    kind: str
    amqp_uri: str
    database_urls: dict[str, str]
    signing_key: SigningKey
    processes: dict[str, ServiceProcess] = field(default_factory=dict)
    environment: dict[str, dict[str, str]] = field(default_factory=dict)
    _databases: dict[str, Database] = field(default_factory=dict)
    _client: Client | None = None

    def caller(self, *roles: str, council: str | None = None, subject: str | None = None) -> Client:
        """Return a client that calls in these roles, as a new person unless ``subject`` names one."""
        if self._client is None:
            self._client = Client(self.amqp_uri, token="")
        address = "" if roles == (SYSTEM,) else "@test.example"
        subject = subject or f"{'-'.join(roles)}-{ids.new_id().hex[-8:]}{address}"
        return self._client.acting(self.signing_key.issue(subject, roles, council=council))

    def publish(self, *messages: Message) -> dict[str, str]:
        """Publish messages as a relay does; returns what was not taken."""
        publisher = Publisher(self.amqp_uri)
        try:
            return publisher.publish(messages)
        finally:
            publisher.close()

    def connect(self) -> Connection:
        """Return a connection to the broker, to be used as a context manager."""
        return broker.connect(self.amqp_uri)

    def take(self, queue: str, *, event_id: str | None = None) -> Any:
        """Take one message from a queue, waiting for it; the one with an event's id, if that is given."""
        with self.connect() as connection, connection.channel() as channel:

            def get() -> Any:
                message = channel.basic_get(queue, no_ack=True)
                if message is None:
                    return None
                message = channel.message_to_python(message)
                return message if event_id in (None, message.headers.get("ce-id")) else None

            return eventually(get)

    def is_empty(self, queue: str) -> bool:
        """Tell whether no message is ready in a queue."""
        with self.connect() as connection, connection.channel() as channel:
            return bool(channel.queue_declare(queue=queue, passive=True).message_count == 0)

    def database(self, service: str) -> Database:
        """Return a connection of the test's own to a service's database."""
        if service not in self._databases:
            self._databases[service] = Database(self.database_urls[service])
        return self._databases[service]

    def close(self) -> None:
        """Give back what the test itself holds."""
        if self._client is not None:
            self._client.close()
        for database in self._databases.values():
            database.close()


def _migrated(service: str, database_url: str) -> str:
    migrate.upgrade(service, database_url)
    return database_url


@contextmanager
def stage_on_servers(
    amqp_uri: str,
    make_database: Callable[[], str],
    directory: Path,
    *,
    services: tuple[str, ...] = SERVICES,
    retry_delays_ms: Sequence[int] = RETRY_DELAYS_MS,
    extra_environment: Mapping[str, str] | None = None,
    own_environment: Mapping[str, Mapping[str, str]] | None = None,
    prepare: Callable[[str, str], str] = _migrated,
) -> Iterator[Stage]:
    """Run services as processes on a virtual host and databases of their own.

    :param extra_environment: variables of every service, before the usual ones.
    :param own_environment: variables of each service, before all others.
    :param prepare: migrates a service's empty database, whose URL follows the service's name; returns the URL that the
        service is to use. The stage itself keeps to the first one.
    """
    signing_key = SigningKey.new()
    keys = directory / "keys.json"
    keys.write_text(json.dumps({"keys": [signing_key.public_jwk()]}))
    urls = {service: make_database() for service in SERVICES}
    urls_of_services = {service: prepare(service, url) for service, url in urls.items()}
    with broker.connect(amqp_uri) as connection:
        topology(retry_delays_ms).apply(connection)
    environment = {
        service: {
            "COMMONWEAL_AMQP_URI": amqp_uri,
            "COMMONWEAL_DATABASE_URL": urls_of_services[service],
            "COMMONWEAL_TOKEN_KEYS": str(keys),
            "COMMONWEAL_PUBLISHERS": "any",
            "COMMONWEAL_RETRY_DELAYS_MS": ",".join(map(str, retry_delays_ms)),
            **(extra_environment or {}),
            **(own_environment or {}).get(service, {}),
        }
        for service in SERVICES
    }
    with ExitStack() as stack:
        processes = stack.enter_context(running(services, environment.__getitem__))
        stage = Stage("servers", amqp_uri, urls, signing_key, processes, environment)
        stack.callback(stage.close)
        yield stage


@contextmanager
def fresh_stage(servers: Servers, directory: Path, **options: Any) -> Iterator[Stage]:
    """Run services on a virtual host and databases that are made for it, and taken away afterwards.

    :param options: those of :func:`stage_on_servers`.
    """
    with ExitStack() as stack:
        vhost = servers.broker.create_vhost()
        stack.callback(servers.broker.delete_vhost, vhost)

        def make_database() -> str:
            url = servers.postgresql.create_database()
            stack.callback(servers.postgresql.drop_database, url)
            return url

        yield stack.enter_context(stage_on_servers(vhost, make_database, directory, **options))


@contextmanager
def stage_embedded(directory: Path) -> Iterator[Stage]:
    """Run every service in this process, which must have been patched by eventlet at its start."""
    from shared.ops import embedded as embedded_services

    signing_key = SigningKey.new()
    with ExitStack() as stack:
        stack.enter_context(embedded_services.running(directory, signing_key, retry_delays_ms=RETRY_DELAYS_MS))
        urls = {service: f"sqlite:///{directory}/{service}.db" for service in SERVICES}
        stage = Stage("embedded", embedded.URI, urls, signing_key)
        stack.callback(stage.close)
        yield stage
