"""What the ledger says of a day or of a span of days: worked out from its postings, never from the kept balances.

A transaction counts from its effective date on, that day included, whenever it was written down. All that one answer
tells is read up to one transaction of the chain, so that its parts belong together whatever is posted meanwhile.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, or_, select
from sqlalchemy.orm import Session

from services.funding import ledger, ledger_chain
from services.funding.domain.statements import Move, Span, move_of_accounts, move_of_attribution
from services.funding.models import LedgerAccount, LedgerAttribution, LedgerHead, LedgerPosting, LedgerTransaction
from shared.errors import Invalid


@dataclass(frozen=True)
class Books:
    """A pool's ledger up to one transaction of its chain."""

    pool_id: UUID
    head: ledger_chain.Head

    def within(self, span: Span) -> list[ColumnElement[bool]]:
        """Return the conditions that a transaction meets when it is in these books and effective in a span."""
        conditions = [LedgerTransaction.pool_id == self.pool_id, LedgerTransaction.number <= self.head.number]
        if span.starts_on is not None:
            conditions.append(LedgerTransaction.effective_on >= span.starts_on)
        if span.ends_on is not None:
            conditions.append(LedgerTransaction.effective_on <= span.ends_on)
        return conditions


@dataclass(frozen=True)
class Attributed:
    """What a project cost a council, and what came back of it, in pence; below zero where a reversal takes it back."""

    council: str
    project_id: UUID
    spent_pence: int
    returned_pence: int


def books(session: Session, pool_id: UUID, upto_number: int | None = None) -> Books:
    """Return a pool's books as they stand now, or as they stood when a transaction was the last one.

    :raises Invalid: ``no_such_transaction`` for a number that the ledger has not reached.
    """
    kept = session.execute(
        select(LedgerHead.number, LedgerHead.hash).where(LedgerHead.pool_id == pool_id)
    ).one_or_none()
    head = ledger_chain.Head(kept.number, bytes(kept.hash)) if kept else ledger_chain.beginning(pool_id)
    if upto_number is None or upto_number == head.number:
        return Books(pool_id, head)
    if upto_number > head.number:
        sentence = f"The pool's ledger ends with transaction {head.number}; name that one or an earlier one."
        raise Invalid("no_such_transaction", sentence, {"upto_number": [sentence]})
    if upto_number == 0:
        return Books(pool_id, ledger_chain.beginning(pool_id))
    hash = session.execute(
        select(LedgerTransaction.hash).where(
            LedgerTransaction.pool_id == pool_id, LedgerTransaction.number == upto_number
        )
    ).scalar_one()
    return Books(pool_id, ledger_chain.Head(upto_number, bytes(hash)))


def balances_as_at(session: Session, books: Books, day: date | None) -> dict[str, int]:
    """Return the balance in pence of every account that had been posted to, by name, at the end of a day.

    :param day: None for all that is in the books.
    """
    rows = session.execute(
        select(LedgerAccount.name, func.sum(LedgerPosting.amount_pence))
        .join(LedgerPosting, LedgerPosting.account_id == LedgerAccount.id)
        .join(LedgerTransaction, LedgerTransaction.id == LedgerPosting.transaction_id)
        .where(*books.within(Span(None, day)))
        .group_by(LedgerAccount.name)
    )
    return {name: int(pence) for name, pence in rows}


