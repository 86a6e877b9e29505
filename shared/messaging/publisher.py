"""Publishes messages and waits until the broker has confirmed each, or says which were not taken."""

import functools
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from amqp import Message as AmqpMessage
from amqp.exceptions import NotFound
from kombu import Connection

from shared.messaging import broker
from shared.messaging.topology import APPLY

_log = logging.getLogger(__name__)

#: What a batch may take to be written, and after that to be confirmed.
PUBLISH_TIMEOUT_S = 15
CONFIRM_TIMEOUT_S = 15
PERSISTENT = 2
#: Of the 131,072 bytes of a frame; the broker ends the connection of whoever sends a larger one.
MAX_PROPERTIES_BYTES = 130_000


class PublishFailed(Exception):
    """The broker could not be asked; nothing is known of the messages and they may be sent again."""


@dataclass(frozen=True)
class Message:
    """A message on its way to the broker.

    :param message_id: unique within a batch.
    :param mandatory: whether the broker must have a queue for it; otherwise it may go nowhere.
    :param queues: those that must take it, each of them. ``mandatory`` asks only for one, whosever it is.
    """

    message_id: str
    exchange: str
    routing_key: str
    body: bytes
    headers: Mapping[str, Any]
    content_type: str | None
    content_encoding: str | None = "utf-8"
    properties: Mapping[str, Any] = field(default_factory=dict)
    mandatory: bool = True
    queues: Sequence[str] = ()

    @property
    def can_be_sent(self) -> bool:
        """Whether headers and properties fit into a frame, which cannot be divided, and into AMQP's types at all."""
        try:
            properties = AmqpMessage(
                application_headers=dict(self.headers),
                **{"message_id": self.message_id, "content_type": self.content_type, **self.properties},
            )._serialize_properties()
        except Exception:
            return False
        return len(properties) <= MAX_PROPERTIES_BYTES


