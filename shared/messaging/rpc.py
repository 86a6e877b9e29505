"""The ``rpc`` entrypoint: nameko's wire protocol, so that any nameko client works, with our rules around the call.

Differences from nameko 2.14.1 (NAMEKO.md, 2, 14 and 17): a request without a UUID ``reply_to`` is refused before
anything runs; keyword arguments only, checked by a schema; nothing but a sound token is taken from the headers; a
handler runs in one transaction with the idempotency key of its caller; replies go out on a kept connection.
"""

import functools
import hashlib
import json
import logging
import re
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from eventlet.semaphore import Semaphore
from kombu import Connection, Queue
from marshmallow import RAISE, Schema, ValidationError
from nameko.exceptions import ContainerBeingKilled
from nameko.extensions import SharedExtension
from nameko.rpc import Rpc as NamekoRpc
from nameko.rpc import RpcConsumer as NamekoRpcConsumer
from sqlalchemy.orm import Session

from shared import config, ids
from shared.audit import trail
from shared.errors import CommonwealError, Forbidden, Invalid, NotFound, Unauthenticated, Unavailable
from shared.fields import CommandSchema, faults
from shared.messaging import broker
from shared.messaging.frames import body_of
from shared.messaging.idempotency import KEY_FIELD, IdempotencyKey, Slot
from shared.messaging.queue_consumer import QueueConsumer
from shared.messaging.topology import RPC_EXCHANGE, rpc_queue_of
from shared.security.principal import ROLES, Principal
from shared.security.scope import Scope
from shared.security.tokens import Verifier
from shared.storage.database import Database, is_transient
from shared.storage.provider import DatabaseConnection

_log = logging.getLogger(__name__)

MAX_REQUEST_BYTES = 1_048_576
MAX_DIGITS = 64
MAX_CORRELATION_ID_LENGTH = 255
LISTEN_INTERVAL_S = 0.5
TOKEN_HEADER = "nameko.auth_token"  # nosec B105
CONTENT_TYPE = "application/json"
#: What the audit trail calls a method that the service does not have: the name itself is whatever a caller wrote.
UNKNOWN_METHOD = "unknown"

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z", re.IGNORECASE)

Handler = Callable[[Any, Session, Principal, Any], Any]


@dataclass(frozen=True)
class Call:
    """A request as it came in: nothing of it is checked but its form."""

    kwargs: dict[str, Any]
    token: object
    verifier: Verifier

    @property
    def request(self) -> dict[str, Any]:
        """The arguments without the key that names this attempt at them."""
        return {name: value for name, value in self.kwargs.items() if name != KEY_FIELD}


@dataclass(frozen=True)
class Reply:
    """What goes back: a result or an error."""

    result: Any = None
    error: CommonwealError | None = None

    def as_payload(self) -> dict[str, Any]:
        """Return nameko's form of a reply."""
        if self.error is None:
            return {"result": self.result, "error": None}
        name = type(self.error).__name__
        return {
            "result": None,
            "error": {
                "exc_type": name,
                "exc_path": f"{CommonwealError.__module__}.{name}",
                "exc_args": [self.error.as_dict()],
                "value": self.error.message,
            },
        }


