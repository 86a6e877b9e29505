"""Housekeeping deletes what is old enough and nothing else, in small transactions, on both databases."""

import itertools
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, insert, select

from shared import ids
from shared.clock import FixedClock, RehearsalClock, using
from shared.config import Retention
from shared.messaging import housekeeping
from shared.messaging import inbox as incoming
from shared.messaging.housekeeping import Housekeeper, Pruned
from shared.messaging.tables import idempotency_keys, inbox, inbox_attempts, outbox
from shared.storage.database import Database
from tests.integration.conftest import OpenDatabase
from tests.support import outcomes
from tests.support.messages import message_of
from tests.support.stage import Stage, eventually, stage_on_servers

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
KEPT = Retention(outbox_days=10, inbox_days=20, idempotency_keys_days=5)
INSTANT = timedelta(microseconds=1)
BATCH_SIZE = 10

#: Says how many rows are left after each batch, then waits to be told to go on; only ever killed.
PRUNING = """
import sys
from datetime import UTC, datetime
from shared import clock
from shared.config import Retention
from shared.messaging import housekeeping
from shared.storage.database import Database

housekeeping.BATCH_SIZE = 10
clock.install(clock.FixedClock(datetime(2026, 7, 1, 12, tzinfo=UTC)))

def rest(seconds):
    print("a batch is deleted", flush=True)
    return bool(sys.stdin.readline())

housekeeping.Housekeeper(Database(sys.argv[1]), Retention(10, 20, 5)).prune(rest)
"""


@pytest.fixture(autouse=True)
def time() -> Iterator[FixedClock]:
    with using(FixedClock(NOW)) as fixed:
        assert isinstance(fixed, FixedClock)
        yield fixed


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "BATCH_SIZE", BATCH_SIZE)


@pytest.fixture
def database(open_database: OpenDatabase) -> Database:
    return open_database("outcomes")


@pytest.fixture
def housekeeper(database: Database) -> Housekeeper:
    return Housekeeper(database, KEPT)


def go_on(seconds: float) -> bool:
    return True


def fill(
    database: Database,
    *,
    published: list[datetime | None] | None = None,
    received: list[datetime] | None = None,
    attempted: list[datetime] | None = None,
    answered: list[datetime] | None = None,
) -> None:
    """Write rows of those times; an event that is not published is a year old."""
    with database.transaction() as session:
        for at in published or []:
            session.execute(
                insert(outbox).values(
                    event_id=ids.new_id(), name="project_funded", version=1, subject="a", sequence=1, data={},
                    recorded_at=at or NOW - timedelta(days=365), published_at=at,
                )
            )  # fmt: skip
        for number, at in enumerate(received or []):
            session.execute(
                insert(inbox).values(source="funding", event_id=f"{at}-{number}", type="x", processed_at=at)
            )
        for number, at in enumerate(attempted or []):
            session.execute(
                insert(inbox_attempts).values(
                    source="funding", event_id=f"{at}-{number}", type="x", failed=1, unfinished=0, last_at=at
                )
            )
        for number, at in enumerate(answered or []):
            session.execute(
                insert(idempotency_keys).values(
                    subject="ann", key=f"{at}-{number}", method="m", request_hash=b"", answer={}, recorded_at=at
                )
            )


def left(database: Database) -> tuple[int, int, int]:
    """How many events, receipts and keys there are."""
    with database.transaction() as session:
        events, receipts, keys = (
            session.scalar(select(func.count()).select_from(table)) or 0 for table in (outbox, inbox, idempotency_keys)
        )
    return events, receipts, keys


def times(database: Database, column: Any) -> list[datetime]:
    with database.transaction() as session:
        return list(session.scalars(select(column).order_by(column)))


def test_a_row_goes_when_it_is_older_than_its_age_and_not_before(database: Database, housekeeper: Housekeeper) -> None:
    def around(days: int) -> list[datetime]:
        edge = NOW - timedelta(days=days)
        return [edge - timedelta(days=100), edge - INSTANT, edge, edge + INSTANT, NOW]

    fill(database, published=[*around(10)], received=around(20), attempted=around(20), answered=around(5))
    expected = Pruned(events=2, receipts=2, attempts=2, idempotency_keys=2)
    assert housekeeper.count() == expected
    assert left(database) == (5, 5, 5)
    assert housekeeper.prune(go_on) == expected
    assert times(database, outbox.c.published_at) == around(10)[2:]
    assert times(database, inbox.c.processed_at) == around(20)[2:]
    assert times(database, inbox_attempts.c.last_at) == around(20)[2:]
    assert times(database, idempotency_keys.c.recorded_at) == around(5)[2:]
    assert housekeeper.prune(go_on) == housekeeper.count() == Pruned()


