"""``commonweal-ops dead-letters``: an operator sees what failed and why, sends it again or throws it away."""

import base64
import dataclasses
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import amqp
import pytest
from kombu import Connection
from sqlalchemy import text

from shared.messaging import broker
from shared.messaging.dead_letter_queue import PREFETCH, LookFailed, looking
from shared.messaging.publisher import Message
from shared.messaging.topology import DELIVERY_LIMIT, dead_letters_of, exchange_of, queue_of, topology
from shared.ops.commands import dead_letters as command
from tests.integration.messaging.test_delivery import plans_of, receipts_of
from tests.support import outcomes
from tests.support.letters import Operator, letter_of, publish
from tests.support.messages import message_of
from tests.support.servers import Servers
from tests.support.stage import Stage, eventually

LETTERS = dead_letters_of("outcomes")
QUEUE = queue_of("outcomes")


@pytest.fixture(scope="module")
def quiet_broker(servers: Servers) -> Iterator[str]:
    """A virtual host where no service is, so that what is sent again can be seen as it arrives."""
    uri = servers.broker.create_vhost()
    yield uri
    servers.broker.delete_vhost(uri)


@pytest.fixture
def operator(quiet_broker: str) -> Operator:
    """At a broker with every queue, all of them empty."""
    with broker.connect(quiet_broker) as connection:
        topology((50,)).apply(connection)
        for queue in topology((50,)).queues:
            empty(connection, queue.name)
    return Operator(quiet_broker)


@pytest.fixture
def at_work(stage: Stage) -> Iterator[Operator]:
    """At the running system, whose outcomes service has no dead letters yet."""
    with stage.connect() as connection:
        empty(connection, LETTERS)
        yield Operator(stage.amqp_uri)
        empty(connection, LETTERS)


def empty(connection: Connection, queue: str) -> None:
    connection.default_channel.queue_purge(queue)


def taken_from(amqp_uri: str, queue: str) -> list[Any]:
    """Take every message out of a queue, as they come."""
    with broker.connect(amqp_uri) as connection, connection.channel() as channel:
        channel.auto_decode = False
        return list(iter(lambda: channel.basic_get(queue, no_ack=True), None))


def a_letter(**more: Any) -> Message:
    return letter_of(message_of(outcomes.project_funded()), **more)


def to_outcomes(message: Message) -> Message:
    """Straight into the service's queue: other services consume the event as well, and are another test's."""
    return dataclasses.replace(message, exchange="", routing_key=QUEUE)


@contextmanager
def unmigrated(stage: Stage) -> Iterator[None]:
    """The outcomes service lacks a table meanwhile, as when somebody forgot to migrate."""
    with stage.database("outcomes").transaction() as session:
        session.execute(text("ALTER TABLE plans RENAME TO plans_elsewhere"))
    try:
        yield
    finally:
        with stage.database("outcomes").transaction() as session:
            session.execute(text("ALTER TABLE plans_elsewhere RENAME TO plans"))


def test_an_event_that_failed_has_its_effect_once_the_service_is_mended_and_it_is_replayed(
    stage: Stage, at_work: Operator
) -> None:
    event = outcomes.project_funded()
    with unmigrated(stage):
        stage.publish(to_outcomes(message_of(event)))
        (letter,) = eventually(lambda: at_work.letters("outcomes"))
        assert (letter["id"], letter["reason"], letter["attempts"]) == (event.id, "attempts_used_up", 6)
        assert letter["type"] == "commonweal.funding.project_funded.v1"
        assert letter["subject"] == event.subject
        assert "plans" in letter["error"]
        # Too early: it fails again, with all its attempts, and is a new letter.
        assert at_work.types("replay", "outcomes", "--id", event.id).exit_code == 0
        (again,) = eventually(lambda: at_work.letters("outcomes"))
        assert again["key"] != letter["key"]
        assert (again["id"], again["attempts"]) == (event.id, 6)
        assert again["failed_at"] > letter["failed_at"]
    replayed = at_work.types("replay", "outcomes", "--reason", "attempts_used_up")
    assert (replayed.exit_code, replayed.stdout) == (0, "outcomes: 1 replayed, 0 left, 0 failed\n")
    assert len(eventually(lambda: plans_of(stage, event))) == 1
    assert receipts_of(stage, "outcomes", event.id) == 1
    assert at_work.letters("outcomes") == []