@dataclass(frozen=True)
class Method:
    """What a service says of one of its methods; the generated reference is made of it.

    :param request: schema of the keyword arguments.
    :param response: schema of the answer.
    :param roles: the roles that may call; a caller needs one of them.
    :param scope: which rows it reaches for its caller.
    :param reads: True for a method that changes nothing; all others take an ``idempotency_key`` too.
    """

    name: str
    request: type[CommandSchema]
    response: type[Schema]
    roles: frozenset[str]
    scope: Scope
    reads: bool
    handler: Handler

    def __post_init__(self) -> None:
        if not self.roles or not self.roles <= ROLES:
            raise ValueError(f"{self.name} must name the roles that may call it, some of {', '.join(sorted(ROLES))}")
        if not isinstance(self.scope, Scope):
            raise TypeError(f"{self.name} must name its scope: which rows it reaches for its caller")

    @functools.cached_property
    def request_schema(self) -> CommandSchema:
        """The request's schema, made once; a write's has the idempotency key added."""
        if self.reads:
            return self.request(unknown=RAISE)
        with_key = self.request.from_dict({KEY_FIELD: IdempotencyKey()}, name=self.request.__name__)
        return cast(CommandSchema, with_key(unknown=RAISE))

    @functools.cached_property
    def response_schema(self) -> Schema:
        """The answer's schema, made once."""
        return self.response()

    def authorise(self, principal: Principal) -> None:
        """:raises Forbidden: when the caller's roles do not allow the method."""
        if not principal.has(*self.roles):
            raise Forbidden("role_needed", f"This takes one of the roles {', '.join(sorted(self.roles))}.")

    def load(self, call: Call) -> Any:
        """Return the checked arguments. :raises Invalid: naming every field at fault."""
        try:
            return self.request_schema.load(call.kwargs)
        except ValidationError as error:
            fields = faults(error.messages)
            named = sorted(filter(None, fields))
            places = ", ".join(named[:5]) + (", ..." if len(named) > 5 else "")
            raise Invalid("invalid_request", f"Correct these fields and send it again: {places}.", fields) from error

    def run(self, service: Any, call: Call) -> Any:
        """Authorise, check, and run the handler in one transaction; returns the answer as JSON values.

        A write leaves its audit row in that transaction. A refusal rolls it back and leaves one in the next.
        """
        principal: Principal | None = None
        try:
            principal = call.verifier.verify(call.token)
            self.authorise(principal)
            return self._answer(service, call, principal, self.load(call))
        except Unavailable:
            raise
        except CommonwealError as error:
            self._record_refusal(service, call, principal, error)
            raise

    def _answer(self, service: Any, call: Call, principal: Principal, command: Any) -> Any:
        database: Database = service.storage
        if self.reads:
            return database.run(
                lambda session: self.response_schema.dump(self.handler(service, session, principal, command))
            )
        key = command.__dict__.pop(KEY_FIELD, None)

        def write(session: Session) -> Any:
            slot = key and Slot(session, subject=principal.subject, key=key, method=self.name, request=call.request)
            if slot and not slot.claim():
                answer, outcome = slot.first_answer(), trail.REPEATED
            else:
                answer = self.response_schema.dump(self.handler(service, session, principal, command))
                outcome = trail.DONE
                if slot:
                    slot.fill(answer)
            trail.record_call(session, self.name, principal, call.request, outcome=outcome, answer=answer)
            return answer

        return database.run(write)

    def _record_refusal(self, service: Any, call: Call, principal: Principal | None, error: CommonwealError) -> None:
        # The transaction that it was refused in is gone. Of a read only what the caller had no right to is of interest.
        if self.reads and not isinstance(error, Unauthenticated | Forbidden | NotFound):
            return
        database: Database = service.storage
        database.run(
            lambda session: trail.record_call(
                session, self.name, principal, call.request, outcome=error.code, error=type(error).__name__
            )
        )


def rpc(
    request: type[CommandSchema], response: type[Schema], *, roles: Iterable[str], scope: Scope, reads: bool = False
) -> Callable[[Handler], Callable[..., Reply]]:
    """Make a method of a nameko service callable.

    The method receives ``(session, principal, command)`` within a transaction and returns an object or a mapping that
    the response schema can dump. It raises the errors of :mod:`shared.errors`, and may run more than once.
    See :class:`Method` for the arguments.

    :raises ValueError: for a method without a role, or with an unknown one.
    :raises TypeError: for a method without a scope.
    """

    def decorate(handler: Handler) -> Callable[..., Reply]:
        method = Method(handler.__name__, request, response, frozenset(roles), scope, reads, handler)

        @functools.wraps(handler)
        def entry(self: Any, call: Call) -> Reply:
            try:
                return Reply(result=method.run(self, call))
            except CommonwealError as error:
                return Reply(error=error)
            except Exception as error:
                return Reply(error=_unexpected(method, error))

        entry.rpc_method = method  # type: ignore[attr-defined]
        registered: Callable[..., Reply] = Rpc.decorator()(entry)
        return registered

    return decorate


def methods_of(service_class: type) -> dict[str, Method]:
    """Return what a service class offers, by name."""
    found = {name: getattr(member, "rpc_method", None) for name, member in vars(service_class).items()}
    return {name: method for name, method in sorted(found.items()) if method is not None}


def _unexpected(method: Method, error: Exception) -> CommonwealError:
    if is_transient(error):
        _log.warning("%s: the database could not be used: %s", method.name, error)
        return Unavailable(
            "database_unavailable",
            "The service cannot reach its data now. Try again in a moment, a write with the same idempotency key.",
        )
    incident = ids.new_id().hex[-12:]
    _log.error("%s failed, incident %s", method.name, incident, exc_info=error)
    return Unavailable(
        "internal_error",
        f"The service failed. Tell its operator the incident number {incident}; a write may be sent again with the "
        "same idempotency key.",
    )


