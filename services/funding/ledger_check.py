"""Checks a pool's ledger against its own rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, literal, select, union_all
from sqlalchemy.orm import Session, selectinload

from services.funding import figures, ledger, ledger_chain, ledger_history
from services.funding.domain.statements import Figures, span_of
from services.funding.models import (
    ClosedYear,
    LedgerAccount,
    LedgerAttribution,
    LedgerContributor,
    LedgerHead,
    LedgerPosting,
    LedgerTransaction,
)
from shared import periods

#: The most wrong rows of one kind that a verification names.
MAX_PROBLEMS = 20
BATCH_SIZE = 500


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

    The chain holds from the first transaction to the kept head, every transaction has postings and balances, every
    posting has its transaction, all postings together are zero, each account's kept balance is the sum of its postings,
    only the world outside is below zero, what projects were paid is attributed, to councils that had it, and the
    figures of closed years are those of their transactions. Each check is one statement, goes as far as the head that
    it read first, or is about a year that is closed, so that whatever is being posted meanwhile is seen whole or not at
    all.
    """
    problems = [
        *_broken_links(session, pool_id),
        *_unbalanced_transactions(session, pool_id),
        *_postings_without_transaction(session, pool_id),
        *_total_that_is_not_zero(session, pool_id),
        *_balances_out_of_step(session, pool_id),
        *_accounts_that_may_wrongly_go_below_zero(session, pool_id),
        *_overdrawn_accounts(session, pool_id),
        *_wrong_attributions(session, pool_id),
        *_contributors_out_of_step(session, pool_id),
        *_closed_years_out_of_step(session, pool_id),
    ]
    transactions = session.scalar(select(func.count()).where(LedgerTransaction.pool_id == pool_id))
    postings = session.scalar(_in_pool(select(func.count(LedgerPosting.account_id)), pool_id))
    return Verification(int(transactions or 0), int(postings or 0), tuple(problems))


def entries(session: Session, pool_id: UUID, upto: int) -> Iterator[tuple[ledger_chain.Head, ledger_chain.Entry]]:
    """Go along a pool's ledger in the order of its numbers, with the head that each transaction claims to be."""
    after = 0
    while True:
        rows = session.scalars(
            select(LedgerTransaction)
            .where(
                LedgerTransaction.pool_id == pool_id,
                LedgerTransaction.number > after,
                LedgerTransaction.number <= upto,
            )
            .order_by(LedgerTransaction.number)
            .limit(BATCH_SIZE)
            .options(
                selectinload(LedgerTransaction.postings).joinedload(LedgerPosting.account),
                selectinload(LedgerTransaction.attributions),
            )
            .execution_options(populate_existing=True)
        ).all()
        for row in rows:
            yield ledger_chain.Head(row.number, bytes(row.hash)), _entry_of(row)
        if len(rows) < BATCH_SIZE:
            return
        after = rows[-1].number
        session.expunge_all()


def _entry_of(row: LedgerTransaction) -> ledger_chain.Entry:
    return ledger_chain.Entry(
        id=row.id,
        key=row.key,
        kind=row.kind,
        effective_on=row.effective_on,
        recorded_at=row.recorded_at,
        author=row.author,
        approver=row.approver,
        about=row.about,
        postings={posting.account.name: posting.amount_pence for posting in row.postings},
        attribution={part.council: part.amount_pence for part in row.attributions},
    )


def _broken_links(session: Session, pool_id: UUID) -> list[Problem]:
    """Follow the chain to the kept head; the first link that does not hold is named, since none after it can."""
    kept = session.execute(
        select(LedgerHead.number, LedgerHead.hash).where(LedgerHead.pool_id == pool_id)
    ).one_or_none()
    head = ledger_chain.beginning(pool_id)
    upto = kept.number if kept else 0
    for claimed, entry in entries(session, pool_id, upto):
        if claimed.number != head.number + 1:
            return [_missing(head.number + 1, before=entry.key)]
        found = ledger_chain.extend(head, entry)
        if found.hash != claimed.hash:
            return [
                Problem(
                    "chain_broken",
                    f"Transaction {claimed.number}, {entry.key}, or the order before it, is not what was written.",
                    transaction_id=entry.id,
                )
            ]
        head = found
    if head.number != upto:
        return [_missing(head.number + 1)]
    if kept and head.hash != bytes(kept.hash):
        return [Problem("chain_broken", f"The kept end of the chain is not that of transaction {upto}.")]
    return _beyond_the_head(session, pool_id)


def _beyond_the_head(session: Session, pool_id: UUID) -> list[Problem]:
    """What stands past the kept head was not written by the ledger; one statement sees both or neither."""
    kept = select(LedgerHead.number).where(LedgerHead.pool_id == pool_id).scalar_subquery()
    rows = session.execute(
        select(LedgerTransaction.id, LedgerTransaction.number, LedgerTransaction.key)
        .where(LedgerTransaction.pool_id == pool_id, LedgerTransaction.number > func.coalesce(kept, 0))
        .order_by(LedgerTransaction.number)
        .limit(MAX_PROBLEMS)
    )
    return [
        Problem("beyond_the_chain", f"{key} has the number {number}, past the end of the chain.", transaction_id=id)
        for id, number, key in rows
    ]


def _missing(number: int, *, before: str | None = None) -> Problem:
    where = f"; the next one that is there is {before}" if before else ""
    return Problem("transaction_missing", f"Transaction {number} is missing{where}.")


