"""Invariant: an event that ends its service's process each time goes to the dead letters, and no other goes with it.

Its neighbours are taken from the queue together with it, again and again, and each of them has its effect once.
"""

import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select

from services.proposals.models import Member
from shared.messaging.attempts import MAX_ATTEMPTS
from shared.messaging.dead_letters import ATTEMPTS_HEADER, ERROR_HEADER, REASON_HEADER
from shared.messaging.events import Event
from shared.messaging.tables import inbox, inbox_attempts
from shared.messaging.topology import dead_letters_of, queue_of
from shared.ops.launch import ServiceProcess
from tests.faults.test_attempts import joined
from tests.support.messages import message_of
from tests.support.stage import Stage, eventually, stage_on_servers

LETTERS = dead_letters_of("proposals")
#: With the one among them more than a service takes at once, which is ten.
NEIGHBOURS_BEFORE, NEIGHBOURS_AFTER = 4, 8


@pytest.mark.thorough
def test_an_event_that_ends_the_process_each_time_is_laid_aside_alone(
    amqp_uri: str, make_database: Callable[[], str], tmp_path: Path
) -> None:
    killer = joined()
    neighbours = [joined() for _ in range(NEIGHBOURS_BEFORE + NEIGHBOURS_AFTER)]
    events = [*neighbours[:NEIGHBOURS_BEFORE], killer, *neighbours[NEIGHBOURS_BEFORE:]]
    with stage_on_servers(amqp_uri, make_database, tmp_path, services=()) as stage:
        assert stage.publish(*map(message_of, events)) == {}
        deadly = ("tests.support.dies_at", "handling", killer.id)
        with ServiceProcess("proposals", stage.environment["proposals"], command=deadly) as process:
            ends = restart_until(process, lambda: not stage.is_empty(LETTERS))
            # The first time nothing tells which of the events in work it was; from then on it is counted.
            assert ends == 1 + MAX_ATTEMPTS
            eventually(lambda: members(stage) == joining(neighbours))
            eventually(lambda: stage.is_empty(queue_of("proposals")))
            assert receipts(stage) == {event.id for event in neighbours}

            letter = stage.take(LETTERS)
            assert letter.headers["ce-id"] == killer.id
            assert letter.headers[REASON_HEADER] == "attempts_used_up"
            assert letter.headers[ATTEMPTS_HEADER] == MAX_ATTEMPTS
            assert f"process ended {MAX_ATTEMPTS} times" in letter.headers[ERROR_HEADER]
            assert stage.is_empty(LETTERS)
            assert process.is_running
            assert unfinished(stage) == 0


def restart_until(process: ServiceProcess, so: Callable[[], bool]) -> int:
    """Start a process again whenever it is killed, as its supervisor does; returns how often that was."""
    ends = 0

    def watch() -> bool:
        nonlocal ends
        if not process.is_running:
            assert process.exit_code == -signal.SIGKILL, process.output()
            ends += 1
            process.start()
        return so()

    eventually(watch, within_s=100)
    return ends


def joining(events: list[Event]) -> Counter[str]:
    return Counter(str(event.data["pool_id"]) for event in events)


def members(stage: Stage) -> Counter[str]:
    with stage.database("proposals").transaction() as session:
        return Counter(map(str, session.scalars(select(Member.pool_id))))


def receipts(stage: Stage) -> set[str]:
    with stage.database("proposals").transaction() as session:
        return set(session.scalars(select(inbox.c.event_id)))


def unfinished(stage: Stage) -> int:
    """Return of how many events the service remembers attempts."""
    with stage.database("proposals").transaction() as session:
        return session.scalar(select(func.count()).select_from(inbox_attempts)) or 0
