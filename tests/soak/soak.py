"""A soak: thousands of events and calls, while services, broker and database are killed every few seconds.

At the end outboxes, inboxes, effects and answers must agree, nothing may be in the dead letters and nothing on its way.
What is killed when comes from a seed, so that a run that found something can be repeated; what the killed were doing at
that moment does not, and no two runs are the same.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from tests.support.load import DUPLICATE, Traffic
from tests.support.servers import Broker, PostgresServer
from tests.support.stage import Stage, eventually, stage_on_servers

KINDS = ("service", "broker", "database")
#: A service is back soonest and a broker last, so one can be killed more often than the other.
WEIGHTS = (7, 1, 2)
PAUSES_S = (0.5, 5.0)
#: How many receipts more show that the system goes on.
GOES_ON_AFTER = 20
#: How often nobody waits for the system to go on before the next kill.
AT_ONCE = 0.2

#: The waits between tries outlast the longest time that a database stays away here.
RETRY_DELAYS_MS = (200, 1_000, 3_000, 10_000)
CALL_PAUSE_S = 0.2
FEED_INTERVAL_S = 0.2
GOES_ON_WITHIN_S = 180.0
AGREES_WITHIN_S = 600.0


@dataclass
class Report:
    """What a soak did and found."""

    seed: int
    events_wanted: int
    events: int = 0
    receipts: int = 0
    calls: int = 0
    calls_repeated: int = 0
    duplicates: int = 0
    duration_s: float = 0.0
    kills: Counter[str] = field(default_factory=Counter)
    dead_letters: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether every event was sent and everything agrees."""
        return self.events >= self.events_wanted and not self.faults and not self.dead_letters

    def __str__(self) -> str:
        kills = ", ".join(f"{self.kills[kind]} of the {kind}" for kind in KINDS[1:])
        lines = [
            f"seed            {self.seed}",
            f"duration        {_clock(self.duration_s)}",
            f"kills           {self.kills.total()}: {self.kills['service']} of a service, {kills}",
            f"events          {self.events:,} sent of {self.events_wanted:,}, {self.receipts:,} receipts",
            f"duplicates      {self.duplicates:,} deliveries of an event that had its effect before",
            f"calls           {self.calls:,} pairs answered, {self.calls_repeated:,} repeated until they were",
            f"dead letters    {len(self.dead_letters)}",
            f"agreement       {'outboxes, inboxes, effects and answers agree' if not self.faults else 'NONE'}",
        ]
        lines += [f"  dead letter: {letter}" for letter in self.dead_letters[:10]]
        lines += [f"  {fault}" for fault in self.faults]
        return "\n".join([*lines, "passed" if self.passed else "FAILED"])


