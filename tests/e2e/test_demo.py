"""The demo, as a newcomer runs it: embedded, and on real servers with a process per service."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

ROOT = Path(__file__).parents[2]


def play(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "examples.demo", *arguments],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "110"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def assert_the_story_was_told(run: subprocess.CompletedProcess[str]) -> None:
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-4000:]
    assert run.stderr == ""
    for expected in (
        "25 councils pledge £1,000,000 for 2026-27",
        "The shares add up to £1,000,000, to the penny.",
        "R-2026-0001 was closed by the clock at the end of 2026-06-12.",
        "5 candidates",
        "stays a candidate",
        "The ledger adds up",
        "How to go on",
    ):
        assert expected in run.stdout, f"{expected!r} is missing from:\n{run.stdout}"
    assert run.stdout.count("Its tracking plan was there") == 4
    assert run.stdout.count("pays £72,000") == 1


def test_the_embedded_demo_tells_the_whole_story(tmp_path: Path) -> None:
    run = play("--keep", str(tmp_path / "kept"))
    assert_the_story_was_told(run)
    assert {path.name for path in (tmp_path / "kept").glob("*.db")} == {"proposals.db", "funding.db", "outcomes.db"}
    again = play("--keep", str(tmp_path / "kept"))
    assert again.returncode == 1
    assert "holds databases already" in again.stdout


def test_the_same_story_plays_on_real_servers_and_leaves_nothing_behind(amqp_uri: str, database_url: str) -> None:
    before = _databases(database_url)
    assert_the_story_was_told(play("--amqp-uri", amqp_uri, "--database-url", database_url))
    assert _databases(database_url) == before
    # Its queues are gone as well, or the second time it would leave them alone.
    assert_the_story_was_told(play("--amqp-uri", amqp_uri, "--database-url", database_url))


def test_a_server_that_is_not_there_is_said_in_a_sentence(amqp_uri: str, database_url: str) -> None:
    for arguments in (
        ["--amqp-uri", "amqp://guest:guest@127.0.0.1:1//", "--database-url", database_url],
        ["--amqp-uri", amqp_uri, "--database-url", "postgresql://nobody:nothing@127.0.0.1:1/none"],
    ):
        run = play(*arguments)
        assert run.returncode == 1
        assert "The demo failed" in run.stdout
        assert "Traceback" not in run.stdout + run.stderr


def test_one_url_without_the_other_is_refused() -> None:
    run = play("--amqp-uri", "amqp://guest:guest@127.0.0.1:1//")
    assert run.returncode == 2
    assert "go together" in run.stderr


def _databases(database_url: str) -> set[Any]:
    engine = create_engine(database_url)
    with engine.connect() as connection:
        names = {row[0] for row in connection.execute(text("SELECT datname FROM pg_database"))}
    engine.dispose()
    return {name for name in names if name.startswith("commonweal_demo_")}
