"""Starts services as processes of their own and watches them: for rehearsals, the demo and the tests."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType

READY_TIMEOUT_S = 60
#: A service that is told to stop while its database is silent waits for an answer (20 s), asks a new connection once
#: more (5 s) and ends; whoever runs services gives them as long.
STOP_TIMEOUT_S = 40
POLL_INTERVAL_S = 0.02
#: How an operator's process serves.
SERVE = ("shared.ops.serve",)


class ServiceFailed(Exception):
    """A service's process ended, or did not get ready; the message carries the last lines that it wrote."""


class ServiceProcess:
    """One service in its own process, started as an operator starts it.

    :param service: the service's short name.
    :param environment: the ``COMMONWEAL_*`` variables that configure it.
    :param name: what to call this instance, if several of the service run.
    :param command: the module that serves and its first arguments; the service's name follows them. May be changed
        before the next :meth:`start`.
    """

    def __init__(
        self,
        service: str,
        environment: Mapping[str, str],
        *,
        name: str | None = None,
        command: Sequence[str] = SERVE,
    ) -> None:
        self.service = service
        self.command = command
        self.name = name or service
        self.environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._log: Path | None = None

    def __enter__(self) -> "ServiceProcess":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._log is not None:
            self._log.unlink(missing_ok=True)

    @property
    def is_running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """What the process ended with; None while it lives."""
        return self._process.poll() if self._process is not None else None

    def start(self) -> None:
        """Start the process; :meth:`wait_until_ready` says when it serves."""
        if self._log is None:
            handle, path = tempfile.mkstemp(prefix=f"commonweal-{self.name}-", suffix=".log")
            os.close(handle)
            self._log = Path(path)
        self._log.write_bytes(b"")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *self.command, self.service],
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_until_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait for the service's line that it is ready. :raises ServiceFailed: when it ends or takes longer."""
        self.wait_for_line(f"{self.service} is ready", timeout_s)

    def wait_for_line(self, text: str, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until the service has written a line with ``text``. :raises ServiceFailed: when it does not."""
        deadline = time.monotonic() + timeout_s
        while text not in self.output():
            if not self.is_running:
                raise ServiceFailed(f"{self.name} ended before it wrote {text!r}:\n{self._last_lines()}")
            if time.monotonic() > deadline:
                raise ServiceFailed(f"{self.name} did not write {text!r} in {timeout_s:g} s:\n{self._last_lines()}")
            time.sleep(POLL_INTERVAL_S)

    def ask_to_stop(self) -> None:
        """Ask the process to finish its work and end, without waiting for it."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def stop(self) -> int | None:
        """Ask the process to finish its work and end; returns its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the process at once, as a crash would."""
        self._end(signal.SIGKILL)

    def output(self) -> str:
        """Return everything that the process has written since it was started last."""
        return self._log.read_text(errors="replace") if self._log is not None else ""

    def _end(self, how: signal.Signals) -> int | None:
        process = self._process
        if process is None:
            return None
        if process.poll() is None:
            process.send_signal(how)
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        return process.returncode

    def _last_lines(self) -> str:
        return "\n".join(self.output().splitlines()[-15:]) or "(it wrote nothing)"


@contextmanager
def running(
    services: Sequence[str], environment_of: Callable[[str], Mapping[str, str]]
) -> Iterator[dict[str, ServiceProcess]]:
    """Run several services, each in its own process, all ready at the start of the block and stopped at its end."""
    with ExitStack() as stack:
        processes = {
            service: stack.enter_context(ServiceProcess(service, environment_of(service))) for service in services
        }
        # Asked all at once at the end, so that nobody waits for one after the other.
        for process in processes.values():
            stack.callback(process.ask_to_stop)
        for process in processes.values():
            process.wait_until_ready()
        yield processes
