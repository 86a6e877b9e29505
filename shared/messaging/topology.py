"""The broker's exchanges and queues, derived from the catalogue.

Each service owns a queue for its calls, one exchange for the events that it publishes and one queue for those that it
consumes, with its retry queues (each a delay: messages wait there and fall back into the queue) and its dead letters.
All are declared together before any service starts, so that no event meets an exchange without its queues.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from kombu import Connection, Exchange, Queue

from shared.config import DEFAULT_RETRY_DELAYS_MS
from shared.events.catalogue import SOURCES, SUBSCRIPTIONS

RPC_EXCHANGE = "nameko-rpc"
APPLY = "commonweal-ops topology apply"
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


class NotAllDeclared(Exception):
    """Something exists otherwise than the catalogue asks for, or may not be declared; all the rest was declared.

    :param problems: a sentence each, which says what to do.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True)
class Topology:
    """Everything to declare."""

    exchanges: list[Exchange]
    queues: list[Queue]
    bindings: list[tuple[str, str, str]] = field(default_factory=list)

    def apply(self, connection: Connection) -> None:
        """Declare it all; what exists already is left as it is, and applying twice, or two at once, is harmless.

        Every queue comes before any exchange, and an exchange's bindings right behind it: an event that meets the
        exchange finds its queues.

        :raises NotAllDeclared: when something could not be declared, after everything else was.
        """
        declaring = _Declaring(connection)
        for queue in self.queues:
            with declaring.one("queue", queue.name) as channel:
                queue.bind(channel).queue_declare()
        for exchange in self.exchanges:
            with declaring.one("exchange", exchange.name) as channel:
                exchange.bind(channel).declare()
            for queue_name, source, routing_key in self.bindings:
                if source == exchange.name:
                    with declaring.one("binding", f"{source} -> {queue_name} by {routing_key}") as channel:
                        channel.queue_bind(queue=queue_name, exchange=source, routing_key=routing_key)
        declaring.end()

    def definitions(self, vhost: str) -> dict[str, list[dict[str, Any]]]:
        """Return it as RabbitMQ definitions, which ``rabbitmqctl import_definitions`` and the management API take.

        :param vhost: the virtual host, which must exist where they are imported.
        """
        return {
            "exchanges": [
                {
                    "name": exchange.name,
                    "vhost": vhost,
                    "type": exchange.type,
                    "durable": exchange.durable,
                    "auto_delete": exchange.auto_delete,
                    "internal": False,
                    "arguments": exchange.arguments or {},  # type: ignore[attr-defined]
                }
                for exchange in self.exchanges
            ],
            "queues": [
                {
                    "name": queue.name,
                    "vhost": vhost,
                    "durable": queue.durable,
                    "auto_delete": queue.auto_delete,
                    "arguments": queue.queue_arguments,  # type: ignore[attr-defined]
                }
                for queue in self.queues
            ],
            "bindings": [
                {
                    "source": exchange,
                    "vhost": vhost,
                    "destination": queue,
                    "destination_type": "queue",
                    "routing_key": routing_key,
                    "arguments": {},
                }
                for queue, exchange, routing_key in self.bindings
            ],
        }

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


def how_to_replace(kind: str, name: str, arguments: Mapping[str, Any] | None = None) -> str:
    """Say what an operator does with an exchange or a queue that exists otherwise than the catalogue asks for.

    :param arguments: what it was declared with, as far as that is known.
    """
    if kind == "exchange":
        return f"delete the exchange and run at once: {APPLY}"
    return f"{how_to_drain(name, arguments)}, delete it and run: {APPLY}"


def how_to_drain(queue: str, arguments: Mapping[str, Any] | None = None) -> str:
    """Say how a queue of ours becomes empty without losing a message; the parameters are :func:`how_to_replace`'s."""
    retry = re.fullmatch(r"(?P<target>.+\.events)\.retry\.\d+ms", queue)
    if retry:
        target = retry["target"]
        falls_back = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": target}
        if arguments and "x-message-ttl" in arguments and falls_back.items() <= arguments.items():
            return f"wait {arguments['x-message-ttl']:,} ms until all its messages have moved to {target}"
        return f"see that its messages get to {target}"
    if queue.endswith(".dead-letters"):
        return "replay or discard its messages"
    if queue.startswith("rpc-"):
        return f"let {queue.removeprefix('rpc-')} answer the calls in it, stop that service"
    return f"let {queue.removesuffix('.events')} work it off, stop that service"


class _Declaring:
    """Declares one thing after the other, and goes on when the broker refuses one."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._channel: Any = connection.channel()
        self._problems: list[str] = []

    @contextmanager
    def one(self, kind: str, name: str) -> Iterator[Any]:
        """Give a channel to declare one thing on."""
        try:
            yield self._channel
        except self._connection.channel_errors as error:
            self._problems.append(_problem(kind, name, error))
            # The broker has closed the channel with its refusal.
            self._channel = self._connection.channel()

    def end(self) -> None:
        """Close the channel. :raises NotAllDeclared: when something was refused."""
        self._channel.close()
        if self._problems:
            raise NotAllDeclared(self._problems)


_INEQUIVALENT = re.compile(
    r"inequivalent arg '(?P<argument>[^']+)' .*received (?P<wanted>.+) but current is (?P<found>.+)"
)


def _problem(kind: str, name: str, error: Exception) -> str:
    refusal = getattr(error, "reply_text", None) or str(error) or type(error).__name__
    unequal = _INEQUIVALENT.search(refusal)
    if unequal is None:
        return f"{kind} {name} could not be declared: {refusal}"
    wanted, found = (re.sub(r"^the value | of type '\w+'$", "", unequal[each]) for each in ("wanted", "found"))
    return (
        f"{kind} {name} exists with another {unequal['argument']}: {found} on the broker, {wanted} in the catalogue;"
        f" {how_to_replace(kind, name)}"
    )


def _durable(name: str, *, dead_letter_to: str, ttl_ms: int | None = None) -> Queue:
    arguments = {**_AT_LEAST_ONCE, "x-dead-letter-routing-key": dead_letter_to}
    if ttl_ms is not None:
        arguments["x-message-ttl"] = ttl_ms
    return Queue(name, durable=True, queue_arguments=arguments)
