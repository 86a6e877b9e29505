"""The end of a financial year: its figures are settled, and what is unspent is carried forward."""

from dataclasses import asdict
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from services.funding import access, events, ledger, ledger_store, schemas, year_end
from services.funding.domain import pools as pool_rules
from services.funding.domain import years as rules
from services.funding.handlers.plans import Approval, Kind, Plan, Subject, lock_pool
from services.funding.models import (
    ClosedYear,
    LedgerAccount,
    LedgerAttribution,
    LedgerPosting,
    LedgerTransaction,
    Pool,
    YearFigures,
)
from services.funding.year_end import Figures, Movement
from shared import clock, councils, periods
from shared.fields import Command
from shared.money import format_pounds
from shared.security.principal import Principal


def get_year(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Return a financial year's figures: settled once it is closed, else as they stand."""
    pool = access.pool(session, principal, command.pool_id)
    pool_rules.check_year_of_pool(command.year, pool.years)
    closed = session.get(ClosedYear, (pool.id, command.year))
    of_councils = _settled(closed) if closed else _as_they_stand(session, pool, command.year)
    sees_all = access.sees_everything(principal)
    return {
        "pool_id": pool.id,
        "year": command.year,
        "closed_at": closed.closed_at if closed else None,
        "councils": [
            {"council": council, "name": councils.name_of(council), **asdict(figures)}
            for council, figures in of_councils.items()
            if sees_all or council == principal.council
        ],
        "total": year_end.total(of_councils),
    }


def _plan_closing(session: Session, subject: Subject, command: Command) -> Plan:
    pool, year = subject.pool, command.year
    pool_rules.check_year_of_pool(year, pool.years)
    closed = list(session.scalars(select(ClosedYear.year).where(ClosedYear.pool_id == pool.id)))
    rules.check_closing(year, pool.years, closed, clock.today())
    head = ledger_store.lock_books(session, pool.id, [])
    of_councils = _as_they_stand(session, pool, year)
    total = year_end.total(of_councils)
    sentence = (
        f"Close {year}: {format_pounds(total.opening_pence)} at its start, {format_pounds(total.received_pence)}"
        f" received, {format_pounds(total.paid_pence)} paid, {format_pounds(total.returned_pence)} returned,"
        f" {format_pounds(total.refunded_pence)} refunded; {format_pounds(total.carried_forward_pence)} are carried"
        f" forward and {format_pounds(total.owed_at_end_pence)} are owed. Nothing is dated in it any more."
    )

    def carry_out(approval: Approval) -> dict[str, str]:
        closing = ClosedYear(
            pool_id=pool.id,
            year=year,
            number=head.number,
            requested_by=approval.author,
            approved_by=approval.approver,
            closed_at=approval.at,
            figures=[YearFigures(council=council, **asdict(figures)) for council, figures in of_councils.items()],
        )
        session.add(closing)
        ledger_store.close_through(session, pool.id, periods.parse_year(year).ends_on)
        events.year_closed(session, pool, closing, total)
        return {"year": year}

    return Plan(sentence, carry_out)


def _key(command: Command) -> str:
    return f"close_year:{command.year}"


#: The kinds of instructions of this module, by the name of the method that asks for them.
KINDS = {"close_year": Kind(schemas.CloseYear, lock_pool, _plan_closing, _key)}


def _settled(closed: ClosedYear) -> dict[str, Figures]:
    return {row.council: Figures(**{name: getattr(row, name) for name in year_end.NAMES}) for row in closed.figures}


def _as_they_stand(session: Session, pool: Pool, year: str) -> dict[str, Figures]:
    """Work a year's figures out from the ledger, on top of the settled ones of the last year that was closed before."""
    before: dict[str, Figures] = {}
    begins_after: date | None = None
    for earlier in pool.years[: pool.years.index(year)]:
        closed = session.get(ClosedYear, (pool.id, earlier))
        ends_on = periods.parse_year(earlier).ends_on
        if closed is not None:
            before = _settled(closed)
        else:
            before = year_end.figures(before, _movements(session, pool.id, begins_after, ends_on))
        begins_after = ends_on
    return year_end.figures(before, _movements(session, pool.id, begins_after, periods.parse_year(year).ends_on))


def _movements(session: Session, pool_id: UUID, after: date | None, upto: date) -> list[Movement]:
    within = [
        LedgerTransaction.pool_id == pool_id,
        LedgerTransaction.effective_on <= upto,
        LedgerTransaction.effective_on >= (after + timedelta(days=1) if after else date.min),
    ]
    pence = func.sum(LedgerPosting.amount_pence)
    moved = session.execute(
        select(LedgerTransaction.kind, LedgerAccount.name, pence)
        .join(LedgerPosting, LedgerPosting.transaction_id == LedgerTransaction.id)
        .join(LedgerAccount, LedgerAccount.id == LedgerPosting.account_id)
        .where(*within)
        .group_by(LedgerTransaction.kind, LedgerAccount.name)
    )
    movements = [movement for kind, account, amount in moved if (movement := _of_a_council(kind, account, int(amount)))]
    attributed = session.execute(
        select(LedgerTransaction.kind, LedgerAttribution.council, func.sum(LedgerAttribution.amount_pence))
        .join(LedgerAttribution, LedgerAttribution.transaction_id == LedgerTransaction.id)
        .where(*within)
        .group_by(LedgerTransaction.kind, LedgerAttribution.council)
    )
    movements += [
        Movement(ledger.flow_of(kind), council, attributed_pence=int(amount)) for kind, council, amount in attributed
    ]
    return movements


def _of_a_council(kind: str, account: str, amount_pence: int) -> Movement | None:
    of, _, council = account.partition(":")
    if of == ledger.COUNCIL:
        return Movement(ledger.flow_of(kind), council, outside_pence=amount_pence)
    if of == ledger.PLEDGED:
        return Movement(ledger.flow_of(kind), council, pledged_pence=amount_pence)
    return None
