"""The facts that this service tells the others, one function each; each counts its aggregate's version up."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from services.proposals.domain.lifecycle import Answer
from services.proposals.models import ChangeRequest, Decision, Participation, Proposal, Revision, Round
from shared.events.catalogue import event_type
from shared.messaging import outbox
from shared.proposal_content import ProposalContent


def _record(session: Session, name: str, aggregate: Round | Proposal, data: dict[str, Any]) -> None:
    aggregate.version += 1
    outbox.record(session, event_type("proposals", name), subject=aggregate.id, sequence=aggregate.version, data=data)


def _about(proposal: Proposal) -> dict[str, Any]:
    return {
        "proposal_id": proposal.id,
        "reference": proposal.reference,
        "round_id": proposal.round_id,
        "revision": proposal.revision,
    }


def round_opened(session: Session, opened: Round) -> None:
    """A round was announced; its window may begin on a later day, which the event names."""
    data = {
        "round_id": opened.id,
        "title": opened.title,
        "opens_on": opened.opens_on,
        "closes_on": opened.closes_on,
        **opened.rules.as_json(),
    }
    _record(session, "round_opened", opened, data)


def round_closed(session: Session, closed: Round) -> None:
    """A round was closed by hand."""
    _record(session, "round_closed", closed, {"round_id": closed.id, "closed_at": closed.closed_at})


def proposal_submitted(session: Session, proposal: Proposal, revision: Revision) -> None:
    """A revision was frozen; the lead council stands behind it by handing it in, others because they did before."""
    asked = [part for part in revision.participations if part.answer == Answer.AWAITED]
    carried = [part for part in revision.participations if part.carried_from is not None]
    data = {
        **_about(proposal),
        "content_hash": revision.content_hash,
        "title": proposal.title,
        "lead_council": proposal.lead_council,
        "participants": proposal.participants,
        "requested_pence": proposal.requested_pence,
        "submitted_at": revision.submitted_at,
        "asked": [{"council": part.council, "because": part.asked_because} for part in asked],
        "carried": [
            {"council": part.council, "carried_from": part.carried_from, "confirmed_at": part.answered_at}
            for part in carried
        ],
    }
    _record(session, "proposal_submitted", proposal, data)


def participation_confirmed(session: Session, proposal: Proposal, part: Participation) -> None:
    """A participating council stands behind the revision."""
    data = {**_about(proposal), "council": part.council, "confirmed_at": part.answered_at}
    _record(session, "participation_confirmed", proposal, data)


def participation_declined(session: Session, proposal: Proposal, part: Participation) -> None:
    """A participating council does not stand behind the revision."""
    data = {**_about(proposal), "council": part.council, "reason": part.reason, "declined_at": part.answered_at}
    _record(session, "participation_declined", proposal, data)


def changes_requested(session: Session, proposal: Proposal, request: ChangeRequest) -> None:
    """The panel sent the revision back."""
    data = {**_about(proposal), "reason": request.reason, "requested_at": request.requested_at}
    _record(session, "changes_requested", proposal, data)


def proposal_assessed(session: Session, proposal: Proposal, assessments: int, at: datetime) -> None:
    """The quorum is reached, or the score that it gave has changed since."""
    data = {**_about(proposal), "assessments": assessments, "score": proposal.score, "assessed_at": at}
    _record(session, "proposal_assessed", proposal, data)


def proposal_approved(session: Session, proposal: Proposal, revision: Revision, decision: Decision) -> None:
    """The panel approved; everything that funding needs travels along."""
    data = {
        **_about(proposal),
        "content_hash": revision.content_hash,
        "score": decision.score,
        "content": ProposalContent().load(revision.content),
        "minute": decision.minute,
        "approved_at": decision.decided_at,
    }
    _record(session, "proposal_approved", proposal, data)


def proposal_rejected(session: Session, proposal: Proposal, decision: Decision) -> None:
    """The panel rejected."""
    data = {
        **_about(proposal),
        "score": decision.score,
        "minute": decision.minute,
        "rejected_at": decision.decided_at,
    }
    _record(session, "proposal_rejected", proposal, data)


def proposal_withdrawn(session: Session, proposal: Proposal) -> None:
    """The lead council took its proposal back."""
    data = {**_about(proposal), "reason": proposal.withdrawal_reason, "withdrawn_at": proposal.withdrawn_at}
    _record(session, "proposal_withdrawn", proposal, data)
