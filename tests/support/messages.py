"""Events as messages: what a relay would publish."""

from uuid import UUID

from shared.messaging import events
from shared.messaging.publisher import Message


def message_of(event: events.Event) -> Message:
    """Return an event as its source's relay publishes it."""
    return events.encode(
        event.type,
        id=UUID(event.id),
        subject=event.subject,
        sequence=event.sequence,
        time=event.time,
        data=event.type.dump(event.data),
    )