def test_replaying_what_had_its_effect_before_has_no_second(stage: Stage, at_work: Operator) -> None:
    event, next_event = outcomes.project_funded(), outcomes.project_funded()
    stage.publish(to_outcomes(message_of(event)))
    eventually(lambda: plans_of(stage, event))
    for _ in range(2):
        publish(stage.amqp_uri, letter_of(message_of(event)))
        assert at_work.types("replay", "--id", event.id).exit_code == 0
    stage.publish(to_outcomes(message_of(next_event)))
    eventually(lambda: plans_of(stage, next_event))
    eventually(lambda: stage.is_empty(QUEUE))
    assert len(plans_of(stage, event)) == receipts_of(stage, "outcomes", event.id) == 1
    assert at_work.letters("outcomes") == []


def test_what_a_service_lays_aside_is_listed_with_its_reason(stage: Stage, at_work: Operator) -> None:
    sound = to_outcomes(message_of(outcomes.project_funded()))
    version_99 = {**sound.headers, "ce-type": "commonweal.funding.project_funded.v99"}
    stage.publish(
        dataclasses.replace(sound, body=b"{not json"),
        dataclasses.replace(sound, message_id="v99", headers=version_99),
        dataclasses.replace(sound, message_id="none", headers={}),
        dataclasses.replace(sound, message_id="short", body=b"{}"),
    )
    letters = eventually(lambda: len(found := at_work.letters("outcomes")) == 4 and found)
    assert sorted(letter["reason"] for letter in letters) == ["schema", "undecodable", "undecodable", "unknown_type"]
    assert at_work.names("--type", "project_funded.v99") == [sound.headers["ce-id"]]
    (nameless,) = (letter for letter in letters if letter["id"] is None)
    assert "ce-id" in at_work.types("show", nameless["key"]).stdout


def test_looking_changes_neither_the_letters_nor_their_order(operator: Operator) -> None:
    """More letters than a consumer gets, and more than the broker keeps in order by itself."""
    letters = [a_letter() for _ in range(3 * PREFETCH + 5)]
    publish(operator.amqp_uri, *letters)
    sent = [letter.message_id for letter in letters]
    before = operator.letters("outcomes")
    assert [row["id"] for row in before] == sent
    operator.types("show", sent[7])
    operator.types("replay", "--all", "--dry-run")
    operator.types("discard", "--all", "--dry-run")
    operator.types("list", "--limit", 1)
    assert operator.letters("outcomes") == before
    # What is left when some are taken away keeps its order too.
    gone = [*sent[::10], sent[-1]]
    assert operator.types("replay", *(word for name in gone for word in ("--id", name))).exit_code == 0
    assert operator.names("outcomes") == [name for name in sent if name not in gone]
    assert [message.properties["message_id"] for message in taken_from(operator.amqp_uri, QUEUE)] == gone


