"""Invariant: while the nodes of a cluster die one at a time, every call and every event has its effect once.

The services, and the callers, are each given all nodes of a RabbitMQ cluster of three. Under load one node after the
other is killed (SIGKILL) and started again; whoever was connected to it goes on with another.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.load import Traffic
from tests.support.servers import Broker, NoServer, Servers
from tests.support.stage import stage_on_servers

NODES = 3
RETRY_DELAYS_MS = (200, 1_000, 3_000)
EVENTS_PER_KILL = 100


@pytest.fixture
def nodes(servers: Servers) -> Iterator[list[Broker]]:
    try:
        with servers.private_cluster(NODES) as running:
            yield running
    except NoServer as reason:
        pytest.skip(str(reason))


@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_nodes_killed_one_at_a_time_lose_nothing_and_double_nothing(
    nodes: list[Broker], make_database: Callable[[], str], tmp_path: Path
) -> None:
    vhost = urlsplit(nodes[0].create_vhost()).path
    uris = [urlsplit(node.amqp_uri)._replace(path=vhost).geturl() for node in nodes]
    with stage_on_servers(";".join(uris), make_database, tmp_path, retry_delays_ms=RETRY_DELAYS_MS) as stage:
        assert_every_queue_is_on_every_node(nodes[0])
        traffic = Traffic(stage, uris=uris)
        with traffic.calls(pause_s=0.05):
            for node in nodes:
                traffic.record(EVENTS_PER_KILL)
                traffic.wait_until_it_goes_on(within_s=120)
                node.kill()
                traffic.record(EVENTS_PER_KILL)
                # Two nodes of three still serve, before the third is back.
                traffic.wait_until_it_goes_on(within_s=120)
                node.restart()
                for each in nodes:
                    each.wait_for_nodes(NODES)
                traffic.wait_until_it_goes_on(within_s=120)
        traffic.assert_agreement(within_s=180)
        assert traffic.sent() >= 2 * NODES * EVENTS_PER_KILL
        assert all(process.is_running for process in stage.processes.values())
        assert "could not be seen to its end" not in "".join(each.output() for each in stage.processes.values())


def assert_every_queue_is_on_every_node(node: Broker) -> None:
    """A queue on fewer nodes would be gone with the majority of them."""
    queues = node.manage("GET", "queues")
    assert queues
    assert {queue["name"]: len(queue["members"]) for queue in queues if len(queue["members"]) != NODES} == {}
