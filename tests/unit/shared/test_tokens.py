"""Tokens: who signed them decides, and nothing else that they say about themselves."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import Unauthenticated
from shared.security import tokens
from shared.security.principal import (
    CDO,
    PROPOSER,
    ROLES,
    SPONSOR,
    SYSTEM,
    TREASURER,
    Principal,
    normal_subject,
    problem_of,
)
from shared.security.tokens import (
    ALGORITHM,
    AUDIENCE,
    CLOCK_SKEW_S,
    MAX_LIFETIME,
    MAX_TOKEN_LENGTH,
    SigningKey,
    Verifier,
)

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
    claims = {name: value for name, value in {**sound(), **changes}.items() if value is not ABSENT}
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
        {"exp": True}, {"exp": False}, {"exp": -1}, {"exp": float("nan")}, {"exp": 10**400}, {"exp": 1e15}, {"exp": {}},
        {"exp": True, "iat": False}, {"exp": 10**400, "iat": 1.5},
        {"iat": "now"}, {"iat": str(2**30)}, {"iat": True}, {"iat": -1}, {"iat": float("nan")}, {"iat": 1e400},
        {"iat": [1]}, {"iat": 0}, {"nbf": "now"}, {"nbf": True}, {"nbf": None}, {"nbf": -(10**400)}, {"nbf": [1]},
        {"jti": 5}, {"jti": ""}, {"jti": "x" * 65}, {"jti": "a b"}, {"jti": "a\u202eb"}, {"jti": ["a"]},
        {"roles": []}, {"roles": [CDO, CDO]}, {"roles": [[CDO], CDO]}, {"roles": [True]}, {"roles": [{"cdo": 1}]},
        {"roles": [SYSTEM, CDO], "sub": "finance"}, {"roles": [SYSTEM], "sub": "finance", "council": EDINBURGH},
        {"roles": [SYSTEM]}, {"roles": [SYSTEM], "sub": "Finance"},
        {"aud": [AUDIENCE]}, {"aud": [AUDIENCE, "elsewhere"]}, {"aud": {AUDIENCE: 1}}, {"aud": 5}, {"aud": True},
    ],
    ids=repr,
)  # fmt: skip
def test_a_claim_that_makes_no_sense_is_refused(verifier: Verifier, changes: dict[str, Any]) -> None:
    """Even signed: a faulty issuer must get a refusal and not an incident."""
    refused(verifier, signed(**changes))


#: Names that look like another's, or that a person could have in two ways.
UNFIT_SUBJECTS = [
    "Ann@test.example", "ANN", "ann@test.example ", " ann", "a nn", "a\tb", "a\nb", "a\x00b", "a\x7f", "a\u00a0b",
    "ann\u200b", "ann\u202e", "ann\u2066", "ann\ufeff", "ann\u00ad", "ann\u034f", "ann\ufe0f", "ann\u3164",
    "ann\U000e0041", "\u0430nn@test.example", "\uff41nn", "m\u00f2rag", "mo\u0300rag", "\u017fam", "\ud800", "a" * 129,
]  # fmt: skip


@pytest.mark.parametrize("subject", UNFIT_SUBJECTS, ids=ascii)
def test_a_name_has_one_form(verifier: Verifier, subject: str) -> None:
    """Else one person could be two, and approve what they asked for themselves."""
    refused(verifier, signed(sub=subject))


@given(st.one_of(st.text(max_size=140), st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1)))
def test_what_is_issued_is_accepted_and_nothing_else_is(subject: str) -> None:
    verifier = Verifier({"keys": [KEY.public_jwk()]})
    name = normal_subject(subject)
    if problem_of(name, [CDO], None) is None:
        assert verifier.verify(KEY.issue(subject, [CDO])).subject == name
        assert normal_subject(name) == name
    else:
        with pytest.raises(ValueError, match="a subject has"):
            KEY.issue(subject, [CDO])
        refused(verifier, signed(sub=subject))


def test_capitals_make_nobody_another_person(verifier: Verifier) -> None:
    one, other = (verifier.verify(KEY.issue(name, [CDO])) for name in (" Ann@Test.example", "ann@test.example"))
    assert one.subject == other.subject == "ann@test.example"


def test_an_internal_system_has_one_role_and_its_name(verifier: Verifier) -> None:
    assert verifier.verify(KEY.issue("finance", [SYSTEM])) == Principal("finance", frozenset({SYSTEM}))


TOKEN = KEY.issue("ann@test.example", [CDO])


@settings(max_examples=300)
@given(st.integers(0, len(TOKEN) - 1), st.characters())
def test_a_token_with_one_sign_changed_is_refused(place: int, sign: str) -> None:
    verifier = Verifier({"keys": [KEY.public_jwk()]})
    verifier.verify(TOKEN)
    if sign != TOKEN[place]:
        refused(verifier, TOKEN[:place] + sign + TOKEN[place + 1 :])
        refused(verifier, TOKEN[:place] + sign + TOKEN[place:])


@settings(max_examples=300)
@given(st.one_of(st.text(min_size=1), st.lists(st.from_regex(r"[A-Za-z0-9_-]{0,40}", fullmatch=True)).map(".".join)))
def test_nothing_but_a_refusal_comes_of_what_is_no_token(text: str) -> None:
    verifier = Verifier({"keys": [KEY.public_jwk()]})
    with pytest.raises(Unauthenticated):
        verifier.verify(text)


def test_a_token_is_refused_at_every_length_but_its_own(verifier: Verifier) -> None:
    for length in range(1, len(TOKEN)):
        refused(verifier, TOKEN[:length])
    verifier.verify(TOKEN)


@pytest.mark.parametrize(
    "wrap",
    [
        "{} ",
        " {}",
        "{}\n",
        "\n{}",
        "{}\r\n",
        "{}\t",
        "{}\x00",
        "{}=",
        "{}==",
        "{}.",
        ".{}",
        "Bearer {}",
        '"{}"',
        "{0}{0}",
    ],
    ids=repr,
)
def test_a_token_has_one_form(verifier: Verifier, wrap: str) -> None:
    verifier.verify(TOKEN)
    refused(verifier, wrap.format(TOKEN))


def test_only_the_compact_form_of_one_signature_is_taken(verifier: Verifier) -> None:
    protected, payload, signature = TOKEN.split(".")
    one = {"protected": protected, "signature": signature}
    for form in ({"payload": payload, **one}, {"payload": payload, "signatures": [one, one]}):
        refused(verifier, json.dumps(form))
        refused(verifier, json.dumps(form, separators=(",", ":")))


@pytest.mark.parametrize(
    "header",
    [
        {"crit": []}, {"crit": ["exp"]}, {"crit": ["x"], "x": 1}, {"crit": "b64"}, {"crit": [5]}, {"crit": None},
        {"crit": ["b64"], "b64": False}, {"b64": False}, {"alg": "ES256"}, {"alg": "HS256"}, {"alg": "none"},
        {"alg": "eddsa"}, {"alg": "Ed448"}, {"alg": ["EdDSA"]}, {"alg": None}, {"alg": {}}, {"alg": True},
        {"kid": 1e400}, {"kid": True}, {"kid": KEY.key_id.encode().hex()}, {"kid": [KEY.key_id]},
        {"kid": f"{KEY.key_id} "},
    ],
    ids="-".join,
)  # fmt: skip
def test_a_header_that_is_not_ours_is_refused_even_signed(verifier: Verifier, header: dict[str, Any]) -> None:
    refused(verifier, signed_raw({"alg": ALGORITHM, "typ": "JWT", "kid": KEY.key_id, **header}, sound()))


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c"])
def test_a_key_that_a_token_brings_along_is_not_looked_at(verifier: Verifier, name: str) -> None:
    thief = Ed25519PrivateKey.generate()
    brought = SigningKey(thief, KEY.key_id).public_jwk()
    value = {"jwk": brought, "jku": "http://127.0.0.1:1/keys.json", "x5u": "http://127.0.0.1:1/x", "x5c": ["AA=="]}[
        name
    ]
    for key_id in (KEY.key_id, "new"):
        refused(verifier, jwt.encode(sound(), thief, algorithm=ALGORITHM, headers={"kid": key_id, name: value}))
    # Whoever has the right key may write there what they like: it has no meaning here.
    assert verifier.verify(signed({name: value})).subject == "ann@test.example"


def test_a_key_of_another_kind_under_a_known_name_opens_nothing(verifier: Verifier) -> None:
    for key, algorithm in (
        (ed448.Ed448PrivateKey.generate(), "EdDSA"),
        (ec.generate_private_key(ec.SECP256R1()), "ES256"),
        (rsa.generate_private_key(65537, 2048), "RS256"),
        (rsa.generate_private_key(65537, 2048), "PS256"),
    ):
        refused(verifier, jwt.encode(sound(), key, algorithm=algorithm, headers={"kid": KEY.key_id}))


def test_of_a_claim_that_stands_twice_the_last_counts_and_nobody_can_add_one(verifier: Verifier) -> None:
    """RFC 7519, section 4."""
    claims = json.dumps(sound())
    twice = claims[:-1] + ', "sub": "bob@test.example"}'
    header = {"alg": ALGORITHM, "kid": KEY.key_id}
    assert verifier.verify(signed_raw(header, twice)).subject == "bob@test.example"
    whole = signed_raw(header, claims)
    part = base64.urlsafe_b64encode(twice.encode()).decode().rstrip("=")
    refused(verifier, ".".join([whole.split(".")[0], part, whole.split(".")[2]]))


@pytest.mark.parametrize("payload", ["[]", "5", "null", '"x"', "", "{", '{"a":' * 400 + "1" + "}" * 400, "\xff\xfe"])
def test_a_payload_that_is_no_object_is_refused_even_signed(verifier: Verifier, payload: str) -> None:
    refused(verifier, signed_raw({"alg": ALGORITHM, "kid": KEY.key_id}, payload))


def test_a_header_that_is_nested_or_huge_is_refused(verifier: Verifier) -> None:
    refused(verifier, f"{encoded_text('[' * 2000 + ']' * 2000)}.e30.AA")
    refused(verifier, signed_raw({"alg": ALGORITHM, "kid": KEY.key_id, "pad": "x" * 5000}, sound()))
    refused(verifier, f"{encoded_text('[' * 1_000_000)}.e30.AA")


class TestTimes:
    """To the second, on a clock that stands still."""

    @pytest.fixture(autouse=True)
    def at(self, monkeypatch: pytest.MonkeyPatch) -> int:
        at = int(now().timestamp())

        class Standing(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> datetime:
                return datetime.fromtimestamp(at, tz)

        monkeypatch.setattr(tokens, "datetime", Standing)
        monkeypatch.setattr(jwt.api_jwt, "datetime", Standing)
        return at

    def test_expiry(self, verifier: Verifier, at: int) -> None:
        verifier.verify(signed(iat=at - 100, exp=at - CLOCK_SKEW_S + 1))
        verifier.verify(signed(iat=at - 100, exp=at - CLOCK_SKEW_S + 0.5))
        refused(verifier, signed(iat=at - 100, exp=at - CLOCK_SKEW_S), "token_expired")
        refused(verifier, signed(iat=at - 100, exp=at - CLOCK_SKEW_S - 0.5), "token_expired")

    @pytest.mark.parametrize("claim", ["iat", "nbf"])
    def test_a_beginning(self, verifier: Verifier, at: int, claim: str) -> None:
        verifier.verify(signed(**{"iat": at, claim: at + CLOCK_SKEW_S}))
        refused(verifier, signed(**{"iat": at, claim: at + CLOCK_SKEW_S + 1}))

    def test_a_life_is_bounded(self, verifier: Verifier, at: int) -> None:
        longest = int(MAX_LIFETIME.total_seconds())
        verifier.verify(signed(iat=at, exp=at + longest))
        refused(verifier, signed(iat=at, exp=at + longest + 1))
        refused(verifier, signed(iat=at, exp=at))
        refused(verifier, signed(iat=at, exp=at - 1))


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "elsewhere"}, {"aud": ABSENT}, {"roles": ["emperor"]}, {"sub": "Ann"}, {"jti": ABSENT}, {"sub": 5},
        {"council": "Fife"}, {"nbf": 2**33},
    ],
    ids="-".join,
)  # fmt: skip
def test_only_a_token_that_was_good_here_is_said_to_have_expired(verifier: Verifier, changes: dict[str, Any]) -> None:
    old = {"iat": now() - 3 * HOUR, "exp": now() - HOUR}
    refused(verifier, signed(**old), "token_expired")
    refused(verifier, signed(**{**old, **changes}))
    header, payload, _ = signed(**old).split(".")
    refused(verifier, f"{header}.{payload}.{signed().split('.')[2]}")


def test_a_deployment_has_an_audience_of_its_own() -> None:
    jwks = {"keys": [KEY.public_jwk()]}
    live, test = Verifier(jwks), Verifier(jwks, audience="commonweal-test")
    of_live, of_test = KEY.issue("a", [CDO]), KEY.issue("a", [CDO], audience="commonweal-test")
    assert live.verify(of_live) == test.verify(of_test)
    refused(live, of_test)
    refused(test, of_live)
    with pytest.raises(ValueError, match="audience"):
        KEY.issue("a", [CDO], audience="Live Deployment")


def test_a_token_may_begin_later(verifier: Verifier) -> None:
    token = KEY.issue("a", [CDO], not_before=now() + HOUR, lifetime=HOUR)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["exp"] - claims["nbf"] == HOUR.total_seconds()
    refused(verifier, token)
    for lifetime in (timedelta(0), -HOUR, MAX_LIFETIME):
        with pytest.raises(ValueError, match="expires"):
            KEY.issue("a", [CDO], not_before=now() + HOUR, lifetime=lifetime)


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


def test_what_is_used_stays_remembered(verifier: Verifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MAX_REMEMBERED_TOKENS", 3)
    used = KEY.issue("used", [CDO])
    for number in range(9):
        verifier.verify(used)
        verifier.verify(KEY.issue(f"caller-{number}", [CDO]))
    checked: list[str] = []
    monkeypatch.setattr(verifier, "check", lambda token: checked.append(token))
    assert verifier.verify(used).subject == "used"
    assert checked == []


def test_what_is_remembered_is_of_no_use_to_who_sees_it(verifier: Verifier) -> None:
    verifier.verify(TOKEN)
    shown = f"{verifier!r} {verifier} {vars(verifier)!r}"
    for part in (TOKEN, *TOKEN.split(".")):
        assert part not in shown


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
    return encoded_text(json.dumps(value))


def encoded_text(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode("latin-1")).decode().rstrip("=")


def sound() -> dict[str, Any]:
    """Claims that would be accepted."""
    at = int(now().timestamp())
    return {"sub": "ann@test.example", "roles": [CDO], "aud": AUDIENCE, "iat": at, "exp": at + 3600, "jti": "1"}


def signed_raw(header: dict[str, Any], claims: dict[str, Any] | str) -> str:
    """A token signed with the right key whose header no library would write."""
    text = f"{encoded(header)}.{encoded_text(claims if isinstance(claims, str) else json.dumps(claims))}"
    signature = PRIVATE.sign(text.encode())  # type: ignore[union-attr,call-arg]
    return f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


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
