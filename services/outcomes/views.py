"""What callers see: plans, periods and summaries as mappings for the response schemas of :mod:`.schemas`.

A view is made for a day, because some states follow from the date alone.
"""

from datetime import date
from typing import Any
from uuid import UUID

from services.outcomes import benefits, domain
from services.outcomes.models import Indicator, Milestone, Period, Plan, Report, Result

_REPORTED = ("value", "numerator", "denominator", "narrative", "reported_by", "reported_at")
_DECIDED = ("certified_by", "certified_at", "returned_by", "returned_at", "return_reason")
_ACTUAL = (*_REPORTED, *_DECIDED)


def plan_header(plan: Plan) -> dict[str, Any]:
    """Return a plan as lists show it."""
    return {
        "plan_id": plan.id,
        "project_id": plan.project_id,
        "award_id": plan.award_id,
        "proposal_id": plan.proposal_id,
        "proposal_reference": plan.proposal_reference,
        "revision": plan.revision,
        "content_hash": plan.content_hash,
        "title": plan.title,
        "lead_council": plan.lead_council,
        "councils": [each.council for each in plan.councils],
        "amount_pence": plan.amount_pence,
        "state": plan.state,
        "starts_on": plan.starts_on,
        "last_due_on": plan.last_due_on,
    }


def plan(plan: Plan, today: date) -> dict[str, Any]:
    """Return a whole plan."""
    return {
        **plan_header(plan),
        "milestones": [_milestone(each, today) for each in plan.milestones],
        "results": [_result(each, today) for each in plan.results],
    }


def _milestone(milestone: Milestone, today: date) -> dict[str, Any]:
    return {
        "key": milestone.key,
        "title": milestone.title,
        "due_on": milestone.due_on,
        "tranche_pence": milestone.tranche_pence,
        "state": domain.milestone_state(milestone.due_on, milestone.achieved_on, today),
        "achieved_on": milestone.achieved_on,
        "achieved_by": milestone.achieved_by,
        "evidence": milestone.evidence,
    }


def _result(result: Result, today: date) -> dict[str, Any]:
    return {
        "key": result.key,
        "title": result.title,
        "kind": result.kind,
        "indicator": _indicator(result.indicator),
        "periods": [_period(each, today) for each in result.indicator.periods],
    }


def _indicator(indicator: Indicator) -> dict[str, Any]:
    return {
        "measure": indicator.measure,
        "unit": indicator.unit,
        "direction": indicator.direction,
        "frequency": indicator.frequency,
        "baseline": {
            "value": indicator.baseline_value,
            "on": indicator.baseline_on,
            "source": indicator.baseline_source,
        },
        "owner_council": indicator.owner_council,
        "deadweight_percent": indicator.deadweight_percent,
        "attribution_percent": indicator.attribution_percent,
        "optimism_bias_percent": indicator.optimism_bias_percent,
    }


def _period(period: Period, today: date) -> dict[str, Any]:
    return {
        "period_id": period.id,
        "council": period.council,
        "period": period.period,
        "starts_on": period.starts_on,
        "ends_on": period.ends_on,
        "opens_on": domain.opens_on(period),
        "due_on": period.due_on,
        "target": period.target,
        "state": domain.shown_state(period, today),
        "overdue": domain.is_overdue(period, today),
        **_actual(period.reports[-1] if period.reports else None),
    }


def _actual(report: Report | None) -> dict[str, Any]:
    """Return what the latest report of a period says, and what became of it."""
    if report is None:
        return dict.fromkeys(_ACTUAL)
    certified, returned = report.decision == domain.CERTIFIED, report.decision == domain.RETURNED
    return {
        **{name: getattr(report, name) for name in _REPORTED},
        "certified_by": report.decided_by if certified else None,
        "certified_at": report.decided_at if certified else None,
        "returned_by": report.decided_by if returned else None,
        "returned_at": report.decided_at if returned else None,
        "return_reason": report.reason,
    }


def period_in_context(period: Period, today: date) -> dict[str, Any]:
    """Return a period with what a reader needs to know about its plan and its indicator."""
    indicator = period.indicator
    result = indicator.result
    return {
        "plan_id": result.plan.id,
        "project_id": result.plan.project_id,
        "proposal_reference": result.plan.proposal_reference,
        "result": result.key,
        "title": result.title,
        "kind": result.kind,
        "measure": indicator.measure,
        "unit": indicator.unit,
        "owner_council": indicator.owner_council,
        **_period(period, today),
    }


def summary(found: benefits.Summary, *, project_id: UUID | None, council: str | None) -> dict[str, Any]:
    """Return a roll-up with what was asked for."""
    return {
        "project_id": project_id,
        "council": council,
        "plans": found.plans,
        "indicators": found.indicators,
        "indicators_not_summed": found.indicators_not_summed,
        **_part(found.whole),
        "by_council": [{"council": each, **_part(part)} for each, part in found.councils.items()],
    }


def _part(part: benefits.Part) -> dict[str, Any]:
    return {
        "periods": dict(part.periods),
        "savings": [_totals(kind, totals) for kind, totals in part.savings.items()],
    }


def _totals(kind: str, totals: benefits.Totals) -> dict[str, Any]:
    return {
        "kind": kind,
        "target": benefits.pounds(totals.target_pence),
        "reported": benefits.pounds(totals.reported_pence),
        "certified_gross": benefits.pounds(totals.certified_gross_pence),
        "deadweight": benefits.pounds(totals.deadweight_pence),
        "unattributed": benefits.pounds(totals.unattributed_pence),
        "net": benefits.pounds(totals.net_pence),
    }
