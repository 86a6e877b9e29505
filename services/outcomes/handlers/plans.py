"""Tracking plans: made by a project's funding, read, and moved on by its milestones."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload
from sqlalchemy.orm.interfaces import ORMOption

from services.outcomes import access, domain, events, views
from services.outcomes.domain import CalendarEntry
from services.outcomes.models import Indicator, Milestone, Period, Plan, PlanCouncil, Result
from shared import clock, ids
from shared.errors import Conflict, NotFound
from shared.fields import Command
from shared.messaging.events import Event
from shared.proposal_content import councils_of
from shared.security.principal import Principal
from shared.storage.paging import page
from shared.storage.upsert import insert_into

_WHOLE_PLAN: tuple[ORMOption, ...] = (
    selectinload(Plan.councils),
    selectinload(Plan.milestones),
    selectinload(Plan.results)
    .joinedload(Result.indicator)
    .selectinload(Indicator.periods)
    .selectinload(Period.reports),
)


def track_funded_project(session: Session, event: Event) -> None:
    """Make the tracking plan of a project that was funded, unless it has one.

    One plan per project, however often the event comes, under whatever id, to however many instances at once: the
    database lets one of them claim the project, and the others wait for it and find nothing left to do.

    :param event: funding's ``project_funded``, which carries all that the plan is made of.
    """
    content = event.data["content"]
    calendars = [domain.calendar_of(benefit) for benefit in content["benefits"]]
    plan = _claim(session, event.data, domain.reporting_span(calendars), at=clock.now())
    if plan is None:
        return
    session.add_all(_councils(plan, content))
    session.add_all(_milestones(plan, content["milestones"]))
    session.add_all(_results(plan, zip(content["benefits"], calendars, strict=True)))
    events.tracking_plan_created(
        session,
        plan,
        indicators=len(calendars),
        periods=sum(map(len, calendars)),
        milestones=len(content["milestones"]),
    )


def _claim(session: Session, funded: dict[str, Any], span: domain.ReportingSpan, *, at: datetime) -> Plan | None:
    """Insert the plan itself; None when the project has one. Waits for another transaction that is making it."""
    insert = insert_into(session, Plan).values(
        id=ids.new_id(),
        project_id=funded["project_id"],
        award_id=funded["award_id"],
        pool_id=funded["pool_id"],
        proposal_id=funded["proposal_id"],
        proposal_reference=funded["proposal_reference"],
        revision=funded["revision"],
        content_hash=funded["content_hash"],
        title=funded["content"]["title"],
        lead_council=funded["lead_council"],
        amount_pence=funded["amount_pence"],
        state=domain.ACTIVE,
        starts_on=funded["funded_at"].date(),
        first_due_on=span.first_due_on,
        last_due_on=span.last_due_on,
        created_at=at,
        version=1,
    )
    once = insert.on_conflict_do_nothing(index_elements=[Plan.project_id])
    return session.scalars(once.returning(Plan)).one_or_none()


def _councils(plan: Plan, content: dict[str, Any]) -> Iterable[PlanCouncil]:
    for position, council in enumerate(councils_of(content)):
        yield PlanCouncil(plan_id=plan.id, council=council, position=position)


def _milestones(plan: Plan, milestones: list[dict[str, Any]]) -> Iterable[Milestone]:
    for position, milestone in enumerate(milestones):
        yield Milestone(
            plan_id=plan.id,
            position=position,
            key=milestone["key"],
            title=milestone["title"],
            due_on=milestone["due_on"],
            tranche_pence=milestone["tranche_pence"],
        )


def _results(plan: Plan, benefits: Iterable[tuple[dict[str, Any], list[CalendarEntry]]]) -> Iterable[Result]:
    """A benefit makes a result, its measure the indicator, its targets the periods."""
    for position, (benefit, calendar) in enumerate(benefits):
        yield Result(
            plan_id=plan.id,
            position=position,
            key=benefit["key"],
            title=benefit["title"],
            kind=benefit["kind"],
            indicator=_indicator(benefit, calendar),
        )


def _indicator(benefit: dict[str, Any], calendar: list[CalendarEntry]) -> Indicator:
    return Indicator(
        measure=benefit["measure"],
        unit=benefit["unit"],
        direction=benefit["direction"],
        frequency=benefit["frequency"],
        baseline_value=benefit["baseline"]["value"],
        baseline_on=benefit["baseline"]["on"],
        baseline_source=benefit["baseline"]["source"],
        owner_council=benefit["owner_council"],
        deadweight_percent=benefit["deadweight_percent"],
        attribution_percent=benefit["attribution_percent"],
        optimism_bias_percent=benefit["optimism_bias_percent"],
        periods=[_period(entry) for entry in calendar],
    )


def _period(entry: CalendarEntry) -> Period:
    return Period(
        council=entry.council,
        period=entry.period,
        starts_on=entry.starts_on,
        ends_on=entry.ends_on,
        due_on=entry.due_on,
        target=entry.target,
    )


def get_plan(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Return a project's whole plan.

    :raises NotFound: ``project_not_found``, also for a project that the caller may not see.
    """
    return views.plan(_plan_of(session, principal, command.project_id), clock.today())


