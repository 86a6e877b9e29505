"""Looking through a service's dead letters without changing anything, or taking away those that are done with.

A letter that is looked at is held until the end and then given back, so the look sees each of them once and no more
than were there when it began. RabbitMQ keeps them all if the looker dies, and then gives them back by itself.

Measured on 3.10, for the order of letters that are given back: up to 32 of one consumer in one answer keep it, and so
do up to 32 such answers on their way at once. Beyond that, or when a connection is lost with more, it is any order.
"""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from amqp import spec
from amqp.exceptions import AMQPError, NotFound, ResourceLocked
from kombu import Connection
from kombu.exceptions import KombuError

from shared.messaging import broker, topology
from shared.messaging.dead_letters import Letter
from shared.messaging.frames import body_of, frame_handler

#: A consumer gets no more than this until it is cancelled, in letters and in bytes as far as those before foretell.
PREFETCH = 64
PREFETCH_BYTES = 64 * 1_048_576
FORETOLD_BYTES = 8 * 1_048_576
GIVEN_BACK_TOGETHER = 30
GIVEN_BACK_AT_A_TIME = 16
GIVING_BACK_TIMEOUT_S = 10.0

#: RabbitMQ ends a channel that has held a message for half an hour.
MAX_LOOK_S = 25 * 60.0
#: The broker gives everything back if it hears nothing for twice as long: the looker's machine may be gone.
HEARTBEAT_S = 60
DELIVERY_TIMEOUT_S = 60.0
QUIET_S = 2.0
COUNT_TIMEOUT_S = 30.0

IN_HAND_TIMEOUT_S = 30.0
IN_HAND_INTERVAL_S = 0.2


class LookFailed(Exception):
    """The letters could not be looked at, or not to the end; every letter that was not taken away is still there."""


@contextmanager
def looking(
    amqp_uri: str, service: str, *, max_look_s: float = MAX_LOOK_S, in_hand_timeout_s: float = IN_HAND_TIMEOUT_S
) -> Iterator["Look"]:
    """Look through the dead letters of a service; what was not removed goes back at the end.

    :param amqp_uri: the broker.
    :param max_look_s: how long to hold letters; what was not seen by then is left.
    :param in_hand_timeout_s: how long to wait for another who looks at the same letters.
    :raises LookFailed: when the broker does not answer, lacks the queue, or somebody else keeps looking.
    """
    connection = broker.connect(amqp_uri, heartbeat_s=HEARTBEAT_S, frame_handler=frame_handler)
    place = broker.place_of(amqp_uri)
    try:
        with _asking(place):
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=broker.CONNECT_TIMEOUT_S)
            _take_in_hand(connection, service, in_hand_timeout_s)
            look = Look(connection, service, place, max_look_s)
        yield look
        with _asking(place):
            look.give_back()
            connection.release()
    except BaseException:
        # Nothing is known of what was being read or written; the broker gives back what a lost connection held.
        connection.collect(socket_timeout=1)
        raise


