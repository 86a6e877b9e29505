"""Who may know of a proposal, work on it, and see how it was scored."""

from sqlalchemy import ColumnElement, or_, select, true

from services.proposals.domain.lifecycle import DECIDED, State
from services.proposals.models import Participation, Proposal, Revision
from shared.errors import Forbidden
from shared.security.principal import (
    APPROVER,
    ASSESSOR,
    CDO,
    COUNCIL_ROLES,
    OPERATOR,
    PANEL_CHAIR,
    PROPOSER,
    TREASURER,
    Principal,
)

#: They read whatever was handed in.
READERS = (ASSESSOR, PANEL_CHAIR, TREASURER, APPROVER, OPERATOR)


def visible_to(principal: Principal) -> ColumnElement[bool]:
    """Return the condition that a proposal meets when the caller may know of it.

    A draft is known to the lead council's people and the CDO; what was handed in also to the people of the councils
    that take part in its current revision and to :data:`READERS`; what is decided to everybody.
    """
    if principal.has(CDO):
        return true()
    ways: list[ColumnElement[bool]] = [Proposal.state.in_(DECIDED)]
    if principal.has(*READERS):
        ways.append(Proposal.revision > 0)
    if principal.council is not None and principal.has(*COUNCIL_ROLES):
        ways += [Proposal.lead_council == principal.council, takes_part(principal.council)]
    return or_(*ways)


def takes_part(council: str) -> ColumnElement[bool]:
    """Return the condition that a proposal meets when a council takes part in its current revision."""
    return (
        select(Participation.council)
        .where(
            Participation.proposal_id == Proposal.id,
            Participation.revision == Proposal.revision,
            Participation.council == council,
        )
        .exists()
    )


def must_propose_for(principal: Principal, lead_council: str) -> None:
    """:raises Forbidden: unless the caller is a proposer of the council that leads."""
    if not principal.acts_for(lead_council, PROPOSER):
        raise Forbidden(
            "not_lead_council", "Only a proposer of the proposal's lead council does this; ask that council."
        )


def sees_draft(principal: Principal, proposal: Proposal) -> bool:
    """Tell whether the caller sees the draft rather than what was last handed in.

    The lead council's people and the CDO do while that council works on it; before the first submission there is
    nothing else, and nobody else knows of the proposal.
    """
    if proposal.revision == 0:
        return True
    ours = principal.has(CDO) or principal.acts_for(proposal.lead_council, *COUNCIL_ROLES)
    return ours and proposal.state == State.CHANGES_REQUESTED


def reads_all_assessments(principal: Principal) -> bool:
    """Tell whether the caller reads every assessment as a matter of course: the chair and the CDO do.

    Whoever may assess as well gives their own scores first, like every other assessor.
    """
    return principal.has(PANEL_CHAIR, CDO) and not principal.has(ASSESSOR)


def sees_score(principal: Principal, proposal: Proposal) -> bool:
    """Tell whether the caller sees what the assessments of the current revision come to.

    The councils that take part, and assessors who have not given their scores, learn it with the decision.
    """
    return proposal.state in DECIDED or reads_all_assessments(principal) or _has_assessed(principal, proposal.current)


def _has_assessed(principal: Principal, revision: Revision | None) -> bool:
    return revision is not None and any(given.assessor == principal.subject for given in revision.assessments)
