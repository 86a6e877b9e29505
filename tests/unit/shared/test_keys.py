"""The file of public keys: read strictly, and followed by who checks tokens without a restart."""

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448
from jwt.algorithms import ECAlgorithm, OKPAlgorithm

from shared.errors import Unauthenticated
from shared.security import keys, tokens
from shared.security.keys import PublicKey
from shared.security.principal import CDO
from shared.security.tokens import SigningKey, Verifier

OLD, NEW = SigningKey.new(), SigningKey.new()
OLD_JWK, NEW_JWK = OLD.public_jwk(), NEW.public_jwk()
SECRET = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"


def test_the_fingerprint_is_that_of_rfc_7638() -> None:
    """The key and its thumbprint of RFC 8037, appendix A.3."""
    key = PublicKey.of(
        {"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "more": 1}
    )
    assert key.thumbprint == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def other_curve() -> dict[str, Any]:
    return dict(OKPAlgorithm.to_jwk(ed448.Ed448PrivateKey.generate().public_key(), as_dict=True))


def other_kind() -> dict[str, Any]:
    return dict(ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key(), as_dict=True))


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ([OLD_JWK, 5], "key 2 of 2: it is not a JSON object"),
        ([{**OLD_JWK, "kid": None}], "no kid"),
        ([{**OLD_JWK, "kid": "../../etc/passwd"}], "no kid"),
        ([{**OLD_JWK, "kid": "a\x1b[2Jb"}], "no kid"),
        ([OLD_JWK, OLD_JWK], "stands there twice"),
        ([{**OLD_JWK, "d": SECRET}], "is a private key"),
        ([{**OLD_JWK, "alg": "HS256"}], "not for signatures by EdDSA"),
        ([{**OLD_JWK, "use": "enc"}], "not for signatures"),
        ([{**OLD_JWK, "x": "AAAA"}], "not an Ed25519 public key"),
        ([{**OLD_JWK, "x": 5}], "not an Ed25519 public key"),
        ([{**OLD_JWK, "x": "é"}], "not an Ed25519 public key"),
        ([{**OLD_JWK, "x": None}], "not an Ed25519 public key"),
        ([{"kid": "a", "kty": "oct", "k": SECRET}], "not an Ed25519 public key"),
        ([{**other_curve(), "kid": "a", "alg": "EdDSA"}], "not an Ed25519 public key"),
        ([{**other_kind(), "kid": "a"}], "not an Ed25519 public key"),
    ],
    ids=range(15),
)
def test_an_entry_that_is_no_public_key_is_named_and_not_shown(entries: list[Any], says: str) -> None:
    with pytest.raises(ValueError, match=r"^key \d of \d: ") as refusal:
        Verifier({"keys": entries})
    assert says in str(refusal.value)
    assert SECRET not in str(refusal.value)


def test_a_huge_or_deep_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text("[" * 60_000)
    with pytest.raises(ValueError, match=r"JSON|nested"):
        Verifier.read(path)
    path.write_bytes(b" " * (keys.MAX_FILE_BYTES + 1))
    with pytest.raises(ValueError, match="65,536 bytes"):
        Verifier.read(path)


