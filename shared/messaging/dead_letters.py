"""Dead letters: what a service could not process, told apart, sent again or taken away.

A letter is a message in the queue that :func:`topology.dead_letters_of` names: the original, and in its headers why it
is there. Plain Python on kombu and py-amqp. :mod:`shared.messaging.dead_letter_queue` reads the queue.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from shared.messaging import broker, topology
from shared.messaging.frames import UNREADABLE_HEADER
from shared.messaging.publisher import Message, Publisher, PublishFailed
from shared.messaging.publishers import LAID_BY_HEADER, PUBLISHER_HEADER

ATTEMPTS_HEADER = "x-commonweal-attempts"
REASON_HEADER = "x-commonweal-reason"
ERROR_HEADER = "x-commonweal-error"
FAILED_AT_HEADER = "x-commonweal-failed-at"
#: Where the consumer keeps a publisher's ``compression`` header, which kombu would act on.
COMPRESSION_HEADER = "x-commonweal-compression"

#: What the broker adds to a message on its way, beside ``x-death`` and its like.
_ADDED_BY_BROKER = ("x-death", "x-first-death-", "x-last-death-")
_COUNTED_BY_BROKER = ("x-delivery-count", "x-acquired-count")
#: What is different each time that a letter is looked at.
_CHANGING = (*_COUNTED_BY_BROKER, UNREADABLE_HEADER)
#: Addresses, not contents: on the default exchange the broker would send copies to any queue that they name.
ADDRESSES = ("CC", "BCC")
#: The consumer keeps these of a message's properties. RabbitMQ takes no user id but the sender's own; headers say whose
#: the message was.
_KEPT_PROPERTIES = ("message_id", "correlation_id", "type", "timestamp", "app_id", "reply_to")

_STRUCTURED = "application/cloudevents"
#: A larger body is not searched for an event's attributes.
MAX_SEARCHED_BYTES = 8 * 1_048_576
KEY_LENGTH = 16
#: Publishing that fails so often in a row says something about the broker, not about the letters.
MAX_FAILURES_IN_A_ROW = 3


@dataclass(frozen=True)
class Letter:
    """A dead letter as it lies in its queue.

    :param service: whose it is.
    :param position: its place in the queue when it was looked at, from 1.
    :param body: the bytes as they came.
    :param headers: the original's, and those that say what became of it.
    :param properties: the other AMQP properties that it has.
    :param delivery_tag: names it to the broker while it is looked at.
    """

    service: str
    position: int
    body: bytes
    content_type: str | None
    content_encoding: str | None
    headers: Mapping[str, Any]
    properties: Mapping[str, Any] = field(default_factory=dict)
    delivery_tag: int = 0

    @property
    def place(self) -> str:
        """Its service and position, such as ``outcomes:3``; good until the queue changes."""
        return f"{self.service}:{self.position}"

    @cached_property
    def key(self) -> str:
        """A name that every letter has and keeps, however often it is looked at: a SHA-256 over body and headers."""
        kept = {name: value for name, value in self.headers.items() if name not in _CHANGING}
        parts = (self.content_type, self.content_encoding, self.properties.get("message_id"), _ordered(kept))
        digest = hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass") + b"\0")
        digest.update(self.body)
        return digest.hexdigest()[:KEY_LENGTH]

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """The event's CloudEvents attributes without their prefix, as far as there are any."""
        return attributes_in(self.headers, self.content_type, self.body)

    def attribute(self, name: str) -> str | None:
        """Return one of the event's attributes as text; None when there is none."""
        value = self.attributes.get(name)
        return None if value is None or value == "" else str(value)

    @property
    def name(self) -> str:
        """The event's id, or the letter's key where there is none."""
        return self.attribute("id") or self.key

    @property
    def is_readable(self) -> bool:
        """Whether its properties could be read; a letter without them cannot be sent again."""
        return UNREADABLE_HEADER not in self.headers

    @property
    def reason(self) -> str:
        """Why it is here: a word of the consumer's, or the broker's (``delivery_limit``)."""
        return str(self.headers.get(REASON_HEADER) or self._death.get("reason") or "unknown")

    @property
    def error(self) -> str:
        """What went wrong, in a sentence."""
        if REASON_HEADER in self.headers:
            return str(self.headers.get(ERROR_HEADER) or "")
        if self._death:
            return f"The broker laid it aside from {self._death.get('queue')}; its service never answered for it."
        return "Nothing says how it came here."

    @property
    def attempts(self) -> int | None:
        """How often its handler failed; None when nothing says so."""
        attempts = self.headers.get(ATTEMPTS_HEADER)
        return attempts if isinstance(attempts, int) else None

    @cached_property
    def failed_at(self) -> datetime | None:
        """When it came here; None when nothing says so."""
        moment: Any = self._death.get("time")
        if REASON_HEADER in self.headers:
            try:
                moment = datetime.fromisoformat(str(self.headers.get(FAILED_AT_HEADER)))
            except ValueError:
                return None
        if not isinstance(moment, datetime):
            return None
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)

    @property
    def _death(self) -> Mapping[str, Any]:
        deaths = self.headers.get("x-death")
        return deaths[0] if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict) else {}

    def original(self, sender: str | None) -> Message:
        """Return the message as its publisher sent it, addressed to this one service, its attempts not yet counted.

        Headers say whose it was, as far as its service can tell from them: :class:`publishers.Publishers`.

        :param sender: the broker user who is to send it.
        """
        headers = {name: value for name, value in self.headers.items() if not _is_added(str(name))}
        if sender is not None:
            headers[LAID_BY_HEADER] = str(self.properties.get("user_id") or "")
            if headers[LAID_BY_HEADER] == sender:
                # The sender's own, which came back: it is of whom it was before.
                headers[LAID_BY_HEADER] = self.headers.get(LAID_BY_HEADER, sender)
            if PUBLISHER_HEADER in self.headers:
                headers[PUBLISHER_HEADER] = self.headers[PUBLISHER_HEADER]
        if COMPRESSION_HEADER in self.headers:
            headers["compression"] = self.headers[COMPRESSION_HEADER]
        properties = {name: value for name, value in self.properties.items() if name in _KEPT_PROPERTIES}
        return Message(
            message_id=str(properties.pop("message_id", None) or self.key),
            exchange="",
            routing_key=topology.queue_of(self.service),
            body=self.body,
            headers=headers,
            content_type=self.content_type,
            content_encoding=self.content_encoding,
            properties=properties,
        )


