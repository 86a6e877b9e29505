"""``commonweal-ops``: what an operator types, and what it says when that cannot be."""

import json
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import insert, inspect

from shared import ids
from shared.events.catalogue import SUBSCRIPTIONS
from shared.messaging import embedded
from shared.messaging.tables import outbox
from shared.messaging.topology import queue_of, retry_queue_of
from shared.ops.cli import main
from shared.security.tokens import Verifier
from shared.storage.database import Database


def ops(*arguments: object, **environment: str) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], env=environment)


def refused(result: Result) -> str:
    """The sentence with which a command ended; a traceback is none."""
    assert result.exit_code in (1, 2), result.output
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    assert "Error: " in result.output
    return result.output


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    directory = tmp_path / "keys"
    assert ops("keys", "new", directory).exit_code == 0
    return directory


def private_key_in(directory: Path) -> Path:
    return next(directory.glob("*.pem"))


class TestKeys:
    def test_a_new_key_is_its_owners_alone_and_its_public_half_is_for_the_services(self, keys: Path) -> None:
        private = private_key_in(keys)
        assert stat.S_IMODE(private.stat().st_mode) == 0o600
        (public,) = json.loads((keys / "keys.json").read_text())["keys"]
        assert public["kid"] == private.stem
        assert "d" not in public
        assert sorted(path.name for path in keys.iterdir()) == sorted([private.name, "keys.json"])

    def test_it_says_where_they_are_and_shows_neither(self, tmp_path: Path) -> None:
        result = ops("keys", "new", tmp_path)
        assert str(private_key_in(tmp_path)) in result.output
        assert str(tmp_path / "keys.json") in result.output
        assert "PRIVATE" not in result.output

    def test_another_key_joins_those_that_are_there(self, keys: Path) -> None:
        before = json.loads((keys / "keys.json").read_text())["keys"]
        assert ops("keys", "new", keys).exit_code == 0
        after = json.loads((keys / "keys.json").read_text())["keys"]
        assert after[:1] == before
        assert len(after) == len(list(keys.glob("*.pem"))) == 2
        for private in keys.glob("*.pem"):
            token = ops("tokens", "issue", "ann", "--key", private, "--role", "cdo").output.strip()
            assert Verifier.read(keys / "keys.json").verify(token).subject == "ann"

    @pytest.mark.parametrize("content", ["", "{}", "[]", '{"keys": 5}'])
    def test_a_file_of_keys_that_is_none_is_left_as_it_is(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "keys.json").write_text(content)
        assert "keys.json" in refused(ops("keys", "new", tmp_path))
        assert (tmp_path / "keys.json").read_text() == content


class TestTokens:
    def test_a_token_is_good_for_the_services(self, keys: Path) -> None:
        result = ops(
            "tokens", "issue", "lead@fife.example", "--key", private_key_in(keys), "--role", "proposer", "--role",
            "sponsor", "--council", "S12000047", "--hours", 2,
        )  # fmt: skip
        token = result.output.strip()
        caller = Verifier.read(keys / "keys.json").verify(token)
        assert (caller.subject, caller.council) == ("lead@fife.example", "S12000047")
        assert caller.roles == {"proposer", "sponsor"}
        claims = jwt.decode(token, options={"verify_signature": False})
        assert claims["exp"] - claims["iat"] == 2 * 3600
        assert abs(claims["iat"] - datetime.now(UTC).timestamp()) < 60

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            (["--role", "proposer"], "name it"),
            (["--role", "cdo", "--council", "Fife"], "GSS code"),
            (["--role", "emperor"], "emperor"),
            ([], "--role"),
            (["--role", "cdo", "--hours", "0"], "--hours"),
            (["--role", "cdo", "--hours", "9999"], "--hours"),
        ],
    )
    def test_a_token_that_nobody_would_accept_is_not_issued(self, keys: Path, options: list[str], says: str) -> None:
        assert says in refused(ops("tokens", "issue", "ann", "--key", private_key_in(keys), *options))

    @pytest.mark.parametrize("kind", ["absent", "empty", "public", "with_password"])
    def test_without_a_signing_key_there_is_no_token(self, keys: Path, kind: str) -> None:
        key: Any = Ed25519PrivateKey.generate()
        encryption = serialization.BestAvailableEncryption(b"password")
        content = {
            "absent": None,
            "empty": b"",
            "public": (keys / "keys.json").read_bytes(),
            "with_password": key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
            ),
        }[kind]
        path = keys / "other.pem"
        if content is not None:
            path.write_bytes(content)
        refused(ops("tokens", "issue", "ann", "--key", path, "--role", "cdo"))


class TestMigrate:
    def test_it_makes_the_tables_and_may_be_run_again(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path}/{{service}}.db"
        for _ in range(2):
            result = ops("migrate", "outcomes", COMMONWEAL_DATABASE_URL=url)
            assert (result.exit_code, result.output) == (0, "outcomes: migrated\n")
        database = Database(f"sqlite:///{tmp_path}/outcomes.db")
        assert {"inbox", "outbox", "idempotency_keys"} <= set(inspect(database.engine).get_table_names())
        database.close()

    @pytest.mark.parametrize(
        "url",
        ["sqlite:////no/such/directory/x.db", "postgresql+psycopg2://u:hunter2@127.0.0.1:1/x", "nonsense", "http://x"],
    )
    def test_a_database_that_cannot_be_reached_is_told_in_a_sentence(self, url: str) -> None:
        said = refused(ops("migrate", "outcomes", "--database-url", url))
        assert "outcomes" in said
        assert "hunter2" not in said

    def test_a_service_that_there_is_not_is_refused(self) -> None:
        assert "nonesuch" in refused(ops("migrate", "nonesuch", "--database-url", "sqlite://"))


