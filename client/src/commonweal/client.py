"""Calls a service over RabbitMQ by nameko's wire protocol and waits for its answer, every wait bounded."""

import json
import os
import ssl
import threading
import time
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from amqp.exceptions import AccessRefused
from kombu import Connection

from commonweal import errors

RPC_EXCHANGE = "nameko-rpc"
CONTENT_TYPE = "application/json"
#: Who a connection is made as whose URI names nobody.
DEFAULT_USER = "guest"
DEFAULT_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 5
FAREWELL_TIMEOUT_S = 1.0
REPLY_QUEUE_EXPIRES_MS = 300_000
#: What the query of an ``amqps`` URI may name, as RabbitMQ's own clients read it, and what py-amqp calls it.
TLS_FILES = {"cacertfile": "ca_certs", "certfile": "certfile", "keyfile": "keyfile"}

#: Methods that change nothing begin with one of these; every other call carries an idempotency key.
READ_PREFIXES = (
    *("get_", "list_", "count_", "find_", "check_", "compare_", "verify_", "reconcile_"),
    *("benefits_summary", "council_statement", "pool_statement"),
)


class Client:
    """A connection to Commonweal; close it, or use it as a context manager. Safe to share between threads.

    :param amqp_uri: the broker, such as ``amqp://user:password@host:5672/vhost``; ``amqps://`` for TLS; of a cluster
        the URIs of its nodes, separated by ``;``, which are tried in turn. With ``amqps://`` the broker's certificate
        and name are always checked; ``?cacertfile=...`` names a file of the authorities that are trusted in place of
        the system's, ``certfile`` and ``keyfile`` a certificate of your own.
    :param token: the caller's token.
    :param timeout_s: seconds until a call without an answer ends with :class:`~commonweal.errors.TimedOut`.
    :raises ValueError: when ``amqp_uri`` cannot be read.

    Services are attributes, their methods are called with named arguments::

        client.proposals.get_proposal(proposal_id="...")
    """

    def __init__(self, amqp_uri: str, token: str, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self._line = _Line(amqp_uri)
        self._token = token
        self.timeout_s = timeout_s

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client of {self._line.place}>"

    def __getattr__(self, service: str) -> "Service":
        if service.startswith("_"):
            raise AttributeError(service)
        return Service(self, service)

    def acting(self, token: str) -> "Client":
        """Return a client on the same connection with another token; closing either closes both."""
        other = Client.__new__(Client)
        other._line, other._token, other.timeout_s = self._line, token, self.timeout_s
        return other

    def call(self, service: str, method: str, arguments: dict[str, Any]) -> Any:
        """Call a method and return its answer.

        :param arguments: JSON values by name. A write without an ``idempotency_key`` gets one, so that it can be sent
            again safely when the connection breaks.
        :raises commonweal.errors.CommonwealError: whatever the call ended with instead.
        """
        if not method.startswith(READ_PREFIXES):
            arguments = {**arguments, "idempotency_key": arguments.get("idempotency_key") or str(uuid.uuid4())}
        try:
            return self._answer(service, method, arguments)
        except errors.CommonwealError as error:
            error.idempotency_key = arguments.get("idempotency_key")
            raise

    def _answer(self, service: str, method: str, arguments: dict[str, Any]) -> Any:
        try:
            body = json.dumps({"args": [], "kwargs": arguments}, allow_nan=False).encode()
        except (TypeError, ValueError) as error:
            raise errors.Invalid("not_json", f"The arguments must be JSON values: {error}.") from error
        reply = self._line.request(f"{service}.{method}", body, self._token, self.timeout_s)
        if reply.get("error"):
            raise errors.from_reply(reply["error"])
        return reply.get("result")

    def close(self) -> None:
        """Close the connection."""
        self._line.close()


class Service:
    """One service of a client; its attributes are its methods."""

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._name = name

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method.startswith("_"):
            raise AttributeError(method)

        def call(**arguments: Any) -> Any:
            return self._client.call(self._name, method, arguments)

        call.__name__ = method
        return call


def _uris_of(amqp_uri: str) -> list[str]:
    uris = [uri.strip() for uri in amqp_uri.split(";")]
    if not all(map(_is_sound, uris)):
        # Nothing of it is shown: what cannot be told apart may be a part of the password.
        raise ValueError(
            "The broker's URI must look like amqp://user:password@host:5672/vhost, with signs such as / ; @ # in it "
            "written as %2F and so on; several are separated by semicolons."
        )
    for query in (urlsplit(uri).query for uri in uris):
        files = dict(parse_qsl(query, keep_blank_values=True))
        if query and not files.keys() <= TLS_FILES.keys():
            raise ValueError(f"After the ? of a broker's URI may stand {', '.join(TLS_FILES)} and nothing else.")
        for name, path in files.items():
            if not os.access(path, os.R_OK):
                raise ValueError(f"The {name} that the broker's URI names cannot be read: {path}")
    return uris


def _is_sound(uri: str) -> bool:
    try:
        parts = urlsplit(uri)
        # An @ further on means that the password, with a sign such as / in it, was cut in two.
        return "://" in uri and parts.port != 0 and "@" not in parts.path + parts.query + parts.fragment
    except ValueError:
        return False


def _connection(uri: str, **options: Any) -> Connection:
    bare, _, query = uri.partition("?")
    tls: Any = False
    if bare.startswith("amqps://"):
        # Without a name py-amqp checks none, and any certificate of a trusted authority would do.
        tls = {"server_hostname": urlsplit(bare).hostname, "cert_reqs": ssl.CERT_REQUIRED}
        tls.update((TLS_FILES[name], path) for name, path in parse_qsl(query))
    return Connection(bare, ssl=tls, **options)


class _Line:
    """The connection, its reply queue, and the one request at a time that uses them."""

    def __init__(self, amqp_uri: str) -> None:
        # The first is the one in use; one that fails goes to the end.
        self._uris = _uris_of(amqp_uri)
        self._turn = threading.Lock()
        self._connection: Connection | None = None
        self._channel: Any = None
        self._reply_to = ""
        self._replies: dict[str, Any] = {}
        self._unroutable = False
        self._blocked = False

    @property
    def place(self) -> str:
        """The broker's URI without its password, or its nodes' URIs, the one in use first."""
        return ";".join(str(_connection(uri).as_uri()) for uri in self._uris)

    def request(self, routing_key: str, body: bytes, token: str, timeout_s: float) -> dict[str, Any]:
        deadline = time.monotonic() + timeout_s
        correlation_id = str(uuid.uuid4())
        failures = 0
        if not self._turn.acquire(timeout=timeout_s):
            raise errors.Unavailable("busy", "Other calls of this client took all the time; nothing was sent.")
        try:
            while True:
                try:
                    return self._request(routing_key, body, token, correlation_id, deadline)
                except errors.CommonwealError:
                    raise
                except TimeoutError as error:
                    # The answer may still come; a new reply queue keeps it from being taken for another call's.
                    blocked = self._blocked
                    self._drop()
                    if blocked:
                        raise errors.Unavailable(
                            "broker_blocked",
                            "The broker takes no messages now, because it is short of memory or disk space; its "
                            "operator must help. Try again later, a write with the idempotency_key of this error: it "
                            "may still have its effect.",
                        ) from error
                    raise errors.TimedOut(
                        "timed_out",
                        f"No answer came within {timeout_s:g} seconds; is the service running? A write may have had "
                        "its effect: call again with the idempotency_key of this error to find out.",
                    ) from error
                except AccessRefused as error:
                    self._drop()
                    raise errors.Forbidden("broker_refused", f"The broker does not let you: {error}") from error
                except Exception as error:
                    self._drop()
                    if time.monotonic() + 0.5 >= deadline:
                        raise errors.Unavailable(
                            "broker_unavailable", f"The broker cannot be reached ({error}); try again later."
                        ) from error
                    failures += 1
                    if failures % len(self._uris) == 0:
                        time.sleep(0.2)
        finally:
            self._turn.release()

    def _request(
        self, routing_key: str, body: bytes, token: str, correlation_id: str, deadline: float
    ) -> dict[str, Any]:
        self._ensure_channel(deadline)
        self._unroutable = False
        message = self._channel.prepare_message(
            body,
            content_type=CONTENT_TYPE,
            content_encoding="utf-8",
            headers={"nameko.auth_token": token},
            properties={
                "reply_to": self._reply_to,
                "correlation_id": correlation_id,
                # A call that its caller no longer waits for is not to be carried out hours later.
                "expiration": str(max(int((deadline - time.monotonic()) * 1000), 1)),
            },
        )
        taken = self._channel.basic_publish(
            message,
            exchange=RPC_EXCHANGE,
            routing_key=routing_key,
            mandatory=True,
            timeout=max(deadline - time.monotonic(), 0.001),
        )
        assert self._connection is not None
        while taken is not False and not self._unroutable:
            if correlation_id in self._replies:
                reply: dict[str, Any] = self._replies.pop(correlation_id)
                return reply
            remaining_s = deadline - time.monotonic()
            if remaining_s <= 0:
                raise TimeoutError
            self._connection.drain_events(timeout=remaining_s)
        service = routing_key.partition(".")[0]
        raise errors.Unavailable("no_such_service", f"No service {service} has ever run on this broker.")

    def _ensure_channel(self, deadline: float) -> None:
        if self._channel is not None:
            return
        try:
            self._channel = self._open_channel(deadline)
        except TimeoutError as error:
            # Nothing was sent yet.
            raise ConnectionError("it does not answer") from error

    def _open_channel(self, deadline: float) -> Any:
        # A node that never answers leaves time for the others.
        share_s = max((deadline - time.monotonic()) / len(self._uris), 0.001)
        deadline = time.monotonic() + share_s
        self._blocked = False
        self._connection = _connection(
            self._uris[0],
            connect_timeout=min(CONNECT_TIMEOUT_S, share_s),
            transport_options={"on_blocked": self._on_blocked, "on_unblocked": self._on_unblocked},
        )
        # One attempt: the caller's time limit decides about another.
        self._connection.ensure_connection(max_retries=1, interval_start=0, timeout=0.001)
        self._bound(deadline)
        channel = self._connection.channel()
        self._reply_to = str(uuid.uuid4())
        # A broker user may use no reply queue but its own, which bear its name.
        queue = f"rpc.reply-{self._connection.userid or DEFAULT_USER}.{self._reply_to}"
        # The exchange is the services' and a council's broker user may not declare it.
        self._bound(deadline)
        channel.queue_declare(
            queue=queue, exclusive=True, auto_delete=True, arguments={"x-expires": REPLY_QUEUE_EXPIRES_MS}
        )
        self._bound(deadline)
        channel.queue_bind(queue=queue, exchange=RPC_EXCHANGE, routing_key=self._reply_to)
        self._bound(deadline)
        channel.basic_consume(queue=queue, no_ack=True, callback=self._on_reply, consumer_tag=queue)
        if hasattr(channel, "confirm_select"):
            channel.events["basic_return"].add(self._on_return)
        return channel

    def _bound(self, deadline: float) -> None:
        """Make the next exchange with the broker end by a time; by itself py-amqp waits for an answer for ever."""
        connection = self._connection
        established: Any = connection.connection if connection is not None and connection.connected else None
        if hasattr(established, "sock"):
            established.sock.settimeout(max(deadline - time.monotonic(), 0.001))

    def _on_reply(self, raw: Any) -> None:
        message = self._channel.message_to_python(raw)
        self._replies.clear()
        body = message.body.decode() if isinstance(message.body, bytes) else message.body
        self._replies[message.properties.get("correlation_id")] = json.loads(body)

    def _on_return(self, *_: Any) -> None:
        self._unroutable = True

    def _on_blocked(self, _: str) -> None:
        self._blocked = True

    def _on_unblocked(self) -> None:
        self._blocked = False

    def _drop(self) -> None:
        self._uris.append(self._uris.pop(0))
        connection, self._connection, self._channel = self._connection, None, None
        self._replies.clear()
        if connection is not None:
            try:
                connection.collect(socket_timeout=0.1)
            except Exception:
                return

    def close(self) -> None:
        with self._turn:
            self._bound(time.monotonic() + FAREWELL_TIMEOUT_S)
            connection, self._connection, self._channel = self._connection, None, None
            if connection is not None:
                connection.release()
