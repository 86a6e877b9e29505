"""A call before its handler and after it: what is taken from the wire, what is refused, what goes back."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import Schema, fields
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from shared.errors import CommonwealError, Forbidden, Invalid, NotFound, Unauthenticated, Unavailable
from shared.fields import Command, CommandSchema, Text, WholeNumber
from shared.messaging import broker, embedded
from shared.messaging.rpc import MAX_REQUEST_BYTES, Call, Replies, Reply, _kwargs_of, methods_of, rpc
from shared.security.principal import CDO, TREASURER, Principal
from shared.security.scope import EVERY_ROW
from shared.security.tokens import SigningKey, Verifier
from shared.storage.database import Database

KEY = SigningKey.new()
VERIFIER = Verifier({"keys": [KEY.public_jwk()]})
TOKEN = KEY.issue("ann@test.example", [CDO])


class Greet(CommandSchema):
    """Greet somebody so many times."""

    name = Text(required=True, max_length=20)
    times = WholeNumber(minimum=1, maximum=3, load_default=1)


class Greeting(Schema):
    """What was said."""

    text = fields.String()
    number = WholeNumber(minimum=0, maximum=10**9)


class Greeter:
    """A service as small as can be; counts how often a handler ran."""

    name = "greeter"
    runs: ClassVar[list[str]] = []
    raises: ClassVar[Exception | None] = None

    def __init__(self, storage: Database) -> None:
        self.storage = storage

    @rpc(Greet, Greeting, roles={CDO}, scope=EVERY_ROW)
    def greet(self, session: Session, principal: Principal, command: Command) -> Any:
        """Greet."""
        self.runs.append(command.name)
        if self.raises is not None:
            raise self.raises
        return {"text": f"Hello {command.name} from {principal.subject}", "number": len(self.runs)}

    @rpc(Greet, Greeting, roles={CDO}, scope=EVERY_ROW, reads=True)
    def get_greeting(self, session: Session, principal: Principal, command: Command) -> Any:
        """Look."""
        return {"text": "", "number": len(self.runs)}


@pytest.fixture
def greeter(database: Database) -> Iterator[Greeter]:
    Greeter.runs.clear()
    yield Greeter(database)
    Greeter.raises = None


def call(greeter: Greeter, method: str = "greet", token: object = TOKEN, **kwargs: Any) -> Reply:
    reply: Reply = getattr(greeter, method)(Call(kwargs, token, VERIFIER))
    return reply


def error_of(reply: Reply) -> CommonwealError:
    assert reply.error is not None
    return reply.error


def test_an_answer_goes_through_its_schema(greeter: Greeter) -> None:
    assert call(greeter, name=" Ann ").result == {"text": "Hello Ann from ann@test.example", "number": 1}


def test_a_key_gives_the_first_answer_again(greeter: Greeter) -> None:
    first = call(greeter, name="Ann", idempotency_key="key-00001")
    assert call(greeter, name="Ann", idempotency_key="key-00001") == first
    assert Greeter.runs == ["Ann"]
    assert error_of(call(greeter, name="Bob", idempotency_key="key-00001")).code == "idempotency_key_reused"
    assert Greeter.runs == ["Ann"]


def test_a_read_takes_no_key(greeter: Greeter) -> None:
    refusal = error_of(call(greeter, "get_greeting", name="Ann", idempotency_key="key-00001"))
    assert isinstance(refusal, Invalid)
    assert list(refusal.fields) == ["idempotency_key"]


def test_who_may_not_call_learns_nothing_of_the_fields(greeter: Greeter) -> None:
    assert isinstance(error_of(call(greeter, token=None)), Unauthenticated)
    assert isinstance(error_of(call(greeter, token="a.b.c")), Unauthenticated)
    refusal = error_of(call(greeter, token=KEY.issue("t", [TREASURER])))
    assert isinstance(refusal, Forbidden)
    assert refusal.fields == {}
    assert Greeter.runs == []


def test_every_field_at_fault_is_named_and_the_sentence_stays_short(greeter: Greeter) -> None:
    refusal = error_of(call(greeter, name="", times=9, **{f"x{number}": 1 for number in range(9)}))
    assert len(refusal.fields) == 11
    assert refusal.message.count(",") == 5


@pytest.mark.parametrize(
    ("raised", "error", "code"),
    [
        (NotFound("no_pool", "There is no such pool."), NotFound, "no_pool"),
        (OperationalError("SELECT secret", {}, Exception("away")), Unavailable, "database_unavailable"),
        (ZeroDivisionError("secret"), Unavailable, "internal_error"),
    ],
)
def test_whatever_a_handler_raises_is_one_of_the_six_errors(
    greeter: Greeter, raised: Exception, error: type[CommonwealError], code: str
) -> None:
    Greeter.raises = raised
    refusal = error_of(call(greeter, name="Ann"))
    assert (type(refusal), refusal.code) == (error, code)
    assert "secret" not in json.dumps(refusal.as_dict())


def test_an_error_travels_as_nameko_sends_it() -> None:
    payload = Reply(error=Invalid("bad", "Mend it.", {"a.0": ["Wrong."]})).as_payload()
    assert payload == {
        "result": None,
        "error": {
            "exc_type": "Invalid",
            "exc_path": "shared.errors.Invalid",
            "exc_args": [{"code": "bad", "message": "Mend it.", "fields": {"a.0": ["Wrong."]}}],
            "value": "Mend it.",
        },
    }


def test_methods_are_found_by_name() -> None:
    assert list(methods_of(Greeter)) == ["get_greeting", "greet"]


def request(body: Any, content_type: str | None = "application/json") -> Any:
    return SimpleNamespace(body=body, content_type=content_type)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (request(b"{}", None), "content_type"),
        (request(b"{}", "text/plain"), "content_type"),
        (request(b" " * (MAX_REQUEST_BYTES + 1)), "too_large"),
        (request(b""), "not_json"),
        (request(b"\xff"), "not_json"),
        (request('{"args": [], "kwargs": {}}'.encode("utf-16")), "not_json"),
        (request(b'\xef\xbb\xbf{"args": [], "kwargs": {}}'), "not_json"),
        (request(b'{"args": [], "kwargs": {"n": ' + b"9" * 65 + b"}}"), "not_json"),
        (request("\ud800"), "not_json"),
        (request(b"[" * 100_000), "not_json"),
        (request(b'{"args": [], "kwargs": {"n": ' + b"9" * 5000 + b"}}"), "not_json"),
        (request(b'{"args": [], "kwargs": {"n": Infinity}}'), "not_json"),
        (request(b"[]"), "malformed"),
        (request(b'{"args": [], "kwargs": []}'), "malformed"),
        (request(b'{"kwargs": {}}'), "malformed"),
        (request(b'{"args": [1], "kwargs": {}}'), "positional_arguments"),
    ],
)
def test_a_request_that_cannot_be_read_is_refused_with_a_code(message: Any, code: str) -> None:
    """Any other exception here ends the service, and the message comes again to end the next one."""
    with pytest.raises(Invalid) as refusal:
        _kwargs_of(message)
    assert refusal.value.code == code


@given(body=st.binary(max_size=200) | st.text(max_size=200))
def test_no_body_has_another_effect_than_arguments_or_a_refusal(body: bytes | str) -> None:
    try:
        arguments = _kwargs_of(request(body))
    except Invalid:
        return
    assert isinstance(arguments, dict)


def test_a_request_is_a_json_object_with_named_arguments() -> None:
    assert _kwargs_of(request('{"args": [], "kwargs": {"a": 1}}')) == {"a": 1}


class TestReplies:
    ADDRESS = "01890000-0000-4000-8000-000000000000"

    @pytest.fixture
    def replies(self, tmp_path: Path) -> Iterator[Replies]:
        keys = tmp_path / "keys.json"
        keys.write_text(json.dumps({"keys": [SigningKey.new().public_jwk()]}))
        settings = {"AMQP_URI": embedded.URI, "DATABASE_URL": f"sqlite:///{tmp_path}/x.db", "TOKEN_KEYS": str(keys)}
        embedded.reset()
        with broker.connect(embedded.URI) as connection, connection.channel() as channel:
            channel.exchange_declare(exchange="nameko-rpc", type="topic", durable=True)
            channel.queue_declare(queue="answers", durable=True)
            channel.queue_bind(queue="answers", exchange="nameko-rpc", routing_key=self.ADDRESS)
        sender = Replies()
        sender.container = SimpleNamespace(service_name="funding", config=settings)
        sender.setup()
        yield sender
        sender.stop()
        embedded.reset()

    def sent(self) -> dict[str, Any]:
        with broker.connect(embedded.URI) as connection, connection.channel() as channel:
            message = channel.basic_get("answers", no_ack=True)
            assert message is not None
            answer: dict[str, Any] = json.loads(channel.message_to_python(message).body)
            return answer

    def test_an_answer_goes_to_its_caller(self, replies: Replies) -> None:
        replies.send(self.ADDRESS, "c-1", Reply(result={"text": "Gàidhlig"}))
        assert self.sent() == {"result": {"text": "Gàidhlig"}, "error": None}

    def test_a_field_whose_name_is_no_text_is_refused_and_the_refusal_arrives(
        self, replies: Replies, greeter: Greeter
    ) -> None:
        """JSON may escape half a character; an answer that repeats it must not end the service."""
        kwargs = _kwargs_of(request(rb'{"args": [], "kwargs": {"name": "Ann", "\ud800": 1}}'))
        replies.send(self.ADDRESS, "c-1", call(greeter, **kwargs))
        assert self.sent()["error"]["exc_type"] == "Invalid"

    @pytest.mark.parametrize("result", [float("nan"), object(), {"a": b"bytes"}])
    def test_an_answer_that_is_not_json_is_a_fault_that_its_caller_hears_of(
        self, replies: Replies, result: Any
    ) -> None:
        replies.send(self.ADDRESS, "c-1", Reply(result=result))
        assert self.sent()["error"]["exc_type"] == "Unavailable"