class Publisher:
    """Owns one connection, made when it is needed and dropped at the first error; names its broker user in messages.

    Not safe for concurrent use: callers take turns.

    :param amqp_uri: the broker.
    """

    def __init__(self, amqp_uri: str) -> None:
        self.amqp_uri = amqp_uri
        self._connection: Connection | None = None
        self._channel: Any = None
        self._author: dict[str, str] = {}
        self._unconfirmed: dict[int, str] = {}
        self._refused: dict[str, str] = {}
        self._last_tag = 0

    def publish(self, messages: Sequence[Message]) -> dict[str, str]:
        """Publish a batch: persistent, its confirms awaited together.

        :returns: the ``message_id`` of every message that the broker did not take, with the reason.
        :raises PublishFailed: when the broker went away or stopped answering; some messages may have arrived.
        """
        try:
            try:
                self._ensure_channel()
                return self._publish(messages)
            except NotFound:
                self.close()
                self._ensure_channel()
                lacking = self._lacking(messages)
                if not lacking:
                    raise
                return lacking | self._publish([each for each in messages if each.message_id not in lacking])
        except Exception as error:
            self.close()
            raise PublishFailed(f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Drop the connection without waiting for the broker, which may be the reason for dropping it."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            try:
                connection.collect(socket_timeout=0.1)
            except Exception as error:
                _log.debug("dropping a broken connection: %s", error)

    def _ensure_channel(self) -> None:
        if self._channel is not None:
            return
        self._connection = broker.connect(self.amqp_uri, on_blocked=_raise_blocked)
        self._channel = self._connection.channel()
        self._last_tag = 0
        self._author = {}
        if self._confirms:
            # The embedded broker knows no users; RabbitMQ takes no name here but that of the connection's own.
            self._author = {"user_id": self._connection.userid or broker.DEFAULT_USER}
            self._channel.confirm_select()
            self._channel.events["basic_ack"].add(self._on_ack)
            self._channel.events["basic_nack"].add(self._on_nack)
            self._channel.events["basic_return"].add(self._on_return)

    @property
    def _confirms(self) -> bool:
        return hasattr(self._channel, "confirm_select")

    def _publish(self, messages: Sequence[Message]) -> dict[str, str]:
        self._unconfirmed.clear()
        self._refused = {}
        self._bind(messages)
        deadline = time.monotonic() + PUBLISH_TIMEOUT_S
        for message in messages:
            if time.monotonic() > deadline:
                raise TimeoutError("the broker takes messages too slowly")
            prepared = self._channel.prepare_message(
                message.body,
                content_type=message.content_type,
                content_encoding=message.content_encoding,
                headers=dict(message.headers),
                properties={
                    "message_id": message.message_id,
                    "delivery_mode": PERSISTENT,
                    **message.properties,
                    **self._author,
                },
            )
            self._last_tag += 1
            if self._confirms:
                self._unconfirmed[self._last_tag] = message.message_id
            taken = self._channel.basic_publish(
                prepared, exchange=message.exchange, routing_key=message.routing_key, mandatory=message.mandatory
            )
            if not self._confirms and not taken and message.mandatory:
                self._refused[message.message_id] = "no queue takes it"
        deadline = time.monotonic() + CONFIRM_TIMEOUT_S
        while self._unconfirmed:
            assert self._connection is not None
            self._connection.drain_events(timeout=max(deadline - time.monotonic(), 0.001))
        return self._refused

    def _bind(self, messages: Sequence[Message]) -> None:
        """Make sure of every binding that a batch needs, without waiting for the answer.

        The broker takes a channel's frames in their order: where a queue or an exchange is missing it closes the
        channel at this, and takes none of the messages behind it.
        """
        addressed = [each for each in messages if each.exchange]  # The default exchange has every queue already.
        bindings = ((queue, each.exchange, each.routing_key) for each in addressed for queue in each.queues)
        for queue, exchange, routing_key in dict.fromkeys(bindings):
            self._channel.queue_bind(queue=queue, exchange=exchange, routing_key=routing_key, nowait=True)

    def _lacking(self, messages: Sequence[Message]) -> dict[str, str]:
        """Return the messages whose exchange, or one of whose queues, is missing, with the reason."""
        assert self._connection is not None
        connection = self._connection

        @functools.cache
        def is_there(kind: str, name: str) -> bool:
            try:
                with connection.channel() as channel:
                    if kind == "queue":
                        channel.queue_declare(queue=name, passive=True)
                    else:
                        channel.exchange_declare(exchange=name, type="topic", passive=True)
            except NotFound:
                return False
            return True

        lacking = {}
        for message in messages:
            needed = [("exchange", message.exchange), *(("queue", queue) for queue in message.queues)]
            missing = [f"{kind} {name}" for kind, name in needed if name and not is_there(kind, name)]
            if missing:
                lacking[message.message_id] = f"missing: {', '.join(missing)}; run: {APPLY}"
        return lacking

    def _settle(self, delivery_tag: int, multiple: bool) -> list[str]:
        tags = [tag for tag in self._unconfirmed if tag <= delivery_tag] if multiple else [delivery_tag]
        return [self._unconfirmed.pop(tag) for tag in tags if tag in self._unconfirmed]

    def _on_ack(self, delivery_tag: int, multiple: bool) -> None:
        self._settle(delivery_tag, multiple)

    def _on_nack(self, delivery_tag: int, multiple: bool) -> None:
        for message_id in self._settle(delivery_tag, multiple):
            self._refused[message_id] = "the broker refused it"

    def _on_return(self, error: Exception, exchange: str, routing_key: str, message: Any) -> None:
        # RabbitMQ returns an unroutable message before it confirms it, so the reason stands before the tag is settled.
        self._refused[message.properties["message_id"]] = f"no queue takes it ({exchange!r}, {routing_key!r})"


def _raise_blocked(reason: str) -> None:
    raise ConnectionError(f"the broker takes no messages now: {reason}")
