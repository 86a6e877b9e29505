"""How long an event is on its way, from its commit to a consumer, on a system that has nothing else to do.

Twenty events a second are committed by the process whose relay publishes them, and then by another process of the same
service, whose commits the relay must hear of. The time ends when the message has reached a bare consumer: it holds the
relay's wake-up and its read, the broker and the way back, but no handler.
"""

import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kombu import Consumer, Queue

from benchmarks.results import Figure
from benchmarks.running import environment, prepare, wait_for
from shared.messaging import broker
from shared.messaging.relay import LEADER_LOCK
from shared.messaging.topology import topology
from shared.storage.database import Database
from tests.support.servers import Servers

EVENTS = 200
#: The first ones find cold caches and unprepared connections.
WARM_UP_EVENTS = 20
STOP_TIMEOUT_S = 30


def measure(servers: Servers, rounds: int) -> list[Figure]:
    """Take the figures, the two processes in turn."""
    figures = {
        (place, name): Figure(f"{place}, {name}", "ms")
        for place in ("commit beside the relay", "commit in another process")
        for name in ("median", "99th percentile")
    }
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory()))
        amqp_uri = servers.broker.create_vhost()
        stack.callback(servers.broker.delete_vhost, amqp_uri)
        url = prepare(servers, "funding")
        stack.callback(servers.postgresql.drop_database, url)
        with broker.connect(amqp_uri) as connection:
            topology().apply(connection)
        database = Database(url)
        stack.callback(database.close)
        variables = environment(directory, amqp_uri, url)
        arrivals = stack.enter_context(_consuming(amqp_uri))
        for _ in range(rounds):
            with _process(variables, is_ticking=True) as relay:
                _take(figures, "commit beside the relay", relay, arrivals)
            with _process(variables, is_ticking=False) as relay:
                wait_for(lambda: _has_leader(database))
                with _process(variables, is_ticking=True) as other:
                    _take(figures, "commit in another process", other, arrivals)
    return list(figures.values())


def _take(
    figures: dict[tuple[str, str], Figure], place: str, process: "subprocess.Popen[str]", arrivals: dict[str, int]
) -> None:
    committed: dict[str, int] = {}
    assert process.stdout is not None
    for line in process.stdout:
        event_id, committed_ns = line.split()
        committed[event_id] = int(committed_ns)
        if len(committed) == WARM_UP_EVENTS + EVENTS:
            break
    measured = list(committed.items())[WARM_UP_EVENTS:]
    wait_for(lambda: all(event_id in arrivals for event_id, _ in measured))
    latencies_ms = [(arrivals[event_id] - committed_ns) / 1e6 for event_id, committed_ns in measured]
    figures[place, "median"].rounds.append(statistics.median(latencies_ms))
    figures[place, "99th percentile"].rounds.append(statistics.quantiles(latencies_ms, n=100)[98])


def _has_leader(database: Database) -> bool:
    with database.engine.connect() as connection:
        query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid::bigint = %s"
        return bool(connection.exec_driver_sql(query, (LEADER_LOCK & 0xFFFFFFFF,)).scalar())


@contextmanager
def _process(variables: dict[str, str], *, is_ticking: bool) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.ticking"],
        env={**os.environ, **variables, "BENCHMARK_IS_TICKING": "yes" if is_ticking else "no"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("the service to be measured did not start")
        yield process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


@contextmanager
def _consuming(amqp_uri: str) -> Iterator[dict[str, int]]:
    """Consume funding's events; gives when each arrived, by its id."""
    arrivals: dict[str, int] = {}
    ready, stopping = threading.Event(), threading.Event()

    def on_message(message: Any) -> None:
        arrivals[message.headers["ce-id"]] = time.monotonic_ns()

    def consume() -> None:
        with broker.connect(amqp_uri) as connection, connection.channel() as channel:
            queue = Queue(
                "latency", exchange="funding.events", routing_key="member_joined", exclusive=True, no_declare=True
            )
            channel.queue_declare("latency", exclusive=True)
            channel.queue_bind("latency", "funding.events", "member_joined")
            with Consumer(channel, [queue], on_message=on_message, no_ack=True):
                ready.set()
                while not stopping.is_set():
                    try:
                        connection.drain_events(timeout=0.5)
                    except TimeoutError:
                        continue

    thread = threading.Thread(target=consume)
    thread.start()
    ready.wait()
    try:
        yield arrivals
    finally:
        stopping.set()
        thread.join()
