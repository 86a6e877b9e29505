"""A service's configuration is checked whole before anything starts."""

import json
from pathlib import Path
from typing import Any

import pytest
from nameko.exceptions import ConfigurationError

from shared import config
from shared.config import Retention
from shared.security.tokens import SigningKey

SECRET = "hunter2"


@pytest.fixture
def sound(tmp_path: Path) -> dict[str, Any]:
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"keys": [SigningKey.new().public_jwk()]}))
    return {
        "AMQP_URI": f"amqp://user:{SECRET}@broker:5672/vhost",
        "DATABASE_URL": f"postgresql+psycopg2://user:{SECRET}@server:5432/{{service}}",
        "TOKEN_KEYS": str(keys),
        "max_workers": "",
        "RETRY_DELAYS_MS": None,
        "HEARTBEAT_S": "",
        "REHEARSAL_CLOCK": "",
    }


def complaints(values: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigurationError) as refusal:
        config.read("funding", values)
    first, *rest = str(refusal.value).splitlines()
    assert first == "funding cannot start:"
    return [line.strip() for line in rest]


def test_what_is_not_set_has_its_default(sound: dict[str, Any], tmp_path: Path) -> None:
    settings = config.read("funding", sound)
    assert settings.service == "funding"
    assert settings.amqp_uri == sound["AMQP_URI"]
    assert settings.token_keys == tmp_path / "keys.json"
    assert settings.token_audience == "commonweal"
    assert settings.max_workers == 10
    assert settings.retry_delays_ms == (1_000, 5_000, 30_000, 120_000, 600_000)
    assert settings.heartbeat_s == 30
    assert settings.retention == Retention(outbox_days=30, inbox_days=400, idempotency_keys_days=30)
    assert settings.housekeeping_interval_s == 600
    assert settings.rehearsal_clock is None
    assert not settings.is_embedded


def test_what_is_set_is_taken(sound: dict[str, Any]) -> None:
    settings = config.read(
        "funding",
        {**sound, "max_workers": "3", "RETRY_DELAYS_MS": "50, 100", "HEARTBEAT_S": "2", "REHEARSAL_CLOCK": "/tmp/clock",
         "TOKEN_AUDIENCE": "commonweal-test",
         "KEEP_OUTBOX_DAYS": "7", "KEEP_INBOX_DAYS": "7", "KEEP_IDEMPOTENCY_KEYS_DAYS": "1",
         "HOUSEKEEPING_INTERVAL_S": "5",
         "AMQP_URI": "embedded://", "DATABASE_URL": "sqlite:////tmp/{service}.db"},
    )  # fmt: skip
    assert (settings.max_workers, settings.retry_delays_ms, settings.heartbeat_s) == (3, (50, 100), 2)
    assert settings.retention == Retention(outbox_days=7, inbox_days=7, idempotency_keys_days=1)
    assert settings.token_audience == "commonweal-test"
    assert settings.housekeeping_interval_s == 5
    assert settings.rehearsal_clock == Path("/tmp/clock")
    assert settings.database_url == "sqlite:////tmp/funding.db"
    assert settings.is_embedded


def test_the_services_name_is_filled_in(sound: dict[str, Any]) -> None:
    assert config.read("outcomes", sound).database_url.endswith(":5432/outcomes")


def test_a_broker_may_be_several_nodes(sound: dict[str, Any]) -> None:
    nodes = f"amqp://user:{SECRET}@one:5672/v; amqps://user:{SECRET}@two/v;amqp://user:{SECRET}@three"
    assert config.read("funding", {**sound, "AMQP_URI": nodes}).amqp_uri == nodes


def test_no_secret_is_shown(sound: dict[str, Any]) -> None:
    settings = config.read("funding", sound)
    assert SECRET not in f"{settings} {settings!r} {[settings]}"


