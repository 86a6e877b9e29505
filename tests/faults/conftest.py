"""What fault tests share."""

from collections.abc import Iterator

import pytest

from tests.support.servers import Servers
from tests.support.servers.broker import Broker
from tests.support.stage import Stage, stage_on_servers

NODE_THAT_IS_DOWN = "amqp://nobody:none@127.0.0.1:1/none"


@pytest.fixture(scope="module")
def own_broker(servers: Servers) -> Iterator[Broker]:
    """A broker that the tests of a module may harm."""
    with servers.private_broker() as broker:
        yield broker


@pytest.fixture(scope="module")
def stage_on_own_broker(
    own_broker: Broker, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """Funding and proposals on that broker, which everybody knows as the second of two nodes."""
    with stage_on_servers(
        f"{NODE_THAT_IS_DOWN};{own_broker.create_vhost()}",
        servers.postgresql.create_database,
        tmp_path_factory.mktemp("stage"),
        services=("proposals", "funding"),
    ) as stage:
        yield stage
