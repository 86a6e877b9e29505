"""A TCP proxy on the loopback interface that fails the way networks do.

    with Proxy("127.0.0.1", 5672) as proxy:
        uri = proxy.in_place_of(amqp_uri)
        proxy.inflict(Fault.LOSE)
        proxy.heal()

Each fault concerns bytes on their way to one end or to both, on connections that exist, on new ones or on both.
"""

import contextlib
import ctypes
import enum
import queue
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from urllib.parse import urlsplit

ORDER_TIMEOUT_S = 10
_CHUNK_BYTES = 65_536
_MOST_QUEUED_BYTES = 262_144
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, for 0 s.

# Linux's classic packet filter: one instruction, BPF_RET | BPF_K with 0, drops every packet before TCP sees it.
_SO_ATTACH_FILTER = 26
_SO_DETACH_FILTER = 27
_DROP_ALL = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))


class End(enum.Enum):
    """Where bytes are going."""

    SERVER = "server"
    CLIENT = "client"


BOTH = (End.SERVER, End.CLIENT)


class Fault(enum.Enum):
    """What can happen to bytes on their way to an end, and so to the connection."""

    #: Nobody reads them any more, so they pile up; they arrive in the end when it heals.
    STALL = "stall"
    #: They are taken and acknowledged, and vanish: something between the ends hangs. Never heals for that connection.
    SWALLOW = "swallow"
    #: Their packets are dropped, nothing is acknowledged: the other host or the way to it is gone. Linux only.
    #: TCP sends them again when it heals.
    LOSE = "lose"
    #: The end is told that the connection was reset; the other end is told nothing, unless it is reset too.
    RESET = "reset"
    #: The end is told that the connection was closed (FIN); the other end is told nothing, unless it is closed too.
    CLOSE = "close"


class Proxy:
    """Listens on a free port and forwards each connection to a server, until told otherwise.

    :param host: the server's address.
    :param port: the server's port.
    """

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        #: Connections that were accepted.
        self.accepted = 0
        #: Bytes that were forwarded to each end.
        self.forwarded = dict.fromkeys(End, 0)
        self._links: list[_Link] = []
        self._for_new: dict[End, Fault | None] = dict.fromkeys(End)
        self._delays_s = dict.fromkeys(End, 0.0)
        # Only the thread touches sockets: one that another closes under select would be somebody else's by then.
        self._orders: queue.SimpleQueue[tuple[Callable[[], None], threading.Event]] = queue.SimpleQueue()
        self._wake, self._woken = socket.socketpair()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"proxy to {host}:{port}", daemon=True)

    @classmethod
    def before(cls, uri: str) -> "Proxy":
        """Return a proxy before the server that a URI names with its port."""
        parts = urlsplit(uri)
        assert parts.hostname is not None
        assert parts.port is not None
        return cls(parts.hostname, parts.port)

    def __enter__(self) -> "Proxy":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._order(self._end)
        self._thread.join()
        self._wake.close()

    def in_place_of(self, uri: str) -> str:
        """Return a URI or database URL of the server with this proxy's address in it."""
        parts = urlsplit(uri)
        user, at, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{user}{at}127.0.0.1:{self.port}").geturl()

    @property
    def open(self) -> int:
        """Connections of which the proxy still holds an end."""
        return len(self._links)

    def inflict(self, fault: Fault, *, to: End | Iterable[End] = BOTH, existing: bool = True, new: bool = True) -> None:
        """Make connections fail from now on, until :meth:`heal`.

        :param to: the end, or ends, that bytes are on their way to.
        :param existing: whether connections that exist fail.
        :param new: whether those that come later fail; they are accepted first.
        """
        ends = (to,) if isinstance(to, End) else tuple(to)

        def inflict() -> None:
            if new:
                self._for_new.update(dict.fromkeys(ends, fault))
            if existing:
                for link in self._links:
                    link.inflict(fault, ends)

        self._order(inflict)

    def heal(self, *, existing: bool = True) -> None:
        """Let bytes pass again on new connections, and on those existing ones from which none is missing."""

        def heal() -> None:
            self._for_new = dict.fromkeys(End)
            self._delays_s = dict.fromkeys(End, 0.0)
            if existing:
                for link in self._links:
                    link.heal()

        self._order(heal)

    def delay(self, seconds: float, *, to: End | Iterable[End] = BOTH) -> None:
        """Forward what is read from now on that much later."""
        ends = (to,) if isinstance(to, End) else tuple(to)
        self._order(lambda: self._delays_s.update(dict.fromkeys(ends, seconds)))

    def _order(self, work: Callable[[], None]) -> None:
        done = threading.Event()
        self._orders.put((work, done))
        self._wake.send(b"x")
        if not done.wait(ORDER_TIMEOUT_S):
            raise RuntimeError("the proxy's thread has ended or hangs")

    def _run(self) -> None:
        while not self._closed:
            self._links = [link for link in self._links if not link.is_over]
            flows = [flow for link in self._links for flow in link.flows.values()]
            now = time.monotonic()
            reading = {flow.source: flow for flow in flows if flow.wants_to_read}
            writing = {flow.sink: flow for flow in flows if flow.is_due(now)}
            next_due = min((flow.due_at for flow in flows if flow.due_at > now), default=now + 1)
            readable, writable, _ = select.select(
                [self._woken, self._listener, *reading], list(writing), [], next_due - now
            )
            for ready in writable:
                flow = writing[ready]
                # One that broke a moment ago has taken others with it.
                if flow.is_due(now):
                    self.forwarded[flow.to] += flow.write()
            for ready in readable:
                if ready in reading:
                    if reading[ready].wants_to_read:
                        reading[ready].read(self._delays_s)
                elif ready is self._listener:
                    self._accept()
                else:
                    self._woken.recv(1)
                    work, done = self._orders.get()
                    work()
                    done.set()

    def _end(self) -> None:
        self._closed = True
        for link in self._links:
            link.cut(BOTH, reset=True)
        self._listener.close()
        self._woken.close()

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return  # The client has left again, or the proxy was closed in this very turn.
        self.accepted += 1
        try:
            server = socket.create_connection(self._server, timeout=5)
        except OSError:
            _reset(client)
            return
        link = _Link(client, server)
        for end, fault in self._for_new.items():
            if fault is not None:
                link.inflict(fault, (end,))
        self._links.append(link)


