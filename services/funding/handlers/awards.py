"""Awards: offered by one person, approved by another, accepted or declined by the lead council.

Rows are locked in one order everywhere, so that no two transactions wait for each other: the instruction, the candidate
or the award, then the pool, then the ledger's accounts by name, then the counter of references.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session, selectinload, undefer_group

from services.funding import access, events, ledger, ledger_store
from services.funding.domain import awards as rules
from services.funding.domain import membership
from services.funding.domain.awards import LIVE_AWARD_STATES, AwardState
from services.funding.domain.drawdowns import TrancheState
from services.funding.handlers.candidates import locked_candidate
from services.funding.models import MONEY_BACK, Award, Candidate, ReferenceCounter, Tranche
from shared import clock, ids
from shared.errors import Conflict
from shared.fields import Command
from shared.security.principal import Principal
from shared.storage.paging import page
from shared.storage.references import next_reference


def offer_award(session: Session, principal: Principal, command: Command) -> Award:
    """Hold an approved proposal's money and ask a second person to approve the offer."""
    access.pool(session, principal, command.pool_id)
    candidate = locked_candidate(session, command.proposal_id)
    rules.check_offer(
        candidate.approved_content,
        withdrawn_at=candidate.withdrawn_at,
        amount_pence=command.amount_pence,
        expires_on=command.expires_on,
        today=clock.today(),
    )
    # The pool's row makes an offer and its lead council's leave take turns.
    pool = access.pool(session, principal, command.pool_id, lock=True)
    membership.check_stays(pool.members, candidate.lead_council)
    _check_no_live_award(session, candidate)
    award = Award(
        id=ids.new_id(),
        pool_id=pool.id,
        proposal_id=candidate.proposal_id,
        candidate=candidate,
        state=AwardState.OFFERED,
        amount_pence=command.amount_pence,
        expires_on=command.expires_on,
        offered_by=principal.subject,
        offered_at=clock.now(),
        version=0,
        tranches=[],
    )
    _reserve(session, principal, award)
    award.reference = next_reference(session, ReferenceCounter, "A", clock.today().year)
    session.add(award)
    return award


def approve_award(session: Session, principal: Principal, command: Command) -> Award:
    """Open an offer for acceptance, as the second person; that makes it real to the council."""
    award = access.award(session, principal, command.award_id, lock=True)
    rules.approve_award(award, by=principal, at=clock.now())
    events.award_offered(session, award)
    return award


def accept_award(session: Session, principal: Principal, command: Command) -> Award:
    """Take an offer for the lead council: its money is committed and the project is born."""
    award = access.award(session, principal, command.award_id, lock=True)
    rules.accept_award(award, by=principal, at=clock.now(), project_id=ids.new_id())
    award.tranches = [
        Tranche(
            key=terms.key,
            position=position,
            title=terms.title,
            due_on=terms.due_on,
            amount_pence=terms.amount_pence,
            state=TrancheState.LOCKED,
        )
        for position, terms in enumerate(rules.tranches_of(award.candidate.approved_content), start=1)
    ]
    _commit(session, principal, award)
    events.project_funded(session, award)
    return award


def decline_award(session: Session, principal: Principal, command: Command) -> Award:
    """Turn an offer down for the lead council: its money is free again."""
    award = access.award(session, principal, command.award_id, lock=True)
    rules.decline_award(award, by=principal, at=clock.now(), reason=command.reason)
    _release(session, award, author=principal.subject)
    events.award_declined(session, award)
    return award


def awards_to_lapse(now: datetime) -> Select[Award]:
    """Select the offers whose last day is over and that nobody has answered."""
    expired = (Award.state == AwardState.OFFERED, Award.expires_on < now.date())
    return select(Award).where(*expired).order_by(Award.expires_on)


def lapse_award(session: Session, award: Award, now: datetime) -> dict[str, Any]:
    """End an offer that nobody took in time: its money is free again. One that nobody approved was never told of."""
    rules.lapse_award(award, at=now)
    _release(session, award, author=clock.THE_CLOCK)
    if award.approved_at is not None:
        events.award_lapsed(session, award)
    return {"award_id": award.id, "reference": award.reference}


def get_award(session: Session, principal: Principal, command: Command) -> Award:
    """Return an award."""
    return access.award(session, principal, command.award_id)


def list_awards(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Return a page of awards, oldest first; a council sees those of proposals in which it takes part."""
    statement = (
        select(Award)
        .where(access.awards(principal))
        .options(
            selectinload(Award.candidate),
            selectinload(Award.tranches).selectinload(Tranche.payment),
            selectinload(Award.instructions),
            undefer_group(MONEY_BACK),
        )
    )
    if command.pool_id is not None:
        statement = statement.where(Award.pool_id == command.pool_id)
    if command.state is not None:
        statement = statement.where(Award.state == command.state)
    if command.council is not None:
        statement = statement.where(access.with_council(Award.proposal_id, command.council))
    return page(session, statement, by=Award.id, request=command)


def _check_no_live_award(session: Session, candidate: Candidate) -> None:
    live = session.scalar(
        select(Award).where(Award.proposal_id == candidate.proposal_id, Award.state.in_(LIVE_AWARD_STATES))
    )
    if live is not None:
        raise Conflict(
            "award_exists", f"{candidate.reference} has the award {live.reference} already, which is {live.state}."
        )


def _reserve(session: Session, principal: Principal, award: Award) -> None:
    transaction = ledger.reserve(
        award_id=award.id,
        proposal_id=award.proposal_id,
        amount_pence=award.amount_pence,
        on=clock.today(),
        author=principal.subject,
    )
    ledger_store.post(session, award.pool_id, [transaction])


def _release(session: Session, award: Award, *, author: str) -> None:
    transaction = ledger.release(
        award_id=award.id,
        proposal_id=award.proposal_id,
        amount_pence=award.amount_pence,
        on=clock.today(),
        author=author,
    )
    ledger_store.post(session, award.pool_id, [transaction])


def _commit(session: Session, principal: Principal, award: Award) -> None:
    transaction = ledger.commit(
        award_id=award.id,
        proposal_id=award.proposal_id,
        project_id=award.funded_project_id,
        amount_pence=award.amount_pence,
        on=clock.today(),
        author=principal.subject,
        approver=award.approved_by,
    )
    ledger_store.post(session, award.pool_id, [transaction])
