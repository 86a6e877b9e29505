"""Messages as bytes, so that they can be as wrong as a test wants them: requests with their answers, and events."""

import json
from types import TracebackType
from typing import Any

import amqp
from kombu import Connection

from shared import ids
from shared.messaging import broker

NOT_GIVEN: Any = object()


class RawProperties(amqp.Message):
    """A message whose properties are bytes that no client library would write."""

    def __init__(self, body: bytes, properties: bytes) -> None:
        super().__init__(body)
        self._raw = properties

    def _serialize_properties(self) -> bytes:
        return self._raw


def short(text: bytes) -> bytes:
    """A short string of AMQP, as its properties and the names in a table are."""
    return bytes([len(text)]) + text


def table(*entries: bytes) -> bytes:
    """A table of AMQP, made of names and values as bytes."""
    content = b"".join(entries)
    return len(content).to_bytes(4, "big") + content


def _nested_tables(levels: int) -> bytes:
    # Written from the inside, each table's length first.
    lengths = [0]
    for _ in range(levels):
        lengths.append(lengths[-1] + 7)
    return b"".join(length.to_bytes(4, "big") + b"\x01aF" for length in reversed(lengths[1:])) + (0).to_bytes(4, "big")


#: Properties that a client library fails to read, whole: flags and values.
UNREADABLE: dict[str, bytes] = {
    "content type": b"\x80\x00" + short(b"\xff\xfe"),
    "correlation id": b"\x04\x00" + short(b"\xff\xfe"),
    "reply to": b"\x02\x00" + short(b"\xc3\x28"),
    "a moment in the year 292 billion": b"\x20\x00" + table(short(b"t"), b"T" + (2**63).to_bytes(8, "big")),
    "tables 3,000 deep": b"\x20\x00" + _nested_tables(3_000),
}


class Wire:
    """Sends to a broker and hears the answers, on one connection; to be used as a context manager."""

    def __init__(self, amqp_uri: str, *, timeout_s: float = 30) -> None:
        self._connection: Connection = broker.connect(amqp_uri)
        self._timeout_s = timeout_s
        self._answers: dict[str | None, Any] = {}
        self.reply_to = str(ids.new_id())
        self._queue = f"rpc.reply-{self.reply_to}"

    def __enter__(self) -> "Wire":
        self._channel = self._connection.channel()
        self._channel.queue_declare(queue=self._queue, durable=False, exclusive=True, auto_delete=True)
        self._channel.queue_bind(queue=self._queue, exchange="nameko-rpc", routing_key=self.reply_to)
        self._channel.basic_consume(self._queue, callback=self._hear, no_ack=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.collect(socket_timeout=1)

    def send(
        self,
        to: str,
        body: bytes,
        *,
        token: object = None,
        headers: dict[str, Any] | None = NOT_GIVEN,
        content_type: str | None = "application/json",
        content_encoding: str | None = "utf-8",
        exchange: str = "nameko-rpc",
        **properties: Any,
    ) -> str:
        """Send a request, or whatever it is; returns its correlation id.

        :param to: the routing key.
        :param headers: all the headers, in place of one with the token; None for no header at all.
        """
        named = str(ids.new_id())
        properties = {"reply_to": self.reply_to, "correlation_id": named, **properties}
        if headers is NOT_GIVEN:
            headers = {"nameko.auth_token": token}
        message = amqp.Message(
            body,
            content_type=content_type,
            content_encoding=content_encoding,
            **({} if headers is None else {"application_headers": headers}),
            **{name: value for name, value in properties.items() if value is not None},
        )
        self._channel.basic_publish(message, exchange=exchange, routing_key=to)
        return str(properties["correlation_id"])

    def send_raw(self, to: str, body: bytes, properties: bytes, *, exchange: str = "nameko-rpc") -> None:
        """Send a message with properties that cannot be read."""
        self._channel.basic_publish(RawProperties(body, properties), exchange=exchange, routing_key=to)
        self.is_through()

    def is_through(self) -> None:
        """Return once the broker has everything that was sent, and raise what it has against it."""
        self._channel.queue_declare(queue=self._queue, passive=True)

    def call(self, to: str, arguments: Any, *, token: object) -> str:
        """Send a sound request with any arguments; returns its correlation id."""
        return self.send(to, json.dumps({"args": [], "kwargs": arguments}, separators=(",", ":")).encode(), token=token)

    def answer(self, correlation_id: str | None) -> Any:
        """Return the answer to a request, waiting for it."""
        while correlation_id not in self._answers:
            self._connection.drain_events(timeout=self._timeout_s)
        return self._answers.pop(correlation_id)

    def purge(self, queue: str) -> None:
        """Drop what a queue holds, without reading any of it."""
        self._channel.queue_purge(queue)

    def _hear(self, message: Any) -> None:
        self._answers[message.properties.get("correlation_id")] = json.loads(message.body)