class _Link:
    """A client's connection and the one to the server that continues it."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.sockets = {End.CLIENT: client, End.SERVER: server}
        for held in self.sockets.values():
            held.setblocking(False)
            held.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.flows = {
            End.SERVER: _Flow(self, client, server, End.SERVER),
            End.CLIENT: _Flow(self, server, client, End.CLIENT),
        }

    @property
    def is_over(self) -> bool:
        """Whether nothing will ever pass again, and both sockets are closed."""
        if all(flow.is_finished for flow in self.flows.values()):
            self.cut(BOTH, reset=False)
        return all(held.fileno() < 0 for held in self.sockets.values())

    def inflict(self, fault: Fault, ends: Iterable[End]) -> None:
        if fault in (Fault.RESET, Fault.CLOSE):
            self.cut(ends, reset=fault is Fault.RESET)
            return
        for end in ends:
            self.flows[end].fault = fault
            if fault is Fault.LOSE and self.flows[end].source.fileno() >= 0:
                program = struct.pack("HL", 1, ctypes.addressof(_DROP_ALL))
                self.flows[end].source.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)

    def heal(self) -> None:
        for flow in self.flows.values():
            if flow.fault is Fault.LOSE and flow.source.fileno() >= 0:
                flow.source.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
            if flow.fault is not Fault.SWALLOW:
                flow.fault = None

    def cut(self, ends: Iterable[End], *, reset: bool) -> None:
        for end in ends:
            # Whatever still comes for this end, or from it, goes nowhere, and the other end is not told.
            for flow in self.flows.values():
                flow.fault = Fault.SWALLOW
                flow.queue.clear()
            if reset:
                _reset(self.sockets[end])
            else:
                self.sockets[end].close()

    def broke(self) -> None:
        """An end broke the connection off: so does the other, if it can be told."""
        for end, flow in self.flows.items():
            if flow.fault is None:
                _reset(self.sockets[end])


class _Flow:
    """The bytes of a connection that go to one of its ends."""

    def __init__(self, link: _Link, source: socket.socket, sink: socket.socket, to: End) -> None:
        self.link = link
        self.source = source
        self.sink = sink
        self.to = to
        self.fault: Fault | None = None
        self.queue: deque[tuple[float, bytes]] = deque()
        self.has_ended = False
        self.is_finished = False

    @property
    def wants_to_read(self) -> bool:
        if self.source.fileno() < 0 or self.has_ended or self.fault in (Fault.STALL, Fault.LOSE):
            return False
        return sum(len(data) for _, data in self.queue) < _MOST_QUEUED_BYTES

    @property
    def due_at(self) -> float:
        return self.queue[0][0] if self.queue and self.fault is None else 0.0

    def is_due(self, now: float) -> bool:
        return self.sink.fileno() >= 0 and 0 < self.due_at <= now

    def read(self, delays_s: dict[End, float]) -> None:
        try:
            data = self.source.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self.source.close()
            self.link.broke()
            return
        if not data:
            self.has_ended = True
        if self.fault is None:
            # No bytes stand for the end, which comes in its turn.
            self.queue.append((time.monotonic() + delays_s[self.to], data))
        elif self.has_ended:
            self.source.close()

    def write(self) -> int:
        due_at, data = self.queue.popleft()
        try:
            if not data:
                self.is_finished = True
                self.sink.shutdown(socket.SHUT_WR)
                return 0
            sent = self.sink.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.sink.close()
            self.link.broke()
            return 0
        if sent < len(data):
            self.queue.appendleft((due_at, data[sent:]))
        return sent


def _reset(held: socket.socket) -> None:
    if held.fileno() >= 0:
        with contextlib.suppress(OSError):
            held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        held.close()
