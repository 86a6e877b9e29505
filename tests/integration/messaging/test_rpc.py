"""Calls: what is answered, what is refused before anything runs, and that nothing kills the service."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Row, func, select

from commonweal import Conflict, Forbidden, Invalid, NotFound, TimedOut, Unauthenticated, Unavailable
from services.funding.models import Pool
from shared import ids
from shared.audit.tables import audit
from shared.security.principal import CDO, TREASURER
from shared.security.tokens import SigningKey
from tests.support.stage import Stage, eventually

POOL = {"name": "A pool", "starts_on": "2026-04-01", "ends_on": "2029-03-31"}


def pools(stage: Stage) -> int:
    with stage.database("funding").transaction() as session:
        return session.scalar(select(func.count()).select_from(Pool)) or 0


def test_a_write_sent_again_with_its_key_gets_the_first_answer(stage: Stage) -> None:
    treasurer, before = stage.caller(TREASURER), pools(stage)
    key = str(ids.new_id())
    first = treasurer.funding.create_pool(**POOL, idempotency_key=key)
    assert treasurer.funding.create_pool(**POOL, idempotency_key=key) == first
    assert pools(stage) == before + 1
    with pytest.raises(Conflict) as refusal:
        treasurer.funding.create_pool(**{**POOL, "name": "Another"}, idempotency_key=key)
    assert refusal.value.code == "idempotency_key_reused"
    assert pools(stage) == before + 1


def test_keys_of_different_callers_have_nothing_to_do_with_each_other(stage: Stage) -> None:
    key, before = str(ids.new_id()), pools(stage)
    answers = [stage.caller(TREASURER).funding.create_pool(**POOL, idempotency_key=key) for _ in range(2)]
    assert answers[0]["pool_id"] != answers[1]["pool_id"]
    assert pools(stage) == before + 2


def test_a_refused_write_may_be_corrected_under_the_same_key(stage: Stage) -> None:
    treasurer, key = stage.caller(TREASURER), str(ids.new_id())
    with pytest.raises(Invalid):
        treasurer.funding.create_pool(**{**POOL, "ends_on": "2026-04-02"}, idempotency_key=key)
    assert treasurer.funding.create_pool(**POOL, idempotency_key=key)["pool_id"]


def test_every_field_at_fault_is_named_at_once(stage: Stage) -> None:
    with pytest.raises(Invalid) as refusal:
        stage.caller(TREASURER).funding.create_pool(name="", starts_on="yesterday", surprise=1)
    assert set(refusal.value.fields) == {"name", "starts_on", "ends_on", "surprise"}


def test_refusals_are_the_declared_errors(stage: Stage) -> None:
    treasurer = stage.caller(TREASURER)
    with pytest.raises(NotFound):
        treasurer.funding.no_such_method()
    with pytest.raises(NotFound):
        treasurer.funding.get_pool(pool_id=str(ids.new_id()))
    with pytest.raises(Forbidden):
        stage.caller(CDO).funding.create_pool(**POOL)
    with pytest.raises(Unauthenticated):
        treasurer.acting("").funding.create_pool(**POOL)
    with pytest.raises(Unauthenticated):
        treasurer.acting(SigningKey.new().issue("thief@test.example", [TREASURER])).funding.create_pool(**POOL)
    with pytest.raises(Unavailable) as nowhere:
        treasurer.no_such_service.get_pool()
    assert nowhere.value.code == "no_such_service"


class Wire:
    """Sends a request as bytes, so that it can be as wrong as a test wants it."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.subject = f"wire-{ids.new_id().hex[-8:]}@test.example"
        self.token = stage.signing_key.issue(self.subject, [TREASURER])
        self.reply_to = str(ids.new_id())
        self.queue = f"rpc.reply-{self.reply_to}"

    def send(self, body: bytes | None = None, *, headers: dict[str, Any] | None = None, **properties: Any) -> None:
        if body is None:
            body = json.dumps({"args": [], "kwargs": POOL}).encode()
        content_type = properties.pop("content_type", "application/json")
        routing_key = properties.pop("routing_key", "funding.create_pool")
        with self.stage.connect() as connection, connection.channel() as channel:
            channel.queue_declare(queue=self.queue, durable=False, auto_delete=False)
            channel.queue_bind(queue=self.queue, exchange="nameko-rpc", routing_key=self.reply_to)
            message = channel.prepare_message(
                body,
                content_type=content_type,
                content_encoding="utf-8",
                headers={"nameko.auth_token": self.token, **(headers or {})},
                properties={name: value for name, value in properties.items() if value is not None},
            )
            channel.basic_publish(message, exchange="nameko-rpc", routing_key=routing_key)

    def answer(self) -> Any:
        return json.loads(self.stage.take(self.queue).body)


@pytest.fixture
def wire(stage: Stage) -> Wire:
    return Wire(stage)


@pytest.mark.parametrize(
    "reply_to",
    [None, "", "funding.create_pool", "proposals.withdraw_proposal", "not-a-uuid", "#"],
    ids=lambda value: repr(value),
)
def test_without_a_reply_address_of_the_callers_own_nothing_runs(stage: Stage, wire: Wire, reply_to: str) -> None:
    before = pools(stage)
    wire.send(reply_to=reply_to, correlation_id="1")
    # A sound request behind it is answered: the refused one neither ran nor harmed the service.
    wire.send(reply_to=wire.reply_to, correlation_id="2")
    assert wire.answer()["error"] is None
    assert pools(stage) == before + 1
    eventually(lambda: stage.is_empty("rpc-funding"))


