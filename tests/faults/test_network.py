"""Invariant: whatever the network does to a service's connections, it serves again by itself, and nothing is lost.

Each fault takes the connections that exist, in one way or both. New ones pass, unless a test says otherwise: the old
ones stay broken without a word where the fault says none, and the service must notice by itself.
"""

from collections.abc import Iterator

import pytest

from shared.ops.launch import ServiceProcess
from tests.faults.test_relay_and_shutdown import leader_of
from tests.support.network import WAYS, Network, name_of, network_on
from tests.support.proxy import Fault
from tests.support.servers import Servers
from tests.support.stage import eventually
from tests.support.traffic import Traffic

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(240)]

HEARTBEAT_S = 2
#: Twice the heartbeat and a second for another connection, or what a statement may go unanswered; and some more.
RECOVERY_S = {"broker": 30, "database": 50}
#: Without a word; the second of them never heals, the third is known to the kernel.
SILENT = [Fault.STALL, Fault.SWALLOW, Fault.LOSE]
#: Silence in both ways at once, for new connections too, is a test of its own.
CASES = [(fault, way) for fault in Fault for way in WAYS if fault not in SILENT or way != "both-ways"]


@pytest.fixture(scope="module")
def running(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with network_on(servers, tmp_path_factory.mktemp("stage"), COMMONWEAL_HEARTBEAT_S=HEARTBEAT_S) as network:
        yield network


@pytest.fixture
def network(running: Network) -> Iterator[Network]:
    """The same for all; a service that a test left unable to serve is started anew."""
    if not running.funding.is_running:
        running.funding.start()
        running.funding.wait_until_ready()
    yield running
    running.heal()


@pytest.mark.parametrize(("fault", "way"), CASES, ids=name_of)
@pytest.mark.parametrize("server", ["broker", "database"])
def test_a_service_recovers_while_its_old_connections_stay_broken(
    network: Network, server: str, fault: Fault, way: str
) -> None:
    with Traffic(network.stage) as traffic:
        network.proxy_before(server).inflict(fault, to=WAYS[way], new=False)
        traffic.flows(within_s=RECOVERY_S[server])
        traffic.stop_and_check()
    assert network.funding.is_running


@pytest.mark.parametrize("fault", [Fault.STALL, Fault.LOSE], ids=name_of)
@pytest.mark.parametrize("server", ["broker", "database"])
def test_a_service_recovers_when_the_network_is_back(network: Network, server: str, fault: Fault) -> None:
    proxy = network.proxy_before(server)
    with Traffic(network.stage) as traffic:
        connections = proxy.accepted
        proxy.inflict(fault)
        # Long enough for the service to have noticed, and to have tried in vain to connect anew.
        eventually(lambda: proxy.accepted >= connections + 2, within_s=60)
        proxy.heal()
        traffic.flows(within_s=RECOVERY_S[server])
        traffic.stop_and_check()


@pytest.mark.parametrize("server", ["broker", "database"])
def test_a_slow_network_slows_only(network: Network, server: str) -> None:
    with Traffic(network.stage) as traffic:
        connections = network.broker.accepted
        network.proxy_before(server).delay(0.05)
        traffic.flows()
        traffic.stop_and_check()
    assert network.broker.accepted == connections


@pytest.mark.parametrize("fault", SILENT, ids=name_of)
@pytest.mark.parametrize("server", ["broker", "database"])
def test_a_service_that_is_told_to_stop_ends_in_time_although_nothing_answers(
    network: Network, server: str, fault: Fault
) -> None:
    with Traffic(network.stage) as traffic:
        network.proxy_before(server).inflict(fault)
        assert network.funding.stop() == 0
        network.heal()
        network.funding.start()
        network.funding.wait_until_ready()
        traffic.flows()
        traffic.stop_and_check()


@pytest.mark.parametrize("fault", [Fault.SWALLOW, Fault.LOSE], ids=name_of)
def test_another_relay_takes_over_from_one_that_its_database_does_not_hear_any_more(
    network: Network, fault: Fault
) -> None:
    stage = network.stage
    environment = {**stage.environment["funding"], "COMMONWEAL_DATABASE_URL": stage.database_urls["funding"]}
    leader = eventually(lambda: leader_of(stage))
    with ServiceProcess("funding", environment, name="funding-2") as second:
        second.wait_until_ready()
        network.database.inflict(fault)
        eventually(lambda: leader_of(stage) not in (None, leader), within_s=90)
        with Traffic(stage) as traffic:
            traffic.stop_and_check()
