"""Corrections: a transaction is taken back by its mirror image, and what was recorded of it with it.

What it means beside the ledger: a receipt's or a payment's reference may be recorded again, a payment's tranche is
approved again, and a pledged share is cancelled, so that another one may be added. What came back of an award is worked
out from the ledger, and is less by it.
"""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from services.funding import access, contributions, events, ledger, ledger_store, schemas
from services.funding.domain import drawdowns as drawdown_rules
from services.funding.domain import reversals as rules
from services.funding.domain import years
from services.funding.domain.awards import AwardState
from services.funding.handlers.plans import Approval, Kind, Plan, Subject
from services.funding.models import Contribution, Instruction, LedgerPosting, LedgerTransaction, Payment, Pool, Receipt
from shared import clock
from shared.errors import Conflict, NotFound
from shared.fields import Command
from shared.money import format_pounds
from shared.security.principal import Principal


def _lock(session: Session, principal: Principal, command: Command) -> Subject:
    """Lock the pool; before it the award, when what is taken back is about one."""
    original = _original(session, access.pool(session, principal, command.pool_id), command.number)
    award_id = original.about.get("award_id")
    award = access.locked_award(session, UUID(award_id)) if award_id else None
    return Subject(access.pool(session, principal, command.pool_id, lock=True), award)


def _key(command: Command) -> str:
    return f"reverse_transaction:{command.number}"


def _original(session: Session, pool: Pool, number: int) -> LedgerTransaction:
    found = session.scalar(
        select(LedgerTransaction)
        .where(LedgerTransaction.pool_id == pool.id, LedgerTransaction.number == number)
        .options(
            selectinload(LedgerTransaction.postings).joinedload(LedgerPosting.account),
            selectinload(LedgerTransaction.attributions),
        )
    )
    if found is None:
        raise NotFound("no_such_transaction", f"The pool has no transaction {number}; list_transactions numbers them.")
    return found


def _plan(session: Session, subject: Subject, command: Command) -> Plan:
    pool = subject.pool
    original = _original(session, pool, command.number)
    rules.check_reversible(original.number, original.kind)
    _check_not_reversed(session, pool, original)
    command.effective_on = command.effective_on or clock.today()
    rules.check_day(command.effective_on, original.effective_on, clock.today())
    years.check_open("effective_on", command.effective_on, ledger_store.closed_through(session, pool.id))
    postings = {posting.account.name: posting.amount_pence for posting in original.postings}
    if original.kind == ledger.PLEDGE:
        rules.check_not_cancelled(original.number, _share_of(session, pool, original).cancelled_pence)
    _check_money_is_there(session, subject, original, postings)
    amount_pence = sum(pence for pence in postings.values() if pence > 0)
    sentence = (
        f"Reverse transaction {original.number}, the {original.kind} of {format_pounds(amount_pence)} dated"
        f" {original.effective_on}, as of {command.effective_on}: {command.reason}"
    )

    def carry_out(approval: Approval) -> dict[str, str]:
        reversal = ledger.reversal(
            number=original.number,
            kind=original.kind,
            about=original.about,
            postings=postings,
            attribution={part.council: part.amount_pence for part in original.attributions},
            reason=command.reason,
            on=command.effective_on,
            author=approval.author,
            approver=approval.approver,
        )
        ledger_store.post(session, pool.id, [reversal])
        _take_back_the_record(session, subject, original)
        events.transaction_reversed(session, pool, original, reversal, amount_pence)
        return {"transaction_key": reversal.key}

    return Plan(sentence, carry_out)


def _check_not_reversed(session: Session, pool: Pool, original: LedgerTransaction) -> None:
    reversed_by = ledger_store.number_of(session, pool.id, ledger.reversal_key(original.number))
    if reversed_by is not None:
        raise Conflict(
            "already_reversed", f"Transaction {original.number} is reversed already, by transaction {reversed_by}."
        )


def _check_money_is_there(
    session: Session, subject: Subject, original: LedgerTransaction, postings: dict[str, int]
) -> None:
    ledger_store.lock_books(session, subject.pool.id, postings)
    rules.check_still_there(postings, ledger_store.balances(session, subject.pool.id))
    after = ledger_store.left(session, subject.pool.id)
    for account, pence in postings.items():
        if ledger.kind_of(account) in (ledger.COUNCIL, ledger.PLEDGED):
            [council] = ledger.councils_in([account])
            after[council] = after.get(council, 0) + pence
    for part in original.attributions:
        after[part.council] += part.amount_pence
    rules.check_nobody_below_zero(after)
    if original.kind == ledger.PAY:
        award = subject.the_award
        if award.state != AwardState.ACTIVE:
            raise Conflict(
                "award_not_active",
                f"The award {award.reference} is {award.state}, and what it had not paid is free again; have the lead"
                " council pay the money back instead.",
            )
        costs = {part.council: part.amount_pence for part in original.attributions}
        rules.check_not_returned(costs, ledger_store.in_project(session, award.funded_project_id))


def _share_of(session: Session, pool: Pool, original: LedgerTransaction) -> Contribution:
    """Return the share of a financial year that a pledge is for."""
    council = original.about["council"]
    shares = contributions.shares(session, pool.id, council)
    return next(share for share in shares if ledger.pledge_key(share.year, council, share.nth) == original.key)


def _take_back_the_record(session: Session, subject: Subject, original: LedgerTransaction) -> None:
    about, pool_id = original.about, subject.pool.id
    if original.kind == ledger.RECEIPT:
        receipt = session.scalars(
            select(Receipt).where(
                Receipt.pool_id == pool_id,
                Receipt.bank_reference == about["bank_reference"],
                Receipt.reversed_at.is_(None),
            )
        ).one()
        receipt.reversed_at = clock.now()
    elif original.kind == ledger.PAY:
        payment = session.scalars(
            select(Payment).where(
                Payment.pool_id == pool_id,
                Payment.payment_reference == about["payment_reference"],
                Payment.reversed_at.is_(None),
            )
        ).one()
        payment.reversed_at = clock.now()
        drawdown_rules.take_payment_back(payment.drawdown)
        session.flush()
        session.expire(payment.drawdown, ["payment"])
    elif original.kind == ledger.PLEDGE:
        share = _share_of(session, subject.pool, original)
        share.cancelled_pence = share.amount_pence
    elif original.kind in (ledger.RETURN, ledger.CLAW_BACK):
        # It may be asked for again under the same reference.
        session.get_one(Instruction, UUID(about["instruction_id"])).key = None


#: The kinds of instructions of this module, by the name of the method that asks for them.
KINDS = {"reverse_transaction": Kind(schemas.ReverseTransaction, _lock, _plan, _key)}
