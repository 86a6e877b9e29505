"""Fixtures for all tests: real servers, started once and only when a test asks for them."""

import contextlib
import fcntl
import os
import signal
from collections.abc import Callable, Iterator

import pytest

from tests.support import node as node_support
from tests.support import servers as support
from tests.support.node import Node
from tests.support.servers import Servers


@pytest.fixture(scope="session")
def servers(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """The RabbitMQ and the PostgreSQL of this test run."""
    # A worker of a parallel run has no terminal.
    terminal: pytest.TerminalReporter | None = pytestconfig.pluginmanager.getplugin("terminalreporter")
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def report(line: str) -> None:
        if terminal is None:
            return
        with capture.global_and_fixture_disabled():
            terminal.write(f"\n{line}\n")  # Dots may stand on the current line.

    with contextlib.ExitStack() as stack:
        try:
            with _clock_of_the_test_stopped(), _one_worker_at_a_time(tmp_path_factory):
                started = stack.enter_context(support.start(report=report))
        except support.NoServer as reason:
            pytest.fail(str(reason), pytrace=False)
        for line in (started.summary, *started.notes):
            report(line)
        yield started


@pytest.fixture(scope="session")
def node() -> Node:
    """Node with the packages of ``tests/node``, which the first test that asks for it waits for."""
    try:
        with _clock_of_the_test_stopped():
            return node_support.install()
    except node_support.NodeMissing as reason:
        pytest.fail(str(reason), pytrace=False)


@pytest.fixture
def amqp_uri(servers: Servers) -> Iterator[str]:
    """The AMQP URI of a fresh vhost, which is deleted after the test."""
    uri = servers.broker.create_vhost()
    yield uri
    servers.broker.delete_vhost(uri)


@pytest.fixture
def make_database(servers: Servers) -> Iterator[Callable[[], str]]:
    """Makes fresh, empty PostgreSQL databases and gives their SQLAlchemy URLs; they are dropped after the test."""
    urls: list[str] = []

    def make() -> str:
        urls.append(servers.postgresql.create_database())
        return urls[-1]

    yield make
    for url in urls:
        servers.postgresql.drop_database(url)


@pytest.fixture
def database_url(make_database: Callable[[], str]) -> str:
    """The SQLAlchemy URL of a fresh, empty PostgreSQL database, which is dropped after the test."""
    return make_database()


@contextlib.contextmanager
def _clock_of_the_test_stopped() -> Iterator[None]:
    """Stops pytest-timeout's alarm: a pull or an installation may take minutes, and has deadlines of its own."""
    left_s, every_s = signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left_s, every_s)


@contextlib.contextmanager
def _one_worker_at_a_time(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps the workers of a parallel run from installing the same packages at once."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    with (shared / "servers.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
