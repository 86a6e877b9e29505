"""The content of a proposal (design, section 8), as files, RPC and events carry it.

One schema for all of them. It checks what can be seen in the content alone; whether a round is open or a council a
member on the day is for the proposals service to say.
"""

from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, post_load, validate, validates_schema

from shared import periods
from shared.fields import Day, DecimalString, FinancialYear, Gss, Items, Key, Pence, Text, flatten

OBJECTIVES = ("user_centred_services", "collaboration", "digital_capability")
COST_CATEGORIES = ("staff", "licences", "hardware", "services", "training", "other")
BENEFIT_KINDS = ("cashable_saving", "non_cashable_saving", "citizen_outcome", "capability")
SAVING_KINDS = ("cashable_saving", "non_cashable_saving")
MEASURES = ("count", "percentage", "currency", "score")
DIRECTIONS = ("increase", "decrease", "range")


def _one_of(choices: tuple[str, ...]) -> validate.OneOf:
    return validate.OneOf(choices, error="Choose one of: {choices}.")


class NoRepeats(validate.Validator):
    """Refuses a list whose items repeat the same values under ``names`` (or, without names, the same item)."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def __call__(self, items: list[Any]) -> list[Any]:
        seen: set[Any] = set()
        for item in items:
            identity = tuple(item.get(name) for name in self.names) if self.names else (item,)
            if identity in seen:
                given = " ".join(str(value) for value in identity if value is not None)
                raise ValidationError(f"{given} is given twice; keep one.")
            seen.add(identity)
        return items


class Cost(Schema):
    """What a financial year costs in one category: the ``council`` on which it falls, or else the project as a whole.

    A ``council`` of null is left out, so that what means the same is written, and hashed, in one way.
    """

    year = FinancialYear(required=True)
    category = fields.String(required=True, validate=_one_of(COST_CATEGORIES))
    amount_pence = Pence(required=True)
    council = Gss(allow_none=True)

    @post_load
    def _without_null(self, cost: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {name: value for name, value in cost.items() if value is not None}


class Milestone(Schema):
    """A step that the project can show, and the tranche of the award that it unlocks (none when 0)."""

    key = Key(required=True)
    title = Text(required=True, max_length=200)
    due_on = Day(required=True)
    tranche_pence = Pence(required=True, minimum=0)


class Baseline(Schema):
    """Where a benefit starts from."""

    value = DecimalString(required=True)
    on = Day(required=True)
    source = Text(required=True, max_length=200)


class Target(Schema):
    """What a council means to reach in a period. The period is written as the benefit's frequency asks."""

    period = fields.String(required=True, validate=validate.Length(max=10))
    council = Gss(required=True)
    value = DecimalString(required=True)


class Benefit(Schema):
    """A benefit: what is measured, from where, by whom, and how much of it is the project's own doing.

    A saving is measured in currency, and money in the unit GBP. A council has one target a period, and each period is
    written as the frequency asks: 2026-10 monthly, 2026-Q3 quarterly, 2026-27 annual.

    The three percentages follow HM Treasury's Green Book: deadweight would have happened anyway, attribution is the
    project's part in the rest, optimism bias is taken off forecasts.
    """

    key = Key(required=True)
    title = Text(required=True, max_length=200)
    kind = fields.String(required=True, validate=_one_of(BENEFIT_KINDS))
    measure = fields.String(required=True, validate=_one_of(MEASURES))
    unit = Text(required=True, max_length=40)
    direction = fields.String(required=True, validate=_one_of(DIRECTIONS))
    frequency = fields.String(required=True, validate=_one_of(periods.FREQUENCIES))
    baseline = fields.Nested(Baseline, required=True)
    owner_council = Gss(required=True)
    targets = Items(
        fields.Nested(Target),
        required=True,
        validate=[
            validate.Length(min=1, max=400, error="Give at least one target, and at most {max}."),
            NoRepeats("period", "council"),
        ],
    )
    deadweight_percent = DecimalString(required=True, minimum="0", maximum="100")
    attribution_percent = DecimalString(required=True, minimum="0", maximum="100")
    optimism_bias_percent = DecimalString(required=True, minimum="0", maximum="100")

    @validates_schema
    def _periods_fit_the_frequency(self, benefit: dict[str, Any], **_: Any) -> None:
        wrong: dict[str, Any] = {}
        for index, target in enumerate(benefit["targets"]):
            try:
                periods.parse_period(target["period"], benefit["frequency"])
            except ValueError as error:
                wrong[str(index)] = {"period": [str(error)]}
        if wrong:
            raise ValidationError({"targets": wrong})

    @validates_schema
    def _savings_are_money(self, benefit: dict[str, Any], **_: Any) -> None:
        if benefit["kind"] in SAVING_KINDS and benefit["measure"] != "currency":
            raise ValidationError("A saving is measured in currency; choose currency, or another kind.", "measure")

    @validates_schema
    def _money_is_in_pounds(self, benefit: dict[str, Any], **_: Any) -> None:
        # Savings are added up over projects: a unit of thousands among them would be wrong by a thousand, unseen.
        if benefit["measure"] == "currency" and benefit["unit"] != "GBP":
            raise ValidationError("Amounts of money are in GBP, whole pounds and pence.", "unit")