def test_filters_say_which_letters_are_meant(operator: Operator) -> None:
    now = datetime.now(UTC)
    old = a_letter(failed_at=(now - timedelta(days=3)).isoformat(), error="Conflict: There is no proposal")
    schema = a_letter(reason="schema")
    other = message_of(outcomes.project_funded())
    other = dataclasses.replace(other, headers={**other.headers, "ce-source": "finance", "ce-type": "x.y.paid.v2"})
    foreign, elsewhere = letter_of(other), a_letter(service="funding")
    publish(operator.amqp_uri, old, schema, foreign, elsewhere)
    mine, theirs, paid, fundings = (letter.message_id for letter in (old, schema, foreign, elsewhere))
    key = {row["id"]: row["key"] for row in operator.letters()}
    for options, meant in (
        ([], [fundings, mine, theirs, paid]),
        (["funding"], [fundings]),
        (["outcomes", "--reason", "schema"], [theirs]),
        (["--reason", "schema", "--reason", "no_such"], [theirs]),
        (["--type", "paid"], [paid]),
        (["--type", "project_funded.v1", "outcomes"], [mine, theirs]),
        (["--type", "commonweal.funding.project_funded.v1", "outcomes"], [mine, theirs]),
        (["--type", "project"], []),
        (["--source", "finance"], [paid]),
        (["--subject", old.headers["ce-subject"]], [mine]),
        (["--since", "2h", "outcomes"], [theirs, paid]),
        (["--before", "2h"], [mine]),
        (["--since", (now - timedelta(days=4)).date().isoformat(), "--before", "1d"], [mine]),
        (["--error", "no PROPOSAL"], [mine]),
        (["--id", theirs, "--id", fundings], [fundings, theirs]),
        (["--id", key[paid]], [paid]),
        (["--id", paid, "--reason", "schema"], []),
    ):
        assert operator.names(*options) == meant, options
    listed = operator.types("list", "outcomes", "--reason", "attempts_used_up", "--limit", 1)
    assert len(listed.stdout.splitlines()) == 1
    assert listed.stderr == "outcomes: 2 of 3 letters (2 attempts_used_up)\n"
    place, event_id, event_type, subject, reason, attempts, failed_at, error = listed.stdout.rstrip("\n").split("\t")
    assert (place, event_id, reason, attempts) == ("outcomes:1", mine, "attempts_used_up", "6")
    assert (event_type, subject) == (old.headers["ce-type"], old.headers["ce-subject"])
    assert (datetime.fromisoformat(failed_at), error) == (now - timedelta(days=3), "Conflict: There is no proposal")


def test_a_dry_run_says_what_would_happen_and_changes_nothing(operator: Operator) -> None:
    letters = [a_letter(reason=reason) for reason in ("schema", "attempts_used_up", "schema")]
    publish(operator.amqp_uri, *letters)
    dry = operator.types("replay", "outcomes", "--reason", "schema", "--dry-run")
    assert dry.exit_code == 0
    assert [line.split("\t") for line in dry.stdout.splitlines()] == [
        [f"outcomes:{place}", letters[place - 1].message_id, letters[0].headers["ce-type"], "schema",
         "would be sent to outcomes.events again"]
        for place in (1, 3)
    ]  # fmt: skip
    assert dry.stderr == "outcomes: 2 would be replayed, 1 left\n"
    dry = operator.types("discard", "outcomes", "--all", "--limit", 2, "--dry-run")
    assert dry.stderr == "outcomes: 2 would be discarded, 1 left\n"
    assert taken_from(operator.amqp_uri, QUEUE) == []
    assert operator.names("outcomes") == [letter.message_id for letter in letters]


def test_a_replayed_event_is_the_original_and_goes_to_its_own_service_alone(operator: Operator) -> None:
    original = message_of(outcomes.project_funded())
    death = {"queue": "outcomes.events.retry.50ms", "reason": "expired", "count": 5, "time": datetime(2026, 1, 1)}  # noqa: DTZ001
    letter = dataclasses.replace(
        letter_of(original),
        body=b'{"caf\xe9": 1}',
        content_type="application/json; charset=latin1",
        content_encoding="gzip",
        properties={"correlation_id": "7", "reply_to": "somewhere", "type": "t", "app_id": "finance", "timestamp": 5},
    )
    added = {
        "x-death": [death],
        "x-first-death-queue": "outcomes.events.retry.50ms",
        "x-last-death-reason": "expired",
        "x-commonweal-compression": "gzip",
        # Addresses: the broker would send a copy to each of these queues.
        "CC": [queue_of("funding"), "rpc-funding"],
    }
    letter = dataclasses.replace(letter, headers={**letter.headers, "x-own": {"a": [1, None]}, **added})
    with broker.connect(operator.amqp_uri) as connection, connection.channel() as channel:
        channel.queue_declare("observer", durable=False, auto_delete=False)
        channel.queue_bind("observer", exchange_of("funding"), "#")
        channel.auto_decode = False
    publish(operator.amqp_uri, letter)
    for copied in ("funding.events", "rpc-funding"):
        taken_from(operator.amqp_uri, copied)  # The test's own publishing went there as well.
    assert operator.types("replay", "--id", original.message_id).exit_code == 0
    (sent,) = taken_from(operator.amqp_uri, QUEUE)
    assert bytes(sent.body) == letter.body
    headers = sent.properties.pop("application_headers")
    headers.pop("x-delivery-count", None)
    whose = {"x-commonweal-laid-by": broker.user_of(operator.amqp_uri)}
    assert headers == {**original.headers, "x-own": {"a": [1, None]}, "compression": "gzip", **whose}
    assert sent.properties == {
        **letter.properties,
        "user_id": broker.user_of(operator.amqp_uri),
        "content_type": letter.content_type,
        "content_encoding": "gzip",
        "message_id": original.message_id,
        "delivery_mode": 2,
    }
    for other in ("observer", "proposals.events", "funding.events", "rpc-funding", LETTERS):
        assert taken_from(operator.amqp_uri, other) == [], other


