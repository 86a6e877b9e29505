"""Serves like ``shared.ops.serve`` and ends itself by SIGKILL at a step of the messaging.

``python -m tests.support.dies_at STEP PASSING SERVICE`` dies at the given passing of the step, counted from 1; see
:data:`STEPS`. ``python -m tests.support.dies_at handling EVENT_ID SERVICE`` dies whenever it handles that event. The
code that serves knows nothing of it: the functions concerned are wrapped before it starts.
"""

# First, because it patches the standard library before anything else is imported.
from shared.ops import serve  # isort: skip

import functools
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from amqp import Channel
from sqlalchemy import event
from sqlalchemy.orm import Session

from shared.messaging import inbox
from shared.messaging.events import Event
from shared.messaging.idempotency import Slot
from shared.messaging.publisher import Publisher
from shared.messaging.queue_consumer import QueueConsumer
from shared.messaging.relay import Relay
from shared.messaging.rpc import Replies

Passing = Callable[[], None]


class Step:
    """Counts how often a process passes a step, and ends the process at one of the passings.

    :param passing: at which; counted from 1.
    """

    def __init__(self, passing: int) -> None:
        self._left = passing

    def __call__(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def _wrap(owner: Any, name: str, *, before: Callable[..., None] | None = None, after: Any = None) -> None:
    """Call ``before(*arguments)`` and ``after(result, *arguments)`` around a function; there must be one."""
    function = getattr(owner, name)

    @functools.wraps(function)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        if before is not None:
            before(*arguments)
        result = function(*arguments, **named)
        if after is not None:
            after(result, *arguments)
        return result

    setattr(owner, name, wrapped)


def _mark_transactions() -> None:
    """Note in a session whether it serves a call or an event: only these two are committed under a step."""

    def mark(kind: str) -> Callable[..., None]:
        def note(*arguments: Any) -> None:
            session = arguments[0] if isinstance(arguments[0], Session) else arguments[0].session
            session.info["serves"] = kind

        return note

    _wrap(Slot, "claim", before=mark("call"))
    _wrap(inbox, "receive", before=mark("event"))


def _before_commit(kind: str) -> Callable[[Passing], None]:
    def prepare(step: Passing) -> None:
        _mark_transactions()

        @event.listens_for(Session, "before_commit")
        def _die(session: Session) -> None:
            if session.info.get("serves") == kind:
                session.flush()  # All that the handler did is with the database, and nothing of it may stay.
                step()

    return prepare


def _after_commit(kind: str) -> Callable[[Passing], None]:
    def prepare(step: Passing) -> None:
        _mark_transactions()

        @event.listens_for(Session, "after_commit")
        def _die(session: Session) -> None:
            if session.info.get("serves") == kind:
                step()

    return prepare


def _goes_to(messages: Any, place: str) -> bool:
    """Tell where a publisher's messages go: ``events`` is the relay's, the others are queues that they are moved to."""
    first = messages[0]
    return first.exchange != "" if place == "events" else place in first.routing_key


def _before_publishing(place: str) -> Callable[[Passing], None]:
    def prepare(step: Passing) -> None:
        def check(_: Publisher, messages: Any) -> None:
            if _goes_to(messages, place):
                step()

        _wrap(Publisher, "publish", before=check)

    return prepare


def _after_publishing(place: str) -> Callable[[Passing], None]:
    def prepare(step: Passing) -> None:
        def check(_: dict[str, str], __: Publisher, messages: Any) -> None:
            if _goes_to(messages, place):
                step()

        _wrap(Publisher, "publish", after=check)

    return prepare


def _after_sending(step: Passing) -> None:
    in_relay = [False]

    def enter(_: Publisher, messages: Any) -> None:
        in_relay[0] = _goes_to(messages, "events")

    _wrap(Publisher, "publish", before=enter)
    _wrap(Channel, "basic_publish", after=lambda *_: step() if in_relay[0] else None)


def _after_marking(step: Passing) -> None:
    _wrap(Relay, "publish_batch", after=lambda rows, *_: step() if rows else None)


def _die_handling(event_id: str) -> None:
    def check(_: Session, received: Event) -> None:
        if received.id == event_id:
            Step(1)()

    _wrap(inbox, "receive", before=check)


#: Where a process can be made to die, and how the step is laid into the code.
STEPS: dict[str, Callable[[Passing], None]] = {
    "call-before-handler": lambda step: _wrap(Slot, "claim", before=lambda *_: step()),
    "call-before-commit": _before_commit("call"),
    "call-after-commit": _after_commit("call"),
    "call-after-reply": lambda step: _wrap(Replies, "send", after=lambda *_: step()),
    "event-before-handler": lambda step: _wrap(inbox, "receive", before=lambda *_: step()),
    "event-before-commit": _before_commit("event"),
    "event-after-commit": _after_commit("event"),
    "acknowledged": lambda step: _wrap(QueueConsumer, "ack_message", after=lambda *_: step()),
    "relay-batch-read": _before_publishing("events"),
    "relay-sent-unconfirmed": _after_sending,
    "relay-confirmed-unmarked": _after_publishing("events"),
    "relay-marked": _after_marking,
    "retry-before-forwarding": _before_publishing(".retry."),
    "retry-forwarded-unacknowledged": _after_publishing(".retry."),
    "dead-letter-forwarded-unacknowledged": _after_publishing(".dead-letters"),
}


if __name__ == "__main__":
    where, which, service = sys.argv[1:]
    if where == "handling":
        _die_handling(which)
    else:
        STEPS[where](Step(int(which)))
    serve.main(service)