def attributed(session: Session, books: Books, span: Span, council: str | None = None) -> list[Attributed]:
    """Return what each project cost each council in a span of days, or one council."""
    pence = LedgerAttribution.amount_pence
    is_reversal = LedgerTransaction.kind.startswith(ledger.REVERSE, autoescape=True)
    # As in move_of_attribution: what takes a payment back is below zero, and spent all the same.
    is_spent = (pence > 0) != is_reversal
    statement = (
        select(
            LedgerAttribution.council,
            LedgerAttribution.project_id,
            func.sum(case((is_spent, pence), else_=0)),
            func.sum(case((is_spent, 0), else_=-pence)),
        )
        .join(LedgerTransaction, LedgerTransaction.id == LedgerAttribution.transaction_id)
        .where(*books.within(span))
        .group_by(LedgerAttribution.council, LedgerAttribution.project_id)
        .order_by(LedgerAttribution.project_id, LedgerAttribution.council)
    )
    if council is not None:
        statement = statement.where(LedgerAttribution.council == council)
    return [
        Attributed(code, project_id, int(spent), int(returned))
        for code, project_id, spent, returned in session.execute(statement)
    ]


@dataclass(frozen=True)
class CouncilMove:
    """What a transaction is to a council; the project that is paid or pays back, if one is."""

    transaction_id: UUID
    council: str
    project_id: UUID | None
    move: Move


def council_moves(
    session: Session, books: Books, span: Span, council: str | None = None, *, of: Sequence[UUID] | None = None
) -> list[CouncilMove]:
    """Return what the transactions of a span of days are to councils, or to one, by the councils' own accounts.

    :param of: the ids of the only transactions that count.
    """
    accounts = _council_accounts(session, books.pool_id, council)
    if not accounts:
        return []
    statement = (
        select(
            LedgerPosting.transaction_id, LedgerTransaction.kind, LedgerPosting.account_id, LedgerPosting.amount_pence
        )
        .join(LedgerTransaction, LedgerTransaction.id == LedgerPosting.transaction_id)
        .where(LedgerPosting.account_id.in_(list(accounts)), *books.within(span))
    )
    if of is not None:
        statement = statement.where(LedgerPosting.transaction_id.in_(list(of)))
    found: dict[tuple[UUID, str, str], dict[str, int]] = {}
    for transaction_id, kind, account_id, pence in session.execute(statement):
        account, _, code = accounts[account_id].partition(":")
        found.setdefault((transaction_id, kind, code), {})[account] = pence
    return [
        CouncilMove(
            transaction_id,
            code,
            None,
            move_of_accounts(
                pence.get(ledger.COUNCIL, 0), pence.get(ledger.PLEDGED, 0), is_reversal=ledger.is_reversal(kind)
            ),
        )
        for (transaction_id, kind, code), pence in found.items()
    ]


def project_moves(session: Session, of: Sequence[UUID], council: str | None = None) -> list[CouncilMove]:
    """Return what transactions are to councils, or to one, by what a project costs them or gives back.

    :param of: the ids of the transactions.
    """
    statement = (
        select(
            LedgerAttribution.transaction_id,
            LedgerAttribution.council,
            LedgerAttribution.project_id,
            LedgerAttribution.amount_pence,
            LedgerTransaction.kind,
        )
        .join(LedgerTransaction, LedgerTransaction.id == LedgerAttribution.transaction_id)
        .where(LedgerAttribution.transaction_id.in_(list(of)))
    )
    if council is not None:
        statement = statement.where(LedgerAttribution.council == council)
    return [
        CouncilMove(transaction_id, code, project_id, move_of_attribution(pence, is_reversal=ledger.is_reversal(kind)))
        for transaction_id, code, project_id, pence, kind in session.execute(statement)
    ]


def rows_of(session: Session, books: Books, span: Span, council: str | None = None) -> int:
    """Return of how many postings and attributions a statement is made: it has no more lines."""
    accounts = list(_council_accounts(session, books.pool_id, council))
    moves = (
        select(func.count())
        .select_from(LedgerPosting)
        .join(LedgerTransaction, LedgerTransaction.id == LedgerPosting.transaction_id)
        .where(LedgerPosting.account_id.in_(accounts), *books.within(span))
    )
    costs = (
        select(func.count())
        .select_from(LedgerAttribution)
        .join(LedgerTransaction, LedgerTransaction.id == LedgerAttribution.transaction_id)
        .where(*books.within(span))
    )
    if council is not None:
        costs = costs.where(LedgerAttribution.council == council)
    return (session.scalar(moves) or 0) + (session.scalar(costs) or 0)