def test_what_the_broker_laid_aside_is_a_letter_like_the_others(operator: Operator) -> None:
    message = to_outcomes(message_of(outcomes.project_funded()))
    publish(operator.amqp_uri, message)
    with broker.connect(operator.amqp_uri) as connection, connection.channel() as channel:
        for _ in range(DELIVERY_LIMIT + 1):
            delivery = eventually(lambda: channel.basic_get(QUEUE))
            channel.basic_reject(delivery.delivery_tag, requeue=True)
    (letter,) = eventually(lambda: operator.letters("outcomes"))
    assert (letter["id"], letter["reason"]) == (message.message_id, "delivery_limit")
    assert datetime.now(UTC) - datetime.fromisoformat(letter["failed_at"]) < timedelta(minutes=5)
    assert QUEUE in letter["error"]
    assert operator.types("replay", "--reason", "delivery_limit", "--since", "1h").exit_code == 0
    (sent,) = taken_from(operator.amqp_uri, QUEUE)
    whose = {"x-commonweal-laid-by": broker.user_of(operator.amqp_uri)}
    assert {**sent.headers, "x-delivery-count": 0} == {**message.headers, "x-delivery-count": 0, **whose}


def test_an_event_in_structured_mode_has_its_attributes_in_its_body(operator: Operator) -> None:
    event = {"specversion": "1.0", "id": "e-1", "type": "a.b.paid.v1", "source": "finance", "subject": "s-1"}
    body = json.dumps({**event, "data": {"amount_pence": 5}}).encode()
    letter = letter_of(Message("m-1", "", "", body, {}, "application/cloudevents+json"), reason="unknown_type")
    publish(operator.amqp_uri, letter)
    (row,) = operator.letters("--source", "finance", "--type", "paid", "--subject", "s-1")
    assert row["id"] == "e-1"
    assert '"amount_pence": 5' in operator.types("show", "e-1").stdout


def test_show_shows_everything_and_nothing_can_play_with_the_terminal(operator: Operator) -> None:
    clear, turn = "\x1b[2J\x1b]0;owned\x07", "\u202e"
    hostile = message_of(outcomes.project_funded())
    headers = {
        **hostile.headers,
        "ce-id": f"id{clear}",
        "ce-type": f"[red]{turn}\n\ttype",
        f"name{clear}": f"value{turn}",
        "blob": b"\xff\x00\x1b",
    }
    publish(
        operator.amqp_uri,
        letter_of(dataclasses.replace(hostile, headers=headers, body=b"\xff\xfe\x00\x1b[2J end"), error=f"E{clear}"),
        letter_of(dataclasses.replace(hostile, body=json.dumps({"t": f"G\u00e0idhlig{clear}"}).encode())),
        letter_of(dataclasses.replace(hostile, message_id="deep", headers={}, body=b"[" * 200_000)),
    )
    first, second, third = (row["key"] for row in operator.letters())
    shown = {key: operator.types("show", key) for key in (first, second, third)}
    others = [operator.types("list"), operator.types("replay", "--all", "--dry-run"), operator.types("show", clear)]
    for result in (*shown.values(), *others):
        assert all(sign.isprintable() or sign in "\n\t" for sign in result.output), result.output
    assert r"\xff\xfe" in shown[first].stdout
    assert r"\x1b[2J end" in shown[first].stdout
    assert r"E\x1b[2J" in shown[first].stdout
    assert all(f"{name}" in shown[first].stdout for name in ("attempts_used_up", "blob", "content type", "[red]"))
    # A JSON body keeps its letters, and its escapes stay escapes.
    assert "Gàidhlig\\u001b[2J" in shown[second].stdout
    assert "body, 200,000 bytes" in shown[third].stdout
    assert "134,464 bytes more" in shown[third].stdout
    assert "[" * 200_000 in operator.types("show", third, "--whole").stdout
    (whole,) = (json.loads(line) for line in operator.types("show", first, "--json").stdout.splitlines())
    assert base64.b64decode(whole["body_base64"]) == b"\xff\xfe\x00\x1b[2J end"
    assert whole["headers"]["ce-id"] == f"id{clear}"
    assert base64.b64decode(whole["headers"]["blob"]["base64"]) == b"\xff\x00\x1b"


