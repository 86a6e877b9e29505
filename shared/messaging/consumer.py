"""The event entrypoint: decode, open the transaction, skip what the inbox has, run the handler, commit, acknowledge."""

import functools
import logging
import time
from collections.abc import Callable
from typing import Any

from eventlet.semaphore import Semaphore
from kombu import Queue
from nameko.exceptions import ContainerBeingKilled
from nameko.extensions import Entrypoint, ProviderCollector, SharedExtension
from sqlalchemy.orm import Session

from shared import clock, config
from shared.audit import trail
from shared.errors import CommonwealError, Invalid
from shared.messaging import attempts, broker, inbox, topology
from shared.messaging.attempts import Delivery, Failure
from shared.messaging.dead_letters import (
    ADDRESSES,
    ATTEMPTS_HEADER,
    ERROR_HEADER,
    FAILED_AT_HEADER,
    REASON_HEADER,
    attributes_in,
)
from shared.messaging.events import Event, Unreadable, decode
from shared.messaging.frames import body_of
from shared.messaging.publisher import Message, Publisher, PublishFailed
from shared.messaging.publishers import LAID_BY_HEADER, PUBLISHER_HEADER, WrongPublisher
from shared.messaging.queue_consumer import QueueConsumer
from shared.storage.database import Database, is_transient
from shared.storage.provider import DatabaseConnection
from shared.waiting import wait_while

_log = logging.getLogger(__name__)

FORWARD_ATTEMPTS = 5
FORWARD_INTERVAL_S = 1.0

EventMethod = Callable[[Any, Session, Event], None]
Entry = Callable[..., Failure | None]


def event_handler(source: str, name: str) -> Callable[[EventMethod], Entry]:
    """Make a method of a nameko service receive an event type, in every version that the catalogue knows.

    The method receives ``(session, event)`` within a transaction that also writes the event's receipt. Whatever it
    raises is tried again later, but for :class:`shared.errors.Invalid`: an event that is itself at fault goes to the
    dead letters at once. The same event never has its effect twice.

    :param source: the service or system that publishes the event.
    :param name: the event's short name; the pair must stand among the service's subscriptions in the catalogue.
    """

    def decorate(method: EventMethod) -> Entry:
        @functools.wraps(method)
        def entry(self: Any, delivery: Delivery) -> Failure | None:
            return _attempt(self.storage, delivery, functools.partial(method, self))

        entry.consumes = (source, name)  # type: ignore[attr-defined]
        registered: Entry = EventHandler.decorator(source, name)(entry)
        return registered

    return decorate


def _attempt(database: Database, delivery: Delivery, handle: Callable[[Session, Event], None]) -> Failure | None:
    event = delivery.event

    def work(session: Session) -> bool:
        is_new = inbox.receive(session, event)
        if is_new:
            handle(session, event)
            trail.record_event(session, event.type.type, event.source, event.id, event.subject, event.data)
        if not delivery.is_first:
            attempts.forget(session, event)
        return is_new

    try:
        if delivery.again:
            unfinished = database.run(lambda session: attempts.begin(session, event))
            if unfinished > attempts.MAX_ATTEMPTS:
                raise attempts.ProcessEnded(unfinished - 1)
        if not database.run(work):
            _log.info("%s %s had its effect before", event.type.type, event.id)
    except Exception as error:
        return _counted(database, delivery, error)
    return None


def _counted(database: Database, delivery: Delivery, error: Exception) -> Failure:
    """Count a failed attempt, unless the database cannot even do that."""
    try:
        counted = database.run(lambda session: attempts.fail(session, delivery.event, error))
        failure = attempts.failure(delivery, error, counted)
        if failure.is_last:
            database.run(lambda session: attempts.forget(session, delivery.event))
    except Exception as fault:
        _log.warning("an attempt could not be counted in the database: %s", fault)
        return attempts.failure(delivery, error, None)
    return failure


def subscriptions_of(service_class: type) -> set[tuple[str, str]]:
    """Return the event types that a service class handles: source and short name."""
    found = (getattr(member, "consumes", None) for member in vars(service_class).values())
    return {consumed for consumed in found if consumed is not None}