class Look:
    """One round through the letters that were there at its beginning.

    :param max_look_s: the round ends early after this.
    """

    def __init__(self, connection: Connection, service: str, place: str, max_look_s: float) -> None:
        self.service = service
        self.seen = 0
        self._place = place
        self._connection = connection
        self._queue = topology.dead_letters_of(service)
        self._channel = connection.channel()
        # Letters are shown and sent again as the bytes they are, whatever encoding they claim.
        self._channel.auto_decode = False
        # An answer on the channel of the deliveries would come behind all of them.
        self._asking_channel = connection.channel()
        self._arrived: deque[Any] = deque()
        self._held: list[list[int]] = []
        self._removed = 0
        self._largest_bytes = FORETOLD_BYTES
        self._deadline = time.monotonic() + max_look_s
        #: How many letters there were.
        self.total = self._count_for_sure()

    @property
    def unseen(self) -> int:
        """How many of the letters that were there have not been looked at."""
        return self.total - self.seen

    @property
    def _goes_on(self) -> bool:
        return self.unseen > 0 and time.monotonic() < self._deadline

    def __iter__(self) -> Iterator[Letter]:
        """Yield each letter, the oldest first. :raises LookFailed: when the broker went away."""
        while self._goes_on:
            # A consumer that holds its fill is cancelled and keeps what it holds; the next one gets what follows.
            # Giving letters back in between would bring the same ones again: they return to the head of the queue.
            prefetch = max(1, min(PREFETCH, PREFETCH_BYTES // self._largest_bytes, self.unseen))
            with _asking(self._place):
                self._channel.basic_qos(0, prefetch, False)
                consumer = self._channel.basic_consume(self._queue, callback=self._arrived.append)
            held: list[int] = []
            self._held.append(held)
            self._largest_bytes = 1
            while self._goes_on and len(held) < prefetch:
                with _asking(self._place):
                    message = self._next()
                if message is None:
                    self.total = self.seen
                    break
                self.seen += 1
                letter = _letter(message, self.service, self.seen)
                self._largest_bytes = max(self._largest_bytes, len(letter.body))
                yield letter
                if self._removed != letter.delivery_tag:
                    held.append(letter.delivery_tag)
            with _asking(self._place):
                self._channel.basic_cancel(consumer)

    def remove(self, letter: Letter) -> None:
        """Take away the letter that was yielded last. :raises LookFailed: when the broker went away."""
        with _asking(self._place):
            self._channel.basic_ack(letter.delivery_tag)
        self._removed = letter.delivery_tag

    def give_back(self) -> None:
        """Put what is held back to where it was."""
        together = deque(
            held[start : start + GIVEN_BACK_TOGETHER]
            for held in self._held
            for start in range(0, len(held), GIVEN_BACK_TOGETHER)
        )
        expected = self._count()
        while together:
            for _ in range(min(GIVEN_BACK_AT_A_TIME, len(together))):
                tags = together.popleft()
                expected += len(tags)
                self._channel.send_method(spec.Basic.Nack, "Lbb", (tags[-1], True, True))
            self._wait_for(expected)

    def _wait_for(self, expected: int) -> None:
        # Only the order is at stake, so it is not waited for without end.
        end = time.monotonic() + GIVING_BACK_TIMEOUT_S
        while self._count() < expected and time.monotonic() < end:
            time.sleep(0.001)

    def _next(self) -> Any:
        """Return the next message; None when there is none after all, because somebody took it."""
        self._connection.heartbeat_check()
        end = time.monotonic() + DELIVERY_TIMEOUT_S
        while not self._arrived:
            try:
                self._connection.drain_events(timeout=QUIET_S)
            except TimeoutError:
                if self._is_empty() and not self._arrived:
                    return None
                if time.monotonic() > end:
                    raise
        return self._arrived.popleft()

    def _count_for_sure(self) -> int:
        # A broker that is too busy to count says 0.
        end = time.monotonic() + COUNT_TIMEOUT_S
        while not (count := self._count()) and not self._is_empty():
            if time.monotonic() > end:
                raise LookFailed(f"the broker at {self._place} is too busy to count the dead letters of {self.service}")
        return count

    def _count(self) -> int:
        return int(self._asking_channel.queue_declare(queue=self._queue, passive=True).message_count)

    def _is_empty(self) -> bool:
        message = self._asking_channel.basic_get(self._queue)
        if message is not None:
            self._asking_channel.basic_reject(message.delivery_info["delivery_tag"], requeue=True)
        return message is None


def _letter(message: Any, service: str, position: int) -> Letter:
    properties = dict(message.properties)
    return Letter(
        service=service,
        position=position,
        body=body_of(message),
        headers=properties.pop("application_headers", None) or {},
        content_type=properties.pop("content_type", None),
        content_encoding=properties.pop("content_encoding", None),
        properties=properties,
        delivery_tag=message.delivery_info["delivery_tag"],
    )


def _take_in_hand(connection: Connection, service: str, timeout_s: float) -> None:
    """Be the only one who looks: to anybody else the queue would seem empty meanwhile.

    An exclusive queue is the sign of it, because it goes with its connection, however that ends.
    """
    end = time.monotonic() + timeout_s
    while True:
        channel = connection.channel()
        try:
            channel.queue_declare(
                f"{topology.dead_letters_of(service)}.in-hand", exclusive=True, durable=False, auto_delete=False
            )
            return
        except ResourceLocked:
            if time.monotonic() > end:
                raise LookFailed(
                    f"somebody else is working on the dead letters of {service}; try again when they have finished"
                ) from None
        time.sleep(IN_HAND_INTERVAL_S)


@contextmanager
def _asking(place: str) -> Iterator[None]:
    """Tell what the broker or the way to it did, in a sentence."""
    try:
        yield
    except NotFound as error:
        raise LookFailed(
            f"the broker at {place} lacks a queue; run: commonweal-ops topology apply ({error.reply_text})"
        ) from error
    except (AMQPError, KombuError, OSError) as error:
        raise LookFailed(
            f"the broker at {place} does not answer or broke off: {str(error) or type(error).__name__}"
        ) from error
