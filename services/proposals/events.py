"""The facts that this service tells the others, one function each; each counts its aggregate's version up."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from services.proposals.domain.scoring import Tally, two_places
from services.proposals.domain.states import Answer
from services.proposals.models import ChangeRequest, Decision, Participation, Proposal, Revision, Round, RoundChange
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
    """A round began to take proposals."""
    _record(session, "round_opened", opened, {"round_id": opened.id, **opened.terms})


def round_changed(session: Session, changed: Round, change: RoundChange) -> None:
    """A round's terms were changed; all of them travel along."""
    data = {"round_id": changed.id, **changed.terms, "reason": change.reason, "changed_at": change.changed_at}
    _record(session, "round_changed", changed, data)


def round_closed(session: Session, closed: Round) -> None:
    """A round was closed, by hand or by the clock."""
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


def proposal_assessed(session: Session, proposal: Proposal, tally: Tally, at: datetime) -> None:
    """The quorum is reached, or the score that it gave has changed since."""
    data = {
        **_about(proposal),
        "assessments": len(tally.totals),
        "score": proposal.score,
        "spread": two_places(tally.spread),
        "wide_spread": tally.wide,
        "assessed_at": at,
    }
    _record(session, "proposal_assessed", proposal, data)


def _determined(proposal: Proposal, decision: Decision, tally: Tally) -> dict[str, Any]:
    return {
        **_about(proposal),
        "content_hash": decision.content_hash,
        "score": decision.score,
        "minute": decision.minute,
        "assessments": len(tally.totals),
        "spread": decision.spread,
        "wide_spread": decision.wide_spread,
        "moderated": decision.moderated,
        "decided_by": decision.decided_by,
        "panel": decision.panel,
    }


def as_frozen(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a revision as Python values, and nothing else.

    Nothing is filled in that was not there when it was frozen, or it would no longer have its hash.
    """
    loaded: dict[str, Any] = ProposalContent(partial=True).load(content)
    return loaded


def proposal_approved(
    session: Session, proposal: Proposal, revision: Revision, decision: Decision, tally: Tally
) -> None:
    """The panel approved; everything that others will ever need travels along."""
    data = {
        **_determined(proposal, decision, tally),
        "content": as_frozen(revision.content),
        "approved_at": decision.decided_at,
        "round_reference": proposal.round.reference,
        "round_title": proposal.round.title,
        "rules": revision.rules,
        "submitted_at": revision.submitted_at,
        "submitted_by": revision.submitted_by,
        "confirmations": [
            {
                "council": part.council,
                "revision": part.carried_from or part.revision,
                "confirmed_at": part.answered_at,
                "confirmed_by": part.answered_by,
            }
            for part in revision.participations
        ],
        "criterion_results": [
            {"criterion": each.criterion.key, "mean": two_places(each.mean), "spread": each.spread}
            for each in tally.criteria
        ],
    }
    _record(session, "proposal_approved", proposal, data)


def proposal_rejected(session: Session, proposal: Proposal, decision: Decision, tally: Tally) -> None:
    """The panel rejected."""
    data = {**_determined(proposal, decision, tally), "rejected_at": decision.decided_at}
    _record(session, "proposal_rejected", proposal, data)


def proposal_withdrawn(session: Session, proposal: Proposal) -> None:
    """The lead council took its proposal back."""
    data = {**_about(proposal), "reason": proposal.withdrawal_reason, "withdrawn_at": proposal.withdrawn_at}
    _record(session, "proposal_withdrawn", proposal, data)
