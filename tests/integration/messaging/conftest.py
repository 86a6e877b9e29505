"""The running system that the messaging tests share: embedded when the environment says so, else on real servers."""

import os
from collections.abc import Iterator

import pytest

from tests.support.stage import Stage, stage_embedded, stage_on_servers

STAGE_VARIABLE = "COMMONWEAL_TEST_STAGE"


@pytest.fixture(scope="package")
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """All three services, ready; shared by all these tests, so each works on things of its own."""
    directory = tmp_path_factory.mktemp("stage")
    if os.environ.get(STAGE_VARIABLE) == "embedded":
        with stage_embedded(directory) as running:
            yield running
        return
    servers = request.getfixturevalue("servers")
    vhost = servers.broker.create_vhost()
    made: list[str] = []

    def make_database() -> str:
        made.append(servers.postgresql.create_database())
        return made[-1]

    try:
        with stage_on_servers(vhost, make_database, directory) as running:
            yield running
    finally:
        for url in made:
            servers.postgresql.drop_database(url)
        servers.broker.delete_vhost(vhost)
