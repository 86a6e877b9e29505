"""What a service does by itself when its time has come: an entrypoint that is called with each row that is due.

Rows are due by ``shared.clock``, so that a rehearsal that moves the clock on sees what the time brings. One process at
a database looks at a time. Should two ever do so, each row's effect is still there once: it is locked, and asked again
whether it is due, in the transaction that has the effect.

:class:`Timekeeper` is plain Python that a test can drive look by look; :func:`by_the_clock` makes an entrypoint.
"""

import functools
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from eventlet.event import Event
from nameko.extensions import Entrypoint, ProviderCollector, SharedExtension
from sqlalchemy import Column, ColumnElement, Connection, Select, inspect, select
from sqlalchemy.orm import Session

from shared import clock
from shared.audit import trail
from shared.errors import CommonwealError
from shared.storage.database import Database, is_transient
from shared.storage.own_connection import OwnConnection, take_turns
from shared.storage.provider import DatabaseConnection

_log = logging.getLogger(__name__)

INTERVAL_S = 1.0
#: Rows of one job in a look; what is due beyond that waits for the next, which follows at once.
BATCH_SIZE = 100
#: Waits after a row failed, doubled each time.
MIN_DELAY_S = 1.0
MAX_DELAY_S = 600.0
#: With so many rows that wait for their next attempt it is the job that fails, and no more of its rows are tried.
MAX_FAILING = 1_000
#: After so long without a word PostgreSQL ends the session, and with it the lock.
SILENCE_TIMEOUT_S = 40
MAX_SILENCE_S = 5.0

#: The PostgreSQL advisory lock of the one process that looks what is due in a database.
CLOCK_LOCK = 0x636C6F636B21


class StillDue(Exception):
    """What was done to a row has not made it any less due: a fault in the service."""


#: The primary key of a row.
RowKey = tuple[Any, ...]
Due = Callable[[datetime], Select[Any]]
TimedMethod = Callable[[Any, Session, Any, datetime], Mapping[str, object]]
Entry = Callable[..., Exception | None]


@dataclass(frozen=True)
class Job:
    """Something that a service does by itself.

    :param name: of the service's method.
    :param due: returns the statement for the rows, of one entity, that are due at a moment; those that have waited
        longest come first. What was done to a row must make it no longer due.
    """

    name: str
    due: Due

    def find(self, connection: Connection, now: datetime, limit: int) -> list[RowKey]:
        """Return the keys of rows that are due."""
        statement = self.due(now)
        keys = connection.execute(statement.with_only_columns(*_primary_key(statement)).limit(limit))
        return [tuple(key) for key in keys]

    def do(
        self, session: Session, key: RowKey, handle: Callable[[Session, Any, datetime], Mapping[str, object]]
    ) -> bool:
        """Have a row's effect in the session's transaction; False when the row is not due any more.

        :raises StillDue: when that leaves the row due, so that it would be done again and again.
        """
        columns = _primary_key(self.due(clock.now()))
        this: list[ColumnElement[bool]] = [column == value for column, value in zip(columns, key, strict=True)]
        # Locked before it is looked at: whether it is due may depend on rows that change along with it.
        session.execute(select(*columns).where(*this).with_for_update())
        now = clock.now()
        row = session.scalar(self.due(now).where(*this))
        if row is None:
            return False
        trail.record_by_the_clock(session, self.name, handle(session, row, now))
        session.flush()
        if session.execute(self.due(now).where(*this).with_only_columns(*columns)).first() is not None:
            raise StillDue(f"{self.name} has left the row due")
        return True


def _primary_key(statement: Select[Any]) -> tuple[Column[Any], ...]:
    [column] = statement.column_descriptions
    return tuple(inspect(column["entity"]).primary_key)


def by_the_clock(due: Due) -> Callable[[TimedMethod], Entry]:
    """Make a method of a nameko service run by itself for each row that is due, once.

    The method receives ``(session, row, now)`` within a transaction that holds the row's lock, and returns the ids, and
    the reference, of what it was done to, for the audit trail. Whatever it raises leaves nothing behind, stops no other
    row and is tried again later.

    :param due: see :class:`Job`.
    :raises ValueError: for a method that does not say what it does.
    """

    def decorate(method: TimedMethod) -> Entry:
        if not method.__doc__:
            raise ValueError(f"{method.__name__} runs by itself: its docstring must say what it does")
        job = Job(method.__name__, due)

        @functools.wraps(method)
        def entry(self: Any, key: RowKey) -> Exception | None:
            database: Database = self.storage
            try:
                if database.run(lambda session: job.do(session, key, functools.partial(method, self))):
                    _log.info("%s: done for %s", job.name, _shown(key))
            except Exception as error:
                return error
            return None

        entry.job = job  # type: ignore[attr-defined]
        registered: Entry = ByTheClock.decorator(job)(entry)
        return registered

    return decorate


def jobs_of(service_class: type) -> dict[str, Job]:
    """Return what a service class does by itself, by name, in the order in which it is looked for."""
    found = {name: getattr(member, "job", None) for name, member in vars(service_class).items()}
    return {name: job for name, job in found.items() if job is not None}


@dataclass(frozen=True)
class _Failure:
    times: int
    again_at_s: float


