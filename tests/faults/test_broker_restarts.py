"""Invariant: a broker that stops or dies and comes back costs time only: each write and event has its effect once."""

from collections.abc import Callable

import pytest

from commonweal import Unavailable
from shared.security.principal import TREASURER
from tests.support.servers.broker import Broker
from tests.support.stage import Stage
from tests.support.traffic import POOL, Traffic

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(300)]


@pytest.mark.parametrize("end", [Broker.shut_down, Broker.kill], ids=["stopped", "killed"])
def test_services_serve_again_by_themselves_and_nothing_is_lost_or_doubled(
    end: Callable[[Broker], None], own_broker: Broker, stage_on_own_broker: Stage
) -> None:
    stage = stage_on_own_broker
    with Traffic(stage) as traffic:
        end(own_broker)
        caller = stage.caller(TREASURER)
        caller.timeout_s = 1
        with pytest.raises(Unavailable) as refusal:
            caller.funding.create_pool(**POOL)
        assert refusal.value.code == "broker_unavailable"
        own_broker.restart()
        traffic.flows()
        traffic.stop_and_check()
    assert all(process.is_running for process in stage.processes.values())


def test_a_service_stops_while_its_broker_is_away(own_broker: Broker, stage_on_own_broker: Stage) -> None:
    """Last in this module: it leaves neither broker nor service running."""
    own_broker.kill()
    for process in stage_on_own_broker.processes.values():
        process.wait_for_line("was lost, or cannot be made")
        assert process.stop() == 0
