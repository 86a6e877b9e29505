"""Signed tokens (PyJWT, EdDSA): who calls, for which council, in which roles.

A service holds public keys only, several at a time, in a JWKS file (RFC 7517); a token names its key by ``kid``.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

from shared import councils, ids
from shared.errors import Unauthenticated
from shared.security.principal import COUNCIL_ROLES, ROLES, Principal

ALGORITHM = "EdDSA"
AUDIENCE = "commonweal"
REQUIRED_CLAIMS = ["sub", "aud", "exp", "iat", "jti", "roles"]
CLOCK_SKEW_S = 30
MAX_TOKEN_LENGTH = 4096
MAX_SUBJECT_LENGTH = 128
MAX_TOKEN_ID_LENGTH = 64
MAX_CACHED_TOKENS = 10_000


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
        now: datetime | None = None,
    ) -> str:
        """Sign a token.

        :param subject: the person's or system's stable name.
        :param roles: some of :data:`shared.security.principal.ROLES`.
        :param council: the GSS code of the caller's council; needed for the roles held within one.
        :param lifetime: how long the token is good for.
        :raises ValueError: for an unknown role or council, or a council's role without a council.
        """
        if not 0 < len(subject) <= MAX_SUBJECT_LENGTH:
            raise ValueError(f"a subject has 1 to {MAX_SUBJECT_LENGTH} characters")
        roles = sorted(set(roles))
        unknown = set(roles) - ROLES
        if unknown or not roles:
            raise ValueError(f"unknown roles {sorted(unknown)}; choose from {', '.join(sorted(ROLES))}")
        if council is not None and not councils.is_council(council):
            raise ValueError(f"{council} is not the GSS code of a Scottish council")
        if council is None and COUNCIL_ROLES & set(roles):
            raise ValueError("the roles proposer, sponsor and s95_officer belong to a council; name it")
        issued_at = now or datetime.now(UTC)
        claims: dict[str, Any] = {
            "sub": subject,
            "roles": roles,
            "aud": AUDIENCE,
            "iat": issued_at,
            "exp": issued_at + lifetime,
            "jti": str(ids.new_id()),
        }
        if council is not None:
            claims["council"] = council
        return jwt.encode(claims, self._private_key, algorithm=ALGORITHM, headers={"kid": self.key_id})


class Verifier:
    """Checks tokens against public keys; a token once checked is remembered until it expires.

    :param jwks: the content of a JWKS file.
    :raises ValueError: when it holds no key that tokens can be checked with.
    """

    def __init__(self, jwks: dict[str, Any]) -> None:
        try:
            self._keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(jwks).keys}
        except (jwt.PyJWTError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no usable keys: {error}") from error
        self._remembered: dict[str, tuple[float, Principal]] = {}

    @classmethod
    def read(cls, path: Path) -> "Verifier":
        """Read a JWKS file. :raises OSError: when it cannot be read. :raises ValueError: when it is not one."""
        return cls(json.loads(path.read_text()))

    def verify(self, token: object) -> Principal:
        """Return whom a token names.

        Time here is the machine's, never a rehearsal's: a shifted clock must not make an old token good again.

        :raises Unauthenticated: for anything but a sound token; says no more than the caller may know.
        """
        if not isinstance(token, str) or not token:
            raise Unauthenticated("no_token", "Send a token: nameko's context value auth_token.")
        if len(token) > MAX_TOKEN_LENGTH:
            raise _unsound()
        remembered = self._remembered.get(token)
        if remembered is not None:
            if datetime.now(UTC).timestamp() < remembered[0]:
                return remembered[1]
            del self._remembered[token]
        claims = self._claims(token)
        principal = _principal(claims)
        if len(self._remembered) >= MAX_CACHED_TOKENS:
            self._remembered.clear()
        self._remembered[token] = (claims["exp"] + CLOCK_SKEW_S, principal)
        return principal

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            key = self._keys.get(jwt.get_unverified_header(token).get("kid"))
            if key is None:
                raise _unsound()
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                leeway=CLOCK_SKEW_S,
                options={"require": REQUIRED_CLAIMS},
            )
        except jwt.ExpiredSignatureError as error:
            raise Unauthenticated("token_expired", "The token has expired; get a new one.") from error
        except (jwt.PyJWTError, TypeError, ValueError) as error:
            raise _unsound() from error
        if not isinstance(claims["exp"], int | float):
            raise _unsound()
        return claims


def _principal(claims: dict[str, Any]) -> Principal:
    subject, roles, council, token_id = claims["sub"], claims["roles"], claims.get("council"), claims["jti"]
    if not _is_name(subject, MAX_SUBJECT_LENGTH) or not _is_name(token_id, MAX_TOKEN_ID_LENGTH):
        raise _unsound()
    if not isinstance(roles, list) or not ROLES.issuperset(map(str, roles)):
        raise _unsound()
    if council is not None and not (isinstance(council, str) and councils.is_council(council)):
        raise _unsound()
    if council is None and COUNCIL_ROLES.intersection(roles):
        raise _unsound()
    return Principal(subject=subject, roles=frozenset(roles), council=council, token_id=token_id)


def _is_name(value: object, max_length: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= max_length and value.isprintable()


def _unsound() -> Unauthenticated:
    return Unauthenticated("token_not_accepted", "This token is not accepted here; get a new one.")
