"""What outcomes tells the others: one function per event. The aggregate is the plan."""

from typing import Any

from sqlalchemy.orm import Session

from services.outcomes.models import Milestone, Period, Plan, Report
from shared.events.catalogue import event_type
from shared.messaging import outbox


def tracking_plan_created(session: Session, plan: Plan, *, indicators: int, periods: int, milestones: int) -> None:
    """A funded project is tracked from now on. The plan's first event: a new plan has version 1."""
    _record(
        session,
        plan,
        "tracking_plan_created",
        proposal_id=plan.proposal_id,
        award_id=plan.award_id,
        indicators=indicators,
        periods=periods,
        milestones=milestones,
        first_due_on=plan.first_due_on,
        last_due_on=plan.last_due_on,
    )


def milestone_achieved(session: Session, plan: Plan, milestone: Milestone) -> None:
    """A milestone is achieved; funding unlocks the tranche of that name."""
    _record_change(
        session,
        plan,
        "milestone_achieved",
        award_id=plan.award_id,
        milestone=milestone.key,
        achieved_on=milestone.achieved_on,
    )


def actual_reported(session: Session, plan: Plan, period: Period, report: Report) -> None:
    """A council reported what it measured."""
    _record_change(
        session,
        plan,
        "actual_reported",
        **_about(period),
        value=report.value,
        numerator=report.numerator,
        denominator=report.denominator,
        reported_at=report.reported_at,
    )


def period_certified(session: Session, plan: Plan, period: Period, report: Report) -> None:
    """A reported value stands."""
    _record_change(
        session, plan, "period_certified", **_about(period), value=report.value, certified_at=report.decided_at
    )


def _about(period: Period) -> dict[str, Any]:
    return {
        "period_id": period.id,
        "indicator": period.indicator.result.key,
        "kind": period.indicator.result.kind,
        "council": period.council,
        "period": period.period,
    }


def _record_change(session: Session, plan: Plan, name: str, **data: Any) -> None:
    plan.version += 1
    _record(session, plan, name, **data)


def _record(session: Session, plan: Plan, name: str, **data: Any) -> None:
    outbox.record(
        session,
        event_type("outcomes", name),
        subject=plan.id,
        sequence=plan.version,
        data={"plan_id": plan.id, "project_id": plan.project_id, **data},
    )
