"""Connections to the broker and to the database are encrypted when their URIs say so, and with nobody else's server."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import make_url, text

from commonweal import Client, errors
from shared.messaging import broker
from shared.ops.launch import ServiceProcess
from tests.support.authority import Authority
from tests.support.programme import active_award, paid_tranche
from tests.support.servers import Servers
from tests.support.servers.broker import Broker
from tests.support.servers.postgresql import PostgresServer
from tests.support.stage import Stage, eventually, stage_on_servers


@dataclass
class Encrypted:
    """Two servers whose certificates, of a private authority, are good for ``localhost`` and no other name."""

    broker: Broker
    postgresql: PostgresServer
    authority: Authority
    stranger: Authority

    def amqp_uri(self, vhost_uri: str, *, host: str = "localhost", trusting: Authority | None = None) -> str:
        parts = urlsplit(vhost_uri)
        user = parts.netloc.rpartition("@")[0]
        trusted = (trusting or self.authority).file
        return f"amqps://{user}@{host}:{self.broker.tls_port}{parts.path}?cacertfile={trusted}"

    def database_url(self, url: str, *, host: str = "localhost", trusting: Authority | None = None) -> str:
        trusted = str((trusting or self.authority).file)
        parts = make_url(url).set(host=host).update_query_dict({"sslmode": "verify-full", "sslrootcert": trusted})
        return parts.render_as_string(hide_password=False)


@pytest.fixture(scope="module")
def encrypted(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encrypted]:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    certificate = authority.certificate("localhost")
    with servers.private_tls_broker(certificate) as made, servers.private_postgresql() as postgresql:
        postgresql.encrypt(certificate)
        yield Encrypted(made, postgresql, authority, Authority(tmp_path_factory.mktemp("stranger")))


@pytest.fixture(scope="module")
def stage(encrypted: Encrypted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    def make_database() -> str:
        return encrypted.database_url(encrypted.postgresql.create_database())

    amqp_uri = encrypted.amqp_uri(encrypted.broker.create_vhost())
    directory = tmp_path_factory.mktemp("stage")
    with stage_on_servers(
        amqp_uri, make_database, directory, extra_environment={"COMMONWEAL_REQUIRE_TLS": "yes"}
    ) as running:
        yield running


def test_a_programme_runs_on_encrypted_connections_alone(encrypted: Encrypted, stage: Stage) -> None:
    """Calls, replies, events, retries of the queue's consumer, the relay and every session at the database."""
    paid_tranche(stage, active_award(stage))
    vhost = urlsplit(stage.amqp_uri).path[1:]

    def connections() -> list[dict[str, object]]:
        found: list[dict[str, object]] = encrypted.broker.manage("GET", f"vhosts/{vhost}/connections")
        return found

    # The management API tells of new connections a little later.
    seen = eventually(lambda: (found := connections()) and len(found) >= len(stage.processes) and found)
    assert {each["ssl"] for each in seen} == {True}
    with stage.database("funding").transaction() as session:
        sessions = session.execute(
            text("SELECT a.application_name, s.ssl FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid)"
                 " WHERE a.application_name = 'commonweal'")
        ).all()  # fmt: skip
    assert len(sessions) > len(stage.processes)
    assert all(each.ssl for each in sessions)


ANOTHER_AUTHORITY, ANOTHER_NAME = "another authority's certificate", "another name"


@pytest.mark.parametrize("fault", [ANOTHER_AUTHORITY, ANOTHER_NAME])
def test_a_caller_gives_no_password_to_a_stranger(encrypted: Encrypted, stage: Stage, fault: str) -> None:
    uri = encrypted.amqp_uri(stage.amqp_uri, **_at_fault(encrypted, fault))
    token = stage.signing_key.issue("a@b.example", ["cdo"])
    refused = pytest.raises(errors.Unavailable, match="certificate verify failed")
    with Client(uri, token, timeout_s=5) as client, refused:
        client.proposals.list_rounds()


@pytest.mark.parametrize("fault", [ANOTHER_AUTHORITY, ANOTHER_NAME])
@pytest.mark.parametrize("server", ["broker", "database"])
def test_a_service_gives_no_password_to_a_stranger(encrypted: Encrypted, stage: Stage, server: str, fault: str) -> None:
    environment = dict(stage.environment["outcomes"])
    amqp_uri, database_url = environment["COMMONWEAL_AMQP_URI"], environment["COMMONWEAL_DATABASE_URL"]
    if server == "broker":
        environment["COMMONWEAL_AMQP_URI"] = encrypted.amqp_uri(amqp_uri, **_at_fault(encrypted, fault))
        password, reason = urlsplit(amqp_uri).password, "certificate verify failed"
    else:
        environment["COMMONWEAL_DATABASE_URL"] = encrypted.database_url(database_url, **_at_fault(encrypted, fault))
        password = make_url(database_url).password
        reason = "does not match" if fault == ANOTHER_NAME else "certificate verify failed"
    with ServiceProcess("outcomes", environment) as service:
        line = eventually(lambda: _line_with(service, "does not answer"))
        assert reason in line
        assert str(password) not in service.output()


def test_a_broker_that_takes_connections_and_never_shakes_hands_is_given_up(
    tmp_path: Path,
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        connection = broker.connect(f"amqps://u:p@localhost:{port}/?cacertfile={Authority(tmp_path).file}")
        connection.connect_timeout = connection._initial_params["connect_timeout"] = 0.2
        with pytest.raises(TimeoutError):
            connection.connect()


def _at_fault(encrypted: Encrypted, fault: str) -> dict[str, Any]:
    return {"host": "127.0.0.1"} if fault == ANOTHER_NAME else {"trusting": encrypted.stranger}


def _line_with(service: ServiceProcess, words: str) -> str:
    return next((line for line in service.output().splitlines() if words in line), "")
