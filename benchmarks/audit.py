"""What the audit trail costs writers at once: without it, with it, and with a chain that each writer extends itself.

Eight threads open pools in one database, through funding's own entrypoint. The three ways take turns. The last one is
the way that was refused: the writer locks the chain's head, binds its row and holds the lock until its commit is on the
disk, so that one writer at a time gets on.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from sqlalchemy import text
from sqlalchemy.orm import Session

from benchmarks.results import Figure
from benchmarks.running import prepare
from shared.audit import reading, trail
from shared.audit.sealer import BATCH_SIZE, INTERVAL_S, Sealer
from shared.storage.database import Database
from shared.storage.own_connection import own_connection
from tests.support.funding import TREASURER_ANN, Funding
from tests.support.servers import Servers

WRITERS = 8
WRITES_EACH = 60
POOL = {"name": "A pool", "starts_on": "2026-04-01", "ends_on": "2029-03-31"}

_HEAD = "CREATE TABLE benchmark_head (hash bytea NOT NULL)"
_LOCK_HEAD = text("SELECT hash FROM benchmark_head FOR UPDATE")
_MOVE_HEAD = text("UPDATE benchmark_head SET hash = :hash")

_record_call = trail.record_call


def measure(servers: Servers, rounds: int) -> list[Figure]:
    """Take the figures, the three ways in turn."""
    url = prepare(servers, "funding")
    database = Database(url, pool_size=WRITERS + 2)
    with database.engine.begin() as connection:
        connection.exec_driver_sql(_HEAD)
        connection.exec_driver_sql("INSERT INTO benchmark_head VALUES ('')")
    ways: dict[str, Callable[..., None]] = {
        "no audit row": lambda *_, **__: None,
        "a row, bound in the background": _record_call,
        "a row, bound by its writer": _record_and_bind,
    }
    figures = {name: Figure(f"{WRITERS} writers, {name}", "writes/s") for name in ways}
    bare = figures["no audit row"]
    left = Figure("rows that waited for their seal when the writers ended", "rows")
    for figure in figures.values():
        if figure is not bare:
            figure.compared_with = bare
    try:
        with _sealing(database) as sealer:
            _written_per_second(database)  # The first ones find cold caches.
            for _ in range(rounds):
                for name, record in ways.items():
                    with mock.patch.object(trail, "record_call", record):
                        figures[name].rounds.append(_written_per_second(database))
                    if record is _record_call:
                        left.rounds.append(reading.waiting(database).rows)
                    sealer.wait_until_done()
    finally:
        database.close()
    return [*figures.values(), left]


def _written_per_second(database: Database) -> float:
    funding = Funding(database)

    def write() -> None:
        for _ in range(WRITES_EACH):
            funding.call(TREASURER_ANN, "create_pool", **POOL)

    writers = [threading.Thread(target=write) for _ in range(WRITERS)]
    started = time.perf_counter()
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    return WRITERS * WRITES_EACH / (time.perf_counter() - started)


def _record_and_bind(session: Session, *arguments: Any, **columns: Any) -> None:
    _record_call(session, *arguments, **columns)
    head = bytes(session.execute(_LOCK_HEAD).scalar_one())
    session.execute(_MOVE_HEAD, {"hash": hashlib.sha256(head).digest()})


class _Background:
    """Seals as a service does, in a thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with own_connection(self._database) as turn:
            sealer = Sealer("funding", turn)
            while not self._stopping.is_set():
                if sealer.seal() < BATCH_SIZE:
                    self._stopping.wait(INTERVAL_S)

    def wait_until_done(self) -> None:
        while reading.waiting(self._database).rows:
            time.sleep(INTERVAL_S)

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()


@contextmanager
def _sealing(database: Database) -> Iterator[_Background]:
    background = _Background(database)
    try:
        yield background
    finally:
        background.stop()
