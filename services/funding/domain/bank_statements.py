"""A bank's statement as CSV, read as banks write it: whatever cannot be read is named with its line, never guessed."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from shared.errors import Invalid
from shared.fields import MAX_PENCE, printable
from shared.money import format_pounds

MAX_LINES = 5_000
MAX_LETTERS = 500_000
#: Among how many lines the header is looked for: some banks begin with the account's name and number.
MAX_PREAMBLE = 20
#: Letters of what a file says that are shown again.
MAX_SHOWN = 64

DATE, REFERENCE, AMOUNT, PAID_IN, PAID_OUT, DIRECTION, DESCRIPTION = (
    *("date", "reference", "amount", "paid in", "paid out", "direction", "description"),
)
#: What a column may be called, in any case and with or without signs such as ``(£)``.
_NAMES = {
    DATE: "date|transaction date|value date|posting date|posted date|entry date|booking date",
    REFERENCE: "reference|ref|bank reference|payment reference|transaction reference|customer reference|bank ref",
    AMOUNT: "amount|amount gbp|value|transaction amount",
    PAID_IN: "paid in|money in|credit|credits|credit amount|receipts",
    PAID_OUT: "paid out|money out|debit|debits|debit amount|payments",
    DIRECTION: "direction|cr dr|dr cr|credit debit|debit credit|in out|sign",
    DESCRIPTION: "description|details|narrative|transaction description|payee|memo",
}
_COLUMNS = {name: column for column, names in _NAMES.items() for name in names.split("|")}
_IN = frozenset({"in", "credit", "cr", "c", "paid in", "+"})
_OUT = frozenset({"out", "debit", "dr", "d", "paid out", "-"})

_AMOUNT = re.compile(r"(\d{1,3}(?:,\d{3})+|\d+)(?:\.(\d{1,2}))?", re.ASCII)
_ISO = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})", re.ASCII)
_BRITISH = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})", re.ASCII)
_NAMED = re.compile(r"(\d{1,2})[ -]([a-z]{3})[a-z]*[ -](\d{4})", re.ASCII | re.IGNORECASE)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


@dataclass(frozen=True)
class BankLine:
    """A line of the statement.

    :param line: its number in the file, the first is 1.
    :param amount_pence: what came in; below zero what went out.
    """

    line: int
    on: date
    reference: str
    amount_pence: int
    description: str | None = None


@dataclass(frozen=True)
class Unreadable:
    """A line that cannot be read, and every reason why."""

    line: int
    problems: tuple[str, ...]


@dataclass(frozen=True)
class BankStatement:
    """What a file says: its lines, those that cannot be read, and the columns that are not looked at."""

    lines: tuple[BankLine, ...]
    unreadable: tuple[Unreadable, ...]
    ignored_columns: tuple[str, ...]


def read(text: str) -> BankStatement:
    """Read a bank's CSV.

    The first of its lines that names a date, a reference and an amount is the header; columns that mean nothing here
    are left out of account. Cells are separated by commas, semicolons or tabs. Dates are ``2026-03-31``, ``31/03/2026``
    or ``31 Mar 2026``: the day before the month. Amounts are pounds, like ``1,234.56`` or ``-1234.56``, in one column
    with money out below zero, or marked as out by a column of the direction, or in two columns, paid in and paid out.

    :raises Invalid: ``not_a_bank_statement`` when nothing of it can be read, with all that is wrong.
    """
    lines = _cells(text)
    place, header = _header(lines)
    columns = _columns(header)
    read_lines: list[BankLine] = []
    unreadable: list[Unreadable] = []
    for number, cells in lines[place + 1 :]:
        if not any(cell.strip() for cell in cells):
            continue
        problems: list[str] = []
        line = _line(number, cells, len(header), columns, problems)
        if problems or line is None:
            unreadable.append(Unreadable(number, tuple(problems)))
        else:
            read_lines.append(line)
    known = set(columns.values())
    ignored = (printable(name, MAX_SHOWN) for at, name in enumerate(header) if at not in known and name.strip())
    return BankStatement(tuple(read_lines), tuple(unreadable), tuple(ignored))


def normal_reference(reference: str) -> str:
    """Return a reference as it is compared: without blanks, hyphens and case; a number also without leading zeros.

    Nothing else is taken off: ``BACS-0017`` and ``BACS-17`` are two references.
    """
    joined = "".join(reference.replace("-", " ").split()).casefold()
    return joined.lstrip("0") or "0" if joined.isascii() and joined.isdigit() else joined


def _cells(text: str) -> list[tuple[int, list[str]]]:
    """Return the cells of each line, with the number of its last line in the file."""
    text = text.removeprefix("\ufeff")
    if len(text) > MAX_LETTERS:
        raise _refused(f"The file has {len(text):,} letters and {MAX_LETTERS:,} are the most; send a shorter period.")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_separator(text))
    found: list[tuple[int, list[str]]] = []
    try:
        for cells in reader:
            found.append((reader.line_num, cells))
            if len(found) > MAX_LINES + MAX_PREAMBLE:
                raise _refused(f"The file has more than {MAX_LINES:,} lines; send a shorter period.")
    except csv.Error as error:
        raise _refused(f"Line {reader.line_num} is not CSV: {error}.") from error
    return found


def _separator(text: str) -> str:
    """Return what separates the cells: the sign that stands most often in the header, else a comma."""
    for line in text.splitlines()[:MAX_PREAMBLE]:
        for sign in max(",;\t", key=line.count), ",":
            if _is_header([cell.strip('" ') for cell in line.split(sign)]):
                return sign
    return ","


def _column(name: str) -> str | None:
    return _COLUMNS.get(" ".join(re.sub(r"[^a-z]+", " ", name.casefold()).split()))


def _is_header(cells: Sequence[str]) -> bool:
    named = {_column(cell) for cell in cells}
    return {DATE, REFERENCE} <= named and bool(named & {AMOUNT, PAID_IN, PAID_OUT})


def _header(lines: Sequence[tuple[int, list[str]]]) -> tuple[int, list[str]]:
    for place, (_, cells) in enumerate(lines[:MAX_PREAMBLE]):
        if _is_header(cells):
            return place, cells
    first = next((cells for _, cells in lines if any(cells)), [])
    named = {_column(cell) for cell in first}
    problems = [f"No column is named {wanted}." for wanted in (DATE, REFERENCE) if wanted not in named]
    if not named & {AMOUNT, PAID_IN, PAID_OUT}:
        problems.append("No column is named amount, nor are there columns named paid in and paid out.")
    raise _refused(*problems, "Begin with a line that names the columns, such as: date,reference,amount")


def _columns(header: Sequence[str]) -> Mapping[str, int]:
    """Return where each column stands. :raises Invalid: for names that say two things."""
    columns: dict[str, int] = {}
    problems: list[str] = []
    for at, name in enumerate(header):
        column = _column(name)
        if column in columns:
            other = printable(header[columns[column]], MAX_SHOWN)
            problems.append(f"Both {other} and {printable(name, MAX_SHOWN)} are read as {column}; rename one of them.")
        elif column is not None:
            columns[column] = at
    if AMOUNT in columns and {PAID_IN, PAID_OUT} & columns.keys():
        problems.append("There is an amount and a column of paid in or paid out; take one of the two ways away.")
    elif AMOUNT not in columns and not {PAID_IN, PAID_OUT} <= columns.keys():
        problems.append("There is one column of paid in and paid out; both are needed, or one named amount.")
    if problems:
        raise _refused(*problems)
    return columns


def _line(
    number: int, cells: Sequence[str], width: int, columns: Mapping[str, int], problems: list[str]
) -> BankLine | None:
    if not all(at < len(cells) for at in columns.values()):
        problems.append(f"It has {len(cells)} cells and the header {width}.")
        return None
    found = {column: cells[at].strip() for column, at in columns.items()}
    on = _date(found[DATE], problems)
    amount_pence = _signed_amount(found, problems)
    if not found[REFERENCE]:
        problems.append("It has no reference.")
    elif len(found[REFERENCE]) > MAX_SHOWN:
        problems.append(f"Its reference has {len(found[REFERENCE])} letters; {MAX_SHOWN} are the most.")
    if problems or on is None or amount_pence is None:
        return None
    description = found.get(DESCRIPTION)
    return BankLine(
        number,
        on,
        printable(found[REFERENCE], MAX_SHOWN),
        amount_pence,
        printable(description, MAX_SHOWN) if description else None,
    )


def _date(text: str, problems: list[str]) -> date | None:
    try:
        if match := _ISO.fullmatch(text):
            return date(*map(int, match.groups()))
        if match := _BRITISH.fullmatch(text):
            day, month, year = map(int, match.groups())
            return date(year, month, day)
        if (match := _NAMED.fullmatch(text)) and match[2].lower() in _MONTHS:
            return date(int(match[3]), _MONTHS.index(match[2].lower()) + 1, int(match[1]))
    except ValueError:
        pass
    problems.append(f"{_quoted(text)} is not a date; write it like 2026-03-31 or 31/03/2026.")
    return None


def _signed_amount(found: Mapping[str, str], problems: list[str]) -> int | None:
    if AMOUNT not in found:
        given = [(column, found[column]) for column in (PAID_IN, PAID_OUT) if found[column]]
        parsed = [(column, _pence(text, problems)) for column, text in given]
        sums = [(column, pence) for column, pence in parsed if pence != 0]
        if len(sums) != 1:
            if not problems:
                problems.append("Give a sum either as paid in or as paid out.")
            return None
        [(column, pence)] = sums
        # Some banks write what is paid out below zero.
        return pence and (-abs(pence) if column == PAID_OUT else pence)
    pence = _pence(found[AMOUNT], problems)
    if pence == 0:
        problems.append("Its amount is nothing.")
        return None
    if DIRECTION not in found or pence is None:
        return pence
    direction = " ".join(found[DIRECTION].casefold().split())
    if direction in _OUT:
        return -abs(pence)
    if direction in _IN and pence > 0:
        return pence
    problems.append(f"{_quoted(found[DIRECTION])} does not say which way the money went; write in or out.")
    return None


def _pence(text: str, problems: list[str]) -> int | None:
    """Return pounds as whole pence; None, with a problem, for what is not a sum of pounds."""
    bare = text.replace("£", "").replace("GBP", "").replace("\u2212", "-").replace("\xa0", "").replace(" ", "")
    negative = False
    if bare.startswith("(") and bare.endswith(")"):
        bare, negative = bare[1:-1], True
    elif bare.startswith("-") or bare.endswith("-"):
        bare, negative = bare.removeprefix("-") if bare.startswith("-") else bare.removesuffix("-"), True
    elif bare.startswith("+"):
        bare = bare[1:]
    match = _AMOUNT.fullmatch(bare)
    # A number of a thousand digits is refused before it is converted.
    if match is None or len(bare) > MAX_SHOWN:
        problems.append(f"{_quoted(text)} is not a sum of pounds; write it like 1,234.56 or -1234.56.")
        return None
    pence = int(match[1].replace(",", "")) * 100 + int((match[2] or "").ljust(2, "0"))
    if pence > MAX_PENCE:
        problems.append(f"{_quoted(text)} is more than {format_pounds(MAX_PENCE)}.")
        return None
    return -pence if negative else pence


def _quoted(text: str) -> str:
    return repr(printable(text, MAX_SHOWN)) if text else "Nothing"


def _refused(*problems: str) -> Invalid:
    return Invalid("not_a_bank_statement", " ".join(problems), {"statement": list(problems)})


def lines_in(statement: BankStatement) -> Iterator[tuple[str, BankLine]]:
    """Go along the lines with their references as they are compared."""
    return ((normal_reference(line.reference), line) for line in statement.lines)