class ProposalContent(Schema):
    """A whole proposal. Sums and membership are rules of eligibility and are not checked here.

    The lead council is not named among the participants. Benefits, targets and costs that name a council belong to
    councils that take part. Milestones and benefits each have a key of their own, and a year has one cost line a
    category and council, and one a category for the project as a whole.
    """

    title = Text(required=True, max_length=200)
    lead_council = Gss(required=True)
    participants = Items(
        Gss(), required=True, validate=[validate.Length(max=31, error="Name at most 31 participants."), NoRepeats()]
    )
    objectives = Items(
        fields.String(validate=_one_of(OBJECTIVES)),
        required=True,
        validate=[
            validate.Length(min=1, max=len(OBJECTIVES), error="Name at least one objective, and each once."),
            NoRepeats(),
        ],
    )
    problem = Text(required=True, max_length=4000, lines=True)
    user_need = Text(required=True, max_length=4000, lines=True)
    requested_pence = Pence(required=True)
    match_funding_pence = Pence(required=True, minimum=0)
    costs = Items(
        fields.Nested(Cost),
        required=True,
        validate=[
            validate.Length(min=1, max=100, error="Give at least one cost line, and at most {max}."),
            NoRepeats("year", "category", "council"),
        ],
    )
    milestones = Items(
        fields.Nested(Milestone),
        required=True,
        validate=[
            validate.Length(min=1, max=50, error="Give at least one milestone, and at most {max}."),
            NoRepeats("key"),
        ],
    )
    benefits = Items(
        fields.Nested(Benefit),
        required=True,
        validate=[
            validate.Length(min=1, max=50, error="Give at least one benefit, and at most {max}."),
            NoRepeats("key"),
        ],
    )

    @validates_schema
    def _lead_takes_part_once(self, content: dict[str, Any], **_: Any) -> None:
        if content["lead_council"] in content["participants"]:
            raise ValidationError("The lead council takes part anyway; name only the others here.", "participants")

    @validates_schema
    def _costs_fall_on_councils_that_take_part(self, content: dict[str, Any], **_: Any) -> None:
        taking_part = councils_of(content)
        wrong = {
            str(index): {"council": ["A cost falls on a council that takes part; add the council, or name none."]}
            for index, cost in enumerate(content["costs"])
            if cost.get("council") not in (None, *taking_part)
        }
        if wrong:
            raise ValidationError({"costs": wrong})

    @validates_schema
    def _benefits_belong_to_councils_that_take_part(self, content: dict[str, Any], **_: Any) -> None:
        taking_part = {content["lead_council"], *content["participants"]}
        wrong: dict[str, Any] = {}
        for index, benefit in enumerate(content["benefits"]):
            if benefit["owner_council"] not in taking_part:
                wrong.setdefault(str(index), {})["owner_council"] = ["This council does not take part in the proposal."]
            strangers = {
                str(place): {"council": ["This council does not take part in the proposal."]}
                for place, target in enumerate(benefit["targets"])
                if target["council"] not in taking_part
            }
            if strangers:
                wrong.setdefault(str(index), {})["targets"] = strangers
        if wrong:
            raise ValidationError({"benefits": wrong})


def problems_of(content: Any) -> dict[str, list[str]]:
    """Return every problem that the content itself shows: dotted path of the field to its sentences; empty when sound.

    :param content: the content as JSON or YAML gave it.
    """
    if not isinstance(content, dict):
        return {"": ["A proposal is a mapping of fields, not a " + type(content).__name__ + "."]}
    return flatten(ProposalContent(unknown=RAISE).validate(content))


def councils_of(content: dict[str, Any]) -> list[str]:
    """Return every council that takes part, the lead first, the others in their given order."""
    return [content["lead_council"], *content["participants"]]
