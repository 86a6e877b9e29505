"""Candidates: what funding knows of proposals, by their events, and which of them wait for an award."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from services.funding import access
from services.funding.domain.awards import LIVE_AWARD_STATES
from services.funding.domain.people import Part, parts_of
from services.funding.models import Award, Candidate, CandidateCouncil
from shared.errors import NotFound
from shared.fields import Command
from shared.messaging.events import Event
from shared.proposal_content import ProposalContent, councils_of
from shared.security.principal import Principal
from shared.storage.paging import page
from shared.storage.upsert import insert_into


def mirror_approved(session: Session, event: Event) -> None:
    """Keep what the panel approved. The decision is final, so the first one stays, whatever repeats it."""
    candidate = _remembered(session, event)
    if candidate.approved_at is not None:
        return
    data = event.data
    candidate.revision = data["revision"]
    candidate.content_hash = data["content_hash"]
    candidate.content = ProposalContent().dump(data["content"])
    candidate.score = data["score"]
    candidate.parts = _parts(data)
    candidate.approved_at = data["approved_at"]
    candidate.councils = [CandidateCouncil(council=council) for council in councils_of(data["content"])]


def mirror_withdrawn(session: Session, event: Event) -> None:
    """Remember that a proposal was withdrawn, also when its approval is still on its way."""
    withdrawn_at: datetime = event.data["withdrawn_at"]
    _remembered(session, event).withdrawn_at = withdrawn_at


def list_candidates(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Return a page of the approved proposals without a live award; a council sees those in which it takes part."""
    access.pool(session, principal, command.pool_id)
    statement = select(Candidate).where(
        Candidate.approved_at.is_not(None),
        Candidate.withdrawn_at.is_(None),
        ~_has_live_award(),
        access.candidates(principal),
    )
    return page(session, statement, by=Candidate.proposal_id, request=command)


def locked_candidate(session: Session, proposal_id: UUID) -> Candidate:
    """Return an approved candidate and hold its row until the transaction ends.

    :raises NotFound: when no approval of such a proposal has arrived.
    """
    candidate = session.get(Candidate, proposal_id, populate_existing=True, with_for_update=access.ROW_LOCK)
    if candidate is None or candidate.approved_at is None:
        raise NotFound(
            "no_such_candidate", "No proposal with this proposal_id is approved; list_candidates shows those that are."
        )
    return candidate


def _parts(approval: dict[str, Any]) -> dict[str, str]:
    """Return who had which part in the proposal. Decisions that are older than these fields name nobody."""
    return parts_of(
        [
            (Part.HANDED_IN, approval["submitted_by"]),
            *((Part.CONFIRMED, word["confirmed_by"]) for word in approval["confirmations"] or ()),
            (Part.DECIDED, approval["decided_by"]),
            *((Part.SAT_ON_THE_PANEL, member["person"]) for member in approval["panel"] or ()),
        ]
    )


def _remembered(session: Session, event: Event) -> Candidate:
    """Return the row of an event's proposal, made if need be, and hold it until the transaction ends."""
    proposal_id: UUID = event.data["proposal_id"]
    row = {"proposal_id": proposal_id, "reference": event.data["reference"]}
    session.execute(insert_into(session, Candidate).values(row).on_conflict_do_nothing())
    return session.get_one(Candidate, proposal_id, populate_existing=True, with_for_update=access.ROW_LOCK)


def _has_live_award() -> Any:
    return exists(
        select(Award.id).where(Award.proposal_id == Candidate.proposal_id, Award.state.in_(LIVE_AWARD_STATES))
    )
