"""What the tests of outcomes are made of: a funded project, its people, and calls on its handlers."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.outcomes import schemas
from services.outcomes.handlers import benefits, periods, plans
from shared import clock, ids
from shared.events.catalogue import EventType, event_type
from shared.fields import Command, CommandSchema
from shared.messaging import tables
from shared.messaging.events import Event
from shared.security.principal import (
    APPROVER,
    ASSESSOR,
    CDO,
    OPERATOR,
    PANEL_CHAIR,
    PROPOSER,
    S95_OFFICER,
    SPONSOR,
    SYSTEM,
    TREASURER,
    Principal,
)
from shared.storage.database import Database

EDINBURGH, ABERDEENSHIRE, STIRLING, FIFE = "S12000036", "S12000034", "S12000030", "S12000047"

FUNDED_AT = datetime(2026, 7, 1, 10, 30, tzinfo=UTC)
#: The day after 2027-Q3 ends.
REPORTING_DAY = date(2028, 1, 1)


def proposer(council: str) -> Principal:
    """A digital lead."""
    return Principal(f"proposer@{council}", frozenset({PROPOSER}), council)


def sponsor(council: str) -> Principal:
    """An authorised sponsor."""
    return Principal(f"sponsor@{council}", frozenset({SPONSOR}), council)


def s95_officer(council: str) -> Principal:
    """A Section 95 officer."""
    return Principal(f"s95@{council}", frozenset({S95_OFFICER}), council)


def person(role: str) -> Principal:
    """Somebody of the programme, in no council."""
    return Principal(f"{role}@programme", frozenset({role}))


THE_CDO, THE_SYSTEM = person(CDO), person(SYSTEM)
PROGRAMME = tuple(person(role) for role in (CDO, TREASURER, APPROVER, PANEL_CHAIR, ASSESSOR, OPERATOR))


def a_saving(**changes: Any) -> dict[str, Any]:
    """A cashable saving of two councils in one quarter."""
    return {
        "key": "phone-payments-saved",
        "title": "Fewer payments taken by phone",
        "kind": "cashable_saving",
        "measure": "currency",
        "unit": "GBP",
        "direction": "increase",
        "frequency": "quarterly",
        "baseline": {"value": "0", "on": "2026-03-31", "source": "Finance ledger"},
        "owner_council": EDINBURGH,
        "targets": [
            {"period": "2027-Q3", "council": EDINBURGH, "value": "40000"},
            {"period": "2027-Q3", "council": ABERDEENSHIRE, "value": "22000"},
        ],
        "deadweight_percent": "10",
        "attribution_percent": "80",
        "optimism_bias_percent": "15",
    } | changes


def an_outcome(**changes: Any) -> dict[str, Any]:
    """A citizen outcome of one council, a percentage, a year long."""
    return {
        "key": "paid-first-time",
        "title": "Payments that succeed at the first attempt",
        "kind": "citizen_outcome",
        "measure": "percentage",
        "unit": "% of attempts",
        "direction": "increase",
        "frequency": "annual",
        "baseline": {"value": "71.5", "on": "2026-03-31", "source": "Web analytics"},
        "owner_council": EDINBURGH,
        "targets": [{"period": "2026-27", "council": ABERDEENSHIRE, "value": "85"}],
        "deadweight_percent": "0",
        "attribution_percent": "100",
        "optimism_bias_percent": "0",
    } | changes


def content(**changes: Any) -> dict[str, Any]:
    """A proposal's content as JSON: Edinburgh leads, Aberdeenshire and Stirling take part."""
    return {
        "title": "One online payments service for three councils",
        "lead_council": EDINBURGH,
        "participants": [ABERDEENSHIRE, STIRLING],
        "objectives": ["user_centred_services"],
        "problem": "Residents pay by phone because each council's form differs and fails on mobiles.",
        "user_need": "Pay any council bill in under two minutes, on a phone, without an account.",
        "requested_pence": 25_000_000,
        "match_funding_pence": 5_000_000,
        "costs": [{"year": "2026-27", "category": "staff", "amount_pence": 30_000_000}],
        "milestones": [
            {"key": "alpha", "title": "Alpha passed", "due_on": "2027-01-31", "tranche_pence": 10_000_000},
            {"key": "live", "title": "Live in all three", "due_on": "2027-09-30", "tranche_pence": 15_000_000},
        ],
        "benefits": [a_saving(), an_outcome()],
    } | changes