class EventConsumer(SharedExtension, ProviderCollector):
    """Takes events from the service's one queue and sees each of them to an end: done, later, or dead letters."""

    queue_consumer = QueueConsumer()
    connection = DatabaseConnection()

    def __init__(self) -> None:
        super().__init__()
        self._leaving = 0
        self.queue: Queue | None = None
        self._forwarding = Semaphore()
        self._again = Semaphore()

    def setup(self) -> None:
        if self.queue is not None:
            return
        settings = config.read(self.container.service_name, self.container.config)
        self.service = settings.service
        self.retry_delays_ms = settings.retry_delays_ms
        self.publishers = settings.publishers
        self.queue = Queue(topology.queue_of(self.service), no_declare=True)
        self._publisher = Publisher(settings.amqp_uri)
        self.queue_consumer.register_provider(self)
        self.queue_consumer.broker_answers.wait()
        wait_while(self.service, lambda: self._problem(settings))

    def _problem(self, settings: config.Settings) -> str | None:
        place = broker.place_of(settings.amqp_uri)
        try:
            with broker.connect(settings.amqp_uri) as connection:
                if not topology.is_applied(connection, self.service, self.retry_delays_ms):
                    return (
                        f"the broker at {place} lacks this service's queues; run: commonweal-ops topology apply"
                        " (with the service's COMMONWEAL_RETRY_DELAYS_MS, if that is set)"
                    )
        except Exception as error:
            return f"the broker at {place} does not answer: {str(error) or type(error).__name__}"
        return None

    def unregister_provider(self, provider: Any) -> None:
        # The last handler to leave takes the queue with it, before the workers are waited for.
        self._leaving += 1
        if self._leaving == len(self._providers):
            self.queue_consumer.unregister_provider(self)
        if self._leaving >= len(self._providers):
            for registered in list(self._providers):
                super().unregister_provider(registered)
        else:
            self._last_provider_unregistered.wait()

    def stop(self) -> None:
        super().stop()
        self._publisher.close()

    def handle_message(self, message: Any) -> None:
        """Hand a delivery to its handler."""
        try:
            body = body_of(message)
            event = decode(body, message.headers or {}, message.content_type)
            provider = self._provider_of(event)
            self.publishers.check(event.source, self._publisher_of(message))
        except Unreadable as error:
            self._refuse(message, error.reason, error)
            return
        except WrongPublisher as error:
            self._refuse(message, "publisher", error)
            return
        except Exception as error:
            # Whatever a message makes of the decoder, it must not end the service, which would meet it again at once.
            _log.error("a message could not be read", exc_info=error)
            self._refuse(message, "undecodable", error)
            return
        delivery = Delivery(event, again=bool(message.delivery_info.get("redelivered")), failed=_failed(message))
        if delivery.again:
            # Should this one end the process, then those beside it must not be counted as if they had.
            self._again.acquire()
        try:
            self.container.spawn_worker(
                provider, (delivery,), {}, handle_result=functools.partial(self._handle_result, message, delivery)
            )
        except ContainerBeingKilled:
            self._release(delivery)
            self.queue_consumer.requeue_message(message)

    def _provider_of(self, event: Event) -> Any:
        for provider in self._providers:
            if (provider.source, provider.name) == (event.source, event.name):
                return provider
        raise Unreadable("not_subscribed", f"{self.service} does not consume {event.type.type}.")

    def _publisher_of(self, message: Any) -> str | None:
        return self.publishers.publisher_of(message.properties.get("user_id"), message.headers or {})

    def _release(self, delivery: Delivery) -> None:
        if delivery.again:
            self._again.release()

    def _handle_result(
        self, message: Any, delivery: Delivery, worker_ctx: Any, result: Any, exc_info: Any
    ) -> tuple[Any, Any]:
        self._release(delivery)
        failure = attempts.failure(delivery, exc_info[1], None) if exc_info else result
        try:
            if failure is None:
                self.queue_consumer.ack_message(message)
            else:
                self._try_later(message, delivery.event, failure)
        except Exception as fault:
            # Past this point it would end the service; rejected, the broker lays the event into the dead letters.
            _log.error(
                "%s %s could not be seen to its end", delivery.event.type.type, delivery.event.id, exc_info=fault
            )
            self.queue_consumer.reject_message(message)
        return None, None

    def _try_later(self, message: Any, event: Event, failure: Failure) -> None:
        expected = isinstance(failure.error, CommonwealError | attempts.ProcessEnded) or is_transient(failure.error)
        _log.warning(
            "%s %s failed, attempt %d: %s", event.type.type, event.id, failure.attempts, failure.error,
            exc_info=None if expected else failure.error,
        )  # fmt: skip
        if failure.is_last and isinstance(failure.error, CommonwealError):
            reason = "refused" if isinstance(failure.error, Invalid) else "attempts_used_up"
            self._refuse(message, reason, failure.error, failure.attempts)
            return
        if failure.is_last:
            self._dead_letter(message, "attempts_used_up", failure.error, failure.attempts)
            return
        self._retry(message, failure.attempts)

    def _retry(self, message: Any, failed: int) -> None:
        delay_ms = self.retry_delays_ms[min(failed, len(self.retry_delays_ms)) - 1]
        self._forward(message, topology.retry_queue_of(self.service, delay_ms), {ATTEMPTS_HEADER: failed})

    def _refuse(self, message: Any, reason: str, error: Exception, failed: int = 0) -> None:
        """Lay a message aside that is not taken; the audit trail knows of it first, or it comes again for that."""
        said = attributes_in(message.headers or {}, message.content_type, body_of(message))
        event_type, source, event_id, subject = (
            str(said[name]) if name in said else None for name in ("type", "source", "id", "subject")
        )
        publisher = self._publisher_of(message)
        outcome, kind = (
            (error.code, type(error).__name__) if isinstance(error, CommonwealError) else (reason, "Refused")
        )
        try:
            self.connection.database.run(
                lambda session: trail.record_refused_event(
                    session, outcome, error=kind,
                    event_type=event_type, source=source, event_id=event_id, subject=subject, publisher=publisher,
                )
            )  # fmt: skip
        except Exception as fault:
            _log.warning(
                "a message is refused (%s) once the audit trail can take it: %s", reason, fault,
                exc_info=None if is_transient(fault) else fault,
            )  # fmt: skip
            self._retry(message, _failed(message) + 1)
            return
        self._dead_letter(message, reason, error, failed)

    def _dead_letter(self, message: Any, reason: str, error: Exception, failed: int = 0) -> None:
        _log.error("a message went to the dead letters of %s: %s: %s", self.service, reason, error)
        self._forward(
            message,
            topology.dead_letters_of(self.service),
            {
                REASON_HEADER: reason,
                ERROR_HEADER: attempts.describe(error),
                FAILED_AT_HEADER: clock.now().isoformat(),
                ATTEMPTS_HEADER: failed,
            },
        )

    def _forward(self, message: Any, queue: str, headers: dict[str, Any]) -> None:
        """Move a message to another queue, confirmed, and only then acknowledge it: twice is mended, never is not."""
        properties = {
            name: value
            for name, value in message.properties.items()
            if name in ("message_id", "correlation_id", "type", "timestamp", "app_id", "reply_to")
        }
        forwarded = Message(
            message_id=str(properties.pop("message_id", None) or f"delivery-{message.delivery_tag}"),
            exchange="",
            routing_key=queue,
            body=body_of(message),
            headers={**_own_headers(message), PUBLISHER_HEADER: self._publisher_of(message) or "", **headers},
            content_type=message.content_type,
            content_encoding=message.content_encoding,
            properties=properties,
        )
        if not forwarded.can_be_sent:
            _log.warning(
                "a message's headers leave no room for ours: the broker lays it into the dead letters as it is"
            )
            self.queue_consumer.reject_message(message)
            return
        for attempt in range(FORWARD_ATTEMPTS):
            try:
                with self._forwarding:
                    refused = self._publisher.publish([forwarded])
            except PublishFailed as error:
                problem = str(error)
            else:
                if not refused:
                    self.queue_consumer.ack_message(message)
                    return
                problem = refused[forwarded.message_id]
            _log.warning("a message could not be moved to %s: %s", queue, problem)
            time.sleep(FORWARD_INTERVAL_S * attempt)
        self.queue_consumer.requeue_message(message)


class EventHandler(Entrypoint):
    """The entrypoint itself: one per event type that a service handles."""

    event_consumer = EventConsumer()

    def __init__(self, source: str, name: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.name = name

    def setup(self) -> None:
        self.event_consumer.register_provider(self)

    def stop(self) -> None:
        self.event_consumer.unregister_provider(self)


def _own_headers(message: Any) -> dict[str, Any]:
    # How often a queue delivered a message is that queue's to say, and what a replay says was for us alone. To each
    # address the broker would send a copy, in our name.
    dropped = ("x-delivery-count", LAID_BY_HEADER, *ADDRESSES)
    return {name: value for name, value in (message.headers or {}).items() if name not in dropped}


def _failed(message: Any) -> int:
    failed = (message.headers or {}).get(ATTEMPTS_HEADER, 0)
    return failed if isinstance(failed, int) and 0 <= failed < 1_000_000 else 0
