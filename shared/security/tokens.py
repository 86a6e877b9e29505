"""Signed tokens (PyJWT, EdDSA): who calls, for which council, in which roles.

A service holds public keys only, several at a time, in a file (:mod:`shared.security.keys`); a token names its key by
``kid``. A service follows that file, so keys come and go without a restart.
"""

import hashlib
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

from shared import ids
from shared.errors import Unauthenticated
from shared.security import keys
from shared.security.keys import ALGORITHM, PublicKey
from shared.security.principal import Principal, normal_subject, problem_of

_log = logging.getLogger(__name__)

AUDIENCE = "commonweal"
REQUIRED_CLAIMS = ["sub", "aud", "exp", "iat", "jti", "roles"]
CLOCK_SKEW_S = 30
MAX_LIFETIME = timedelta(days=366)
MAX_TOKEN_LENGTH = 4096
MAX_REMEMBERED_TOKENS = 10_000
#: How long a key that was taken away may still be taken for good.
KEYS_LOOK_INTERVAL_S = 1.0

#: What nothing but a compact JWS is made of. PyJWT would also take one with padding: a second form of the same token.
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_TOKEN_ID = re.compile(r"[!-~]{1,64}")
_AUDIENCE = re.compile(r"[a-z0-9]([a-z0-9._:-]{0,62}[a-z0-9])?")
#: The end of the year 9999, beyond which a date has no form.
_LAST_SECOND = 253_402_300_799


class TokenRefused(Exception):
    """A token is not sound. The message says why: it is for who issues and inspects tokens, never for a caller."""


class SigningKey:
    """A private key that tokens are signed with; never leaves the people who issue tokens."""

    def __init__(self, private_key: Ed25519PrivateKey, key_id: str) -> None:
        self._private_key = private_key
        self.key_id = key_id

    def __repr__(self) -> str:
        return f"<SigningKey {self.key_id}>"

    @classmethod
    def new(cls) -> "SigningKey":
        """Make a new key, named by the moment it was made."""
        return cls(Ed25519PrivateKey.generate(), f"{datetime.now(UTC):%Y%m%d}-{ids.new_id().hex[-8:]}")

    @classmethod
    def read(cls, path: Path) -> "SigningKey":
        """Read a key from its PEM file, whose name without the ending is the key's id.

        :raises ValueError: when the file holds no Ed25519 private key.
        """
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except (TypeError, UnsupportedAlgorithm) as error:
            raise ValueError(f"{path} cannot be read: {error}") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError(f"{path} holds no Ed25519 private key")
        return cls(key, path.stem)

    def private_pem(self) -> bytes:
        """Return the private key for a file that only its owner reads."""
        return self._private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def public_jwk(self) -> dict[str, Any]:
        """Return the public key as an entry of a JWKS file."""
        jwk: dict[str, Any] = OKPAlgorithm.to_jwk(self._private_key.public_key(), as_dict=True)
        return {**jwk, "kid": self.key_id, "use": "sig", "alg": ALGORITHM}

    def issue(
        self,
        subject: str,
        roles: Iterable[str],
        *,
        council: str | None = None,
        lifetime: timedelta = timedelta(hours=12),
        not_before: datetime | None = None,
        audience: str = AUDIENCE,
        now: datetime | None = None,
    ) -> str:
        """Sign a token.

        :param subject: the person's or system's stable name; capitals are written small.
        :param roles: some of :data:`shared.security.principal.ROLES`.
        :param council: the GSS code of the caller's council; needed for the roles held within one.
        :param lifetime: how long the token is good for, from ``not_before`` if that is given; at most
            :data:`MAX_LIFETIME` from now.
        :param audience: which deployment it is for.
        :raises ValueError: for what no service would accept, such as an unknown role.
        """
        subject, roles = normal_subject(subject), sorted(set(roles))
        problem = problem_of(subject, roles, council) or problem_of_audience(audience)
        if problem:
            raise ValueError(problem)
        issued_at = now or datetime.now(UTC)
        expires_at = (not_before or issued_at) + lifetime
        if lifetime <= timedelta(0) or not timedelta(0) < expires_at - issued_at <= MAX_LIFETIME:
            raise ValueError(f"a token expires after it was issued, and within {MAX_LIFETIME.days} days of that")
        claims: dict[str, Any] = {
            "sub": subject,
            "roles": roles,
            "aud": audience,
            "iat": issued_at,
            "exp": expires_at,
            "jti": str(ids.new_id()),
        }
        if not_before is not None:
            claims["nbf"] = not_before
        if council is not None:
            claims["council"] = council
        return jwt.encode(claims, self._private_key, algorithm=ALGORITHM, headers={"kid": self.key_id})


