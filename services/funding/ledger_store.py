"""Keeps the ledger in the database; its rules are in :mod:`services.funding.ledger`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, insert, select, update
from sqlalchemy.orm import Session

from services.funding import ledger
from services.funding.models import LedgerAccount, LedgerPosting, LedgerTransaction
from shared import clock, ids
from shared.storage.upsert import insert_into

#: The most wrong rows of one kind that a verification names.
MAX_PROBLEMS = 20


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
    """Write transactions and move the balances, all or none.

    :raises Conflict: ``insufficient_funds`` when an account would go below zero that may not.
    """
    accounts = _lock(session, pool_id, {name for transaction in transactions for name in transaction.accounts})
    before = {name: account.balance_pence for name, account in accounts.items()}
    after = before
    for transaction in transactions:
        after = ledger.apply(after, transaction)
    _write(session, pool_id, transactions, accounts)
    changed = [name for name in accounts if after[name] != before[name]]
    session.execute(
        update(LedgerAccount), [{"id": accounts[name].id, "balance_pence": after[name]} for name in changed]
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


def _write(
    session: Session, pool_id: UUID, transactions: Sequence[ledger.Transaction], accounts: dict[str, _Locked]
) -> None:
    recorded_at = clock.now()
    with_ids = [(ids.new_id(), transaction) for transaction in transactions]
    session.execute(
        insert(LedgerTransaction),
        [
            {
                "id": id,
                "pool_id": pool_id,
                "key": transaction.key,
                "kind": transaction.kind,
                "effective_on": transaction.effective_on,
                "recorded_at": recorded_at,
                "author": transaction.author,
                "approver": transaction.approver,
                "about": dict(transaction.about),
            }
            for id, transaction in with_ids
        ],
    )
    session.execute(
        insert(LedgerPosting),
        [
            {
                "transaction_id": id,
                "account_id": accounts[posting.account].id,
                "amount_pence": posting.amount_pence,
            }
            for id, transaction in with_ids
            for posting in transaction.postings
        ],
    )


# --- verification ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Problem:
    """A row of the ledger that is wrong.

    :param code: what is wrong with it, for a program.
    :param message: the same as a sentence.
    :param transaction_id: the transaction at fault, if it is one.
    :param account: the account at fault, if it is one.
    """

    code: str
    message: str
    transaction_id: UUID | None = None
    account: str | None = None


@dataclass(frozen=True)
class Verification:
    """What was looked at, and every problem that was found; transactions in the order of their making come first."""

    transactions: int
    postings: int
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify(session: Session, pool_id: UUID) -> Verification:
    """Check a pool's ledger against its own rows.

    Every transaction has postings and balances, every posting has its transaction, all postings together are zero,
    each account's kept balance is the sum of its postings, and only the world outside is below zero. Each check is one
    statement, so that whatever is being posted meanwhile is seen whole or not at all.
    """
    problems = [
        *_unbalanced_transactions(session, pool_id),
        *_postings_without_transaction(session, pool_id),
        *_total_that_is_not_zero(session, pool_id),
        *_balances_out_of_step(session, pool_id),
        *_accounts_that_may_wrongly_go_below_zero(session, pool_id),
        *_overdrawn_accounts(session, pool_id),
    ]
    transactions = session.scalar(select(func.count()).where(LedgerTransaction.pool_id == pool_id))
    postings = session.scalar(_in_pool(select(func.count(LedgerPosting.account_id)), pool_id))
    return Verification(int(transactions or 0), int(postings or 0), tuple(problems))


def _unbalanced_transactions(session: Session, pool_id: UUID) -> list[Problem]:
    sum_pence = func.coalesce(func.sum(LedgerPosting.amount_pence), 0)
    postings = func.count(LedgerPosting.account_id)
    rows = session.execute(
        select(LedgerTransaction.id, LedgerTransaction.key, sum_pence, postings)
        .outerjoin(LedgerPosting, LedgerPosting.transaction_id == LedgerTransaction.id)
        .where(LedgerTransaction.pool_id == pool_id)
        .group_by(LedgerTransaction.id, LedgerTransaction.key)
        .having((sum_pence != 0) | (postings == 0))
        .order_by(LedgerTransaction.id)
        .limit(MAX_PROBLEMS)
    )
    return [
        Problem("unbalanced", f"The postings of {key} add up to {int(pence)} pence, not 0.", transaction_id=id)
        if count
        else Problem("no_postings", f"{key} has no postings.", transaction_id=id)
        for id, key, pence, count in rows
    ]


def _postings_without_transaction(session: Session, pool_id: UUID) -> list[Problem]:
    rows = session.execute(
        select(LedgerPosting.transaction_id, LedgerAccount.name)
        .join(LedgerAccount, LedgerAccount.id == LedgerPosting.account_id)
        .outerjoin(
            LedgerTransaction,
            (LedgerTransaction.id == LedgerPosting.transaction_id)
            & (LedgerTransaction.pool_id == LedgerAccount.pool_id),
        )
        .where(LedgerAccount.pool_id == pool_id, LedgerTransaction.id.is_(None))
        .order_by(LedgerPosting.transaction_id, LedgerAccount.name)
        .limit(MAX_PROBLEMS)
    )
    return [
        Problem("no_transaction", f"A posting to {name} has no transaction in this pool.", id, account=name)
        for id, name in rows
    ]


def _total_that_is_not_zero(session: Session, pool_id: UUID) -> list[Problem]:
    pence = int(session.scalar(_in_pool(select(func.coalesce(func.sum(LedgerPosting.amount_pence), 0)), pool_id)) or 0)
    return [Problem("total_not_zero", f"All postings add up to {pence} pence, not 0.")] if pence else []


def _balances_out_of_step(session: Session, pool_id: UUID) -> list[Problem]:
    sum_pence = func.coalesce(func.sum(LedgerPosting.amount_pence), 0)
    rows = session.execute(
        select(LedgerAccount.name, LedgerAccount.balance_pence, sum_pence)
        .outerjoin(LedgerPosting, LedgerPosting.account_id == LedgerAccount.id)
        .where(LedgerAccount.pool_id == pool_id)
        .group_by(LedgerAccount.id, LedgerAccount.name, LedgerAccount.balance_pence)
        .having(LedgerAccount.balance_pence != sum_pence)
        .order_by(LedgerAccount.name)
        .limit(MAX_PROBLEMS)
    )
    return [
        Problem(
            "balance_out_of_step",
            f"The balance of {name} is kept as {kept_pence} pence, and its postings add up to {int(pence)}.",
            account=name,
        )
        for name, kept_pence, pence in rows
    ]


def _accounts_that_may_wrongly_go_below_zero(session: Session, pool_id: UUID) -> list[Problem]:
    rows = session.scalars(
        select(LedgerAccount.name)
        .where(LedgerAccount.pool_id == pool_id, LedgerAccount.may_go_below_zero)
        .order_by(LedgerAccount.name)
    )
    return [
        Problem(
            "may_go_below_zero", f"{name} is allowed below zero, and only a council's own account is.", account=name
        )
        for name in rows
        if not ledger.may_go_below_zero(name)
    ][:MAX_PROBLEMS]


def _overdrawn_accounts(session: Session, pool_id: UUID) -> list[Problem]:
    rows = session.execute(
        select(LedgerAccount.name, LedgerAccount.balance_pence)
        .where(LedgerAccount.pool_id == pool_id, LedgerAccount.balance_pence < 0)
        .order_by(LedgerAccount.name)
    )
    return [
        Problem("below_zero", f"{name} is at {pence} pence, and only a council's own account may be.", account=name)
        for name, pence in rows
        if not ledger.may_go_below_zero(name)
    ][:MAX_PROBLEMS]


def _in_pool(statement: Select[Any], pool_id: UUID) -> Select[Any]:
    return (
        statement.select_from(LedgerPosting)
        .join(LedgerAccount, LedgerAccount.id == LedgerPosting.account_id)
        .where(LedgerAccount.pool_id == pool_id)
    )
