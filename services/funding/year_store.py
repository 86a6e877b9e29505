"""Reads what a financial year has brought from the database; its rules are in :mod:`services.funding.year_end`."""

from datetime import date, timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from services.funding import ledger, year_end
from services.funding.models import (
    ClosedYear,
    LedgerAccount,
    LedgerAttribution,
    LedgerPosting,
    LedgerTransaction,
    Pool,
)
from services.funding.year_end import Figures, Movement
from shared import periods


def settled(closed: ClosedYear) -> dict[str, Figures]:
    """Return a closed year's figures of each council, by GSS code."""
    return {row.council: Figures(**{name: getattr(row, name) for name in year_end.NAMES}) for row in closed.figures}


def as_they_stand(session: Session, pool: Pool, year: str) -> dict[str, Figures]:
    """Work a year's figures out from the ledger, on top of the settled ones of the last year that was closed before."""
    before: dict[str, Figures] = {}
    begins_after: date | None = None
    for earlier in pool.years[: pool.years.index(year)]:
        closed = session.get(ClosedYear, (pool.id, earlier))
        ends_on = periods.parse_year(earlier).ends_on
        if closed is not None:
            before = settled(closed)
        else:
            before = year_end.figures(before, movements_in(session, pool.id, begins_after, ends_on))
        begins_after = ends_on
    return year_end.figures(before, movements_in(session, pool.id, begins_after, periods.parse_year(year).ends_on))


def movements_in(session: Session, pool_id: UUID, after: date | None, upto: date) -> list[Movement]:
    """Return what has moved for each council after a day, or since ever, and up to another one, by effective date."""
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