def test_every_mistake_is_told_at_once(sound: dict[str, Any]) -> None:
    assert len(complaints({})) == 3
    found = complaints(
        {
            "AMQP_URI": f"http://user:{SECRET}@broker",
            "DATABASE_URL": f"mysql://user:{SECRET}@server/x",
            "TOKEN_KEYS": "/no/such/file",
            "max_workers": "many",
            "RETRY_DELAYS_MS": "soon",
            "HEARTBEAT_S": "never",
            "KEEP_OUTBOX_DAYS": "for ever",
            "KEEP_INBOX_DAYS": "0",
            "KEEP_IDEMPOTENCY_KEYS_DAYS": "1.5",
            "HOUSEKEEPING_INTERVAL_S": "often",
        }
    )
    assert [line.split()[0] for line in found] == [
        "COMMONWEAL_AMQP_URI",
        "COMMONWEAL_DATABASE_URL",
        "COMMONWEAL_TOKEN_KEYS",
        "COMMONWEAL_MAX_WORKERS",
        "COMMONWEAL_RETRY_DELAYS_MS",
        "COMMONWEAL_HEARTBEAT_S",
        "COMMONWEAL_KEEP_OUTBOX_DAYS",
        "COMMONWEAL_KEEP_INBOX_DAYS",
        "COMMONWEAL_KEEP_IDEMPOTENCY_KEYS_DAYS",
        "COMMONWEAL_HOUSEKEEPING_INTERVAL_S",
    ]
    assert SECRET not in " ".join(found)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("AMQP_URI", "  "),
        ("AMQP_URI", "localhost:5672"),
        ("AMQP_URI", "amqp://"),
        ("AMQP_URI", f"amqp://user:12/{SECRET}@host/vhost"),
        ("AMQP_URI", f"amqp://user:{SECRET}#@host/vhost"),
        ("AMQP_URI", f"amqp://user:pa;{SECRET}@host/vhost"),
        ("AMQP_URI", f"amqp://user:{SECRET}@host/vhost;"),
        ("AMQP_URI", f"amqp://user:{SECRET}@one/vhost,amqp://user:{SECRET}@two/vhost;three"),
        ("DATABASE_URL", "postgresql"),
        ("DATABASE_URL", "postgresql+psycopg://u:p@h/d"),
        ("DATABASE_URL", f"postgresql://u:{SECRET}@h:port/d"),
        ("TOKEN_AUDIENCE", "Common Weal"),
        ("max_workers", "0"),
        ("max_workers", "-1"),
        ("max_workers", "1.5"),
        ("max_workers", "1,2"),
        ("max_workers", "²"),
        ("RETRY_DELAYS_MS", "1000,"),
        ("RETRY_DELAYS_MS", "0"),
        ("RETRY_DELAYS_MS", "1000;2000"),
        ("RETRY_DELAYS_MS", "²"),
        ("HEARTBEAT_S", "0"),
        ("HEARTBEAT_S", "0.5"),
        ("HEARTBEAT_S", "1,2"),
        ("KEEP_OUTBOX_DAYS", "-1"),
        ("KEEP_OUTBOX_DAYS", "401"),
        ("KEEP_INBOX_DAYS", "29"),
        ("KEEP_INBOX_DAYS", "1000000000000"),
        ("KEEP_IDEMPOTENCY_KEYS_DAYS", "30,60"),
        ("HOUSEKEEPING_INTERVAL_S", "86401"),
    ],
)
def test_a_mistake_is_one_sentence_without_a_secret(sound: dict[str, Any], key: str, value: str) -> None:
    (complaint,) = complaints({**sound, key: value})
    assert complaint.startswith("COMMONWEAL_")
    assert SECRET not in complaint


def test_receipts_that_go_before_their_events_are_refused_with_the_reason(sound: dict[str, Any]) -> None:
    (complaint,) = complaints({**sound, "KEEP_INBOX_DAYS": "29"})
    assert complaint.startswith(
        "COMMONWEAL_KEEP_INBOX_DAYS (29) must not be smaller than COMMONWEAL_KEEP_OUTBOX_DAYS (30): an event"
    )


