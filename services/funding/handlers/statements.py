"""Statements of account, a council's and the pool's: every figure from the postings, every pound some council's."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.orm import Session, selectinload

from services.funding import access, ledger, ledger_history
from services.funding.domain import statements as rules
from services.funding.domain.statements import Figures, Move, Span
from services.funding.ledger_history import Attributed, Books
from services.funding.models import Award, LedgerTransaction, Pool
from shared import councils
from shared.errors import Invalid
from shared.fields import Command
from shared.security.principal import Principal
from shared.spreadsheet import CSV, Cell, File, Pounds, csv_file
from shared.storage.paging import page_of, place_of

T = TypeVar("T")

#: Of how many projects a statement tells; its figures are complete all the same.
MAX_PROJECTS = 500
#: How many lines a CSV file holds at most; so many take a second or two to make.
MAX_CSV_LINES = 20_000
BATCH_SIZE = 500

CSV_HEADER = (
    "line",
    "date",
    "transaction",
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
            *_named(self.council),
            self.reference,
            self.award_reference,
            self.title,
            self.tranche,
            *_sums(self.move.amount_pence, self.move.pledge_pence),
        ]


def council_statement(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Return what moved a council's money in a financial year, or in all of the pool's time."""
    pool = access.statement(session, principal, command.pool_id, command.council)
    books, span = ledger_history.books(session, pool.id, command.upto_number), rules.span_of(command.year)
    spent = ledger_history.attributed(session, books, span, command.council)
    figures = _figures(session, books, span, spent, [command.council])[command.council]
    return {
        **_heading(pool, books, span, command),
        "council": command.council,
        "name": councils.name_of(command.council),
        "figures": figures,
        "projects": _projects(session, spent),
        **_details(session, command, books, span, {command.council: figures}, only=command.council),
    }


def pool_statement(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Return what moved a pool's money, with the part of each council; these add up to it, line by line."""
    pool = access.pool(session, principal, command.pool_id)
    books, span = ledger_history.books(session, pool.id, command.upto_number), rules.span_of(command.year)
    spent = ledger_history.attributed(session, books, span)
    balances = ledger_history.balances_as_at(session, books, span.ends_on)
    members = {member.council for member in pool.members}
    parts = _figures(session, books, span, spent, sorted(members.union(ledger.councils_in(balances))))
    return {
        **_heading(pool, books, span, command),
        "figures": rules.total(parts.values()),
        "position": ledger.position(balances),
        "councils": [
            {"council": council, "name": councils.name_of(council), "figures": figures}
            for council, figures in parts.items()
        ],
        "projects": _projects(session, spent),
        **_details(session, command, books, span, parts),
    }


def _heading(pool: Pool, books: Books, span: Span, command: Command) -> dict[str, Any]:
    return {
        "pool_id": pool.id,
        "pool_name": pool.name,
        "year": command.year,
        "starts_on": span.starts_on,
        "ends_on": span.ends_on,
        "ledger_number": books.head.number,
        "ledger_hash": books.head.hash.hex(),
    }


def _figures(
    session: Session, books: Books, span: Span, spent: Sequence[Attributed], members: Collection[str]
) -> dict[str, Figures]:
    """Return the figures of each of some councils, by GSS code."""
    only = next(iter(members)) if len(members) == 1 else None
    figures = _opening(session, books, span, members, only)
    for move in ledger_history.council_moves(session, books, span, only):
        figures[move.council] += rules.figures_of(rules.move_of_accounts(move.council_pence, move.pledged_pence))
    for part in spent:
        figures[part.council] += Figures(spent_pence=part.spent_pence, returned_pence=part.returned_pence)
    return figures


def _opening(
    session: Session, books: Books, span: Span, members: Collection[str], only: str | None
) -> dict[str, Figures]:
    if span.day_before is None:
        return dict.fromkeys(members, Figures())
    balances = ledger_history.balances_as_at(session, books, span.day_before)
    cost: dict[str, int] = defaultdict(int)
    for part in ledger_history.attributed(session, books, Span(None, span.day_before), only):
        cost[part.council] += part.spent_pence - part.returned_pence
    return {council: rules.opening(balances, cost[council], council) for council in members}


def _projects(session: Session, spent: Sequence[Attributed]) -> list[dict[str, Any]]:
    """Return what each project cost, in the order of the awards, with the part of each council."""
    by_project: dict[UUID, list[Attributed]] = defaultdict(list)
    for part in spent:
        by_project[part.project_id].append(part)
    awards = _awards(session, by_project)
    # Ids tell their order: that of the offers.
    told = sorted(by_project, key=lambda id: (awards[id].id if id in awards else id, id))[:MAX_PROJECTS]
    return [
        {
            "project_id": project_id,
            "award_reference": awards[project_id].reference if project_id in awards else None,
            "title": awards[project_id].candidate.title if project_id in awards else None,
            "spent_pence": sum(part.spent_pence for part in by_project[project_id]),
            "returned_pence": sum(part.returned_pence for part in by_project[project_id]),
            "councils": by_project[project_id],
        }
        for project_id in told
    ]


def _awards(session: Session, project_ids: Collection[UUID]) -> dict[UUID, Award]:
    found: dict[UUID, Award] = {}
    for some in _batches(sorted(project_ids)):
        statement = select(Award).where(Award.project_id.in_(some)).options(selectinload(Award.candidate))
        found |= {award.funded_project_id: award for award in session.scalars(statement)}
    return found


# --- line by line ---------------------------------------------------------------------------------------------------


def _details(
    session: Session,
    command: Command,
    books: Books,
    span: Span,
    parts: dict[str, Figures],
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
    moves: dict[UUID, list[tuple[str, Move, UUID | None]]] = defaultdict(list)
    for both in ledger_history.council_moves(session, books, Span(), council, of=of):
        told = rules.move_of_accounts(both.council_pence, both.pledged_pence)
        moves[both.transaction_id].append((both.council, told, None))
    for part in ledger_history.attributions(session, of, council):
        told = rules.move_of_attribution(part.amount_pence)
        moves[part.transaction_id].append((part.council, told, part.project_id))
    awards = _awards(session, {project_id for each in moves.values() for _, _, project_id in each if project_id})
    for transaction in transactions:
        for code, move, project_id in sorted(moves[transaction.id], key=lambda each: (each[2] is not None, each[0])):
            yield StatementLine(transaction, code, move, project_id, awards.get(project_id) if project_id else None)


def _file(
    session: Session,
    statement: Select[LedgerTransaction],
    books: Books,
    span: Span,
    parts: dict[str, Figures],
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
    whole = rules.total(parts.values())
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
    return [line, on and on.isoformat(), None, *named, *nothing, *_sums(amount_pence, pledge_pence)]


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + BATCH_SIZE] for start in range(0, len(items), BATCH_SIZE))


def _named(council: str) -> list[Cell | Pounds]:
    return [council, councils.name_of(council)]


def _sums(amount_pence: int, pledge_pence: int) -> list[Cell | Pounds]:
    return [Pounds(amount_pence), amount_pence, Pounds(pledge_pence), pledge_pence]