class Soak:
    """One soak on servers that are its own to kill.

    :param events: how many events are sent at least, those of the calls among them.
    :param backlog: how many receipts are due at once, so that every kill finds some on their way.
    :param kills_of_each: how often each kind is killed at least, however soon the events are through.
    :param time_limit_s: after so many seconds nothing more is sent or killed.
    :param say: is told how it goes, a line at a time.
    """

    def __init__(
        self,
        broker: Broker,
        postgresql: PostgresServer,
        directory: Path,
        *,
        seed: int,
        events: int,
        backlog: int = 600,
        kills_of_each: int = 1,
        time_limit_s: float = 3_600,
        say: Callable[[str], None] = print,
    ) -> None:
        self.report = Report(seed, events)
        self._broker = broker
        self._postgresql = postgresql
        self._directory = directory
        self._backlog = backlog
        self._kills_of_each = kills_of_each
        self._time_limit_s = time_limit_s
        self._say = say
        self._chance = random.Random(f"{seed} kills")
        self._started_at = time.monotonic()

    def run(self) -> Report:
        """Run it and return what came of it."""
        with stage_on_servers(
            self._broker.create_vhost(),
            self._postgresql.create_database,
            self._directory,
            retry_delays_ms=RETRY_DELAYS_MS,
        ) as stage:
            traffic = Traffic(stage, chance=random.Random(f"{self.report.seed} events"))
            with traffic.calls(pause_s=CALL_PAUSE_S), self._feeding(traffic):
                while not self._is_done(traffic):
                    self._kill(stage, traffic)
            self._close_the_books(stage, traffic)
        return self.report

    @contextmanager
    def _feeding(self, traffic: Traffic) -> Iterator[None]:
        """Keep events on their way during the block, as many as the backlog, until enough were sent."""
        stopping = threading.Event()

        def feed() -> None:
            while not stopping.wait(FEED_INTERVAL_S):
                try:
                    if self._wants_more(traffic) and traffic.due() - traffic.receipts() < self._backlog:
                        traffic.record(self._backlog // 2)
                except DBAPIError:
                    continue  # It was killed; what was committed nevertheless stands in the outbox and counts.

        feeder = threading.Thread(target=feed, daemon=True)
        feeder.start()
        try:
            yield
        finally:
            stopping.set()
            feeder.join()

    def _wants_more(self, traffic: Traffic) -> bool:
        return not self._has_killed_enough or traffic.sent() < self.report.events_wanted

    @property
    def _has_killed_enough(self) -> bool:
        return all(self.report.kills[kind] >= self._kills_of_each for kind in KINDS)

    def _is_done(self, traffic: Traffic) -> bool:
        if self._elapsed_s > self._time_limit_s:
            self.report.faults.append(f"the time was up after {_clock(self._elapsed_s)}, before everything was sent")
            return True
        return bool(self.report.faults) or (self._has_killed_enough and traffic.sent() >= self.report.events_wanted)

    # --- killing ----------------------------------------------------------------------------------------------------

    def _kill(self, stage: Stage, traffic: Traffic) -> None:
        # Its pace is what a soak is about; no assertion hangs on this time.
        time.sleep(self._chance.uniform(*PAUSES_S))
        (kind,) = self._chance.choices(KINDS, WEIGHTS)
        service = self._chance.choice(sorted(stage.processes))
        at_once = self._chance.random() < AT_ONCE
        before = traffic.receipts()
        killed_at = time.monotonic()
        if kind == "service":
            self._end_of(stage, service)
            stage.processes[service].kill()
            stage.processes[service].start()
        else:
            server = self._broker if kind == "broker" else self._postgresql
            server.kill()
            server.restart()
        self.report.kills[kind] += 1
        back_after_s = time.monotonic() - killed_at
        if not at_once:
            self._wait_until_it_goes_on(stage, traffic, before, f"killing {service if kind == 'service' else kind}")
        self._say(
            f"{_clock(self._elapsed_s)}  killed {service if kind == 'service' else f'the {kind}':13}"
            f" started again after {back_after_s:4.1f} s, at work after {time.monotonic() - killed_at:4.1f} s"
            f"{' (not waited for)' if at_once else '':17} {self._progress(traffic)}"
        )

    def _wait_until_it_goes_on(self, stage: Stage, traffic: Traffic, before: int, what: str) -> None:
        def goes_on() -> bool:
            self._look_for_the_dead(stage)
            return bool(self.report.faults) or traffic.receipts() >= before + GOES_ON_AFTER

        try:
            eventually(goes_on, within_s=GOES_ON_WITHIN_S)
        except AssertionError as error:
            self.report.faults.append(f"nothing went on within {GOES_ON_WITHIN_S:g} s of {what}: {error}")

    def _look_for_the_dead(self, stage: Stage) -> None:
        for service, process in stage.processes.items():
            if not process.is_running:
                lines = "\n    ".join(process.output().splitlines()[-15:])
                self.report.faults.append(f"{service} ended by itself; its last lines:\n    {lines}")

    def _end_of(self, stage: Stage, service: str) -> None:
        # A process's output goes with it.
        self.report.duplicates += stage.processes[service].output().count(DUPLICATE)

    # --- the end ----------------------------------------------------------------------------------------------------

    def _close_the_books(self, stage: Stage, traffic: Traffic) -> None:
        self._say(f"{_clock(self._elapsed_s)}  nothing more is killed; what is on its way comes to its end")
        self._look_for_the_dead(stage)
        try:
            eventually(lambda: not traffic.disagreements(), within_s=AGREES_WITHIN_S)
        except AssertionError:
            self.report.faults += traffic.disagreements()
        report = self.report
        report.events, report.receipts = traffic.sent(), traffic.receipts()
        report.calls, report.calls_repeated = len(traffic.answered), traffic.repeated
        report.dead_letters = traffic.dead_letters()
        for service in stage.processes:
            self._end_of(stage, service)
        report.duration_s = self._elapsed_s

    def _progress(self, traffic: Traffic) -> str:
        try:
            return f"{traffic.receipts():,} of {traffic.due():,} received, {self.report.events_wanted:,} events wanted"
        except DBAPIError:
            return ""

    @property
    def _elapsed_s(self) -> float:
        return time.monotonic() - self._started_at


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes:02}:{seconds:02}"
