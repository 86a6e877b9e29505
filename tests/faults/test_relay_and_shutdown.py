"""Invariants: every committed event is published although relays die; a stopping service answers what it took."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, text

from commonweal import Client, TimedOut, Unavailable
from services.funding.models import Pool
from shared import ids
from shared.messaging.relay import LEADER_LOCK
from shared.messaging.tables import inbox, outbox
from shared.ops.launch import ServiceProcess
from shared.security.principal import TREASURER
from tests.support.outcomes import EDINBURGH
from tests.support.stage import Stage, eventually, stage_on_servers, stays

POOL = {"name": "A pool", "starts_on": "2026-04-01", "ends_on": "2029-03-31"}
CALLERS = 6


@pytest.fixture
def two_fundings(
    amqp_uri: str, make_database: Callable[[], str], tmp_path: Path
) -> Iterator[tuple[Stage, list[ServiceProcess]]]:
    """Proposals, and two instances of funding on one database."""
    with (
        stage_on_servers(amqp_uri, make_database, tmp_path, services=("proposals", "funding")) as stage,
        ServiceProcess("funding", stage.environment["funding"], name="funding-2") as second,
    ):
        second.wait_until_ready()
        yield stage, [stage.processes["funding"], second]


def test_one_relay_is_active_and_another_takes_over_when_its_process_dies(
    two_fundings: tuple[Stage, list[ServiceProcess]],
) -> None:
    stage, instances = two_fundings
    leader = eventually(lambda: leader_of(stage))
    assert len(leaders_of(stage)) == 1
    join_pools(stage, 5)
    eventually(lambda: unpublished(stage) == 0)
    # Which of the two processes leads cannot be seen from outside: kill one, then start it and kill the other.
    for process in instances:
        process.kill()
        join_pools(stage, 5)
        eventually(lambda: unpublished(stage) == 0)
        process.start()
        process.wait_until_ready()
    assert leader_of(stage) != leader
    eventually(lambda: count(stage, "proposals", select(func.count()).select_from(inbox)) == 15)


@pytest.mark.thorough
def test_a_service_that_is_told_to_stop_answers_every_call_that_it_took(
    amqp_uri: str, make_database: Callable[[], str], tmp_path: Path
) -> None:
    with stage_on_servers(amqp_uri, make_database, tmp_path, services=("funding",)) as stage:
        stopping = threading.Event()
        answered: list[str] = []
        token = stage.signing_key.issue("treasurer@test.example", [TREASURER])

        def call_until_told() -> None:
            with Client(amqp_uri, token, timeout_s=30) as client:
                while not stopping.is_set():
                    answered.append(client.funding.create_pool(**POOL)["pool_id"])

        with ThreadPoolExecutor(CALLERS) as callers:
            calls = [callers.submit(call_until_told) for _ in range(CALLERS)]
            eventually(lambda: len(answered) > 3 * CALLERS)
            # Three times stopped and started under load: calls that come meanwhile wait in the queue.
            for _ in range(3):
                before = len(answered)
                assert stage.processes["funding"].stop() == 0
                stage.processes["funding"].start()
                stage.processes["funding"].wait_until_ready()
                eventually(lambda before=before: len(answered) > before + CALLERS)
            stopping.set()
            for call in calls:
                call.result(timeout=60)
        # No call failed, none was answered twice, and none had an effect that nobody was told of.
        assert len(set(answered)) == len(answered)
        assert count(stage, "funding", select(func.count()).select_from(Pool)) == len(answered)
        eventually(lambda: unpublished(stage) == 0)


def test_a_call_in_work_keeps_a_stopping_service_until_it_is_answered_and_done_with(
    amqp_uri: str, make_database: Callable[[], str], tmp_path: Path
) -> None:
    with stage_on_servers(amqp_uri, make_database, tmp_path, services=("funding",)) as stage:
        treasurer = stage.caller(TREASURER)
        pool_id = treasurer.funding.create_pool(**POOL)["pool_id"]
        with ThreadPoolExecutor(1) as caller:
            with stage.database("funding").transaction() as session:
                session.execute(select(Pool).where(Pool.id == UUID(pool_id)).with_for_update())
                call = caller.submit(
                    treasurer.funding.add_member, pool_id=pool_id, council=EDINBURGH, joins_on="2026-04-01"
                )
                eventually(lambda: waiting_for_a_lock(stage))
                stage.processes["funding"].ask_to_stop()
                stage.processes["funding"].wait_for_line("funding is stopping")
                # Were the connection closed now, the broker would give the call to the next instance to run again.
                stays(lambda: stage.is_empty("rpc-funding"))
            assert call.result(timeout=30)["members"][0]["council"] == EDINBURGH
        assert stage.processes["funding"].stop() == 0
        assert stage.is_empty("rpc-funding")


@pytest.mark.thorough
def test_a_call_whose_service_is_killed_has_its_effect_once(
    amqp_uri: str, make_database: Callable[[], str], tmp_path: Path
) -> None:
    with stage_on_servers(amqp_uri, make_database, tmp_path, services=("funding",)) as stage:
        token = stage.signing_key.issue("treasurer@test.example", [TREASURER])
        answered: dict[str, str] = {}
        stopping = threading.Event()

        def call_until_told() -> None:
            with Client(amqp_uri, token, timeout_s=1) as client:
                while not stopping.is_set():
                    key = str(ids.new_id())
                    while key not in answered:
                        try:
                            answered[key] = client.funding.create_pool(**POOL, idempotency_key=key)["pool_id"]
                        except (TimedOut, Unavailable):
                            continue

        with ThreadPoolExecutor(CALLERS) as callers:
            calls = [callers.submit(call_until_told) for _ in range(CALLERS)]
            for _ in range(3):
                before = len(answered)
                eventually(lambda before=before: len(answered) > before + CALLERS, within_s=60)
                stage.processes["funding"].kill()
                stage.processes["funding"].start()
            stopping.set()
            for call in calls:
                call.result(timeout=90)
        assert len(set(answered.values())) == len(answered)
        assert count(stage, "funding", select(func.count()).select_from(Pool)) == len(answered)
        eventually(lambda: unpublished(stage) == 0)


def join_pools(stage: Stage, number: int) -> None:
    """Make pools that Edinburgh joins: an event each that proposals consumes."""
    treasurer = stage.caller(TREASURER)
    for _ in range(number):
        pool = treasurer.funding.create_pool(**POOL)
        treasurer.funding.add_member(pool_id=pool["pool_id"], council=EDINBURGH, joins_on="2026-04-01")


def leaders_of(stage: Stage) -> list[int]:
    """Return the database sessions that hold the relay's lock."""
    query = text("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = "
                 "(SELECT oid FROM pg_database WHERE datname = current_database()) AND "
                 "((classid::bigint << 32) | objid::bigint) = :lock")  # fmt: skip
    with stage.database("funding").transaction() as session:
        return list(session.scalars(query, {"lock": LEADER_LOCK}))


def leader_of(stage: Stage) -> int | None:
    """Return the database session of the active relay."""
    leaders = leaders_of(stage)
    return leaders[0] if leaders else None


def waiting_for_a_lock(stage: Stage) -> bool:
    return count(stage, "funding", text("SELECT count(*) FROM pg_locks WHERE NOT granted")) > 0


def unpublished(stage: Stage) -> int:
    return count(stage, "funding", select(func.count()).select_from(outbox).where(outbox.c.published_at.is_(None)))


def count(stage: Stage, service: str, statement: Any) -> int:
    with stage.database(service).transaction() as session:
        return session.scalar(statement) or 0
