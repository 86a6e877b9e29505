"""Invariant: whatever is published again, in whatever order and however often, a hash of the state is unchanged.

What counts as state is said by :func:`tests.support.invariants.fingerprints`: every table of the three databases.
"""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, update

from shared.audit import chain, reading
from shared.audit.chain import Head
from shared.events.catalogue import SUBSCRIPTIONS
from shared.messaging.publisher import Message
from shared.messaging.tables import inbox, outbox
from shared.messaging.topology import dead_letters_of, exchange_of
from shared.ops.names import SERVICES
from tests.support import invariants
from tests.support.invariants import Observer, fingerprints
from tests.support.programme import active_award, declined_award, paid_tranche, withdrawn_proposal
from tests.support.stage import Stage, eventually, stage_on_servers

ROUNDS = 3


@pytest.mark.thorough
def test_a_whole_programme_replayed_in_other_orders_changes_nothing(
    amqp_uri: str, make_database: Callable[[], str], tmp_path: Path
) -> None:
    with stage_on_servers(amqp_uri, make_database, tmp_path) as stage, Observer(stage).listening() as observer:
        paid_tranche(stage, active_award(stage))
        declined_award(stage)
        withdrawn_proposal(stage)
        invariants.check(stage, observer)
        recorded = [message_of(seen) for seen in observer.seen]
        assert {service: consumed(recorded, service) for service in SERVICES} == {
            "proposals": 6,
            "funding": 4,
            "outcomes": 1,
        }
        before = fingerprints(stage)
        assert len(before) > 30

        # From the outboxes, as after a restored backup of the broker: the relays publish everything again.
        for service in SERVICES:
            with stage.database(service).transaction() as session:
                session.execute(update(outbox).values(published_at=None))
        invariants.everything_is_published(stage)
        await_skipped(stage, recorded, times=1)
        assert fingerprints(stage) == before

        # From a record of the exchanges, in other orders.
        shuffle = random.Random(7).shuffle
        for already in range(ROUNDS):
            shuffle(recorded)
            assert stage.publish(*recorded) == {}
            await_skipped(stage, recorded, times=2 + already)
            assert fingerprints(stage) == before

        # Without a single receipt, as if the inboxes had been pruned too early: the business keys hold alone. The audit
        # trails tell of each event that was taken in once more, and of nothing else.
        heads = {service: head_of(stage, service) for service in SERVICES}
        for service in SERVICES:
            with stage.database(service).transaction() as session:
                session.execute(delete(inbox))
        shuffle(recorded)
        assert stage.publish(*recorded) == {}
        invariants.received_exactly_once(stage)
        after = fingerprints(stage)
        trails = {f"{service}.{table}" for service in SERVICES for table in ("audit", "audit_seals")}
        assert {name for name in before if after[name] != before[name]} == trails
        assert after.keys() == before.keys()
        for service, head in heads.items():
            again = [link.row for link in reading.links(stage.database(service), head.number)]
            assert sorted(row["objects"]["event_id"] for row in again if row) == sorted(
                event_id for _, event_id in invariants.receipts(stage, service)
            )
            assert {(row["kind"], row["outcome"]) for row in again if row} == {("event", "done")}
            assert head_of(stage, service, known=head).number == head.number + len(again)
        assert all(stage.is_empty(dead_letters_of(service)) for service in SERVICES)


def head_of(stage: Stage, service: str, *, known: Head | None = None) -> Head:
    """Return where a service's audit trail ends; it holds up to there, and passes through a head that is known."""
    links = reading.links(stage.database(service))
    return reading.verify(chain.beginning(service), links, [known] if known else [])


def message_of(seen: Any) -> Message:
    """Return an observed message as it was published."""
    body = seen.body.encode() if isinstance(seen.body, str) else bytes(seen.body)
    source = seen.headers["ce-source"]
    routing_key = seen.delivery_info["routing_key"]
    return Message(seen.headers["ce-id"], exchange_of(source), routing_key, body, seen.headers, seen.content_type)


def consumed(messages: list[Message], service: str) -> int:
    """Return how many of some messages a service consumes."""
    keys = {(exchange_of(source), name) for source, name in SUBSCRIPTIONS[service]}
    return sum((message.exchange, message.routing_key) in keys for message in messages)


def await_skipped(stage: Stage, recorded: list[Message], *, times: int) -> None:
    """Wait until every service has met each of its events again so many times."""
    for service, process in stage.processes.items():
        due = times * consumed(recorded, service)
        eventually(lambda process=process, due=due: process.output().count("had its effect before") == due)
