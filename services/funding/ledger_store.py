"""Keeps the ledger in the database; its rules are in :mod:`services.funding.ledger`."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from services.funding import attribution, ledger, ledger_chain
from services.funding.domain import years
from services.funding.models import (
    LedgerAccount,
    LedgerAttribution,
    LedgerContributor,
    LedgerHead,
    LedgerPosting,
    LedgerTransaction,
)
from shared import clock, ids
from shared.storage.upsert import insert_into


@dataclass(frozen=True)
class _Locked:
    id: UUID
    balance_pence: int


def lock(session: Session, pool_id: UUID, accounts: Iterable[str]) -> dict[str, int]:
    """Lock accounts until the transaction ends, making those that are not there yet; returns balances by name.

    Everything that a transaction moves must be locked in one call of this or of :func:`post` before anything else: the
    rows are locked in the order of their names, empty ones included, so that no two transactions wait for each other.
    """
    return {name: account.balance_pence for name, account in _lock(session, pool_id, accounts).items()}


def post(session: Session, pool_id: UUID, transactions: Sequence[ledger.Transaction]) -> None:
    """Write transactions, bind them into the pool's chain and move the balances, all or none.

    :raises Conflict: ``insufficient_funds`` when an account would go below zero that may not; ``year_closed`` for a day
        of a financial year that is closed.
    """
    accounts = _lock(session, pool_id, {name for transaction in transactions for name in transaction.accounts})
    before = {name: account.balance_pence for name, account in accounts.items()}
    after = before
    head, closed_through = _lock_head(session, pool_id)
    for transaction in transactions:
        years.check_open(None, transaction.effective_on, closed_through)
    recorded_at = clock.now()
    written: list[_Written] = []
    for transaction in transactions:
        after = ledger.apply(after, transaction)
        entry = _entry(transaction, recorded_at, _attribute(session, pool_id, transaction, after))
        head = ledger_chain.extend(head, entry)
        written.append(_Written(head, entry, next(iter(transaction.paid), None)))
    _write(session, pool_id, written, accounts)
    changed = [name for name in accounts if after[name] != before[name]]
    session.execute(
        update(LedgerAccount), [{"id": accounts[name].id, "balance_pence": after[name]} for name in changed]
    )
    session.execute(update(LedgerHead).where(LedgerHead.pool_id == pool_id).values(number=head.number, hash=head.hash))


def lock_books(session: Session, pool_id: UUID, accounts: Collection[str]) -> ledger_chain.Head:
    """Lock accounts, then the end of the chain: nothing else of the pool moves until the transaction ends.

    :param accounts: all that the transaction will move, if it moves any.
    """
    if accounts:
        _lock(session, pool_id, accounts)
    head, _ = _lock_head(session, pool_id)
    return head


def close_through(session: Session, pool_id: UUID, day: date) -> None:
    """Let nothing be posted any more that is dated up to a day. The books are locked (:func:`lock_books`)."""
    session.execute(update(LedgerHead).where(LedgerHead.pool_id == pool_id).values(closed_through=day))


def closed_through(session: Session, pool_id: UUID) -> date | None:
    """Return the last day of the last financial year that is closed, or None while there is none."""
    return session.scalar(select(LedgerHead.closed_through).where(LedgerHead.pool_id == pool_id))


def left(session: Session, pool_id: UUID) -> dict[str, int]:
    """Return each council's unspent share in pence: what it has paid in, less what payments have cost it."""
    return _left(_paid_in(balances(session, pool_id)), _spent(session, pool_id))


def nth_receipt(session: Session, pool_id: UUID, bank_reference: str) -> int | None:
    """Return how many times money will have come in under a bank reference with the next, or None while some stands.

    It may come in again once what came in before is reversed. The pool is locked, so none is on its way.
    """
    nth = 1
    while (number := number_of(session, pool_id, ledger.receipt_key(bank_reference, nth))) is not None:
        if number_of(session, pool_id, ledger.reversal_key(number)) is None:
            return None
        nth += 1
    return nth


def number_of(session: Session, pool_id: UUID, key: str) -> int | None:
    """Return the number of the transaction that has a business key, or None when the pool's ledger does not hold it."""
    return session.scalar(
        select(LedgerTransaction.number).where(LedgerTransaction.pool_id == pool_id, LedgerTransaction.key == key)
    )


def balances(session: Session, pool_id: UUID) -> dict[str, int]:
    """Return the balance in pence of every account of a pool, by name."""
    rows = session.execute(
        select(LedgerAccount.name, LedgerAccount.balance_pence).where(LedgerAccount.pool_id == pool_id)
    )
    return dict(rows.all())


def _lock(session: Session, pool_id: UUID, accounts: Iterable[str]) -> dict[str, _Locked]:
    names = sorted(accounts)
    accounts_to_make = [
        {
            "id": ids.new_id(),
            "pool_id": pool_id,
            "name": name,
            "may_go_below_zero": ledger.may_go_below_zero(name),
            "balance_pence": 0,
        }
        for name in names
    ]
    session.execute(insert_into(session, LedgerAccount).values(accounts_to_make).on_conflict_do_nothing())
    rows = session.execute(
        select(LedgerAccount.name, LedgerAccount.id, LedgerAccount.balance_pence)
        .where(LedgerAccount.pool_id == pool_id, LedgerAccount.name.in_(names))
        .order_by(LedgerAccount.name)
        .with_for_update()
    )
    return {name: _Locked(id, balance_pence) for name, id, balance_pence in rows}


