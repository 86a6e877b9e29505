"""Other systems beside ours, each in a process of its own with libraries of its own."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.messaging.consumer import ERROR_HEADER, REASON_HEADER
from shared.messaging.events import Event
from shared.messaging.topology import dead_letters_of, exchange_of, queue_of
from shared.security.principal import CDO
from tests.integration.messaging.test_delivery import plans_of, receipts_of
from tests.support import foreign, outcomes
from tests.support.programme import offered_award, s95_officer
from tests.support.stage import Stage, eventually, stays

PROGRAMS = Path(foreign.__file__).parent
TIMEOUT_S = 60
MODES = ["binary", "structured"]


def publish_with_pika(stage: Stage, mode: str, attributes: dict[str, Any], data: Any, *, times: int = 1) -> None:
    order = {
        "exchange": exchange_of("funding"),
        "routing_key": "project_funded",
        "mode": mode,
        "attributes": attributes,
        "data": data,
        "times": times,
    }
    run = subprocess.run(
        [sys.executable, PROGRAMS / "pika_publisher.py", stage.amqp_uri],
        cwd=PROGRAMS,
        input=json.dumps(order),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert run.returncode == 0, run.stderr


def attributes_of(event: Event) -> dict[str, Any]:
    return {
        "id": event.id,
        "source": "funding",
        "type": "commonweal.funding.project_funded.v1",
        "subject": event.subject,
        "time": event.time.isoformat(),
        "sequence": "3",
        "datacontenttype": "application/json",
    }


@contextlib.contextmanager
def stock_nameko(stage: Stage, service: str, directory: Path, **environment: str) -> Iterator[Path]:
    """Run a service by nameko's own command, away from our code; gives the file with what it prints."""
    printed = directory / f"{service}.out"
    with printed.open("wb") as out, (directory / f"{service}.err").open("wb") as err:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("nameko"), "run", "--broker", stage.amqp_uri, service],
            cwd=PROGRAMS,
            env={**os.environ, **environment},
            stdout=out,
            stderr=err,
        )
        try:
            yield printed
            assert process.poll() is None, err.name
        finally:
            process.terminate()
            try:
                process.wait(TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.mark.parametrize("mode", MODES)
def test_what_pika_and_the_cloudevents_sdk_publish_has_its_effect_once(stage: Stage, mode: str) -> None:
    event = outcomes.project_funded()
    publish_with_pika(stage, mode, attributes_of(event), event.type.dump(event.data), times=2)
    (plan,) = eventually(lambda: plans_of(stage, event))
    assert plan["title"] == event.data["content"]["title"]
    eventually(lambda: stage.is_empty(queue_of("outcomes")))
    stays(lambda: len(plans_of(stage, event)) == 1, for_s=0.5)
    assert receipts_of(stage, "outcomes", event.id) == 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("missing", ["subject", "sequence"])
def test_an_attribute_that_is_missing_is_named_in_the_dead_letters(stage: Stage, mode: str, missing: str) -> None:
    event = outcomes.project_funded()
    attributes = {name: value for name, value in attributes_of(event).items() if name != missing}
    data = event.type.dump(event.data)
    publish_with_pika(stage, mode, attributes, data)
    for service in ("outcomes", "proposals"):
        letter = letter_of(stage, service, event)
        assert letter.headers[REASON_HEADER] == "undecodable"
        assert f"missing: {missing}. Publish it again with" in letter.headers[ERROR_HEADER]
        body = json.loads(letter.body)
        assert (body["data"] if mode == "structured" else body) == data
    # Mended, it may keep its id.
    publish_with_pika(stage, mode, attributes_of(event), data)
    assert eventually(lambda: plans_of(stage, event))


@pytest.mark.parametrize("mode", MODES)
def test_a_field_that_breaks_the_schema_is_named_in_the_dead_letters(stage: Stage, mode: str) -> None:
    event = outcomes.project_funded()
    sound = event.type.dump(event.data)
    broken = {**sound, "amount_pence": "much", "content": {**sound["content"], "benefits": None}}
    publish_with_pika(stage, mode, attributes_of(event), broken)
    for service in ("outcomes", "proposals"):
        letter = letter_of(stage, service, event)
        assert letter.headers[REASON_HEADER] == "schema"
        for said in ("amount_pence", "content.benefits", "commonweal.funding.project_funded.v1", "Publish it again"):
            assert said in letter.headers[ERROR_HEADER]
    publish_with_pika(stage, mode, attributes_of(event), sound)
    assert eventually(lambda: plans_of(stage, event))


def test_a_plain_nameko_service_receives_the_data_of_our_events_beside_our_own(stage: Stage, tmp_path: Path) -> None:
    queue = "evt-funding-project_funded--payroll.note"
    with stock_nameko(stage, "nameko_listener", tmp_path) as printed:
        eventually(lambda: has_consumer(stage, queue), within_s=TIMEOUT_S)
        award = offered_award(stage)
        accepted = s95_officer(stage).funding.accept_award(award_id=award["award_id"])
        (received,) = eventually(
            lambda: [
                each
                for each in map(json.loads, printed.read_text().splitlines())
                if each["payload"]["project_id"] == accepted["project_id"]
            ]
        )
        assert received["type"] == "dict"
        assert received["payload"]["award_id"] == award["award_id"]
        assert received["payload"]["content"]["title"]
        assert received["ours"] == []
        assert eventually(lambda: stage.caller(CDO).outcomes.get_plan(project_id=accepted["project_id"]))
        eventually(lambda: stage.is_empty(queue))
    with stage.connect() as connection, connection.channel() as channel:
        channel.queue_delete(queue)


def test_what_namekos_own_dispatcher_publishes_is_kept_with_the_reason(stage: Stage, tmp_path: Path) -> None:
    event = outcomes.project_funded()
    data = event.type.dump(event.data)
    with stock_nameko(stage, "nameko_dispatcher", tmp_path, EVENT_DATA=json.dumps(data)) as printed:
        eventually(lambda: printed.read_text() == "dispatched\n", within_s=TIMEOUT_S)
        for service in ("outcomes", "proposals"):
            letter = letter_of(stage, service, event)
            assert letter.headers[REASON_HEADER] == "undecodable"
            assert "no CloudEvent" in letter.headers[ERROR_HEADER]
            assert "ce-" in letter.headers[ERROR_HEADER]
            assert json.loads(letter.body) == data
            assert letter.content_type == "application/json"
    assert not plans_of(stage, event)
    assert stage.processes["outcomes"].is_running


def letter_of(stage: Stage, service: str, event: Event) -> Any:
    """Take an event from a service's dead letters; proposals' also have sound ones, of proposals that it never had."""
    while True:
        letter = stage.take(dead_letters_of(service))
        if event.subject.encode() in body_of(letter):
            return letter


def body_of(message: Any) -> bytes:
    return message.body.encode() if isinstance(message.body, str) else bytes(message.body)


def has_consumer(stage: Stage, queue: str) -> bool:
    with stage.connect() as connection, connection.channel() as channel:
        return bool(channel.queue_declare(queue=queue, passive=True).consumer_count)
