"""The proxy passes bytes, and fails as it is told: what each end of a connection sees of each fault."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.support.proxy import End, Fault, Proxy
from tests.support.stage import eventually

#: More than what the buffers of the proxy and of the system take without anybody reading.
LOTS_BYTES = 32 * 1024 * 1024
SOON_S = 0.1


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        yield listener


@pytest.fixture
def proxy(server: socket.socket) -> Iterator[Proxy]:
    with Proxy(*server.getsockname()) as running:
        yield running


@pytest.fixture
def connect(server: socket.socket, proxy: Proxy) -> Iterator[Callable[[], dict[End, socket.socket]]]:
    """Makes a connection through the proxy and gives both of its ends."""
    with contextlib.ExitStack() as stack:

        def make() -> dict[End, socket.socket]:
            client = stack.enter_context(socket.create_connection(("127.0.0.1", proxy.port), timeout=5))
            accepted = stack.enter_context(server.accept()[0])
            accepted.settimeout(5)
            return {End.CLIENT: client, End.SERVER: accepted}

        yield make


Connect = Callable[[], dict[End, socket.socket]]


def other(end: End) -> End:
    return End.CLIENT if end is End.SERVER else End.SERVER


def passes(ends: dict[End, socket.socket], to: End) -> bool:
    """Tell whether a byte reaches an end soon."""
    ends[other(to)].sendall(b"?")
    ends[to].settimeout(SOON_S)
    try:
        return ends[to].recv(1) == b"?"
    except TimeoutError:
        return False
    finally:
        ends[to].settimeout(5)


def read(source: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (chunk := source.recv(65_536)):
        data += chunk
    return data


each_end = pytest.mark.parametrize("to", list(End), ids=lambda end: f"to-{end.value}")


def test_bytes_pass_both_ways_and_are_counted(proxy: Proxy, connect: Connect) -> None:
    ends = connect()
    sent = bytes(range(256)) * 20_000
    for to in End:
        writer = threading.Thread(target=ends[other(to)].sendall, args=(sent,))
        writer.start()
        assert read(ends[to], len(sent)) == sent
        writer.join()
    assert proxy.forwarded == dict.fromkeys(End, len(sent))
    assert (proxy.accepted, proxy.open) == (1, 1)
    connect()
    assert (proxy.accepted, proxy.open) == (2, 2)


@each_end
def test_an_end_that_closes_closes_the_other_after_its_last_byte(proxy: Proxy, connect: Connect, to: End) -> None:
    ends = connect()
    ends[other(to)].sendall(b"last")
    ends[other(to)].shutdown(socket.SHUT_WR)
    assert read(ends[to], 100) == b"last"
    assert passes(ends, other(to))
    ends[to].close()
    eventually(lambda: proxy.open == 0)


@each_end
@pytest.mark.parametrize("fault", [Fault.STALL, Fault.LOSE], ids=lambda fault: fault.value)
def test_what_was_held_up_arrives_when_it_heals(proxy: Proxy, connect: Connect, fault: Fault, to: End) -> None:
    ends = connect()
    assert passes(ends, to)
    proxy.inflict(fault, to=to)
    assert not passes(ends, to)
    proxy.heal()
    assert ends[to].recv(1) == b"?"
    assert passes(ends, to)


@each_end
def test_stalled_bytes_pile_up_until_no_more_can_be_sent(proxy: Proxy, connect: Connect, to: End) -> None:
    ends = connect()
    proxy.inflict(Fault.STALL, to=to)
    ends[other(to)].settimeout(SOON_S)
    with pytest.raises(TimeoutError):
        ends[other(to)].sendall(bytes(LOTS_BYTES))


@each_end
def test_swallowed_bytes_are_taken_and_never_arrive(proxy: Proxy, connect: Connect, to: End) -> None:
    ends = connect()
    proxy.inflict(Fault.SWALLOW, to=to)
    ends[other(to)].sendall(bytes(LOTS_BYTES))
    assert not passes(ends, to)
    assert proxy.forwarded[to] == 0


@each_end
@pytest.mark.parametrize("fault", [Fault.STALL, Fault.SWALLOW, Fault.LOSE], ids=lambda fault: fault.value)
def test_the_other_way_is_not_concerned(proxy: Proxy, connect: Connect, fault: Fault, to: End) -> None:
    ends = connect()
    assert passes(ends, to)
    proxy.inflict(fault, to=to)
    assert passes(ends, other(to))


@each_end
@pytest.mark.parametrize("fault", [Fault.RESET, Fault.CLOSE], ids=lambda fault: fault.value)
def test_one_end_is_cut_off_and_the_other_hears_nothing(proxy: Proxy, connect: Connect, fault: Fault, to: End) -> None:
    ends = connect()
    assert passes(ends, to)
    proxy.inflict(fault, to=to)
    if fault is Fault.RESET:
        with pytest.raises(ConnectionResetError):
            ends[to].recv(1)
    else:
        assert ends[to].recv(1) == b""
    ends[other(to)].settimeout(SOON_S)
    with pytest.raises(TimeoutError):
        ends[other(to)].recv(1)
    ends[other(to)].sendall(b"nobody hears this")


@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.value)
def test_existing_connections_can_fail_while_new_ones_pass(proxy: Proxy, connect: Connect, fault: Fault) -> None:
    before = connect()
    assert passes(before, End.SERVER)
    proxy.inflict(fault, new=False)
    after = connect()
    assert all(passes(after, to) for to in End)


def test_new_connections_can_fail_while_existing_ones_pass(proxy: Proxy, connect: Connect) -> None:
    before = connect()
    assert passes(before, End.SERVER)
    proxy.inflict(Fault.SWALLOW, existing=False)
    after = connect()
    assert not any(passes(after, to) for to in End)
    assert all(passes(before, to) for to in End)
    proxy.heal()
    assert all(passes(connect(), to) for to in End)
    # Bytes are missing from it: what came now would be taken for something else.
    assert not any(passes(after, to) for to in End)


def test_a_delay_keeps_bytes_in_order(proxy: Proxy, connect: Connect) -> None:
    ends = connect()
    proxy.delay(2 * SOON_S, to=End.SERVER)
    assert not passes(ends, End.SERVER)
    ends[End.CLIENT].sendall(b"!")
    assert passes(ends, End.CLIENT)
    assert read(ends[End.SERVER], 2) == b"?!"


def test_a_server_that_is_not_there_is_a_reset(server: socket.socket, proxy: Proxy) -> None:
    server.close()
    with pytest.raises(ConnectionResetError), socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as client:
        client.recv(1)


def test_nothing_of_it_is_left(server: socket.socket) -> None:
    with Proxy(*server.getsockname()) as proxy, socket.create_connection(("127.0.0.1", proxy.port)) as client:
        eventually(lambda: proxy.open == 1)
    client.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("proxy to")]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port))


def test_it_takes_the_servers_place_in_a_uri() -> None:
    with Proxy.before("amqp://user:p%40ss@127.0.0.1:5672/a%2Fb?x=1") as proxy:
        assert proxy.in_place_of("amqp://user:p%40ss@127.0.0.1:5672/a%2Fb?x=1") == (
            f"amqp://user:p%40ss@127.0.0.1:{proxy.port}/a%2Fb?x=1"
        )
        assert proxy.in_place_of("postgresql+psycopg2://db:5432/x") == (
            f"postgresql+psycopg2://127.0.0.1:{proxy.port}/x"
        )
