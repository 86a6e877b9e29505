"""Connections to the broker, embedded, RabbitMQ or a cluster of it, with every wait bounded."""

import os
import re
import socket
import ssl
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from kombu import Connection

from shared.messaging import embedded

CONNECT_TIMEOUT_S = 5
#: How long any read or write waits that has no limit of its own.
TIMEOUT_S = 10.0
#: How long a broker may take to answer that a connection is closed; then it is closed without its consent.
FAREWELL_TIMEOUT_S = 2.0

# RabbitMQ has no heartbeat from a connection that only publishes now and then; the kernel notices a dead peer instead.
_KEEPALIVE = {
    socket.TCP_KEEPIDLE: 10,
    socket.TCP_KEEPINTVL: 5,
    socket.TCP_KEEPCNT: 3,
    socket.TCP_USER_TIMEOUT: 25_000,
}

#: Who a connection is made as whose URI names nobody.
DEFAULT_USER = "guest"

#: What the query of an ``amqps`` URI may name, as RabbitMQ's own clients read it, and what py-amqp calls it.
_TLS_FILES = {"cacertfile": "ca_certs", "certfile": "certfile", "keyfile": "keyfile"}


class _BrokerConnection(Connection):
    """A kombu connection to the first of its URIs that answers, whose every read and write ends in time.

    py-amqp's own limits are the kernel's, which it keeps for blocking sockets only: eventlet's never block there, so
    that a broker that is gone without a word would be waited for for ever, its consent to closing included.
    """

    def connect(self) -> Any:
        # Each once: by itself kombu tries two, however many there are, and a single one again after two seconds.
        self.ensure_connection(max_retries=len(self.alt) - 1, reraise_as_library_errors=False)
        return super().connection

    @property
    def connection(self) -> Any:
        return super().connection if self.connected or self._closed else self.connect()

    def switch(self, conn_str: str) -> None:
        # kombu would go on with what the first URI says where this one says nothing.
        self.port, self.virtual_host = None, "/"
        self._initial_params.update(ssl=False, **dict.fromkeys(_TLS_FILES))
        super().switch(conn_str)

    def _init_params(self, hostname: str, *arguments: Any, **parameters: Any) -> None:
        files = {name: parameters.pop(name, None) for name in _TLS_FILES}
        if parameters.get("transport") == "amqps" and not parameters.get("ssl"):
            parameters["ssl"] = _tls_options(hostname, files)
        super()._init_params(hostname, *arguments, **parameters)

    def _establish_connection(self) -> Any:
        established = super()._establish_connection()
        if hasattr(established, "sock"):
            established.sock.settimeout(TIMEOUT_S)
        return established

    def release(self) -> None:
        established: Any = self._connection if self.connected else None
        if hasattr(established, "sock"):
            established.sock.settimeout(FAREWELL_TIMEOUT_S)
        super().release()

    close = release


def connect(amqp_uri: str, *, heartbeat_s: int = 0, **transport_options: Any) -> Connection:
    """Return a kombu connection, not yet established.

    :param amqp_uri: ``amqp://...``, ``amqps://...`` or :data:`embedded.URI`; of a cluster the URIs of its nodes,
        separated by ``;``, which are tried in turn. The query of an ``amqps`` URI may name PEM files: ``cacertfile``,
        whose authorities are trusted in place of the system's, ``certfile`` and ``keyfile`` of our own certificate.
        The server's certificate and name are always checked.
    :param heartbeat_s: seconds between heartbeats; 0 leaves it to TCP keepalive, right for connections that nobody
        reads from all the time.
    :raises ValueError: when it is no such URI, or no such list.
    """
    if amqp_uri.startswith(embedded.URI):
        return Connection(f"{embedded.URI}localhost")
    if problem := problem_of(amqp_uri):
        raise ValueError(problem)
    options = {"socket_settings": _KEEPALIVE, **transport_options}
    return _BrokerConnection(
        nodes_of(amqp_uri), connect_timeout=CONNECT_TIMEOUT_S, heartbeat=heartbeat_s, transport_options=options
    )


def nodes_of(amqp_uri: str) -> list[str]:
    """Return the URIs that are tried in turn: one, or one for each node of a cluster."""
    return [part.strip() for part in amqp_uri.split(";")]


def problem_of(amqp_uri: str) -> str | None:
    """Return what is wrong with a broker's URI or list of URIs, as a sentence without anything of it; or None."""
    for uri in nodes_of(amqp_uri):
        if not uri.startswith(("amqp://", "amqps://")):
            return "must begin with amqp:// or amqps://, each one if several are separated by semicolons."
        try:
            parts = urlsplit(uri)
            # An @ further on means that the password, with one of these signs in it, was cut in two.
            sound = bool(parts.hostname) and parts.port != 0 and "@" not in parts.path + parts.query + parts.fragment
        except ValueError:
            sound = False
        if not sound:
            return "must look like amqp://user:password@host:5672/vhost, with signs such as / ; @ # written as %2F ..."
        if problem := _problem_of_query(parts.scheme, parts.query):
            return problem
    return None


def user_of(amqp_uri: str) -> str | None:
    """Return the broker user of a URI, or of the first of a list; None on the embedded broker, which knows no users."""
    if amqp_uri.startswith(embedded.URI):
        return None
    return connect(amqp_uri).userid or DEFAULT_USER


def is_encrypted(amqp_uri: str) -> bool:
    """Tell whether every connection to a broker's URI, or to each of a list, is encrypted."""
    return all(uri.startswith("amqps://") for uri in nodes_of(amqp_uri))


def authorities_of(amqp_uri: str) -> str | None:
    """Return the file of the authorities that a broker's first URI names, or None where the system's are trusted."""
    return dict(parse_qsl(urlsplit(nodes_of(amqp_uri)[0]).query)).get("cacertfile")


def _problem_of_query(scheme: str, query: str) -> str | None:
    files = dict(parse_qsl(query, keep_blank_values=True))
    if query and (scheme != "amqps" or not files.keys() <= _TLS_FILES.keys()):
        return f"takes nothing after the ? but, of amqps://, {', '.join(_TLS_FILES)}."
    if "keyfile" in files and "certfile" not in files:
        return "names a keyfile without the certfile that it belongs to."
    for name, path in files.items():
        if not os.access(path, os.R_OK):
            return f"names a {name} that cannot be read."
    return None


def _tls_options(hostname: str, files: dict[str, str | None]) -> dict[str, Any]:
    # Without a name py-amqp checks none, and any certificate of a trusted authority would do.
    options: dict[str, Any] = {"server_hostname": hostname, "cert_reqs": ssl.CERT_REQUIRED}
    return options | {_TLS_FILES[name]: path for name, path in files.items() if path}


def place_of(uri: str) -> str:
    """Return host, port and path of a URI or of each in a list, for messages: never its user or password."""
    if uri.startswith(embedded.URI):
        return "the embedded broker"
    # Cut by hand: a password may hold any sign, and a parser that stumbles over it puts it into its complaint.
    addresses = [part.partition("://")[2] for part in re.split(r"\s*;\s*(?=amqps?://)", uri)]
    return ", ".join(address.rpartition("@")[2].partition("?")[0].removeprefix("/") for address in addresses)