def project_funded(**changes: Any) -> Event:
    """Funding's event as a handler receives it, of a new project unless ``project_id`` says otherwise.

    :param changes: fields of the event's data, as JSON; ``event_id`` for the event's own.
    """
    kind: EventType = event_type("funding", "project_funded")
    event_id = changes.pop("event_id", str(ids.new_id()))
    body: dict[str, Any] = {
        "award_id": str(ids.new_id()),
        "pool_id": str(ids.new_id()),
        "proposal_id": str(ids.new_id()),
        "proposal_reference": "P-2026-0007",
        "lead_council": EDINBURGH,
        "project_id": str(ids.new_id()),
        "amount_pence": 25_000_000,
        "revision": 2,
        "content_hash": "5e" * 32,
        "content": content(),
        "funded_at": FUNDED_AT.isoformat(),
    } | changes
    return Event(event_id, kind, subject=body["award_id"], sequence=3, time=FUNDED_AT, data=kind.load(body))


def command(schema: type[CommandSchema], **arguments: Any) -> Command:
    """A command as the entrypoint makes it of a caller's arguments."""
    loaded: Command = schema().load({name: _as_json(value) for name, value in arguments.items()})
    return loaded


def _as_json(value: Any) -> Any:
    return str(value) if isinstance(value, UUID) else value


@contextmanager
def on(day: date) -> Iterator[None]:
    """Make it noon of a day."""
    with clock.using(clock.FixedClock(datetime(day.year, day.month, day.day, 12, tzinfo=UTC))):
        yield


class Outcomes:
    """The service's handlers on a database, each call in a transaction of its own and answered as callers see it."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def fund(self, **changes: Any) -> UUID:
        """Fund a project. :returns: its id."""
        event = project_funded(**changes)
        self.receive(event)
        project_id: UUID = event.data["project_id"]
        return project_id

    def receive(self, event: Event) -> None:
        """Deliver ``project_funded``."""
        self.database.run(lambda session: plans.track_funded_project(session, event))

    def get_plan(self, principal: Principal, **arguments: Any) -> Any:
        return self._call(plans.get_plan, schemas.GetPlan, schemas.PlanView, principal, arguments)

    def list_plans(self, principal: Principal, **arguments: Any) -> Any:
        return self._call(plans.list_plans, schemas.ListPlans, schemas.PlanPage, principal, arguments)

    def achieve_milestone(self, principal: Principal, **arguments: Any) -> Any:
        return self._call(plans.achieve_milestone, schemas.AchieveMilestone, schemas.PlanView, principal, arguments)

    def list_periods(self, principal: Principal, **arguments: Any) -> Any:
        return self._call(periods.list_periods, schemas.ListPeriods, schemas.PeriodPage, principal, arguments)

    def report_actual(self, principal: Principal, **arguments: Any) -> Any:
        return self._call(periods.report_actual, schemas.ReportActual, schemas.PeriodInContext, principal, arguments)

    def certify_period(self, principal: Principal, **arguments: Any) -> Any:
        return self._call(periods.certify_period, schemas.CertifyPeriod, schemas.PeriodInContext, principal, arguments)

    def return_period(self, principal: Principal, **arguments: Any) -> Any:
        return self._call(periods.return_period, schemas.ReturnPeriod, schemas.PeriodInContext, principal, arguments)

    def benefits_summary(self, principal: Principal, **arguments: Any) -> Any:
        return self._call(benefits.benefits_summary, schemas.BenefitsSummary, schemas.SummaryView, principal, arguments)

    def _call(
        self, handler: Any, request: type[CommandSchema], response: Any, principal: Principal, arguments: Any
    ) -> Any:
        def work(session: Session) -> Any:
            return response().dump(handler(session, principal, command(request, **arguments)))

        return self.database.run(work)

    def period_id(self, project_id: UUID, council: str, result: str = "phone-payments-saved") -> str:
        """The id of a council's first period for a result."""
        plan = self.get_plan(THE_CDO, project_id=project_id)
        found = (
            period["period_id"]
            for each in plan["results"]
            for period in each["periods"]
            if each["key"] == result and period["council"] == council
        )
        return str(next(found))

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """What the outbox has, oldest first, of one name or all."""
        table = tables.outbox
        statement = select(table).order_by(table.c.position)
        if name is not None:
            statement = statement.where(table.c.name == name)
        with self.database.transaction() as session:
            return [dict(row) for row in session.execute(statement).mappings()]