class TestPrune:
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        """Databases with an event each that is published and one that is not, both three days old."""
        url = f"sqlite:///{tmp_path}/{{service}}.db"
        for service in ("funding", "outcomes"):
            assert ops("migrate", service, "--database-url", url).exit_code == 0
            database = Database(url.replace("{service}", service))
            with database.transaction() as session:
                for published_at in (datetime.now(UTC) - timedelta(days=3), None):
                    session.execute(
                        insert(outbox).values(
                            event_id=ids.new_id(), name="x", version=1, subject="a", sequence=1, data={},
                            recorded_at=datetime.now(UTC) - timedelta(days=3), published_at=published_at,
                        )
                    )  # fmt: skip
            database.close()
        return url

    def test_it_deletes_what_is_older_than_it_is_told_and_says_how_many(self, url: str) -> None:
        days = {"COMMONWEAL_DATABASE_URL": url, "COMMONWEAL_KEEP_OUTBOX_DAYS": "2"}
        assert ops("prune", "funding", COMMONWEAL_DATABASE_URL=url).output.startswith(
            "funding: deleted: published events 0,"
        )
        for _ in range(2):
            counted = ops("prune", "funding", "outcomes", "--dry-run", **days)
            assert counted.output.splitlines() == [
                f"{service}: would delete: published events 1, receipts 0, attempts 0, idempotency keys 0"
                for service in ("funding", "outcomes")
            ]
        pruned = ops("prune", "funding", **days)
        assert (pruned.exit_code, pruned.output) == (
            0, "funding: deleted: published events 1, receipts 0, attempts 0, idempotency keys 0\n"
        )  # fmt: skip
        again = ops("prune", "funding", "outcomes", **days)
        assert [line.split(",")[0][-1] for line in again.output.splitlines()] == ["0", "1"]

    def test_ages_that_make_no_sense_are_refused_as_the_services_refuse_them(self, url: str) -> None:
        said = refused(ops("prune", "funding", "--database-url", url, COMMONWEAL_KEEP_INBOX_DAYS="5"))
        assert "must not be smaller than COMMONWEAL_KEEP_OUTBOX_DAYS (30)" in said

    def test_a_database_that_lacks_migrations_is_left_alone(self, tmp_path: Path) -> None:
        said = refused(ops("prune", "funding", "--database-url", f"sqlite:///{tmp_path}/empty.db"))
        assert "commonweal-ops migrate funding" in said

    def test_a_database_that_cannot_be_reached_is_told_in_a_sentence(self) -> None:
        said = refused(ops("prune", "outcomes", "--database-url", "postgresql+psycopg2://u:hunter2@127.0.0.1:1/x"))
        assert "the database of outcomes could not be pruned" in said
        assert "hunter2" not in said

    @pytest.mark.parametrize("url", ["nonsense", "postgresql://u:hunter2@host/x", "mysql://u:hunter2@host/x"])
    def test_what_is_no_url_of_ours_is_refused_without_showing_it(self, url: str) -> None:
        ran = ops("prune", "outcomes", "--database-url", url)
        assert ran.exit_code == 2
        assert "it must look like postgresql+psycopg2://" in " ".join(ran.output.split())
        assert "hunter2" not in ran.output


class TestSecretsInFiles:
    def test_a_command_takes_its_secret_from_a_file_too(self, tmp_path: Path) -> None:
        path = tmp_path / "url"
        path.write_text(f"sqlite:///{tmp_path}/{{service}}.db\n")
        assert ops("migrate", "funding", COMMONWEAL_DATABASE_URL_FILE=str(path)).exit_code == 0

    def test_a_file_that_cannot_be_read_is_named(self, tmp_path: Path) -> None:
        said = ops("migrate", "funding", COMMONWEAL_DATABASE_URL_FILE=str(tmp_path / "none"))
        assert said.exit_code == 2
        assert f"COMMONWEAL_DATABASE_URL_FILE names {tmp_path}/none" in said.output

    def test_the_help_names_both_variables(self) -> None:
        shown = " ".join(ops("migrate", "--help").output.split())
        assert "[env: COMMONWEAL_DATABASE_URL or COMMONWEAL_DATABASE_URL_FILE]" in shown


class TestTopology:
    @pytest.fixture(autouse=True)
    def clean_broker(self) -> Iterator[None]:
        embedded.reset()
        yield
        embedded.reset()

    def test_it_declares_everything(self) -> None:
        result = ops("topology", "apply", COMMONWEAL_AMQP_URI=embedded.URI)
        assert result.exit_code == 0, result.output
        assert result.output.startswith("declared 5 exchanges, 24 queues, ")
        assert {queue_of(service) for service in SUBSCRIPTIONS} <= set(embedded.Channel.queues)

    def test_it_declares_the_delays_that_the_services_are_configured_with(self) -> None:
        """A service whose retry queues are missing cannot lay a failed event aside and tries it for ever."""
        ops("topology", "apply", COMMONWEAL_AMQP_URI=embedded.URI, COMMONWEAL_RETRY_DELAYS_MS="250,500")
        for service in SUBSCRIPTIONS:
            assert {retry_queue_of(service, 250), retry_queue_of(service, 500)} <= set(embedded.Channel.queues)

    def test_a_broker_that_does_not_answer_is_told_in_a_sentence(self) -> None:
        said = refused(ops("topology", "apply", "--amqp-uri", "amqp://user:hunter2@127.0.0.1:1/vhost"))
        assert "127.0.0.1:1/vhost" in said
        assert "hunter2" not in said