def _lock_head(session: Session, pool_id: UUID) -> tuple[ledger_chain.Head, date | None]:
    """Lock the end of a pool's chain, after the accounts: whoever holds it waits for nobody.

    Returns it, and the day up to which the books are closed.
    """
    beginning = ledger_chain.beginning(pool_id)
    row = {"pool_id": pool_id, "number": beginning.number, "hash": beginning.hash}
    session.execute(insert_into(session, LedgerHead).values(row).on_conflict_do_nothing())
    number, hash, closed = session.execute(
        select(LedgerHead.number, LedgerHead.hash, LedgerHead.closed_through)
        .where(LedgerHead.pool_id == pool_id)
        .with_for_update()
    ).one()
    return ledger_chain.Head(number, bytes(hash)), closed


def _attribute(
    session: Session, pool_id: UUID, transaction: ledger.Transaction, after: Mapping[str, int]
) -> dict[str, int]:
    """Return what a transaction costs each council, and keep what each has spent in step.

    The chain's end is locked, so nothing else of the pool moves meanwhile.

    :param after: the balances of the accounts that are being posted to, once it is done.
    """
    for project_id, amount_pence in transaction.paid.items():
        if transaction.attribution is not None:
            attributed = dict(transaction.attribution)
        elif amount_pence > 0:
            paid_in = _paid_in({**balances(session, pool_id), **after})
            attributed = attribution.of_payment(amount_pence, paid_in, _left(paid_in, _spent(session, pool_id)))
        else:
            attributed = attribution.of_return(-amount_pence, in_project(session, project_id))
        _note_spent(session, pool_id, attributed)
        return attributed
    return {}


def _spent(session: Session, pool_id: UUID) -> dict[str, int]:
    rows = session.execute(
        select(LedgerContributor.council, LedgerContributor.attributed_pence).where(
            LedgerContributor.pool_id == pool_id
        )
    )
    return dict(rows.all())


def _paid_in(balances: Mapping[str, int]) -> dict[str, int]:
    return {council: ledger.received_from(balances, council) for council in ledger.councils_in(balances)}


def _left(paid_in: Mapping[str, int], spent: Mapping[str, int]) -> dict[str, int]:
    return {council: pence - spent.get(council, 0) for council, pence in paid_in.items()}


def in_project(session: Session, project_id: UUID) -> dict[str, int]:
    """Return what a project has cost each council so far, in pence, by GSS code."""
    rows = session.execute(
        select(LedgerAttribution.council, func.sum(LedgerAttribution.amount_pence))
        .where(LedgerAttribution.project_id == project_id)
        .group_by(LedgerAttribution.council)
    )
    return {council: int(pence) for council, pence in rows}


def _note_spent(session: Session, pool_id: UUID, attributed: Mapping[str, int]) -> None:
    # Written as what it is afterwards, since a database checks the row to be inserted before it sees that one is there:
    # what comes back alone would be below zero.
    spent = _spent(session, pool_id)
    rows = [
        {"pool_id": pool_id, "council": council, "attributed_pence": spent.get(council, 0) + pence}
        for council, pence in attributed.items()
    ]
    insert = insert_into(session, LedgerContributor).values(rows)
    session.execute(
        insert.on_conflict_do_update(
            index_elements=["pool_id", "council"], set_={"attributed_pence": insert.excluded.attributed_pence}
        )
    )


@dataclass(frozen=True)
class _Written:
    head: ledger_chain.Head
    entry: ledger_chain.Entry
    project_id: UUID | None


def _entry(transaction: ledger.Transaction, recorded_at: datetime, attributed: Mapping[str, int]) -> ledger_chain.Entry:
    return ledger_chain.Entry(
        id=ids.new_id(),
        key=transaction.key,
        kind=transaction.kind,
        effective_on=transaction.effective_on,
        recorded_at=recorded_at,
        author=transaction.author,
        approver=transaction.approver,
        about=dict(transaction.about),
        postings={posting.account: posting.amount_pence for posting in transaction.postings},
        attribution=attributed,
    )


def _write(session: Session, pool_id: UUID, written: Sequence[_Written], accounts: Mapping[str, _Locked]) -> None:
    session.execute(
        insert(LedgerTransaction),
        [
            {
                "id": row.entry.id,
                "pool_id": pool_id,
                "number": row.head.number,
                "hash": row.head.hash,
                "key": row.entry.key,
                "kind": row.entry.kind,
                "effective_on": row.entry.effective_on,
                "recorded_at": row.entry.recorded_at,
                "author": row.entry.author,
                "approver": row.entry.approver,
                "about": row.entry.about,
            }
            for row in written
        ],
    )
    session.execute(
        insert(LedgerPosting),
        [
            {"transaction_id": row.entry.id, "account_id": accounts[name].id, "amount_pence": amount_pence}
            for row in written
            for name, amount_pence in row.entry.postings.items()
        ],
    )
    attributions = [
        {
            "transaction_id": row.entry.id,
            "council": council,
            "project_id": row.project_id,
            "amount_pence": amount_pence,
        }
        for row in written
        for council, amount_pence in row.entry.attribution.items()
    ]
    if attributions:
        session.execute(insert(LedgerAttribution), attributions)