def test_an_event_that_is_not_published_stays_however_old_it_is(database: Database, housekeeper: Housekeeper) -> None:
    """Even where so many of them stand first that a whole batch holds nothing else."""
    old = NOW - timedelta(days=30)
    fill(database, published=[*[None] * (2 * BATCH_SIZE + 5), old, None, old, NOW])
    assert housekeeper.prune(go_on) == Pruned(events=2)
    with database.transaction() as session:
        pending = select(func.count()).where(outbox.c.published_at.is_(None))
        assert session.scalar(pending) == 2 * BATCH_SIZE + 6
    assert left(database)[0] == 2 * BATCH_SIZE + 7


def test_an_event_that_was_published_late_is_kept_from_then(database: Database, housekeeper: Housekeeper) -> None:
    fill(database, published=[None])
    with database.transaction() as session:
        session.execute(outbox.update().values(published_at=NOW))
    assert housekeeper.prune(go_on) == Pruned()
    assert left(database)[0] == 1


def test_it_deletes_in_small_transactions_and_rests_after_each(database: Database, housekeeper: Housekeeper) -> None:
    """All receipts of one moment, too: a bulk replay writes them so."""
    old = NOW - timedelta(days=30)
    fill(database, published=[old] * 25, received=[old] * 25, answered=[old - i * INSTANT for i in range(25)])
    seen = [sum(left(database))]
    rests: list[float] = []

    def rest(seconds: float) -> bool:
        seen.append(sum(left(database)))
        rests.append(seconds)
        return True

    assert housekeeper.prune(rest) == Pruned(events=25, receipts=25, idempotency_keys=25)
    steps = [before - after for before, after in itertools.pairwise(seen)]
    assert steps == [10, 10, 5] * 3
    assert all(seconds >= housekeeping.MIN_REST_S for seconds in rests)


def test_it_ends_after_the_batch_in_which_it_is_told_to(database: Database, housekeeper: Housekeeper) -> None:
    old = NOW - timedelta(days=30)
    fill(database, published=[old] * 25, received=[old] * 25, answered=[old] * 25)
    assert housekeeper.prune(lambda _: False) == Pruned(events=10)
    assert left(database) == (15, 25, 25)


