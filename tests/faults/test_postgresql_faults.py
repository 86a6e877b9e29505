"""Invariant: whatever PostgreSQL does to a service, calls and events have their effect once, and nothing is half done.

The server is restarted and killed under load, holds locks for too long, ends transactions for real conflicts, has no
connection left or refuses to write. A caller is answered or told that the same key may be sent again; an event waits.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import date
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from commonweal import Client, TimedOut, Unavailable
from services.funding.models import Pool
from services.proposals.models import Member
from shared import clock, ids
from shared.messaging.attempts import MAX_ATTEMPTS
from shared.messaging.idempotency import KEY_FIELD
from shared.messaging.tables import idempotency_keys, inbox, outbox
from shared.security.principal import TREASURER
from shared.storage.database import Database, is_transient
from tests.faults.test_attempts import attempts
from tests.support import invariants
from tests.support.database_faults import away, deadlocks_noticed_late, full_server, read_only, serializable
from tests.support.invariants import Observer
from tests.support.outcomes import ABERDEENSHIRE, EDINBURGH, STIRLING
from tests.support.patience import PatientStage
from tests.support.programme import active_award, paid_tranche
from tests.support.servers import PostgresServer, Servers
from tests.support.stage import eventually, stage_on_servers

POOL = {"name": "A pool", "starts_on": "2026-04-01", "ends_on": "2029-03-31"}
CALLERS = 4
#: Longer than the service tries: three times the lock timeout.
LONG_TIMEOUT_S = 40.0


@pytest.fixture(scope="module")
def server(servers: Servers) -> Iterator[PostgresServer]:
    """A PostgreSQL of this module's own."""
    with servers.private_postgresql() as private:
        yield private


@pytest.fixture(scope="module")
def stage(servers: Servers, server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PatientStage]:
    """All three services on that server; an event that fails is tried again after a while, for some 15 seconds."""
    vhost = servers.broker.create_vhost()
    with stage_on_servers(
        vhost, server.create_database, tmp_path_factory.mktemp("stage"), retry_delays_ms=(100, 1000)
    ) as running:
        patient = PatientStage.of(running)
        yield patient
        patient.close()
    servers.broker.delete_vhost(vhost)


@pytest.fixture(scope="module")
def observer(stage: PatientStage) -> Iterator[Observer]:
    """Hears every event from the first on."""
    with Observer(stage).listening() as listening:
        yield listening


def check(stage: PatientStage, observer: Observer) -> None:
    """Everything agrees, each call had its effect once, and nobody was told anything but to send the same key again."""
    invariants.check(stage, observer)
    invariants.calls_had_their_effect_once(stage, stage.answered)
    for error in stage.refused:
        assert isinstance(error, TimedOut | Unavailable)
        assert "idempotency" in str(error), error


def restart(server: PostgresServer) -> None:
    server.restart()


def crash(server: PostgresServer) -> None:
    server.kill()
    server.restart()


@pytest.mark.thorough
@pytest.mark.timeout(300)
@pytest.mark.parametrize("interrupt", [restart, crash])
def test_a_server_restarted_under_load_loses_and_doubles_nothing(
    stage: PatientStage, observer: Observer, server: PostgresServer, interrupt: Callable[[PostgresServer], None]
) -> None:
    stopping = threading.Event()

    def call_until_told() -> None:
        treasurer = stage.caller(TREASURER)
        while not stopping.is_set():
            pool_id = treasurer.funding.create_pool(**POOL)["pool_id"]
            for council in (EDINBURGH, STIRLING):
                treasurer.funding.add_member(pool_id=pool_id, council=council, joins_on="2026-04-01")

    with ThreadPoolExecutor(CALLERS + 1) as callers:
        calls = [callers.submit(call_until_told) for _ in range(CALLERS)]
        programme = callers.submit(lambda: paid_tranche(stage, active_award(stage)))
        try:
            for _ in range(3):
                before = stage.answered["add_member"]
                eventually(lambda before=before: stage.answered["add_member"] > before + 2 * CALLERS, within_s=60)
                interrupt(server)
            programme.result(timeout=100)
        finally:
            stopping.set()
        for call in calls:
            call.result(timeout=100)
    check(stage, observer)


