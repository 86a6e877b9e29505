"""Reads the audit trail of a service: to verify its chain, and to hand it to an auditor who can verify it alone."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from shared.audit import chain
from shared.audit.chain import COVERED, Broken, Head, Link
from shared.audit.tables import audit, audit_seals
from shared.storage.database import Database

BATCH_SIZE = 2_000


@dataclass(frozen=True)
class Waiting:
    """Rows that no seal binds yet.

    :param since: when the oldest of them was recorded; None where there are none.
    """

    rows: int = 0
    since: datetime | None = None


def links(database: Database, after: int = 0) -> Iterator[Link]:
    """Yield the seals of a trail and the rows that they bind, in order, in transactions of :data:`BATCH_SIZE` seals.

    :param after: the number of the seal that comes before the first one.
    :raises sqlalchemy.exc.DBAPIError: when the database fails.
    """
    while True:
        batch = (
            select(
                audit_seals, audit.c.position.label("found"), *(audit.c[name].label(f"row_{name}") for name in COVERED)
            )
            .outerjoin(audit, audit.c.position == audit_seals.c.position)
            .where(audit_seals.c.number > after)
            .order_by(audit_seals.c.number)
            .limit(BATCH_SIZE)
        )
        with database.transaction() as session:
            rows = session.execute(batch).all()
        for row in rows:
            values = row._mapping
            covered = None if row.found is None else {name: values[f"row_{name}"] for name in COVERED}
            yield Link(row.number, row.position, row.sealed_at, bytes(row.hash), covered)
        if len(rows) < BATCH_SIZE:
            return
        after = rows[-1].number


def verify(begin: Head, found: Iterable[Link], known: Iterable[Head] = ()) -> Head:
    """Follow a chain to its end, and return its head there.

    :param begin: where it begins: :func:`chain.beginning`, or a head that is known to be right.
    :param known: heads that were noted earlier; the chain must pass through each. Without one nobody can tell a chain
        whose end was cut off, or one that was written anew from some row on.
    :raises Broken: at the first row or seal that is missing or was changed.
    """
    heads = {each.number: each for each in known if each.number > begin.number}
    end = begin
    for end in chain.follow(begin, found):
        expected = heads.pop(end.number, end)
        if expected != end:
            raise Broken(
                f"seal {end.number} is not the one that was noted: the trail up to there was written anew since then"
            )
    if heads:
        raise Broken(f"the trail ends with seal {end.number}, and seal {min(heads)} was noted: its end was cut off")
    return end


def waiting(database: Database) -> Waiting:
    """Count the rows that are not sealed, wherever they stand.

    :raises sqlalchemy.exc.DBAPIError: when the database fails.
    """
    rows, since, after = 0, None, 0
    while True:
        window = (
            select(audit.c.position, audit.c.recorded_at)
            .where(audit.c.position > after)
            .order_by(audit.c.position)
            .limit(BATCH_SIZE)
            .subquery()
        )
        unsealed = (
            select(func.count(), func.min(window.c.recorded_at))
            .select_from(window.outerjoin(audit_seals, audit_seals.c.position == window.c.position))
            .where(audit_seals.c.position.is_(None))
        )
        with database.transaction() as session:
            upto = session.scalar(select(func.max(window.c.position)))
            if upto is None:
                return Waiting(rows, since)
            number, oldest = session.execute(unsealed).one()
        rows += number
        since = min((moment for moment in (since, oldest) if moment is not None), default=None)
        after = upto


def as_json(link: Link) -> str:
    """Return a sealed row as one line of JSON that :func:`from_json` reads, in ASCII.

    :raises Broken: when the row is missing.
    """
    if link.row is None:
        raise Broken(f"row {link.position} is missing, which seal {link.number} binds")
    seal = {"number": link.number, "sealed_at": link.sealed_at, "hash": link.hash}
    return json.dumps({"seal": seal, "row": link.row}, default=chain.canonical)


def from_json(line: str) -> Link:
    """Read a line that :func:`as_json` wrote. :raises ValueError: when it is something else."""
    try:
        read = json.loads(line, parse_constant=_refuse_constant)
        seal, row = read["seal"], read["row"]
        covered = {name: _read(name, row) for name in COVERED}
        return Link(
            int(seal["number"]),
            int(row["position"]),
            datetime.fromisoformat(seal["sealed_at"]),
            bytes.fromhex(seal["hash"]),
            covered,
        )
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise ValueError("this is not a line of an exported trail") from error


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


def _read(name: str, row: Mapping[str, Any]) -> Any:
    value = row[name]
    if name.endswith("_at"):
        return datetime.fromisoformat(value)
    return bytes.fromhex(value) if name.endswith("_hash") else value
