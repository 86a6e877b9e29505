"""The RPC surface of outcomes: what each method takes, and what it answers."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from services.outcomes import domain
from shared.fields import CommandSchema, Day, DecimalString, Gss, Id, Key, Moment, Text
from shared.storage.paging import PageRequest


def _one_of(choices: tuple[str, ...]) -> validate.OneOf:
    return validate.OneOf(choices, error="Choose one of: {choices}.")


class GetPlan(CommandSchema):
    """Which project's plan."""

    project_id = Id(required=True)


class ListPlans(PageRequest):
    """Which plans: those in which a council takes part, those in a state; all when left out."""

    council = Gss(load_default=None, allow_none=True)
    state = fields.String(load_default=None, allow_none=True, validate=_one_of(domain.PLAN_STATES))


class ListPeriods(PageRequest):
    """Which periods. ``council`` is the one that is measured; ``overdue`` finds open and returned periods."""

    project_id = Id(load_default=None, allow_none=True)
    council = Gss(load_default=None, allow_none=True)
    state = fields.String(load_default=None, allow_none=True, validate=_one_of(domain.PERIOD_FILTERS))


class ReportActual(CommandSchema):
    """What was measured in a period, in the indicator's unit; a percentage comes with its two parts."""

    period_id = Id(required=True)
    value = DecimalString(required=True)
    numerator = DecimalString(load_default=None, allow_none=True)
    denominator = DecimalString(load_default=None, allow_none=True)
    narrative = Text(max_length=4000, lines=True, load_default=None, allow_none=True)


class CertifyPeriod(CommandSchema):
    """Which period's report stands."""

    period_id = Id(required=True)


class ReturnPeriod(CommandSchema):
    """Which period's report goes back, and why."""

    period_id = Id(required=True)
    reason = Text(required=True, max_length=2000, lines=True)


class AchieveMilestone(CommandSchema):
    """Which milestone of a project is achieved, and what shows it."""

    project_id = Id(required=True)
    milestone = Key(required=True)
    evidence = Text(required=True, max_length=4000, lines=True)


class BenefitsSummary(CommandSchema):
    """Whose benefits: a project's, a council's, or with neither the whole portfolio's."""

    project_id = Id(load_default=None, allow_none=True)
    council = Gss(load_default=None, allow_none=True)

    @validates_schema
    def _one_scope(self, data: dict[str, Any], **_: Any) -> None:
        if data["project_id"] is not None and data["council"] is not None:
            raise ValidationError("Ask for a project or for a council, not for both.", "council")


class Baseline(Schema):
    """Where an indicator starts from."""

    value = fields.String()
    on = Day()
    source = fields.String()


class IndicatorView(Schema):
    """How a result is measured. The percentages are those of the Green Book."""

    measure = fields.String()
    unit = fields.String()
    direction = fields.String()
    frequency = fields.String()
    baseline = fields.Nested(Baseline)
    owner_council = Gss()
    deadweight_percent = fields.String()
    attribution_percent = fields.String()
    optimism_bias_percent = fields.String()


class PeriodView(Schema):
    """A reporting period of a council with its latest report; what is not there yet is null."""

    period_id = Id()
    council = Gss()
    period = fields.String()
    starts_on = Day()
    ends_on = Day()
    opens_on = Day()
    due_on = Day()
    target = fields.String()
    state = fields.String()
    overdue = fields.Boolean()
    value = fields.String()
    numerator = fields.String()
    denominator = fields.String()
    narrative = fields.String()
    reported_by = fields.String()
    reported_at = Moment()
    certified_by = fields.String()
    certified_at = Moment()
    returned_by = fields.String()
    returned_at = Moment()
    return_reason = fields.String()


class PeriodInContext(PeriodView):
    """A reporting period by itself: with its project and what it measures."""

    plan_id = Id()
    project_id = Id()
    proposal_reference = fields.String()
    result = Key()
    title = fields.String()
    kind = fields.String()
    measure = fields.String()
    unit = fields.String()
    owner_council = Gss()


class PeriodPage(Schema):
    """A page of reporting periods."""

    items = fields.List(fields.Nested(PeriodInContext))
    next_cursor = fields.String()


class MilestoneView(Schema):
    """A milestone: ``planned``, ``late`` or ``achieved``."""

    key = Key()
    title = fields.String()
    due_on = Day()
    tranche_pence = fields.Integer()
    state = fields.String()
    achieved_on = Day()
    achieved_by = fields.String()
    evidence = fields.String()


class ResultView(Schema):
    """A result with its indicator and the reporting periods of every council."""

    key = Key()
    title = fields.String()
    kind = fields.String()
    indicator = fields.Nested(IndicatorView)
    periods = fields.List(fields.Nested(PeriodView))


class PlanHeader(Schema):
    """A plan as lists show it. It starts on the day of funding and expects its last report on ``last_due_on``."""

    plan_id = Id()
    project_id = Id()
    award_id = Id()
    proposal_id = Id()
    proposal_reference = fields.String()
    revision = fields.Integer()
    content_hash = fields.String()
    title = fields.String()
    lead_council = Gss()
    councils = fields.List(Gss())
    amount_pence = fields.Integer()
    state = fields.String()
    starts_on = Day()
    last_due_on = Day()


class PlanPage(Schema):
    """A page of plans."""

    items = fields.List(fields.Nested(PlanHeader))
    next_cursor = fields.String()


class PlanView(PlanHeader):
    """A whole plan."""

    milestones = fields.List(fields.Nested(MilestoneView))
    results = fields.List(fields.Nested(ResultView))


class SavingsView(Schema):
    """One kind of saving, in pounds: ``certified_gross = deadweight + unattributed + net``.

    ``reported`` awaits certification and is in none of the others; ``net`` is what counts as realised.
    """

    kind = fields.String()
    target = fields.String()
    reported = fields.String()
    certified_gross = fields.String()
    deadweight = fields.String()
    unattributed = fields.String()
    net = fields.String()


class PeriodCounts(Schema):
    """How many periods show each state; ``overdue`` counts some of the open and returned ones again."""

    upcoming = fields.Integer()
    open = fields.Integer()
    reported = fields.Integer()
    certified = fields.Integer()
    returned = fields.Integer()
    overdue = fields.Integer()


class PartView(Schema):
    """A part of a summary, or the whole."""

    periods = fields.Nested(PeriodCounts)
    savings = fields.List(fields.Nested(SavingsView))


class CouncilPartView(PartView):
    """One council's part of a summary."""

    council = Gss()


class SummaryView(PartView):
    """A summary: the whole, and its parts by council, which add up to it."""

    project_id = Id()
    council = Gss()
    plans = fields.Integer()
    indicators = fields.Integer()
    indicators_not_summed = fields.Integer()
    by_council = fields.List(fields.Nested(CouncilPartView))
