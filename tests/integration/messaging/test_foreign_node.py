"""Systems in another language: programs in Node, with amqplib, that publish what a service consumes and the reverse.

The programs are in ``tests/node``; docs/events.md shows them to whoever writes such a system.
"""

import json
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import func, select

from services.outcomes.models import Plan
from shared import ids
from shared.messaging import broker
from shared.messaging.tables import outbox
from shared.messaging.topology import exchange_of, queue_of
from shared.security.principal import CDO, TREASURER
from tests.support.node import Node
from tests.support.outcomes import EDINBURGH, STIRLING
from tests.support.samples import samples_of
from tests.support.stage import Stage, eventually


def project_funded() -> dict[str, Any]:
    """A CloudEvent as JSON: the recorded sample, of a project of its own."""
    sample = samples_of("commonweal.funding.project_funded.v1")[0]
    attributes = {name.removeprefix("ce-"): value for name, value in sample.headers.items()}
    data = {**sample.data, "project_id": str(ids.new_id()), "award_id": str(ids.new_id())}
    return {**attributes, "id": str(ids.new_id()), "subject": data["award_id"], "data": data}


def plan_of(stage: Stage, event: dict[str, Any]) -> dict[str, Any] | None:
    """The tracking plan of an event's project, if there is one, and never more than one."""
    plans = stage.caller(CDO).outcomes.list_plans(limit=100)["items"]
    found = [plan for plan in plans if plan["project_id"] == event["data"]["project_id"]]
    assert len(found) <= 1
    return stage.caller(CDO).outcomes.get_plan(project_id=found[0]["project_id"]) if found else None


@pytest.mark.parametrize("mode", ["binary", "structured"])
def test_an_event_published_from_node_has_its_effect_once_though_it_is_sent_twice(
    stage: Stage, node: Node, mode: str
) -> None:
    event, next_one = project_funded(), project_funded()
    for sent, times in ((event, "2"), (event, "1"), (next_one, "1")):
        run = node.run("publish.mjs", stage.amqp_uri, mode, times, stdin=json.dumps(sent))
        assert (run.returncode, run.stderr) == (0, "")
    eventually(lambda: plan_of(stage, next_one))
    eventually(lambda: stage.is_empty(queue_of("outcomes")))

    plan = plan_of(stage, event)
    assert plan is not None
    content = event["data"]["content"]
    assert plan["title"] == content["title"]
    assert plan["proposal_reference"] == event["data"]["proposal_reference"]
    assert plan["amount_pence"] == event["data"]["amount_pence"]
    targets = {
        (benefit["key"], target["council"], target["period"], target["value"])
        for benefit in content["benefits"]
        for target in benefit["targets"]
    }
    periods = [
        (result["key"], period["council"], period["period"], period["target"])
        for result in plan["results"]
        for period in result["periods"]
    ]
    assert sorted(periods) == sorted(targets)
    with stage.database("outcomes").transaction() as session:
        ours = select(Plan.id).where(Plan.project_id == event["data"]["project_id"])
        (plan_id,) = session.scalars(ours)
        told = select(func.count()).select_from(outbox).where(outbox.c.subject == str(plan_id))
        assert session.scalar(told) == 1


def test_a_publisher_in_node_is_told_when_no_queue_takes_its_event(stage: Stage, node: Node) -> None:
    event = {**project_funded(), "type": "commonweal.funding.no_such_event.v1"}
    run = node.run("publish.mjs", stage.amqp_uri, "binary", stdin=json.dumps(event))
    assert run.returncode == 1
    assert run.stderr == "no queue takes it (funding.events, no_such_event)\n"


def test_a_consumer_in_node_receives_our_events_from_a_queue_of_its_own(stage: Stage, node: Node) -> None:
    queue = f"node-{ids.new_id()}"
    treasurer = stage.caller(TREASURER)
    with node.running("consume.mjs", stage.amqp_uri, exchange_of("funding"), "member_joined", queue) as consumer:
        assert consumer.stdout is not None
        assert json.loads(consumer.stdout.readline()) == {"ready": queue}
        pool = treasurer.funding.create_pool(name="Watched", starts_on="2026-04-01", ends_on="2029-03-31")
        for council in (EDINBURGH, STIRLING):
            treasurer.funding.add_member(pool_id=pool["pool_id"], council=council, joins_on="2026-04-01")
        received: list[dict[str, Any]] = []
        while len(received) < 2:
            message = json.loads(consumer.stdout.readline())
            if message["data"]["pool_id"] == pool["pool_id"]:
                received.append(message)
    assert consumer.returncode == 0

    with stage.database("funding").transaction() as session:
        of_pool = select(outbox).where(outbox.c.subject == pool["pool_id"], outbox.c.name == "member_joined")
        recorded = list(session.execute(of_pool.order_by(outbox.c.position)))
    for council, message, row in zip((EDINBURGH, STIRLING), received, recorded, strict=True):
        assert message["data"] == {"pool_id": pool["pool_id"], "council": council, "joins_on": "2026-04-01"}
        time = message["headers"].pop("ce-time")
        assert time.endswith("Z")
        assert datetime.fromisoformat(time) == row.recorded_at
        assert message["headers"] == {
            "ce-specversion": "1.0",
            "ce-id": str(row.event_id),
            "ce-source": "funding",
            "ce-type": "commonweal.funding.member_joined.v1",
            "ce-subject": pool["pool_id"],
            "ce-sequence": str(row.sequence),
        }
        properties = {name: value for name, value in message["properties"].items() if value is not None}
        assert properties == {
            "contentType": "application/json",
            "contentEncoding": "utf-8",
            "deliveryMode": 2,
            "messageId": str(row.event_id),
            "userId": broker.user_of(stage.amqp_uri),
            **{name: properties[name] for name in ("priority",) if name in properties},
        }
        assert message["fields"]["exchange"] == "funding.events"
        assert message["fields"]["routingKey"] == "member_joined"
        assert message["fields"]["redelivered"] is False
    # Acknowledged: the queue, which stays for the consumer's next run, holds nothing of this one's.
    assert stage.is_empty(queue)
    with stage.connect() as connection, connection.channel() as channel:
        channel.queue_delete(queue)
