"""nameko's queue consumer, mended: messages arrive undecoded, and stopping waits for those in work.

Differences from nameko 2.14.1 (NAMEKO.md, 5 and 19): a message that cannot be decoded is handed to its provider instead
of being acknowledged and lost, and the connection stays open until every message in work is answered for, so that a
stopping service does not leave its last calls to be run again by another.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from eventlet.event import Event
from eventlet.semaphore import Semaphore
from kombu import Connection, Consumer
from nameko.messaging import QueueConsumer as NamekoQueueConsumer

from shared.messaging import broker
from shared.waiting import wait_while

_log = logging.getLogger(__name__)

HEARTBEAT_S = 30
#: Waits between attempts to reach a broker that has gone; they grow by the first up to the second.
RECONNECT_INTERVAL_S = 1
MAX_RECONNECT_INTERVAL_S = 5


class _AsItCame(Consumer):
    """A consumer that leaves a body as it came: kombu would unpack a compressed one, whatever becomes of its size."""

    def _receive_callback(self, message: Any) -> None:
        headers = message.properties.get("application_headers") if hasattr(message, "properties") else None
        if isinstance(headers, dict) and "compression" in headers:
            headers["x-commonweal-compression"] = headers.pop("compression")
        super()._receive_callback(message)


class QueueConsumer(NamekoQueueConsumer):
    """Consumes every queue of a service on one connection.

    A provider has a ``queue`` and a method ``handle_message(message)`` that leads to exactly one call of
    :meth:`ack_message`, :meth:`reject_message` or :meth:`requeue_message`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._in_work: set[Any] = set()
        self.broker_answers = Event()
        # Acknowledgements of many workers share the channel; a frame must not be cut in two by another.
        self._settling = Semaphore()

    def setup(self) -> None:
        """Wait until the broker answers."""
        wait_while(self.container.service_name, self._problem)
        self.broker_answers.send()

    def _problem(self) -> str | None:
        try:
            with broker.connect(self.amqp_uri) as connection:
                connection.connect()
        except Exception as error:
            place = broker.place_of(self.amqp_uri)
            return f"the broker at {place} does not answer: {str(error) or type(error).__name__}"
        return None

    @property
    def connection(self) -> Connection:
        return broker.connect(self.amqp_uri, heartbeat_s=HEARTBEAT_S)

    @contextmanager
    def establish_connection(self) -> Iterator[Connection]:
        # kombu's own waits grow to half a minute, in which every call to the service would time out.
        with self.create_connection() as connection:
            connection.ensure_connection(
                self.on_connection_error,
                interval_start=RECONNECT_INTERVAL_S,
                interval_step=RECONNECT_INTERVAL_S,
                interval_max=MAX_RECONNECT_INTERVAL_S,
            )
            yield connection

    def on_connection_error(self, error: Exception, interval_s: float) -> None:
        # nameko would show the password of every URI but the first.
        place = broker.place_of(self.amqp_uri)
        _log.warning("no connection to the broker at %s, next attempt in %.0f s: %s", place, interval_s, error)

    def get_consumers(self, consumer_cls: Any, channel: Any) -> Any:
        # Every delivery of the connection before this one is the broker's again.
        self._in_work.clear()
        # A body stays the bytes it is: decoding by the sender's content_encoding can fail, and punycode takes minutes.
        channel.auto_decode = False
        for provider in self._providers:
            consumer = _AsItCame(
                channel,
                queues=[provider.queue],
                on_message=partial(self._deliver, provider),
                on_decode_error=lambda message, error, provider=provider: self._deliver(provider, message),
            )
            consumer.qos(prefetch_count=self.prefetch_count)
            self._consumers[provider] = consumer
        return self._consumers.values()

    def _deliver(self, provider: Any, message: Any) -> None:
        self._in_work.add(message)
        self.container.spawn_managed_thread(
            partial(self._handle, provider, message), identifier=f"{type(provider).__name__}.handle_message"
        )

    def _handle(self, provider: Any, message: Any) -> None:
        # Whatever goes wrong here is about one message; past this point it would end the service.
        try:
            provider.handle_message(message)
        except Exception as error:
            _log.error("a message could not be handled and was rejected", exc_info=error)
            self.reject_message(message)

    def on_iteration(self) -> None:
        self._cancel_consumers_if_requested()
        if not self._consumers and not self._in_work:
            self.should_stop = True

    def ack_message(self, message: Any) -> None:
        """Tell the broker that a message is done with."""
        self._settle(message, message.ack)

    def reject_message(self, message: Any) -> None:
        """Tell the broker to drop a message, or to dead-letter it where the queue says so."""
        self._settle(message, message.reject)

    def requeue_message(self, message: Any) -> None:
        """Give a message back for another delivery."""
        self._settle(message, message.requeue)

    def _settle(self, message: Any, settle: Any) -> None:
        # Settled before, or of an earlier connection: then the broker has it back already and delivers it again.
        if message not in self._in_work:
            return
        with self._settling:
            try:
                if message.channel is not None and message.channel.connection:
                    settle()
            except Exception as error:
                _log.warning("a message could not be settled and will come again: %s", error)
            finally:
                self._in_work.discard(message)
