"""The embedded broker with SQLite passes the tests that RabbitMQ with PostgreSQL passes (design, rule 7)."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.messaging.conftest import STAGE_VARIABLE

HERE = Path(__file__).parent
SUITE = [HERE / "test_delivery.py", HERE / "test_rpc.py"]
TIMEOUT_S = 110


@pytest.mark.skipif(os.environ.get(STAGE_VARIABLE) == "embedded", reason="this run is the embedded one")
def test_the_embedded_pair_passes_the_same_tests() -> None:
    """In a process of its own, because embedded services need the standard library patched from the start."""
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "tests.support.green", "-p", "no:cacheprovider", *map(str, SUITE)],
        env={**os.environ, STAGE_VARIABLE: "embedded"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
    passed = re.search(r"(\d+) passed", run.stdout)
    assert passed is not None
    assert int(passed[1]) >= 30
    assert "skipped" not in run.stdout
