"""How often an event may be tried: counted in the database, beside the receipts, and in the message's headers.

An attempt that ends in an error counts as failed; an ``Invalid`` is the event's own fault, and there is no other. One
that began and never ended took its process with it; it is counted when it begins, but only for an event that comes
again, so that an event that goes well costs nothing. The headers tell the same to whoever looks at a message, and count
on while the database is away.
"""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, delete
from sqlalchemy.orm import Session

from shared import clock
from shared.errors import Invalid
from shared.fields import printable
from shared.messaging.events import Event
from shared.messaging.tables import inbox_attempts
from shared.storage.database import is_transient
from shared.storage.upsert import insert_into

#: Times that a handler may fail, or end its process, before the event goes to the dead letters.
MAX_ATTEMPTS = 6
#: Times that it may fail while the database is to blame: with the default delays about two and a half hours.
MAX_ATTEMPTS_TRANSIENT = 20
MAX_ERROR_LENGTH = 2_000


class ProcessEnded(Exception):
    """The service's process ended while it handled the event; nothing but that is known."""

    def __init__(self, times: int) -> None:
        super().__init__(f"The service's process ended {times} times while it handled this event.")
        self.times = times


@dataclass(frozen=True)
class Delivery:
    """An event as it was delivered.

    :param again: whether an earlier delivery of the same message was never answered for.
    :param failed: attempts that failed, as the message's headers tell.
    """

    event: Event
    again: bool = False
    failed: int = 0

    @property
    def is_first(self) -> bool:
        """Whether nothing was tried before, as far as the message tells."""
        return not self.again and self.failed == 0


@dataclass(frozen=True)
class Failure:
    """An attempt that failed.

    :param attempts: all that failed so far.
    :param is_last: whether there is to be no further one.
    """

    error: Exception
    attempts: int
    is_last: bool


def begin(session: Session, event: Event) -> int:
    """Count an attempt that begins; returns how many began and never ended, this one included."""
    unfinished: int = _count(session, event, failed=0, unfinished=1, last_error=None)[1]
    return unfinished


def fail(session: Session, event: Event, error: Exception) -> int:
    """Count an attempt that failed; returns how many did. It ended, so those that never did are forgotten."""
    failed: int = _count(session, event, failed=1, unfinished=0, last_error=describe(error))[0]
    return failed


def forget(session: Session, event: Event) -> None:
    """Forget the attempts of an event that is done with, or will begin anew as a dead letter that is replayed."""
    session.execute(delete(inbox_attempts).where(_is(event)))


def failure(delivery: Delivery, error: Exception, counted: int | None) -> Failure:
    """Judge a failed attempt: what is itself at fault is not tried again, what comes too early or at a bad time is.

    :param counted: failed attempts as the database counts them; None when it could not be asked.
    """
    if isinstance(error, ProcessEnded):
        return Failure(error, delivery.failed + error.times, is_last=True)
    attempts = max(delivery.failed + 1, counted or 0)
    if isinstance(error, Invalid):
        return Failure(error, attempts, is_last=True)
    return Failure(error, attempts, attempts >= (MAX_ATTEMPTS_TRANSIENT if is_transient(error) else MAX_ATTEMPTS))


def describe(error: Exception) -> str:
    """Return an error in a line or a few, bounded, and printable whatever it quotes."""
    lines = f"{type(error).__name__}: {error}".replace("\0", "")[:MAX_ERROR_LENGTH].splitlines()
    return "\n".join(printable(line, MAX_ERROR_LENGTH) for line in lines)[:MAX_ERROR_LENGTH]


def _count(session: Session, event: Event, *, failed: int, unfinished: int, last_error: str | None) -> tuple[int, int]:
    table = inbox_attempts
    now = clock.now()
    counting = insert_into(session, table).values(
        source=event.source,
        event_id=event.id,
        type=event.type.type,
        failed=failed,
        unfinished=unfinished,
        last_error=last_error,
        last_at=now,
    )
    counted = session.execute(
        counting.on_conflict_do_update(
            index_elements=[table.c.source, table.c.event_id],
            set_={
                "failed": table.c.failed + failed,
                "unfinished": table.c.unfinished + 1 if unfinished else 0,
                "last_error": last_error or table.c.last_error,
                "last_at": now,
            },
        ).returning(table.c.failed, table.c.unfinished)
    ).one()
    return counted.failed, counted.unfinished


def _is(event: Event) -> ColumnElement[bool]:
    return and_(inbox_attempts.c.source == event.source, inbox_attempts.c.event_id == event.id)
