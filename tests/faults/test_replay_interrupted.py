"""Invariants: whoever works on dead letters may be killed at any moment and loses none; what was sent again twice for
it has one effect.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from services.outcomes.models import Plan
from shared.messaging import broker
from shared.messaging.tables import inbox
from shared.messaging.topology import dead_letters_of, queue_of, topology
from tests.support import outcomes
from tests.support.letters import Operator, letter_of, publish
from tests.support.messages import message_of
from tests.support.servers import Servers
from tests.support.stage import Stage, eventually, stage_on_servers

LETTERS = dead_letters_of("outcomes")
QUEUE = queue_of("outcomes")
NUMBER = 100

#: Where a command ends its own process by SIGKILL: a method, and whether before or after one of its calls.
BEFORE_PUBLISHING = ("shared.messaging.dead_letters", "Publisher", "publish", "before")
BETWEEN_PUBLISHING_AND_ACKNOWLEDGING = ("shared.messaging.dead_letter_queue", "Look", "remove", "before")
AFTER_ACKNOWLEDGING = ("shared.messaging.dead_letter_queue", "Look", "remove", "after")
WHILE_LOOKING = ("shared.messaging.dead_letters", "Filter", "matches", "before")
WHILE_GIVING_BACK = ("shared.messaging.dead_letter_queue", "Look", "give_back", "after")

_KILLED_AT = """
import importlib, os, signal, sys
module, owner, method, when, count = sys.argv[1:6]
owner = getattr(importlib.import_module(module), owner)
whole, calls = getattr(owner, method), 0
def killed(*arguments):
    global calls
    calls += 1
    if when == "before" and calls == int(count):
        os.kill(os.getpid(), signal.SIGKILL)
    result = whole(*arguments)
    if when == "after" and calls == int(count):
        os.kill(os.getpid(), signal.SIGKILL)
    return result
