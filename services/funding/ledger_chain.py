"""The chain of a pool's ledger: each transaction's hash covers all of it and the hash before it, in plain Python.

Whoever changes, takes away or slips in a transaction, one of its postings or its attribution breaks the chain at that
place. The format is part of what is kept: it never changes.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import UUID


@dataclass(frozen=True)
class Head:
    """Where a ledger's chain ends: the number of its last transaction, 0 for none, and that one's hash."""

    number: int
    hash: bytes


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A transaction as its hash covers it.

    :param postings: pence by the account's name.
    :param attribution: pence by council, where it changes what a project has been paid.
    """

    id: UUID
    key: str
    kind: str
    effective_on: date
    recorded_at: datetime
    author: str
    approver: str | None
    about: Mapping[str, str]
    postings: Mapping[str, int]
    attribution: Mapping[str, int]


def beginning(pool_id: UUID) -> Head:
    """Return what the first transaction of a pool stands on."""
    return Head(0, hashlib.sha256(f"commonweal ledger of {pool_id}".encode()).digest())


def extend(head: Head, entry: Entry) -> Head:
    """Return the chain's head once a transaction is bound to it.

    Hashed is the hash before it, followed by the canonical JSON of its number and of every field.
    """
    number = head.number + 1
    covered = {
        "number": number,
        "id": str(entry.id),
        "key": entry.key,
        "kind": entry.kind,
        "effective_on": entry.effective_on.isoformat(),
        "recorded_at": entry.recorded_at.astimezone(UTC).isoformat(timespec="microseconds"),
        "author": entry.author,
        "approver": entry.approver,
        "about": dict(entry.about),
        "postings": dict(entry.postings),
        "attribution": dict(entry.attribution),
    }
    text = json.dumps(covered, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return Head(number, hashlib.sha256(head.hash + text.encode()).digest())