@pytest.mark.parametrize(
    ("body", "content_type", "code"),
    [
        (b"{not json", "application/json", "not_json"),
        (b"\xff\xfe", "application/json", "not_json"),
        (b"[" * 100_000, "application/json", "not_json"),
        (b'{"args": [], "kwargs": {"name": NaN}}', "application/json", "not_json"),
        (b"[]", "application/json", "malformed"),
        (b'{"kwargs": {}}', "application/json", "malformed"),
        (b'{"args": [1], "kwargs": {}}', "application/json", "positional_arguments"),
        (b'{"args": [], "kwargs": {}}', None, "content_type"),
        (b'{"args": [], "kwargs": {}}', "application/x-python-serialize", "content_type"),
        (b" " * 1_048_577, "application/json", "too_large"),
        (b'{"args": [], "kwargs": {"name": 1e999}}', "application/json", "invalid_request"),
        (b'{"args": [], "kwargs": {"name": "\\u0000"}}', "application/json", "invalid_request"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_request_that_cannot_be_read_is_answered(
    stage: Stage, wire: Wire, body: bytes, content_type: str | None, code: str
) -> None:
    before = pools(stage)
    wire.send(body, reply_to=wire.reply_to, correlation_id="x", content_type=content_type)
    error = wire.answer()["error"]
    assert (error["exc_type"], error["exc_args"][0]["code"]) == ("Invalid", code)
    assert pools(stage) == before
    [row] = refusals(stage, wire, code)
    assert (row.method, row.error, row.council, row.objects) == ("create_pool", "Invalid", None, {})


def refusals(stage: Stage, wire: Wire, code: str) -> Sequence[Row[Any]]:
    """The rows of the audit trail about what the wire's own person was refused."""
    statement = select(audit).where(audit.c.subject == wire.subject, audit.c.outcome == code)

    def rows() -> Sequence[Row[Any]]:
        with stage.database("funding").transaction() as session:
            return session.execute(statement).all()

    return eventually(rows)


def test_what_is_refused_unread_is_recorded_without_a_word_of_it(stage: Stage, wire: Wire) -> None:
    names = ["nobody_has_this", "\u202edrop\n\x1b[2J", "x" * 200, "_handle"]
    for name in names:
        wire.send(routing_key=f"funding.{name}", reply_to=wire.reply_to, correlation_id="x")
        assert wire.answer()["error"]["exc_args"][0]["code"] == "unknown_method"
    wire.send(reply_to="proposals.withdraw_proposal")
    [unanswered] = refusals(stage, wire, "no_reply_to")
    assert (unanswered.method, unanswered.error) == ("create_pool", "Invalid")
    rows = eventually(lambda: (found := refusals(stage, wire, "unknown_method")) and len(found) == len(names) and found)
    assert {(row.method, row.error, tuple(row.roles)) for row in rows} == {("unknown", "NotFound", ("treasurer",))}


def test_a_stranger_leaves_no_name_in_the_audit_trail(stage: Stage, wire: Wire) -> None:
    body = f"{ids.new_id()}".encode()
    wire.send(body, headers={"nameko.auth_token": "who@test.example"}, reply_to=wire.reply_to)
    assert wire.answer()["error"]["exc_args"][0]["code"] == "not_json"
    unread = json.dumps({"body_sha256": hashlib.sha256(body).hexdigest()}, separators=(",", ":"))
    statement = select(audit).where(audit.c.request_hash == hashlib.sha256(unread.encode()).digest())

    def rows() -> Sequence[Row[Any]]:
        with stage.database("funding").transaction() as session:
            return session.execute(statement).all()

    [row] = eventually(rows)
    assert (row.subject, row.council, row.roles, row.token_id) == (None, None, [], None)


def test_what_a_caller_puts_into_headers_harms_nobody(stage: Stage, wire: Wire) -> None:
    for headers in (
        {"nameko.call_id_stack": 1},
        {"nameko.call_id_stack": ["x"] * 1000, "nameko.language": "gd"},
        {"nameko.auth_token": 7},
        {"nameko.auth_token": {"a": 1}},
    ):
        wire.send(headers=headers, reply_to=wire.reply_to, correlation_id="x" * 255)
        assert wire.answer()["error"] is None or "auth_token" in str(headers)
    stage.caller(TREASURER).funding.create_pool(**POOL)


def test_a_call_that_nobody_answers_ends_in_time(stage: Stage) -> None:
    with stage.connect() as connection, connection.channel() as channel:
        channel.exchange_declare(exchange="nameko-rpc", type="topic", durable=True, auto_delete=False)
        channel.queue_declare(queue="rpc-silent", durable=False, auto_delete=False)
        channel.queue_bind(queue="rpc-silent", exchange="nameko-rpc", routing_key="silent.*")
    caller = stage.caller(TREASURER)
    caller.timeout_s = 0.3
    with pytest.raises(TimedOut):
        caller.silent.get_nothing()
    caller.timeout_s = 10
    assert caller.funding.create_pool(**POOL)["pool_id"]
