"""Adds rows to the audit trail, each in the transaction that it tells of: writes, refusals, what the clock brought.

A row's ``kind`` says why it was written: a ``call``, an ``event``, or the ``clock``.

What was asked for is not kept, only its hash: a trail is read by more people than a proposal. The ids that were named
in it and in the answer are.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from shared import clock
from shared.audit.tables import audit
from shared.fields import printable
from shared.security.principal import Principal

DONE = "done"
#: A write that came again with its idempotency key: it had its effect before.
REPEATED = "repeated"

MAX_OBJECTS = 16
MAX_METHOD_LENGTH = 128
MAX_SUBJECT_LENGTH = 128
_NAME = re.compile(r"[a-z_]{0,60}_id\Z")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z", re.IGNORECASE)
_REFERENCE = re.compile(r"[A-Z]-\d{4}-\d{1,9}\Z")


def record_call(
    session: Session,
    method: str,
    principal: Principal | None,
    arguments: Mapping[str, Any],
    *,
    outcome: str = DONE,
    error: str | None = None,
    answer: Any = None,
) -> None:
    """Add a row for a call.

    :param principal: who called; None when no sound token said so.
    :param arguments: what came with the call, as JSON values and not yet checked.
    :param outcome: :data:`DONE`, :data:`REPEATED` or the code of the error that it was refused with.
    :param error: the error's type, when it was refused.
    :param answer: what it was answered with, whose ids are kept too.
    """
    _record(
        session,
        "call",
        method,
        outcome=outcome,
        error=error,
        subject=principal.subject if principal else None,
        council=principal.council if principal else None,
        roles=sorted(principal.roles) if principal else [],
        token_id=principal.token_id if principal else None,
        objects=objects_in(arguments) | objects_in(answer),
        request=arguments,
    )


def record_event(session: Session, event_type: str, source: str, event_id: str, subject: str, data: Any) -> None:
    """Add a row for an event that has its effect in this transaction.

    :param source: who published it, in whose name the effect happens.
    """
    _record(
        session,
        "event",
        event_type,
        outcome=DONE,
        error=None,
        subject=source,
        council=None,
        roles=[],
        token_id=None,
        objects={"event_id": event_id, "subject": subject},
        request=data,
    )


def record_by_the_clock(session: Session, name: str, objects: Mapping[str, object]) -> None:
    """Add a row for what the service does by itself because its time has come; nobody is its subject.

    :param name: what it does, such as ``close_rounds``.
    :param objects: the ids and the reference of what it is done to.
    """
    named = objects_in({key: str(value) for key, value in objects.items()})
    _record(
        session,
        "clock",
        name,
        outcome=DONE,
        error=None,
        subject=None,
        council=None,
        roles=[],
        token_id=None,
        objects=named,
        request=named,
    )


def record_refused_event(
    session: Session,
    outcome: str,
    *,
    error: str = "Refused",
    event_type: str | None,
    source: str | None,
    event_id: str | None,
    subject: str | None,
    publisher: str | None,
) -> None:
    """Add a row for a message that goes to the dead letters: unread, or because its handler will not have it.

    What it says of itself is not believed, and kept printable and short.

    :param outcome: a word for a program: ``schema`` or ``publisher``, or the code of the error of its handler.
    :param error: that error's type.
    :param publisher: the broker's user who published it, as far as the broker vouches for one.
    """
    claims = {"event_id": event_id, "source": source, "subject": subject}
    _record(
        session,
        "event",
        printable(event_type or "unknown", MAX_METHOD_LENGTH),
        outcome=outcome,
        error=error,
        subject=publisher and printable(publisher, MAX_SUBJECT_LENGTH),
        council=None,
        roles=[],
        token_id=None,
        objects={name: printable(value, MAX_SUBJECT_LENGTH) for name, value in claims.items() if value},
        request=claims,
    )


def objects_in(values: Any) -> dict[str, str]:
    """Return the ids and references that stand at the top of a JSON object, at most :data:`MAX_OBJECTS`."""
    if not isinstance(values, Mapping):
        return {}
    found = {
        name: value
        for name, value in values.items()
        if isinstance(value, str)
        and ((_NAME.match(name) and _UUID.match(value)) or (name == "reference" and _REFERENCE.match(value)))
    }
    return dict(sorted(found.items())[:MAX_OBJECTS])


def _record(session: Session, kind: str, method: str, *, request: Any, **columns: Any) -> None:
    session.execute(
        insert(audit).values(recorded_at=clock.now(), kind=kind, method=method, request_hash=_hash(request), **columns)
    )


def _hash(request: Any) -> bytes:
    try:
        canonical = json.dumps(request, sort_keys=True, separators=(",", ":"), default=str)
    except RecursionError:
        # Refused for that very reason, and still to be recorded.
        canonical = "nested too deeply"
    return hashlib.sha256(canonical.encode()).digest()
