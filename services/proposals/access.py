"""Who may know of a proposal, work on it, and see how it was scored."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Boolean, ColumnElement, and_, literal_column, or_, select, true
from sqlalchemy.orm import aliased

from services.proposals.domain.cases import Case
from services.proposals.domain.states import DECIDED, State
from services.proposals.models import IS_DECIDED, IS_HANDED_IN, Assessment, Proposal, ProposalCouncil, Revision
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
from shared.security.scope import Scope, enforces

#: They read whatever was handed in.
READERS = (ASSESSOR, PANEL_CHAIR, TREASURER, APPROVER, OPERATOR)


@dataclass(frozen=True)
class Way:
    """A way in which somebody knows of proposals: of all of them, or of those that meet every condition given here.

    Each way is one walk along an index, which is how lists use it.

    :param council: that leads, or takes part in the current revision.
    :param handed_in: True for those that were ever handed in.
    :param decided: True for those on which the panel has decided.
    """

    council: str | None = None
    handed_in: bool = False
    decided: bool = False

    @property
    def condition(self) -> ColumnElement[bool]:
        """The condition that a proposal meets that is known in this way."""
        return and_(true(), *self.facts(), *([_is_of(self.council)] if self.council is not None else []))

    def facts(self) -> Iterator[ColumnElement[bool]]:
        """Yield what the proposal's own row tells."""
        if self.handed_in:
            yield literal_column(f"proposals.{IS_HANDED_IN}", Boolean)
        if self.decided:
            yield literal_column(f"proposals.{IS_DECIDED}", Boolean)


def ways(principal: Principal) -> list[Way]:
    """Return the ways in which a caller knows of proposals, any of which is enough; :data:`known` tells them."""
    if principal.has(CDO):
        return [Way()]
    found = [Way(handed_in=True) if principal.has(*READERS) else Way(decided=True)]
    if principal.council is not None and principal.has(*COUNCIL_ROLES):
        found.append(Way(council=principal.council))
    return found


@enforces(
    "known_proposals",
    "A draft: the lead council's people and the CDO. What was handed in: also the people of the councils that take part"
    " in its current revision, assessors, chair, treasurer, approver and operator. What is decided: everybody. For"
    " others it does not exist.",
)
def known(principal: Principal) -> ColumnElement[bool]:
    """Return the condition that a proposal meets when the caller may know of it.

    A draft is known to the lead council's people and the CDO; what was handed in also to the people of the councils
    that take part in its current revision and to :data:`READERS`; what is decided to everybody.
    """
    return or_(*(way.condition for way in ways(principal)))


@enforces(
    "similar_proposals",
    "Asked about: a proposal that the caller may know of. Told of: what was handed in, of any council, round and state,"
    " so that councils join instead of duplicating; of each its reference, title, councils, round, state and the words"
    " that both share, also to those who may not read it before the decision. Never a draft, nor a content, an"
    " assessment or what anybody gave as a reason.",
)
def told_of(asked_about: Proposal) -> ColumnElement[bool]:
    """Return the condition that a proposal meets which is told of when it is like the one that is asked about."""
    return and_(Proposal.revision > 0, Proposal.id != asked_about.id)


#: Enforced by the guards of :mod:`.domain.lifecycle`, on what :data:`known` lets through.
TAKES_PART = Scope(
    "answered_proposals",
    "The proposals in whose current revision the caller's council takes part. One that the caller merely knows of is"
    " refused as `Forbidden` or `Conflict`; no other exists for the caller.",
)
DISINTERESTED = Scope(
    "disinterested_proposals",
    "What was handed in. Refused as `Forbidden`: a proposal in which the caller's council takes part, one that the"
    " caller wrote, handed in or confirmed, one in which the caller declared a conflict of interest.",
)


def _is_of(council: str) -> ColumnElement[bool]:
    return (
        select(ProposalCouncil.council)
        .where(ProposalCouncil.proposal_id == Proposal.id, ProposalCouncil.council == council)
        .exists()
    )


@enforces(
    "led_proposals",
    "The proposals that the caller's council leads. One that the caller merely knows of is refused as `Forbidden`; no"
    " other exists for the caller.",
)
def led(principal: Principal, lead_council: str) -> None:
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


@enforces(
    "assessments",
    "Of a proposal that the caller may know of. CDO: all assessments. The chair: all, until the decision only of"
    " proposals in which the chair has no interest. Assessors, also those who chair: those of the revisions that they"
    " have assessed themselves; until the decision only their own where they have come to have an interest.",
)
def assessments(principal: Principal, proposal: Proposal, case: Case) -> ColumnElement[bool]:
    """Return the condition that an assessment of a proposal meets when the caller may read it."""
    if _reads_all_assessments(principal, case):
        return true()
    if not _may_compare(principal, case):
        return Assessment.assessor == principal.subject
    own = aliased(Assessment)
    assessed = select(own.revision).where(own.proposal_id == proposal.id, own.assessor == principal.subject)
    return Assessment.revision.in_(assessed)


@enforces(
    "assessment_summaries",
    "Those of the revisions of which the caller may read every assessment: all for the CDO; for the chair until the"
    " decision only those of proposals in which the chair has no interest; for assessors, also those who chair, those"
    " that they have assessed themselves, until the decision unless they have come to have an interest. Any other of a"
    " proposal that the caller may know of is refused as `Forbidden`.",
)
def summaries(principal: Principal, revision: Revision, case: Case) -> None:
    """:raises Forbidden: unless the caller may read every assessment of the revision."""
    if not _reads_assessments_of(principal, revision, case):
        raise Forbidden(
            "assessments_not_yet_yours",
            f"You may not read the assessments of revision {revision.number} of {case.reference}: assessors read them "
            "once they have given their own scores, and nobody before the decision who has an interest.",
        )


def sees_score(principal: Principal, proposal: Proposal, case: Case) -> bool:
    """Tell whether the caller sees what the assessments of the current revision come to, and how far apart they are.

    The councils that take part, and assessors who have not given their scores, learn it with the decision.
    """
    return proposal.state in DECIDED or (
        proposal.current is not None and _reads_assessments_of(principal, proposal.current, case)
    )


def _reads_assessments_of(principal: Principal, revision: Revision, case: Case) -> bool:
    """Tell whether :data:`assessments` shows the caller every assessment of a revision."""
    return _reads_all_assessments(principal, case) or (
        _may_compare(principal, case) and any(given.assessor == principal.subject for given in revision.assessments)
    )


def sees_score_in_lists(principal: Principal, state: str) -> bool:
    """Tell whether a list shows the caller the score of a proposal in some state.

    It does where :func:`sees_score` needs nothing but the state to say so: what is decided, and the CDO's overview.
    """
    return state in DECIDED or _oversees(principal)


def _oversees(principal: Principal) -> bool:
    """Tell whether the caller sees every score; whoever may assess as well gives their own first, like all others."""
    return principal.has(CDO) and not principal.has(ASSESSOR)


def _reads_all_assessments(principal: Principal, case: Case) -> bool:
    """Tell whether the caller reads every assessment as a matter of course: the chair and the CDO do.

    Whoever may assess as well gives their own scores first, like every other assessor.
    """
    if _oversees(principal):
        return True
    if principal.has(ASSESSOR):
        return False
    return principal.has(PANEL_CHAIR) and _may_compare(principal, case)


def _may_compare(principal: Principal, case: Case) -> bool:
    """Tell whether nothing speaks against the caller's knowing what others found: until the decision, an interest."""
    return case.state in DECIDED or case.interest_of(principal.subject, principal.council) is None