@pytest.mark.thorough
def test_a_lock_held_for_too_long_delays_calls_and_events_and_breaks_none(
    stage: PatientStage, observer: Observer
) -> None:
    treasurer = stage.caller(TREASURER)
    pool_id = treasurer.funding.create_pool(**POOL)["pool_id"]
    other_id = treasurer.funding.create_pool(**POOL)["pool_id"]
    joins = {"council": EDINBURGH, "joins_on": "2026-04-01"}
    with stage.database("funding").transaction() as locking, stage.database("proposals").transaction() as inserting:
        for session in (locking, inserting):
            be_no_victim(session)
        locking.execute(select(Pool).where(Pool.id == UUID(pool_id)).with_for_update())
        # The row that the event would make, by a transaction that ends without it.
        inserting.add(Member(pool_id=UUID(other_id), council=EDINBURGH, joins_on=date(2026, 4, 1)))
        inserting.flush()
        treasurer.funding.add_member(pool_id=other_id, **joins)
        with pytest.raises(Unavailable) as refused:
            impatient(stage, treasurer).funding.add_member(pool_id=pool_id, **joins)
        assert_says_same_key(refused.value)
        event_id = last_event(stage, other_id)
        eventually(lambda: attempts(stage.processes["proposals"], event_id))
        inserting.rollback()
    repeat(treasurer, refused.value, "add_member", pool_id=pool_id, **joins)
    check(stage, observer)


@pytest.mark.thorough
def test_serialization_failures_are_tried_again(stage: PatientStage, observer: Observer) -> None:
    pool_ids = [stage.caller(TREASURER).funding.create_pool(**POOL)["pool_id"] for _ in range(2)]
    before = statistic(stage, "xact_rollback")
    with serializable(stage.database_urls["funding"]), ThreadPoolExecutor(8) as callers:
        for council in (EDINBURGH, STIRLING, ABERDEENSHIRE, "S12000047", "S12000049"):
            calls = [
                callers.submit(
                    stage.caller(TREASURER).funding.add_member, pool_id=pool_id, council=council, joins_on="2026-04-01"
                )
                for pool_id in pool_ids
            ]
            receipts = [
                callers.submit(
                    stage.caller(TREASURER).funding.record_receipt,
                    pool_id=pool_ids[0],
                    council=EDINBURGH,
                    amount_pence=100,
                    bank_reference=str(ids.new_id()),
                    received_on="2026-05-01",
                )
                for _ in range(4 if council != EDINBURGH else 0)
            ]
            for call in calls + receipts:
                call.result(timeout=90)
    eventually(lambda: statistic(stage, "xact_rollback") > before)
    check(stage, observer)


@pytest.mark.thorough
def test_a_deadlock_is_tried_again_and_nobody_notices(stage: PatientStage, observer: Observer) -> None:
    treasurer = stage.caller(TREASURER, subject="treasurer@test.example")
    pool_id = treasurer.funding.create_pool(**POOL)["pool_id"]
    before = statistic(stage, "deadlocks")
    key = str(ids.new_id())
    joins = {"pool_id": pool_id, "council": EDINBURGH, "joins_on": "2026-04-01", KEY_FIELD: key}
    with (
        deadlocks_noticed_late(stage.database_urls["funding"]),
        ThreadPoolExecutor(1) as caller,
        stage.database("funding").transaction() as session,
    ):
        be_no_victim(session)
        session.execute(select(Pool).where(Pool.id == UUID(pool_id)).with_for_update())
        call = caller.submit(impatient(stage, treasurer).funding.add_member, **joins)
        eventually(lambda: waiting_for_a_lock(stage, "funding"))
        # The service holds the key and waits for the pool; now the pool's holder waits for the key.
        session.execute(
            insert(idempotency_keys).values(
                subject="treasurer@test.example",
                key=key,
                method="",
                request_hash=bytes(32),
                answer={},
                recorded_at=clock.now(),
            )
        )
        session.rollback()
        assert call.result(timeout=60)["members"][0]["council"] == EDINBURGH
    stage.answered["add_member"] += 1
    eventually(lambda: statistic(stage, "deadlocks") > before)

    before = statistic(stage, "deadlocks", "proposals")
    joins = {"pool_id": pool_id, "council": STIRLING, "joins_on": "2026-04-01"}
    with (
        deadlocks_noticed_late(stage.database_urls["proposals"]),
        stage.database("proposals").transaction() as session,
    ):
        be_no_victim(session)
        session.add(Member(pool_id=UUID(pool_id), council=STIRLING, joins_on=date(2026, 4, 1)))
        session.flush()
        treasurer.funding.add_member(**joins)
        eventually(lambda: waiting_for_a_lock(stage, "proposals"))
        # The service holds the receipt and waits for the member; now the member's holder waits for the receipt.
        event_id = last_event(stage, pool_id)
        session.execute(insert(inbox).values(source="funding", event_id=event_id, type="", processed_at=clock.now()))
        session.rollback()
    eventually(lambda: statistic(stage, "deadlocks", "proposals") > before)
    check(stage, observer)


