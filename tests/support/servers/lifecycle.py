"""What a server runs in, and how it is started, ended and crashed."""

from typing import NoReturn, Protocol


class Lifecycle(Protocol):
    """A server's processes or its container."""

    @property
    def running(self) -> bool:
        """Whether it still runs, as far as its process or container tells; it may not be ready yet."""

    def start(self) -> None:
        """Starts it, at first or again, always with the same ports and data; does not wait until it is ready.

        Raises:
            StartFailed: it can't be started.
        """

    def log_tail(self) -> str:
        """The last lines that it has logged."""

    def shut_down(self) -> None:
        """Ends it in an orderly way and keeps its data."""

    def kill(self) -> None:
        """Ends it by SIGKILL and keeps its data, as a crash would."""

    def run(self, program: str, *arguments: str) -> str:
        """Runs one of the server's own programs beside it, to its end; returns what it printed.

        Raises:
            CalledProcessError: it failed.
        """

    def remove(self) -> None:
        """Ends it for good and removes its data; it need not run."""


class NotOurs:
    """The lifecycle of a server that somebody else runs: used, but never touched."""

    running = True

    def __init__(self, variable: str) -> None:
        self._variable = variable

    def log_tail(self) -> str:
        return ""

    def remove(self) -> None:
        """Does nothing: it goes on running."""

    def start(self) -> None:
        self._refuse()

    def shut_down(self) -> None:
        self._refuse()

    def kill(self) -> None:
        self._refuse()

    def run(self, program: str, *arguments: str) -> str:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise PermissionError(
            f"the server that {self._variable} names is not ours to stop: use Servers.private_broker() or"
            " Servers.private_postgresql() in tests that do that"
        )
