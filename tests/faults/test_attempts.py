"""Invariant: an event that cannot be processed is tried exactly as often as said, after the configured waits, and kept.

What is counted are the attempts that the service logs, with their moments; no wait is shorter than configured.
"""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from shared import clock, ids
from shared.events.catalogue import event_type
from shared.messaging.attempts import MAX_ATTEMPTS, MAX_ATTEMPTS_TRANSIENT
from shared.messaging.consumer import ATTEMPTS_HEADER, ERROR_HEADER, REASON_HEADER
from shared.messaging.events import Event
from shared.messaging.topology import dead_letters_of, queue_of
from shared.ops.launch import ServiceProcess
from tests.faults.test_out_of_order import award_story
from tests.integration.messaging.test_delivery import receipts_of
from tests.support.database_faults import away
from tests.support.messages import message_of
from tests.support.outcomes import EDINBURGH, FUNDED_AT
from tests.support.proposals import Programme, chair
from tests.support.stage import Stage, eventually, stage_on_servers

#: Growing, and each used: the last one for every attempt from the third on.
DELAYS_MS = (120, 250, 400)
ATTEMPT = re.compile(r"^(\S+ \S+) WARNING +\S+ (\S+) failed, attempt (\d+)", re.MULTILINE)


@pytest.fixture
def stage(amqp_uri: str, make_database: Callable[[], str], tmp_path: Path) -> Iterator[Stage]:
    """Proposals alone, which tries an event again after :data:`DELAYS_MS`."""
    with stage_on_servers(
        amqp_uri, make_database, tmp_path, services=("proposals",), retry_delays_ms=DELAYS_MS
    ) as running:
        yield running


def attempts(process: ServiceProcess, event_id: str) -> list[tuple[float, int]]:
    """Return an event's failed attempts as the service logged them: the moment in ms, and the number."""
    return [
        (datetime.fromisoformat(at).timestamp() * 1000, int(number))
        for at, of, number in ATTEMPT.findall(process.output())
        if of == event_id
    ]


def assert_waited(tries: list[tuple[float, int]]) -> None:
    """Between one attempt and the next lies its delay; the log's moments are cut to whole milliseconds."""
    for (earlier, number), (later, _) in pairwise(tries):
        assert later - earlier >= DELAYS_MS[min(number, len(DELAYS_MS)) - 1] - 1, tries


def joined() -> Event:
    kind = event_type("funding", "member_joined")
    data: dict[str, Any] = {"pool_id": ids.new_id(), "council": EDINBURGH, "joins_on": date(2026, 4, 1)}
    return Event(str(ids.new_id()), kind, str(ids.new_id()), 2, FUNDED_AT, kind.load(kind.dump(data)))


@pytest.mark.thorough
def test_a_refused_event_is_tried_to_its_limit_and_a_transient_failure_for_longer(stage: Stage) -> None:
    process = stage.processes["proposals"]
    refused = award_story(ids.new_id())[0]
    stage.publish(message_of(refused))
    letter = stage.take(dead_letters_of("proposals"), event_id=refused.id)
    assert letter.headers[REASON_HEADER] == "attempts_used_up"
    assert letter.headers[ATTEMPTS_HEADER] == MAX_ATTEMPTS
    assert "proposal_unknown" in letter.headers[ERROR_HEADER] or "no proposal" in letter.headers[ERROR_HEADER]
    tries = attempts(process, refused.id)
    assert [number for _, number in tries] == list(range(1, MAX_ATTEMPTS + 1))
    assert_waited(tries)

    # As many attempts that the database is to blame for are no reason to give up.
    with away(stage.database_urls["proposals"]):
        event = joined()
        stage.publish(message_of(event))
        eventually(lambda: len(attempts(process, event.id)) > MAX_ATTEMPTS)
    eventually(lambda: receipts_of(stage, "proposals", event.id) == 1)
    assert stage.is_empty(dead_letters_of("proposals"))
    tries = attempts(process, event.id)
    assert [number for _, number in tries] == list(range(1, len(tries) + 1))
    assert_waited(tries)


@pytest.mark.thorough
def test_a_database_that_stays_away_uses_up_the_longer_limit_and_the_event_is_kept(stage: Stage) -> None:
    event = joined()
    with away(stage.database_urls["proposals"]):
        stage.publish(message_of(event))
        letter = stage.take(dead_letters_of("proposals"), event_id=event.id)
    assert letter.headers[REASON_HEADER] == "attempts_used_up"
    assert letter.headers[ATTEMPTS_HEADER] == MAX_ATTEMPTS_TRANSIENT
    tries = attempts(stage.processes["proposals"], event.id)
    assert [number for _, number in tries] == list(range(1, MAX_ATTEMPTS_TRANSIENT + 1))
    assert_waited(tries)
    assert receipts_of(stage, "proposals", event.id) == 0
    stage.publish(message_of(event))
    eventually(lambda: receipts_of(stage, "proposals", event.id) == 1)


@pytest.mark.thorough
def test_an_award_that_comes_before_its_approval_is_retried_until_that_is_there(stage: Stage) -> None:
    programme = Programme(stage.database("proposals"))
    with clock.using(clock.FixedClock(datetime(2026, 10, 5, 9, 30, tzinfo=UTC))):
        proposal_id = programme.assessed()
    story = award_story(UUID(proposal_id))
    funded = next(event for event in story if event.type.name == "project_funded")
    offered = next(event for event in story if event.subject == funded.subject)
    stage.publish(message_of(funded), message_of(offered))
    eventually(lambda: attempts(stage.processes["proposals"], funded.id))
    programme.call("determine", chair(), proposal_id=proposal_id, revision=1, outcome="approved", minute="Agreed.")
    eventually(lambda: programme.seen(proposal_id)["state"] == "funded")
    eventually(lambda: receipts_of(stage, "proposals", offered.id) == 1)
    eventually(lambda: stage.is_empty(queue_of("proposals")))
    assert stage.is_empty(dead_letters_of("proposals"))
