"""The broker's exchanges and queues are those of the catalogue, each with its bounds written down."""

from collections.abc import Iterator

import pytest
from kombu import Queue

from shared.events.catalogue import SOURCES, SUBSCRIPTIONS
from shared.messaging import broker, embedded
from shared.messaging.topology import (
    dead_letters_of,
    exchange_of,
    is_applied,
    queue_of,
    retry_queue_of,
    topology,
)

DELAYS_MS = (50, 100, 100)


@pytest.fixture
def queues() -> dict[str, Queue]:
    return {queue.name: queue for queue in topology(DELAYS_MS).queues}


@pytest.fixture
def clean_broker() -> Iterator[None]:
    embedded.reset()
    yield
    embedded.reset()


def test_every_queue_is_a_quorum_queue_with_its_own_delivery_limit(queues: dict[str, Queue]) -> None:
    """A server's default differs between versions: RabbitMQ 4 drops after 20, and a dead letter has nowhere to go."""
    for name, queue in queues.items():
        assert queue.durable, name
        assert queue.queue_arguments["x-queue-type"] == "quorum", name
        least = 3 if name.startswith("rpc-") else 20
        assert queue.queue_arguments.get("x-delivery-limit", 0) >= least, name


@pytest.mark.parametrize("service", SUBSCRIPTIONS)
def test_what_leaves_a_queue_unanswered_goes_to_the_dead_letters_at_least_once(
    queues: dict[str, Queue], service: str
) -> None:
    arguments = queues[queue_of(service)].queue_arguments
    assert arguments["x-dead-letter-exchange"] == ""
    assert arguments["x-dead-letter-routing-key"] == dead_letters_of(service)
    assert arguments["x-dead-letter-strategy"] == "at-least-once"
    assert arguments["x-overflow"] == "reject-publish"
    assert "x-message-ttl" not in arguments
    assert "x-message-ttl" not in queues[dead_letters_of(service)].queue_arguments


@pytest.mark.parametrize("service", SUBSCRIPTIONS)
def test_each_delay_has_a_queue_that_falls_back_into_the_services_own(queues: dict[str, Queue], service: str) -> None:
    for delay_ms in DELAYS_MS:
        arguments = queues[retry_queue_of(service, delay_ms)].queue_arguments
        assert arguments["x-message-ttl"] == delay_ms
        assert arguments["x-dead-letter-routing-key"] == queue_of(service)
        assert arguments["x-dead-letter-strategy"] == "at-least-once"


def test_there_are_no_other_queues_and_no_name_twice(queues: dict[str, Queue]) -> None:
    assert len(topology(DELAYS_MS).queues) == len(queues) == len(SUBSCRIPTIONS) * (3 + len(set(DELAYS_MS)))


def test_the_bindings_are_the_calls_and_the_subscriptions() -> None:
    wanted = {(f"rpc-{service}", "nameko-rpc", f"{service}.*") for service in SUBSCRIPTIONS} | {
        (queue_of(service), exchange_of(source), name)
        for service, subscriptions in SUBSCRIPTIONS.items()
        for source, name in subscriptions
    }
    assert set(topology().bindings) == wanted
    assert len(topology().bindings) == len(wanted)


def test_every_source_has_a_durable_topic_exchange() -> None:
    exchanges = {exchange.name: exchange for exchange in topology().exchanges}
    assert set(exchanges) == {"nameko-rpc", *(exchange_of(source) for source in SOURCES)}
    assert all((exchange.type, exchange.durable) == ("topic", True) for exchange in exchanges.values())


@pytest.mark.usefixtures("clean_broker")
def test_it_can_be_declared_twice_and_seen() -> None:
    with broker.connect(embedded.URI) as connection:
        assert not is_applied(connection, "funding")
    for _ in range(2):
        with broker.connect(embedded.URI) as connection:
            topology(DELAYS_MS).apply(connection)
    with broker.connect(embedded.URI) as connection:
        assert all(is_applied(connection, service) for service in SUBSCRIPTIONS)


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("amqp://user:hunter2@broker:5672/vhost", "broker:5672/vhost"),
        ("amqps://user:hunter2@broker/vhost", "broker/vhost"),
        ("postgresql+psycopg2://user:hunter2@server:5432/funding", "server:5432/funding"),
        ("postgresql://user:hunter2@server/funding?password=hunter2&sslpassword=hunter2", "server/funding"),
        ("amqp://broker", "broker"),
        ("amqp://user:hunter2@one:5672/v;amqp://user:hunter2@two:5672/v", "one:5672/v, two:5672/v"),
        ("amqps://user:hunter2@one/v ; amqp://two/v", "one/v, two/v"),
        ("amqp://user:hunter;2@one/v;amqp://user:hunter@2@two/v", "one/v, two/v"),
        ("sqlite:////tmp/funding.db", "/tmp/funding.db"),
        (embedded.URI, "the embedded broker"),
    ],
)
def test_a_place_is_shown_without_its_secrets(uri: str, place: str) -> None:
    assert broker.place_of(uri) == place


@pytest.mark.parametrize("password", ["12/34", "hunter2/x", "hunter2#x", "hunter2?x", "hun:ter2", "hun@ter2", "hun%40"])
def test_no_password_is_shown_whatever_stands_in_it(password: str) -> None:
    """SQLAlchemy takes such a URL as it is, and a failure to read it would show a part of the password too."""
    assert broker.place_of(f"postgresql+psycopg2://user:{password}@server:5432/funding") == "server:5432/funding"
