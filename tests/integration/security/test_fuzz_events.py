"""Every event type, fuzzed from its schema: an effect, a reason to lay it aside, or a declared failure to try it later.

Events that a service consumes reach its handler, on PostgreSQL; the others are decoded. The same examples run each
time. To look for others: ``COMMONWEAL_TEST_EXAMPLES=2000 make test TEST_ARGS=<this file>``.
"""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, func, select

from shared import ids
from shared.errors import CommonwealError, Invalid
from shared.events.catalogue import EVENT_TYPES, SUBSCRIPTIONS, EventType
from shared.messaging.attempts import Delivery
from shared.messaging.events import MAX_MESSAGE_LENGTH, Event, Unreadable, decode
from shared.messaging.tables import inbox
from tests.support.fuzz import HOSTILE_VALUES, bent, data_of, examples
from tests.support.samples import samples_of
from tests.support.worlds import SERVICE_CLASSES, World

CONSUMED = [
    pytest.param(service, kind, id=f"{service}-{kind.type}")
    for service, subscriptions in SUBSCRIPTIONS.items()
    for kind in EVENT_TYPES.values()
    if (kind.source, kind.name) in subscriptions
]
REASONS = {"oversize", "undecodable", "unknown_type", "schema"}
ATTRIBUTES = ("id", "source", "type", "specversion", "subject", "time", "sequence", "datacontenttype", "data_base64")

bodies = st.sampled_from([b"", b"[]", b"null", b'"text"', b"NaN", b"\xff\xfe", b"\xef\xbb\xbf{}", b"[" * 20_000])
hostile = st.sampled_from(HOSTILE_VALUES)


def read(kind: EventType, data: Any, draws: st.DataObject) -> Event | None:
    """Decode an event with some data, and now and then with other attributes or another body; None if unreadable."""
    attributes = {
        "id": str(ids.new_id()),
        "source": kind.source,
        "type": kind.type,
        "specversion": "1.0",
        "subject": "1",
        "time": "2026-06-01T09:00:00Z",
    }
    if kind.is_numbered:
        attributes["sequence"] = "1"
    if draws.draw(st.integers(0, 4), label="other attributes") == 0:
        attributes |= draws.draw(st.dictionaries(st.sampled_from(ATTRIBUTES), hostile, max_size=2), label="attributes")
    if draws.draw(st.booleans(), label="structured"):
        body = json.dumps({**attributes, "data": data}).encode()
        headers, content_type = {}, "application/cloudevents+json"
    else:
        body, content_type = json.dumps(data).encode(), "application/json"
        headers = {f"ce-{name}": value for name, value in attributes.items()}
    if draws.draw(st.integers(0, 9), label="another body") == 0:
        body = draws.draw(bodies, label="body")
    try:
        return decode(body, headers, content_type)
    except Unreadable as error:
        unreadable = error
    assert unreadable.reason in REASONS
    assert str(unreadable).isprintable()
    assert len(str(unreadable)) <= MAX_MESSAGE_LENGTH
    return None


@pytest.mark.parametrize(("world", "kind"), CONSUMED, indirect=["world"], scope="module")
@given(draws=st.data())
@examples(60)
def test_a_consumed_event_has_its_effect_or_a_declared_failure(
    world: World, kind: EventType, draws: st.DataObject
) -> None:
    data = draws.draw(bent(data_of(kind.schema(), world.known)), label="data")
    event = read(kind, data, draws)
    if event is None:
        return
    (handler,) = (
        member
        for member in vars(SERVICE_CLASSES[world.service]).values()
        if getattr(member, "consumes", None) == (event.source, event.name)
    )
    with world.database.undone() as connection:
        failure = handler(world.instance, Delivery(event))
        if failure is None:
            assert receipts_of(connection, event) == 1
        else:
            if not isinstance(failure.error, CommonwealError):
                raise failure.error
            assert failure.is_last == isinstance(failure.error, Invalid)
            assert world.database.contents(connection) == world.contents


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.type) for kind in EVENT_TYPES.values()])
@given(draws=st.data())
@examples(30)
def test_an_event_is_read_or_refused_with_a_reason(kind: EventType, draws: st.DataObject) -> None:
    recorded = st.sampled_from([sample.data for sample in samples_of(kind.type)])
    event = read(kind, draws.draw(bent(recorded), label="data"), draws)
    assert event is None or (event.type == kind and kind.load(kind.dump(event.data)) == event.data)


def receipts_of(connection: Connection, event: Event) -> int:
    statement = select(func.count()).select_from(inbox)
    return connection.scalar(statement.where(inbox.c.source == event.source, inbox.c.event_id == event.id)) or 0
