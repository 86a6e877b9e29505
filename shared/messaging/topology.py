"""The broker's exchanges and queues, derived from the catalogue.

Each service owns a queue for its calls, one exchange for the events that it publishes and one queue for those that it
consumes, with its retry queues (each a delay: messages wait there and fall back into the queue) and its dead letters.
All are declared together before any service starts, so that no event meets an exchange without its queues.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from kombu import Connection, Exchange, Queue

from shared.config import DEFAULT_RETRY_DELAYS_MS
from shared.events.catalogue import SOURCES, SUBSCRIPTIONS

RPC_EXCHANGE = "nameko-rpc"
#: Deliveries of one message that may end without an answer (a crash) before the broker itself dead-letters it.
DELIVERY_LIMIT = 20

_AT_LEAST_ONCE: dict[str, Any] = {
    "x-queue-type": "quorum",
    "x-delivery-limit": DELIVERY_LIMIT,
    # Without these two RabbitMQ dead-letters at most once: a message could vanish between two queues.
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
    "x-dead-letter-exchange": "",
}

# A call that ends its service's process is not tried for ever; its caller has gone long before.
_CALLS: dict[str, Any] = {"x-queue-type": "quorum", "x-delivery-limit": 3}

# A dead letter has nowhere to go: looking at it and putting it back, however often, must not drop it.
_DEAD_LETTERS: dict[str, Any] = {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000}


def exchange_of(source: str) -> str:
    """Return the name of the exchange that a service or system publishes its events to."""
    return f"{source}.events"


def queue_of(service: str) -> str:
    """Return the name of the queue that a service consumes events from."""
    return f"{service}.events"


def rpc_queue_of(service: str) -> str:
    """Return the name of the queue that a service takes its calls from; nameko's clients address it so."""
    return f"rpc-{service}"


def retry_queue_of(service: str, delay_ms: int) -> str:
    """Return the name of the queue where a service's events wait ``delay_ms`` milliseconds for another try."""
    return f"{service}.events.retry.{delay_ms}ms"


def dead_letters_of(service: str) -> str:
    """Return the name of the queue that keeps what a service could not process."""
    return f"{service}.dead-letters"


@dataclass(frozen=True)
class Topology:
    """Everything to declare, in the order to declare it."""

    exchanges: list[Exchange]
    queues: list[Queue]
    bindings: list[tuple[str, str, str]] = field(default_factory=list)

    def apply(self, connection: Connection) -> None:
        """Declare it all; what exists already is left as it is.

        :raises amqp.exceptions.PreconditionFailed: when something of the same name was declared otherwise.
        """
        with connection.channel() as channel:
            for exchange in self.exchanges:
                exchange.bind(channel).declare()
            for queue in self.queues:
                queue.bind(channel).queue_declare()
            for queue_name, exchange_name, routing_key in self.bindings:
                channel.queue_bind(queue=queue_name, exchange=exchange_name, routing_key=routing_key)

    def delete(self, connection: Connection) -> None:
        """Take away what is Commonweal's alone, with every message in it: for rehearsals only."""
        with connection.channel() as channel:
            for queue in self.queues:
                channel.queue_delete(queue.name)
            for exchange in self.exchanges:
                if exchange.name != RPC_EXCHANGE:
                    channel.exchange_delete(exchange.name)


def topology(retry_delays_ms: Sequence[int] = DEFAULT_RETRY_DELAYS_MS) -> Topology:
    """Return the topology that the catalogue asks for."""
    exchanges = [Exchange(RPC_EXCHANGE, type="topic", durable=True)]
    exchanges += [Exchange(exchange_of(source), type="topic", durable=True) for source in SOURCES]
    queues: list[Queue] = []
    bindings: list[tuple[str, str, str]] = []
    for service, subscriptions in SUBSCRIPTIONS.items():
        queues.append(Queue(dead_letters_of(service), durable=True, queue_arguments=_DEAD_LETTERS))
        queues.append(_durable(queue_of(service), dead_letter_to=dead_letters_of(service)))
        queues += [
            _durable(retry_queue_of(service, delay_ms), dead_letter_to=queue_of(service), ttl_ms=delay_ms)
            for delay_ms in dict.fromkeys(retry_delays_ms)
        ]
        queues.append(Queue(rpc_queue_of(service), durable=True, queue_arguments=_CALLS))
        bindings.append((rpc_queue_of(service), RPC_EXCHANGE, f"{service}.*"))
        bindings += [(queue_of(service), exchange_of(source), name) for source, name in subscriptions]
    return Topology(exchanges, queues, bindings)


def is_applied(connection: Connection, service: str, retry_delays_ms: Sequence[int] = ()) -> bool:
    """Tell whether the queues exist that a service consumes from and lays failed events aside in."""
    names = [rpc_queue_of(service), queue_of(service), dead_letters_of(service)]
    names += [retry_queue_of(service, delay_ms) for delay_ms in retry_delays_ms]
    try:
        with connection.channel() as channel:
            for name in names:
                channel.queue_declare(queue=name, passive=True)
    except connection.channel_errors:
        return False
    return True


def _durable(name: str, *, dead_letter_to: str, ttl_ms: int | None = None) -> Queue:
    arguments = {**_AT_LEAST_ONCE, "x-dead-letter-routing-key": dead_letter_to}
    if ttl_ms is not None:
        arguments["x-message-ttl"] = ttl_ms
    return Queue(name, durable=True, queue_arguments=arguments)
