"""Keeps the ledger in the database; its rules are in :mod:`services.funding.ledger`."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import Any, cast
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    Executable,
    Insert,
    Row,
    Table,
    Update,
    Uuid,
    bindparam,
    func,
    insert,
    select,
    true,
    update,
)
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
    session.flush()
    names = sorted(accounts)
    lock_accounts, _ = _locking(len(names))
    rows = _locked_by(lock_accounts, session, pool_id, names)
    return {row.name: row.balance_pence for row in rows}


def post(session: Session, pool_id: UUID, transactions: Sequence[ledger.Transaction]) -> None:
    """Write transactions, bind them into the pool's chain and move the balances, all or none.

    Nobody else of the pool can write between the first of its statements and the end of the transaction, so there are
    as few as can be: one that locks, and one that writes where the database takes several changes in one.

    :raises Conflict: ``insufficient_funds`` when an account would go below zero that may not; ``year_closed`` for a day
        of a financial year that is closed.
    """
    # What else the transaction changes is written before, not while everybody waits for the end of the chain.
    session.flush()
    names = {name for transaction in transactions for name in transaction.accounts}
    accounts, head, closed = _lock_all(session, pool_id, names)
    before = {name: account.balance_pence for name, account in accounts.items()}
    after = before
    for transaction in transactions:
        years.check_open(None, transaction.effective_on, closed)
    recorded_at = clock.now()
    written: list[_Written] = []
    for transaction in transactions:
        after = ledger.apply(after, transaction)
        entry = _entry(transaction, recorded_at, _attribute(session, pool_id, transaction, after))
        head = ledger_chain.extend(head, entry)
        written.append(_Written(head, entry, next(iter(transaction.paid), None)))
    changed = {accounts[name].id: after[name] for name in accounts if after[name] != before[name]}
    _write(session, pool_id, written, accounts, changed)


def lock_books(session: Session, pool_id: UUID, accounts: Collection[str]) -> ledger_chain.Head:
    """Lock accounts, then the end of the chain: nothing else of the pool moves until the transaction ends.

    :param accounts: all that the transaction will move, if it moves any.
    """
    session.flush()
    _, head, _ = _lock_all(session, pool_id, accounts)
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


def _lock_all(
    session: Session, pool_id: UUID, accounts: Iterable[str]
) -> tuple[dict[str, _Locked], ledger_chain.Head, date | None]:
    """Lock accounts, then the end of the pool's chain: whoever holds that waits for nobody.

    Returns both, and the day up to which the books are closed.
    """
    names = sorted(accounts)
    _, lock_all = _locking(len(names))
    rows = _locked_by(lock_all, session, pool_id, names)
    locked = {row.name: _Locked(row.id, row.balance_pence) for row in rows if row.name is not None}
    return locked, ledger_chain.Head(rows[0].number, bytes(rows[0].hash)), rows[0].closed_through


def _locked_by(statement: Executable, session: Session, pool_id: UUID, names: Sequence[str]) -> Sequence[Row[Any]]:
    """Return what a statement of :func:`_locking` locks, once it all is there."""
    meant = {"pool_id": pool_id} | {f"name_{place}": name for place, name in enumerate(names)}
    rows = session.connection().execute(statement, meant).all()
    if not rows:
        # Made before any is locked: whoever makes one waits for nobody who waits for a lock.
        _make(session, pool_id, names)
        rows = session.connection().execute(statement, meant).all()
    return rows


def _make(session: Session, pool_id: UUID, names: Sequence[str]) -> None:
    """Make the accounts that are not there yet, in order, and the beginning of the pool's chain."""
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
    if accounts_to_make:
        session.execute(insert_into(session, LedgerAccount).values(accounts_to_make).on_conflict_do_nothing())
    beginning = ledger_chain.beginning(pool_id)
    row = {"pool_id": pool_id, "number": beginning.number, "hash": beginning.hash}
    session.execute(insert_into(session, LedgerHead).values(row).on_conflict_do_nothing())


@lru_cache(256)
def _locking(accounts: int) -> tuple[Executable, Executable]:
    """Return what locks so many accounts in the order of their names: alone, and with the end of the chain after them.

    Both lock all of them or, when one is not there, nothing, and find no row then.
    """
    account, head = _table(LedgerAccount).c, _table(LedgerHead).c
    pool_id = bindparam("pool_id", type_=Uuid)
    meant = account.pool_id == pool_id, account.name.in_([bindparam(f"name_{place}") for place in range(accounts)])
    there = select(func.count(account.id)).where(*meant).scalar_subquery()
    alone = (
        select(account.name, account.id, account.balance_pence)
        .where(*meant, there == accounts)
        .order_by(account.name)
        .with_for_update()
    )
    locked = alone.cte("locked")
    locked_all = select(func.count()).select_from(locked).scalar_subquery() == accounts
    end = (
        select(head.number, head.hash, head.closed_through)
        .where(head.pool_id == pool_id, locked_all)
        .with_for_update()
        .cte("chain_end")
    )
    return alone, select(locked, end).select_from(end.outerjoin(locked, true()))


def _attribute(
    session: Session, pool_id: UUID, transaction: ledger.Transaction, after: Mapping[str, int]
) -> dict[str, int]:
    """Return what a transaction costs each council, and keep what each has spent in step.

    The chain's end is locked, so nothing else of the pool moves meanwhile.

    :param after: the balances of the accounts that are being posted to, once it is done.
    """
    for project_id, amount_pence in transaction.paid.items():
        spent = _spent(session, pool_id)
        if transaction.attribution is not None:
            attributed = dict(transaction.attribution)
        elif amount_pence > 0:
            # A refund lowers what its council has left, and not its part in what the pool had promised by then.
            paid_in, refunded = _paid_in({**balances(session, pool_id), **after}), _refunded(session, pool_id)
            weights = {council: pence + refunded.get(council, 0) for council, pence in paid_in.items()}
            attributed = attribution.of_payment(amount_pence, weights, _left(paid_in, spent))
        else:
            attributed = attribution.of_return(-amount_pence, in_project(session, project_id))
        _note_spent(session, pool_id, {council: spent.get(council, 0) + pence for council, pence in attributed.items()})
        return attributed
    if ledger.flow_of(transaction.kind) == ledger.REFUND:
        _note_refund(session, pool_id, transaction)
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


