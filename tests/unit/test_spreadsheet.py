"""CSV for spreadsheets: what is written comes back, and no text is a formula."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.money import decimal_pounds
from shared.spreadsheet import Pounds, csv_file


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


@pytest.mark.parametrize("text", ['=HYPERLINK("http://x")', "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_a_text_is_never_a_formula(text: str) -> None:
    assert read(csv_file("a.csv", ["text"], [[text]]).text) == [["text"], [f"'{text}"]]


def test_numbers_stay_numbers() -> None:
    written = csv_file("a.csv", ["pence", "pounds", "nothing"], [[-123_456, Pounds(-123_456), None]])
    assert written.text == "pence,pounds,nothing\r\n-123456,-1234.56,\r\n"
    assert (written.filename, written.content_type) == ("a.csv", "text/csv; charset=utf-8; header=present")


@given(st.lists(st.lists(st.text(st.characters(codec="utf-8")), min_size=2, max_size=2)))
def test_texts_come_back(rows: list[list[str]]) -> None:
    _, *found = read(csv_file("a.csv", ["one", "two"], rows).text)
    assert [[cell.removeprefix("'") for cell in row] for row in found] == [
        [cell.removeprefix("'") for cell in row] for row in rows
    ]


@given(st.integers(-(10**14), 10**14))
def test_pounds_are_the_pence_with_a_point(amount_pence: int) -> None:
    assert int(decimal_pounds(amount_pence).replace(".", "")) == amount_pence
