"""What callers get to see of rounds and proposals, as mappings that the response schemas dump."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from services.proposals import access, store
from services.proposals.domain import scoring
from services.proposals.domain.eligibility import Rule
from services.proposals.domain.lifecycle import outcome_of
from services.proposals.domain.rounds import RoundRules
from services.proposals.models import Assessment, Award, Proposal, Revision, Round
from shared.security.principal import Principal


def of_round(shown: Round, *, at: datetime, undecided: bool) -> dict[str, Any]:
    """Return a round. :param undecided: whether one of its proposals still waits for a decision."""
    return {
        "round_id": shown.id,
        "reference": shown.reference,
        "title": shown.title,
        "state": shown.window.state(at, undecided=undecided),
        "opens_on": shown.opens_on,
        "closes_on": shown.closes_on,
        **shown.rules.as_json(),
        "opened_at": shown.opened_at,
        "opened_by": shown.opened_by,
        "closed_at": shown.closed_at,
        "closed_by": shown.closed_by,
        "version": shown.version,
    }


def _content_for(principal: Principal, shown: Proposal) -> dict[str, Any]:
    """Return the content that the caller sees: the draft while it is worked on, to those who may; else the revision."""
    if shown.current is None or access.sees_draft(principal, shown):
        return shown.draft
    return shown.current.content


def of_proposal(principal: Principal, shown: Proposal) -> dict[str, Any]:
    """Return a proposal with its content."""
    current, seen = shown.current, _content_for(principal, shown)
    return {
        "proposal_id": shown.id,
        "reference": shown.reference,
        "round_id": shown.round_id,
        "state": shown.state,
        "revision": shown.revision,
        "draft_version": shown.draft_version,
        "title": seen["title"],
        "lead_council": shown.lead_council,
        "participants": seen.get("participants", []),
        "content": seen,
        "content_hash": current.content_hash if current else None,
        "submitted_at": current.submitted_at if current else None,
        "confirmations": current.participations if current else [],
        "score": shown.score if access.sees_score(principal, shown, store.case_of(shown)) else None,
        "change_request": current.change_request if current else None,
        "decision": current.decision if current else None,
        "award": _award_that_counts(shown.awards),
        "withdrawn_at": shown.withdrawn_at,
        "withdrawal_reason": shown.withdrawal_reason,
        "created_at": shown.created_at,
        "created_by": shown.created_by,
        "version": shown.version,
    }


def of_revision(shown: Revision) -> dict[str, Any]:
    """Return a frozen revision."""
    return {
        "proposal_id": shown.proposal_id,
        "reference": shown.proposal.reference,
        "revision": shown.number,
        "content": shown.content,
        "content_hash": shown.content_hash,
        "rules": shown.rules,
        "submitted_at": shown.submitted_at,
        "submitted_by": shown.submitted_by,
        "confirmations": shown.participations,
        "change_request": shown.change_request,
        "decision": shown.decision,
    }


def of_check(at: datetime, rules: Sequence[Rule]) -> dict[str, Any]:
    """Return the rules of eligibility as they stood, or stand, at a moment, and what is wrong with the content."""
    return {
        "eligible": all(rule.met for rule in rules),
        "as_of": at.date(),
        "problems": [
            {"path": path, "sentence": sentence}
            for rule in rules
            for path, sentences in rule.problems.items()
            for sentence in sentences
        ],
        "rules": rules,
    }


def of_eligibility(shown: Proposal, at: datetime, rules: Sequence[Rule]) -> dict[str, Any]:
    """Return a proposal's check at a moment."""
    return {"proposal_id": shown.id, "reference": shown.reference, **of_check(at, rules)}


def of_assessment(shown: Assessment, rules: RoundRules, *, counts: bool) -> dict[str, Any]:
    """Return an assessment. :param counts: False when its author has declared a conflict of interest."""
    return {
        "assessment_id": shown.id,
        "proposal_id": shown.proposal_id,
        "revision": shown.revision,
        "assessor": shown.assessor,
        "council": shown.council,
        "scores": shown.scores,
        "total": scoring.two_places(scoring.weighted(rules.criteria, shown.scores)),
        "counts": counts,
        "submitted_at": shown.submitted_at,
    }


def _award_that_counts(awards: Sequence[Award]) -> Award | None:
    """Return the newest of the awards that speak for the proposal."""
    if not awards:
        return None
    state = outcome_of([award.state for award in awards])
    return max((award for award in awards if award.state == state), key=lambda award: award.id)
