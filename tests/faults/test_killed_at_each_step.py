"""Invariant: at whatever step a service is killed, every committed event arrives and has its effect exactly once.

And nothing comes of a transaction that was rolled back, no call has its effect twice, and the first arrivals keep the
order of their aggregate. The process ends itself by SIGKILL at the step (``tests.support.dies_at``), in the middle of
a programme that is played to its end once a normal instance has taken over.
"""

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from shared.messaging.attempts import MAX_ATTEMPTS
from shared.messaging.consumer import ATTEMPTS_HEADER, REASON_HEADER
from shared.messaging.publisher import Message
from shared.messaging.topology import dead_letters_of, queue_of
from shared.ops.launch import SERVE, ServiceProcess
from tests.support import invariants
from tests.support.funding import EDINBURGH, FIFE, Funding
from tests.support.invariants import Observer
from tests.support.patience import PatientStage
from tests.support.programme import active_award, paid_tranche
from tests.support.servers import Servers
from tests.support.stage import eventually, fresh_stage, stage_on_servers

#: Step, service and the passing at which it dies: at a call that leaves an event, at an event of each service, at rows
#: of a backlog of five events each of three pools, which the relay publishes in five waves of three.
STEPS = [
    ("call-before-handler", "funding", 3),
    ("call-before-commit", "proposals", 5),
    ("call-after-commit", "funding", 6),
    ("call-after-reply", "proposals", 4),
    ("event-before-handler", "proposals", 2),
    ("event-before-commit", "outcomes", 1),
    ("event-after-commit", "funding", 2),
    ("event-after-commit", "proposals", 3),
    ("acknowledged", "outcomes", 1),
    ("relay-batch-read", "funding", 1),
    ("relay-sent-unconfirmed", "funding", 2),
    ("relay-sent-unconfirmed", "funding", 8),
    ("relay-confirmed-unmarked", "funding", 1),
    ("relay-confirmed-unmarked", "funding", 5),
    ("relay-confirmed-unmarked", "outcomes", 1),
    ("relay-marked", "proposals", 3),
]
FORWARDING_STEPS = ["retry-before-forwarding", "retry-forwarded-unacknowledged", "dead-letter-forwarded-unacknowledged"]
POOLS, COUNCILS = 3, (EDINBURGH, "S12000034", FIFE, "S12000030")


@pytest.fixture(scope="module")
def stage(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PatientStage]:
    """All three services, on databases and a virtual host of their own; shared by this module's tests."""
    with fresh_stage(servers, tmp_path_factory.mktemp("stage")) as running:
        patient = PatientStage.of(running)
        yield patient
        patient.close()


@pytest.fixture(scope="module")
def observer(stage: PatientStage) -> Iterator[Observer]:
    """Hears every event from the first on."""
    with Observer(stage).listening() as listening:
        yield listening


@pytest.mark.thorough
@pytest.mark.parametrize(("step", "service", "passing"), STEPS, ids=lambda value: str(value))
def test_a_service_killed_at_a_step_loses_and_doubles_nothing(
    stage: PatientStage, observer: Observer, step: str, service: str, passing: int
) -> None:
    let_die(stage, service, step, passing, meanwhile=leave_backlog)
    with ThreadPoolExecutor(1) as programme:
        played = programme.submit(play, stage)
        await_death_and_restart(stage, service)
        assert play_is_right(played.result(timeout=100))
    invariants.check(stage, observer)
    invariants.calls_had_their_effect_once(stage, stage.answered)


@pytest.mark.thorough
@pytest.mark.parametrize("step", FORWARDING_STEPS)
def test_a_service_killed_while_it_lays_an_event_aside_loses_and_doubles_nothing(
    stage: PatientStage, observer: Observer, step: str
) -> None:
    def break_and_leave_backlog(stage: PatientStage) -> None:
        rename_table(stage, "members", "members_away")
        leave_backlog(stage)

    let_die(stage, "proposals", step, 2, meanwhile=break_and_leave_backlog)
    eventually(lambda: not stage.processes["proposals"].is_running, within_s=60)
    rename_table(stage, "members_away", "members")
    await_death_and_restart(stage, "proposals")
    if step.startswith("dead-letter"):
        # Two were laid into the dead letters, and one of them was delivered again, with its effect this time.
        for _ in range(2):
            letter = stage.take(dead_letters_of("proposals"))
            assert letter.headers[REASON_HEADER] == "attempts_used_up"
            assert letter.headers[ATTEMPTS_HEADER] == MAX_ATTEMPTS
            stage.publish(again(letter))
    invariants.check(stage, observer)
    invariants.calls_had_their_effect_once(stage, stage.answered)


def test_both_ends_of_an_event_killed_lose_and_double_nothing(
    amqp_uri: str, make_database: Callable[[], str], tmp_path: Path
) -> None:
    with stage_on_servers(amqp_uri, make_database, tmp_path, services=()) as running, ExitStack() as stack:
        stage = PatientStage.of(running)
        stack.callback(stage.close)
        observer = stack.enter_context(Observer(stage).listening())
        for service in ("funding", "proposals"):
            process = ServiceProcess(service, stage.environment[service])
            stage.processes[service] = stack.enter_context(process)
        let_die(stage, "funding", "relay-confirmed-unmarked", 3, meanwhile=leave_backlog)
        let_die(stage, "proposals", "event-after-commit", 2)
        for service in ("funding", "proposals"):
            await_death_and_restart(stage, service)
        invariants.check(stage, observer)
        invariants.calls_had_their_effect_once(stage, stage.answered)


def let_die(
    stage: PatientStage,
    service: str,
    step: str,
    passing: int,
    *,
    meanwhile: Callable[[PatientStage], None] = lambda stage: None,
) -> None:
    """Start a service anew so that it will die at a step; something may happen while it does not run."""
    process = stage.processes[service]
    process.kill()
    meanwhile(stage)
    process.command = ("tests.support.dies_at", step, str(passing))
    process.start()


def await_death_and_restart(stage: PatientStage, service: str) -> None:
    process = stage.processes[service]
    eventually(lambda: not process.is_running, within_s=60)
    assert process.exit_code == -signal.SIGKILL, process.output()
    process.command = SERVE
    process.start()


def leave_backlog(stage: PatientStage) -> None:
    """Commit what funding's relay finds at its start, through funding's own handlers."""
    funding = Funding(stage.database("funding"))
    for _ in range(POOLS):
        funding.pool(*COUNCILS)
    stage.answered["create_pool"] += POOLS
    stage.answered["add_member"] += POOLS * len(COUNCILS)


def play(stage: PatientStage) -> dict[str, Any]:
    return paid_tranche(stage, active_award(stage))


def play_is_right(award: dict[str, Any]) -> bool:
    return [tranche["state"] for tranche in award["tranches"]] == ["paid", "locked"]


def rename_table(stage: PatientStage, name: str, to: str) -> None:
    """Make a table vanish, or come back: the most ordinary way in which every handler that needs it fails."""
    with stage.database("proposals").transaction() as session:
        session.execute(text(f"ALTER TABLE {name} RENAME TO {to}"))


def again(letter: Any) -> Message:
    """Return a dead letter as the message that it was, straight to the queue that it came from."""
    body = letter.body.encode() if isinstance(letter.body, str) else bytes(letter.body)
    headers = {name: value for name, value in letter.headers.items() if name.startswith("ce-")}
    return Message(letter.headers["ce-id"], "", queue_of("proposals"), body, headers, letter.content_type)
