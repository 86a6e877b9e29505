"""The running system that the messaging tests share: embedded when the environment says so, else on real servers."""

import os
from collections.abc import Iterator

import pytest

from tests.support.stage import Stage, fresh_stage, stage_embedded

STAGE_VARIABLE = "COMMONWEAL_TEST_STAGE"


@pytest.fixture(scope="package")
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """All three services, ready; shared by all these tests, so each works on things of its own."""
    directory = tmp_path_factory.mktemp("stage")
    if os.environ.get(STAGE_VARIABLE) == "embedded":
        with stage_embedded(directory) as running:
            yield running
        return
    with fresh_stage(request.getfixturevalue("servers"), directory) as running:
        yield running
