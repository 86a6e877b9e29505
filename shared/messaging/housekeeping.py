"""Housekeeping: deletes what messaging has kept long enough, in small transactions; what is unpublished stays.

:class:`Housekeeper` is plain Python that a test can drive round by round; :class:`Housekeeping` runs one in a nameko
service. Ages are told by ``shared.clock``, as the rows' own times are: a rehearsal that moves the clock on a year sees
what a year does.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from nameko.extensions import DependencyProvider
from sqlalchemy import Column, ColumnElement, Select, any_, delete, func, literal_column, select

from shared import clock, config
from shared.config import Retention
from shared.messaging.tables import idempotency_keys, inbox, inbox_attempts, outbox
from shared.storage.database import Database
from shared.storage.own_connection import OwnConnection, own_connection
from shared.storage.provider import DatabaseConnection

_log = logging.getLogger(__name__)

BATCH_SIZE = 1_000
#: After a batch housekeeping rests this many times as long as the batch took: the database is the service's first.
REST_RATIO = 9
MIN_REST_S = 0.05
#: After so long without a word PostgreSQL ends the session, and with it the lock: the longest rest takes half of it.
SILENCE_TIMEOUT_S = 300

#: The PostgreSQL advisory lock that whoever prunes a database holds.
PRUNING_LOCK = 0x7072756E65

#: Waits that many seconds; returns False when it is time to end.
Rest = Callable[[float], bool]


@dataclass(frozen=True)
class Pruned:
    """How many rows of each kind a round deleted, or would delete."""

    events: int = 0
    receipts: int = 0
    attempts: int = 0
    idempotency_keys: int = 0

    def __add__(self, other: "Pruned") -> "Pruned":
        return Pruned(
            self.events + other.events,
            self.receipts + other.receipts,
            self.attempts + other.attempts,
            self.idempotency_keys + other.idempotency_keys,
        )

    def __bool__(self) -> bool:
        return self != Pruned()

    def __str__(self) -> str:
        return (
            f"published events {self.events:,}, receipts {self.receipts:,}, attempts {self.attempts:,},"
            f" idempotency keys {self.idempotency_keys:,}"
        )


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return True


class Housekeeper:
    """Prunes one database. A row goes when it is older than its age; one of just that age still stays.

    :param database: whose tables these are.
    :param retention: how long each kind of row is kept.
    """

    def __init__(self, database: Database, retention: Retention) -> None:
        self.database = database
        self.retention = retention

    def prune(self, rest: Rest = _sleep) -> Pruned | None:
        """Delete everything that is old enough, in transactions of at most :data:`BATCH_SIZE` rows.

        :param rest: called after each batch with the seconds to leave to others; when it returns False, the round ends.
        :returns: what was deleted, or None when another process is pruning this database.
        :raises sqlalchemy.exc.DBAPIError: when the database fails; what earlier batches deleted stays deleted.
        """
        with own_connection(self.database, silence_timeout_s=SILENCE_TIMEOUT_S) as turn:
            if not turn.try_lock(PRUNING_LOCK):
                return None
            pruned = Pruned()
            now = clock.now()
            started = time.monotonic()
            for batch in self._batches(turn, now):
                pruned += batch
                if not rest(max(MIN_REST_S, REST_RATIO * (time.monotonic() - started))):
                    break
                started = time.monotonic()
            return pruned

    def count(self) -> Pruned:
        """Count what :meth:`prune` would delete now; deletes nothing.

        :raises sqlalchemy.exc.DBAPIError: when the database fails.
        """
        now = clock.now()
        with self.database.transaction() as session:

            def older(moment: Column[datetime], days: int) -> int:
                return session.scalar(select(func.count()).where(moment < now - timedelta(days=days))) or 0

            return Pruned(
                events=older(outbox.c.published_at, self.retention.outbox_days),
                receipts=older(inbox.c.processed_at, self.retention.inbox_days),
                attempts=older(inbox_attempts.c.last_at, self.retention.inbox_days),
                idempotency_keys=older(idempotency_keys.c.recorded_at, self.retention.idempotency_keys_days),
            )

    def _batches(self, turn: OwnConnection, now: datetime) -> Iterator[Pruned]:
        kept = self.retention
        for number in self._published_events(turn, now - timedelta(days=kept.outbox_days)):
            yield Pruned(events=number)
        for number in self._aged(turn, inbox.c.processed_at, now - timedelta(days=kept.inbox_days)):
            yield Pruned(receipts=number)
        # Those of an event that never came again: it was discarded, or replayed after its receipt had gone.
        for number in self._aged(turn, inbox_attempts.c.last_at, now - timedelta(days=kept.inbox_days)):
            yield Pruned(attempts=number)
        recorded_at = idempotency_keys.c.recorded_at
        for number in self._aged(turn, recorded_at, now - timedelta(days=kept.idempotency_keys_days)):
            yield Pruned(idempotency_keys=number)

    def _published_events(self, turn: OwnConnection, cutoff: datetime) -> Iterator[int]:
        """Walk from the low end, as far as any row is old; no index finds the published ones, and none is needed."""
        after = 0
        while True:
            lowest = (
                select(outbox.c.position, outbox.c.recorded_at)
                .where(outbox.c.position > after)
                .order_by(outbox.c.position)
                .limit(BATCH_SIZE)
                .subquery()
            )
            with turn.transaction() as connection:
                upto, old = connection.execute(
                    select(func.max(lowest.c.position), func.count().filter(lowest.c.recorded_at < cutoff))
                ).one()
                if not old:
                    return
                deleted = connection.execute(
                    delete(outbox).where(outbox.c.position.between(after + 1, upto), outbox.c.published_at < cutoff)
                ).rowcount
            after = upto
            yield deleted

    def _aged(self, turn: OwnConnection, moment: Column[datetime], cutoff: datetime) -> Iterator[int]:
        """Delete by age, oldest first."""
        since: datetime | None = None
        while True:
            with turn.transaction() as connection:
                oldest = select(_address(self.database)).where(moment < cutoff).order_by(moment).limit(BATCH_SIZE)
                if since is not None:
                    # What was deleted stands in the index until it is vacuumed: do not walk over it once per batch.
                    oldest = oldest.where(moment >= since)
                deleted = connection.execute(
                    delete(moment.table).where(_among(self.database, oldest)).returning(moment)
                ).scalars().all()  # fmt: skip
            if deleted:
                yield len(deleted)
            if len(deleted) < BATCH_SIZE:
                return
            since = max(deleted)


def _address(database: Database) -> ColumnElement[Any]:
    """A row's own place: the tables' keys are texts, which take several times as long to find a row by."""
    return literal_column("ctid" if database.is_postgresql else "rowid")


def _among(database: Database, addresses: Select[Any]) -> ColumnElement[bool]:
    if not database.is_postgresql:
        return _address(database).in_(addresses)
    # As an array the rows are looked up once; PostgreSQL may run a subquery with a LIMIT again and delete more. A row
    # that somebody else holds is left for the next round.
    locked = addresses.with_for_update(skip_locked=True).scalar_subquery()
    return _address(database) == any_(func.array(locked))


class Housekeeping(DependencyProvider):
    """Prunes the service's database now and then, in one of its processes at a time."""

    connection = DatabaseConnection()

    def setup(self) -> None:
        self._stopping = threading.Event()

    def start(self) -> None:
        settings = config.read(self.container.service_name, self.container.config)
        self._interval_s = settings.housekeeping_interval_s
        self._housekeeper = Housekeeper(self.connection.database, settings.retention)
        self._thread = self.container.spawn_managed_thread(self._run, identifier="housekeeping")

    def stop(self) -> None:
        """End after the batch that is being deleted."""
        self._stopping.set()
        self._thread.wait()

    def _run(self) -> None:
        # Not on the beat: processes that were started together would all come at once, each time.
        while self._rest(self._interval_s * random.uniform(0.5, 1.5)):  # nosec B311
            try:
                pruned = self._housekeeper.prune(self._rest)
            except Exception as error:
                _log.warning("housekeeping failed and will try again: %s", error)
            else:
                if pruned:
                    _log.info("housekeeping deleted: %s", pruned)

    def _rest(self, seconds: float) -> bool:
        return not self._stopping.wait(seconds)
