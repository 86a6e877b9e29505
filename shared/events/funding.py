"""Events of the funding service."""

from marshmallow import Schema, fields, validate

from shared.fields import MAX_PENCE, Day, FinancialYear, Gss, Id, Items, Key, Moment, Pence, Text, WholeNumber
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


class LeaverRefunded(Schema):
    """A council that has left the pool got back its part of what was available."""

    pool_id = Id(required=True)
    council = Gss(required=True)
    amount_pence = Pence(required=True)
    refunded_on = Day(required=True)


class YearFigures(Schema):
    """What a financial year has brought.

    ``opening`` + ``received`` - ``refunded`` - ``spent`` + ``returned`` = ``closing``, which is carried forward, and
    ``outstanding_before`` + ``pledged`` - ``settled`` = ``outstanding``. A reversal counts against what it takes back,
    so that a figure may be below zero.
    """

    opening_pence = Pence(required=True, minimum=-MAX_PENCE)
    received_pence = Pence(required=True, minimum=-MAX_PENCE)
    refunded_pence = Pence(required=True, minimum=-MAX_PENCE)
    spent_pence = Pence(required=True, minimum=-MAX_PENCE)
    returned_pence = Pence(required=True, minimum=-MAX_PENCE)
    closing_pence = Pence(required=True, minimum=-MAX_PENCE)
    outstanding_before_pence = Pence(required=True, minimum=-MAX_PENCE)
    pledged_pence = Pence(required=True, minimum=-MAX_PENCE)
    settled_pence = Pence(required=True, minimum=-MAX_PENCE)
    outstanding_pence = Pence(required=True, minimum=-MAX_PENCE)


class CouncilYearFigures(YearFigures):
    """What a financial year has brought a council."""

    council = Gss(required=True)


class YearClosed(Schema):
    """A financial year's figures are settled, and nothing is dated in it any more; ``total`` has their sums."""

    pool_id = Id(required=True)
    year = FinancialYear(required=True)
    closed_at = Moment(required=True)
    councils = Items(fields.Nested(CouncilYearFigures), required=True, validate=validate.Length(max=100))
    total = fields.Nested(YearFigures, required=True)


class Reference(Schema):
    """An id or a reference as text, such as the ``bank_reference`` of a receipt."""

    name = Key(required=True)
    value = Text(required=True, max_length=128)


class TransactionReversed(Schema):
    """A transaction of the pool's ledger is taken back by its mirror image: what was told of it no longer holds.

    ``kind`` is its flow: a ``pledge`` (told as contribution_pledged), a ``receipt`` (contribution_recorded), ``pay``
    (tranche_paid), a ``refund`` (leaver_refunded), a ``return`` (underspend_returned) or a ``claw_back``
    (funds_clawed_back). ``about`` has the ids and references of that, as text. What is right is told anew.
    """

    pool_id = Id(required=True)
    transaction_id = Id(required=True)
    number = WholeNumber(required=True, minimum=1, maximum=1_000_000_000)
    kind = Key(required=True)
    amount_pence = Pence(required=True)
    effective_on = Day(required=True)
    reason = Text(required=True, max_length=2000, lines=True)
    about = Items(fields.Nested(Reference), distinct=("name",), required=True, validate=validate.Length(max=20))


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


class UnderspendReturned(AboutAward):
    """Money of a project that was not spent has come back to the pool; the bank's reference only if it was given."""

    project_id = Id(required=True)
    amount_pence = Pence(required=True)
    bank_reference = Text(max_length=64, load_default=None, allow_none=True)
    received_on = Day(required=True)


class FundsClawedBack(UnderspendReturned):
    """Money that the pool demanded back from a project has come back to it."""

    reason = Text(required=True, max_length=2000, lines=True)


EVENTS = (
    ("pool_opened", 1, PoolOpened),
    ("member_joined", 1, MemberJoined),
    ("member_left", 1, MemberLeft),
    ("leaver_refunded", 1, LeaverRefunded),
    ("year_closed", 1, YearClosed),
    ("transaction_reversed", 1, TransactionReversed),
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
    ("underspend_returned", 1, UnderspendReturned),
    ("funds_clawed_back", 1, FundsClawedBack),
)
