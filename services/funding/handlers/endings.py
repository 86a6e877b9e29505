"""How awards end and how money of them comes back: the plans of these instructions."""

from collections.abc import Callable
from datetime import date

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.funding import events, ledger, ledger_store, schemas
from services.funding.domain import endings as rules
from services.funding.domain import records as record_rules
from services.funding.handlers.plans import Approval, Kind, Plan, Subject, lock_award
from services.funding.models import Award, LedgerAccount, LedgerPosting, LedgerTransaction
from shared import clock, councils
from shared.fields import Command
from shared.money import format_pounds


def _return_underspend(session: Session, subject: Subject, command: Command) -> Plan:
    """Plan that what a project did not need goes back to the pool."""

    def carry_out(approval: Approval) -> dict[str, str]:
        posted = _take_back(session, subject.the_award, command, approval, ledger.returned)
        events.underspend_returned(session, subject.the_award, command)
        return posted

    what = f"{format_pounds(command.amount_pence)} that was not spent"
    return _plan_of_return(session, subject, command, what, carry_out)


def _claw_back(session: Session, subject: Subject, command: Command) -> Plan:
    """Plan that what the pool demanded back, and got, is the pool's again."""

    def carry_out(approval: Approval) -> dict[str, str]:
        posted = _take_back(session, subject.the_award, command, approval, ledger.clawed_back)
        events.funds_clawed_back(session, subject.the_award, command)
        return posted

    what = f"{format_pounds(command.amount_pence)} that was clawed back"
    return _plan_of_return(session, subject, command, what, carry_out)


def _plan_of_return(
    session: Session, subject: Subject, command: Command, what: str, carry_out: Callable[[Approval], dict[str, str]]
) -> Plan:
    award = subject.the_award
    # The day on which it is asked for, unless the caller names another; it is part of what is approved.
    command.received_on = command.received_on or clock.today()
    if command.bank_reference is not None:
        _check_reference_is_free(session, subject, command.bank_reference)
    rules.check_return(
        award,
        amount_pence=command.amount_pence,
        received_on=command.received_on,
        today=clock.today(),
        movements=_movements(session, award),
    )
    return Plan(f"{what}, received on {command.received_on}, comes back to the pool from {_named(award)}.", carry_out)


def _complete_project(session: Session, subject: Subject, command: Command) -> Plan:
    """Plan that a project is completed, and what it has not drawn down is free again."""
    award = subject.the_award
    rules.check_completion(award, award.tranches)

    def carry_out(approval: Approval) -> dict[str, str]:
        posted = _decommit(session, award, approval)
        rules.complete_project(award, award.tranches, at=approval.at)
        events.project_completed(session, award)
        return posted

    return Plan(f"{_named(award)} is completed. {_what_is_cancelled(award)}", carry_out)


def _terminate_award(session: Session, subject: Subject, command: Command) -> Plan:
    """Plan that a project ends early, and what it has not been paid is free again."""
    award = subject.the_award
    rules.check_active(award, "terminated")

    def carry_out(approval: Approval) -> dict[str, str]:
        posted = _decommit(session, award, approval)
        rules.terminate_award(award, award.tranches, at=approval.at, reason=command.reason)
        events.award_terminated(session, award)
        return posted

    return Plan(f"{_named(award)} is terminated. {_what_is_cancelled(award)}", carry_out)


def _key_of_return(command: Command) -> str | None:
    reference = command.bank_reference
    return None if reference is None else f"return:{command.award_id}:{reference}"


def _key_of_end(command: Command) -> str:
    return f"end:{command.award_id}"


#: The kinds of instructions of this module, by the name of the method that asks for them.
KINDS = {
    "return_underspend": Kind(schemas.ReturnUnderspend, lock_award, _return_underspend, _key_of_return),
    "claw_back": Kind(schemas.ClawBack, lock_award, _claw_back, _key_of_return),
    "complete_project": Kind(schemas.CompleteProject, lock_award, _complete_project, _key_of_end),
    "terminate_award": Kind(schemas.TerminateAward, lock_award, _terminate_award, _key_of_end),
}


def _named(award: Award) -> str:
    return f"{award.reference}, {award.candidate.title} ({councils.name_of(award.lead_council)})"


def _what_is_cancelled(award: Award) -> str:
    """Say what the end of an award cancels and frees, for whoever approves it."""
    cancelled = rules.unpaid(award.tranches)
    if not cancelled:
        return "It has been paid whole."
    each = ", ".join(
        f"{tranche.key} {format_pounds(tranche.amount_pence)}"
        # A milestone may be achieved meanwhile, which makes no difference; that somebody waits for the money does.
        + (f" ({tranche.state})" if tranche.state in rules.OPEN_DRAWDOWNS else "")
        for tranche in cancelled
    )
    freed = format_pounds(sum(tranche.amount_pence for tranche in cancelled))
    return f"{freed} that is not paid is free again and never drawn down: {each}."


def _movements(session: Session, award: Award) -> list[tuple[date, int]]:
    """Return day and pence of all that moved a project's ``paid`` account; the award is locked, so no other can."""
    if award.project_id is None:
        return []
    rows = session.execute(
        select(LedgerTransaction.effective_on, LedgerPosting.amount_pence)
        .join(LedgerPosting, LedgerPosting.transaction_id == LedgerTransaction.id)
        .join(LedgerAccount, LedgerAccount.id == LedgerPosting.account_id)
        .where(LedgerAccount.pool_id == award.pool_id, LedgerAccount.name == ledger.paid_account(award.project_id))
    )
    return [(day, pence) for day, pence in rows]


def _check_reference_is_free(session: Session, subject: Subject, bank_reference: str) -> None:
    """Refuse a reference under which money has come in before. The pool is locked, so none is on its way."""
    record_rules.check_reference_is_free(
        bank_reference, used=ledger_store.nth_receipt(session, subject.pool.id, bank_reference) is None
    )


def _take_back(
    session: Session,
    award: Award,
    command: Command,
    approval: Approval,
    flow: Callable[[ledger.ComingBack], ledger.Transaction],
) -> dict[str, str]:
    reference = command.bank_reference
    transaction = flow(
        ledger.ComingBack(
            instruction_id=approval.instruction_id,
            award_id=award.id,
            project_id=award.funded_project_id,
            amount_pence=command.amount_pence,
            bank_reference=reference,
            nth=(reference and ledger_store.nth_receipt(session, award.pool_id, reference)) or 1,
            on=command.received_on,
            author=approval.author,
            approver=approval.approver,
        )
    )
    ledger_store.post(session, award.pool_id, [transaction])
    return {"transaction_key": transaction.key}


def _decommit(session: Session, award: Award, approval: Approval) -> dict[str, str]:
    """Free what is committed and not paid, if there is any."""
    amount_pence = sum(tranche.amount_pence for tranche in rules.unpaid(award.tranches))
    if not amount_pence:
        return {}
    transaction = ledger.decommit(
        award_id=award.id,
        project_id=award.funded_project_id,
        amount_pence=amount_pence,
        on=clock.today(),
        author=approval.author,
        approver=approval.approver,
    )
    ledger_store.post(session, award.pool_id, [transaction])
    return {"transaction_key": transaction.key}
