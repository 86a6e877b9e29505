"""The inbox: an event's receipt is written in the transaction of its effect, so each event has its effect once."""

from sqlalchemy.orm import Session

from shared import clock
from shared.messaging.events import Event
from shared.messaging.tables import inbox
from shared.storage.upsert import insert_into


def receive(session: Session, event: Event) -> bool:
    """Write an event's receipt; returns False when it stands there already and the event must have no second effect.

    While another transaction is receiving the same event this waits for it to end, so two deliveries of one event,
    however close, cannot both pass.
    """
    receipt = (
        insert_into(session, inbox)
        .values(source=event.source, event_id=event.id, type=event.type.type, processed_at=clock.now())
        .on_conflict_do_nothing()
    )
    return session.execute(receipt.returning(inbox.c.event_id)).first() is not None