def test_two_at_once_delete_each_row_once_and_no_other(database: Database, housekeeper: Housekeeper) -> None:
    old = NOW - timedelta(days=30)
    fill(database, published=[old] * 25 + [NOW], received=[old] * 25 + [NOW], answered=[old] * 25 + [NOW])
    barrier = threading.Barrier(2)
    outcomes_of_both: list[Pruned | None] = []

    def prune() -> None:
        barrier.wait()
        outcomes_of_both.append(Housekeeper(database, KEPT).prune(go_on))

    threads = [threading.Thread(target=prune) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done = [pruned for pruned in outcomes_of_both if pruned is not None]
    assert 1 <= len(done) <= len(outcomes_of_both) == 2
    assert sum(done, Pruned()) == Pruned(events=25, receipts=25, idempotency_keys=25)
    assert left(database) == (1, 1, 1)


@pytest.mark.parametrize("open_database", ["postgresql"], indirect=True)
def test_one_process_at_a_time_prunes_a_database(database: Database, housekeeper: Housekeeper) -> None:
    fill(database, published=[NOW - timedelta(days=30)] * 25)
    meanwhile: list[Pruned | None] = []

    def rest(seconds: float) -> bool:
        meanwhile.append(Housekeeper(database, KEPT).prune(go_on))
        return True

    assert housekeeper.prune(rest) == Pruned(events=25)
    assert set(meanwhile) == {None}
    assert housekeeper.prune(go_on) == Pruned()


@pytest.mark.parametrize("open_database", ["postgresql"], indirect=True)
def test_a_row_that_somebody_holds_is_not_waited_for(database: Database, housekeeper: Housekeeper) -> None:
    old = NOW - timedelta(days=30)
    fill(database, received=[old - INSTANT, old])
    with database.transaction() as session:
        session.execute(select(inbox).where(inbox.c.processed_at == old).with_for_update())
        assert housekeeper.prune(go_on) == Pruned(receipts=1)
    assert housekeeper.prune(go_on) == Pruned(receipts=1)


@pytest.mark.parametrize("open_database", ["postgresql"], indirect=True)
def test_without_the_lock_nothing_more_is_deleted(
    database: Database, housekeeper: Housekeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection that holds it is lost in the middle: another process may be pruning by now."""
    fill(database, published=[NOW - timedelta(days=30)] * 25)
    ended: list[bool] = []

    def rest(seconds: float) -> bool:
        if not ended:
            ended.append(end_the_holder(database))
        return True

    with pytest.raises(Exception, match="terminat"):
        housekeeper.prune(rest)
    assert ended == [True]
    assert left(database)[0] == 15
    assert housekeeper.prune(go_on) == Pruned(events=15)


def end_the_holder(database: Database) -> bool:
    with database.transaction() as session:
        connection: Connection = session.connection()
        return bool(
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_locks WHERE locktype = 'advisory' AND database ="
                " (SELECT oid FROM pg_database WHERE datname = current_database()) AND"
                f" ((classid::bigint << 32) | objid::bigint) = {housekeeping.PRUNING_LOCK}"
            ).scalar()
        )


def test_killed_in_the_middle_it_leaves_whole_batches_and_another_goes_on(
    database: Database, housekeeper: Housekeeper
) -> None:
    old = NOW - timedelta(days=30)
    fill(database, published=[old] * 25 + [NOW], received=[old] * 25)
    url = database.url.render_as_string(hide_password=False)
    with subprocess.Popen(
        [sys.executable, "-c", PRUNING, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        for remaining in (16, 6):
            assert process.stdout.readline() == "a batch is deleted\n"
            assert left(database) == (remaining, 25, 0)
            if remaining == 16:
                process.stdin.write("go on\n")
                process.stdin.flush()
        process.kill()
    pruned = eventually(lambda: housekeeper.prune(go_on))
    assert pruned == Pruned(events=5, receipts=25)
    assert left(database) == (1, 0, 0)


def test_a_replay_has_no_second_effect_as_long_as_the_receipt_is_kept(
    database: Database, housekeeper: Housekeeper, time: FixedClock
) -> None:
    event = outcomes.project_funded()
    effects = []

    def replay() -> None:
        with database.transaction() as session:
            if incoming.receive(session, event):
                effects.append(event.id)

    replay()
    for _ in range(2):
        time.advance(timedelta(days=10))
        housekeeper.prune(go_on)
        replay()
    assert effects == [event.id]
    time.advance(INSTANT)
    assert housekeeper.prune(go_on) == Pruned(receipts=1)


def test_a_service_prunes_by_itself_and_stops_when_told(
    amqp_uri: str, make_database: Callable[[], str], tmp_path: Path
) -> None:
    rehearsal = RehearsalClock(tmp_path / "clock")
    start = rehearsal.now()
    environment = {
        "COMMONWEAL_REHEARSAL_CLOCK": str(rehearsal.path),
        "COMMONWEAL_HOUSEKEEPING_INTERVAL_S": "1",
        "COMMONWEAL_KEEP_OUTBOX_DAYS": "10",
        "COMMONWEAL_KEEP_INBOX_DAYS": "20",
    }
    with stage_on_servers(
        amqp_uri, make_database, tmp_path, services=("outcomes",), extra_environment=environment
    ) as stage:
        message = message_of(outcomes.project_funded())
        stage.publish(message)
        eventually(lambda: published(stage) and left(stage.database("outcomes"))[:2] == (1, 1))
        service = stage.processes["outcomes"]
        rehearsal.set(start + timedelta(days=11))
        service.wait_for_line("deleted: published events 1, receipts 0, attempts 0, idempotency keys 0")
        assert left(stage.database("outcomes"))[:2] == (0, 1)
        stage.publish(message)
        service.wait_for_line("had its effect before")
        rehearsal.set(start + timedelta(days=21))
        service.wait_for_line("deleted: published events 0, receipts 1, attempts 0, idempotency keys 0")
        assert left(stage.database("outcomes"))[:2] == (0, 0)
        assert service.stop() == 0
        assert "Traceback" not in service.output()


def published(stage: Stage) -> bool:
    with stage.database("outcomes").transaction() as session:
        return bool(session.scalar(select(func.count()).where(outbox.c.published_at.is_not(None))))
