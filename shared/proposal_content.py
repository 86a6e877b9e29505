"""The content of a proposal (design, section 8), as files, RPC and events carry it.

One set of fields for all of them, each with the sentence that asks for it. :class:`ProposalContent` is a whole
proposal, :class:`ProposalDraft` as much of one as there is yet. They check what can be seen in the content alone;
whether a round is open or a council a member on the day is for the proposals service to say.
"""

from collections.abc import Mapping
from typing import Any

from marshmallow import RAISE, ValidationError, fields, post_load, validate, validates_schema

from shared import periods
from shared.fields import Day, DecimalString, FinancialYear, Gss, Items, Key, Pence, Text, faults
from shared.own_words import InOwnWords, asks

OBJECTIVES = ("user_centred_services", "collaboration", "digital_capability")
COST_CATEGORIES = ("staff", "licences", "hardware", "services", "training", "other")
BENEFIT_KINDS = ("cashable_saving", "non_cashable_saving", "citizen_outcome", "capability")
SAVING_KINDS = ("cashable_saving", "non_cashable_saving")
MEASURES = ("count", "percentage", "currency", "score")
DIRECTIONS = ("increase", "decrease", "range")


def _choice(choices: tuple[str, ...], sentence: str) -> fields.String:
    """Return a field that takes one of some words. :param sentence: asks for it, up to the words."""
    return fields.String(
        required=True,
        validate=validate.OneOf(choices, error="This is none of the words to choose from."),
        error_messages=asks(f"{sentence}: {', '.join(choices)}."),
    )


def _percent(sentence: str) -> DecimalString:
    """Return a field for a share. :param sentence: asks for it, up to how it is written."""
    return DecimalString(
        required=True,
        minimum="0",
        maximum="100",
        error_messages=asks(f'{sentence}, in percent from 0 to 100, in quotes like "12.5".'),
    )


def _from_to(least: int, most: int, what: str) -> validate.Length:
    return validate.Length(min=least, max=most, error=f"There are {least} to {most} {what}.")


