"""nameko's queue consumer, mended: messages arrive undecoded, and stopping waits for those in work.

Differences from nameko 2.14.1 (NAMEKO.md, 5 and 19): a message that cannot be decoded is handed to its provider instead
of being acknowledged and lost; the connection stays open until every message in work is answered for, so that a
stopping service does not leave its last calls to be run again by another; and neither a lost connection nor a broker
that is away keeps a service from stopping, or costs it more than a second once the broker is back.
"""

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from typing import Any

from eventlet.event import Event
from eventlet.semaphore import Semaphore
from kombu import Connection, Consumer
from kombu.exceptions import OperationalError
from nameko.messaging import QueueConsumer as NamekoQueueConsumer

from shared import config
from shared.messaging import broker
from shared.messaging.frames import frame_handler
from shared.waiting import wait_while

_log = logging.getLogger(__name__)

RECONNECT_INTERVAL_S = 1.0
REMIND_EVERY = 10
#: How long a quiet connection is listened to, at most, before it is looked after: heartbeats, consumers that leave.
LOOK_AFTER_INTERVAL_S = 1.0


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

    should_stop: bool
    _pending_remove_providers: dict[Any, Any]

    def __init__(self) -> None:
        super().__init__()
        self._in_work: set[Any] = set()
        self.broker_answers = Event()
        self._leaving: set[Any] = set()
        self._lost_in_a_row = 0
        # Acknowledgements of many workers share the channel; a frame must not be cut in two by another.
        self._settling = Semaphore()

    def setup(self) -> None:
        """Wait until the broker answers."""
        self._heartbeat_s = self._settings.heartbeat_s
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

    @cached_property
    def _settings(self) -> config.Settings:
        return config.read(self.container.service_name, self.container.config)

    @property
    def amqp_uri(self) -> str:
        # nameko's own reads the configuration as it stands, which may name a file instead.
        return self._settings.amqp_uri

    @property
    def connection(self) -> Connection:
        return broker.connect(self.amqp_uri, heartbeat_s=self._heartbeat_s, frame_handler=frame_handler)

    def run(self) -> None:
        """Consume until every provider has left, on one connection after the other."""
        # The broker sends a heartbeat twice in the interval, after each of which py-amqp listens anew: a longer limit
        # would never be reached, and ours would never be sent.
        look_after_interval_s = min(LOOK_AFTER_INTERVAL_S, self._heartbeat_s / 4)
        while not self.should_stop:
            try:
                for _ in self.consume(safety_interval=look_after_interval_s):
                    pass
            except (*self.connection_errors, *self.channel_errors, OperationalError) as error:
                if self._lost_in_a_row % REMIND_EVERY == 0:
                    place = broker.place_of(self.amqp_uri)
                    reason = str(error) or type(error).__name__
                    _log.warning("the connection to the broker at %s was lost, or cannot be made: %s", place, reason)
                self._lost_in_a_row += 1
                # Of a lost connection there is nothing to cancel.
                leaving, self._pending_remove_providers = self._pending_remove_providers, {}
                self._let_go(leaving)
                if not self._consumers and self._consumers_ready.ready():
                    self.should_stop = True
                else:
                    time.sleep(RECONNECT_INTERVAL_S)

    @contextmanager
    def establish_connection(self) -> Iterator[Connection]:
        """Open a connection for the block; one that broke is dropped, because the broker might never say goodbye."""
        connection = self.create_connection()
        try:
            connection.connect()
            yield connection
        except BaseException:
            connection.collect()
            raise
        connection.release()

    def _cancel_consumers_if_requested(self) -> None:
        leaving, self._pending_remove_providers = self._pending_remove_providers, {}
        try:
            for provider in leaving:
                self._consumers[provider].cancel()
        finally:
            self._let_go(leaving)

    def _let_go(self, leaving: dict[Any, Any]) -> None:
        for provider, gone in leaving.items():
            self._leaving.add(provider)
            self._consumers.pop(provider, None)
            gone.send()

    def get_consumers(self, consumer_cls: Any, channel: Any) -> Any:
        # Every delivery of the connection before this one is the broker's again.
        self._in_work.clear()
        # A body stays the bytes it is: decoding by the sender's content_encoding can fail, and punycode takes minutes.
        channel.auto_decode = False
        for provider in self._providers - self._leaving:
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

    def on_consume_ready(self, *arguments: Any, **named: Any) -> None:
        # A quiet service, too, is to say it when this connection is lost.
        self._lost_in_a_row = 0
        super().on_consume_ready(*arguments, **named)

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
                # It may have been written in part: nothing that followed on this connection could be understood.
                with suppress(Exception):
                    message.channel.connection.sock.shutdown(socket.SHUT_RDWR)
            finally:
                self._in_work.discard(message)