def test_a_letter_without_a_body_is_a_letter_like_others(operator: Operator) -> None:
    empty = dataclasses.replace(a_letter(), body=b"")
    publish(operator.amqp_uri, empty, a_letter())
    assert operator.names("outcomes")[0] == empty.message_id
    assert "body, 0 bytes" in operator.types("show", empty.message_id).stdout
    assert operator.types("discard", "outcomes", "--all", "--yes").exit_code == 0


def test_a_letter_that_the_client_library_cannot_read_hides_no_other(operator: Operator) -> None:
    sound = a_letter()
    publish(operator.amqp_uri, sound)
    for properties in ({"reply_to": b"\xff"}, {"message_id": b"\xfe"}):
        with broker.connect(operator.amqp_uri) as connection, connection.channel() as channel:
            channel.basic_publish(amqp.Message(b"hidden", **properties), exchange="", routing_key=LETTERS)
            channel.queue_declare(LETTERS, passive=True)
    publish(operator.amqp_uri, after := a_letter())
    names = eventually(lambda: len(found := operator.names("outcomes")) == 4 and found)
    assert (names[0], names[3]) == (sound.message_id, after.message_id)
    assert "hidden" in operator.types("show", names[1]).stdout
    replayed = operator.types("replay", "outcomes", "--all")
    assert replayed.exit_code == 1
    assert replayed.stdout == "outcomes: 2 replayed, 0 left, 2 failed\n"
    assert "its properties cannot be read" in replayed.stderr
    assert operator.names("outcomes") == names[1:3]
    assert operator.types("discard", "outcomes", "--all", "--yes").exit_code == 0
    assert operator.names("outcomes") == []


def test_discard_asks_first_and_keeps_what_it_discards_where_that_is_wanted(operator: Operator, tmp_path: Path) -> None:
    letters = [dataclasses.replace(a_letter(reason="schema"), body=b"\xff\x00" * 10), a_letter(reason="schema")]
    publish(operator.amqp_uri, *letters, keep := a_letter())
    kept = tmp_path / "letters.jsonl"
    refused = operator.types("discard", "outcomes", "--reason", "schema", "--save", kept, answers="n\n")
    assert refused.exit_code == 1
    assert "Aborted" in refused.output
    assert kept.read_bytes() == b""
    assert len(operator.letters("outcomes")) == 3
    done = operator.types("discard", "outcomes", "--reason", "schema", "--save", kept, answers="y\n")
    assert done.exit_code == 0
    assert done.stdout.endswith("outcomes: 2 discarded, 1 left, 0 failed\n")
    saved = [json.loads(line) for line in kept.read_text().splitlines()]
    assert [base64.b64decode(letter["body_base64"]) for letter in saved] == [letter.body for letter in letters]
    assert [letter["headers"]["ce-id"] for letter in saved] == [letter.message_id for letter in letters]
    assert kept.stat().st_mode & 0o077 == 0
    # The file is added to, never overwritten.
    assert operator.types("discard", "outcomes", "--all", "--yes", "--save", kept).exit_code == 0
    assert json.loads(kept.read_text().splitlines()[2])["id"] == keep.message_id
    assert operator.letters("outcomes") == []
    assert taken_from(operator.amqp_uri, QUEUE) == []