setattr(owner, method, killed)
from shared.ops.cli import main
main(sys.argv[6:])
"""


def ops(amqp_uri: str, *arguments: object, killed_at: tuple[str, ...], count: int = 3) -> int:
    """Run a command in a process that ends itself there; returns its exit code."""
    return subprocess.run(
        [sys.executable, "-c", _KILLED_AT, *killed_at, str(count), "dead-letters", *map(str, arguments)],
        env={**os.environ, "COMMONWEAL_AMQP_URI": amqp_uri},
        capture_output=True,
        timeout=60,
        check=False,
    ).returncode


@pytest.fixture
def stage(amqp_uri: str, make_database: Callable[[], str], tmp_path: Path) -> Iterator[Stage]:
    with stage_on_servers(amqp_uri, make_database, tmp_path, services=("outcomes",)) as running:
        yield running


@pytest.mark.thorough
def test_a_replay_killed_at_any_step_loses_no_letter_and_every_effect_is_there_once(stage: Stage) -> None:
    events = [outcomes.project_funded() for _ in range(12)]
    publish(stage.amqp_uri, *(letter_of(message_of(event)) for event in events))
    for step in (BEFORE_PUBLISHING, BETWEEN_PUBLISHING_AND_ACKNOWLEDGING, AFTER_ACKNOWLEDGING):
        killed = ops(stage.amqp_uri, "replay", "outcomes", "--all", killed_at=step)
        assert killed == -signal.SIGKILL
    # Between the two the letter is both with its service and still here.
    assert Operator(stage.amqp_uri).types("replay", "outcomes", "--all").exit_code == 0
    assert_each_once(stage, len(events))


@pytest.mark.thorough
def test_a_replay_killed_again_and_again_ends_with_every_effect_once(stage: Stage) -> None:
    publish(stage.amqp_uri, *(letter_of(message_of(outcomes.project_funded())) for _ in range(NUMBER)))
    for count in (1, 2, 5, 9, 14, 20):
        for step in (BETWEEN_PUBLISHING_AND_ACKNOWLEDGING, AFTER_ACKNOWLEDGING):
            eventually(lambda: not stage.is_empty(LETTERS))
            killed = ops(stage.amqp_uri, "replay", "outcomes", "--all", killed_at=step, count=count)
            assert killed == -signal.SIGKILL
    assert Operator(stage.amqp_uri).types("replay", "outcomes", "--all").exit_code == 0
    assert_each_once(stage, NUMBER)


@pytest.mark.thorough
def test_looking_that_is_killed_loses_no_letter(amqp_uri: str) -> None:
    with broker.connect(amqp_uri) as connection:
        topology().apply(connection)
    letters = [letter_of(message_of(outcomes.project_funded())) for _ in range(150)]
    publish(amqp_uri, *letters)
    sent = [letter.message_id for letter in letters]
    for command, step, count in (
        (["list"], WHILE_LOOKING, 140),
        (["list"], WHILE_GIVING_BACK, 1),
        (["replay", "--reason", "schema"], WHILE_LOOKING, 140),
        (["discard", "--reason", "schema", "--yes"], WHILE_GIVING_BACK, 1),
    ):
        assert ops(amqp_uri, *command, "outcomes", killed_at=step, count=count) == -signal.SIGKILL
        assert sorted(eventually(lambda: all_of(amqp_uri, len(sent)))) == sorted(sent)


def test_a_discard_that_is_killed_has_saved_what_is_gone(amqp_uri: str, tmp_path: Path) -> None:
    with broker.connect(amqp_uri) as connection:
        topology().apply(connection)
    letters = [letter_of(message_of(outcomes.project_funded())) for _ in range(8)]
    publish(amqp_uri, *letters)
    kept = tmp_path / "kept.jsonl"
    discard = ("discard", "outcomes", "--all", "--yes", "--save", kept)
    for step in (BETWEEN_PUBLISHING_AND_ACKNOWLEDGING, AFTER_ACKNOWLEDGING):
        assert ops(amqp_uri, *discard, killed_at=step) == -signal.SIGKILL
        saved = {json.loads(line)["id"] for line in kept.read_text().splitlines()}
        eventually(
            lambda saved=saved: (
                saved | set(Operator(amqp_uri).names("outcomes")) == {letter.message_id for letter in letters}
            )
        )
    assert Operator(amqp_uri).types(*discard).exit_code == 0
    saved = {json.loads(line)["id"] for line in kept.read_text().splitlines()}
    assert saved == {letter.message_id for letter in letters}


@pytest.mark.thorough
def test_a_broker_killed_during_a_replay_loses_no_letter(servers: Servers) -> None:
    with servers.private_broker() as private:
        with broker.connect(private.amqp_uri) as connection:
            topology().apply(connection)
        letters = [letter_of(message_of(outcomes.project_funded())) for _ in range(2_000)]
        publish(private.amqp_uri, *letters)
        replay = subprocess.Popen(
            [Path(sys.executable).with_name("commonweal-ops"), "dead-letters", "replay", "outcomes", "--all"],
            env={**os.environ, "COMMONWEAL_AMQP_URI": private.amqp_uri},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        eventually(lambda: count_in(private.amqp_uri, QUEUE) > 20)
        private.kill()
        said, problem = replay.communicate(timeout=90)
        assert replay.returncode == 1
        assert "replayed" in said
        assert "Error: " in problem
        assert "Traceback" not in problem
        private.restart()
        replayed = set(taken(private.amqp_uri, QUEUE))
        left = set(taken(private.amqp_uri, LETTERS))
        assert replayed | left == {letter.message_id for letter in letters}
        assert replayed
        assert left


def all_of(amqp_uri: str, number: int) -> list[str] | None:
    """Return the letters' ids once the broker has given back every one of them."""
    names = Operator(amqp_uri).names("outcomes")
    return names if len(names) == number else None


def count_in(amqp_uri: str, queue: str) -> int:
    with broker.connect(amqp_uri) as connection, connection.channel() as channel:
        return int(channel.queue_declare(queue, passive=True).message_count)


def taken(amqp_uri: str, queue: str) -> list[str]:
    with broker.connect(amqp_uri) as connection, connection.channel() as channel:
        eventually(lambda: channel.queue_declare(queue, passive=True).message_count)
        messages = iter(lambda: channel.basic_get(queue, no_ack=True), None)
        return [message.properties["message_id"] for message in messages]


def assert_each_once(stage: Stage, number: int) -> None:
    """A plan and a receipt for each event, nothing left over."""
    eventually(lambda: count(stage, inbox) == number, within_s=60)
    eventually(lambda: stage.is_empty(QUEUE))
    assert count(stage, Plan) == count(stage, inbox) == number
    assert Operator(stage.amqp_uri).names("outcomes") == []


def count(stage: Stage, table: object) -> int:
    with stage.database("outcomes").transaction() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0  # type: ignore[arg-type]
