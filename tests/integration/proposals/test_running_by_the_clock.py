"""Two processes of the service on real servers, and a clock that is moved on: what is due happens once."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kombu import Connection
from sqlalchemy import text

from shared import ids
from shared.clock import RehearsalClock
from shared.messaging.by_the_clock import CLOCK_LOCK
from shared.messaging.topology import exchange_of
from shared.ops.launch import ServiceProcess
from shared.security.principal import CDO
from tests.support.proposals import round_terms
from tests.support.servers import Servers
from tests.support.stage import Stage, eventually, fresh_stage

HOLDERS = text(
    "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
    " AND ((classid::bigint << 32) | objid::bigint) = :key"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> RehearsalClock:
    """The clock of both processes, at half past nine on 5 October 2026."""
    made = RehearsalClock(tmp_path_factory.mktemp("rehearsal") / "clock")
    made.set(datetime(2026, 10, 5, 9, 30, tzinfo=UTC))
    return made


@pytest.fixture(scope="module")
def stage(servers: Servers, tmp_path_factory: pytest.TempPathFactory, rehearsal: RehearsalClock) -> Iterator[Stage]:
    """The service in two processes."""
    with (
        fresh_stage(
            servers,
            tmp_path_factory.mktemp("stage"),
            services=("proposals",),
            extra_environment={"COMMONWEAL_REHEARSAL_CLOCK": str(rehearsal.path)},
        ) as running,
        ServiceProcess("proposals", running.environment["proposals"], name="proposals-2") as second,
    ):
        second.wait_until_ready()
        running.processes["proposals-2"] = second
        yield running


class Subscriber:
    """Somebody else who listens to the service's rounds."""

    def __init__(self, connection: Connection, queue: str) -> None:
        self._connection = connection
        self._queue = queue
        self.heard: list[tuple[str, dict[str, Any]]] = []

    def listen(self) -> list[tuple[str, dict[str, Any]]]:
        """Return all that has come so far: names and data."""
        with self._connection.channel() as channel:
            while (message := channel.basic_get(self._queue, no_ack=True)) is not None:
                name = message.delivery_info["routing_key"]
                self.heard.append((name, json.loads(channel.message_to_python(message).body)))
        return self.heard

    def heard_of(self, round_id: str) -> list[str]:
        """Return what has come about a round, in order."""
        return [name for name, data in self.listen() if data["round_id"] == round_id]


@contextmanager
def subscriber(stage: Stage) -> Iterator[Subscriber]:
    queue = f"listener-{ids.new_id()}"
    with stage.connect() as connection:
        with connection.channel() as channel:
            channel.queue_declare(queue=queue, durable=False, auto_delete=False, exclusive=True)
            channel.queue_bind(queue=queue, exchange=exchange_of("proposals"), routing_key="#")
        yield Subscriber(connection, queue)


def holders(stage: Stage) -> list[int]:
    """The database sessions of the processes that look at the clock."""
    with stage.database("proposals").transaction() as session:
        return list(session.scalars(HOLDERS, {"key": CLOCK_LOCK}))


def test_the_day_after_a_round_is_closed_and_a_subscriber_hears_of_it_once(
    stage: Stage, rehearsal: RehearsalClock
) -> None:
    cdo = stage.caller(CDO).proposals
    with subscriber(stage) as listener:
        planned = cdo.open_round(**round_terms(opens_on="2026-10-20", closes_on="2026-10-31"))["round_id"]
        rehearsal.set(datetime(2026, 10, 20, tzinfo=UTC))
        eventually(lambda: listener.heard_of(planned) == ["round_opened"])
        assert cdo.get_round(round_id=planned)["state"] == "open"
        rehearsal.set(datetime(2026, 11, 1, 0, 0, 1, tzinfo=UTC))
        eventually(lambda: listener.heard_of(planned) == ["round_opened", "round_closed"])
        closed = cdo.get_round(round_id=planned)
        assert (closed["closed_at"], closed["closed_by"]) == ("2026-11-01T00:00:00+00:00", "the clock")
        # What is told later has come, so whatever was told twice would have come before it.
        other = cdo.open_round(**round_terms())["round_id"]
        cdo.close_round(round_id=other)
        eventually(lambda: listener.heard_of(other) == ["round_opened", "round_closed"])
        assert listener.heard_of(planned) == ["round_opened", "round_closed"]


def test_it_goes_on_when_the_database_was_away_and_when_the_process_that_did_it_dies(
    stage: Stage, rehearsal: RehearsalClock
) -> None:
    cdo = stage.caller(CDO).proposals
    first, second = stage.processes.values()
    with subscriber(stage) as listener:

        def a_day_passes() -> None:
            round_id = cdo.open_round(**round_terms(closes_on=f"{rehearsal.now().date()}"))["round_id"]
            rehearsal.set(rehearsal.now() + timedelta(days=1))
            eventually(lambda: listener.heard_of(round_id) == ["round_opened", "round_closed"])

        [before] = eventually(lambda: holders(stage))
        end_sessions(stage)
        a_day_passes()
        [after] = eventually(lambda: holders(stage))
        assert after != before
        # One of the two holds the lock, so that one of the two ends is that of the process which watches the clock.
        for dies, stays in ((first, second), (second, first)):
            dies.kill()
            a_day_passes()
            dies.start()
            dies.wait_until_ready()
            assert stays.is_running
    for process in (first, second):
        assert process.stop() == 0
        assert "Traceback" not in process.output()


def end_sessions(stage: Stage) -> None:
    """End every process's sessions, as a database that restarts does."""
    others = "datname = current_database() AND pid <> pg_backend_pid()"
    with stage.database("proposals").transaction() as session:
        session.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"))
