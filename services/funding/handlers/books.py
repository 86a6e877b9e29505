"""The pool's books: its ledger read and checked."""

from typing import Any

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session, selectinload

from services.funding import access, ledger, ledger_check
from services.funding.models import LedgerAccount, LedgerAttribution, LedgerPosting, LedgerTransaction, Pool
from shared.errors import Invalid
from shared.fields import Command
from shared.security.principal import Principal
from shared.spreadsheet import CSV, Cell, File, Pounds, csv_file
from shared.storage.paging import page_of, place_of

#: How many postings a CSV file holds at most.
MAX_CSV_ROWS = 20_000
CSV_HEADER = (
    *("transaction", "date", "kind", "account", "amount_pounds", "amount_pence"),
    *("bank_reference", "payment_reference", "author", "approver", "recorded_at", "key", "hash"),
)


def list_transactions(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Return a page of a pool's transactions, oldest first, or all that are chosen as a file.

    A council sees those that move its own accounts.
    """
    pool = access.pool(session, principal, command.pool_id)
    chosen = _chosen(pool, command).where(access.transactions(principal))
    if command.format == CSV:
        return {"items": [], "next_cursor": None, "file": _file(session, chosen)}
    whole = chosen.options(
        selectinload(LedgerTransaction.postings).joinedload(LedgerPosting.account),
        selectinload(LedgerTransaction.attributions),
    )
    return {**_page(session, whole, command), "file": None}


def _page(session: Session, statement: Select[LedgerTransaction], command: Command) -> dict[str, Any]:
    """Return a page in the order of the numbers: ids follow a clock, and clocks of two processes differ."""
    place = place_of(command)
    if place is not None:
        before = select(LedgerTransaction.number).where(LedgerTransaction.id == place).scalar_subquery()
        statement = statement.where(LedgerTransaction.number > before)
    statement = statement.order_by(LedgerTransaction.number).limit(command.limit + 1)
    return page_of(list(session.scalars(statement)), command)


def _chosen(pool: Pool, command: Command) -> Select[LedgerTransaction]:
    statement = select(LedgerTransaction).where(LedgerTransaction.pool_id == pool.id)
    if command.effective_from is not None:
        statement = statement.where(LedgerTransaction.effective_on >= command.effective_from)
    if command.effective_to is not None:
        statement = statement.where(LedgerTransaction.effective_on <= command.effective_to)
    if command.kind is not None:
        statement = statement.where(LedgerTransaction.kind == command.kind)
    if command.project_id is not None:
        project = command.project_id
        statement = statement.where(_touches(pool, ledger.committed_account(project), ledger.paid_account(project)))
    if command.council is not None:
        council = command.council
        costs = select(LedgerAttribution.transaction_id).where(LedgerAttribution.council == council)
        own = _touches(pool, ledger.council_account(council), ledger.pledged_account(council))
        statement = statement.where(or_(own, LedgerTransaction.id.in_(costs)))
    return statement


def _touches(pool: Pool, *accounts: str) -> Any:
    """Return the condition that a transaction meets when it moves one of some accounts."""
    moving = select(LedgerPosting.transaction_id).join(LedgerAccount)
    return LedgerTransaction.id.in_(moving.where(LedgerAccount.pool_id == pool.id, LedgerAccount.name.in_(accounts)))


def _file(session: Session, chosen: Select[LedgerTransaction]) -> File:
    """Return transactions as a CSV file, a row per posting; those of each add up to zero, and so does the whole."""
    columns = (
        chosen.join(LedgerPosting)
        .join(LedgerAccount)
        .with_only_columns(
            LedgerTransaction.number,
            LedgerTransaction.effective_on,
            LedgerTransaction.kind,
            LedgerAccount.name,
            LedgerPosting.amount_pence,
            LedgerTransaction.about,
            LedgerTransaction.author,
            LedgerTransaction.approver,
            LedgerTransaction.recorded_at,
            LedgerTransaction.key,
            LedgerTransaction.hash,
        )
    )
    ordered = columns.order_by(LedgerTransaction.number, LedgerAccount.name).limit(MAX_CSV_ROWS + 1)
    found = session.execute(ordered).all()
    if len(found) > MAX_CSV_ROWS:
        sentence = f"A CSV file holds {MAX_CSV_ROWS:,} postings; choose fewer days, or a kind or a project."
        raise Invalid("too_many_lines", sentence, {"format": [sentence]})
    return csv_file("transactions.csv", CSV_HEADER, map(_row, found))


def _row(found: Any) -> list[Cell | Pounds]:
    return [
        found.number,
        found.effective_on.isoformat(),
        found.kind,
        found.name,
        Pounds(found.amount_pence),
        found.amount_pence,
        found.about.get("bank_reference"),
        found.about.get("payment_reference"),
        found.author,
        found.approver,
        found.recorded_at.isoformat(),
        found.key,
        bytes(found.hash).hex(),
    ]


def verify_ledger(session: Session, principal: Principal, command: Command) -> ledger_check.Verification:
    """Check a pool's ledger against its own rows."""
    return ledger_check.verify(session, access.pool(session, principal, command.pool_id).id)
