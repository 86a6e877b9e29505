"""The client and the services agree on what changes something: that carries an idempotency key, the rest never does."""

import json
from typing import Any

import pytest

from commonweal import Client
from commonweal.client import READ_PREFIXES
from shared.messaging.idempotency import KEY_FIELD
from shared.messaging.rpc import Method
from tests.contract.test_catalogue import CLASSES, METHODS, methods_of


class Line:
    """Takes the connection's place and keeps what is sent."""

    place = "nowhere"
    kwargs: dict[str, Any]

    def request(self, routing_key: str, body: bytes, token: str, timeout_s: float) -> dict[str, Any]:
        self.kwargs = json.loads(body)["kwargs"]
        return {"result": None, "error": None}


@pytest.mark.parametrize("method", METHODS)
def test_the_prefix_of_a_method_says_whether_it_reads(method: Method) -> None:
    assert method.name.startswith(READ_PREFIXES) is method.reads


@pytest.mark.parametrize("method", METHODS)
def test_a_write_always_carries_a_key_that_the_service_takes_and_a_read_never_does(method: Method) -> None:
    line = Line()
    client = Client("amqp://localhost", "token")
    client._line = line  # type: ignore[assignment]
    client.call("any", method.name, {})
    assert (KEY_FIELD in line.kwargs) is not method.reads
    assert not set(line.kwargs) - set(method.request_schema.fields)
    if not method.reads:
        assert method.request_schema.fields[KEY_FIELD].deserialize(line.kwargs[KEY_FIELD]) is not None


def test_no_prefix_is_there_for_nothing() -> None:
    names = [name for cls in CLASSES.values() for name in methods_of(cls)]
    for prefix in READ_PREFIXES:
        assert any(name.startswith(prefix) for name in names), prefix
