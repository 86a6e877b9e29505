"""Ends what the tests started, down to the last descendant, by process id and never by name.

It is also the watchdog's program (`python processes.py <directory>`): it waits until the test process has gone, however
that came about, and then ends and removes what the directory's ledger lists. Therefore it imports the standard library
alone, and nothing of this package.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

GRACE_S = 10.0
_LEDGER = "ledger.json"


@dataclass(frozen=True)
class Process:
    """A living process. Its start tells it from a later one that was given the same number."""

    pid: int
    parent: int
    group: int
    started: str


@dataclass(frozen=True)
class Leader:
    """The first process of a group that we started, and the signal that ends it without leaving anything behind."""

    pid: int
    started: str
    stop_signal: int = signal.SIGKILL


@dataclass
class Ledger:
    """What has to be ended and removed when the tests are over."""

    leaders: list[Leader] = field(default_factory=list)
    containers: list[str] = field(default_factory=list)
    engine: str = ""  # The address of the engine that runs the containers; empty for the SDK's own default.

    @classmethod
    def read(cls, directory: Path) -> "Ledger":
        try:
            noted = json.loads((directory / _LEDGER).read_text())
        except FileNotFoundError:
            return cls()
        return cls([Leader(**leader) for leader in noted["leaders"]], noted["containers"], noted["engine"])

    def write(self, directory: Path) -> None:
        # Replaced as a whole, because the watchdog may read at any moment.
        draft = directory / f"{_LEDGER}.new"
        draft.write_text(json.dumps(asdict(self)))
        draft.replace(directory / _LEDGER)


def leader_of(pid: int, stop_signal: int) -> Leader:
    """The leader's entry for a process that was just started in a session of its own."""
    process = _table().get(pid)
    return Leader(pid, process.started if process else "", stop_signal)


def members(leader: Leader) -> list[Process]:
    """The living processes of a leader's group, and all their descendants, which may have groups of their own."""
    table = _table()
    first = table.get(leader.pid)
    if first and first.started != leader.started:
        return []  # The group has ended, and somebody else's process has its number now.
    found = {pid: each for pid, each in table.items() if leader.pid in (pid, each.group)}
    grown = bool(found)
    while grown:
        children = {pid: each for pid, each in table.items() if each.parent in found and pid not in found}
        found |= children
        grown = bool(children)
    return list(found.values())


def kill(leader: Leader) -> None:
    """SIGKILL for the whole group at once, as in a crash; returns when it is gone."""
    doomed = members(leader)
    for process in doomed:
        _signal(process, signal.SIGKILL)
    _wait_for_end(doomed)


def end(leaders: Iterable[Leader]) -> None:
    """Ends groups by their own signals, all at the same time, and kills what is left after `GRACE_S` seconds."""
    leaders = list(leaders)
    groups = [(leader, members(leader)) for leader in leaders]
    for leader, processes in groups:
        for process in processes:
            if process.pid == leader.pid or leader.stop_signal == signal.SIGKILL:
                _signal(process, leader.stop_signal)
    _wait_for_end([process for _, processes in groups for process in processes])
    for leader in leaders:
        kill(leader)


def clear(directory: Path) -> None:
    """Ends and removes everything that a directory's ledger lists, and the directory."""
    ledger = Ledger.read(directory)
    end(ledger.leaders)
    if ledger.containers:
        _remove_containers(ledger.containers, ledger.engine)
    shutil.rmtree(directory, ignore_errors=True)


def _remove_containers(names: Iterable[str], engine: str) -> None:
    import docker  # type: ignore[import-untyped]  # Not at the top: machines without an engine need not have it.

    client = docker.from_env(environment={**os.environ, "DOCKER_HOST": engine} if engine else None)
    for name in names:
        with contextlib.suppress(docker.errors.APIError):  # It may never have been created.
            client.containers.get(name).remove(force=True, v=True)


def _signal(process: Process, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, number)


def _wait_for_end(processes: Iterable[Process]) -> None:
    gives_up_at = time.monotonic() + GRACE_S
    left = set(processes)
    while left and time.monotonic() < gives_up_at:
        left &= set(_living(left))
        time.sleep(0.02 if left else 0)


def _living(processes: Iterable[Process]) -> Iterable[Process]:
    table = _table()
    for process in processes:
        current = table.get(process.pid)
        if current and current.started == process.started:
            yield process


def _table() -> dict[int, Process]:
    """Every living process by its id; zombies count as ended."""
    return _table_of_proc() if Path("/proc/self/stat").exists() else _table_of_ps()


def _table_of_proc() -> dict[int, Process]:
    table = {}
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            with contextlib.suppress(OSError):  # It has ended since.
                # The second field is the command's name in parentheses, which may hold anything.
                fields = (directory / "stat").read_text(errors="replace").rpartition(")")[2].split()
                # A process whose first thread has ended shows as a zombie, while others still hold its sockets.
                ended = fields[0] in "ZX" and int(fields[17]) <= 1
                if not ended:
                    pid = int(directory.name)
                    table[pid] = Process(pid, int(fields[1]), int(fields[2]), started=fields[19])
    return table


def _table_of_ps() -> dict[int, Process]:
    command = ["ps", "-A", "-o", "pid=,ppid=,pgid=,stat=,lstart="]
    table = {}
    for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
        pid, parent, group, state, started = line.split(maxsplit=4)
        if state[0] not in "ZX":
            table[int(pid)] = Process(int(pid), int(parent), int(group), started)
    return table


def _watch(directory: Path) -> None:
    # What asks the whole of a machine or container to end must not end the one that cleans up.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()  # Returns once the test process has closed its end of the pipe, or has died.
    clear(directory)


if __name__ == "__main__":
    _watch(Path(sys.argv[1]))
