"""Each service alone in its process, as operators start it and as any nameko client calls it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.messaging import broker
from shared.messaging.topology import topology
from shared.ops.launch import ServiceProcess
from shared.ops.names import SERVICES
from shared.security.principal import CDO, TREASURER
from shared.security.tokens import SigningKey
from shared.storage import migrate
from tests.support.stage import stage_on_servers

ROOT = Path(__file__).parents[2]

STOCK_CLIENT = """
import json, sys, eventlet
eventlet.monkey_patch()
from nameko.exceptions import RemoteError
from nameko.standalone.rpc import ClusterRpcProxy

uri, token = sys.argv[1:]
with ClusterRpcProxy({"AMQP_URI": uri}, context_data={"auth_token": token}, timeout=10) as cluster:
    pool = cluster.funding.create_pool(name="By a stock client", starts_on="2026-04-01", ends_on="2029-03-31")
    again = cluster.funding.get_pool(pool_id=pool["pool_id"])
    pending = cluster.funding.get_pool.call_async(pool_id=pool["pool_id"])
    try:
        cluster.funding.create_pool(name="")
    except RemoteError as error:
        refusal = [error.exc_type, error.value]
    same = pool.items() <= again.items() and again == pending.result()
    print(json.dumps({"pool": pool["name"], "same": same, "refusal": refusal}))
"""


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": [SigningKey.new().public_jwk()]}))
    return path


def test_a_stock_nameko_client_in_another_process_can_call(
    amqp_uri: str, make_database: Callable[[], str], tmp_path: Path
) -> None:
    with stage_on_servers(amqp_uri, make_database, tmp_path, services=("funding",)) as stage:
        token = stage.signing_key.issue("stock@test.example", [TREASURER])
        run = subprocess.run(
            [sys.executable, "-c", STOCK_CLIENT, amqp_uri, token],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        said = json.loads(run.stdout)
        assert said["pool"] == "By a stock client"
        assert said["same"]
        assert said["refusal"][0] == "Invalid"
        assert "name" in said["refusal"][1]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_says_what_it_waits_for_and_when_it_is_ready(
    service: str, amqp_uri: str, database_url: str, keys: Path
) -> None:
    environment = {
        "COMMONWEAL_AMQP_URI": amqp_uri,
        "COMMONWEAL_DATABASE_URL": database_url,
        "COMMONWEAL_TOKEN_KEYS": str(keys),
    }
    with ServiceProcess(service, environment) as process:
        process.wait_for_line(f"lacks migrations; run: commonweal-ops migrate {service}")
        process.wait_for_line("run: commonweal-ops topology apply")
        migrate.upgrade(service, database_url)
        with broker.connect(amqp_uri) as connection:
            topology().apply(connection)
        process.wait_until_ready()
        ready = [line for line in process.output().splitlines() if "is ready" in line]
        assert len(ready) == 1
        assert process.stop() == 0
        assert "Traceback" not in process.output()
        for secret in (amqp_uri.split("@")[0].split(":")[-1], database_url.split("@")[0].split(":")[-1]):
            assert len(secret) < 8 or secret not in process.output()


def test_a_service_waits_for_servers_that_are_away(keys: Path) -> None:
    environment = {
        "COMMONWEAL_AMQP_URI": "amqp://guest:secret-word@127.0.0.1:1//",
        "COMMONWEAL_DATABASE_URL": "postgresql+psycopg2://someone:secret-word@127.0.0.1:1/nothing",
        "COMMONWEAL_TOKEN_KEYS": str(keys),
    }
    with ServiceProcess("outcomes", environment) as process:
        process.wait_for_line("the broker at 127.0.0.1:1// does not answer")
        process.wait_for_line("the database at 127.0.0.1:1/nothing does not answer")
        assert process.is_running
        assert "secret-word" not in process.output()


def test_every_mistake_in_the_configuration_is_named_at_once() -> None:
    environment = {
        "COMMONWEAL_AMQP_URI": "http://wrong",
        "COMMONWEAL_DATABASE_URL": "mysql://wrong",
        "COMMONWEAL_TOKEN_KEYS": "/no/such/file",
        "COMMONWEAL_MAX_WORKERS": "many",
        "COMMONWEAL_RETRY_DELAYS_MS": "soon",
        "COMMONWEAL_HEARTBEAT_S": "never",
    }
    run = subprocess.run(
        [sys.executable, "-m", "shared.ops.serve", "funding"],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode != 0
    assert "Traceback" not in run.stdout + run.stderr
    for name in environment:
        assert name in run.stdout + run.stderr


def test_namekos_own_command_runs_a_service(
    amqp_uri: str, make_database: Callable[[], str], tmp_path: Path, keys: Path
) -> None:
    with stage_on_servers(amqp_uri, make_database, tmp_path, services=()) as stage:
        nameko = Path(sys.executable).with_name("nameko")
        command = [str(nameko), "run", "--config", "services/funding/config.yml", "services.funding.service"]
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **stage.environment["funding"]}, stderr=subprocess.DEVNULL
        )
        try:
            caller = stage.caller(TREASURER, CDO)
            caller.timeout_s = 30
            with broker.connect(amqp_uri) as connection:
                _wait_for_queue(connection, "rpc-funding")
            assert caller.funding.create_pool(name="A pool", starts_on="2026-04-01", ends_on="2029-03-31")["pool_id"]
        finally:
            process.terminate()
            assert process.wait(30) == 0


def _wait_for_queue(connection: broker.Connection, queue: str) -> None:
    from tests.support.stage import eventually

    def exists() -> bool:
        with connection.channel() as channel:
            return bool(channel.queue_declare(queue=queue, passive=True).consumer_count)

    eventually(exists, within_s=60)