def concerning(session: Session, books: Books, span: Span, council: str | None = None) -> Select[LedgerTransaction]:
    """Select the transactions of a span of days that have to do with councils' money, or with one council's."""
    accounts = list(_council_accounts(session, books.pool_id, council))
    moves = exists().where(LedgerPosting.transaction_id == LedgerTransaction.id, LedgerPosting.account_id.in_(accounts))
    costs = exists().where(LedgerAttribution.transaction_id == LedgerTransaction.id)
    if council is not None:
        costs = costs.where(LedgerAttribution.council == council)
    return (
        select(LedgerTransaction)
        .where(*books.within(span), or_(moves, costs))
        .order_by(LedgerTransaction.effective_on, LedgerTransaction.number)
    )


def after(session: Session, books: Books, place: UUID) -> ColumnElement[bool]:
    """Return the condition that a transaction meets when it comes after another, by effective date, then by number.

    :param place: the id of the other.
    :raises Invalid: ``bad_cursor`` when there is no such transaction in these books.
    """
    found = session.execute(
        select(LedgerTransaction.effective_on, LedgerTransaction.number).where(
            LedgerTransaction.id == place, *books.within(Span())
        )
    ).one_or_none()
    if found is None:
        sentence = "Pass the next_cursor of the page before, or leave the cursor out to begin."
        raise Invalid("bad_cursor", sentence, {"cursor": [sentence]})
    return or_(
        LedgerTransaction.effective_on > found.effective_on,
        and_(LedgerTransaction.effective_on == found.effective_on, LedgerTransaction.number > found.number),
    )


def _council_accounts(session: Session, pool_id: UUID, council: str | None) -> dict[UUID, str]:
    """Return the names of the accounts of councils in a pool, or of one council, by id."""
    names = select(LedgerAccount.id, LedgerAccount.name).where(LedgerAccount.pool_id == pool_id)
    if council is not None:
        names = names.where(LedgerAccount.name.in_([ledger.council_account(council), ledger.pledged_account(council)]))
    else:
        names = names.where(
            or_(*(LedgerAccount.name.startswith(f"{kind}:") for kind in (ledger.COUNCIL, ledger.PLEDGED)))
        )
    return dict(session.execute(names).all())


@dataclass(frozen=True)
class BankMove:
    """A transaction that moved money at the bank, in or out below zero."""

    number: int
    effective_on: date
    kind: str
    about: Mapping[str, str]
    amount_pence: int


def bank_moves(session: Session, pool_id: UUID) -> list[BankMove]:
    """Return what changed the money in a pool, of all its time: what is available, reserved and committed together."""
    held = or_(
        LedgerAccount.name == ledger.AVAILABLE,
        *(LedgerAccount.name.startswith(f"{kind}:") for kind in (ledger.RESERVED, ledger.COMMITTED)),
    )
    pence = func.sum(LedgerPosting.amount_pence)
    moved = (
        select(LedgerPosting.transaction_id, pence.label("amount_pence"))
        .join(LedgerAccount, LedgerAccount.id == LedgerPosting.account_id)
        .where(LedgerAccount.pool_id == pool_id, held)
        .group_by(LedgerPosting.transaction_id)
        .having(pence != 0)
        .subquery()
    )
    rows = session.execute(
        select(
            LedgerTransaction.number,
            LedgerTransaction.effective_on,
            LedgerTransaction.kind,
            LedgerTransaction.about,
            moved.c.amount_pence,
        )
        .join(moved, moved.c.transaction_id == LedgerTransaction.id)
        .order_by(LedgerTransaction.number)
    )
    return [BankMove(number, on, kind, about, int(amount)) for number, on, kind, about, amount in rows]
