"""Owns what a test run starts: one fresh directory, the processes and containers, and the watchdog over them."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tests.support.servers import processes


@dataclass(frozen=True)
class Account:
    """A system user, for a server that refuses to run as root."""

    name: str
    uid: int
    gid: int


class KeptProcess:
    """A process in a session of its own, noted in the keeper's ledger."""

    def __init__(self, popen: "subprocess.Popen[bytes]", leader: processes.Leader) -> None:
        self.leader = leader
        self._popen = popen

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    def signal(self, number: int) -> None:
        """Sends a signal to the process alone, not to its descendants."""
        self._popen.send_signal(number)

    def wait(self, deadline_s: float) -> int:
        """The exit status.

        Raises:
            TimeoutError: the process still runs after `deadline_s` seconds.
        """
        try:
            return self._popen.wait(deadline_s)
        except subprocess.TimeoutExpired as late:
            raise TimeoutError(f"process {self._popen.pid} did not end within {deadline_s:g} s") from late


class Keeper:
    """Ends and removes, when it is closed, all that was started through it.

    If the test process dies without closing it, by SIGKILL or otherwise, a small watchdog process does the same.
    """

    def __init__(self) -> None:
        # Others may pass through the directory, because a server may run under another account; not list it.
        self.directory = Path(tempfile.mkdtemp(prefix="commonweal-tests-", dir=_base_directory()))
        self.directory.chmod(0o711)
        self.closed = False
        self._lock = threading.RLock()
        self._ledger = processes.Ledger()
        self._kept: list[KeptProcess] = []
        # The pipe is what tells the watchdog of our end. Its output goes nowhere, so that it can't hold up whoever
        # reads the test run's output to its end.
        self._watchdog = subprocess.Popen(
            [sys.executable, "-P", processes.__file__, str(self.directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )

    def __enter__(self) -> "Keeper":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def make_directory(self, prefix: str, account: Account | None = None) -> Path:
        """A fresh directory that only the given account, or ours, may enter."""
        directory = Path(tempfile.mkdtemp(prefix=f"{prefix}-", dir=self.directory))
        if account:
            os.chown(directory, account.uid, account.gid)
        return directory

    def start(
        self,
        command: Sequence[str | Path],
        *,
        directory: Path,
        environment: Mapping[str, str],
        log: Path,
        account: Account | None = None,
        stop_signal: int = signal.SIGKILL,
    ) -> KeptProcess:
        """Starts a process that ends with this keeper at the latest.

        Args:
            command: the program and its arguments.
            directory: its working directory.
            environment: its whole environment.
            log: the file that its output is appended to.
            account: the system user to run it as; needs root.
            stop_signal: what ends it for good without leaving anything behind.

        Raises:
            OSError: it can't be started.
            RuntimeError: the keeper is closed.
        """
        other_account = {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}
        with self._lock, log.open("ab") as output:
            self._refuse_if_closed()
            popen: subprocess.Popen[bytes] = subprocess.Popen(
                [str(part) for part in command],
                cwd=directory,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **other_account,  # type: ignore[call-overload]
            )
            kept = KeptProcess(popen, processes.leader_of(popen.pid, stop_signal))
            self._kept.append(kept)
            self._ledger.leaders.append(kept.leader)
            self._ledger.write(self.directory)
        return kept

    def kill(self, process: KeptProcess) -> None:
        """Kills a process and its descendants at once, as a crash would."""
        processes.kill(process.leader)
        self._forget([process])

    def end(self, *kept: KeptProcess) -> None:
        """Ends processes with their descendants, each by its own stop signal."""
        processes.end(process.leader for process in kept)
        self._forget(kept)

    def note_container(self, name: str, engine: str) -> None:
        """Has a container removed at the end, by its name; to be called before it is created.

        Raises:
            RuntimeError: the keeper is closed.
        """
        with self._lock:
            self._refuse_if_closed()
            self._ledger.containers.append(name)
            self._ledger.engine = engine
            self._ledger.write(self.directory)

    def forget_container(self, name: str) -> None:
        """Takes a removed container off the ledger."""
        with self._lock:
            if name in self._ledger.containers:
                self._ledger.containers.remove(name)
                self._write_ledger()

    def close(self) -> None:
        """Ends and removes everything; does nothing the second time."""
        with self._lock:
            if self.closed:
                return
            self.closed = True
        processes.clear(self.directory)
        self._forget(list(self._kept))
        self._watchdog.kill()  # Its work is done, and it listens to no gentler signal.
        self._watchdog.wait()
        if self._watchdog.stdin:
            self._watchdog.stdin.close()

    def _forget(self, kept: Sequence[KeptProcess]) -> None:
        with self._lock:
            for process in kept:
                # Waited for, so that it doesn't stay in the process table as a zombie.
                process.wait(processes.GRACE_S)
                if process in self._kept:
                    self._kept.remove(process)
                    self._ledger.leaders.remove(process.leader)
            self._write_ledger()

    def _write_ledger(self) -> None:
        if not self.closed:
            self._ledger.write(self.directory)

    def _refuse_if_closed(self) -> None:
        if self.closed:
            raise RuntimeError("the test run is over, nothing more can be started")


def log_tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log, for an error message."""
    with contextlib.suppress(FileNotFoundError):
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    return ""


def _base_directory() -> Path:
    """The system's directory for temporary files; as root, one that servers' own accounts can reach."""
    usual = Path(tempfile.gettempdir())
    if os.geteuid() != 0:
        return usual
    candidates = [usual, Path("/tmp"), Path("/var/tmp")]
    return next((each for each in candidates if _open_to_all(each)), usual)


def _open_to_all(directory: Path) -> bool:
    return directory.is_dir() and all(part.stat().st_mode & 0o001 for part in (directory, *directory.parents))
