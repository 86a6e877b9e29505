"""Reporting periods: listed, reported, certified or returned."""

from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import Session, joinedload, selectinload
from sqlalchemy.orm.interfaces import ORMOption

from services.outcomes import access, domain, events, views
from services.outcomes.models import Indicator, Period, Plan, Report, Result
from shared import clock
from shared.errors import NotFound
from shared.fields import Command
from shared.security.principal import Principal
from shared.storage.paging import page

_WITH_CONTEXT: tuple[ORMOption, ...] = (
    joinedload(Period.indicator).joinedload(Indicator.result).joinedload(Result.plan),
    selectinload(Period.reports),
)


def list_periods(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Return a page of the reporting periods that the caller may see: by plan, then result, then time and council."""
    today = clock.today()
    statement = (
        select(Period)
        .join(Period.indicator)
        .join(Indicator.result)
        .join(Result.plan)
        .where(access.plans(principal))
        .options(*_WITH_CONTEXT)
    )
    if command.project_id is not None:
        statement = statement.where(Plan.project_id == command.project_id)
    if command.council is not None:
        statement = statement.where(Period.council == command.council)
    if command.state is not None:
        statement = statement.where(_shows(command.state, today))
    found = page(session, statement, by=Period.id, request=command)
    return {**found, "items": [views.period_in_context(period, today) for period in found["items"]]}


def _shows(state: str, today: date) -> ColumnElement[bool]:
    """Return what :func:`.domain.shown_state` and :func:`.domain.is_overdue` say, as a condition on the table."""
    if state == domain.UPCOMING:
        return and_(Period.state == domain.PENDING, Period.ends_on >= today)
    if state == domain.OPEN:
        return and_(Period.state == domain.PENDING, Period.ends_on < today)
    if state == domain.OVERDUE:
        return and_(Period.state.in_((domain.PENDING, domain.RETURNED)), Period.due_on < today)
    return Period.state == state


def report_actual(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Record what a council measured in a period that has ended.

    :raises NotFound: ``period_not_found``, also for a period that the caller may not see.
    :raises Forbidden: ``not_your_period``.
    :raises Conflict: ``not_open_yet``, ``awaits_certification`` or ``already_certified``.
    :raises Invalid: for a percentage without its parts or unlike them, and for parts of anything else.
    """
    plan, period = _lock(session, principal, command.period_id)
    access.reported(principal, period)
    domain.check_reportable(period, clock.today())
    domain.check_figures(period.indicator.measure, command.value, command.numerator, command.denominator)
    report = Report(
        number=len(period.reports) + 1,
        value=command.value,
        numerator=command.numerator,
        denominator=command.denominator,
        narrative=command.narrative,
        reported_by=principal.subject,
        reported_at=clock.now(),
    )
    period.reports.append(report)
    period.state = domain.REPORTED
    events.actual_reported(session, plan, period, report)
    return views.period_in_context(period, clock.today())


def certify_period(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Certify the value that is reported for a period: from here on it stands.

    :raises NotFound: ``period_not_found``, also for a period that the caller may not see.
    :raises Forbidden: ``not_yours_to_certify``, or ``two_people`` for whoever reported the period.
    :raises Conflict: ``nothing_reported`` or ``already_certified``.
    """
    plan, period = _lock(session, principal, command.period_id)
    report = _decide(principal, period, domain.CERTIFIED)
    events.period_certified(session, plan, period, report)
    return views.period_in_context(period, clock.today())


def return_period(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Give a report back with a reason, to be reported again.

    :raises NotFound: ``period_not_found``, also for a period that the caller may not see.
    :raises Forbidden: ``not_yours_to_certify``, or ``two_people`` for whoever reported the period.
    :raises Conflict: ``nothing_reported`` or ``already_certified``.
    """
    _, period = _lock(session, principal, command.period_id)
    _decide(principal, period, domain.RETURNED, reason=command.reason)
    return views.period_in_context(period, clock.today())


def _decide(principal: Principal, period: Period, decision: str, *, reason: str | None = None) -> Report:
    access.decided(principal, period)
    domain.check_decidable(period)
    domain.check_two_people([report.reported_by for report in period.reports], principal.subject)
    report = period.reports[-1]
    report.decision = decision
    report.decided_by = principal.subject
    report.decided_at = clock.now()
    report.reason = reason
    period.state = decision
    return report


def _lock(session: Session, principal: Principal, period_id: UUID) -> tuple[Plan, Period]:
    """Lock the plan that a period belongs to, then read the period as whoever held the lock left it."""
    plan = session.scalars(
        select(Plan)
        .join(Plan.results)
        .join(Result.indicator)
        .join(Indicator.periods)
        .where(Period.id == period_id, access.plans(principal))
        .with_for_update(of=Plan)
    ).one_or_none()
    if plan is None:
        raise NotFound(
            "period_not_found",
            "There is no reporting period with this id. Find it with list_periods.",
            {"period_id": ["No such period."]},
        )
    return plan, session.get_one(Period, period_id, options=_WITH_CONTEXT)
