"""Invariant: a slow statement keeps its own worker only: heartbeats go out, and the others' calls are answered."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from commonweal import Client
from shared.security.principal import TREASURER
from tests.support.outcomes import EDINBURGH, STIRLING
from tests.support.stage import Stage, eventually, stage_on_servers
from tests.support.traffic import POOL

HEARTBEAT_S = 1
#: The broker gives a connection up that was silent for two heartbeats, and looks once in a while.
SLOW_S = 5
OTHER_CALLS = 20

SLOW_INSERT = f"""
    CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep({SLOW_S}); RETURN NEW; END $$;
    CREATE TRIGGER slow BEFORE INSERT ON members FOR EACH ROW
        WHEN (NEW.council = '{STIRLING}') EXECUTE FUNCTION slow();
"""


@pytest.fixture
def stage(amqp_uri: str, make_database: Callable[[], str], tmp_path: Path) -> Iterator[Stage]:
    """Funding, where it takes long to let Stirling join."""
    with stage_on_servers(
        amqp_uri,
        make_database,
        tmp_path,
        services=("funding",),
        extra_environment={"COMMONWEAL_HEARTBEAT_S": str(HEARTBEAT_S)},
    ) as running:
        with running.database("funding").transaction() as session:
            session.execute(text(SLOW_INSERT))
        yield running


@pytest.mark.thorough
def test_no_heartbeat_is_lost_and_other_calls_are_answered_meanwhile(stage: Stage) -> None:
    token = stage.signing_key.issue("treasurer@test.example", [TREASURER])
    with (
        Client(stage.amqp_uri, token, timeout_s=60) as patient,
        Client(stage.amqp_uri, token, timeout_s=60) as other,
        ThreadPoolExecutor(1) as threads,
    ):
        pools = [other.funding.create_pool(**POOL)["pool_id"] for _ in range(2)]
        slow = threads.submit(patient.funding.add_member, pool_id=pools[0], council=STIRLING, joins_on="2026-04-01")
        eventually(lambda: asleep(stage))
        for _ in range(OTHER_CALLS):
            other.funding.create_pool(**POOL)
        other.funding.add_member(pool_id=pools[1], council=EDINBURGH, joins_on="2026-04-01")
        assert asleep(stage)
        assert slow.result()["members"][0]["council"] == STIRLING
    output = stage.processes["funding"].output()
    assert "heartbeat" not in output
    assert "was lost" not in output


def asleep(stage: Stage) -> bool:
    """Tell whether a statement sleeps in the database."""
    with stage.database("funding").transaction() as session:
        sleeping = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
        return bool(session.scalar(sleeping))
