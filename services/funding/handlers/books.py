"""The pool's books: its ledger read and checked."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from services.funding import access, ledger_check
from services.funding.models import LedgerPosting, LedgerTransaction
from shared.fields import Command
from shared.security.principal import Principal
from shared.storage.paging import page


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
    return page(session, statement, by=LedgerTransaction.id, request=command)


def verify_ledger(session: Session, principal: Principal, command: Command) -> ledger_check.Verification:
    """Check a pool's ledger against its own rows."""
    return ledger_check.verify(session, access.pool(session, principal, command.pool_id).id)
