"""Statements of account, a council's and the pool's: every figure from the postings, every pound some council's."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from services.funding import access, figures, ledger, ledger_history
from services.funding.domain import statements as rules
from services.funding.domain.statements import Span
from services.funding.handlers.statement_lines import awards_of, page_or_file
from services.funding.ledger_history import Attributed, Books
from services.funding.models import Pool
from shared import councils
from shared.fields import Command
from shared.security.principal import Principal

#: Of how many projects a statement tells; its figures are complete all the same.
MAX_PROJECTS = 500


def council_statement(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Return what moved a council's money in a financial year, or in all of the pool's time."""
    pool = access.statement(session, principal, command.pool_id, command.council)
    books, span = ledger_history.books(session, pool.id, command.upto_number), rules.span_of(command.year)
    spent = ledger_history.attributed(session, books, span, command.council)
    parts = figures.of_span(session, books, span, [command.council], only=command.council, spent=spent)
    return {
        **_heading(pool, books, span, command),
        "council": command.council,
        "name": councils.name_of(command.council),
        "figures": parts[command.council],
        "projects": _projects(session, spent),
        **page_or_file(session, command, books, span, parts, only=command.council),
    }


def pool_statement(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Return what moved a pool's money, with the part of each council; these add up to it, line by line."""
    pool = access.pool(session, principal, command.pool_id)
    books, span = ledger_history.books(session, pool.id, command.upto_number), rules.span_of(command.year)
    spent = ledger_history.attributed(session, books, span)
    parts = figures.of_span(session, books, span, pool.councils, spent=spent)
    return {
        **_heading(pool, books, span, command),
        "figures": rules.total(parts.values()),
        "position": ledger.position(ledger_history.balances_as_at(session, books, span.ends_on)),
        "councils": [
            {"council": council, "name": councils.name_of(council), "figures": part} for council, part in parts.items()
        ],
        "projects": _projects(session, spent),
        **page_or_file(session, command, books, span, parts),
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


def _projects(session: Session, spent: Sequence[Attributed]) -> list[dict[str, Any]]:
    """Return what each project cost, in the order of the awards, with the part of each council."""
    by_project: dict[UUID, list[Attributed]] = defaultdict(list)
    for part in spent:
        by_project[part.project_id].append(part)
    awards = awards_of(session, by_project)
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