class Replies(SharedExtension):
    """Sends replies on one kept connection, without confirms: a caller who hears nothing asks again with its key.

    Nothing else would tell that the broker does not hear them any more, so the connection has heartbeats.
    """

    def setup(self) -> None:
        settings = config.read(self.container.service_name, self.container.config)
        self._amqp_uri = settings.amqp_uri
        self._heartbeat_s = 0 if settings.is_embedded else settings.heartbeat_s
        self._turn = Semaphore()
        self._connection: Connection | None = None
        self._channel: Any = None

    def start(self) -> None:
        if self._heartbeat_s:
            self._listener = self.container.spawn_managed_thread(self._listen, identifier="replies' heartbeats")

    def send(self, reply_to: str, correlation_id: str | None, reply: Reply) -> None:
        """Send a reply to the caller's own routing key; a caller that has gone is no error."""
        body = _encoded(reply)
        properties = {"correlation_id": correlation_id} if correlation_id is not None else {}
        with self._turn:
            for attempt in (1, 2):
                try:
                    self._publish(body, reply_to, properties)
                except Exception as error:
                    self._drop()
                    if attempt == 2:
                        _log.warning("a reply could not be sent; its caller will time out: %s", error)
                else:
                    return

    def _publish(self, body: bytes, reply_to: str, properties: dict[str, Any]) -> None:
        if self._channel is None:
            self._connection = broker.connect(self._amqp_uri, heartbeat_s=self._heartbeat_s)
            self._channel = self._connection.channel()
        message = self._channel.prepare_message(
            body, content_type=CONTENT_TYPE, content_encoding="utf-8", headers={}, properties=dict(properties)
        )
        self._channel.basic_publish(message, exchange=RPC_EXCHANGE, routing_key=reply_to)

    def _listen(self) -> None:
        while True:
            time.sleep(LISTEN_INTERVAL_S)
            with self._turn:
                connection = self._connection
                if connection is None:
                    continue
                try:
                    with suppress(TimeoutError):
                        while True:
                            connection.drain_events(timeout=0)
                    connection.heartbeat_check()
                except Exception as error:
                    _log.warning("the connection for replies was lost: %s", error)
                    self._drop()

    def _drop(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            try:
                connection.collect(socket_timeout=0.1)
            except Exception as error:
                _log.debug("dropping a broken connection: %s", error)

    def stop(self) -> None:
        if self._heartbeat_s:
            self._listener.kill()
        self._drop()


class RpcConsumer(NamekoRpcConsumer):
    """Takes the requests of a service from its queue and answers each."""

    queue_consumer = QueueConsumer()
    replies = Replies()
    connection = DatabaseConnection()

    queue: Queue | None
    verifier: Verifier

    def __init__(self) -> None:
        super().__init__()
        self._recording = Semaphore()

    def setup(self) -> None:
        if self.queue is None:
            settings = config.read(self.container.service_name, self.container.config)
            self.verifier = Verifier.read(settings.token_keys, audience=settings.token_audience)
            self.queue = Queue(rpc_queue_of(self.container.service_name), no_declare=True)
            self.queue_consumer.register_provider(self)

    def handle_message(self, message: Any) -> None:
        """Answer a request, or refuse one that cannot be answered."""
        method = UNKNOWN_METHOD
        try:
            provider = self._provider_of(message.delivery_info["routing_key"])
            method = provider.method_name
            _check_reply_to(message)
            kwargs = _kwargs_of(message)
        except CommonwealError as error:
            self._refuse(message, method, error)
            return
        except Exception as error:
            _log.error("a request could not be read", exc_info=error)
            self._refuse(message, method, Invalid("malformed", "The request cannot be read."))
            return
        call = Call(kwargs, _token_of(message), self.verifier)
        try:
            self.container.spawn_worker(
                provider, (call,), {}, handle_result=functools.partial(self._handle_result, message)
            )
        except ContainerBeingKilled:
            self.queue_consumer.requeue_message(message)

    def answer(self, message: Any, reply: Reply) -> None:
        """Send the reply, then tell the broker that the request is done with."""
        self._send(message, reply)
        self.queue_consumer.ack_message(message)

    def _send(self, message: Any, reply: Reply) -> None:
        correlation_id = message.properties.get("correlation_id")
        if not isinstance(correlation_id, str) or len(correlation_id) > MAX_CORRELATION_ID_LENGTH:
            correlation_id = None
        self.replies.send(message.properties["reply_to"], correlation_id, reply)

    def _refuse(self, message: Any, method: str, error: CommonwealError) -> None:
        """Refuse a request before any handler: the caller hears of it, then it is recorded, then it is done with."""
        if _has_reply_to(message):
            self._send(message, Reply(error=error))
        else:
            # There is nobody to tell; answering to a queue of the caller's choice would let it write anywhere.
            _log.warning("a request without a UUID as reply_to was refused")
        self._record_refusal(message, method, error)
        self.queue_consumer.ack_message(message)

    def _record_refusal(self, message: Any, method: str, error: CommonwealError) -> None:
        """Leave an audit row of what was refused unread, without a word of it; a database that is away leaves none.

        Nothing would have changed, so the refusal stands without its row, and the log says that it is missing.
        """
        try:
            principal: Principal | None = self.verifier.verify(_token_of(message))
        except Unauthenticated:
            principal = None
        unread = {"body_sha256": hashlib.sha256(body_of(message)[:MAX_REQUEST_BYTES]).hexdigest()}
        # One at a time: a flood of these must not take the connections of those who are served.
        with self._recording:
            try:
                self.connection.database.run(
                    lambda session: trail.record_call(
                        session, method, principal, unread, outcome=error.code, error=type(error).__name__
                    )
                )
            except Exception as problem:
                _log.warning("a refusal (%s) of a request is missing in the audit trail: %s", error.code, problem)

    def _handle_result(self, message: Any, worker_ctx: Any, result: Any, exc_info: Any) -> tuple[Any, Any]:
        if not isinstance(result, Reply):
            result = Reply(error=Unavailable("internal_error", "The service failed; tell its operator."))
        try:
            self.answer(message, result)
        except Exception as error:
            # Past this point it would end the service.
            _log.error("a request could not be answered", exc_info=error)
            self.queue_consumer.reject_message(message)
        return result, None

    def _provider_of(self, routing_key: str) -> Any:
        # A request may have come by another key as well (header CC), which was not asked for at the broker.
        service, _, name = routing_key.rpartition(".")
        for provider in self._providers:
            if (service, provider.method_name) == (self.container.service_name, name):
                return provider
        raise NotFound("unknown_method", f"{self.container.service_name} has no method of that name.")


class Rpc(NamekoRpc):
    """The entrypoint itself: one per method."""

    rpc_consumer = RpcConsumer()


def _encoded(reply: Reply) -> bytes:
    try:
        return json.dumps(reply.as_payload(), allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        # The caller must hear something, and nothing but a fault of the service makes an answer that is not JSON.
        _log.error("an answer could not be sent", exc_info=error)
        fault = Reply(error=Unavailable("internal_error", "The service's answer could not be sent."))
        return json.dumps(fault.as_payload()).encode()


def _has_reply_to(message: Any) -> bool:
    reply_to = message.properties.get("reply_to")
    return isinstance(reply_to, str) and _UUID.match(reply_to) is not None


def _check_reply_to(message: Any) -> None:
    if not _has_reply_to(message):
        raise Invalid("no_reply_to", "Name your own reply queue's routing key, a UUID, as reply_to.")


def _token_of(message: Any) -> object:
    return (message.headers or {}).get(TOKEN_HEADER)


def _kwargs_of(message: Any) -> dict[str, Any]:
    if message.content_type != CONTENT_TYPE:
        raise Invalid("content_type", f"Send the request as {CONTENT_TYPE}.")
    body = body_of(message)
    if len(body) > MAX_REQUEST_BYTES:
        raise Invalid("too_large", f"The request has {len(body):,} bytes; {MAX_REQUEST_BYTES:,} are the most.")
    try:
        payload = json.loads(str(body, "utf-8"), parse_constant=_refuse_constant, parse_int=_whole_number)
    except (ValueError, RecursionError) as error:
        raise Invalid("not_json", f"The request is not JSON: {error}") from error
    if not isinstance(payload, dict) or not isinstance(payload.get("kwargs"), dict) or "args" not in payload:
        raise Invalid("malformed", "Send a JSON object with args and kwargs, as nameko's clients do.")
    if payload["args"]:
        raise Invalid("positional_arguments", "Name every argument; positional arguments are not taken.")
    kwargs: dict[str, Any] = payload["kwargs"]
    return kwargs


def _whole_number(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number has more than {MAX_DIGITS} digits")
    return int(digits)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")
