"""The chain of the audit trail: plain Python, no database. Each hash binds a row to all that were sealed before it."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

#: The columns of a row that its hash covers, all of them.
COVERED = (
    "position", "recorded_at", "kind", "method", "outcome", "error", "subject", "council", "roles", "token_id",
    "objects", "request_hash",
)  # fmt: skip


@dataclass(frozen=True)
class Head:
    """Where a chain ends, or ended once: to be noted where whoever owns the database cannot change it.

    :param number: of the last seal; 0 for a chain without any.
    """

    number: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.number}:{self.hash.hex()}"

    @classmethod
    def parse(cls, text: str) -> "Head":
        """Read ``NUMBER:HASH``. :raises ValueError: when it is something else."""
        number, _, hexadecimal = text.strip().partition(":")
        head = cls(int(number), bytes.fromhex(hexadecimal))
        if head.number < 1 or len(head.hash) != 32:
            raise ValueError("a head is the number of a seal, a colon and 64 hexadecimal digits")
        return head


@dataclass(frozen=True)
class Link:
    """A seal and the row that it binds.

    :param row: its :data:`COVERED` columns; None when there is no such row any more.
    """

    number: int
    position: int
    sealed_at: datetime
    hash: bytes
    row: Mapping[str, Any] | None


class Broken(Exception):
    """The chain does not hold; the message names the place and what is wrong there."""


def beginning(service: str) -> Head:
    """Return what the first seal of a service's chain stands on."""
    return Head(0, hashlib.sha256(f"commonweal audit of {service}".encode()).digest())


def seal(head: Head, row: Mapping[str, Any], sealed_at: datetime) -> Head:
    """Return the chain's head once a row is bound to it.

    :param row: its :data:`COVERED` columns, as Python values.
    """
    number = head.number + 1
    covered = {name: canonical(row[name]) for name in COVERED}
    content = {"number": number, "sealed_at": canonical(sealed_at), "row": covered}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return Head(number, hashlib.sha256(head.hash + text.encode()).digest())


def follow(head: Head, links: Iterable[Link]) -> Iterator[Head]:
    """Go along a chain, in the order of its numbers, and give its head after each link.

    :param head: where it begins.
    :raises Broken: at the first link that does not hold.
    """
    for link in links:
        expected = head.number + 1
        if link.number != expected:
            raise Broken(f"seal {expected} is missing: seal {link.number} comes after seal {head.number}")
        binds = f"seal {link.number} of {canonical(link.sealed_at)} binds"
        if link.row is None:
            raise Broken(f"row {link.position} is missing, which {binds}")
        sealed = seal(head, link.row, link.sealed_at)
        if sealed.hash != link.hash:
            raise Broken(
                f"row {link.position} is not as {binds} it: the row, the seal or the one before it was changed"
            )
        head = sealed
        yield head


def canonical(value: Any) -> Any:
    """Return a column's value as the JSON value that is hashed: moments in UTC, bytes in hexadecimal."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    return value
