"""Tokens and a running service, on RabbitMQ and PostgreSQL: what is refused, and keys that come and go meanwhile."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import func, select

from commonweal import Unauthenticated
from services.funding.models import Pool
from shared.audit.tables import audit
from shared.messaging.tables import outbox
from shared.ops.cli import main
from shared.security.principal import TREASURER
from shared.security.tokens import KEYS_LOOK_INTERVAL_S, SigningKey
from tests.support.stage import Stage, eventually, fresh_stage

AUDIENCE = "commonweal-test"
POOL = {"name": "A pool", "starts_on": "2026-04-01", "ends_on": "2029-03-31"}
HOUR = timedelta(hours=1)


@dataclass
class Scene:
    """A running funding service, and the directory of keys that it follows."""

    stage: Stage
    keys: Path

    def token(self, key: SigningKey | None = None, **options: Any) -> str:
        options = {"audience": AUDIENCE, **options}
        return (key or self.stage.signing_key).issue("treasurer@test.example", [TREASURER], **options)

    def call(self, token: str) -> Any:
        """Make a pool through the client that councils use."""
        return self.stage.caller(TREASURER).acting(token).funding.create_pool(**POOL)

    def refusal(self, token: str) -> Unauthenticated:
        """The refusal of a token, after which nothing is done and a row of the audit trail says so."""
        before = self.counts()
        with pytest.raises(Unauthenticated) as refused:
            self.call(token)
        pools, events, rows = self.counts()
        assert (pools, events, rows) == (before[0], before[1], before[2] + 1)
        with self.stage.database("funding").transaction() as session:
            row = session.execute(select(audit).order_by(audit.c.position.desc()).limit(1)).mappings().one()
        assert (row["method"], row["error"], row["outcome"]) == ("create_pool", "Unauthenticated", refused.value.code)
        assert (row["subject"], row["council"], row["token_id"], row["roles"]) == (None, None, None, [])
        return refused.value

    def counts(self) -> tuple[int, ...]:
        """How many pools, events and audit rows there are."""
        with self.stage.database("funding").transaction() as session:
            return tuple(
                session.scalar(select(func.count()).select_from(table)) or 0 for table in (Pool, outbox, audit)
            )

    def ops(self, *words: object) -> str:
        result = CliRunner().invoke(main, [str(word) for word in words])
        assert result.exit_code == 0, result.output
        return result.output

    def new_key(self) -> SigningKey:
        before = set(self.keys.glob("*.pem"))
        self.ops("keys", "new", self.keys)
        (path,) = set(self.keys.glob("*.pem")) - before
        return SigningKey.read(path)

    def is_accepted(self, token: str) -> bool:
        try:
            self.call(token)
        except Unauthenticated:
            return False
        return True


@pytest.fixture(scope="module")
def scene(servers, tmp_path_factory) -> Iterator[Scene]:
    directory, environment = tmp_path_factory.mktemp("stage"), {"COMMONWEAL_TOKEN_AUDIENCE": AUDIENCE}
    with fresh_stage(servers, directory, services=("funding",), extra_environment=environment) as stage:
        yield Scene(stage, directory)


def unsigned(token: str) -> str:
    header = jwt.utils.base64url_encode(json.dumps({"alg": "none", "typ": "JWT"}).encode()).decode()
    return f"{header}.{token.split('.')[1]}."


def signed_by_the_public_key(scene: Scene) -> str:
    claims = jwt.decode(scene.token(), options={"verify_signature": False})
    public = scene.stage.signing_key.public_jwk()
    return jwt.encode(claims, public["x"], algorithm="HS256", headers={"kid": public["kid"]})


ATTACKS: dict[str, Callable[[Scene], str]] = {
    "not yet valid": lambda scene: scene.token(not_before=datetime.now(UTC) + HOUR),
    "issued in the future": lambda scene: scene.token(now=datetime.now(UTC) + HOUR),
    "for another deployment": lambda scene: scene.token(audience="commonweal"),
    "expired, for another deployment": lambda scene: scene.token(
        audience="commonweal", now=datetime.now(UTC) - 2 * HOUR, lifetime=HOUR
    ),
    "of another key": lambda scene: scene.token(SigningKey.new()),
    "of another key under a known name": lambda scene: scene.token(
        SigningKey(Ed25519PrivateKey.generate(), scene.stage.signing_key.key_id)
    ),
    "without a signature": lambda scene: unsigned(scene.token()),
    "signed by the public key": signed_by_the_public_key,
    "truncated": lambda scene: scene.token()[:-1],
    "truncated after the payload": lambda scene: scene.token().rpartition(".")[0],
    "with padding": lambda scene: f"{scene.token()}==",
    "too long": lambda scene: scene.token() + "A" * 5_000,
    "with signs that no token has": lambda scene: f"{scene.token()}\u202e\u00e9",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_token_that_is_not_right_does_nothing_and_learns_nothing(scene: Scene, attack: str) -> None:
    refusal = scene.refusal(ATTACKS[attack](scene))
    assert (refusal.code, refusal.fields) == ("token_not_accepted", {})
    assert str(refusal) == "This token is not accepted here; get a new one."
    pools, events, rows = scene.counts()
    assert scene.call(scene.token())["pool_id"]
    assert scene.counts() == (pools + 1, events + 1, rows + 1)


def test_an_expired_token_does_nothing_and_says_that_it_has(scene: Scene) -> None:
    refusal = scene.refusal(scene.token(now=datetime.now(UTC) - 2 * HOUR, lifetime=HOUR))
    assert refusal.code == "token_expired"
    assert scene.call(scene.token())["pool_id"]


def test_keys_are_rotated_while_the_service_runs(scene: Scene) -> None:
    """The steps of docs/runbooks/keys.md: a new key beside the old one, then the old one goes."""
    old = scene.new_key()
    of_old = scene.token(old)
    eventually(lambda: scene.is_accepted(of_old), within_s=10 * KEYS_LOOK_INTERVAL_S)
    new = scene.new_key()
    of_new = scene.token(new)
    eventually(lambda: scene.is_accepted(of_new), within_s=10 * KEYS_LOOK_INTERVAL_S)
    # Both are good, and both remembered.
    assert scene.call(of_old)["pool_id"]
    assert scene.call(of_new)["pool_id"]
    scene.ops("keys", "retire", scene.keys, old.key_id)
    eventually(lambda: not scene.is_accepted(of_old), within_s=10 * KEYS_LOOK_INTERVAL_S)
    assert scene.refusal(of_old).code == "token_not_accepted"
    assert scene.refusal(scene.token(old)).code == "token_not_accepted"
    assert scene.call(of_new)["pool_id"]
    assert scene.call(scene.token())["pool_id"]
    assert scene.stage.processes["funding"].is_running


def test_keys_that_cannot_be_read_change_nothing_and_are_told_once(scene: Scene) -> None:
    path, service = scene.keys / "keys.json", scene.stage.processes["funding"]
    content, token, added = path.read_bytes(), scene.token(), scene.new_key()
    eventually(lambda: scene.is_accepted(scene.token(added)), within_s=10 * KEYS_LOOK_INTERVAL_S)
    both = path.read_bytes()
    path.write_text('{"keys": [{"kid": "half a fi')
    try:
        eventually(lambda: scene.is_accepted(token) and "stay in force until" in service.output())
        assert scene.is_accepted(scene.token())
    finally:
        path.write_bytes(content)
    # That the key of a moment ago is refused shows that the file was read again, and so how often it complained.
    eventually(lambda: not scene.is_accepted(scene.token(added)), within_s=10 * KEYS_LOOK_INTERVAL_S)
    assert scene.is_accepted(token)
    assert service.output().count("stay in force until") == 1
    path.write_bytes(both)


def test_the_service_says_nothing_of_tokens(scene: Scene) -> None:
    tokens = [scene.token(), scene.token(SigningKey.new())]
    scene.call(tokens[0])
    scene.refusal(tokens[1])
    output = scene.stage.processes["funding"].output()
    assert "is ready" in output
    for token in tokens:
        for part in token.split(".")[1:]:
            assert part not in output
