"""A token as text: what it says, how long it is good, and whether a service would accept it.

It comes from anybody, so what cannot be printed is shown as an escape. Neither the token nor its signature is shown.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt

from shared.ops.key_directory import RETIRED_FILE, KeyDirectory
from shared.ops.letter_text import safe
from shared.security import keys
from shared.security.tokens import TokenRefused, Verifier

MAX_SHOWN = 200
_TIMES = ("iat", "nbf", "exp")
_SHOWN_ABOVE = {"sub", "roles", "council", "aud", "jti", *_TIMES}
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


@dataclass(frozen=True)
class Look:
    """What a token says of itself, none of it checked, and what a service would say to it.

    :param is_accepted: None when there were no keys to check it with.
    :param reason: why it would be refused.
    """

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    is_accepted: bool | None = None
    reason: str | None = None

    @classmethod
    def at(cls, token: str, keys_file: Path | None, audience: str) -> "Look":
        """Read a token and, if there is a file of keys, check it.

        :raises jwt.PyJWTError: when it is no token.
        :raises OSError: when the keys cannot be read. :raises ValueError: when they are none.
        """
        read = jwt.decode_complete(token, options={"verify_signature": False})
        header, claims = _plain(read["header"]), _plain(read["payload"])
        if keys_file is None:
            return cls(header, claims)
        reason = _reason(token, header.get("kid"), keys_file, audience)
        return cls(header, claims, is_accepted=reason is None, reason=reason)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values, the times in ISO 8601 too."""
        left_s = _seconds_left(self.claims.get("exp"))
        return {
            "header": self.header,
            "claims": self.claims,
            "key_id": self.header.get("kid"),
            "issued_at": _iso(self.claims.get("iat")),
            "not_before": _iso(self.claims.get("nbf")),
            "expires_at": _iso(self.claims.get("exp")),
            "seconds_left": None if left_s is None else max(0, int(left_s)),
            "accepted": self.is_accepted,
            "reason": self.reason,
        }

    def lines(self) -> Iterator[str]:
        """Yield it for people to read."""
        claims, left_s = self.claims, _seconds_left(self.claims.get("exp"))
        shown: dict[str, object] = {
            "subject": claims.get("sub"),
            "roles": claims.get("roles"),
            "council": claims.get("council"),
            "audience": claims.get("aud"),
            "id": claims.get("jti"),
            "issued": _utc(claims.get("iat")),
            "not before": _utc(claims.get("nbf")),
            "expires": f"{_utc(claims.get('exp'))}{'' if left_s is None else f', {_span(left_s)}'}",
            "key": self.header.get("kid"),
            "algorithm": self.header.get("alg"),
            **{f"header {name}": value for name, value in self.header.items() if name not in ("kid", "alg", "typ")},
            **{f"claim {name}": value for name, value in claims.items() if name not in _SHOWN_ABOVE},
            "accepted": {None: "not checked: say --keys keys.json", True: "yes", False: f"no: {self.reason}"}[
                self.is_accepted
            ],
        }
        for name, value in shown.items():
            if isinstance(value, list) and all(isinstance(part, str) for part in value):
                value = ", ".join(value)
            elif not isinstance(value, str):
                value = "-" if value is None else json.dumps(value, ensure_ascii=False)
            yield f"{safe(name, length=32):<12}{safe(value, length=MAX_SHOWN)}"


def _reason(token: str, key_id: object, keys_file: Path, audience: str) -> str | None:
    try:
        sound = Verifier(keys.decode(keys.content_of(keys_file)), audience=audience).check(token)
    except TokenRefused as error:
        return _retirement(token, key_id, keys_file, audience) or str(error)
    now = datetime.now(UTC).timestamp()
    return None if now < sound.good_until else "it has expired"


def _retirement(token: str, key_id: object, keys_file: Path, audience: str) -> str | None:
    """Say when the key that a token names was retired and whether it did sign it; None when it was not retired."""
    directory = KeyDirectory(keys_file.parent)
    key = directory.retired_key(key_id) if isinstance(key_id, str) else None
    if key is None:
        return None
    since = f"its key {key.key_id} is retired since {key.entry.get('retired_at')} ({RETIRED_FILE})"
    try:
        Verifier({"keys": [key.entry]}, audience=audience).check(token)
    except TokenRefused as error:
        return f"{since}, and {error}"
    return since


def _plain(value: Any) -> Any:
    """Return a JSON value without the numbers that JSON does not have."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list) else value


def _moment(value: object) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return datetime.fromtimestamp(value, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def _iso(value: object) -> str | None:
    moment = _moment(value)
    return None if moment is None else moment.isoformat()


def _utc(value: object) -> str:
    moment = _moment(value)
    if moment is None:
        return "-" if value is None else f"{json.dumps(value)}, which is no time"
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _seconds_left(value: object) -> float | None:
    moment = _moment(value)
    return None if moment is None else (moment - datetime.now(UTC)).total_seconds()


def _span(seconds: float) -> str:
    left, parts = int(abs(seconds)), []
    for size, unit in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    span = " ".join(parts[:2]) or "0 s"
    return f"{span} from now" if seconds > 0 else f"{span} ago"
