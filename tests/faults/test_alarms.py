"""Invariant: while the broker takes no messages, writes commit; what they recorded goes out once it does again."""

from datetime import date

import pytest
from sqlalchemy import func, select

from services.funding.models import Candidate
from shared import ids
from shared.events.catalogue import event_type
from shared.messaging import outbox
from shared.messaging.tables import inbox
from shared.messaging.tables import outbox as outbox_table
from tests.support.funding import proposal_approved
from tests.support.messages import message_of
from tests.support.outcomes import EDINBURGH
from tests.support.servers.broker import Broker
from tests.support.stage import Stage, eventually, stays
from tests.support.traffic import Traffic

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(300)]

EVENTS = 30
WATCHED_S = 5.0


@pytest.mark.parametrize("resource", ["memory", "disk"])
def test_writes_commit_during_the_alarm_and_their_events_go_out_after_it(
    resource: str, own_broker: Broker, stage_on_own_broker: Stage
) -> None:
    stage, funding = stage_on_own_broker, stage_on_own_broker.processes["funding"]
    before = {"candidates": candidates(stage), "received": received(stage)}
    # Events that lie in funding's queue when the alarm comes: a blocked broker takes none, but still delivers.
    funding.kill()
    for _ in range(EVENTS):
        assert stage.publish(message_of(proposal_approved(ids.new_id()))) == {}
    with own_broker.alarm(resource):
        funding.start()
        funding.wait_until_ready()
        eventually(lambda: candidates(stage) == before["candidates"] + EVENTS, within_s=60)
        for _ in range(EVENTS):
            record_member_joined(stage)
        eventually(lambda: "the outbox waits" in funding.output(), within_s=60)
        tries = funding.output().count("the outbox waits")
        stays(lambda: unpublished(stage) == EVENTS, for_s=WATCHED_S)
        # Not hot: from a tenth of a second on, each wait is twice as long as the one before.
        assert funding.output().count("the outbox waits") - tries <= 10
        assert received(stage) == before["received"]
    eventually(lambda: unpublished(stage) == 0, within_s=60)
    eventually(lambda: received(stage) == before["received"] + EVENTS)
    with Traffic(stage) as traffic:
        traffic.stop_and_check()


def test_a_service_stops_in_time_during_the_alarm_and_the_next_one_publishes_what_it_left(
    own_broker: Broker, stage_on_own_broker: Stage
) -> None:
    stage, funding = stage_on_own_broker, stage_on_own_broker.processes["funding"]
    before = received(stage)
    with own_broker.alarm("memory"):
        record_member_joined(stage)
        for process in stage.processes.values():
            process.ask_to_stop()
        for process in stage.processes.values():
            assert process.stop() == 0
        assert unpublished(stage) == 1
        for process in stage.processes.values():
            process.start()
    funding.wait_until_ready()
    eventually(lambda: received(stage) == before + 1, within_s=60)


def record_member_joined(stage: Stage) -> None:
    """Record an event as a handler of funding does."""
    pool_id = ids.new_id()
    with stage.database("funding").transaction() as session:
        outbox.record(
            session,
            event_type("funding", "member_joined"),
            subject=pool_id,
            sequence=1,
            data={"pool_id": pool_id, "council": EDINBURGH, "joins_on": date(2026, 4, 1)},
        )


def candidates(stage: Stage) -> int:
    with stage.database("funding").transaction() as session:
        return session.scalar(select(func.count()).select_from(Candidate)) or 0


def unpublished(stage: Stage) -> int:
    with stage.database("funding").transaction() as session:
        waiting = select(func.count()).select_from(outbox_table).where(outbox_table.c.published_at.is_(None))
        return session.scalar(waiting) or 0


def received(stage: Stage) -> int:
    """Return how many events proposals has receipts of."""
    with stage.database("proposals").transaction() as session:
        return session.scalar(select(func.count()).select_from(inbox)) or 0
