"""The roll-up of benefits: a project's, a council's, the portfolio's."""

from typing import Any

from sqlalchemy import Select, and_, or_, select
from sqlalchemy.orm import Session

from services.outcomes import benefits, domain, views
from services.outcomes.handlers.plans import project_not_found
from services.outcomes.models import Indicator, Period, Plan, Report, Result
from shared import clock
from shared.fields import Command
from shared.security.principal import Principal

# The report that stands for a period: the one that awaits certification, or the certified one. Never more than one.
_STANDS = or_(
    and_(Period.state == domain.REPORTED, Report.decision.is_(None)),
    and_(Period.state == domain.CERTIFIED, Report.decision == domain.CERTIFIED),
)


def benefits_summary(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Roll up targets, reports and certified benefits as they are now. Anybody may ask: it is the public account.

    :raises NotFound: ``project_not_found``.
    """
    statement = _figures()
    if command.project_id is not None:
        statement = statement.where(Plan.project_id == command.project_id)
    if command.council is not None:
        statement = statement.where(Period.council == command.council)
    figures = [benefits.Figures(*row) for row in session.execute(statement)]
    if command.project_id is not None and not figures:
        # Every plan has at least one period.
        raise project_not_found()
    summary = benefits.summarise(figures, clock.today())
    return views.summary(summary, project_id=command.project_id, council=command.council)


def _figures() -> Select[*tuple[Any, ...]]:
    """Select the columns of :class:`.benefits.Figures` in their order, one row per period."""
    return (
        select(
            Result.plan_id,
            Indicator.id,
            Period.council,
            Period.state,
            Period.ends_on,
            Period.due_on,
            Result.kind,
            Indicator.measure,
            Indicator.unit,
            Indicator.direction,
            Indicator.baseline_value,
            Indicator.deadweight_percent,
            Indicator.attribution_percent,
            Period.target,
            Report.value,
        )
        .select_from(Period)
        .join(Period.indicator)
        .join(Indicator.result)
        .join(Result.plan)
        .outerjoin(Report, and_(Report.period_id == Period.id, _STANDS))
    )
