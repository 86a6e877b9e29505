"""The embedded broker: a kombu transport in memory, for the demo and a first look; ``embedded://`` as a URI.

It behaves like RabbitMQ in what our own code relies on: topic exchanges, a return for an unroutable ``mandatory``
message, a time to live with dead-lettering to another queue. It keeps nothing, and no guarantee is tested only here.
"""

from typing import Any

import eventlet
from amqp.protocol import queue_declare_ok_t
from kombu.transport import TRANSPORT_ALIASES, memory

URI = "embedded://"
POLLING_INTERVAL_S = 0.001

TRANSPORT_ALIASES["embedded"] = f"{__name__}:Transport"


class Channel(memory.Channel):
    """A channel whose queues keep their arguments."""

    queue_arguments: dict[str, dict[str, Any]] = {}
    do_restore = True

    def queue_declare(self, queue: str = "", passive: bool = False, **kwargs: Any) -> queue_declare_ok_t:
        declared = super().queue_declare(queue, passive, **kwargs)
        if not passive and kwargs.get("arguments"):
            self.queue_arguments[queue] = kwargs["arguments"]
        return declared

    def queue_bind(
        self, queue: str, exchange: str | None = None, routing_key: str = "", arguments: Any = None, **kwargs: Any
    ) -> None:
        if exchange:
            super().queue_bind(queue, exchange, routing_key, arguments, **kwargs)

    def basic_publish(self, message: Any, exchange: str, routing_key: str, **kwargs: Any) -> bool:
        """Publish a message; returns whether any queue took it."""
        if exchange:
            taken = bool(exchange in self.state.exchanges and self._lookup(exchange, routing_key))
        else:
            taken = self._has_queue(routing_key)
        if taken:
            super().basic_publish(message, exchange, routing_key)
        return taken

    def _put(self, queue: str, message: Any, **kwargs: Any) -> None:
        arguments = self.queue_arguments.get(queue, {})
        delay_ms = arguments.get("x-message-ttl")
        if delay_ms is None:
            super()._put(queue, message, **kwargs)
        else:
            eventlet.spawn_after(delay_ms / 1000, self._put, arguments["x-dead-letter-routing-key"], message)

    def close(self) -> None:
        # The parent empties the queues of every channel of the process here.
        super(memory.Channel, self).close()


class Transport(memory.Transport):
    """The transport behind ``embedded://``: one broker per process, shared by every connection in it."""

    Channel = Channel
    polling_interval = POLLING_INTERVAL_S
    driver_name = "embedded"


def reset() -> None:
    """Forget every exchange, queue and message of the process's embedded broker."""
    Transport.global_state.clear()
    Channel.queues.clear()
    Channel.queue_arguments.clear()
