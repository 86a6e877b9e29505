"""Events of the funding service."""

from marshmallow import Schema, fields, validate

from shared.fields import Day, FinancialYear, Gss, Id, Items, Key, Moment, Pence, Text, WholeNumber
from shared.proposal_content import ProposalContent

#: How a receipt stands to what its council had pledged.
RECEIPT_FLAGS = ("exact", "partial", "over", "unpledged")


class PoolOpened(Schema):
    """Councils put their money together for the financial years named."""

    pool_id = Id(required=True)
    name = Text(required=True, max_length=200)
    starts_on = Day(required=True)
    ends_on = Day(required=True)
    years = Items(FinancialYear(), required=True, validate=validate.Length(max=100))


class MemberJoined(Schema):
    """A council is a member of the pool from ``joins_on``."""

    pool_id = Id(required=True)
    council = Gss(required=True)
    joins_on = Day(required=True)


class MemberLeft(Schema):
    """A council that is a member of the pool from ``joins_on`` is one for the last time on ``leaves_on``."""

    pool_id = Id(required=True)
    council = Gss(required=True)
    joins_on = Day(required=True)
    leaves_on = Day(required=True)


class ContributionPledged(Schema):
    """A council owes the pool this much for a financial year."""

    pool_id = Id(required=True)
    council = Gss(required=True)
    year = FinancialYear(required=True)
    amount_pence = Pence(required=True, minimum=0)


class ContributionRecorded(Schema):
    """A council's money arrived. ``unpledged_pence`` is the part of it that went beyond what was pledged.

    The flag says how it stands to the pledge: the ``exact`` sum of one year or more, ``partial`` with
    ``still_owed_pence`` left of a year, ``over``, or ``unpledged`` altogether.
    """

    pool_id = Id(required=True)
    council = Gss(required=True)
    amount_pence = Pence(required=True)
    unpledged_pence = Pence(required=True, minimum=0)
    still_owed_pence = Pence(minimum=0, load_default=None, allow_none=True)
    flag = fields.String(load_default=None, allow_none=True, validate=validate.OneOf(RECEIPT_FLAGS))
    bank_reference = Text(required=True, max_length=64)
    received_on = Day(required=True)


class AboutAward(Schema):
    """What every event about an award says first."""

    award_id = Id(required=True)
    pool_id = Id(required=True)
    proposal_id = Id(required=True)
    proposal_reference = Text(required=True, max_length=32)
    lead_council = Gss(required=True)


class AwardOffered(AboutAward):
    """Two people of the pool offer a sum, until ``expires_on``; the money is reserved."""

    amount_pence = Pence(required=True)
    expires_on = Day(required=True)


class ProjectFunded(AboutAward):
    """The lead council's Section 95 officer accepted: the project is born, its money committed.

    Carries all that tracking needs: the content that the panel approved, its revision and hash.
    """

    project_id = Id(required=True)
    amount_pence = Pence(required=True)
    revision = WholeNumber(required=True, minimum=1, maximum=1_000_000)
    content_hash = Text(required=True, max_length=64)
    content = fields.Nested(ProposalContent, required=True)
    funded_at = Moment(required=True)


class AwardDeclined(AboutAward):
    """The lead council does not take the offer; the money is free again."""

    reason = Text(required=True, max_length=2000, lines=True)
    declined_at = Moment(required=True)


class AwardLapsed(AboutAward):
    """Nobody took the offer until the last day on which it stood; the money is free again."""

    expires_on = Day(required=True)
    lapsed_at = Moment(required=True)


class ProjectCompleted(AboutAward):
    """The project has done what it was funded for: nothing more is drawn down."""

    project_id = Id(required=True)
    completed_at = Moment(required=True)


class AwardTerminated(AboutAward):
    """The project was ended early: nothing more is drawn down."""

    project_id = Id(required=True)
    reason = Text(required=True, max_length=2000, lines=True)
    terminated_at = Moment(required=True)


class AboutTranche(AboutAward):
    """What every event about a tranche says first. A tranche is named by its milestone's key."""

    project_id = Id(required=True)
    tranche = Key(required=True)
    amount_pence = Pence(required=True)


class DrawdownApproved(AboutTranche):
    """A second person approved the payment of a tranche."""

    approved_at = Moment(required=True)


class TranchePaid(AboutTranche):
    """A tranche left the pool for the lead council."""

    payment_reference = Text(required=True, max_length=64)
    paid_on = Day(required=True)


EVENTS = (
    ("pool_opened", 1, PoolOpened),
    ("member_joined", 1, MemberJoined),
    ("member_left", 1, MemberLeft),
    ("contribution_pledged", 1, ContributionPledged),
    ("contribution_recorded", 1, ContributionRecorded),
    ("award_offered", 1, AwardOffered),
    ("project_funded", 1, ProjectFunded),
    ("award_declined", 1, AwardDeclined),
    ("award_lapsed", 1, AwardLapsed),
    ("project_completed", 1, ProjectCompleted),
    ("award_terminated", 1, AwardTerminated),
    ("drawdown_approved", 1, DrawdownApproved),
    ("tranche_paid", 1, TranchePaid),
)