def _wrong_attributions(session: Session, pool_id: UUID) -> list[Problem]:
    """What each transaction adds to a project's paid account is attributed to councils, all of it."""
    paid = (
        select(LedgerPosting.transaction_id, func.sum(LedgerPosting.amount_pence).label("pence"))
        .join(LedgerAccount, LedgerAccount.id == LedgerPosting.account_id)
        .where(LedgerAccount.pool_id == pool_id, LedgerAccount.name.like(f"{ledger.PAID}:%"))
        .group_by(LedgerPosting.transaction_id)
        .subquery()
    )
    attributed = (
        select(LedgerAttribution.transaction_id, func.sum(LedgerAttribution.amount_pence).label("pence"))
        .group_by(LedgerAttribution.transaction_id)
        .subquery()
    )
    paid_pence, attributed_pence = func.coalesce(paid.c.pence, 0), func.coalesce(attributed.c.pence, 0)
    rows = session.execute(
        select(LedgerTransaction.id, LedgerTransaction.key, paid_pence, attributed_pence)
        .outerjoin(paid, paid.c.transaction_id == LedgerTransaction.id)
        .outerjoin(attributed, attributed.c.transaction_id == LedgerTransaction.id)
        .where(LedgerTransaction.pool_id == pool_id, paid_pence != attributed_pence)
        .order_by(LedgerTransaction.number)
        .limit(MAX_PROBLEMS)
    )
    return [
        Problem("wrongly_attributed", f"{key} pays {int(paid)} pence and {int(to)} are attributed.", transaction_id=id)
        for id, key, paid, to in rows
    ]


def _contributors(session: Session, pool_id: UUID) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """Return what the attributions to each council add up to, what is kept of that, and the balances of all accounts.

    One statement sees all three before a payment or after it.
    """
    summed = (
        select(literal("summed"), LedgerAttribution.council, func.sum(LedgerAttribution.amount_pence))
        .join(LedgerTransaction, LedgerTransaction.id == LedgerAttribution.transaction_id)
        .where(LedgerTransaction.pool_id == pool_id)
        .group_by(LedgerAttribution.council)
    )
    kept = select(literal("kept"), LedgerContributor.council, LedgerContributor.attributed_pence).where(
        LedgerContributor.pool_id == pool_id
    )
    balances = select(literal("balance"), LedgerAccount.name, LedgerAccount.balance_pence).where(
        LedgerAccount.pool_id == pool_id
    )
    found: dict[str, dict[str, int]] = {"summed": {}, "kept": {}, "balance": {}}
    for what, name, pence in session.execute(union_all(summed, kept, balances)):
        found[what][name] = int(pence)
    return found["summed"], found["kept"], found["balance"]


def _contributors_out_of_step(session: Session, pool_id: UUID) -> list[Problem]:
    summed, kept, balances = _contributors(session, pool_id)
    problems = [
        Problem(
            "contributor_out_of_step",
            f"{council} is kept as having spent {kept.get(council, 0)} pence, and its attributions add up to"
            f" {summed.get(council, 0)}.",
        )
        for council in sorted(kept.keys() | summed.keys())
        if kept.get(council, 0) != summed.get(council, 0)
    ]
    problems += [
        Problem(
            "spent_more_than_paid_in",
            f"{council} has paid in {ledger.received_from(balances, council)} pence and spent {pence}.",
        )
        for council, pence in sorted(summed.items())
        if pence > ledger.received_from(balances, council)
    ]
    return problems[:MAX_PROBLEMS]


def _closed_years_out_of_step(session: Session, pool_id: UUID) -> list[Problem]:
    """Nothing is dated in a closed year any more, so that its figures stay what the ledger says of it."""
    closed = session.scalars(select(ClosedYear).where(ClosedYear.pool_id == pool_id).order_by(ClosedYear.year)).all()
    books = ledger_history.books(session, pool_id)
    problems = [problem for year in closed if (problem := _first_wrong_figure(session, books, year))]
    through = session.scalar(select(LedgerHead.closed_through).where(LedgerHead.pool_id == pool_id))
    closed_through = periods.parse_year(closed[-1].year).ends_on if closed else None
    # A year may be closed while this runs, and none is opened again.
    if closed_through is not None and (through is None or through < closed_through):
        problems.append(Problem("closed_through_out_of_step", f"The books are open to a day before {closed_through}."))
    return problems


def _first_wrong_figure(session: Session, books: ledger_history.Books, year: ClosedYear) -> Problem | None:
    kept = {row.council: row for row in year.figures}
    for council, part in figures.of_span(session, books, span_of(year.year), kept).items():
        for name, pence in part.by_name().items():
            kept_pence = getattr(kept.get(council, Figures()), name)
            if kept_pence != pence:
                return Problem(
                    "year_out_of_step",
                    f"The {name} of {council} for {year.year} is kept as {kept_pence} pence, and the ledger's"
                    f" transactions come to {pence}.",
                )
    return None


def _unbalanced_transactions(session: Session, pool_id: UUID) -> list[Problem]:
    sum_pence = func.coalesce(func.sum(LedgerPosting.amount_pence), 0)
    postings = func.count(LedgerPosting.account_id)
    rows = session.execute(
        select(LedgerTransaction.id, LedgerTransaction.key, sum_pence, postings)
        .outerjoin(LedgerPosting, LedgerPosting.transaction_id == LedgerTransaction.id)
        .where(LedgerTransaction.pool_id == pool_id)
        .group_by(LedgerTransaction.id, LedgerTransaction.number, LedgerTransaction.key)
        .having((sum_pence != 0) | (postings == 0))
        .order_by(LedgerTransaction.number)
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
