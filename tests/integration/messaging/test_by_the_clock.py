"""What is due is done once, row by row, whatever fails beside it, on both databases."""

import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Select, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from services.proposals.models import ReferenceCounter
from shared import clock, ids
from shared.audit.tables import audit
from shared.errors import Conflict
from shared.events.catalogue import event_type
from shared.messaging import by_the_clock, outbox
from shared.messaging.by_the_clock import CLOCK_LOCK, Job, RowKey, StillDue, Timekeeper, jobs_of
from shared.messaging.tables import outbox as outbox_table
from shared.security.principal import CDO, problem_of
from shared.storage.database import Database
from shared.storage.own_connection import ConnectionLost, OwnConnection, own_connection
from tests.integration.conftest import OpenDatabase

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
BATCH_SIZE = 5
DONE = 1_000

#: SQLite has one process, and no server that could go away.
ON_SERVERS = pytest.mark.parametrize("open_database", ["postgresql"], indirect=True)


def due(now: datetime) -> Select[Any]:
    """A counter of an earlier year is due until it is done: its number is then a large one. Its key has two columns."""
    return (
        select(ReferenceCounter)
        .where(ReferenceCounter.year < now.year, ReferenceCounter.last_number < DONE)
        .order_by(ReferenceCounter.year)
    )


class Service:
    """Does each row that is due, tells it, and fails for the years that it is told to."""

    def __init__(self, database: Database) -> None:
        self.storage = database
        self.failing: set[int] = set()

    @by_the_clock.by_the_clock(due)
    def settle(self, session: Session, row: ReferenceCounter, now: datetime) -> Mapping[str, object]:
        """Settle a year."""
        row.last_number += DONE
        data = {"round_id": ids.new_id(), "closed_at": now}
        outbox.record(session, event_type("proposals", "round_closed"), subject=row.year, sequence=1, data=data)
        if row.year in self.failing:
            raise Conflict("not_now", "Not now.")
        return {"round_id": data["round_id"], "year": row.year}


[JOB] = jobs_of(Service).values()


@pytest.fixture(autouse=True)
def today() -> Iterator[clock.FixedClock]:
    with clock.using(fixed := clock.FixedClock(NOW)):
        yield fixed


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_the_clock, "BATCH_SIZE", BATCH_SIZE)


@pytest.fixture
def service(open_database: OpenDatabase) -> Service:
    return Service(open_database("proposals"))


def fill(service: Service, *years: int) -> None:
    service.storage.run(
        lambda session: session.add_all(ReferenceCounter(kind="R", year=year, last_number=1) for year in years)
    )


def done(service: Service) -> list[int]:
    """The years that are settled; each was counted up once, told once and left one row in the audit trail."""

    def read(session: Session) -> list[int]:
        settled = session.execute(
            select(ReferenceCounter.year, ReferenceCounter.last_number)
            .where(ReferenceCounter.last_number >= DONE)
            .order_by(ReferenceCounter.year)
        ).all()
        assert all(number == DONE + 1 for _, number in settled)
        told = sorted(int(subject) for subject in session.scalars(select(outbox_table.c.subject)))
        assert told == [year for year, _ in settled]
        assert session.scalar(select(func.count()).select_from(audit)) == len(settled)
        return told

    return service.storage.run(read)


def timekeeper(service: Service, **options: Any) -> Timekeeper:
    return Timekeeper({JOB: partial(Service.settle, service)}, **options)


def look(service: Service, keeper: Timekeeper) -> bool:
    with own_connection(service.storage) as turn:
        return keeper.look(turn)


def test_what_is_due_is_done_once_and_what_is_not_waits_for_the_clock(
    service: Service, today: clock.FixedClock
) -> None:
    fill(service, 2024, 2025, 2026)
    keeper = timekeeper(service)
    for _ in range(2):
        assert not look(service, keeper)
        assert done(service) == [2024, 2025]
    today.advance(timedelta(days=365))
    look(service, keeper)
    assert done(service) == [2024, 2025, 2026]


def test_it_leaves_a_row_in_the_audit_trail_with_nobody_as_its_subject(service: Service) -> None:
    fill(service, 2025)
    look(service, timekeeper(service))
    [row] = service.storage.run(lambda session: session.execute(select(audit)).all())
    assert (row.kind, row.method, row.outcome, row.error) == ("clock", "settle", "done", None)
    assert (row.subject, row.council, row.roles, row.token_id) == (None, None, [], None)
    assert list(row.objects) == ["round_id"]


def test_the_longest_due_come_first_and_a_look_takes_no_more_than_a_batch(service: Service) -> None:
    fill(service, *range(2010, 2010 + BATCH_SIZE + 2))
    keeper = timekeeper(service)
    assert look(service, keeper)
    assert done(service) == list(range(2010, 2010 + BATCH_SIZE))
    assert not look(service, keeper)
    assert len(done(service)) == BATCH_SIZE + 2


