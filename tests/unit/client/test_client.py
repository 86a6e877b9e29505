"""The client without a broker: what it sends, what it refuses to send, what it shows."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from commonweal import Client, Invalid, Unavailable
from commonweal.errors import CommonwealError, NotFound

SECRET = "hunter2"


class Line:
    """Takes the connection's place: keeps what was sent and gives the answers that a test prepared."""

    place = "a broker"

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any], str]] = []
        self.answer: dict[str, Any] = {"result": "answered", "error": None}

    def request(self, routing_key: str, body: bytes, token: str, timeout_s: float) -> dict[str, Any]:
        self.sent.append((routing_key, json.loads(body), token))
        return self.answer

    def kwargs(self) -> dict[str, Any]:
        kwargs: dict[str, Any] = self.sent[-1][1]["kwargs"]
        return kwargs


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def client(line: Line) -> Client:
    made = Client("amqp://localhost", "a-token")
    made._line = line  # type: ignore[assignment]
    return made


def test_a_call_names_its_service_method_and_arguments(client: Client, line: Line) -> None:
    assert client.proposals.get_proposal(proposal_id="p-1") == "answered"
    assert line.sent == [("proposals.get_proposal", {"args": [], "kwargs": {"proposal_id": "p-1"}}, "a-token")]


def test_every_write_has_a_key_of_its_own_and_a_read_has_none(client: Client, line: Line) -> None:
    for _ in range(2):
        client.funding.create_pool(name="A pool")
    keys = [sent[1]["kwargs"]["idempotency_key"] for sent in line.sent]
    assert len(set(keys)) == 2
    assert all(UUID(key) for key in keys)
    for method in ("get_pool", "list_awards", "check_eligibility", "verify_ledger", "benefits_summary"):
        getattr(client.funding, method)()
        assert line.kwargs() == {}


def test_a_callers_own_key_is_kept(client: Client, line: Line) -> None:
    client.funding.create_pool(name="A pool", idempotency_key="my-own-key")
    assert line.kwargs()["idempotency_key"] == "my-own-key"


def test_no_key_is_not_a_key(client: Client, line: Line) -> None:
    """A write without one would run twice when the connection breaks and it is sent again."""
    client.funding.create_pool(name="A pool", idempotency_key=None)
    assert UUID(line.kwargs()["idempotency_key"])


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), Decimal("1.5"), uuid4(), b"bytes", {1, 2}, object(), {("a",): 1}],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_json_is_refused_before_it_is_sent(client: Client, line: Line, value: Any) -> None:
    with pytest.raises(Invalid) as refusal:
        client.funding.create_pool(name=value)
    assert refusal.value.code == "not_json"
    assert line.sent == []


def test_what_goes_round_in_a_circle_is_refused_too(client: Client) -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(Invalid):
        client.funding.create_pool(name=circle)


def test_an_error_is_raised(client: Client, line: Line) -> None:
    line.answer = {"result": None, "error": {"exc_type": "NotFound", "exc_args": [{"code": "no", "message": "None."}]}}
    with pytest.raises(NotFound, match=r"None\."):
        client.funding.get_pool(pool_id="x")


@pytest.mark.parametrize("answer", [{}, {"result": None}, {"result": None, "error": None}, {"result": 0}])
def test_an_answer_may_be_nothing(client: Client, line: Line, answer: dict[str, Any]) -> None:
    line.answer = answer
    assert client.funding.get_pool() == answer.get("result")


def test_arguments_are_named(client: Client) -> None:
    with pytest.raises(TypeError):
        client.funding.get_pool("p-1")


def test_acting_is_the_same_line_with_another_token(client: Client, line: Line) -> None:
    client.timeout_s = 3
    other = client.acting("another-token")
    other.funding.get_pool()
    client.funding.get_pool()
    assert [token for _, _, token in line.sent] == ["another-token", "a-token"]
    assert other.timeout_s == 3