@pytest.mark.parametrize("content", ["", "{}", '{"keys": []}', "[]"])
def test_a_file_that_holds_no_keys_is_named(sound: dict[str, Any], tmp_path: Path, content: str) -> None:
    (tmp_path / "keys.json").write_text(content)
    (complaint,) = complaints(sound)
    assert str(tmp_path / "keys.json") in complaint


def test_a_private_key_where_public_ones_belong_is_not_taken(sound: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_bytes(SigningKey.new().private_pem())
    (complaint,) = complaints(sound)
    assert "PRIVATE" not in complaint


@pytest.mark.parametrize("key", ["AMQP_URI", "DATABASE_URL"])
def test_a_secret_may_stand_in_a_file(sound: dict[str, Any], tmp_path: Path, key: str) -> None:
    path = tmp_path / "secret"
    path.write_text(sound[key] + "\n")
    settings = config.read("funding", {**sound, key: "", f"{key}_FILE": str(path)})
    assert settings == config.read("funding", sound)


@pytest.mark.parametrize("key", ["AMQP_URI", "DATABASE_URL"])
def test_a_secret_s_file_that_cannot_be_used_is_named(sound: dict[str, Any], tmp_path: Path, key: str) -> None:
    path = tmp_path / "secret"
    without = {**sound, key: "", f"{key}_FILE": str(path)}
    assert complaints(without) == [
        f"COMMONWEAL_{key}_FILE names {path}, which cannot be read: No such file or directory."
    ]
    path.write_text("\n")
    assert complaints(without) == [f"COMMONWEAL_{key}_FILE names {path}, which is empty."]
    path.write_bytes(b"\xff\xfe")
    assert complaints(without) == [f"COMMONWEAL_{key}_FILE names {path}, which cannot be read: it is not text."]
    assert complaints({**without, key: sound[key]}) == [f"Set COMMONWEAL_{key} or COMMONWEAL_{key}_FILE, not both."]
    assert complaints({**without, f"{key}_FILE": ""}) == [
        f"COMMONWEAL_{key} is not set, nor COMMONWEAL_{key}_FILE; see the table in README.md."
    ]


@pytest.mark.parametrize("uri", ["amqp://broker/vhost", f"amqp://user:{SECRET}@one/v;amqp://user@two/v"])
def test_a_broker_without_a_user_and_a_password_is_refused(sound: dict[str, Any], uri: str) -> None:
    """They would be guest and guest."""
    assert complaints({**sound, "AMQP_URI": uri}) == [
        "COMMONWEAL_AMQP_URI must name a user and a password: amqp://user:password@host:5672/vhost."
    ]


def test_where_tls_is_required_nothing_else_is_taken(sound: dict[str, Any]) -> None:
    broker, database = complaints({**sound, "REQUIRE_TLS": "yes"})
    assert broker.startswith("COMMONWEAL_REQUIRE_TLS is set: COMMONWEAL_AMQP_URI must begin with amqps://")
    assert database.startswith("COMMONWEAL_REQUIRE_TLS is set: COMMONWEAL_DATABASE_URL must end with ?sslmode=")
    encrypted = {
        **sound,
        "REQUIRE_TLS": "yes",
        "AMQP_URI": f"amqps://user:{SECRET}@one/v;amqps://user:{SECRET}@two/v",
        "DATABASE_URL": f"{sound['DATABASE_URL']}?sslmode=verify-full",
    }
    config.read("funding", encrypted)
    assert complaints({**encrypted, "AMQP_URI": f"amqps://user:{SECRET}@one/v;amqp://user:{SECRET}@two/v"}) == [broker]
    assert complaints({**encrypted, "DATABASE_URL": f"{sound['DATABASE_URL']}?sslmode=require"}) == [database]
    assert complaints({**sound, "REQUIRE_TLS": "sure"}) == ["COMMONWEAL_REQUIRE_TLS must be yes or no."]


def test_least_privilege_is_required_of_postgresql_alone(sound: dict[str, Any]) -> None:
    assert not config.read("funding", sound).require_least_privilege
    assert config.read("funding", {**sound, "REQUIRE_LEAST_PRIVILEGE": "yes"}).require_least_privilege
    (sqlite,) = complaints({**sound, "REQUIRE_LEAST_PRIVILEGE": "yes", "DATABASE_URL": "sqlite:///funding.db"})
    assert sqlite.startswith(
        "COMMONWEAL_REQUIRE_LEAST_PRIVILEGE is set: COMMONWEAL_DATABASE_URL must name a PostgreSQL"
    )
    assert complaints({**sound, "REQUIRE_LEAST_PRIVILEGE": "sure"}) == [
        "COMMONWEAL_REQUIRE_LEAST_PRIVILEGE must be yes or no."
    ]


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("cacertfile=/nowhere", "names a cacertfile that cannot be read."),
        ("verify=verify_none", "takes nothing after the ? but, of amqps://, cacertfile, certfile, keyfile."),
        ("keyfile=/nowhere", "names a keyfile without the certfile that it belongs to."),
    ],
    ids=["unreadable", "unknown", "half"],
)
def test_what_a_broker_s_uri_says_about_tls_is_checked(sound: dict[str, Any], query: str, problem: str) -> None:
    assert complaints({**sound, "AMQP_URI": f"amqps://user:{SECRET}@broker/v?{query}"}) == [
        f"COMMONWEAL_AMQP_URI {problem}"
    ]
    plain = complaints({**sound, "AMQP_URI": f"amqp://user:{SECRET}@broker/v?{query}"})
    assert plain == ["COMMONWEAL_AMQP_URI takes nothing after the ? but, of amqps://, cacertfile, certfile, keyfile."]


