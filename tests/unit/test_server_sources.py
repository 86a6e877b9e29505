"""Which server the tests run on: the order of the sources, and what is said when none has one."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import servers
from tests.support.servers import named, packages
from tests.support.servers.sources import Absent, Found, NoServer, Source, StartFailed, first_available


def gives(server: str) -> Callable[[], str]:
    return lambda: server


def raises(error: Exception) -> Callable[[], str]:
    def start() -> str:
        raise error

    return start


def choose(*starts: Callable[[], str]) -> Found[str]:
    sources = [Source(f"source {number}", start) for number, start in enumerate(starts, start=1)]
    return first_available("RabbitMQ", sources, remedy="Install it.")


def test_the_first_source_is_preferred() -> None:
    found = choose(gives("first"), gives("second"))

    assert (found.server, found.source.name, found.notes) == ("first", "source 1", ())


def test_a_source_with_nothing_is_passed_over_without_a_word() -> None:
    found = choose(raises(Absent("no engine answers")), gives("second"))

    assert (found.server, found.notes) == ("second", ())


def test_a_source_that_failed_is_passed_over_with_a_note_of_one_line() -> None:
    found = choose(raises(StartFailed("no such image\nand a long log")), gives("second"))

    assert (found.server, found.notes) == ("second", ("RabbitMQ, source 1: no such image",))


def test_a_named_server_that_cannot_be_used_ends_the_search() -> None:
    with pytest.raises(NoServer, match="unset the variable"):
        choose(raises(NoServer("start it, or unset the variable")), gives("second"))


def test_when_no_source_has_one_each_reason_and_the_remedy_are_told() -> None:
    with pytest.raises(NoServer) as refusal:
        choose(raises(Absent("no engine answers")), raises(StartFailed("the disk is full")))

    assert str(refusal.value).splitlines() == [
        "There is no RabbitMQ for the tests. What was tried:",
        "  - source 1: no engine answers",
        "  - source 2: the disk is full",
        "Install it.",
    ]


def test_without_any_source_it_is_said_what_to_install_for_both(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody-listens.sock")
    for name in ("start_private_rabbitmq", "start_private_postgresql"):
        monkeypatch.setattr(servers, name, raises_for_any(Absent("it is not installed")))
    for name in ("find_rabbitmq", "find_postgresql"):
        monkeypatch.setattr(servers, name, raises_for_any(Absent("it is not installed")))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(NoServer) as refusal, servers.start(environment={}):
        pass

    for remedy in (
        "apt-get install rabbitmq-server",
        "apt-get install postgresql",
        "start a Docker-compatible engine",
        named.AMQP_URI,
        named.DATABASE_URL,
    ):
        assert remedy in str(refusal.value)


def raises_for_any(error: Exception) -> Callable[..., str]:
    def start(*_: object) -> str:
        raise error

    return start


@pytest.mark.parametrize("name", [named.named_broker, named.named_postgresql])
def test_no_server_is_named_unless_a_variable_does(name: Callable[[dict[str, str]], object]) -> None:
    with pytest.raises(Absent, match="not set"):
        name({})


def test_a_named_database_needs_a_url() -> None:
    with pytest.raises(NoServer, match="is not a URL such as"):
        named.named_postgresql({named.DATABASE_URL: "my database"})


def test_only_root_installs_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(Absent, match="root"):
        packages.install("rabbitmq-server", print)


@pytest.fixture
def policy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    path = tmp_path / "policy-rc.d"
    monkeypatch.setattr(packages, "_POLICY", path)
    return path


def test_services_are_not_started_while_packages_are_installed(policy: Path) -> None:
    with packages._services_not_started():
        assert subprocess.run([policy, "rabbitmq-server", "start"]).returncode == 101

    assert not policy.exists()


def test_the_policy_that_was_there_is_put_back(policy: Path) -> None:
    policy.write_text("#!/bin/sh\nexit 0\n")
    policy.chmod(0o755)

    with packages._services_not_started():
        assert subprocess.run([policy, "rabbitmq-server", "start"]).returncode == 101

    assert policy.read_text() == "#!/bin/sh\nexit 0\n"


def test_a_policy_that_denies_already_is_not_touched(policy: Path) -> None:
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)

    with packages._services_not_started():
        assert policy.read_text() == "#!/bin/sh\nexit 101\n"


def test_a_policy_left_behind_by_killed_tests_denies_nothing(policy: Path) -> None:
    original = policy.with_name("original")
    original.write_text("#!/bin/sh\nexit 104\n")
    original.chmod(0o755)
    ended = subprocess.Popen(["true"])
    ended.wait()
    policy.write_text(packages._DENYING_POLICY.format(pid=ended.pid, denied=101, original=original))
    policy.chmod(0o755)

    assert subprocess.run([policy, "rabbitmq-server", "start"]).returncode == 104
