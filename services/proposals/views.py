"""What callers get to see of rounds and proposals, as mappings that the response schemas dump."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from services.proposals import access, store
from services.proposals.domain import rounds, scoring, similarity
from services.proposals.domain.awards import outcome_of
from services.proposals.domain.cases import Case
from services.proposals.domain.comparison import Change
from services.proposals.domain.eligibility import Rule
from services.proposals.domain.rounds import RoundRules
from services.proposals.domain.similarity import Similarity
from services.proposals.domain.states import State
from services.proposals.models import Assessment, Award, Proposal, Revision, Round, RoundChange
from shared.security.principal import Principal


def of_round(shown: Round, *, at: datetime, undecided: bool, changes: Sequence[RoundChange] = ()) -> dict[str, Any]:
    """Return a round.

    :param undecided: whether one of its proposals still waits for a decision.
    :param changes: those of its terms, where they are shown.
    """
    return {
        "round_id": shown.id,
        "reference": shown.reference,
        "state": shown.window.state(at, undecided=undecided),
        **shown.terms,
        "closes_at": shown.window.closes_at,
        "opened_at": shown.opened_at,
        "opened_by": shown.opened_by,
        "closed_at": shown.closed_at,
        "closed_by": shown.closed_by,
        "changes": [_of_change(change) for change in changes],
        "version": shown.version,
    }


def _of_change(shown: RoundChange) -> dict[str, Any]:
    return {
        "version": shown.version,
        "before": rounds.from_json(shown.before),
        "after": rounds.from_json(shown.after),
        "reason": shown.reason,
        "changed_at": shown.changed_at,
        "changed_by": shown.changed_by,
    }


def content_for(principal: Principal, shown: Proposal) -> dict[str, Any]:
    """Return the content that the caller sees: the draft while it is worked on, to those who may; else the revision."""
    if shown.current is None or access.sees_draft(principal, shown):
        return shown.draft
    return shown.current.content


def of_proposal(principal: Principal, shown: Proposal) -> dict[str, Any]:
    """Return a proposal with its content."""
    current, seen = shown.current, content_for(principal, shown)
    case = store.case_of(shown)
    sees_score = access.sees_score(principal, shown, case)
    spread, wide_spread = _spread_of(current, case) if current and sees_score else (None, None)
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
        "score": shown.score if sees_score else None,
        "spread": spread,
        "wide_spread": wide_spread,
        "change_request": current.change_request if current else None,
        "decision": _decision_on(current) if current else None,
        "award": _award_that_counts(shown.awards),
        "withdrawn_at": shown.withdrawn_at,
        "withdrawal_reason": shown.withdrawal_reason,
        "created_at": shown.created_at,
        "created_by": shown.created_by,
        "version": shown.version,
    }


def of_item(principal: Principal, shown: Row[Any]) -> dict[str, Any]:
    """Return a proposal in a list. :param shown: a row of the register."""
    item = shown._asdict()
    if not access.sees_score_in_lists(principal, shown.state):
        item["score"] = None
    return item


def of_similar(found: Sequence[tuple[Row[Any], Similarity]]) -> list[dict[str, Any]]:
    """Return proposals that are like another one: what may be told of them, and why they are told of."""
    return [
        {
            "proposal_id": row.id,
            "reference": row.reference,
            "round_id": row.round_id,
            "state": row.state,
            "title": row.title,
            "lead_council": row.lead_council,
            "participants": row.participants,
            "score": alike.score,
            "shared_words": alike.shared,
            "sentence": similarity.sentence(
                alike, reference=row.reference, title=row.title, lead_council=row.lead_council, state=row.state
            ),
        }
        for row, alike in found
    ]


def of_counts(round_id: UUID, counts: Mapping[str, int]) -> dict[str, Any]:
    """Return how many proposals of a round are in each state, in the order of their life."""
    states = [{"state": state.value, "proposals": counts.get(state, 0)} for state in State]
    return {"round_id": round_id, "total": sum(counts.values()), "states": states}


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
        "decision": _decision_on(shown),
    }


def of_change(shown: Change, councils: Collection[str]) -> dict[str, Any]:
    """Return a change. :param councils: those whose part it touches."""
    return {
        "path": shown.dotted_path,
        "kind": shown.kind,
        "before": shown.before,
        "after": shown.after,
        "sentence": shown.sentence,
        "councils": sorted(councils),
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


def of_assessment_summary(shown: Revision, case: Case) -> dict[str, Any]:
    """Return what the assessments of a revision come to, for those who may read every one of them."""
    rules = RoundRules.from_json(shown.rules)
    tally = store.tally_of(shown, case.conflicted)
    spread, wide_spread = _spread_of(shown, case)
    return {
        "proposal_id": shown.proposal_id,
        "reference": case.reference,
        "revision": shown.number,
        "quorum": rules.quorum,
        "assessments": [
            {
                "id": given.id,
                "assessor": given.assessor,
                "council": given.council,
                "total": scoring.two_places(scoring.weighted(rules.criteria, given.scores)),
                "counts": given.assessor not in case.conflicted,
            }
            for given in shown.assessments
        ],
        "score": scoring.two_places(tally.score) if tally else None,
        "spread": spread,
        "wide_spread": wide_spread,
        "criteria": [
            {"criterion": criterion.key, "title": criterion.title, "weight": criterion.weight}
            | (_scored(tally.criteria[place]) if tally else dict.fromkeys(_SCORED))
            for place, criterion in enumerate(rules.criteria)
        ],
        "moderated": store.is_moderated(shown, case.conflicted),
        "moderations": shown.moderations,
    }


_SCORED = ("mean", "lowest", "highest", "spread", "wide")


def _scored(of_criterion: scoring.OfCriterion) -> dict[str, Any]:
    return {
        "mean": scoring.two_places(of_criterion.mean),
        **{name: getattr(of_criterion, name) for name in _SCORED[1:]},
    }


def _spread_of(shown: Revision, case: Case) -> tuple[str | None, bool | None]:
    """Return the spread of a revision and whether it is wide: once decided, as it was then, by the rules of then."""
    if shown.decision is not None:
        return shown.decision.spread, shown.decision.wide_spread
    tally = store.tally_of(shown, case.conflicted)
    return (scoring.two_places(tally.spread), tally.wide) if tally else (None, None)


def _decision_on(shown: Revision) -> dict[str, Any] | None:
    decision = shown.decision
    if decision is None:
        return None
    return {
        "revision": decision.revision,
        "outcome": decision.outcome,
        "content_hash": decision.content_hash or shown.content_hash,
        "score": decision.score,
        "spread": decision.spread,
        "wide_spread": decision.wide_spread,
        "moderated": decision.moderated,
        "minute": decision.minute,
        "decided_at": decision.decided_at,
        "decided_by": decision.decided_by,
        "panel": decision.panel,
    }


def _award_that_counts(awards: Sequence[Award]) -> Award | None:
    """Return the newest of the awards that speak for the proposal."""
    if not awards:
        return None
    state = outcome_of([award.state for award in awards])
    return max((award for award in awards if award.state == state), key=lambda award: award.id)
