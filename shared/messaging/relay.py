"""The outbox relay: publishes what is committed, in order, confirmed, and marks it; nothing else publishes an event.

:class:`Relay` is plain Python that a test can drive step by step; :class:`OutboxRelay` runs one in a nameko service.
"""

import logging
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Any

from nameko.extensions import DependencyProvider
from sqlalchemy import Connection, Row, exists, or_, select, update

from shared import clock, config
from shared.events.catalogue import event_type
from shared.messaging import events, wakeup
from shared.messaging.publisher import Message, Publisher
from shared.messaging.tables import outbox
from shared.storage.database import Database
from shared.storage.own_connection import OwnConnection, own_connection
from shared.storage.provider import DatabaseConnection

_log = logging.getLogger(__name__)

BATCH_SIZE = 500
POLL_INTERVAL_S = 0.5
#: Waits after the broker or the database failed; and the longest wait of a row that no queue takes.
MIN_BACKOFF_S = 0.1
MAX_BACKOFF_S = 10.0
MAX_ROW_BACKOFF_S = 60

#: After so long without a word PostgreSQL ends the relay's session, and with it the lock: no wave takes longer.
SILENCE_TIMEOUT_S = 40
#: How long the relay is silent on purpose, at most, between two waves.
MAX_SILENCE_S = 5

#: The PostgreSQL advisory lock that the one active relay of a database holds.
LEADER_LOCK = 0x6F7574626F78


class Relay:
    """Publishes the rows of one outbox.

    :param source: the service whose events these are.
    :param database: where the outbox is.
    :param publisher: takes the messages; its connection is the relay's own.
    """

    def __init__(self, source: str, database: Database, publisher: Publisher) -> None:
        self.source = source
        self.database = database
        self.publisher = publisher

    @contextmanager
    def seat(self) -> Iterator["Seat"]:
        """Take a place at the database within the block; the place of the one active relay is to be won there."""
        with own_connection(self.database, silence_timeout_s=SILENCE_TIMEOUT_S) as connection:
            yield Seat(connection)

    def publish_batch(self, seat: "Seat") -> int:
        """Publish up to :data:`BATCH_SIZE` rows and mark them; returns how many rows were read.

        :param seat: one that leads.
        :raises PublishFailed: when the broker went away; rows that it confirmed before may be published again.
        """
        with seat.transaction() as connection:
            rows = self._pending(connection)
        if not rows:
            return 0
        published: list[int] = []
        refused: dict[int, str] = {}
        held_back: set[str] = set()
        for wave in _waves(rows):
            seat.hold()
            messages: list[Message] = []
            reasons: dict[str, str] = {}
            sendable = [row for row in wave if row.subject not in held_back]
            for row in sendable:
                try:
                    messages.append(self._message(row))
                except Exception as error:
                    # A row that cannot be sent, such as one of newer code, must not hold back the others.
                    reasons[str(row.event_id)] = f"it cannot be encoded: {type(error).__name__}: {error}"
            if messages:
                reasons.update(self.publisher.publish(messages))
            for row in sendable:
                reason = reasons.get(str(row.event_id))
                if reason is None:
                    published.append(row.position)
                else:
                    refused[row.position] = reason
                    held_back.add(row.subject)
        with seat.transaction() as connection:
            self._mark(connection, rows, published, refused)
        return len(rows)

    def _pending(self, connection: Connection) -> Sequence[Row[Any]]:
        # A subject with a row that waits for its next attempt waits as a whole, so that its events keep their order.
        now = clock.now()
        waiting = outbox.alias("waiting")
        return connection.execute(
            select(outbox)
            .where(
                outbox.c.published_at.is_(None),
                or_(outbox.c.next_attempt_at.is_(None), outbox.c.next_attempt_at <= now),
                ~exists().where(
                    waiting.c.published_at.is_(None),
                    waiting.c.next_attempt_at.is_not(None),
                    waiting.c.next_attempt_at > now,
                    waiting.c.subject == outbox.c.subject,
                ),
            )
            .order_by(outbox.c.position)
            .limit(BATCH_SIZE)
        ).all()

    def _message(self, row: Row[Any]) -> Message:
        return events.encode(
            event_type(self.source, row.name, row.version),
            id=row.event_id,
            subject=row.subject,
            sequence=row.sequence,
            time=row.recorded_at,
            data=row.data,
        )

    def _mark(
        self, connection: Connection, rows: Sequence[Row[Any]], published: list[int], refused: dict[int, str]
    ) -> None:
        now = clock.now()
        if published:
            connection.execute(
                update(outbox).where(outbox.c.position.in_(published)).values(published_at=now, next_attempt_at=None)
            )
        alike: dict[tuple[str, str, int], list[int]] = defaultdict(list)
        for row in rows:
            if row.position in refused:
                alike[row.name, refused[row.position], row.attempts].append(row.position)
        # Together: a queue that is missing refuses a whole backlog, which must not keep the relay from everything else.
        for (name, reason, attempts), positions in alike.items():
            wait_s = min(2**attempts, MAX_ROW_BACKOFF_S)
            _log.warning("%d %s stay pending, next attempt in %d s: %s", len(positions), name, wait_s, reason)
            connection.execute(
                update(outbox)
                .where(outbox.c.position.in_(positions))
                .values(attempts=attempts + 1, next_attempt_at=now + timedelta(seconds=wait_s), last_error=reason)
            )


