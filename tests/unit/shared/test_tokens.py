"""Tokens: who signed them decides, and nothing else that they say about themselves."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.errors import Unauthenticated
from shared.security import tokens
from shared.security.principal import CDO, PROPOSER, ROLES, SPONSOR, TREASURER, Principal
from shared.security.tokens import ALGORITHM, AUDIENCE, CLOCK_SKEW_S, MAX_TOKEN_LENGTH, SigningKey, Verifier

EDINBURGH = "S12000036"
HOUR = timedelta(hours=1)

KEY = SigningKey.new()
PRIVATE = serialization.load_pem_private_key(KEY.private_pem(), password=None)
ABSENT = object()


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def verifier() -> Verifier:
    return Verifier({"keys": [KEY.public_jwk()]})


def signed(headers: dict[str, Any] | None = None, **changes: Any) -> str:
    """A token signed with the right key that says whatever a test wants."""
    claims = {
        "sub": "ann@test.example", "roles": [CDO], "aud": AUDIENCE, "iat": now(), "exp": now() + HOUR, "jti": "1",
    }  # fmt: skip
    claims = {name: value for name, value in {**claims, **changes}.items() if value is not ABSENT}
    return jwt.encode(claims, PRIVATE, algorithm=ALGORITHM, headers={"kid": KEY.key_id, **(headers or {})})  # type: ignore[arg-type]


def refused(verifier: Verifier, token: object, code: str = "token_not_accepted") -> None:
    with pytest.raises(Unauthenticated) as refusal:
        verifier.verify(token)
    assert refusal.value.code == code


def test_a_token_names_its_caller(verifier: Verifier) -> None:
    token = KEY.issue("ann@test.example", [PROPOSER, SPONSOR, PROPOSER], council=EDINBURGH)
    expected = Principal("ann@test.example", frozenset({PROPOSER, SPONSOR}), EDINBURGH)
    assert verifier.verify(token) == expected
    assert verifier.verify(token) == expected
    assert verifier.verify(KEY.issue("cdo", [CDO])) == Principal("cdo", frozenset({CDO}))


@pytest.mark.parametrize("token", [None, "", 5, b"bytes", {"a": 1}, []])
def test_without_a_token_the_caller_is_told_to_send_one(verifier: Verifier, token: object) -> None:
    refused(verifier, token, "no_token")


def test_an_expired_token_says_so(verifier: Verifier) -> None:
    refused(verifier, KEY.issue("a", [CDO], lifetime=HOUR, now=now() - 2 * HOUR), "token_expired")


def test_clocks_may_differ_a_little(verifier: Verifier) -> None:
    skew = timedelta(seconds=CLOCK_SKEW_S)
    verifier.verify(KEY.issue("a", [CDO], lifetime=HOUR, now=now() - HOUR - skew / 2))
    verifier.verify(KEY.issue("a", [CDO], now=now() + skew / 2))


def test_a_token_of_the_future_is_not_good_yet(verifier: Verifier) -> None:
    refused(verifier, KEY.issue("a", [CDO], now=now() + HOUR))
    refused(verifier, signed(nbf=now() + HOUR))


@pytest.mark.parametrize("audience", ["elsewhere", "", ["elsewhere"], ABSENT])
def test_a_token_for_somebody_else_is_refused(verifier: Verifier, audience: Any) -> None:
    refused(verifier, signed(aud=audience))


def test_a_token_of_another_key_is_refused_whatever_name_it_gives_itself(verifier: Verifier) -> None:
    refused(verifier, SigningKey.new().issue("a", [CDO]))
    refused(verifier, SigningKey(Ed25519PrivateKey.generate(), KEY.key_id).issue("a", [CDO]))


@pytest.mark.parametrize("kid", ["unknown", "", "../keys.json", 5, None, ["a"], {"a": 1}])
def test_a_key_that_nobody_knows_opens_nothing(verifier: Verifier, kid: Any) -> None:
    header, payload, signature = signed().split(".")
    header = encoded({"alg": ALGORITHM, "typ": "JWT", "kid": kid})
    refused(verifier, f"{header}.{payload}.{signature}")


def test_a_token_without_the_name_of_its_key_is_refused(verifier: Verifier) -> None:
    refused(verifier, jwt.encode({"sub": "a"}, PRIVATE, algorithm=ALGORITHM))  # type: ignore[arg-type]


@pytest.mark.parametrize("alg", ["none", "None", "NONE", ""])
def test_a_token_without_a_signature_is_refused(verifier: Verifier, alg: str) -> None:
    _, payload, _ = signed().split(".")
    header = encoded({"alg": alg, "typ": "JWT", "kid": KEY.key_id})
    refused(verifier, f"{header}.{payload}.")


@pytest.mark.parametrize("form", ["raw", "pem", "jwk"])
def test_the_public_key_is_no_secret_to_sign_with(verifier: Verifier, form: str) -> None:
    public = PRIVATE.public_key()
    secret = {
        "raw": public.public_bytes_raw(),  # type: ignore[union-attr]
        "pem": public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        "jwk": KEY.public_jwk()["x"].encode(),
    }[form]
    payload = signed().split(".")[1]
    header = encoded({"alg": "HS256", "typ": "JWT", "kid": KEY.key_id})
    mac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(f"{header}.{payload}".encode(), secret)
    refused(verifier, f"{header}.{payload}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}")


def test_a_token_of_another_algorithm_is_refused(verifier: Verifier) -> None:
    key = rsa.generate_private_key(65537, 2048)
    refused(verifier, jwt.encode({"sub": "a"}, key, algorithm="RS256", headers={"kid": KEY.key_id}))


def test_every_change_to_a_token_is_seen(verifier: Verifier) -> None:
    token = signed()
    header, payload, signature = token.split(".")
    richer = encoded({**json.loads(decoded(payload)), "roles": sorted(ROLES), "council": EDINBURGH})
    for wrong in (
        f"{header}.{richer}.{signature}",
        f"{header}.{payload}",
        f"{header}.{payload}.",
        f"{header}..{signature}",
        f"{header}.{payload}.{signature[:-4]}",
        f"{header}.{payload}.{signature}.{signature}",
        token[:-10],
        token[: len(token) // 2],
        "a.b.c",
        "..",
        ".",
        "\ud800.\ud800.\ud800",
        "é.é.é",
        token + "\x00",
    ):
        refused(verifier, wrong)


def test_a_token_that_is_too_long_is_refused_unread(verifier: Verifier) -> None:
    token = signed(padding="x" * MAX_TOKEN_LENGTH)
    assert len(token) > MAX_TOKEN_LENGTH
    refused(verifier, token)
    refused(verifier, "x" * 10_000_000)


@pytest.mark.parametrize("claim", ["sub", "exp", "iat", "jti", "roles"])
def test_every_claim_is_needed(verifier: Verifier, claim: str) -> None:
    refused(verifier, signed(**{claim: ABSENT}))


@pytest.mark.parametrize(
    "changes",
    [
        {"sub": 5}, {"sub": ["a"]}, {"sub": None}, {"sub": ""},
        {"roles": "cdo"}, {"roles": {"cdo": True}}, {"roles": None}, {"roles": ["emperor"]}, {"roles": [["cdo"]]},
        {"roles": [CDO, 5]}, {"roles": [CDO, None]},
        {"roles": [PROPOSER]}, {"roles": [CDO, SPONSOR]}, {"roles": [PROPOSER], "council": ""},
        {"council": "S12000099"}, {"council": 5}, {"council": [EDINBURGH]}, {"council": {"a": 1}},
        {"exp": "soon"}, {"exp": None}, {"exp": [1]}, {"exp": 1e400}, {"exp": str(2**33)},
        {"iat": "now"}, {"jti": 5},
    ],
    ids=repr,
)  # fmt: skip
def test_a_claim_that_makes_no_sense_is_refused(verifier: Verifier, changes: dict[str, Any]) -> None:
    """Even signed: a faulty issuer must get a refusal and not an incident."""
    refused(verifier, signed(**changes))


def test_several_keys_are_good_at_once_and_a_retired_one_no_more() -> None:
    old, new = SigningKey.new(), SigningKey.new()
    of_old, of_new = old.issue("a", [CDO]), new.issue("a", [CDO])
    both = Verifier({"keys": [old.public_jwk(), new.public_jwk()]})
    assert both.verify(of_old) == both.verify(of_new)
    only_new = Verifier({"keys": [new.public_jwk()]})
    only_new.verify(of_new)
    refused(only_new, of_old)


def test_a_remembered_token_stops_working_when_it_expires(verifier: Verifier, monkeypatch: pytest.MonkeyPatch) -> None:
    token = KEY.issue("a", [CDO], lifetime=HOUR)
    assert verifier.verify(token) == verifier.verify(token)
    later(monkeypatch, HOUR + timedelta(seconds=CLOCK_SKEW_S - 5))
    assert verifier.verify(token).subject == "a"
    later(monkeypatch, HOUR + timedelta(seconds=CLOCK_SKEW_S + 5))
    refused(verifier, token, "token_expired")
    refused(verifier, token, "token_expired")


def test_what_is_remembered_is_bounded(verifier: Verifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MAX_REMEMBERED_TOKENS", 5)
    for number in range(17):
        verifier.verify(KEY.issue(f"caller-{number}", [CDO]))
        assert len(verifier._remembered) <= 5


def test_a_refused_token_is_not_remembered(verifier: Verifier) -> None:
    refused(verifier, SigningKey.new().issue("a", [CDO]))
    refused(verifier, signed(roles=[PROPOSER]))
    assert not verifier._remembered


def test_the_cache_keeps_callers_apart(verifier: Verifier) -> None:
    one, other = KEY.issue("one", [TREASURER]), KEY.issue("other", [CDO])
    for _ in range(2):
        assert verifier.verify(one).subject == "one"
        assert verifier.verify(other).subject == "other"


@pytest.mark.parametrize(
    ("roles", "council"), [([], None), (["emperor"], None), ([PROPOSER], None), ([CDO], "S12000099"), ([CDO], "Fife")]
)
def test_only_tokens_that_would_be_accepted_are_issued(roles: list[str], council: str | None) -> None:
    with pytest.raises(ValueError, match=r"roles|GSS code"):
        KEY.issue("a", roles, council=council)


def test_a_key_shows_no_secret() -> None:
    shown = f"{KEY!r} {KEY} {vars(KEY)}"
    secret = PRIVATE.private_bytes_raw()  # type: ignore[union-attr]
    for form in (secret.hex(), base64.b64encode(secret).decode()[:20], base64.urlsafe_b64encode(secret).decode()[:20]):
        assert form not in shown
    assert "d" not in KEY.public_jwk()


def test_keys_go_through_files(tmp_path: Path) -> None:
    private, public = tmp_path / f"{KEY.key_id}.pem", tmp_path / "keys.json"
    private.write_bytes(KEY.private_pem())
    public.write_text(json.dumps({"keys": [KEY.public_jwk()]}))
    token = SigningKey.read(private).issue("a", [CDO])
    assert Verifier.read(public).verify(token).subject == "a"


def test_keys_have_names_of_their_own() -> None:
    assert len({SigningKey.new().key_id for _ in range(50)}) == 50


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"keys": []}', '{"keys": 5}', '{"keys": [{}]}', "\xff"])
def test_a_file_without_keys_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "keys.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=r".+"):
        Verifier.read(tmp_path / "keys.json")


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"keys\.json"):
        Verifier.read(tmp_path / "keys.json")


def pem_of_another_kind() -> bytes:
    return rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def pem_with_a_password() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )


@pytest.mark.parametrize("content", [b"", b"not a key", pem_of_another_kind(), pem_with_a_password()], ids=range(4))
def test_a_file_without_a_signing_key_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key.pem").write_bytes(content)
    with pytest.raises(ValueError, match=r".+"):
        SigningKey.read(tmp_path / "key.pem")


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def later(monkeypatch: pytest.MonkeyPatch, by: timedelta) -> None:
    """Make it later, for the verifier and for the library that it checks with."""
    present = datetime.now(UTC)

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return (present + by).astimezone(tz)

    monkeypatch.setattr(tokens, "datetime", Later)
    monkeypatch.setattr(jwt.api_jwt, "datetime", Later)
