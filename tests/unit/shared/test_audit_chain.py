"""The chain of the audit trail: it holds as it was made, and what is changed in it is found where it was changed."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.audit import chain, reading
from shared.audit.chain import COVERED, Broken, Head, Link

BEGINNING = chain.beginning("funding")
SEALED_AT = datetime(2026, 6, 1, 9, 0, tzinfo=UTC)

_texts = st.none() | st.text(max_size=20)
_moments = st.integers(0, 10**14).map(lambda number: SEALED_AT + timedelta(microseconds=number))
ROWS = st.fixed_dictionaries(
    {
        "position": st.integers(1, 2**63 - 1),
        "recorded_at": _moments,
        "kind": st.sampled_from(["call", "event"]),
        "method": st.text(max_size=20),
        "outcome": st.text(max_size=20),
        "error": _texts,
        "subject": _texts,
        "council": _texts,
        "roles": st.lists(st.text(max_size=5), max_size=3),
        "token_id": _texts,
        "objects": st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
        "request_hash": st.binary(min_size=32, max_size=32),
    }
)
TRAILS = st.lists(ROWS, min_size=1, max_size=8, unique_by=lambda row: row["position"])


def sealed(rows: Sequence[dict[str, Any]], begin: Head = BEGINNING) -> list[Link]:
    """The rows of a trail with their seals."""
    found, head = [], begin
    for row in rows:
        head = chain.seal(head, row, SEALED_AT)
        found.append(Link(head.number, row["position"], SEALED_AT, head.hash, row))
    return found


def head_of(links: Sequence[Link]) -> Head:
    return Head(links[-1].number, links[-1].hash)


def altered(value: Any) -> Any:
    """Something else of the same type, as little different as can be."""
    if isinstance(value, datetime):
        return value + timedelta(microseconds=1)
    if isinstance(value, bytes):
        return bytes([value[0] ^ 1]) + value[1:]
    if isinstance(value, dict):
        return {**value, "one more": ""}
    return [*value, ""] if isinstance(value, list) else value + 1 if isinstance(value, int) else (value or "") + "x"


def test_every_column_of_the_table_is_covered() -> None:
    from shared.audit.tables import audit

    assert set(COVERED) == set(audit.c.keys())


@given(TRAILS)
def test_a_chain_holds_as_it_was_made(rows: list[dict[str, Any]]) -> None:
    links = sealed(rows)
    assert reading.verify(BEGINNING, links, [head_of(links)]) == head_of(links)
    # From any point on that is known to be right, too.
    middle = links[len(links) // 2]
    assert reading.verify(Head(middle.number, middle.hash), links[middle.number :]) == head_of(links)


@given(TRAILS, st.data())
def test_a_changed_column_is_found_at_its_row(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    links = sealed(rows)
    at = data.draw(st.integers(0, len(links) - 1))
    column = data.draw(st.sampled_from(COVERED))
    row = rows[at]
    links[at] = replace(links[at], row={**row, column: altered(row[column])})
    with pytest.raises(Broken, match=rf"^row {row['position']} is not as seal {at + 1} "):
        reading.verify(BEGINNING, links)


@given(TRAILS, st.data())
def test_what_is_missing_is_named(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    links = sealed(rows)
    at = data.draw(st.integers(0, len(links) - 1))
    without_row = [*links[:at], replace(links[at], row=None), *links[at + 1 :]]
    with pytest.raises(Broken, match=rf"^row {rows[at]['position']} is missing, which seal {at + 1} "):
        reading.verify(BEGINNING, without_row)
    without_both = links[:at] + links[at + 1 :]
    if at + 1 < len(links):
        with pytest.raises(Broken, match=rf"^seal {at + 1} is missing"):
            reading.verify(BEGINNING, without_both)
    else:
        # The end of a chain shows to those alone who noted where it was.
        reading.verify(BEGINNING, without_both)
        with pytest.raises(Broken, match=rf"the trail ends with seal {at}, and seal {at + 1} was noted"):
            reading.verify(BEGINNING, without_both, [head_of(links)])


@given(TRAILS, st.data())
def test_a_trail_written_anew_does_not_pass_a_head_that_was_noted(
    rows: list[dict[str, Any]], data: st.DataObject
) -> None:
    noted = head_of(sealed(rows))
    at = data.draw(st.integers(0, len(rows) - 1))
    rows[at] = {**rows[at], "subject": "somebody else entirely, of more letters than are drawn"}
    anew = sealed(rows)
    assert reading.verify(BEGINNING, anew) == head_of(anew)
    with pytest.raises(Broken, match=rf"^seal {len(rows)} is not the one that was noted"):
        reading.verify(BEGINNING, anew, [noted])


@given(TRAILS)
def test_an_exported_line_is_read_as_it_was(rows: list[dict[str, Any]]) -> None:
    links = sealed(rows)
    lines = [reading.as_json(link) for link in links]
    assert all(line.isascii() and "\n" not in line for line in lines)
    assert reading.verify(BEGINNING, map(reading.from_json, lines)) == head_of(links)


@pytest.mark.parametrize("line", ["", "{}", "[]", "null", '{"seal": {}, "row": {}}', "[" * 100_000, '{"seal": NaN}'])
def test_a_line_of_something_else_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="not a line of an exported trail"):
        reading.from_json(line)


def test_two_services_have_different_chains() -> None:
    assert chain.beginning("funding") != chain.beginning("outcomes")


def test_a_head_is_read_as_it_is_written() -> None:
    head = Head(12, bytes(range(32)))
    assert Head.parse(f" {head}\n") == head
    for text in ("", "12", "12:", "x:00", "0:" + "00" * 32, "12:" + "00" * 31):
        with pytest.raises(ValueError, match=r"."):
            Head.parse(text)