class Timekeeper:
    """Looks what is due in one database, and has it done, row by row.

    :param jobs: what to look for, and what does it for the row of a key; it returns the error of one that failed.
    :param is_stopping: asked between rows.
    :param monotonic: seconds that only ever grow; delays are real ones, whatever a rehearsal's clock does.
    """

    def __init__(
        self,
        jobs: Mapping[Job, Callable[[RowKey], Exception | None]],
        *,
        is_stopping: Callable[[], bool] = lambda: False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._jobs = jobs
        self._is_stopping = is_stopping
        self._monotonic = monotonic
        #: By the row's key; those of a job that could not even be looked for stand under the empty one.
        self._failures: dict[Job, dict[RowKey, _Failure]] = {job: {} for job in jobs}

    def look(self, turn: OwnConnection) -> bool:
        """Have done what is due, up to :data:`BATCH_SIZE` rows of each job; tells whether there may be more.

        :param turn: a connection that holds :data:`CLOCK_LOCK`.
        :raises sqlalchemy.exc.DBAPIError: when the database is away; what is not done yet is still due then.
        :raises ConnectionLost: when it was, and the lock may be another process's by now.
        """
        batches = [self._look_for(turn, job) for job in self._jobs]
        return max(batches, default=0) >= BATCH_SIZE

    def _look_for(self, turn: OwnConnection, job: Job) -> int:
        failures = self._failures[job]
        waiting = {key for key, failure in failures.items() if failure.again_at_s > self._monotonic()}
        if () in waiting or len(waiting) >= MAX_FAILING:
            return 0
        limit = BATCH_SIZE + len(waiting)
        try:
            with turn.transaction() as connection:
                found = job.find(connection, clock.now(), limit)
        except Exception as error:
            self._note(turn, job, (), error)
            return 0
        failures.pop((), None)
        if len(found) < limit:
            # All that is due: what failed and is not among them was done elsewhere, or is due no more.
            for key in failures.keys() - set(found):
                del failures[key]
        batch = [key for key in found if key not in waiting][:BATCH_SIZE]
        for key in batch:
            if self._is_stopping():
                break
            if turn.silent_s > MAX_SILENCE_S:
                turn.ask()
            failure = self._jobs[job](key)
            if failure is None:
                failures.pop(key, None)
            else:
                self._note(turn, job, key, failure)
        return len(batch)

    def _note(self, turn: OwnConnection, job: Job, key: RowKey, error: Exception) -> None:
        # While the database is away every row would fail: that is no fault of theirs, and ends the look here.
        turn.ask()
        failure = self._failures[job].get(key)
        times = failure.times + 1 if failure else 1
        delay_s = min(MIN_DELAY_S * 2.0 ** min(times - 1, 16), MAX_DELAY_S)
        self._failures[job][key] = _Failure(times, self._monotonic() + delay_s)
        foreseen = is_transient(error) or isinstance(error, CommonwealError)
        _log.warning(
            "%s failed for %s (attempt %d) and is tried again in %d s: %s",
            *(job.name, _shown(key) or "every row", times, delay_s, error),
            exc_info=None if foreseen else error,
        )


def _shown(key: RowKey) -> str:
    return ", ".join(map(str, key))


class Timekeeping(SharedExtension, ProviderCollector):
    """Runs the timekeeper of a service, in one of its processes at a time."""

    connection = DatabaseConnection()

    def setup(self) -> None:
        self._stopping = threading.Event()

    def start(self) -> None:
        self._thread = self.container.spawn_managed_thread(self._run, identifier="timekeeper")

    def unregister_provider(self, provider: Any) -> None:
        # Before the workers are waited for, so that none is begun after that.
        self._stopping.set()
        self._thread.wait()
        super().unregister_provider(provider)

    def _run(self) -> None:
        take_turns(
            self.connection.database,
            CLOCK_LOCK,
            self._keep_time,
            self._stopping,
            name="what is to be done by the clock",
            interval_s=INTERVAL_S,
            silence_timeout_s=SILENCE_TIMEOUT_S,
        )

    def _keep_time(self, turn: OwnConnection) -> None:
        entrypoints = {entrypoint.job: entrypoint.run for entrypoint in self._providers}
        jobs = {job: entrypoints[job] for job in jobs_of(self.container.service_cls).values()}
        timekeeper = Timekeeper(jobs, is_stopping=self._stopping.is_set)
        while not self._stopping.is_set():
            if not timekeeper.look(turn):
                self._stopping.wait(INTERVAL_S)


class ByTheClock(Entrypoint):
    """The entrypoint itself: one per thing that a service does by itself."""

    timekeeping = Timekeeping()

    def __init__(self, job: Job, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job = job

    def setup(self) -> None:
        self.timekeeping.register_provider(self)

    def stop(self) -> None:
        self.timekeeping.unregister_provider(self)

    def run(self, key: RowKey) -> Exception | None:
        """Have a worker do what is due of a row, and wait for it; returns what went wrong, if anything did."""
        done = Event()

        def handle_result(worker_ctx: Any, result: Any, exc_info: Any) -> tuple[Any, Any]:
            done.send(exc_info[1] if exc_info else result)
            return result, exc_info

        self.container.spawn_worker(self, (key,), {}, handle_result=handle_result)
        failure: Exception | None = done.wait()
        return failure
