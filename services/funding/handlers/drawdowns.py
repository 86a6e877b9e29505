"""Drawdowns: a tranche is unlocked by its milestone, requested, approved by a second person, and paid."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.funding import access, events, ledger, ledger_store
from services.funding.domain import drawdowns as rules
from services.funding.domain import records as record_rules
from services.funding.domain import years
from services.funding.domain.awards import ENDED_AWARD_STATES, AwardState
from services.funding.models import Award, Payment, Tranche
from shared import clock, ids
from shared.errors import Conflict, NotFound
from shared.fields import Command
from shared.messaging.events import Event
from shared.security.principal import SYSTEM, Principal


def unlock_tranche(session: Session, event: Event) -> None:
    """Let the tranche of an achieved milestone be claimed; a milestone that carries no money unlocks nothing.

    Neither does one whose award has ended meanwhile: its tranches are paid or cancelled.
    """
    award = access.locked_award(session, event.data["award_id"])
    if award is not None and award.state in ENDED_AWARD_STATES:
        return
    if award is None or award.state != AwardState.ACTIVE:
        raise Conflict("award_not_active", f"There is no active award {event.data['award_id']} to unlock a tranche of.")
    for tranche in award.tranches:
        if tranche.key == event.data["milestone"]:
            rules.unlock_tranche(tranche, event.data["achieved_on"])


def request_drawdown(session: Session, principal: Principal, command: Command) -> Award:
    """Ask for the payment of a tranche, for the lead council."""
    award = access.award(session, principal, command.award_id, lock=True)
    tranche = access.tranche(award, command.tranche)
    rules.request_drawdown(tranche, award, by=principal, at=clock.now(), evidence=command.evidence)
    return award


def approve_drawdown(session: Session, principal: Principal, command: Command) -> Award:
    """Let a requested tranche be paid, as the second person."""
    award = access.award(session, principal, command.award_id, lock=True)
    tranche = access.tranche(award, command.tranche)
    rules.approve_drawdown(tranche, by=principal, at=clock.now())
    events.drawdown_approved(session, award, tranche)
    return award


def reject_drawdown(session: Session, principal: Principal, command: Command) -> Award:
    """Send a request back to the lead council."""
    award = access.award(session, principal, command.award_id, lock=True)
    tranche = access.tranche(award, command.tranche)
    rules.reject_drawdown(tranche, by=principal, at=clock.now(), reason=command.reason)
    return award


def record_payment(session: Session, principal: Principal, command: Command) -> Payment:
    """Record that an approved tranche was paid; the same facts again are the same payment."""
    award = access.award(session, principal, command.award_id, lock=True)
    facts = {"award_id": award.id, "tranche": command.tranche, "paid_on": command.paid_on}
    return _record_payment(session, award, command.payment_reference, facts, by=principal)


def receive_payment(session: Session, event: Event) -> None:
    """Record a payment that finance reports: of what was approved, and of nothing else."""
    facts = dict(event.data)
    award = access.locked_award(session, facts["award_id"])
    if award is None:
        sentence = f"There is no award {facts['award_id']}; correct the award_id."
        raise NotFound("no_such_award", sentence, {"award_id": [sentence]})
    by = Principal(event.source, frozenset({SYSTEM}))
    _record_payment(session, award, facts.pop("payment_reference"), facts, by=by)


def _record_payment(
    session: Session, award: Award, payment_reference: str, facts: Mapping[str, Any], *, by: Principal
) -> Payment:
    """Record a payment for an award whose row is locked; returns the first one when the same payment comes again.

    :param facts: what is known of it, by the names of its attributes; the amount only if somebody says it.
    """
    # The pool's row makes payments of different awards take turns, so that two cannot use one reference.
    access.locked_pool(session, award.pool_id)
    recorded = session.scalars(
        select(Payment).where(Payment.pool_id == award.pool_id, Payment.payment_reference == payment_reference)
    ).all()
    for standing in recorded:
        if standing.reversed_at is None:
            record_rules.check_same_facts("payment_reference", payment_reference, standing, facts)
            return standing
    tranche = access.tranche(award, facts["tranche"])
    amount_pence = facts.get("amount_pence", tranche.amount_pence)
    rules.check_paid_whole(tranche, amount_pence)
    years.check_open("paid_on", facts["paid_on"], ledger_store.closed_through(session, award.pool_id))
    rules.pay_tranche(tranche, by=by, paid_on=facts["paid_on"], today=clock.today())
    tranche.payment = Payment(
        id=ids.new_id(),
        pool_id=award.pool_id,
        payment_reference=payment_reference,
        recorded_by=by.subject,
        recorded_at=clock.now(),
        **{"amount_pence": amount_pence, **facts},
    )
    _pay(session, award, tranche, tranche.payment, nth=len(recorded) + 1)
    events.tranche_paid(session, award, tranche, tranche.payment)
    return tranche.payment


def _pay(session: Session, award: Award, tranche: Tranche, payment: Payment, *, nth: int) -> None:
    transaction = ledger.pay(
        award_id=award.id,
        project_id=award.funded_project_id,
        tranche=tranche.key,
        amount_pence=payment.amount_pence,
        payment_reference=payment.payment_reference,
        on=payment.paid_on,
        author=payment.recorded_by,
        approver=tranche.approved_by,
        nth=nth,
    )
    ledger_store.post(session, award.pool_id, [transaction])
