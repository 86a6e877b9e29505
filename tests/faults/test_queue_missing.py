"""Invariant: an event whose consumer has no queue waits in the outbox, and arrives once the topology is applied again.

What stands in a queue that somebody deletes is gone with it, so these delete it when everything has arrived.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from services.outcomes.models import Plan
from shared import ids
from shared.events.catalogue import EventType, event_type
from shared.messaging import outbox as recording
from shared.messaging.tables import outbox
from shared.messaging.topology import APPLY, dead_letters_of, exchange_of, queue_of
from shared.ops.cli import main
from tests.support import outcomes
from tests.support.stage import RETRY_DELAYS_MS, Stage, eventually, stage_on_servers, stays

PAUSE_S = 0.02


@pytest.fixture
def stage(amqp_uri: str, make_database: Callable[[], str], tmp_path: Path) -> Iterator[Stage]:
    """Funding, which publishes, and outcomes, which consumes; proposals' queue takes the same events all the while."""
    with stage_on_servers(amqp_uri, make_database, tmp_path, services=("funding", "outcomes")) as running:
        yield running


def test_a_consumers_queue_deleted_while_its_events_go_on(stage: Stage) -> None:
    with funding_goes_on(stage) as funding:
        eventually(lambda: len(plans(stage)) >= 5)
        with funding.paused():
            eventually(lambda: set(plans(stage)) == funding.projects)
            delete_queue(stage, queue_of("outcomes"))
        waiting = eventually(lambda: [row for row in pending(stage) if row.attempts])
        assert {row.last_error for row in waiting} == {f"missing: queue {queue_of('outcomes')}; run: {APPLY}"}
        # The other consumer's queue would take them, and RabbitMQ would call that delivered.
        stays(lambda: not [row for row in rows_of(stage) if row.position >= waiting[0].position and row.published_at])
        # Events for others are not held up.
        other = funding.joined()
        eventually(lambda: other not in {row.subject for row in pending(stage)})
        apply(stage)
        eventually(lambda: {UUID(row.data["project_id"]) for row in waiting} <= set(plans(stage)), within_s=60)
    assert_each_project_has_one_plan(stage, funding)


@pytest.mark.thorough
def test_an_exchange_deleted_while_its_events_go_on(stage: Stage) -> None:
    with funding_goes_on(stage) as funding:
        eventually(lambda: len(plans(stage)) >= 5)
        with stage.connect() as connection, connection.channel() as channel:
            channel.exchange_delete(exchange_of("funding"))
        waiting = eventually(lambda: [row for row in pending(stage) if row.attempts])
        assert {row.last_error for row in waiting} == {f"missing: exchange {exchange_of('funding')}; run: {APPLY}"}
        # Declared again by somebody else, it comes without its bindings.
        with stage.connect() as connection, connection.channel() as channel:
            channel.exchange_declare(exchange_of("funding"), "topic", durable=True, auto_delete=False)
        eventually(lambda: {UUID(row.data["project_id"]) for row in waiting} <= set(plans(stage)), within_s=60)
    assert_each_project_has_one_plan(stage, funding)


class Funding:
    """Records that projects are funded in funding's outbox, one after the other, as its handlers do."""

    def __init__(self, stage: Stage) -> None:
        self._database = stage.database("funding")
        self._turn = threading.Lock()
        self.projects: set[UUID] = set()
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(PAUSE_S):
            with self._turn:
                event = outcomes.project_funded()
                self._record(event.type, event.subject, event.data)
                self.projects.add(event.data["project_id"])

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Record nothing within the block."""
        with self._turn:
            yield

    def joined(self) -> str:
        """Record an event that outcomes does not consume; returns its subject."""
        pool_id = str(ids.new_id())
        data = {"pool_id": pool_id, "council": outcomes.EDINBURGH, "joins_on": date(2026, 4, 1)}
        self._record(event_type("funding", "member_joined"), pool_id, data)
        return pool_id

    def _record(self, kind: EventType, subject: str, data: dict[str, Any]) -> None:
        with self._database.transaction() as session:
            recording.record(session, kind, subject=subject, sequence=1, data=data)


@contextmanager
def funding_goes_on(stage: Stage) -> Iterator[Funding]:
    funding = Funding(stage)
    thread = threading.Thread(target=funding.run)
    thread.start()
    try:
        yield funding
    finally:
        funding.ended.set()
        thread.join()


def delete_queue(stage: Stage, queue: str) -> None:
    with stage.connect() as connection, connection.channel() as channel:
        channel.queue_delete(queue)


def apply(stage: Stage) -> None:
    """As an operator does; nobody starts a service again."""
    environment = {
        "COMMONWEAL_AMQP_URI": stage.amqp_uri,
        "COMMONWEAL_RETRY_DELAYS_MS": ",".join(map(str, RETRY_DELAYS_MS)),
    }
    result = CliRunner().invoke(main, ["topology", "apply"], env=environment)
    assert result.exit_code == 0, result.output


def rows_of(stage: Stage) -> list[Any]:
    with stage.database("funding").transaction() as session:
        return list(session.execute(select(outbox)).all())


def pending(stage: Stage) -> list[Any]:
    return [row for row in rows_of(stage) if row.published_at is None]


def plans(stage: Stage) -> list[UUID]:
    """The projects that have a plan."""
    with stage.database("outcomes").transaction() as session:
        return list(session.scalars(select(Plan.project_id)))


def assert_each_project_has_one_plan(stage: Stage, funding: Funding) -> None:
    eventually(lambda: not pending(stage), within_s=60)
    eventually(lambda: len(plans(stage)) >= len(funding.projects))
    assert sorted(plans(stage)) == sorted(funding.projects)
    assert stage.is_empty(dead_letters_of("outcomes"))
    for process in stage.processes.values():
        assert process.is_running
        assert process.output().count("is ready") == 1
