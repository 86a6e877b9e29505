"""Events reach their effect: once, in whatever number, order and company they come."""

import dataclasses
import json
from datetime import timedelta
from typing import Any

from cloudevents.core.bindings import rabbitmq
from cloudevents.core.v1.event import CloudEvent
from sqlalchemy import func, select

from shared import clock, ids
from shared.audit.tables import audit
from shared.events.catalogue import event_type
from shared.messaging import events
from shared.messaging.attempts import MAX_ATTEMPTS
from shared.messaging.consumer import ATTEMPTS_HEADER, ERROR_HEADER, REASON_HEADER
from shared.messaging.tables import inbox, inbox_attempts, outbox
from shared.messaging.topology import dead_letters_of, exchange_of, queue_of
from shared.security.principal import CDO, TREASURER
from tests.support import outcomes
from tests.support.funding import contribution_received
from tests.support.messages import message_of
from tests.support.stage import Stage, eventually


def plans_of(stage: Stage, event: events.Event) -> list[dict[str, Any]]:
    listed = stage.caller(CDO).outcomes.list_plans()["items"]
    return [plan for plan in listed if plan["project_id"] == str(event.data["project_id"])]


def without(headers: dict[str, Any], name: str) -> dict[str, Any]:
    return {other: value for other, value in headers.items() if other != name}


def receipts_of(stage: Stage, service: str, event_id: str) -> int:
    with stage.database(service).transaction() as session:
        return len(session.execute(select(inbox).where(inbox.c.event_id == event_id)).all())


def test_an_event_that_comes_many_times_has_its_effect_once(stage: Stage) -> None:
    event = outcomes.project_funded()
    message = message_of(event)
    for _ in range(20):
        assert stage.publish(message) == {}
    eventually(lambda: plans_of(stage, event))
    eventually(lambda: stage.is_empty(queue_of("outcomes")))
    assert len(plans_of(stage, event)) == 1
    assert receipts_of(stage, "outcomes", event.id) == 1


def test_another_event_of_the_same_fact_makes_no_second_plan(stage: Stage) -> None:
    first = outcomes.project_funded()
    again = dataclasses.replace(first, id=str(ids.new_id()))
    stage.publish(message_of(first))
    stage.publish(message_of(again))
    eventually(lambda: receipts_of(stage, "outcomes", again.id))
    assert len(plans_of(stage, first)) == 1


def test_a_structured_event_is_read_as_well_as_a_binary_one(stage: Stage) -> None:
    event = outcomes.project_funded()
    structured = rabbitmq.to_structured_event(
        CloudEvent(
            {
                "id": event.id,
                "source": event.source,
                "type": event.type.type,
                "subject": event.subject,
                "time": event.time,
                "sequence": "1",
                "datacontenttype": "application/json",
            },
            event.type.dump(event.data),
        )
    )
    stage.publish(
        dataclasses.replace(
            message_of(event), body=structured.body, headers=structured.headers, content_type=structured.content_type
        )
    )
    assert len(eventually(lambda: plans_of(stage, event))) == 1


def test_unknown_fields_are_ignored_wherever_they_stand(stage: Stage) -> None:
    event = outcomes.project_funded()
    message = message_of(event)
    data = json.loads(message.body)
    data["added_later"] = 1
    data["content"]["added_later"] = 2
    data["content"]["benefits"][0]["baseline"]["added_later"] = 3
    stage.publish(dataclasses.replace(message, body=json.dumps(data).encode()))
    assert len(eventually(lambda: plans_of(stage, event))) == 1