@pytest.mark.thorough
@pytest.mark.parametrize("fault", [away, read_only, full_server])
def test_a_call_is_refused_while_its_database_cannot_be_used_and_may_be_sent_again(
    stage: PatientStage, observer: Observer, fault: Callable[[str], AbstractContextManager[None]]
) -> None:
    treasurer = stage.caller(TREASURER)
    pool_id = treasurer.funding.create_pool(**POOL)["pool_id"]
    joins = {"pool_id": pool_id, "council": EDINBURGH, "joins_on": "2026-04-01"}
    with fault(stage.database_urls["funding"]):
        with pytest.raises(Unavailable) as refused:
            impatient(stage, treasurer).funding.add_member(**joins)
        assert_says_same_key(refused.value)
    repeat(treasurer, refused.value, "add_member", **joins)
    check(stage, observer)


@pytest.mark.thorough
@pytest.mark.parametrize("fault", [away, read_only])
def test_an_event_waits_for_a_database_that_cannot_be_used(
    stage: PatientStage, observer: Observer, fault: Callable[[str], AbstractContextManager[None]]
) -> None:
    treasurer = stage.caller(TREASURER)
    pool_id = treasurer.funding.create_pool(**POOL)["pool_id"]
    with fault(stage.database_urls["proposals"]):
        treasurer.funding.add_member(pool_id=pool_id, council=EDINBURGH, joins_on="2026-04-01")
        event_id = last_event(stage, pool_id)
        # One failure more and it would lie among the dead letters, were the database not to blame.
        eventually(lambda: len(attempts(stage.processes["proposals"], event_id)) >= MAX_ATTEMPTS)
    check(stage, observer)


def test_what_a_session_could_not_write_the_next_one_writes(database_url: str) -> None:
    database = Database(database_url)
    with database.transaction() as session:
        session.execute(text("CREATE TABLE notes (note text)"))

    def write(session: Session) -> None:
        session.execute(text("INSERT INTO notes VALUES ('written')"))

    with read_only(database_url):
        with pytest.raises(DBAPIError) as refused:
            database.run(write)
        assert is_transient(refused.value)
    # A session keeps what the database was set to at its beginning: it must not go back to the pool.
    database.run(write)
    database.close()


def be_no_victim(session: Session) -> None:
    """Keep the server from ending the test's own transaction: it is the service's that is to suffer."""
    session.execute(text("SET LOCAL deadlock_timeout = '60s'"))
    session.execute(text("SET LOCAL lock_timeout = '60s'"))
    session.execute(text("SET LOCAL statement_timeout = '60s'"))
    session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))


def impatient(stage: PatientStage, like: Client) -> Client:
    """Return a client of the same person that is told what a patient one would not mention."""
    client = Client(stage.amqp_uri, like._token, timeout_s=LONG_TIMEOUT_S)
    stage.patient.append(client)
    return client


def assert_says_same_key(error: Unavailable) -> None:
    assert error.code == "database_unavailable"
    assert "same idempotency key" in str(error)
    assert error.idempotency_key


def repeat(client: Client, error: Unavailable, method: str, **arguments: Any) -> None:
    getattr(client.funding, method)(**arguments, idempotency_key=error.idempotency_key)


def last_event(stage: PatientStage, subject: str) -> str:
    with stage.database("funding").transaction() as session:
        of_subject = select(outbox.c.event_id).where(outbox.c.subject == subject)
        return str(session.scalar(of_subject.order_by(outbox.c.position.desc()).limit(1)))


def statistic(stage: PatientStage, name: str, service: str = "funding") -> int:
    with stage.database(service).transaction() as session:
        return int(session.scalar(text(f"SELECT {name} FROM pg_stat_database WHERE datname = current_database()")) or 0)


def waiting_for_a_lock(stage: PatientStage, service: str) -> bool:
    with stage.database(service).transaction() as session:
        return bool(session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))
