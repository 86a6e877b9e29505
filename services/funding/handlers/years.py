"""The end of a financial year: its figures are settled, and what is unspent is carried forward."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.funding import access, events, figures, ledger_history, ledger_store, schemas
from services.funding.domain import pools as pool_rules
from services.funding.domain import years as rules
from services.funding.domain.statements import span_of, total
from services.funding.handlers.plans import Approval, Kind, Plan, Subject, lock_pool
from services.funding.ledger_history import Books
from services.funding.models import ClosedYear, YearFigures
from shared import clock, councils, periods
from shared.fields import Command
from shared.money import format_pounds
from shared.security.principal import Principal


def get_year(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Return a financial year's figures: settled once it is closed, else as they stand."""
    pool = access.pool(session, principal, command.pool_id)
    pool_rules.check_year_of_pool(command.year, pool.years)
    closed = session.get(ClosedYear, (pool.id, command.year))
    if closed:
        parts = figures.settled(closed)
    else:
        books = ledger_history.books(session, pool.id)
        parts = figures.of_span(session, books, span_of(command.year), pool.councils)
    sees_all = access.sees_everything(principal)
    return {
        "pool_id": pool.id,
        "year": command.year,
        "closed_at": closed.closed_at if closed else None,
        "councils": [
            {"council": council, "name": councils.name_of(council), "figures": part}
            for council, part in parts.items()
            if sees_all or council == principal.council
        ],
        "total": total(parts.values()),
    }


def _plan_closing(session: Session, subject: Subject, command: Command) -> Plan:
    pool, year = subject.pool, command.year
    pool_rules.check_year_of_pool(year, pool.years)
    closed = list(session.scalars(select(ClosedYear.year).where(ClosedYear.pool_id == pool.id)))
    rules.check_closing(year, pool.years, closed, clock.today())
    head = ledger_store.lock_books(session, pool.id, [])
    parts = figures.of_span(session, Books(pool.id, head), span_of(year), pool.councils)
    whole = total(parts.values())
    sentence = (
        f"Close {year}: opening with {format_pounds(whole.opening_pence)}, {format_pounds(whole.received_pence)}"
        f" received, {format_pounds(whole.refunded_pence)} refunded, {format_pounds(whole.spent_pence)} spent,"
        f" {format_pounds(whole.returned_pence)} returned; closing with {format_pounds(whole.closing_pence)}, which is"
        f" carried forward, and {format_pounds(whole.outstanding_pence)} outstanding. Nothing is dated in it any more."
    )

    def carry_out(approval: Approval) -> dict[str, str]:
        closing = ClosedYear(
            pool_id=pool.id,
            year=year,
            number=head.number,
            requested_by=approval.author,
            approved_by=approval.approver,
            closed_at=approval.at,
            figures=[YearFigures(council=council, **part.by_name()) for council, part in parts.items()],
        )
        session.add(closing)
        ledger_store.close_through(session, pool.id, periods.parse_year(year).ends_on)
        events.year_closed(session, pool, closing)
        return {"year": year}

    return Plan(sentence, carry_out)


def _key(command: Command) -> str:
    return f"close_year:{command.year}"


#: The kinds of instructions of this module, by the name of the method that asks for them.
KINDS = {"close_year": Kind(schemas.CloseYear, lock_pool, _plan_closing, _key)}