def test_bad_messages_go_to_the_dead_letters_whole_and_their_neighbours_have_their_effect(stage: Stage) -> None:
    good_before, good_after = outcomes.project_funded(), outcomes.project_funded()
    # Straight into the queue: other services consume this event as well, and are another test's.
    sound = dataclasses.replace(message_of(outcomes.project_funded()), exchange="", routing_key=queue_of("outcomes"))
    broken = json.loads(sound.body)
    del broken["content"]["benefits"]
    headers = dict(sound.headers)
    bad = {
        "undecodable": [
            dataclasses.replace(sound, body=b"{not json"),
            dataclasses.replace(sound, body=b"\xff\xfe\x00"),
            *(dataclasses.replace(sound, headers=without(headers, name)) for name in headers),
            dataclasses.replace(sound, headers={}),
            dataclasses.replace(sound, content_type="application/cloudevents+json", body=b"[]"),
        ],
        "unknown_type": [
            dataclasses.replace(sound, headers={**headers, "ce-type": "commonweal.funding.project_funded.v99"}),
            dataclasses.replace(sound, headers={**headers, "ce-type": "commonweal.funding.no_such_thing.v1"}),
            dataclasses.replace(sound, headers={**headers, "ce-source": "proposals"}),
        ],
        "not_subscribed": [
            dataclasses.replace(
                sound,
                headers={**headers, "ce-type": "commonweal.funding.pool_opened.v1"},
                body=json.dumps(
                    {
                        "pool_id": str(ids.new_id()),
                        "name": "A pool",
                        "starts_on": "2026-04-01",
                        "ends_on": "2029-03-31",
                        "years": ["2026-27"],
                    }
                ).encode(),
            )
        ],
        "schema": [
            dataclasses.replace(sound, body=json.dumps(broken).encode()),
            dataclasses.replace(sound, body=b"[]"),
            dataclasses.replace(sound, headers={**headers, "ce-sequence": "one"}),
        ],
        "oversize": [dataclasses.replace(sound, body=b" " * (events.MAX_BODY_BYTES + 1))],
    }
    stage.publish(message_of(good_before))
    for reason, messages in bad.items():
        for message in messages:
            # One at a time, so that each dead letter is known to be this message's.
            assert stage.publish(message) == {}
            letter = stage.take(dead_letters_of("outcomes"))
            assert letter.headers[REASON_HEADER] == reason, letter.headers
            assert letter.headers[ERROR_HEADER]
            assert _bytes(letter.body) == message.body
            assert {name: letter.headers[name] for name in message.headers} == dict(message.headers)
            assert letter.content_type == message.content_type
    stage.publish(message_of(good_after))
    for good in (good_before, good_after):
        assert len(eventually(lambda good=good: plans_of(stage, good))) == 1


def test_a_handler_that_keeps_failing_is_tried_as_often_as_said_and_then_dead_lettered(stage: Stage) -> None:
    unknown_proposal = {
        "award_id": str(ids.new_id()),
        "pool_id": str(ids.new_id()),
        "proposal_id": str(ids.new_id()),
        "proposal_reference": "P-2026-9999",
        "lead_council": outcomes.EDINBURGH,
        "amount_pence": 100,
        "expires_on": "2026-12-31",
    }
    sent = events.encode(
        event_type("funding", "award_offered"),
        id=ids.new_id(),
        subject=unknown_proposal["award_id"],
        sequence=1,
        time=outcomes.FUNDED_AT,
        data=unknown_proposal,
    )
    stage.publish(sent)
    letter = stage.take(dead_letters_of("proposals"), event_id=sent.message_id)
    assert letter.headers[REASON_HEADER] == "attempts_used_up"
    assert letter.headers[ATTEMPTS_HEADER] == MAX_ATTEMPTS
    assert _bytes(letter.body) == sent.body
    assert receipts_of(stage, "proposals", sent.message_id) == 0