def test_what_arrives_while_the_question_stands_is_not_discarded(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(operator.amqp_uri, a_letter())
    late = a_letter()

    def confirm(*_: object, **__: object) -> bool:
        publish(operator.amqp_uri, late)
        return True

    monkeypatch.setattr(command.click, "confirm", confirm)
    assert operator.types("discard", "outcomes", "--all").exit_code == 0
    assert operator.names("outcomes") == [late.message_id]


def test_a_letter_that_cannot_be_sent_stays_and_is_told(operator: Operator) -> None:
    letter = a_letter()
    publish(operator.amqp_uri, letter)
    with broker.connect(operator.amqp_uri) as connection, connection.channel() as channel:
        channel.queue_delete(QUEUE)
    result = operator.types("replay", "outcomes", "--all")
    assert (result.exit_code, result.stdout) == (1, "outcomes: 0 replayed, 0 left, 1 failed\n")
    assert "no queue takes it" in result.stderr
    assert operator.names("outcomes") == [letter.message_id]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ("replay", 2, "--all"),
        ("replay outcomes", 2, "--all"),
        ("discard", 2, "--all"),
        ("discard --limit 3 --yes", 2, "--all"),
        ("replay --id outcomes:1", 2, "place"),
        ("replay --id no-such", 1, "no dead letter is called no-such"),
        ("discard --id no-such --yes", 1, "no dead letter is called no-such"),
        ("show no-such", 1, "no dead letter is called no-such"),
        ("show outcomes:9", 1, "no dead letter is called outcomes:9"),
        ("list nonesuch", 2, "nonesuch"),
        ("list --since yesterday", 2, "2h"),
        ("list --amqp-uri embedded://", 2, "embedded"),
        ("list --amqp-uri http://broker", 2, "amqp://"),
        ("list --amqp-uri amqp://user:hunter2@127.0.0.1:1/x", 1, "127.0.0.1:1/x"),
        ("discard --all --yes --save /no/such/directory/x", 1, "/no/such/directory/x"),
    ],
    ids=lambda value: str(value).replace("/", "_") if isinstance(value, str) and " " in value else "",
)
def test_a_command_that_cannot_be_says_what_to_do(operator: Operator, arguments: str, code: int, says: str) -> None:
    publish(operator.amqp_uri, a_letter())
    result = operator.types(*arguments.split())
    assert result.exit_code == code, result.output
    assert "Error: " in result.stderr
    assert says in result.stderr
    assert "hunter2" not in result.output
    assert len(operator.letters()) == 1


def test_queues_that_are_not_there_are_told(amqp_uri: str) -> None:
    result = Operator(amqp_uri).types("list")
    assert result.exit_code == 1
    assert "commonweal-ops topology apply" in result.stderr


def test_operators_at_the_same_letters_take_turns_and_replay_each_once(operator: Operator) -> None:
    letters = [a_letter() for _ in range(40)]
    publish(operator.amqp_uri, *letters)
    with looking(operator.amqp_uri, "outcomes") as look:
        assert next(iter(look)).name == letters[0].message_id
        # The others are held too; whoever looked now would see a queue without letters.
        with (
            pytest.raises(LookFailed, match="somebody else"),
            looking(operator.amqp_uri, "outcomes", in_hand_timeout_s=0.1),
        ):
            pass
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(operator.types("replay", "outcomes", "--all"))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.exit_code for result in results] == [0, 0, 0]
    replayed = [message.properties["message_id"] for message in taken_from(operator.amqp_uri, QUEUE)]
    assert sorted(replayed) == sorted(letter.message_id for letter in letters)
    assert operator.letters("outcomes") == []


def test_a_look_ends_with_the_letters_that_were_there_and_in_time(operator: Operator) -> None:
    publish(operator.amqp_uri, *(a_letter() for _ in range(3)))
    seen = 0
    with looking(operator.amqp_uri, "outcomes") as look:
        for _ in look:
            seen += 1
            publish(operator.amqp_uri, a_letter())
    assert (seen, look.total, look.unseen) == (3, 3, 0)
    with looking(operator.amqp_uri, "outcomes", max_look_s=0) as look:
        assert list(look) == []
    assert look.unseen == 6
    assert len(operator.letters("outcomes")) == 6
