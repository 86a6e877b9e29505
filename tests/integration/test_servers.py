"""The servers that the tests run on do what the tests rely on."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import amqp
import kombu
import pytest
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from tests.support.servers import Broker, PostgresServer, Servers, wait_until
from tests.support.servers.keeper import Keeper
from tests.support.servers.private_postgresql import start_private_postgresql
from tests.support.servers.private_rabbitmq import start_private_rabbitmq
from tests.support.servers.processes import Leader, Ledger, _table_of_proc, _table_of_ps, leader_of, members
from tests.support.servers.sources import Absent


def publish(uri: str, queue: str, body: str) -> None:
    """Sends a persistent message to a durable queue, and returns when the broker has it on disk."""
    with kombu.Connection(uri, transport_options={"confirm_publish": True}) as connection:
        producer = connection.Producer()
        declared = kombu.Queue(queue, durable=True, channel=producer.channel)
        declared.declare()
        producer.publish(body, routing_key=queue, delivery_mode="persistent")


def consume(uri: str, queue: str) -> str | None:
    with kombu.Connection(uri) as connection:
        message = kombu.Queue(queue, durable=True, channel=connection.default_channel).get(no_ack=True)
        return message.payload if message else None


def wait_for_end(leader: Leader) -> None:
    wait_until(lambda: not members(leader), what=f"the end of process {leader.pid} and its descendants")


def execute(url: str, statement: str) -> list[tuple[object, ...]]:
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        result = connection.execute(text(statement))
        return [tuple(row) for row in result] if result.returns_rows else []


def test_a_fresh_vhost_takes_and_gives_a_message(amqp_uri: str) -> None:
    publish(amqp_uri, "greetings", "hello")

    assert consume(amqp_uri, "greetings") == "hello"


def test_vhosts_do_not_see_one_another(servers: Servers, amqp_uri: str) -> None:
    other_uri = servers.broker.create_vhost()
    publish(amqp_uri, "greetings", "hello")

    with pytest.raises(amqp.exceptions.NotFound):
        consume(other_uri, "greetings")

    servers.broker.delete_vhost(other_uri)


def test_a_deleted_vhost_is_gone(servers: Servers) -> None:
    uri = servers.broker.create_vhost()

    servers.broker.delete_vhost(uri)

    with pytest.raises(amqp.exceptions.NotAllowed):
        publish(uri, "greetings", "hello")


def test_only_own_vhosts_are_deleted(servers: Servers) -> None:
    with pytest.raises(ValueError, match="created here"):
        servers.broker.delete_vhost(servers.broker.amqp_uri)


def test_a_fresh_database_answers_queries(database_url: str) -> None:
    assert execute(database_url, "SELECT 6 * 7") == [(42,)]


def test_databases_do_not_see_one_another(make_database: Callable[[], str]) -> None:
    first, second = make_database(), make_database()
    execute(first, "CREATE TABLE facts (id integer)")

    with pytest.raises(DBAPIError, match="facts"):
        execute(second, "SELECT * FROM facts")


def test_a_database_is_dropped_while_somebody_is_connected(servers: Servers) -> None:
    url = servers.postgresql.create_database()
    with create_engine(url, poolclass=NullPool).connect():
        servers.postgresql.drop_database(url)

    with pytest.raises(DBAPIError, match="does not exist"):
        execute(url, "SELECT 1")


def test_only_own_databases_are_dropped(servers: Servers) -> None:
    with pytest.raises(ValueError, match="created here"):
        servers.postgresql.drop_database(servers.postgresql.url)


def test_postgresql_writes_through_to_disk(database_url: str) -> None:
    assert execute(database_url, "SHOW fsync") == [("on",)]


@pytest.fixture(scope="module")
def private_broker(servers: Servers) -> Iterator[Broker]:
    with servers.private_broker() as broker:
        yield broker


def test_a_killed_broker_comes_back_with_its_persistent_messages(servers: Servers, private_broker: Broker) -> None:
    uri = private_broker.create_vhost()
    publish(uri, "money", "25 million")
    # A queue's definition reaches the disk a moment after its declaration, unlike a confirmed message.
    private_broker.restart()
    assert consume(uri, "money") == "25 million"
    publish(uri, "money", "26 million")
    private_broker.kill()
    with pytest.raises(OSError, match=r"(?i)refused"):
        private_broker.manage("GET", "overview")
    assert servers.broker.manage("GET", "overview")["rabbitmq_version"] == servers.broker.version

    private_broker.restart()

    assert consume(uri, "money") == "26 million"


def test_a_broker_restarts_in_an_orderly_way(private_broker: Broker) -> None:
    publish(private_broker.amqp_uri, "money", "25 million")

    private_broker.restart()

    assert consume(private_broker.amqp_uri, "money") == "25 million"


def test_a_killed_postgresql_comes_back_with_its_committed_rows(servers: Servers) -> None:
    with servers.private_postgresql() as server:
        url = server.create_database()
        execute(url, "CREATE TABLE ledger AS SELECT 25 AS amount")
        server.kill()
        with pytest.raises(DBAPIError):
            execute(url, "SELECT amount FROM ledger")

        server.restart()

        assert execute(url, "SELECT amount FROM ledger") == [(25,)]


@pytest.mark.parametrize("start_server", [start_private_rabbitmq, start_private_postgresql])
def test_nothing_is_left_of_a_stopped_private_server(
    start_server: Callable[[Keeper], Broker | PostgresServer],
) -> None:
    with Keeper() as keeper:
        try:
            server = start_server(keeper)
        except Absent as reason:
            pytest.skip(str(reason))
        leaders = Ledger.read(keeper.directory).leaders
        before = [path.name for path in keeper.directory.iterdir()]
        assert all(members(leader) for leader in leaders)

        server.stop()

        assert not any(members(leader) for leader in leaders)
        assert [path.name for path in keeper.directory.iterdir()] == ["ledger.json"]
        assert before != ["ledger.json"]
    assert not keeper.directory.exists()


@pytest.fixture
def family() -> list[str]:
    """A command whose process has a child in its group and another one in a session of its own."""
    return ["sh", "-c", "sleep 600 & setsid sleep 600 & wait"]


def start_family(keeper: Keeper, family: list[str]) -> Leader:
    kept = keeper.start(
        family, directory=keeper.directory, environment=dict(os.environ), log=keeper.directory / "family.log"
    )
    wait_until(lambda: len(members(kept.leader)) == 3, what="three processes")
    return kept.leader


def test_a_closed_keeper_leaves_no_descendants(family: list[str]) -> None:
    with Keeper() as keeper:
        leader = start_family(keeper, family)

    assert not members(leader)
    assert not keeper.directory.exists()


def test_a_keeper_closes_after_an_error(family: list[str]) -> None:
    keeper = Keeper()
    leader = start_family(keeper, family)

    with pytest.raises(KeyboardInterrupt), keeper:
        raise KeyboardInterrupt

    assert not members(leader)
    assert not keeper.directory.exists()


def test_a_closed_keeper_starts_nothing_more(family: list[str]) -> None:
    with Keeper() as keeper:
        pass

    with pytest.raises((RuntimeError, FileNotFoundError)):
        start_family(keeper, family)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_watchdog_cleans_up_after_killed_tests(number: signal.Signals, family: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run.py"
    run.write_text(
        "import os, sys, time\n"
        "from tests.support.servers.keeper import Keeper\n"
        "keeper = Keeper()\n"
        "log = keeper.directory / 'family.log'\n"
        f"keeper.start({family!r}, directory=keeper.directory, environment=dict(os.environ), log=log)\n"
        "print(keeper.directory, flush=True)\n"
        "time.sleep(600)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, run], env=environment, stdout=subprocess.PIPE, text=True) as tests:
        assert tests.stdout
        directory = Path(tests.stdout.readline().strip())
        [leader] = Ledger.read(directory).leaders
        wait_until(lambda: len(members(leader)) == 3, what="three processes")

        tests.send_signal(number)

    wait_for_end(leader)
    wait_until(lambda: not directory.exists(), what=f"the removal of {directory}")


def test_a_process_that_got_the_number_of_an_ended_one_is_left_alone() -> None:
    own = leader_of(os.getpid(), signal.SIGKILL)

    assert not members(Leader(os.getpid(), started=f"not {own.started}"))


def test_the_process_table_is_the_same_from_proc_and_from_ps() -> None:
    if not Path("/proc/self/stat").exists() or not shutil.which("ps"):
        pytest.skip("this takes a system with both /proc and ps")

    own = [table()[os.getpid()] for table in (_table_of_proc, _table_of_ps)]

    assert (own[0].parent, own[0].group) == (own[1].parent, own[1].group)