class Clock:
    """A clock of seconds that run only when a test says so."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s

    def later(self) -> None:
        self.now_s += tokens.KEYS_LOOK_INTERVAL_S


class TestFollowing:
    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> Clock:
        clock = Clock()
        monkeypatch.setattr(tokens, "time", clock)
        return clock

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "keys.json"
        self.write(path, OLD_JWK)
        return path

    @pytest.fixture
    def verifier(self, clock: Clock, path: Path) -> Verifier:
        return Verifier.read(path)

    @pytest.fixture(autouse=True)
    def log(self, caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
        with caplog.at_level(logging.INFO, "shared.security.tokens"):
            yield caplog

    @staticmethod
    def write(path: Path, *entries: dict[str, Any]) -> None:
        path.write_text(json.dumps({"keys": entries}))

    @staticmethod
    def accepts(verifier: Verifier, token: str) -> bool:
        try:
            verifier.verify(token)
        except Unauthenticated as refusal:
            if refusal.code != "token_not_accepted":
                raise
            return False
        return True

    def test_a_key_that_is_added_is_accepted_without_a_restart(
        self, verifier: Verifier, clock: Clock, path: Path, log: pytest.LogCaptureFixture
    ) -> None:
        token = NEW.issue("a", [CDO])
        assert not self.accepts(verifier, token)
        self.write(path, OLD_JWK, NEW_JWK)
        assert not self.accepts(verifier, token)  # It looks once a second at most.
        clock.later()
        assert self.accepts(verifier, token)
        assert self.accepts(verifier, OLD.issue("a", [CDO]))
        assert f"{OLD.key_id}, {NEW.key_id}" in log.text

    def test_what_is_remembered_does_not_outlive_its_key(self, verifier: Verifier, clock: Clock, path: Path) -> None:
        self.write(path, OLD_JWK, NEW_JWK)
        clock.later()
        of_old, of_new = OLD.issue("a", [CDO]), NEW.issue("a", [CDO])
        assert self.accepts(verifier, of_old)
        assert self.accepts(verifier, of_new)
        self.write(path, NEW_JWK)
        clock.later()
        assert not self.accepts(verifier, of_old)
        assert self.accepts(verifier, of_new)
        assert len(verifier._remembered) == 1

    def test_another_key_under_the_same_name_is_another_key(self, verifier: Verifier, clock: Clock, path: Path) -> None:
        token = OLD.issue("a", [CDO])
        assert self.accepts(verifier, token)
        self.write(path, {**NEW_JWK, "kid": OLD.key_id})
        clock.later()
        assert not self.accepts(verifier, token)

    def test_a_change_of_the_same_length_and_date_is_seen(self, verifier: Verifier, clock: Clock, path: Path) -> None:
        before = path.stat()
        self.write(path, NEW_JWK)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert path.stat().st_size == before.st_size
        clock.later()
        assert self.accepts(verifier, NEW.issue("a", [CDO]))

    def test_a_file_that_is_replaced_is_followed(self, verifier: Verifier, clock: Clock, path: Path) -> None:
        replacement = path.with_suffix(".new")
        self.write(replacement, NEW_JWK)
        os.replace(replacement, path)
        clock.later()
        assert self.accepts(verifier, NEW.issue("a", [CDO]))
        assert not self.accepts(verifier, OLD.issue("a", [CDO]))

    def test_a_directory_whose_link_is_swapped_is_followed(self, clock: Clock, tmp_path: Path) -> None:
        """As Kubernetes changes the files of a secret or a configuration."""
        for name, jwk in (("v1", OLD_JWK), ("v2", NEW_JWK)):
            (tmp_path / name).mkdir()
            self.write(tmp_path / name / "keys.json", jwk)
        (tmp_path / "data").symlink_to("v1")
        (tmp_path / "keys.json").symlink_to("data/keys.json")
        verifier = Verifier.read(tmp_path / "keys.json")
        assert self.accepts(verifier, OLD.issue("a", [CDO]))
        (tmp_path / "swap").symlink_to("v2")
        os.replace(tmp_path / "swap", tmp_path / "data")
        clock.later()
        assert self.accepts(verifier, NEW.issue("a", [CDO]))
        assert not self.accepts(verifier, OLD.issue("a", [CDO]))

    @pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"keys": [5]}', b"\xff", b" " * 70_000])
    def test_a_file_that_cannot_be_used_changes_nothing_and_is_told_once(
        self, verifier: Verifier, clock: Clock, path: Path, log: pytest.LogCaptureFixture, content: bytes | None
    ) -> None:
        remembered, fresh, of_new = OLD.issue("a", [CDO]), OLD.issue("b", [CDO]), NEW.issue("a", [CDO])
        assert self.accepts(verifier, remembered)
        path.unlink() if content is None else path.write_bytes(content)
        for _ in range(3):
            clock.later()
            assert self.accepts(verifier, remembered)
            assert self.accepts(verifier, fresh)
            assert not self.accepts(verifier, of_new)
        (said,) = [record for record in log.records if record.levelno == logging.ERROR]
        assert str(path) in said.getMessage()
        assert "stay in force until the file is put right" in said.getMessage()
        self.write(path, NEW_JWK)
        clock.later()
        assert self.accepts(verifier, of_new)
        assert not self.accepts(verifier, remembered)
        assert log.records[-1].getMessage().endswith(NEW.key_id)

    def test_that_the_same_file_is_back_is_told_too(
        self, verifier: Verifier, clock: Clock, path: Path, log: pytest.LogCaptureFixture
    ) -> None:
        content = path.read_bytes()
        for present in (b"{", content, b"{", content):
            path.write_bytes(present)
            clock.later()
            assert self.accepts(verifier, OLD.issue("a", [CDO]))
        assert [record.levelname for record in log.records] == ["ERROR", "INFO", "ERROR", "INFO"]

    def test_a_file_without_keys_leaves_none_in_force(
        self, verifier: Verifier, clock: Clock, path: Path, log: pytest.LogCaptureFixture
    ) -> None:
        """It is what retiring the last key leaves: a leaked key must not stay good until a restart."""
        token = OLD.issue("a", [CDO])
        assert self.accepts(verifier, token)
        self.write(path)
        clock.later()
        assert not self.accepts(verifier, token)
        assert "keys new" in log.text
        self.write(path, NEW_JWK)
        clock.later()
        assert self.accepts(verifier, NEW.issue("a", [CDO]))

    def test_it_looks_no_more_than_once_a_second(
        self, verifier: Verifier, clock: Clock, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looks: list[Path] = []
        read = keys.content_of

        def counted(path: Path) -> bytes:
            looks.append(path)
            return read(path)

        monkeypatch.setattr(keys, "content_of", counted)
        token = OLD.issue("a", [CDO])
        for expected in (0, 1, 2):
            for _ in range(50):
                assert self.accepts(verifier, token)
                assert not self.accepts(verifier, "a.b.c")
            assert len(looks) == expected
            clock.later()

    def test_nothing_that_is_said_holds_a_token(
        self, verifier: Verifier, clock: Clock, path: Path, log: pytest.LogCaptureFixture
    ) -> None:
        token, other = OLD.issue("a", [CDO]), NEW.issue("a", [CDO])
        path.write_text(token)
        clock.later()
        verifier.verify(token)
        with pytest.raises(Unauthenticated) as refusal:
            verifier.verify(other)
        said = f"{log.text} {refusal.value!r} {refusal.value} {refusal.value.as_dict()} {verifier!r}"
        for secret in (*token.split("."), *other.split(".")):
            assert secret not in said
