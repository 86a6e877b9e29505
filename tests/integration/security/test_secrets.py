"""What services and commands print never holds a password or a token, whatever goes wrong."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from sqlalchemy import make_url

from commonweal import Client, errors
from shared.ops.launch import ServiceProcess
from tests.support.stage import Stage, eventually, fresh_stage

#: With a sign that has another form in a URI, which must not be shown either.
PASSWORD = "hunter2/%s@canary"
FORMS = ("hunter2", "canary", quote(PASSWORD, safe=""))


@pytest.fixture(scope="module")
def stage(servers, tmp_path_factory) -> Iterator[Stage]:
    with fresh_stage(servers, tmp_path_factory.mktemp("stage"), services=("funding",)) as running:
        yield running


def with_password(uri: str) -> str:
    parts = urlsplit(uri)
    user, _, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user.partition(':')[0]}:{quote(PASSWORD, safe='')}@{host}").geturl()


def unreachable(uri: str) -> str:
    parts = urlsplit(with_password(uri))
    return parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:1").geturl()


def cut_in_two(uri: str) -> str:
    """The sign that ends a host's name stands in the password as it is."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://user:{PASSWORD}@{parts.netloc.rpartition('@')[2]}{parts.path}"


FAULTS = [with_password, unreachable, cut_in_two]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("variable", ["COMMONWEAL_AMQP_URI", "COMMONWEAL_DATABASE_URL"])
def test_a_service_that_cannot_start_shows_no_password(
    stage: Stage, variable: str, fault: Callable[[str], str]
) -> None:
    environment = {**stage.environment["funding"]}
    environment[variable] = fault(environment[variable])
    with ServiceProcess("funding", environment) as service:
        output = eventually(lambda: len(service.output().splitlines()) >= 1 and service.output())
    assert "funding" in output
    for form in FORMS:
        assert form not in output


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize(
    "command",
    ["migrate funding", "prune funding", "topology apply", "topology diff", "topology export", "dead-letters list"],
)
def test_a_command_that_fails_shows_no_password(stage: Stage, command: str, fault: Callable[[str], str]) -> None:
    environment = {**os.environ, **stage.environment["funding"]}
    for variable in ("COMMONWEAL_AMQP_URI", "COMMONWEAL_DATABASE_URL"):
        environment[variable] = fault(environment[variable])
    ran = subprocess.run(
        [str(Path(sys.executable).with_name("commonweal-ops")), *command.split()],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    printed = ran.stdout + ran.stderr
    if command == "topology export":
        assert ran.returncode in (0, 1, 2)
    else:
        assert ran.returncode in (1, 2)
        assert "Error" in printed
        assert "Traceback" not in printed
    for form in FORMS:
        assert form not in printed


def test_a_service_at_work_shows_no_secret(stage: Stage) -> None:
    """It is called by many, refuses some, and one of its connections is broken."""
    environment = stage.environment["funding"]
    token = stage.signing_key.issue("treasurer@canary.example", ["treasurer"])
    with Client(stage.amqp_uri, token) as client:
        client.funding.create_pool(name="A pool", starts_on="2026-04-01", ends_on="2029-03-31")
        with pytest.raises(errors.NotFound):
            client.funding.get_pool(pool_id="00000000-0000-7000-8000-000000000000")
        with pytest.raises(errors.Unauthenticated):
            client.acting(token[:-4]).funding.get_pool(pool_id="00000000-0000-7000-8000-000000000000")
    output = stage.processes["funding"].output()
    passwords = [
        urlsplit(environment["COMMONWEAL_AMQP_URI"]).password,
        make_url(environment["COMMONWEAL_DATABASE_URL"]).password,
    ]
    assert "is ready" in output
    for secret in (*passwords, token, token.rpartition(".")[2]):
        assert str(secret) not in output
