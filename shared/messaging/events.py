"""Events on the wire: CloudEvents 1.0 by the SDK's RabbitMQ binding; binary out, binary and structured in."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings import rabbitmq
from cloudevents.core.exceptions import BaseCloudEventException
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from marshmallow import ValidationError

from shared.events.catalogue import EVENT_TYPES, SYSTEMS, EventType, consumers_of
from shared.fields import faults, printable
from shared.messaging.publisher import Message
from shared.messaging.topology import exchange_of, queue_of

#: Several times the largest request: escapes and spaces make an event larger than what its caller sent.
MAX_BODY_BYTES = 8 * 1_048_576
MAX_ID_LENGTH = 128
MAX_MESSAGE_LENGTH = 1_000
# What the SDK raises over a message; over a moment at the end of the year 9999 it is an OverflowError.
_NOT_A_CLOUD_EVENT = (
    BaseCloudEventException,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    OverflowError,
    RecursionError,
)
REQUIRED_ATTRIBUTES = ("id", "source", "type", "specversion", "subject", "time", "sequence")
#: What a system may leave out, as an accounts system does that counts no versions of a council.
OPTIONAL_FOR_SYSTEMS = frozenset({"sequence"})


class Unreadable(Exception):
    """A message that is no event of ours, whatever is tried; it belongs in the dead letters.

    :param reason: a word for a program: ``oversize``, ``undecodable``, ``unknown_type``, ``schema``.
    :param message: may quote the publisher: it is cut, and what cannot be printed becomes an escape.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(printable(message, MAX_MESSAGE_LENGTH))
        self.reason = reason


@dataclass(frozen=True)
class Event:
    """An event as a handler sees it; ``data`` hold Python values as the event's schema loads them.

    :param sequence: the version of the subject after the event; None where a system does not number its events.
    """

    id: str
    type: EventType
    subject: str
    sequence: int | None
    time: datetime
    data: dict[str, Any]

    @property
    def source(self) -> str:
        """The service or system that published it."""
        return self.type.source

    @property
    def name(self) -> str:
        """Its short name, such as ``project_funded``."""
        return self.type.name

    @property
    def version(self) -> int:
        """The version of its schema."""
        return self.type.version


def encode(
    event_type: EventType, *, id: UUID, subject: str, sequence: int | None, time: datetime, data: Any
) -> Message:
    """Make the message that carries an event.

    :param data: JSON values that the event's schema has accepted.
    """
    event = CloudEvent(
        {
            "id": str(id),
            "source": event_type.source,
            "type": event_type.type,
            "subject": subject,
            "time": time,
            "datacontenttype": "application/json",
            **({} if sequence is None else {"sequence": str(sequence)}),
        },
        data,
    )
    encoded = rabbitmq.to_binary_event(event)
    consumers = consumers_of(event_type.source, event_type.name)
    return Message(
        message_id=str(id),
        exchange=exchange_of(event_type.source),
        routing_key=event_type.name,
        body=encoded.body if isinstance(encoded.body, bytes) else str(encoded.body).encode(),
        headers=encoded.headers,
        content_type=encoded.content_type,
        # An event that no service consumes may have no queue at all; it must not hold back those behind it.
        mandatory=bool(consumers),
        queues=tuple(map(queue_of, consumers)),
    )


def decode(body: bytes, headers: Mapping[str, Any], content_type: str | None) -> Event:
    """Read an event from a message.

    :raises Unreadable: when it is too large, not an event, of an unknown type, or breaks its schema.
    """
    if len(body) > MAX_BODY_BYTES:
        raise Unreadable("oversize", f"The body has {len(body):,} bytes; {MAX_BODY_BYTES:,} are the most.")
    if not _is_utf8(body):
        raise Unreadable("undecodable", "The body is not UTF-8; JSON between systems is (RFC 8259).")
    texts = {name: value for name, value in headers.items() if isinstance(value, str)}
    try:
        event = rabbitmq.from_rabbitmq(rabbitmq.RabbitMQMessage(texts, content_type, body), JSONFormat(), _whole)
    except Unreadable:
        raise
    except _NOT_A_CLOUD_EVENT as error:
        raise Unreadable("undecodable", f"This is not a CloudEvent: {type(error).__name__}: {error}") from error
    event_type = EVENT_TYPES.get(event.get_type())
    if event_type is None or event.get_source() != event_type.source:
        raise Unreadable(
            "unknown_type", f"The catalogue has no event {event.get_type()!r} from {event.get_source()!r}."
        )
    return Event(
        id=_bounded("id", event.get_id()),
        type=event_type,
        subject=_bounded("subject", event.get_subject() or ""),
        sequence=_sequence(event.get_extension("sequence"), event_type),
        time=_time(event),
        data=_data(event_type, event.get_data()),
    )


def _is_utf8(body: bytes) -> bool:
    # json would find out UTF-16 and UTF-32 by itself, and others who read the same event would not.
    try:
        str(body, "utf-8")
    except UnicodeDecodeError:
        return False
    return b"\0" not in body


def _whole(attributes: dict[str, Any], data: Any) -> CloudEvent:
    # The SDK makes up an id and a time where there are none; an event without an id of its own could not be told from
    # its repetition.
    missing = [name for name in REQUIRED_ATTRIBUTES if not attributes.get(name)]
    if len(missing) == len(REQUIRED_ATTRIBUTES):
        raise Unreadable(
            "undecodable",
            "This is no CloudEvent: it has neither headers ce-id, ce-type and so on (binary mode) nor the content type"
            " application/cloudevents+json (structured mode). Publish it again as one of the two.",
        )
    if str(attributes.get("source")) in SYSTEMS:
        missing = [name for name in missing if name not in OPTIONAL_FOR_SYSTEMS]
    if missing:
        raise Unreadable(
            "undecodable", f"These attributes are missing: {', '.join(missing)}. Publish it again with them."
        )
    return CloudEvent(attributes, data)


def _bounded(name: str, value: str) -> str:
    if not value.isprintable():
        raise Unreadable("schema", f"ce-{name} has characters that cannot be printed.")
    if len(value) > MAX_ID_LENGTH:
        raise Unreadable("schema", f"ce-{name} has {len(value)} characters; {MAX_ID_LENGTH} are the most.")
    return value


def _sequence(value: Any, event_type: EventType) -> int | None:
    if value is None and not event_type.is_numbered:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**18:
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    raise Unreadable("schema", "ce-sequence must be the whole number of the aggregate's version.")


def _time(event: BaseCloudEvent) -> datetime:
    time = event.get_time()
    if time is None or time.tzinfo is None:
        raise Unreadable("schema", "ce-time must be a moment with its offset from UTC.")
    return time


def _data(event_type: EventType, data: Any) -> dict[str, Any]:
    if isinstance(data, str | bytes):
        try:
            data = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise Unreadable("undecodable", f"The body is not JSON: {error}") from error
    try:
        return event_type.load(data)
    except ValidationError as error:
        problems = "; ".join(f"{path or 'data'}: {' '.join(said)}" for path, said in faults(error.messages).items())
        raise Unreadable("schema", f"{event_type.type}: {problems} Publish it again, corrected.") from error
