"""Invariant: outbox, inbox and effects agree after services, broker and database were killed at any moment.

The small brother of ``make soak``.
"""

from pathlib import Path

import pytest

from tests.soak.soak import Soak
from tests.support.servers import Servers

#: Kills each of the three services, the broker and the database once.
SEED = 32


@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_a_small_soak_agrees(servers: Servers, tmp_path: Path) -> None:
    with servers.private_broker() as broker, servers.private_postgresql() as postgresql:
        report = Soak(broker, postgresql, tmp_path, seed=SEED, events=300, backlog=100).run()
    assert report.passed, str(report)
    assert report.receipts >= report.events >= 300