class Cost(InOwnWords):
    """What a financial year costs in one category: the ``council`` on which it falls, or else the project as a whole.

    A ``council`` of null is left out, so that what means the same is written, and hashed, in one way.
    """

    year = FinancialYear(
        required=True, error_messages=asks("Name the financial year of the cost by its two halves, like 2026-27.")
    )
    category = _choice(COST_CATEGORIES, "Say what the money goes to")
    amount_pence = Pence(
        required=True,
        error_messages=asks("Give the cost in whole pence, without quotes, commas or a point: £1,500 is 150000."),
    )
    council = Gss(
        allow_none=True,
        error_messages=asks(
            "Name the council on which the cost falls by its GSS code, like S12000036, or leave it out for the project."
        ),
    )

    @post_load
    def _without_null(self, cost: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {name: value for name, value in cost.items() if value is not None}


class Milestone(InOwnWords):
    """A step that the project can show, and the tranche of the award that it unlocks (none when 0)."""

    key = Key(
        required=True,
        error_messages=asks("Give the milestone a key to be known by, lower case words like beta-passed."),
    )
    title = Text(
        required=True,
        max_length=200,
        error_messages=asks("Say in a line of up to 200 characters what is reached with the milestone."),
    )
    due_on = Day(required=True, error_messages=asks("Give the day on which the milestone is due, like 2027-01-31."))
    tranche_pence = Pence(
        required=True,
        minimum=0,
        error_messages=asks("Give the tranche that the milestone unlocks, in whole pence without quotes; 0 for none."),
    )


class Baseline(InOwnWords):
    """Where a benefit starts from."""

    value = DecimalString(
        required=True,
        error_messages=asks(
            'Give the value that the benefit starts from, as a decimal number in quotes, like "1234.5".'
        ),
    )
    on = Day(required=True, error_messages=asks("Give the day on which the baseline was measured, like 2026-03-31."))
    source = Text(
        required=True,
        max_length=200,
        error_messages=asks("Say in up to 200 characters where the baseline's figure comes from, like Finance ledger."),
    )


class Target(InOwnWords):
    """What a council means to reach in a period. The period is written as the benefit's frequency asks."""

    period = fields.String(
        required=True,
        validate=validate.Length(max=10, error="No period is longer than {max} letters."),
        error_messages=asks("Name the target's period as the frequency asks: 2026-10, 2026-Q3 or 2026-27."),
    )
    council = Gss(
        required=True,
        error_messages=asks("Name the council that is to reach the target by its GSS code, like S12000036."),
    )
    value = DecimalString(
        required=True,
        error_messages=asks('Give the value to be reached in the period, as a decimal number in quotes, like "40000".'),
    )


class Benefit(InOwnWords):
    """A benefit: what is measured, from where, by whom, and how much of it is the project's own doing.

    A saving is measured in currency, and money in the unit GBP. A council has one target a period, and each period is
    written as the frequency asks: 2026-10 monthly, 2026-Q3 quarterly, 2026-27 annual.

    The three percentages follow HM Treasury's Green Book: deadweight would have happened anyway, attribution is the
    project's part in the rest, optimism bias is taken off forecasts.
    """

    key = Key(
        required=True,
        error_messages=asks("Give the benefit a key to be known by, lower case words like calls-avoided."),
    )
    title = Text(
        required=True,
        max_length=200,
        error_messages=asks("Say in a line of up to 200 characters what gets better with the benefit."),
    )
    kind = _choice(BENEFIT_KINDS, "Say what kind of benefit it is")
    measure = _choice(MEASURES, "Say how the benefit is measured")
    unit = Text(
        required=True,
        max_length=40,
        error_messages=asks("Name the unit that the benefit is counted in, in up to 40 characters: GBP, calls, days."),
    )
    direction = _choice(DIRECTIONS, "Say which way the measured value is meant to go")
    frequency = _choice(periods.FREQUENCIES, "Say how often the benefit is measured")
    baseline = fields.Nested(
        Baseline,
        required=True,
        error_messages=asks("Say where the benefit starts from: the baseline's value, on, source."),
    )
    owner_council = Gss(
        required=True,
        error_messages=asks("Name the council that answers for the benefit by its GSS code, like S12000036."),
    )
    targets = Items(
        fields.Nested(Target, error_messages=asks("Write each target with its period, council and value.")),
        required=True,
        distinct=("period", "council"),
        validate=_from_to(1, 400, "targets"),
        error_messages=asks("Set the benefit's targets: a list of what each council is to reach in each period."),
    )
    deadweight_percent = _percent("Say how much of the benefit would come about anyway")
    attribution_percent = _percent("Say how much of the rest is the project's own doing")
    optimism_bias_percent = _percent("Say how much is to be taken off the forecast for optimism")

    @validates_schema(skip_on_field_errors=False)
    def _periods_fit_the_frequency(self, benefit: dict[str, Any], **_: Any) -> None:
        wrong: dict[int, Any] = {}
        for place, target in enumerate(benefit.get("targets", ())):
            problem = "period" in target and _problem_of_period(target["period"], benefit.get("frequency"))
            if problem:
                wrong[place] = {"period": [problem]}
        if wrong:
            raise ValidationError({"targets": wrong})

    @validates_schema(skip_on_field_errors=False)
    def _savings_are_money(self, benefit: dict[str, Any], **_: Any) -> None:
        if benefit.get("kind") in SAVING_KINDS and benefit.get("measure", "currency") != "currency":
            raise ValidationError("A saving is measured in currency; choose currency, or another kind.", "measure")

    @validates_schema(skip_on_field_errors=False)
    def _money_is_in_pounds(self, benefit: dict[str, Any], **_: Any) -> None:
        # Savings are added up over projects: a unit of thousands among them would be wrong by a thousand, unseen.
        if benefit.get("measure") == "currency" and benefit.get("unit", "GBP") != "GBP":
            raise ValidationError("Amounts of money are in GBP, whole pounds and pence.", "unit")


def _problem_of_period(code: str, frequency: str | None) -> str | None:
    """Say what is wrong with a period, by every frequency while the benefit has none."""
    for each in (frequency,) if frequency else periods.FREQUENCIES:
        try:
            periods.parse_period(code, each)
        except ValueError as error:
            problem = str(error)
        else:
            return None
    return problem if frequency else "This is no period of any frequency; write it like 2026-10, 2026-Q3 or 2026-27."


class _Proposal(InOwnWords):
    """The fields of a proposal, and the rules that hold as soon as there is something for them to be broken by."""

    title = Text(
        required=True,
        max_length=200,
        error_messages=asks("Give the proposal a title, in a line of up to 200 characters."),
    )
    lead_council = Gss(required=True, error_messages=asks("Name the lead council by its GSS code, like S12000036."))
    participants = Items(
        Gss(error_messages=asks("Name each council that takes part by its GSS code, like S12000034.")),
        required=True,
        distinct=True,
        validate=validate.Length(max=31, error="There are at most {max} councils beside the lead council."),
        error_messages=asks("List the councils that take part beside the lead council; [] when there are none."),
    )
    objectives = Items(
        _choice(OBJECTIVES, "Name each objective by its word"),
        required=True,
        distinct=True,
        validate=_from_to(1, len(OBJECTIVES), "objectives"),
        error_messages=asks(f"List the objectives that the project serves, of: {', '.join(OBJECTIVES)}."),
    )
    problem = Text(
        required=True,
        max_length=4000,
        lines=True,
        error_messages=asks("Say what problem residents or staff have today, in up to 4,000 characters."),
    )
    user_need = Text(
        required=True,
        max_length=4000,
        lines=True,
        error_messages=asks(
            "Say what the people who use the service need to be able to do, in up to 4,000 characters."
        ),
    )
    requested_pence = Pence(
        required=True,
        error_messages=asks(
            "Say what the pool is asked for, in whole pence without quotes or a point: £250,000 is 25000000."
        ),
    )
    match_funding_pence = Pence(
        required=True,
        minimum=0,
        error_messages=asks(
            "Say what the councils add themselves, in whole pence without quotes or a point; 0 for nothing."
        ),
    )
    costs = Items(
        fields.Nested(Cost, error_messages=asks("Write each cost with its year, category and amount_pence.")),
        required=True,
        distinct=("year", "category", "council"),
        validate=_from_to(1, 100, "costs"),
        error_messages=asks("List what the project costs, in each financial year and category."),
    )
    milestones = Items(
        fields.Nested(
            Milestone, error_messages=asks("Write each milestone with its key, title, due_on and tranche_pence.")
        ),
        required=True,
        distinct=("key",),
        validate=_from_to(1, 50, "milestones"),
        error_messages=asks("List the milestones, the steps that the project can show."),
    )
    benefits = Items(
        fields.Nested(
            Benefit, error_messages=asks("Write each benefit as a mapping, from its key to its percentages.")
        ),
        required=True,
        distinct=("key",),
        validate=_from_to(1, 50, "benefits"),
        error_messages=asks("List the benefits: what gets better, and how it is measured."),
    )

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def _lead_takes_part_once(self, content: dict[str, Any], original: Any, **_: Any) -> None:
        if content.get("lead_council") in content.get("participants", ()):
            place = original["participants"].index(content["lead_council"])
            sentence = "The lead council takes part anyway; leave it out here."
            raise ValidationError({"participants": {place: {"_schema": [sentence]}}})


class ProposalContent(_Proposal):
    """A whole proposal. Sums and membership are rules of eligibility and are not checked here.

    The lead council is not named among the participants. Benefits, targets and costs that name a council belong to
    councils that take part. Milestones and benefits each have a key of their own, and a year has one cost line a
    category and council, and one a category for the project as a whole.
    """

    @validates_schema(skip_on_field_errors=False)
    def _costs_fall_on_councils_that_take_part(self, content: dict[str, Any], **_: Any) -> None:
        if "lead_council" not in content or "participants" not in content:
            return
        taking_part = councils_of(content)
        wrong = {
            place: {"council": ["This council does not take part; name it among participants, or another one here."]}
            for place, cost in enumerate(content.get("costs", ()))
            if cost.get("council") not in (None, *taking_part)
        }
        if wrong:
            raise ValidationError({"costs": wrong})

    @validates_schema(skip_on_field_errors=False)
    def _benefits_belong_to_councils_that_take_part(self, content: dict[str, Any], **_: Any) -> None:
        # While one of these is not known, hardly any council of a benefit would be.
        if "lead_council" not in content or "participants" not in content:
            return
        taking_part = {content["lead_council"], *content["participants"]}
        stranger = ["This council does not take part in the proposal; name it among participants, or another one here."]
        wrong: dict[int, Any] = {}
        for place, benefit in enumerate(content.get("benefits", ())):
            of_benefit: dict[str, Any] = {}
            if benefit.get("owner_council", content["lead_council"]) not in taking_part:
                of_benefit["owner_council"] = stranger
            targets = {
                number: {"council": stranger}
                for number, target in enumerate(benefit.get("targets", ()))
                if target.get("council", content["lead_council"]) not in taking_part
            }
            if targets:
                of_benefit["targets"] = targets
            if of_benefit:
                wrong[place] = of_benefit
        if wrong:
            raise ValidationError({"benefits": wrong})


class ProposalDraft(_Proposal):
    """As much of a proposal as there is yet: it has a title and a lead council and may lack whatever else.

    What is given is right by itself; lists may be empty. That benefits and targets belong to councils that take part is
    left to the submission: who takes part is often settled last, and a draft is not to be held up by it.
    """

    #: By these a draft is found again, and whoever may see it is told from others.
    NEEDED = ("title", "lead_council")

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        _let_be_absent(self, but=self.NEEDED)


def _let_be_absent(schema: Any, but: tuple[str, ...] = ()) -> None:
    for name, field in schema.fields.items():
        field.required = name in but
        inner = field
        if isinstance(field, fields.List):
            inner = field.inner
            field.validators = [_without_least(validator) for validator in field.validators]
        if isinstance(inner, fields.Nested):
            _let_be_absent(inner.schema)


def _without_least(validator: Any) -> Any:
    if not isinstance(validator, validate.Length):
        return validator
    return validate.Length(max=validator.max, error=f"There are at most {validator.max} of these.")


_WHOLE = ProposalContent(unknown=RAISE)


def examine(content: Any) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Return what is sound of a content, and every problem that it shows by itself.

    :param content: the content as JSON or YAML gave it, a draft or anything else.
    :returns: the fields that are sound, and of each object in a list those of its own that are; and the dotted path of
        each field at fault with its sentences, as :func:`shared.fields.faults` gives them; none of a whole proposal.
    """
    if not isinstance(content, Mapping):
        return {}, {"": ["A proposal is a mapping of fields, not a " + type(content).__name__ + "."]}
    try:
        sound: Any = _WHOLE.load(content)
    except ValidationError as error:
        return dict(error.valid_data or {}), faults(error.messages)
    return sound, {}


def problems_of(content: Any) -> dict[str, list[str]]:
    """Return every problem that a content shows by itself, as :func:`examine`."""
    return examine(content)[1]


def councils_of(content: dict[str, Any]) -> list[str]:
    """Return every council that takes part, the lead first, the others in their given order."""
    return [content["lead_council"], *content["participants"]]
