"""The pool's books: its ledger read and checked."""

from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session, selectinload

from services.funding import access, ledger_check
from services.funding.models import LedgerPosting, LedgerTransaction
from shared.fields import Command
from shared.security.principal import Principal
from shared.storage.paging import page_of, place_of


def list_transactions(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Return a page of a pool's transactions, oldest first; a council sees those that move its own accounts."""
    pool = access.pool(session, principal, command.pool_id)
    statement = (
        select(LedgerTransaction)
        .where(LedgerTransaction.pool_id == pool.id, access.transactions(principal))
        .options(
            selectinload(LedgerTransaction.postings).joinedload(LedgerPosting.account),
            selectinload(LedgerTransaction.attributions),
        )
    )
    return _page(session, statement, command)


def _page(session: Session, statement: Select[LedgerTransaction], command: Command) -> dict[str, Any]:
    """Return a page in the order of the numbers: ids follow a clock, and clocks of two processes differ."""
    place = place_of(command)
    if place is not None:
        before = select(LedgerTransaction.number).where(LedgerTransaction.id == place).scalar_subquery()
        statement = statement.where(LedgerTransaction.number > before)
    statement = statement.order_by(LedgerTransaction.number).limit(command.limit + 1)
    return page_of(list(session.scalars(statement)), command)


def verify_ledger(session: Session, principal: Principal, command: Command) -> ledger_check.Verification:
    """Check a pool's ledger against its own rows."""
    return ledger_check.verify(session, access.pool(session, principal, command.pool_id).id)
