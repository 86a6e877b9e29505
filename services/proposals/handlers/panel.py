"""The panel sends a revision back, moderates its assessments, or decides."""

from typing import Any

from sqlalchemy.orm import Session

from services.proposals import events, store, views
from services.proposals.domain import lifecycle, scoring
from services.proposals.domain.cases import Attempt
from services.proposals.domain.lifecycle import Action
from services.proposals.models import ChangeRequest, Decision, Moderation
from shared import clock, ids
from shared.errors import Conflict, Invalid
from shared.fields import Command
from shared.security.principal import Principal


def request_changes(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Send the current revision back to its lead council, which may then change the draft and hand it in again.

    :raises Forbidden: when the chair's council takes part, or the chair had a part in it or declared a conflict of
        interest.
    :raises Conflict: when the proposal is neither submitted nor under assessment.
    """
    proposal = store.proposal_by_id(session, principal, command.proposal_id, lock=True)
    proposal.state = lifecycle.advance(store.case_of(proposal), Action.REQUEST_CHANGES, Attempt.by(principal))
    revision = store.current_revision(proposal)
    request = ChangeRequest(
        revision=revision.number, reason=command.reason, requested_at=clock.now(), requested_by=principal.subject
    )
    revision.change_request = request
    events.changes_requested(session, proposal, request)
    return views.of_proposal(principal, proposal)


def moderate(session: Session, principal: Principal, command: Command) -> Moderation:
    """Put a note on the assessments that count now; one that comes or goes afterwards is not covered by it.

    :raises Forbidden: as :func:`determine`.
    :raises Conflict: when the revision is not the current one or not under assessment, lacks the quorum, has a note on
        these assessments, or the assessments are others than those that the caller names.
    """
    proposal = store.proposal_by_id(session, principal, command.proposal_id, lock=True)
    case = store.case_of(proposal)
    attempt = Attempt.by(principal, revision=command.revision)
    proposal.state = lifecycle.advance(case, Action.MODERATE, attempt)
    revision = store.current_revision(proposal)
    counted = [given.id for given in store.counted(revision, case.conflicted)]
    if command.assessments is not None and set(command.assessments) != set(counted):
        sentence = "Assessments were given or set aside since; read get_assessment_summary, then write the note anew."
        raise Conflict("other_assessments", sentence, {"assessments": [sentence]})
    note = Moderation(
        id=ids.new_id(),
        proposal_id=proposal.id,
        revision=revision.number,
        note=command.note,
        assessments=[str(assessment_id) for assessment_id in counted],
        moderated_at=clock.now(),
        moderated_by=principal.subject,
    )
    revision.moderations.append(note)
    return note


def determine(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Decide on the current revision: the decision keeps the hash of its content, its score and who sat.

    :raises Invalid: when the caller, who chairs the panel, is named on it.
    :raises Forbidden: when the chair, or somebody on the panel, is of a council that takes part, had a part in it or
        declared a conflict of interest; when the chair assesses as well and has yet to give their scores.
    :raises Conflict: when the revision is not the current one or not under assessment, its content is not what the
        caller looked at, it lacks the quorum, or a wide spread has no moderation note.
    """
    proposal = store.proposal_by_id(session, principal, command.proposal_id, lock=True)
    members = command.panel or []
    _check_chair_is_not_named(principal, members)
    case = store.case_of(proposal)
    attempt = Attempt.by(
        principal,
        revision=command.revision,
        content_hash=command.content_hash,
        panel=[(member["person"], member["council"]) for member in members],
    )
    approved = command.outcome == "approved"
    proposal.state = lifecycle.advance(case, Action.APPROVE if approved else Action.REJECT, attempt)
    revision = store.current_revision(proposal)
    tally = store.tally_of(revision, case.conflicted)
    assert tally is not None, "the quorum is reached"
    decision = Decision(
        revision=revision.number,
        outcome=command.outcome,
        content_hash=revision.content_hash,
        score=scoring.two_places(tally.score),
        spread=scoring.two_places(tally.spread),
        wide_spread=tally.wide,
        moderated=case.moderated,
        panel=[{"person": principal.subject, "council": principal.council}, *members],
        minute=command.minute,
        decided_at=clock.now(),
        decided_by=principal.subject,
    )
    revision.decision = decision
    if approved:
        events.proposal_approved(session, proposal, revision, decision, tally)
    else:
        events.proposal_rejected(session, proposal, decision, tally)
    return views.of_proposal(principal, proposal)


def _check_chair_is_not_named(principal: Principal, members: list[dict[str, Any]]) -> None:
    for place, member in enumerate(members):
        if member["person"] == principal.subject:
            sentence = "You chair the panel and are on it anyway; name only the others."
            raise Invalid("chair_named", sentence, {f"panel.{place}.person": [sentence]})