def _note_spent(session: Session, pool_id: UUID, spent: Mapping[str, int]) -> None:
    # Written as what it is afterwards, since a database checks the row to be inserted before it sees that one is there:
    # what comes back alone would be below zero.
    rows = [
        {"pool_id": pool_id, "council": council, "attributed_pence": pence, "refunded_pence": 0}
        for council, pence in spent.items()
    ]
    insert = insert_into(session, LedgerContributor).values(rows)
    session.execute(
        insert.on_conflict_do_update(
            index_elements=["pool_id", "council"], set_={"attributed_pence": insert.excluded.attributed_pence}
        )
    )


def _refunded(session: Session, pool_id: UUID) -> dict[str, int]:
    rows = session.execute(
        select(LedgerContributor.council, LedgerContributor.refunded_pence).where(LedgerContributor.pool_id == pool_id)
    )
    return dict(rows.all())


def _note_refund(session: Session, pool_id: UUID, transaction: ledger.Transaction) -> None:
    [council] = ledger.councils_in(transaction.accounts)
    [refunded_pence] = [
        posting.amount_pence for posting in transaction.postings if ledger.kind_of(posting.account) == ledger.COUNCIL
    ]
    so_far_pence = _refunded(session, pool_id).get(council, 0)
    # A refund may be reversed after its council has joined again.
    row = {
        "pool_id": pool_id,
        "council": council,
        "attributed_pence": 0,
        "refunded_pence": max(0, so_far_pence + refunded_pence),
    }
    insert = insert_into(session, LedgerContributor).values(row)
    session.execute(
        insert.on_conflict_do_update(
            index_elements=["pool_id", "council"], set_={"refunded_pence": insert.excluded.refunded_pence}
        )
    )


def begin_anew(session: Session, pool_id: UUID, council: str) -> None:
    """Let a council that joins again take part in payments by what it has in the pool, whatever it was refunded."""
    lock_books(session, pool_id, [])
    session.execute(
        update(LedgerContributor)
        .where(LedgerContributor.pool_id == pool_id, LedgerContributor.council == council)
        .values(refunded_pence=0)
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


def _write(
    session: Session,
    pool_id: UUID,
    written: Sequence[_Written],
    accounts: Mapping[str, _Locked],
    balances_pence: Mapping[UUID, int],
) -> None:
    rows: list[tuple[str, dict[str, Any]]] = []
    for each in written:
        head, entry = each.head, each.entry
        rows.append(
            (
                "transaction",
                {
                    "id": entry.id,
                    "pool_id": pool_id,
                    "number": head.number,
                    "hash": head.hash,
                    "key": entry.key,
                    "kind": entry.kind,
                    "effective_on": entry.effective_on,
                    "recorded_at": entry.recorded_at,
                    "author": entry.author,
                    "approver": entry.approver,
                    "about": entry.about,
                },
            )
        )
        rows += [
            ("posting", {"transaction_id": entry.id, "account_id": accounts[name].id, "amount_pence": amount_pence})
            for name, amount_pence in entry.postings.items()
        ]
        rows += [
            (
                "attribution",
                {
                    "transaction_id": entry.id,
                    "council": council,
                    "project_id": each.project_id,
                    "amount_pence": amount_pence,
                },
            )
            for council, amount_pence in entry.attribution.items()
        ]
    rows += [("balance", {"account": id, "balance_pence": pence}) for id, pence in balances_pence.items()]
    rows.append(("head", {"pool": pool_id, "number": written[-1].head.number, "hash": written[-1].head.hash}))
    given = {f"{name}_{place}": value for place, (_, row) in enumerate(rows) for name, value in row.items()}
    for statement in _writing(tuple(what for what, _ in rows), session.get_bind().dialect.name == "postgresql"):
        session.connection().execute(statement, given)


def _change(what: str, place: int) -> Insert | Update:
    """Return the statement that writes one row; the names of what it is given end with its place among the rows."""

    def given(column: str, type_: Any = None) -> BindParameter[Any]:
        return bindparam(f"{column}_{place}", type_=type_)

    match what:
        case "balance":
            accounts = _table(LedgerAccount)
            return (
                update(accounts).where(accounts.c.id == given("account")).values(balance_pence=given("balance_pence"))
            )
        case "head":
            heads = _table(LedgerHead)
            where = heads.c.pool_id == given("pool")
            return update(heads).where(where).values(number=given("number"), hash=given("hash"))
    table = _table({"transaction": LedgerTransaction, "posting": LedgerPosting, "attribution": LedgerAttribution}[what])
    return insert(table).values({column.name: given(column.name, column.type) for column in table.columns})


def _table(model: type[Any]) -> Table:
    return cast(Table, model.__table__)


@lru_cache(256)
def _writing(rows: tuple[str, ...], at_once: bool) -> list[Insert | Update]:
    """Return what writes rows of some kinds: a statement for each, or one of which the others are parts.

    :param at_once: whether the database takes several changes in one statement; SQLite does not.
    """
    changes = [_change(what, place) for place, what in enumerate(rows)]
    if not at_once:
        return changes
    *first, last = changes
    return [last.add_cte(*(change.cte(f"change_{place}") for place, change in enumerate(first)))]
