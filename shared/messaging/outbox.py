"""The outbox: an event is recorded in the transaction that makes it true; the relay publishes it afterwards."""

from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from shared import clock, ids
from shared.events.catalogue import EventType
from shared.messaging.tables import outbox


def record(session: Session, event_type: EventType, *, subject: object, sequence: int, data: dict[str, Any]) -> None:
    """Record an event in the session's transaction.

    :param event_type: what happened, from the catalogue.
    :param subject: the id of the aggregate that it happened to; events of one subject keep their order.
    :param sequence: the aggregate's version after the change.
    :param data: the facts, as Python values (UUIDs, dates, decimals as strings); the event's schema turns them into
        JSON and refuses a field that it does not know.
    :raises ValueError: when the data break the event's own schema: a fault in the service, never a caller's.
    """
    if not str(subject):
        raise ValueError(f"{event_type.type} has no subject")
    session.execute(
        insert(outbox).values(
            event_id=ids.new_id(),
            name=event_type.name,
            version=event_type.version,
            subject=str(subject),
            sequence=sequence,
            data=event_type.dump(data),
            recorded_at=clock.now(),
        )
    )
    session.info["event_recorded"] = True