class TestPublishers:
    def test_each_party_is_its_own_broker_user_unless_it_is_named(self, sound: dict[str, Any]) -> None:
        publishers = config.read("funding", sound).publishers
        assert (publishers.is_checked, publishers.own, publishers.user_of("outcomes")) == (True, "user", "outcomes")
        named = {**sound, "BROKER_USER_PREFIX": "cw-", "PUBLISHERS": "proposals=writer, operator = ops,"}
        publishers = config.read("funding", named).publishers
        users = [publishers.user_of(party) for party in ("proposals", "operator", "finance")]
        assert users == ["writer", "ops", "cw-finance"]

    @pytest.mark.parametrize("changes", [{"PUBLISHERS": "any"}, {"AMQP_URI": "embedded://"}])
    def test_nothing_is_checked_where_users_are_shared_or_there_are_none(
        self, sound: dict[str, Any], changes: dict[str, Any]
    ) -> None:
        assert not config.read("funding", {**sound, **changes}).publishers.is_checked

    @pytest.mark.parametrize(
        "value", ["all", "funding", "funding=", "=user", "partners=user", "funding=a,funding=b", "funding=" + "x" * 256]
    )
    def test_a_mistake_is_told(self, sound: dict[str, Any], value: str) -> None:
        (complaint,) = complaints({**sound, "PUBLISHERS": value})
        assert complaint.startswith("COMMONWEAL_PUBLISHERS must be any, or names of broker users")

    @pytest.mark.parametrize("prefix", ["a.b", "a b", "a/b", "x" * 33, "^"])
    def test_a_prefix_is_what_every_place_takes_as_it_is(self, sound: dict[str, Any], prefix: str) -> None:
        (complaint,) = complaints({**sound, "BROKER_USER_PREFIX": prefix})
        assert complaint.startswith("COMMONWEAL_BROKER_USER_PREFIX may have letters")
