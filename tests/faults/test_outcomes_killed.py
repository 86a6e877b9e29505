"""Invariant: a funded project gets its tracking plan once, whatever happens to the outcomes service meanwhile."""

import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from services.outcomes.models import Plan
from shared import ids
from shared.messaging.publisher import Publisher
from shared.messaging.tables import inbox, outbox
from shared.messaging.topology import queue_of
from shared.ops.launch import ServiceProcess
from shared.security.principal import CDO
from tests.support import outcomes
from tests.support.messages import message_of
from tests.support.programme import offered_award, s95_officer
from tests.support.stage import Stage, eventually, stage_on_servers

DELIVERIES = 100
PUBLISHERS = 5


def test_outcomes_killed_before_the_acceptance_and_started_again_makes_the_plan_once(
    amqp_uri: str, make_database: Callable[[], str], tmp_path: Path
) -> None:
    with stage_on_servers(amqp_uri, make_database, tmp_path) as stage:
        award = offered_award(stage)
        stage.processes["outcomes"].kill()
        accepted = s95_officer(stage).funding.accept_award(award_id=award["award_id"])
        assert accepted["project_id"]
        # The event waits for outcomes at the broker, not in funding.
        eventually(lambda: not stage.is_empty(queue_of("outcomes")))
        stage.processes["outcomes"].start()
        stage.processes["outcomes"].wait_until_ready()
        plan = eventually(lambda: stage.caller(CDO).outcomes.get_plan(project_id=accepted["project_id"]))
        assert plan["award_id"] == award["award_id"]
        assert count_plans(stage) == 1


@pytest.mark.thorough
def test_outcomes_killed_in_the_middle_of_its_work_makes_every_plan_once(
    amqp_uri: str, make_database: Callable[[], str], tmp_path: Path
) -> None:
    funded = [outcomes.project_funded() for _ in range(60)]
    with stage_on_servers(amqp_uri, make_database, tmp_path, services=("outcomes",)) as stage:
        stage.publish(*map(message_of, funded))
        for already in (5, 20, 40):
            eventually(lambda already=already: count_plans(stage) >= already)
            stage.processes["outcomes"].kill()
            stage.processes["outcomes"].start()
        eventually(lambda: count_plans(stage) == len(funded), within_s=60)
        assert_each_once(stage, funded)


def test_one_event_a_hundred_times_at_once_to_two_instances_makes_one_plan(
    amqp_uri: str, make_database: Callable[[], str], tmp_path: Path
) -> None:
    event = outcomes.project_funded()
    message = message_of(event)
    # Half of the deliveries repeat the event's id, half tell the same fact under ids of their own.
    others = [message_of(dataclasses.replace(event, id=str(ids.new_id()))) for _ in range(DELIVERIES // 2)]
    with (
        stage_on_servers(amqp_uri, make_database, tmp_path, services=("outcomes",)) as stage,
        ServiceProcess("outcomes", stage.environment["outcomes"], name="outcomes-2") as second,
    ):
        second.wait_until_ready()
        barrier = threading.Barrier(PUBLISHERS)

        def publish(share: int) -> None:
            publisher = Publisher(amqp_uri)
            barrier.wait()
            for number in range(share, DELIVERIES, PUBLISHERS):
                assert publisher.publish([others[number // 2] if number % 2 else message]) == {}
            publisher.close()

        threads = [threading.Thread(target=publish, args=(share,)) for share in range(PUBLISHERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        eventually(lambda: count(stage, select(func.count()).select_from(inbox)) == 1 + len(others))
        assert_each_once(stage, [event])


def assert_each_once(stage: Stage, funded: list[Any]) -> None:
    """One plan per project, one event of it, nothing left over, nothing dead-lettered."""
    assert count_plans(stage) == len(funded)
    with stage.database("outcomes").transaction() as session:
        told = session.execute(select(outbox.c.data).where(outbox.c.name == "tracking_plan_created")).scalars().all()
    assert sorted(data["project_id"] for data in told) == sorted(str(event.data["project_id"]) for event in funded)
    eventually(lambda: stage.is_empty(queue_of("outcomes")))
    assert stage.is_empty("outcomes.dead-letters")


def count_plans(stage: Stage) -> int:
    return count(stage, select(func.count()).select_from(Plan))


def count(stage: Stage, statement: Any) -> int:
    with stage.database("outcomes").transaction() as session:
        return session.scalar(statement) or 0
