"""Connections to the broker, embedded or RabbitMQ, with every wait bounded."""

import socket
from typing import Any

from kombu import Connection

from shared.messaging import embedded

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 30
WRITE_TIMEOUT_S = 10

# RabbitMQ has no heartbeat from a connection that only publishes now and then; the kernel notices a dead peer instead.
_KEEPALIVE = {
    socket.TCP_KEEPIDLE: 10,
    socket.TCP_KEEPINTVL: 5,
    socket.TCP_KEEPCNT: 3,
    socket.TCP_USER_TIMEOUT: 25_000,
}


def connect(amqp_uri: str, *, heartbeat_s: int = 0, **transport_options: Any) -> Connection:
    """Return a kombu connection, not yet established.

    :param amqp_uri: ``amqp://...``, ``amqps://...`` or :data:`embedded.URI`.
    :param heartbeat_s: seconds between heartbeats; 0 leaves it to TCP keepalive, right for connections that nobody
        reads from all the time.
    """
    if amqp_uri.startswith(embedded.URI):
        return Connection(f"{embedded.URI}localhost")
    options = {
        "read_timeout": READ_TIMEOUT_S,
        "write_timeout": WRITE_TIMEOUT_S,
        "socket_settings": _KEEPALIVE,
        **transport_options,
    }
    return Connection(amqp_uri, connect_timeout=CONNECT_TIMEOUT_S, heartbeat=heartbeat_s, transport_options=options)


def bound_waits(connection: Connection) -> None:
    """Establish a connection, each read and write of which ends in time, whoever is at its other end.

    The limits that py-amqp puts on a socket are the kernel's, and do nothing on one that eventlet made non-blocking.
    """
    sock = getattr(getattr(connection.connection, "transport", None), "sock", None)
    if sock is not None:
        sock.settimeout(WRITE_TIMEOUT_S)


def place_of(uri: str) -> str:
    """Return host, port and path of a URI, for messages: never its user or password."""
    if uri.startswith(embedded.URI):
        return "the embedded broker"
    # Cut by hand: a password may hold any sign, and a parser that stumbles over it puts it into its complaint.
    _, _, address = uri.partition("://")
    return address.rpartition("@")[2].partition("?")[0].removeprefix("/")