def test_an_event_that_is_itself_at_fault_is_laid_aside_at_once_with_a_row_and_may_be_sent_anew(stage: Stage) -> None:
    treasurer = stage.caller(TREASURER)
    pool = treasurer.funding.create_pool(name="Early", starts_on="2026-04-01", ends_on="2029-03-31")
    pool_id = pool["pool_id"]
    treasurer.funding.add_member(pool_id=pool_id, council=outcomes.EDINBURGH, joins_on="2026-04-01")
    tomorrow = clock.today() + timedelta(days=1)
    received = contribution_received(pool_id=pool_id, received_on=f"{tomorrow}")
    stage.publish(message_of(received))
    letter = stage.take(dead_letters_of("funding"), event_id=received.id)
    assert (letter.headers[REASON_HEADER], letter.headers[ATTEMPTS_HEADER]) == ("refused", 1)
    assert f"Invalid: {tomorrow} is in the future" in letter.headers[ERROR_HEADER]
    with stage.database("funding").transaction() as session:
        trail = session.execute(select(audit).where(audit.c.outcome == "in_the_future")).all()
        assert session.scalar(select(func.count()).select_from(inbox_attempts)) == 0
    assert [(row.kind, row.error) for row in trail if row.objects["event_id"] == received.id] == [("event", "Invalid")]
    corrected = {**received.data, "received_on": clock.today()}
    stage.publish(message_of(dataclasses.replace(received, data=corrected)))
    assert eventually(lambda: treasurer.funding.list_receipts(pool_id=pool_id)["items"])


def test_a_binding_that_somebody_took_away_is_there_again_before_the_next_event(stage: Stage) -> None:
    """Another listener's queue would take the event, and no broker tells that one of several queues did not."""
    treasurer = stage.caller(TREASURER)
    pool = treasurer.funding.create_pool(name="Unrouted", starts_on="2026-04-01", ends_on="2029-03-31")
    exchange, listener = exchange_of("funding"), f"listener-{ids.new_id()}"
    with stage.connect() as connection, connection.channel() as channel:
        channel.queue_declare(queue=listener, durable=False, auto_delete=False)
        channel.queue_bind(queue=listener, exchange=exchange, routing_key="member_joined")
        channel.queue_unbind(queue=queue_of("proposals"), exchange=exchange, routing_key="member_joined")
    for council in (outcomes.EDINBURGH, outcomes.STIRLING):
        treasurer.funding.add_member(pool_id=pool["pool_id"], council=council, joins_on="2026-04-01")
    joined = [row for row in _outbox(stage, pool["pool_id"]) if row.name == "member_joined"]
    assert len(joined) == 2
    for row in joined:
        assert eventually(lambda row=row: receipts_of(stage, "proposals", str(row.event_id))) == 1
        stage.take(listener, event_id=str(row.event_id))
    with stage.connect() as connection, connection.channel() as channel:
        channel.queue_delete(listener)


def test_events_of_one_subject_arrive_in_their_order_as_cloud_events(stage: Stage) -> None:
    queue = f"observer-{ids.new_id()}"
    with stage.connect() as connection, connection.channel() as channel:
        channel.queue_declare(queue=queue, durable=False, auto_delete=False)
        channel.queue_bind(queue=queue, exchange=exchange_of("funding"), routing_key="#")
    treasurer = stage.caller(TREASURER)
    pool = treasurer.funding.create_pool(name="Ordered", starts_on="2026-04-01", ends_on="2029-03-31")
    councils = ["S12000036", "S12000034", "S12000030", "S12000047", "S12000049"]
    for council in councils:
        treasurer.funding.add_member(pool_id=pool["pool_id"], council=council, joins_on="2026-04-01")
    seen = []
    while len(seen) < 1 + len(councils):
        message = stage.take(queue)
        event = events.decode(_bytes(message.body), message.headers, message.content_type)
        if event.subject == pool["pool_id"]:
            seen.append(event)
    with stage.connect() as connection, connection.channel() as channel:
        channel.queue_delete(queue)
    assert [event.name for event in seen] == ["pool_opened"] + ["member_joined"] * len(councils)
    assert [event.data["council"] for event in seen[1:]] == councils
    assert [event.sequence for event in seen] == sorted({event.sequence for event in seen})


def _outbox(stage: Stage, subject: str) -> list[Any]:
    with stage.database("funding").transaction() as session:
        mine = select(outbox).where(outbox.c.subject == subject).order_by(outbox.c.position)
        return list(session.execute(mine).all())


def _bytes(body: str | bytes) -> bytes:
    return body.encode() if isinstance(body, str) else bytes(body)