def test_a_row_that_fails_leaves_nothing_stops_no_other_and_is_tried_again_after_growing_waits(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    # More of them than a batch, and all due for longer than the others.
    service.failing = set(range(2000, 2000 + BATCH_SIZE + 1))
    fill(service, *service.failing, 2020, 2021)
    seconds = [0.0]
    keeper = timekeeper(service, monotonic=lambda: seconds[0])
    while look(service, keeper):
        pass
    assert done(service) == [2020, 2021]
    attempts = []
    for second in range(40):
        seconds[0] = float(second)
        caplog.clear()
        while look(service, keeper):
            pass
        if caplog.records:
            assert len(caplog.records) == len(service.failing)
            attempts.append(second)
    assert attempts == [1, 3, 7, 15, 31]
    service.failing = {2000}
    seconds[0] = 63.0
    with caplog.at_level(logging.WARNING):
        while look(service, keeper):
            pass
    assert "settle failed for R, 2000 (attempt 7) and is tried again in 64 s: Not now." in caplog.text
    assert done(service) == [*range(2001, 2001 + BATCH_SIZE), 2020, 2021]


def test_a_job_of_which_everything_fails_is_not_tried_without_end(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_the_clock, "MAX_FAILING", 2 * BATCH_SIZE)
    service.failing = set(range(1900, 2020))
    fill(service, *service.failing)
    tried: list[RowKey] = []

    def settle(key: RowKey) -> Exception | None:
        tried.append(key)
        return Service.settle(service, key)

    keeper = Timekeeper({JOB: settle}, monotonic=lambda: 0.0)
    while look(service, keeper):
        pass
    assert len(tried) == 2 * BATCH_SIZE
    assert done(service) == []


def test_a_job_that_cannot_even_look_stops_no_other(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    fill(service, 2025)
    broken = Job("broken", lambda now: select(ReferenceCounter).where(text("no_such_column = 1")))
    seconds = [0.0]
    jobs: dict[Job, Callable[[RowKey], Exception | None]] = {
        broken: lambda key: None,
        JOB: partial(Service.settle, service),
    }
    keeper = Timekeeper(jobs, monotonic=lambda: seconds[0])
    look(service, keeper)
    look(service, keeper)
    assert done(service) == [2025]
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "broken failed for every row (attempt 1) and is tried again in 1 s"
    ]


def test_a_row_that_two_processes_found_has_its_effect_once(service: Service) -> None:
    fill(service, 2023, 2024, 2025)
    with own_connection(service.storage) as turn, turn.transaction() as connection:
        keys = JOB.find(connection, NOW, 100)
    with ThreadPoolExecutor(6) as threads:
        assert set(threads.map(partial(Service.settle, service), keys * 4)) == {None}
    assert done(service) == [2023, 2024, 2025]


def test_what_leaves_its_row_due_is_undone_and_not_done_each_second(service: Service) -> None:
    fill(service, 2025)

    def forget(session: Session, row: ReferenceCounter, now: datetime) -> Mapping[str, object]:
        row.last_number += 1
        return {}

    with pytest.raises(StillDue, match="settle has left the row due"):
        service.storage.run(lambda session: JOB.do(session, ("R", 2025), forget))
    assert service.storage.run(lambda session: session.scalar(select(ReferenceCounter.last_number))) == 1


def test_it_ends_between_two_rows_when_it_is_told_to(service: Service) -> None:
    fill(service, 2023, 2024, 2025)
    keeper = timekeeper(service, is_stopping=lambda: len(done(service)) == 2)
    look(service, keeper)
    assert done(service) == [2023, 2024]


@ON_SERVERS
def test_a_database_that_went_away_ends_the_look_and_counts_against_no_row(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    fill(service, 2024, 2025)
    tried: list[RowKey] = []

    def settle(key: RowKey) -> Exception | None:
        tried.append(key)
        service.storage.run(partial(_end_session, turn))
        return Conflict("not_now", "Not now.")

    keeper = Timekeeper({JOB: settle})
    with pytest.raises(DBAPIError), own_connection(service.storage) as turn:
        keeper.look(turn)
    assert tried == [("R", 2024)]
    assert not caplog.records
    look(service, timekeeper(service))
    assert done(service) == [2024, 2025]


@ON_SERVERS
def test_whoever_lost_the_lock_looks_no_more(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    """The database answers again at once: a new connection would do, and would not hold the lock."""
    fill(service, 2025)
    keeper = timekeeper(service)
    with own_connection(service.storage) as turn:
        service.storage.run(partial(_end_session, turn))
        with pytest.raises(ConnectionLost):
            keeper.look(turn)
    assert done(service) == []
    assert not caplog.records


def _end_session(turn: OwnConnection, session: Session) -> None:
    assert turn.postgresql is not None
    pid = turn.postgresql.connection.driver_connection.get_backend_pid()  # type: ignore[union-attr]
    session.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})


@ON_SERVERS
def test_one_process_looks_at_a_time(service: Service) -> None:
    with ExitStack() as stack:
        first, second = (stack.enter_context(own_connection(service.storage)) for _ in range(2))
        assert first.try_lock(CLOCK_LOCK)
        assert not second.try_lock(CLOCK_LOCK)


def test_what_runs_by_itself_says_what_it_does() -> None:
    def silent(self: Any, session: Session, row: Any, now: datetime) -> dict[str, object]:
        return {}

    with pytest.raises(ValueError, match="silent runs by itself: its docstring must say what it does"):
        by_the_clock.by_the_clock(due)(silent)


def test_no_person_can_be_taken_for_the_clock() -> None:
    assert problem_of(clock.THE_CLOCK, [CDO], None)
    assert problem_of(clock.THE_CLOCK.replace(" ", "-"), [CDO], None) is None
