"""The lines of a statement: a page of them, or all as a CSV file that goes from the opening to the closing balance."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.orm import Session, selectinload

from services.funding import ledger_history
from services.funding.domain.statements import Figures, Move, Span, total
from services.funding.ledger_history import Books, CouncilMove
from services.funding.models import Award, LedgerTransaction
from shared import councils
from shared.errors import Invalid
from shared.fields import Command
from shared.spreadsheet import CSV, Cell, File, Pounds, csv_file
from shared.storage.paging import page_of, place_of

T = TypeVar("T")

#: How many lines a CSV file holds at most; so many take a second or two to make.
MAX_CSV_LINES = 20_000
BATCH_SIZE = 500

CSV_HEADER = (
    "line",
    "date",
    "transaction",
    "corrects",
    "council",
    "council_name",
    "reference",
    "award",
    "project",
    "tranche",
    "amount_pounds",
    "amount_pence",
    "pledge_pounds",
    "pledge_pence",
)


@dataclass(frozen=True)
class StatementLine:
    """A line of a statement: what one transaction did to one council."""

    transaction: LedgerTransaction
    council: str
    move: Move
    project_id: UUID | None
    award: Award | None

    @property
    def corrects(self) -> int | None:
        """The number of the transaction that it corrects, if it is a reversal."""
        number = self.transaction.about.get("reversed_number")
        return int(number) if number else None

    @property
    def reference(self) -> str | None:
        """What the bank calls it, where money moved at the bank."""
        about = self.transaction.about
        return about.get("bank_reference") or about.get("payment_reference")

    @property
    def tranche(self) -> str | None:
        """The tranche that was paid, by its key."""
        return self.transaction.about.get("tranche")

    @property
    def award_reference(self) -> str | None:
        """The reference of the project's award."""
        return self.award.reference if self.award else None

    @property
    def title(self) -> str | None:
        """The project's title."""
        return self.award.candidate.title if self.award else None

    def as_row(self) -> list[Cell | Pounds]:
        """Return the line as a row of a CSV file."""
        return [
            self.move.line,
            self.transaction.effective_on.isoformat(),
            self.transaction.number,
            self.corrects,
            *_named(self.council),
            self.reference,
            self.award_reference,
            self.title,
            self.tranche,
            *_sums(self.move.amount_pence, self.move.pledge_pence),
        ]


def page_or_file(
    session: Session,
    command: Command,
    books: Books,
    span: Span,
    parts: Mapping[str, Figures],
    only: str | None = None,
) -> dict[str, Any]:
    """Return a page of the lines; or all of them as a file, which needs no pages.

    :param parts: the figures of the councils that the statement is of, by GSS code.
    :param only: the council that it is of, if not of all.
    """
    statement = ledger_history.concerning(session, books, span, only)
    if command.format == CSV:
        file = _file(session, statement, books, span, parts, only, command.year or "whole")
        return {"lines": [], "next_cursor": None, "file": file}
    place = place_of(command)
    if place is not None:
        statement = statement.where(ledger_history.after(session, books, place))
    found = session.scalars(statement.limit(command.limit + 1)).all()
    page = page_of(found, command)
    lines = list(_lines(session, books, page["items"], only))
    return {"lines": lines, "next_cursor": page["next_cursor"], "file": None}


def _lines(
    session: Session, books: Books, transactions: Sequence[LedgerTransaction], council: str | None
) -> Iterator[StatementLine]:
    """Go along the lines that transactions make, those of the accounts before those of the projects."""
    of = [transaction.id for transaction in transactions]
    moves: dict[UUID, list[CouncilMove]] = defaultdict(list)
    for each in (
        *ledger_history.council_moves(session, books, Span(), council, of=of),
        *ledger_history.project_moves(session, of, council),
    ):
        moves[each.transaction_id].append(each)
    awards = awards_of(session, {each.project_id for some in moves.values() for each in some if each.project_id})
    for transaction in transactions:
        for each in sorted(moves[transaction.id], key=lambda each: (each.project_id is not None, each.council)):
            award = awards.get(each.project_id) if each.project_id else None
            yield StatementLine(transaction, each.council, each.move, each.project_id, award)


def _file(
    session: Session,
    statement: Select[LedgerTransaction],
    books: Books,
    span: Span,
    parts: Mapping[str, Figures],
    only: str | None,
    year: str,
) -> File:
    """Return the statement as a CSV file: how it opens, its lines, and how it closes, which is all of them added up."""
    if ledger_history.rows_of(session, books, span, only) > MAX_CSV_LINES:
        sentence = (
            f"The statement has too many lines for a CSV file, which holds {MAX_CSV_LINES:,}: ask for one year, for one"
            " council, or for pages of it as JSON."
        )
        raise Invalid("too_many_lines", sentence, {"format": [sentence]})
    whole = total(parts.values())
    rows: list[list[Cell | Pounds]] = [
        _balance("opening", code, figures.opening_pence, figures.outstanding_before_pence, span.starts_on)
        for code, figures in parts.items()
    ]
    transactions = list(session.scalars(statement))
    for some in _batches(transactions):
        rows += [line.as_row() for line in _lines(session, books, some, only)]
    rows.append(_balance("closing", only, whole.closing_pence, whole.outstanding_pence, span.ends_on))
    return csv_file(f"statement-{only or 'pool'}-{year}-to-{books.head.number}.csv", CSV_HEADER, rows)


def _balance(
    line: str, council: str | None, amount_pence: int, pledge_pence: int, on: date | None
) -> list[Cell | Pounds]:
    named = _named(council) if council else [None, None]
    nothing = [None] * 4
    return [line, on and on.isoformat(), None, None, *named, *nothing, *_sums(amount_pence, pledge_pence)]


def awards_of(session: Session, project_ids: Collection[UUID]) -> dict[UUID, Award]:
    """Return the awards of projects, by the project's id."""
    found: dict[UUID, Award] = {}
    for some in _batches(sorted(project_ids)):
        statement = select(Award).where(Award.project_id.in_(some)).options(selectinload(Award.candidate))
        found |= {award.funded_project_id: award for award in session.scalars(statement)}
    return found


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + BATCH_SIZE] for start in range(0, len(items), BATCH_SIZE))


def _named(council: str) -> list[Cell | Pounds]:
    return [council, councils.name_of(council)]


def _sums(amount_pence: int, pledge_pence: int) -> list[Cell | Pounds]:
    return [Pounds(amount_pence), amount_pence, Pounds(pledge_pence), pledge_pence]
