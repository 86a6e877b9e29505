"""Reconciliation: a bank's statement against what is recorded, by reference, to the penny.

A line and a record belong together when they have the same reference, never because their sums are alike: that is said
as ``perhaps``. Every line is in one group and so is every record, so that the groups add up to both sides.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby, product
from typing import Generic, TypeVar

from services.funding.domain.bank_statements import BankLine, BankStatement, lines_in, normal_reference

#: How many days may lie between a line and a record of the same sum that perhaps belong together.
NEAR_DAYS = 7
MAX_PERHAPS = 3
#: How many of a group are listed; all are counted.
MAX_LISTED = 5_000


@dataclass(frozen=True)
class Record:
    """Money that is recorded as having moved at the bank.

    :param number: the transaction's place in the ledger; of several under one reference the last one's.
    :param reference: the bank's or the payment's reference; None for what was recorded without one.
    :param amount_pence: what came in; below zero what went out.
    """

    number: int
    on: date
    reference: str | None
    amount_pence: int
    kind: str


@dataclass(frozen=True)
class Pair:
    """A line and the record of the same reference. ``differs`` names what differs: the amount, the date."""

    line: BankLine
    record: Record
    differs: tuple[str, ...]


@dataclass(frozen=True)
class Duplicate:
    """A further line with a reference, when another line has what is recorded under it."""

    line: BankLine
    of_line: int


@dataclass(frozen=True)
class MissingHere:
    """A line whose reference is not recorded; ``perhaps`` are records of its sum, days near it, that no line has."""

    line: BankLine
    perhaps: tuple[Record, ...]


T = TypeVar("T")


@dataclass(frozen=True)
class Group(Generic[T]):
    """Lines or records that fared alike: how many, what they add up to on both sides, in pence; and the first."""

    count: int
    bank_pence: int
    recorded_pence: int
    items: tuple[T, ...]


@dataclass(frozen=True)
class Reconciliation:
    """How a statement and the records agree, from its first day to its last."""

    starts_on: date | None
    ends_on: date | None
    matched: Group[Pair]
    differing: Group[Pair]
    missing_here: Group[MissingHere]
    missing_there: Group[Record]
    duplicates: Group[Duplicate]

    @property
    def bank_pence(self) -> int:
        """What the readable lines add up to."""
        return sum(group.bank_pence for group in self._groups)

    @property
    def recorded_pence(self) -> int:
        """What the records add up to: those of the period, and those that a line names."""
        return sum(group.recorded_pence for group in self._groups)

    @property
    def agrees(self) -> bool:
        """Whether every line is matched and so is every record of the period."""
        return all(not group.count for group in self._groups[1:])

    @property
    def _groups(self) -> tuple[Group[Pair], Group[Pair], Group[MissingHere], Group[Record], Group[Duplicate]]:
        return self.matched, self.differing, self.missing_here, self.missing_there, self.duplicates


def net(records: Iterable[Record]) -> list[Record]:
    """Return one record for each reference: what it comes to with its corrections; nothing where they undo it.

    What has no reference stands for itself.
    """
    ordered = sorted(records, key=lambda record: (record.reference or "", record.number))
    found = [record for record in ordered if record.reference is None]
    for reference, same in groupby(ordered[len(found) :], key=lambda record: record.reference):
        several = list(same)
        amount_pence = sum(record.amount_pence for record in several)
        if amount_pence:
            last = [record for record in several if (record.amount_pence > 0) == (amount_pence > 0)][-1]
            found.append(Record(last.number, last.on, reference, amount_pence, last.kind))
    return sorted(found, key=lambda record: record.number)


def reconcile(
    statement: BankStatement,
    records: Sequence[Record],
    starts_on: date | None = None,
    ends_on: date | None = None,
) -> Reconciliation:
    """Hold a statement against what is recorded.

    :param records: all of the pool, of any time, one for each reference: a line may name what was recorded for another
        day.
    :param starts_on: the first day that the statement covers; that of its first line unless it is given.
    :param ends_on: the last day that it covers; that of its last line unless it is given.
    """
    days = [line.on for line in statement.lines]
    starts_on, ends_on = starts_on or min(days, default=None), ends_on or max(days, default=None)
    by_reference: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record.reference is not None:
            by_reference[normal_reference(record.reference)].append(record)
    lines: dict[str, list[BankLine]] = defaultdict(list)
    for reference, line in lines_in(statement):
        lines[reference].append(line)
    pairs: list[Pair] = []
    duplicates: list[Duplicate] = []
    unknown: list[BankLine] = []
    for reference, same in lines.items():
        paired, left = _pair(same, by_reference.get(reference, []))
        pairs += paired
        first: dict[tuple[date, int], int] = {}
        for line in left:
            of_line = paired[0].line.line if paired else first.setdefault((line.on, line.amount_pence), line.line)
            if of_line == line.line:
                unknown.append(line)
            else:
                duplicates.append(Duplicate(line, of_line))
    pairs.sort(key=lambda pair: pair.line.line)
    unknown.sort(key=lambda line: line.line)
    duplicates.sort(key=lambda duplicate: duplicate.line.line)
    named = {pair.record.number for pair in pairs}
    without_line = [record for record in records if record.number not in named]
    return Reconciliation(
        starts_on,
        ends_on,
        matched=_pairs([pair for pair in pairs if not pair.differs]),
        differing=_pairs([pair for pair in pairs if pair.differs]),
        missing_here=_group(_missing_here(unknown, without_line), unknown, []),
        missing_there=_missing_there(without_line, starts_on, ends_on),
        duplicates=_group(duplicates, [duplicate.line for duplicate in duplicates], []),
    )


def _pair(lines: Sequence[BankLine], records: Sequence[Record]) -> tuple[list[Pair], list[BankLine]]:
    """Pair the lines and the records of one reference, those first that differ least; returns the lines left over."""
    apart = sorted(product(lines, records), key=lambda pair: _distance(*pair))
    pairs: dict[int, Pair] = {}
    found: set[int] = set()
    for line, record in apart:
        if line.line not in pairs and record.number not in found:
            differs = [("amount", line.amount_pence != record.amount_pence), ("date", line.on != record.on)]
            pairs[line.line] = Pair(line, record, tuple(name for name, does in differs if does))
            found.add(record.number)
    return list(pairs.values()), [line for line in lines if line.line not in pairs]


def _distance(line: BankLine, record: Record) -> tuple[bool, bool, int, int]:
    """Return how far a line is from a record of its reference: the amount counts first, then the spelling."""
    apart_days = abs((line.on - record.on).days)
    return line.amount_pence != record.amount_pence, line.reference != record.reference, apart_days, line.line


def _missing_here(lines: Iterable[BankLine], records: Iterable[Record]) -> list[MissingHere]:
    by_amount: dict[int, list[Record]] = defaultdict(list)
    for record in records:
        by_amount[record.amount_pence].append(record)
    return [MissingHere(line, _perhaps(line, by_amount[line.amount_pence])) for line in lines]


def _perhaps(line: BankLine, records: Iterable[Record]) -> tuple[Record, ...]:
    apart_days = sorted((abs((record.on - line.on).days), record.number, record) for record in records)
    return tuple(record for days, _, record in apart_days if days <= NEAR_DAYS)[:MAX_PERHAPS]


def _missing_there(records: Iterable[Record], starts_on: date | None, ends_on: date | None) -> Group[Record]:
    if starts_on is None or ends_on is None:
        return _group([], [], [])
    of_period = sorted(
        (record for record in records if starts_on <= record.on <= ends_on),
        key=lambda record: (record.on, record.number),
    )
    return _group(of_period, [], of_period)


def _pairs(pairs: Sequence[Pair]) -> Group[Pair]:
    return _group(pairs, [pair.line for pair in pairs], [pair.record for pair in pairs])


def _group(items: Sequence[T], lines: Iterable[BankLine], records: Iterable[Record]) -> Group[T]:
    bank_pence = sum(line.amount_pence for line in lines)
    recorded_pence = sum(record.amount_pence for record in records)
    return Group(len(items), bank_pence, recorded_pence, tuple(items[:MAX_LISTED]))