@dataclass(frozen=True)
class Sound:
    """A token that is right in everything but, perhaps, that it has expired.

    :param good_until: seconds since 1970 at which services stop accepting it.
    :param key: the key that signed it.
    """

    principal: Principal
    good_until: float
    key: PublicKey


class Verifier:
    """Checks tokens against public keys; a sound token is remembered until it expires or its key is gone.

    :param jwks: the content of a JWKS file.
    :param audience: which deployment tokens must be for.
    :raises ValueError: when it is no JWKS.
    """

    def __init__(self, jwks: object, *, audience: str = AUDIENCE) -> None:
        self._keys = keys.parse(jwks)
        self.audience = audience
        # By their hashes: whoever sees this memory has no token to use.
        self._remembered: OrderedDict[bytes, Sound] = OrderedDict()
        self._path: Path | None = None
        self._content = b""
        self._problem: str | None = None
        self._look_again_at = 0.0

    def __repr__(self) -> str:
        return f"<Verifier with {len(self._keys)} keys>"

    @classmethod
    def read(cls, path: Path, *, audience: str = AUDIENCE) -> "Verifier":
        """Read a JWKS file, and follow it from then on.

        A file that cannot be read any more, or is none any more, changes nothing: what it said last stays in force
        and the log says so. One that lists no key leaves none in force.

        :raises OSError: when it cannot be read.
        :raises ValueError: when it is no JWKS, or holds no key.
        """
        content = keys.content_of(path)
        verifier = cls(keys.decode(content), audience=audience)
        if not verifier._keys:
            raise ValueError("it holds no key; commonweal-ops keys new makes one")
        verifier._path, verifier._content = path, content
        verifier._look_again_at = time.monotonic() + KEYS_LOOK_INTERVAL_S
        return verifier

    def verify(self, token: object) -> Principal:
        """Return whom a token names.

        Time here is the machine's, never a rehearsal's: a shifted clock must not make an old token good again.

        :raises Unauthenticated: for anything but a sound token; says no more than the caller may know.
        """
        if not isinstance(token, str) or not token:
            raise Unauthenticated("no_token", "Send a token: nameko's context value auth_token.")
        self._follow_the_file()
        try:
            _check_form(token)
            name = hashlib.sha256(token.encode()).digest()
            sound = self._remembered.get(name) or self.check(token)
        except TokenRefused:
            raise Unauthenticated("token_not_accepted", "This token is not accepted here; get a new one.") from None
        if datetime.now(UTC).timestamp() >= sound.good_until:
            self._remembered.pop(name, None)
            raise Unauthenticated("token_expired", "The token has expired; get a new one.")
        self._remembered[name] = sound
        self._remembered.move_to_end(name)
        if len(self._remembered) > MAX_REMEMBERED_TOKENS:
            self._remembered.popitem(last=False)
        return sound.principal

    def check(self, token: str) -> Sound:
        """Check everything of a token but whether it has expired.

        That comes last, and is told apart only for a token that was good: of any other nobody learns even that.

        :raises TokenRefused: with the reason.
        """
        _check_form(token)
        try:
            key_id = jwt.get_unverified_header(token).get("kid", "")
            key = self._keys.get(key_id)
            if key is None:
                raise TokenRefused(f"it names the key {key_id}, which is not among those that are accepted")
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[ALGORITHM],
                audience=self.audience,
                leeway=CLOCK_SKEW_S,
                options={"require": REQUIRED_CLAIMS, "strict_aud": True, "verify_exp": False},
            )
        except (jwt.PyJWTError, TypeError, ValueError) as error:
            raise TokenRefused(self._reason(error)) from None
        expires_at = _seconds(claims, "exp")
        for name in ("iat", "nbf"):
            if name in claims and not 0 < expires_at - _seconds(claims, name) <= MAX_LIFETIME.total_seconds():
                raise TokenRefused(f"its exp is not after its {name}, or more than {MAX_LIFETIME.days} days after it")
        subject, roles, council, token_id = claims["sub"], claims["roles"], claims.get("council"), claims["jti"]
        if not _TOKEN_ID.fullmatch(token_id):
            raise TokenRefused("its jti is not 1 to 64 printable ASCII signs")
        if problem := problem_of(subject, roles, council):
            raise TokenRefused(problem)
        principal = Principal(subject=subject, roles=frozenset(roles), council=council, token_id=token_id)
        return Sound(principal, expires_at + CLOCK_SKEW_S, key)

    def _reason(self, error: Exception) -> str:
        match error:
            case jwt.InvalidSignatureError():
                return "its signature does not hold: it was changed, or another key signed it under this key's id"
            case jwt.InvalidAlgorithmError():
                return f"it is not signed by {ALGORITHM}"
            case jwt.InvalidAudienceError():
                return f"it is not for the audience {self.audience}"
            case jwt.ImmatureSignatureError():
                return "it is not good yet (iat, nbf)"
            case jwt.MissingRequiredClaimError():
                return f"it lacks the claim {error.claim}"
        return f"it cannot be read: {error}"

    def _follow_the_file(self) -> None:
        # Its few bytes are read, not its dates: those differ too little after two quick changes, and lie on some disks.
        if self._path is None or time.monotonic() < self._look_again_at:
            return
        self._look_again_at = time.monotonic() + KEYS_LOOK_INTERVAL_S
        try:
            content = keys.content_of(self._path)
            found = self._keys if content == self._content else keys.parse(keys.decode(content))
        except (OSError, ValueError) as error:
            problem = (error.strerror if isinstance(error, OSError) else str(error)) or "it cannot be read"
            if problem != self._problem:
                _log.error(
                    "the keys in %s cannot be used: %s; those read before stay in force until the file is put right",
                    self._path,
                    problem,
                )
            self._problem = problem
            return
        if content == self._content and self._problem is None:
            return
        self._content, self._problem, self._keys = content, None, found
        kept = ((name, sound) for name, sound in self._remembered.items() if found.get(sound.key.key_id) == sound.key)
        self._remembered = OrderedDict(kept)
        if found:
            _log.info("tokens of these keys are accepted from now on: %s", ", ".join(found))
        else:
            _log.error("%s holds no key: no token is accepted until commonweal-ops keys new adds one", self._path)


def problem_of_audience(audience: str) -> str | None:
    """Say what is wrong with the name of an audience; None when nothing is."""
    if _AUDIENCE.fullmatch(audience):
        return None
    return "an audience has 1 to 64 lower case letters, digits and . _ : -, such as commonweal-test"


def _check_form(token: str) -> None:
    if len(token) > MAX_TOKEN_LENGTH:
        raise TokenRefused(f"it has more than {MAX_TOKEN_LENGTH:,} signs")
    if not _COMPACT.fullmatch(token):
        raise TokenRefused("it is not three parts of base64url joined by dots; it may have been cut or broken up")


def _seconds(claims: dict[str, Any], name: str) -> float:
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LAST_SECOND:
        raise TokenRefused(f"its {name} is not a number of seconds since 1970")
    return value
