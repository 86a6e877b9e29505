"""Assessors declare an interest or score, once and for good, and learn what the others found."""

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.proposals import access, events, store, views
from services.proposals.domain import lifecycle, scoring
from services.proposals.domain.cases import Attempt
from services.proposals.domain.lifecycle import Action
from services.proposals.domain.rounds import RoundRules
from services.proposals.models import Assessment, ConflictOfInterest, Proposal
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
    revision = store.current_revision(proposal)
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


def get_assessment_summary(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Return what the assessments of a revision come to, criterion by criterion, and how far apart they are.

    :raises NotFound: when the caller may not know of the proposal, or it has no such revision.
    :raises Forbidden: when the caller may not read every assessment of the revision.
    """
    proposal = store.proposal_by_id(session, principal, command.proposal_id)
    revision = store.revision_of(proposal, command.revision or proposal.revision)
    case = store.case_of(proposal)
    access.summaries(principal, revision, case)
    return views.of_assessment_summary(revision, case)


def _score(session: Session, proposal: Proposal, at: datetime) -> None:
    """Work the score out from the assessments that count, and tell it; below the quorum there is none."""
    tally = store.tally_of(store.current_revision(proposal), store.case_of(proposal).conflicted)
    proposal.score = scoring.two_places(tally.score) if tally else None
    if tally:
        events.proposal_assessed(session, proposal, tally, at)