def list_plans(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Return a page of the plans that the caller may see, those of earlier funded projects first."""
    statement = select(Plan).where(access.plans(principal)).options(selectinload(Plan.councils))
    if command.council is not None:
        statement = statement.where(Plan.councils.any(PlanCouncil.council == command.council))
    if command.state is not None:
        statement = statement.where(Plan.state == command.state)
    found = page(session, statement, by=Plan.id, request=command)
    return {**found, "items": [views.plan_header(plan) for plan in found["items"]]}


def achieve_milestone(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Record that a milestone is achieved today, with what shows it; funding may then pay its tranche.

    :returns: the whole plan.
    :raises NotFound: ``project_not_found`` or ``milestone_not_found``.
    :raises Forbidden: ``not_the_lead``.
    :raises Conflict: ``already_achieved``; its evidence stands.
    """
    plan = _plan_of(session, principal, command.project_id, lock=True)
    access.led(principal, plan)
    milestone = _milestone_of(plan, command.milestone)
    if milestone.achieved_on is not None:
        raise Conflict(
            "already_achieved",
            f"The milestone {milestone.key} was achieved on {milestone.achieved_on}; its evidence stands.",
        )
    milestone.achieved_on = clock.today()
    milestone.achieved_at = clock.now()
    milestone.achieved_by = principal.subject
    milestone.evidence = command.evidence
    events.milestone_achieved(session, plan, milestone)
    return views.plan(plan, clock.today())


def _plan_of(session: Session, principal: Principal, project_id: UUID, *, lock: bool = False) -> Plan:
    statement = select(Plan).where(Plan.project_id == project_id, access.plans(principal)).options(*_WHOLE_PLAN)
    if lock:
        # The options read the rest of the plan in statements of their own, after the lock, so they read it as it is.
        statement = statement.with_for_update()
    plan = session.scalars(statement).one_or_none()
    if plan is None:
        raise project_not_found()
    return plan


def project_not_found() -> NotFound:
    """Return the error for a project without a plan, and for one that the caller may not see."""
    return NotFound(
        "project_not_found",
        "There is no tracking plan of a project with this id. Check the id; a project has its plan moments after it"
        " is funded.",
        {"project_id": ["No such project."]},
    )


def _milestone_of(plan: Plan, key: str) -> Milestone:
    for milestone in plan.milestones:
        if milestone.key == key:
            return milestone
    keys = ", ".join(milestone.key for milestone in plan.milestones)
    raise NotFound(
        "milestone_not_found",
        f"This project has no milestone {key}; it has {keys}.",
        {"milestone": ["No such milestone."]},
    )
