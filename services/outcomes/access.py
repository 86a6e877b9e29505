"""Who may see a plan, and who may act on it. What a caller may not see does not exist for that caller."""

from sqlalchemy import ColumnElement, true

from services.outcomes import domain
from services.outcomes.models import Period, Plan, PlanCouncil
from shared import councils
from shared.errors import Forbidden
from shared.security.principal import (
    APPROVER,
    ASSESSOR,
    CDO,
    COUNCIL_ROLES,
    OPERATOR,
    PANEL_CHAIR,
    PROPOSER,
    S95_OFFICER,
    TREASURER,
    Principal,
)
from shared.security.scope import enforces

#: Roles that see every plan; the roles of a council see the plans in which it takes part.
SEES_EVERY_PLAN = frozenset({CDO, TREASURER, APPROVER, PANEL_CHAIR, ASSESSOR, OPERATOR})
READERS = COUNCIL_ROLES | SEES_EVERY_PLAN


@enforces(
    "plans",
    "CDO, treasurer, approver, chair, assessors and operator: every plan. A council's people: the plans of projects in"
    " which their council takes part, whole; no other exists for them.",
)
def plans(principal: Principal) -> ColumnElement[bool]:
    """Return the condition under which a plan exists for the caller."""
    if principal.has(*SEES_EVERY_PLAN):
        return true()
    own = principal.council if principal.has(*COUNCIL_ROLES) else None
    return Plan.councils.any(PlanCouncil.council == own)


@enforces(
    "reported_periods",
    "The periods of the caller's council, and those of indicators that it owns. Another one of a plan in which it takes"
    " part is refused as `Forbidden`; no other exists for the caller.",
)
def reported(principal: Principal, period: Period) -> None:
    """Let a proposer of the council that is measured report, or of the one that owns the indicator.

    :raises Forbidden: ``not_your_period``.
    """
    owner = period.indicator.owner_council
    if not (principal.acts_for(period.council, PROPOSER) or principal.acts_for(owner, PROPOSER)):
        raise Forbidden(
            "not_your_period",
            f"A proposer of {_names(period.council, owner)} reports this period; ask one of them.",
        )


@enforces(
    "decided_periods",
    "Section 95 officers: the savings of their own council. CDO: all that is no saving. Another period of a plan that"
    " the caller may see is refused as `Forbidden`; no other exists for the caller.",
)
def decided(principal: Principal, period: Period) -> None:
    """Let the Section 95 officer of the council that benefits decide on a saving, and the CDO on anything else.

    :raises Forbidden: ``not_yours_to_certify``.
    """
    role = domain.certifying_role(period.indicator.result.kind)
    if role == CDO and not principal.has(CDO):
        raise Forbidden("not_yours_to_certify", "The chief digital officer decides on reports that are not savings.")
    if role == S95_OFFICER and not principal.acts_for(period.council, S95_OFFICER):
        raise Forbidden(
            "not_yours_to_certify",
            f"This is a saving of {councils.name_of(period.council)}: its Section 95 officer decides on the report.",
        )


@enforces(
    "led_plans",
    "The plans of projects that the caller's council leads. One in which it only takes part is refused as `Forbidden`;"
    " no other exists for the caller.",
)
def led(principal: Principal, plan: Plan) -> None:
    """Let a proposer of the lead council act for the project.

    :raises Forbidden: ``not_the_lead``.
    """
    if not principal.acts_for(plan.lead_council, PROPOSER):
        raise Forbidden(
            "not_the_lead",
            f"{councils.name_of(plan.lead_council)} leads this project; a proposer of that council does this.",
        )


def _names(*codes: str) -> str:
    return " or ".join(councils.name_of(code) for code in dict.fromkeys(codes))
