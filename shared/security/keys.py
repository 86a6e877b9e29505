"""Public keys as services hold them: several at a time, in a JWKS file (RFC 7517).

The file is our own, so it is read strictly: an entry that is no Ed25519 public key is a mistake to be told, where the
standard would have it passed over and its owner locked out without a word.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from jwt.algorithms import OKPAlgorithm

ALGORITHM = "EdDSA"
#: Some 400 keys.
MAX_FILE_BYTES = 65_536

_KEY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class PublicKey:
    """A key that tokens are checked with; equal to another of the same id and the same bytes.

    :param key_id: how tokens name it (``kid``).
    :param raw: its 32 bytes.
    :param entry: what stands in the file, further members included.
    """

    key_id: str
    raw: bytes
    key: Ed25519PublicKey = field(compare=False, repr=False)
    entry: Mapping[str, Any] = field(compare=False, repr=False)

    @property
    def thumbprint(self) -> str:
        """The key's fingerprint, in base64url (RFC 7638)."""
        members = {"crv": "Ed25519", "kty": "OKP", "x": _base64url(self.raw)}
        return _base64url(hashlib.sha256(json.dumps(members, separators=(",", ":")).encode()).digest())

    @classmethod
    def of(cls, entry: object) -> "PublicKey":
        """Read one entry of a JWKS file. :raises ValueError: with what is wrong; nothing of the entry's is in it."""
        if not isinstance(entry, dict):
            raise ValueError("it is not a JSON object")
        key_id = entry.get("kid")
        if not isinstance(key_id, str) or not _KEY_ID.fullmatch(key_id):
            raise ValueError("it has no kid of 1 to 64 letters, digits and . _ -")
        if "d" in entry:
            raise ValueError(f"{key_id} is a private key, which no service may hold; take it away and retire that key")
        if entry.get("alg", ALGORITHM) != ALGORITHM or entry.get("use", "sig") != "sig":
            raise ValueError(f"{key_id} is not for signatures by {ALGORITHM}")
        try:
            key = OKPAlgorithm.from_jwk(entry)
        except (jwt.PyJWTError, binascii.Error, TypeError, ValueError, AttributeError):
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise ValueError(f"{key_id} is not an Ed25519 public key (kty OKP, crv Ed25519, x)")
        return cls(key_id, key.public_bytes_raw(), key, entry)


def content_of(path: Path) -> bytes:
    """Return what stands in a file of keys. :raises OSError: when it cannot be read. :raises ValueError: too large."""
    with path.open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"it has more than {MAX_FILE_BYTES:,} bytes")
    return content


def decode(content: bytes) -> object:
    """Return the JSON value in a file's content. :raises ValueError: when there is none."""
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except ValueError as error:
        raise ValueError(f"it is not JSON: {error}") from error


def parse(jwks: object) -> dict[str, PublicKey]:
    """Return the keys of a JWKS by their ids, in their order; none when it lists none.

    :raises ValueError: when it is no JWKS, or one of its entries is no public key or has another's id.
    """
    entries = jwks.get("keys") if isinstance(jwks, dict) else None
    if not isinstance(entries, list):
        raise ValueError('it is not of the form {"keys": [...]}')
    found: dict[str, PublicKey] = {}
    for number, entry in enumerate(entries, start=1):
        try:
            key = PublicKey.of(entry)
        except ValueError as error:
            raise ValueError(f"key {number} of {len(entries)}: {error}") from error
        if key.key_id in found:
            raise ValueError(f"key {number} of {len(entries)}: {key.key_id} stands there twice")
        found[key.key_id] = key
    return found


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")