def test_what_python_asks_of_every_object_is_no_call(client: Client) -> None:
    for name in ("__deepcopy__", "_repr_html_", "__len__"):
        assert not hasattr(client, name)
        assert not hasattr(client.funding, name)


def test_nothing_that_is_shown_has_a_secret() -> None:
    client = Client(f"amqp://user:{SECRET}@broker:5672/vhost", "eyJ-token")
    shown = f"{client!r} {client} {client.funding!r} {client.funding.get_pool!r}"
    assert SECRET not in shown
    assert "eyJ-token" not in shown
    assert "broker:5672" in repr(client)


def test_of_a_cluster_every_node_is_shown_without_its_secret() -> None:
    client = Client(f"amqp://user:{SECRET}@one:5672/vhost; amqps://user:{SECRET}@two/vhost", "t")
    assert SECRET not in repr(client)
    assert "one:5672" in repr(client)
    assert "two" in repr(client)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "broker:5672",
        "amqp://broker;",
        f"amqp://user:12;{SECRET}@broker",
        f"amqp://user:12/{SECRET}@broker",
        f"amqp://user:{SECRET}#@broker",
    ],
)
def test_a_uri_that_cannot_be_read_is_refused_without_showing_it(uri: str) -> None:
    with pytest.raises(ValueError, match="amqp://user:password@host") as refusal:
        Client(uri, "t")
    assert SECRET not in str(refusal.value)


@pytest.fixture
def silent_server() -> Iterator[int]:
    """A server that takes connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def outcome_of(client: Client) -> tuple[CommonwealError, float]:
    started = time.monotonic()
    with pytest.raises(CommonwealError) as refusal:
        client.funding.create_pool(name="A pool")
    return refusal.value, time.monotonic() - started


def test_a_broker_that_is_not_there_is_unavailable_in_time() -> None:
    error, took_s = outcome_of(Client(f"amqp://user:{SECRET}@127.0.0.1:1/vhost", "t", timeout_s=0.6))
    assert (type(error), error.code) == (Unavailable, "broker_unavailable")
    assert took_s < 2
    assert SECRET not in str(error)


def test_a_broker_that_never_answers_is_unavailable_in_time(silent_server: int) -> None:
    """Nothing was sent, so the call cannot have had an effect, and its time limit is the caller's."""
    error, took_s = outcome_of(Client(f"amqp://user:{SECRET}@127.0.0.1:{silent_server}/vhost", "t", timeout_s=0.5))
    assert (type(error), error.code) == (Unavailable, "broker_unavailable")
    assert took_s < 2


def test_every_node_of_a_cluster_is_tried_in_time(silent_server: int) -> None:
    """The first is not there, the second never answers, and the third hangs up: all of them are asked."""
    with socket.socket() as third:
        third.bind(("127.0.0.1", 0))
        third.listen()
        third.settimeout(5)
        uris = [f"amqp://user:{SECRET}@127.0.0.1:{port}/v" for port in (1, silent_server, third.getsockname()[1])]
        with ThreadPoolExecutor(1) as caller:
            outcome = caller.submit(outcome_of, Client(";".join(uris), "t", timeout_s=1.5))
            third.accept()[0].close()
            error, took_s = outcome.result()
    assert (type(error), error.code) == (Unavailable, "broker_unavailable")
    assert took_s < 4
    assert SECRET not in str(error)


def test_a_call_whose_time_ran_out_while_it_waited_for_its_turn_is_not_sent() -> None:
    client = Client("amqp://127.0.0.1:1", "t", timeout_s=0.05)
    sent: list[str] = []
    client._line._request = lambda *_: sent.append("sent") or {"result": None}  # type: ignore[method-assign,func-returns-value]
    outcome: list[CommonwealError] = []

    def call() -> None:
        try:
            client.funding.create_pool(name="A pool")
        except CommonwealError as error:
            outcome.append(error)

    with client._line._turn:
        waiting = threading.Thread(target=call)
        waiting.start()
        waiting.join(0.2)
    waiting.join(5)
    assert sent == []
    assert [type(error) for error in outcome] == [Unavailable]
