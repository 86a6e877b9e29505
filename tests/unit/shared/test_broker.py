"""A connection to a broker of several nodes: each is tried in turn, and none lends another its port or virtual host."""

import socket
from collections.abc import Iterator

import pytest

from shared.messaging import broker

SECRET = "hunter2"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A server that only takes connections."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        made.listen()
        made.setblocking(False)
        yield made


@pytest.mark.parametrize("nodes_down", [0, 1, 2, 4])
def test_every_node_is_tried_whichever_are_down(listener: socket.socket, nodes_down: int) -> None:
    host, port = listener.getsockname()
    uris = [f"amqp://user:{SECRET}@127.0.0.1:1/v"] * nodes_down + [f"amqp://user:{SECRET}@{host}:{port}/v"]
    connection = broker.connect(";".join(uris))
    connection.connect_timeout = 0.1
    connection._initial_params["connect_timeout"] = 0.1
    with pytest.raises(OSError, match="timed out"):
        connection.connection  # noqa: B018
    listener.accept()[0].close()


def test_a_node_that_names_no_port_and_no_virtual_host_has_the_usual_ones() -> None:
    connection = broker.connect("amqp://user:secret@one:5673/v;amqps://two")
    connection.maybe_switch_next()
    assert (connection.hostname, connection.port, connection.virtual_host) == ("two", None, "/")
    connection.maybe_switch_next()
    assert (connection.hostname, connection.port, connection.virtual_host) == ("one", 5673, "v")


def test_a_copy_knows_every_node_too() -> None:
    """nameko's consumer connects by a copy."""
    copy = broker.connect("amqp://one;amqp://two;amqp://three").clone()
    assert type(copy) is type(broker.connect("amqp://one"))
    seen = []
    for _ in range(4):
        seen.append(copy.hostname)
        copy.maybe_switch_next()
    assert seen == ["one", "two", "three", "one"]


@pytest.mark.parametrize("uri", ["", "broker:5672", f"amqp://user:12/{SECRET}@host", f"amqp://user:1;{SECRET}@host"])
def test_what_is_no_uri_is_refused_without_showing_it(uri: str) -> None:
    with pytest.raises(ValueError, match="must") as refusal:
        broker.connect(uri)
    assert SECRET not in str(refusal.value)
