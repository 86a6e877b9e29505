"""Lines and records meet by their references, every one is in one group, and the groups add up to both sides."""

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.funding.domain.bank_statements import BankLine, BankStatement
from services.funding.domain.reconciliation import Pair, Reconciliation, Record, net, reconcile

DAY = date(2026, 6, 1)


def line(number: int, reference: str, amount_pence: int, days: int = 0) -> BankLine:
    return BankLine(number, DAY + timedelta(days), reference, amount_pence)


def record(number: int, reference: str | None, amount_pence: int, days: int = 0, kind: str = "receipt") -> Record:
    return Record(number, DAY + timedelta(days), reference, amount_pence, kind)


def held(lines: list[BankLine], records: list[Record]) -> Reconciliation:
    return reconcile(BankStatement(tuple(lines), (), ()), records)


def test_each_line_and_each_record_is_told_how_it_fared() -> None:
    lines = [
        line(2, "bacs 1", 100),
        line(3, "BACS-2", 200),
        line(4, "BACS-3", 300, 2),
        line(5, "BACS-4", 400),
        line(6, "BACS1", 100),
        line(7, "PAY-9", -50, 2),
    ]
    records = [
        record(1, "BACS1", 100),
        record(2, "BACS-2", 250),
        record(3, "BACS-3", 300),
        record(4, "BACS-5", 400, 1),
        record(5, "BACS-6", 600, 3),  # after the statement's last day
        record(6, None, -50, kind="refund"),
    ]
    found = held(lines, records)
    # The spelling of line 6 is that of the record.
    assert found.matched.items == (Pair(lines[4], records[0], ()),)
    assert found.differing.items == (
        Pair(lines[1], records[1], ("amount",)),
        Pair(lines[2], records[2], ("date",)),
    )
    assert [(each.line.line, each.of_line) for each in found.duplicates.items] == [(2, 6)]
    assert [(each.line.reference, each.perhaps) for each in found.missing_here.items] == [
        ("BACS-4", (records[3],)),
        ("PAY-9", (records[5],)),
    ]
    assert found.missing_there.items == (records[5], records[3])
    assert (found.differing.bank_pence, found.differing.recorded_pence) == (500, 550)
    assert (found.bank_pence, found.recorded_pence) == (100 + 200 + 300 + 400 + 100 - 50, 100 + 250 + 300 + 400 - 50)
    assert not found.agrees


def test_equal_sums_never_make_a_match() -> None:
    found = held([line(2, "A", 100)], [record(1, "B", 100)])
    assert (found.matched.count, found.missing_here.count, found.missing_there.count) == (0, 1, 1)


def test_an_unknown_line_that_is_there_twice_is_missing_once() -> None:
    found = held([line(2, "A", 100), line(3, "A", 100), line(4, "A", 70)], [])
    assert [each.line.line for each in found.missing_here.items] == [2, 4]
    assert [(each.line.line, each.of_line) for each in found.duplicates.items] == [(3, 2)]


def test_references_that_are_spelled_alike_find_their_own_lines() -> None:
    lines = [line(2, "123", 500), line(3, "00123", 700)]
    found = held(lines, [record(1, "00123", 700), record(2, "123", 500)])
    assert found.agrees
    assert {(pair.line.line, pair.record.number) for pair in found.matched.items} == {(2, 2), (3, 1)}


def test_a_line_goes_to_the_record_that_it_is_closest_to() -> None:
    found = held([line(2, "07", 300)], [record(1, "7", 500), record(2, "07", 300)])
    assert found.matched.items == (Pair(line(2, "07", 300), record(2, "07", 300), ()),)
    assert [each.number for each in found.missing_there.items] == [1]


def test_a_correction_counts_with_what_it_corrects() -> None:
    original, reversal, again = record(1, "A", 100), record(2, "A", -100, 1), record(3, "A", 90, 2)
    assert net([original, reversal]) == []
    assert net([original, reversal, again]) == [record(3, "A", 90, 2)]
    without = [record(4, None, -10), record(5, None, -10)]
    assert net([*without, original]) == [original, *without]


def test_a_statement_covers_the_days_that_are_said() -> None:
    records = [record(1, "A", 100, -5), record(2, "B", 100, 5)]
    statement = BankStatement((line(2, "C", 1),), (), ())
    assert reconcile(statement, records).missing_there.count == 0
    found = reconcile(statement, records, DAY - timedelta(5), DAY + timedelta(5))
    assert found.missing_there.count == 2
    assert held([], records).missing_there.count == 0


references = st.sampled_from(["A", "a", "B", "7", "07", " c"])
sums = st.integers(-3, 3).filter(bool)
lines_of = st.lists(st.tuples(references, sums, st.integers(0, 5)), max_size=8)


@given(lines_of, st.lists(st.tuples(references | st.none(), sums, st.integers(-2, 7)), max_size=8))
def test_every_line_and_record_is_in_one_group_and_they_add_up(
    bank: list[tuple[str, int, int]], books: list[tuple[str | None, int, int]]
) -> None:
    lines = [line(number, *each) for number, each in enumerate(bank, start=2)]
    records = net(record(number, *each) for number, each in enumerate(books, start=1))
    found = held(lines, records)
    told = [pair.line.line for pair in (*found.matched.items, *found.differing.items)]
    told += [each.line.line for each in (*found.missing_here.items, *found.duplicates.items)]
    assert sorted(told) == [each.line for each in lines]
    assert found.bank_pence == sum(each.amount_pence for each in lines)
    numbers = [pair.record.number for pair in (*found.matched.items, *found.differing.items)]
    numbers += [each.number for each in found.missing_there.items]
    assert len(set(numbers)) == len(numbers)
    of_period = {each.number for each in records if found.starts_on and found.starts_on <= each.on <= found.ends_on}
    assert of_period <= set(numbers)
    assert found.recorded_pence == sum(each.amount_pence for each in records if each.number in numbers)
    assert found.matched.bank_pence == found.matched.recorded_pence
