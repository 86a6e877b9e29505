"""Where a server comes from: the order in which sources are asked, and what is said when none has one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Server = TypeVar("Server")


class Unavailable(Exception):
    """A source has no server to give; the text says why."""


class Absent(Unavailable):
    """There is nothing of the kind on this machine. The next source is asked without a word."""


class StartFailed(Unavailable):
    """There is something, but no server got ready. The next source is asked, and a note says why."""


class NoServer(Exception):
    """No server for the tests; the text says what to do."""


@dataclass(frozen=True)
class Source(Generic[Server]):
    """One way to get a server.

    Attributes:
        name: as it stands in the summary, such as "private server from installed binaries".
        start: gives a server that is ready, or raises `Unavailable`; `NoServer` if no other source may be asked.
    """

    name: str
    start: Callable[[], Server]


@dataclass(frozen=True)
class Found(Generic[Server]):
    """A server, the source that gave it, and a line for each source that should have had one and failed."""

    server: Server
    source: Source[Server]
    notes: tuple[str, ...] = ()


def first_available(kind: str, sources: Sequence[Source[Server]], *, remedy: str) -> Found[Server]:
    """Asks the sources in their order, and takes the first server there is.

    Args:
        kind: what is looked for, such as "RabbitMQ".
        sources: in the order of preference.
        remedy: what to do when there is none: a sentence.

    Raises:
        NoServer: none of the sources has one.
    """
    notes: list[str] = []
    reasons: list[str] = []
    for source in sources:
        try:
            return Found(source.start(), source, tuple(notes))
        except Unavailable as reason:
            reasons.append(f"  - {source.name}: {reason}")
            if isinstance(reason, StartFailed):
                notes.append(f"{kind}, {source.name}: {str(reason).splitlines()[0]}")
    raise NoServer("\n".join([f"There is no {kind} for the tests. What was tried:", *reasons, remedy]))