class Seat:
    """A relay's place at its database: one connection, on which it reads and marks, leads or waits to lead.

    The lock hangs on that connection, so once it is lost nothing can be marked.
    """

    def __init__(self, connection: OwnConnection) -> None:
        self._connection = connection
        self.leads = False

    def lead(self) -> bool:
        """Become the database's one active relay, which hears of the commits of all; False when another one is."""
        if not self.leads:
            self.leads = self._connection.try_lock(LEADER_LOCK)
            if self.leads and self._connection.postgresql is not None:
                wakeup.listen(self._connection.postgresql)
        return self.leads

    def hold(self) -> None:
        """Keep the place while its holder works elsewhere. :raises sqlalchemy.exc.DBAPIError: when it is lost."""
        if self._connection.silent_s > MAX_SILENCE_S:
            self._connection.ask()

    def tell_leader(self) -> None:
        """Tell the relay that leads, in another process, that there is something to publish.

        After the commit, never within it: PostgreSQL lets transactions that notify commit only one after the other.
        """
        if self._connection.postgresql is not None:
            wakeup.tell(self._connection.postgresql)

    def wait(self, wake: wakeup.Wakeup, timeout_s: float) -> bool:
        """Wait for a commit here or elsewhere; tells whether there was one."""
        return wake.wait(timeout_s, self._connection.postgresql)

    def transaction(self) -> AbstractContextManager[Connection]:
        """Open a transaction on the connection that holds the lock."""
        return self._connection.transaction()


def _waves(rows: Sequence[Row[Any]]) -> list[list[Row[Any]]]:
    """Group rows so that each wave has at most one row of a subject, in order; a wave is confirmed before the next."""
    seen: dict[str, int] = defaultdict(int)
    waves: list[list[Row[Any]]] = []
    for row in rows:
        depth = seen[row.subject]
        seen[row.subject] += 1
        if depth == len(waves):
            waves.append([])
        waves[depth].append(row)
    return waves


class OutboxRelay(DependencyProvider):
    """Runs the relay of the service's outbox: woken by each commit, polling as the fall-back."""

    connection = DatabaseConnection()

    def setup(self) -> None:
        self._wakeup = wakeup.Wakeup()
        self._stopping = threading.Event()

    def start(self) -> None:
        settings = config.read(self.container.service_name, self.container.config)
        self._database = self.connection.database
        self._relay = Relay(settings.service, self._database, Publisher(settings.amqp_uri))
        self._database.wake_after_commit(self._wakeup.set)
        self._thread = self.container.spawn_managed_thread(self._run, identifier="outbox relay")

    def stop(self) -> None:
        """Publish what the last calls left, then end."""
        self._stopping.set()
        self._wakeup.set()
        self._thread.wait()
        self._wakeup.close()

    def _run(self) -> None:
        backoff_s = MIN_BACKOFF_S
        while not self._stopping.is_set():
            try:
                with self._relay.seat() as seat:
                    self._wait_to_lead(seat)
                    while self._publish(seat):
                        backoff_s = MIN_BACKOFF_S
            except Exception as error:
                _log.warning("the outbox waits %.1f s: %s", backoff_s, error)
                # Whatever commits meanwhile, or each commit would be another try at a broker that is away.
                self._stopping.wait(backoff_s)
                backoff_s = min(backoff_s * 2, MAX_BACKOFF_S)
        self._relay.publisher.close()

    def _wait_to_lead(self, seat: Seat) -> None:
        while not seat.lead() and not self._stopping.is_set():
            if seat.wait(self._wakeup, POLL_INTERVAL_S):
                seat.tell_leader()

    def _publish(self, seat: Seat) -> bool:
        """Publish a batch, or wait for one; returns False when it is time to end."""
        if not seat.leads:
            return False
        if self._relay.publish_batch(seat) == 0:
            if self._stopping.is_set():
                return False
            seat.wait(self._wakeup, POLL_INTERVAL_S)
        return True