@dataclass(frozen=True)
class Filter:
    """Which letters are meant: those that match everything that is given.

    :param names: event ids, keys or places (``outcomes:3``).
    :param types: whole types, or dotted parts of them: ``project_funded``, ``project_funded.v1``.
    :param error: a part of the error, in capitals or not.
    """

    names: frozenset[str] = frozenset()
    reasons: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    subjects: frozenset[str] = frozenset()
    since: datetime | None = None
    before: datetime | None = None
    error: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether every letter is meant."""
        return self == Filter()

    def matches(self, letter: Letter) -> bool:
        """Tell whether a letter is meant."""
        return (
            (not self.names or bool(self.names_of(letter)))
            and (not self.reasons or letter.reason in self.reasons)
            and (not self.types or any(_is_part(wanted, letter.attribute("type")) for wanted in self.types))
            and (not self.sources or letter.attribute("source") in self.sources)
            and (not self.subjects or letter.attribute("subject") in self.subjects)
            and (self.since is None or (letter.failed_at is not None and letter.failed_at >= self.since))
            and (self.before is None or (letter.failed_at is not None and letter.failed_at < self.before))
            and (self.error is None or self.error.casefold() in letter.error.casefold())
        )

    def names_of(self, letter: Letter) -> frozenset[str]:
        """Return those of ``names`` that a letter is called by."""
        return self.names & {letter.place, letter.key, letter.attribute("id") or letter.key}


class Replay:
    """Sends letters to their service again: published and confirmed first, taken from the dead letters after that.

    :param publisher: its connection is not the one that the letters are looked at with.
    """

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._sender = broker.user_of(publisher.amqp_uri)
        self._failures = 0

    def __call__(self, letter: Letter) -> str | None:
        """Publish a letter; returns why it could not be, or None when it may be taken away.

        :raises PublishFailed: when the broker has failed several times in a row.
        """
        if not letter.is_readable:
            return "its properties cannot be read, so it cannot be sent as it was"
        original = letter.original(self._sender)
        try:
            refused = self._publisher.publish([original])
        except PublishFailed as error:
            self._failures += 1
            if self._failures >= MAX_FAILURES_IN_A_ROW:
                raise
            return str(error)
        self._failures = 0
        return refused.get(original.message_id)


@dataclass
class Tally:
    """What became of the letters that were looked at."""

    done: int = 0
    left: int = 0
    failed: int = 0


def work_through(
    letters: Iterable[Letter],
    *,
    is_meant: Callable[[Letter], bool],
    work: Callable[[Letter], str | None],
    remove: Callable[[Letter], None],
    limit: int | None,
    tally: Tally,
    on_failure: Callable[[Letter, str], None],
) -> None:
    """Do something with each letter that is meant, and take it away once that is done.

    :param work: returns why it could not be done; such a letter stays.
    :param limit: letters to work on at most; all that are meant when it is None.
    :param tally: is counted up letter by letter, so that it is right whenever this ends.
    """
    for letter in letters:
        if not is_meant(letter) or (limit is not None and tally.done + tally.failed >= limit):
            tally.left += 1
            continue
        problem = work(letter)
        if problem is None:
            remove(letter)
            tally.done += 1
        else:
            tally.failed += 1
            on_failure(letter, problem)


def attributes_in(headers: Mapping[str, Any], content_type: str | None, body: bytes | str) -> dict[str, Any]:
    """Return a message's CloudEvents attributes without their prefix, as far as there are any, whatever it is."""
    found = {name[3:]: value for name, value in headers.items() if str(name).startswith("ce-")}
    if (content_type or "").startswith(_STRUCTURED) and len(body) <= MAX_SEARCHED_BYTES:
        try:
            event = json.loads(body)
        except (ValueError, RecursionError):
            return found
        if isinstance(event, dict):
            return {name: value for name, value in event.items() if name not in ("data", "data_base64")}
    return found


def _is_added(name: str) -> bool:
    return name.startswith(("x-commonweal-", *_ADDED_BY_BROKER)) or name in _COUNTED_BY_BROKER or name in ADDRESSES


def _is_part(wanted: str, event_type: str | None) -> bool:
    return event_type is not None and f".{wanted}." in f".{event_type}."


def _ordered(value: Any) -> Any:
    """Return a header's value in an order that does not depend on the way that it came."""
    if isinstance(value, Mapping):
        return sorted((str(name), _ordered(inner)) for name, inner in value.items())
    if isinstance(value, list | tuple):
        return [_ordered(inner) for inner in value]
    return value
