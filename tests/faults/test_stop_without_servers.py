"""Invariant: a service that is told to stop ends in order, also when its broker, or its database too, have gone."""

from pathlib import Path

import pytest

from tests.support.servers import Servers
from tests.support.stage import stage_on_servers

pytestmark = pytest.mark.thorough


@pytest.mark.parametrize("away", ["broker", "broker and database"])
def test_a_service_stops_without_its_servers(servers: Servers, tmp_path: Path, away: str) -> None:
    with (
        servers.private_broker() as broker,
        servers.private_postgresql() as postgresql,
        stage_on_servers(
            broker.create_vhost(), postgresql.create_database, tmp_path, services=("proposals", "funding")
        ) as stage,
    ):
        broker.kill()
        for process in stage.processes.values():
            process.wait_for_line("was lost, or cannot be made")
        if "database" in away:
            postgresql.kill()
        for process in stage.processes.values():
            process.ask_to_stop()
        ends = {service: process.stop() for service, process in stage.processes.items()}
        assert ends == {"proposals": 0, "funding": 0}
