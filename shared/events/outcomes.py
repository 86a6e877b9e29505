"""Events of the outcomes service."""

from marshmallow import Schema, fields, validate

from shared.fields import Day, DecimalString, Gss, Id, Key, Moment, Text, WholeNumber
from shared.proposal_content import BENEFIT_KINDS


class AboutPlan(Schema):
    """What every event about a tracking plan says first."""

    plan_id = Id(required=True)
    project_id = Id(required=True)


class TrackingPlanCreated(AboutPlan):
    """A funded project is tracked from now on, until ``last_due_on``."""

    proposal_id = Id(required=True)
    award_id = Id(required=True)
    indicators = WholeNumber(required=True, minimum=1, maximum=10_000)
    periods = WholeNumber(required=True, minimum=1, maximum=1_000_000)
    milestones = WholeNumber(required=True, minimum=0, maximum=10_000)
    first_due_on = Day(required=True)
    last_due_on = Day(required=True)


class AboutPeriod(AboutPlan):
    """What every event about a reporting period says first: one indicator, one council, one period."""

    period_id = Id(required=True)
    indicator = Key(required=True)
    kind = fields.String(required=True, validate=validate.OneOf(BENEFIT_KINDS))
    council = Gss(required=True)
    period = Text(required=True, max_length=10)


class ActualReported(AboutPeriod):
    """A council reported what it measured; numerator and denominator come with percentages."""

    value = DecimalString(required=True)
    numerator = DecimalString(load_default=None, allow_none=True)
    denominator = DecimalString(load_default=None, allow_none=True)
    reported_at = Moment(required=True)


class PeriodCertified(AboutPeriod):
    """The reported value stands: certified by the council's Section 95 officer for savings, by the CDO for the rest."""

    value = DecimalString(required=True)
    certified_at = Moment(required=True)


class MilestoneAchieved(AboutPlan):
    """A milestone was shown to be achieved; the tranche that it carries may be claimed."""

    award_id = Id(required=True)
    milestone = Key(required=True)
    achieved_on = Day(required=True)


EVENTS = (
    ("tracking_plan_created", 1, TrackingPlanCreated),
    ("actual_reported", 1, ActualReported),
    ("period_certified", 1, PeriodCertified),
    ("milestone_achieved", 1, MilestoneAchieved),
)
