"""CSV files that people open in a spreadsheet (RFC 4180), in which a cell is never a formula."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shared.money import decimal_pounds

#: What a caller asks for to get such a file.
CSV = "csv"
CONTENT_TYPE = "text/csv; charset=utf-8; header=present"
#: A spreadsheet runs a cell that begins with one of these (OWASP, CSV injection); an apostrophe makes it text.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")

Cell = str | int | None


@dataclass(frozen=True)
class Pounds:
    """A sum of money in a column of pounds: whole pence, written with two decimals."""

    amount_pence: int


@dataclass(frozen=True)
class File:
    """A file as text.

    :param text: what to write, in UTF-8, with the line ends that are in it.
    """

    filename: str
    content_type: str
    text: str


def csv_file(filename: str, header: Sequence[str], rows: Iterable[Sequence[Cell | Pounds]]) -> File:
    """Return a CSV file: numbers as they are, no text a formula, nothing for None.

    :param filename: letters, digits, hyphens and the ending; never what somebody wrote.
    """
    written = io.StringIO(newline="")
    writer = csv.writer(written)
    writer.writerow(header)
    writer.writerows([_cell(cell) for cell in row] for row in rows)
    return File(filename, CONTENT_TYPE, written.getvalue())


def _cell(value: Cell | Pounds) -> str | int:
    if value is None:
        return ""
    if isinstance(value, Pounds):
        return decimal_pounds(value.amount_pence)
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
