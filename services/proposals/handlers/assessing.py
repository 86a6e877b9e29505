"""Assessors score, the panel decides."""

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.proposals import access, events, store, views
from services.proposals.domain import lifecycle, scoring
from services.proposals.domain.lifecycle import Action, Attempt
from services.proposals.domain.rounds import RoundRules
from services.proposals.models import Assessment, ChangeRequest, ConflictOfInterest, Decision, Proposal, Revision
from shared import clock, ids
from shared.fields import Command
from shared.security.principal import Principal
from shared.storage import paging


def declare_conflict(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Declare an interest in a proposal: from then on the caller neither assesses nor decides it.

    An assessment that the caller gave before is set aside, and the score is worked out without it.

    :raises Conflict: when the proposal is decided or withdrawn, or the caller declared it before.
    """
    proposal = store.proposal_by_id(session, principal, command.proposal_id, lock=True)
    now = clock.now()
    proposal.state = lifecycle.advance(store.case_of(proposal), Action.DECLARE_CONFLICT, Attempt.by(principal))
    conflict = ConflictOfInterest(person=principal.subject, reason=command.reason, declared_at=now)
    proposal.conflicts.append(conflict)
    if principal.subject in store.case_of(proposal).assessors:
        _score(session, proposal, now)
    return {
        "proposal_id": proposal.id,
        "person": conflict.person,
        "reason": conflict.reason,
        "declared_at": conflict.declared_at,
    }


def submit_assessment(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Give the caller's scores of the current revision, once and for good.

    :raises Forbidden: when the caller's council takes part, or the caller had a part in it or declared a conflict of
        interest.
    :raises Conflict: when the revision is not the current one or not under assessment, or the caller has assessed it.
    :raises Invalid: when the scores are not one for each criterion.
    """
    proposal = store.proposal_by_id(session, principal, command.proposal_id, lock=True)
    now = clock.now()
    attempt = Attempt.by(principal, revision=command.revision)
    proposal.state = lifecycle.advance(store.case_of(proposal), Action.ASSESS, attempt)
    revision = _current(proposal)
    rules = RoundRules.from_json(revision.rules)
    scoring.check_scores(rules.criteria, [score["criterion"] for score in command.scores])
    assessment = Assessment(
        id=ids.new_id(),
        proposal_id=proposal.id,
        revision=revision.number,
        assessor=principal.subject,
        council=principal.council,
        scores=command.scores,
        submitted_at=now,
    )
    revision.assessments.append(assessment)
    _score(session, proposal, now)
    return views.of_assessment(assessment, rules, counts=True)


def list_assessments(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Return a page of a proposal's assessments, oldest first.

    An assessor sees those of the revisions that they have assessed themselves; the CDO sees all, and so does the chair,
    who waits for the decision where there is an interest.

    :raises NotFound: when the caller may not know of the proposal.
    """
    proposal = store.proposal_by_id(session, principal, command.proposal_id)
    case = store.case_of(proposal)
    statement = select(Assessment).where(
        Assessment.proposal_id == proposal.id, access.assessments(principal, proposal, case)
    )
    page = paging.page(session, statement, by=Assessment.id, request=command)
    rules = RoundRules.from_json(proposal.rules)
    page["items"] = [
        views.of_assessment(given, rules, counts=given.assessor not in case.conflicted) for given in page["items"]
    ]
    return page


def request_changes(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Send the current revision back to its lead council, which may then change the draft and hand it in again.

    :raises Forbidden: when the chair's council takes part, or the chair had a part in it or declared a conflict of
        interest.
    :raises Conflict: when the proposal is neither submitted nor under assessment.
    """
    proposal = store.proposal_by_id(session, principal, command.proposal_id, lock=True)
    proposal.state = lifecycle.advance(store.case_of(proposal), Action.REQUEST_CHANGES, Attempt.by(principal))
    revision = _current(proposal)
    request = ChangeRequest(
        revision=revision.number, reason=command.reason, requested_at=clock.now(), requested_by=principal.subject
    )
    revision.change_request = request
    events.changes_requested(session, proposal, request)
    return views.of_proposal(principal, proposal)


def determine(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Decide on the current revision.

    :raises Forbidden: when the chair's council takes part, or the chair had a part in it or declared a conflict of
        interest.
    :raises Conflict: when the revision is not the current one or not under assessment, or lacks the quorum.
    """
    proposal = store.proposal_by_id(session, principal, command.proposal_id, lock=True)
    approved = command.outcome == "approved"
    attempt = Attempt.by(principal, revision=command.revision)
    action = Action.APPROVE if approved else Action.REJECT
    proposal.state = lifecycle.advance(store.case_of(proposal), action, attempt)
    revision = _current(proposal)
    decision = Decision(
        revision=revision.number,
        outcome=command.outcome,
        score=proposal.score,
        minute=command.minute,
        decided_at=clock.now(),
        decided_by=principal.subject,
    )
    revision.decision = decision
    if approved:
        events.proposal_approved(session, proposal, revision, decision)
    else:
        events.proposal_rejected(session, proposal, decision)
    return views.of_proposal(principal, proposal)


def _current(proposal: Proposal) -> Revision:
    assert proposal.current is not None, "only what was handed in is assessed"
    return proposal.current


def _score(session: Session, proposal: Proposal, at: datetime) -> None:
    """Work the score out from the assessments that count, and tell it; below the quorum there is none."""
    counted = store.case_of(proposal).counted
    rules = RoundRules.from_json(proposal.rules)
    totals = [
        scoring.weighted(rules.criteria, given.scores)
        for given in _current(proposal).assessments
        if given.assessor in counted
    ]
    if len(totals) < rules.quorum:
        proposal.score = None
        return
    proposal.score = scoring.two_places(scoring.mean(totals))
    events.proposal_assessed(session, proposal, len(totals), at)
