"""The outcomes service: every funded project is tracked until its savings and outcomes are real."""

from typing import Any

from sqlalchemy.orm import Session

from services.outcomes import access, schemas
from services.outcomes.access import READERS
from services.outcomes.handlers import benefits, periods, plans
from shared.audit.sealer import Sealing
from shared.fields import Command
from shared.messaging.consumer import event_handler
from shared.messaging.events import Event
from shared.messaging.housekeeping import Housekeeping
from shared.messaging.relay import OutboxRelay
from shared.messaging.rpc import rpc
from shared.security.principal import CDO, PROPOSER, ROLES, S95_OFFICER, Principal
from shared.security.scope import EVERY_ROW
from shared.storage.provider import Storage


class OutcomesService:
    """Tracking plans, reporting periods, milestones and the roll-up of benefits."""

    name = "outcomes"
    storage = Storage()
    relay = OutboxRelay()
    housekeeping = Housekeeping()
    sealing = Sealing()

    @event_handler("funding", "project_funded")
    def track_funded_project(self, session: Session, event: Event) -> None:
        """Make the project's tracking plan."""
        plans.track_funded_project(session, event)

    @rpc(schemas.GetPlan, schemas.PlanView, roles=READERS, scope=access.plans, reads=True)
    def get_plan(self, session: Session, principal: Principal, command: Command) -> Any:
        """Read a project's whole tracking plan."""
        return plans.get_plan(session, principal, command)

    @rpc(schemas.ListPlans, schemas.PlanPage, roles=READERS, scope=access.plans, reads=True)
    def list_plans(self, session: Session, principal: Principal, command: Command) -> Any:
        """List tracking plans."""
        return plans.list_plans(session, principal, command)

    @rpc(schemas.ListPeriods, schemas.PeriodPage, roles=READERS, scope=access.plans, reads=True)
    def list_periods(self, session: Session, principal: Principal, command: Command) -> Any:
        """List reporting periods."""
        return periods.list_periods(session, principal, command)

    @rpc(schemas.ReportActual, schemas.PeriodInContext, roles={PROPOSER}, scope=access.reported)
    def report_actual(self, session: Session, principal: Principal, command: Command) -> Any:
        """Report what a council measured in a period."""
        return periods.report_actual(session, principal, command)

    @rpc(schemas.CertifyPeriod, schemas.PeriodInContext, roles={S95_OFFICER, CDO}, scope=access.decided)
    def certify_period(self, session: Session, principal: Principal, command: Command) -> Any:
        """Certify the value that is reported for a period."""
        return periods.certify_period(session, principal, command)

    @rpc(schemas.ReturnPeriod, schemas.PeriodInContext, roles={S95_OFFICER, CDO}, scope=access.decided)
    def return_period(self, session: Session, principal: Principal, command: Command) -> Any:
        """Give a period's report back, with a reason."""
        return periods.return_period(session, principal, command)

    @rpc(schemas.AchieveMilestone, schemas.PlanView, roles={PROPOSER}, scope=access.led)
    def achieve_milestone(self, session: Session, principal: Principal, command: Command) -> Any:
        """Record that a milestone of a project is achieved."""
        return plans.achieve_milestone(session, principal, command)

    @rpc(schemas.BenefitsSummary, schemas.SummaryView, roles=ROLES, scope=EVERY_ROW, reads=True)
    def benefits_summary(self, session: Session, principal: Principal, command: Command) -> Any:
        """Roll up the benefits of a project, a council or the portfolio."""
        return benefits.benefits_summary(session, principal, command)
