"""Every field of a proposal's content says in its own words what is wrong with it, and all of them at once.

The schemas are walked, so that a field that is added without its words fails here.
"""

import copy
import inspect
from collections.abc import Iterator
from typing import Any

import marshmallow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from marshmallow import RAISE, Schema, fields, validate

from shared.fields import (
    MAX_FAULT_LENGTH,
    MAX_PENCE,
    Day,
    DecimalString,
    FinancialYear,
    Gss,
    Items,
    Key,
    Pence,
    Text,
    faults,
)
from shared.own_words import NoSuchField
from shared.proposal_content import ProposalContent, ProposalDraft, examine, problems_of
from tests.support.fuzz import bent
from tests.support.proposals import ABERDEENSHIRE, EAST_DUNBARTONSHIRE, EDINBURGH, GLASGOW, content

ABSENT = object()
SomeField = fields.Field[Any]


def asked_for_by(field: SomeField) -> str:
    """The sentence that a field is asked for by."""
    return str(field.error_messages["required"])


def fields_in(schema: Schema, path: str = "") -> Iterator[tuple[str, SomeField]]:
    """Every field and every kind of item, with the path of the first such thing in a content."""
    for name, field in schema.fields.items():
        yield path + name, field
        if isinstance(field, fields.List):
            yield f"{path}{name}.0", field.inner
        inner, place = (
            (field.inner, f"{path}{name}.0.") if isinstance(field, fields.List) else (field, f"{path}{name}.")
        )
        if isinstance(inner, fields.Nested):
            yield from fields_in(inner.schema, place)


FIELDS = [pytest.param(path, field, id=path) for path, field in fields_in(ProposalContent())]
#: What a whole proposal may do without.
OPTIONAL = {"costs.0.council"}
#: What marshmallow says by itself: the beginning of each sentence, up to what is filled in.
DEFAULTS = {
    str(message).partition("{")[0]
    for kind in [*vars(fields).values(), *vars(validate).values(), marshmallow.Schema]
    if inspect.isclass(kind)
    for name in ("default_error_messages", "_default_error_messages")
    for message in getattr(kind, name, {}).values()
} | {
    str(value).partition("{")[0]
    for kind in vars(validate).values()
    if inspect.isclass(kind)
    for name, value in vars(kind).items()
    if name.startswith(("message", "default_message")) and isinstance(value, str)
}


def changed(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of a content in which what stands at a path is something else, or absent."""
    body = copy.deepcopy(body)
    put(body, path, value)
    return body


def put(body: Any, path: str, value: Any) -> None:
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    for step in steps:
        body = body[step]
    if value is ABSENT:
        body.pop(last, None) if isinstance(body, dict) else body.pop(last)
    else:
        body[last] = value


def sentences(problems: dict[str, list[str]], path: str) -> list[str]:
    """What is told of one place. Every sentence is whole, and none is marshmallow's."""
    assert path in problems, problems
    for sentence in problems[path]:
        assert sentence.endswith((".", "?")), sentence
        assert len(sentence) < MAX_FAULT_LENGTH, sentence
        assert not any(default and sentence.startswith(default) for default in DEFAULTS), sentence
    return problems[path]


def of_other_types(field: SomeField) -> list[Any]:
    values: list[Any] = [True, 7, 2.5, "some words", ["x"], {"x": 1}]
    if isinstance(field, fields.List):
        return [value for value in values if not isinstance(value, list)]
    if isinstance(field, fields.Nested):
        return [value for value in values if not isinstance(value, dict)]
    kind: Any = int if isinstance(field, fields.Integer) else str
    return [value for value in values if type(value) is not kind]


def beyond_bounds(field: SomeField) -> list[Any]:
    """Values of the right type that a field does not take. A class of field that nobody thought of here is an error."""
    bounds = next((rule for rule in field.validators if isinstance(rule, validate.Length | validate.OneOf)), None)
    if isinstance(field, Text):
        return ["x" * (field.max_length + 1), "x" * 100_000, "", " ", "a\x00b", "a\u202eb", "e" + "\u0301" * 40]
    if isinstance(field, Pence):
        [minimum] = [rule.min for rule in field.validators if isinstance(rule, validate.Range)]
        return [minimum - 1, -(10**60), MAX_PENCE + 1]
    if isinstance(field, DecimalString):
        outside = [value for bound, value in ((field.minimum, "-0.1"), (field.maximum, "100.1")) if bound is not None]
        return ["", "1e5", "12,5", "1" * 16, "0.1234567", *outside]
    if isinstance(field, Items):
        assert isinstance(bounds, validate.Length)
        return [["x"] * (bounds.max + 1), *([[]] if bounds.min else [])]
    if isinstance(bounds, validate.Length) and type(field) is fields.String:
        return ["x" * (bounds.max + 1)]
    if isinstance(bounds, validate.OneOf):
        return ["", "something else", "x" * 100_000]
    return {
        Key: ["", "Not A Key", "k" * 65, "k" * 100_000],
        Gss: ["", "S12000099", "Fife", "x" * 100_000],
        Day: ["", "31 March 2026", "2026-02-30", "x" * 100_000],
        FinancialYear: ["", "2026", "2026-28", "x" * 100_000],
        fields.Nested: [],
    }[type(field)]


@pytest.mark.parametrize(("path", "field"), FIELDS)
def test_a_field_that_is_missing_or_null_is_asked_for(path: str, field: SomeField) -> None:
    ask = asked_for_by(field)
    if path in OPTIONAL:
        assert problems_of(changed(content(), path, None)) == problems_of(changed(content(), path, ABSENT)) == {}
        return
    assert sentences(problems_of(changed(content(), path, None)), path) == [f"This is empty. {ask}"]
    if not path.endswith(".0"):
        assert sentences(problems_of(changed(content(), path, ABSENT)), path) == [ask]


@pytest.mark.parametrize(("path", "field"), FIELDS)
def test_what_is_of_another_type_is_told_for_what_it_is(path: str, field: SomeField) -> None:
    for value in of_other_types(field):
        [sentence] = sentences(problems_of(changed(content(), path, value)), path)
        assert sentence.startswith("This is "), sentence
        assert sentence.endswith(f". {asked_for_by(field)}"), sentence


@pytest.mark.parametrize(("path", "field"), FIELDS)
def test_what_is_out_of_bounds_is_told_with_how_it_is_written(path: str, field: SomeField) -> None:
    for value in beyond_bounds(field):
        said = sentences(problems_of(changed(content(), path, value)), path)
        assert all(sentence.endswith(f". {asked_for_by(field)}") for sentence in said), said


@pytest.mark.parametrize(("path", "field"), FIELDS)
def test_a_name_that_nobody_knows_is_told_with_the_one_that_was_meant(path: str, field: SomeField) -> None:
    if path.endswith(".0"):
        return
    outer, _, name = path.rpartition(".")
    body = changed(content(), path, ABSENT)
    slip = ".".join(filter(None, [outer, name[:-1] + "x" if len(name) > 2 else name + "e"]))
    put(body, slip, 1)
    problems = problems_of(body)
    assert (path in problems) is (path not in OPTIONAL)
    assert sentences(problems, slip) == [f"There is no field {slip.rpartition('.')[2]} here; did you mean {name}?"]
    stranger = ".".join(filter(None, [outer, "zzz"]))
    assert ", but: " in sentences(problems_of(changed(content(), stranger, 1)), stranger)[0]


def test_no_two_fields_are_asked_for_in_the_same_words() -> None:
    words = [asked_for_by(field) for _, field in fields_in(ProposalContent())]
    assert len(words) == 44
    assert len(set(words)) == len(words)


TRAPS: list[tuple[str, Any, str, str]] = [
    ("requested_pence", 250_000.0, "requested_pence", "a number with a decimal point"),
    ("requested_pence", "25,000,000", "requested_pence", "This is text."),
    ("benefits.0.targets.0.value", 40_000, "benefits.0.targets.0.value", "a number without quotes"),
    ("benefits.0.baseline.true", "2026-03-31", "benefits.0.baseline.true", 'write it in quotes, "on"'),
    ("costs.0.year", 2026, "costs.0.year", "a number without quotes"),
    ("title", False, "title", "the value false"),
    ("user-need", "x", "user-need", "did you mean user_need?"),
    ("Title", "x", "Title", "did you mean title?"),
]


@pytest.mark.parametrize(("path", "value", "at_fault", "words"), TRAPS)
def test_the_traps_of_yaml_are_told_for_what_they_are(path: str, value: Any, at_fault: str, words: str) -> None:
    assert words in sentences(problems_of(changed(content(), path, value)), at_fault)[0]


def test_a_date_that_a_reader_of_yaml_made_an_object_is_told() -> None:
    from datetime import date

    body = changed(content(), "milestones.0.due_on", date(2027, 1, 31))
    assert "a date without quotes" in problems_of(body)["milestones.0.due_on"][0]


@pytest.mark.parametrize("name", ["", "x" * 500_000, "\x1b[2J", "a.b.c", "__class__"])
def test_a_strange_name_is_told_in_bounds(name: str) -> None:
    sentence = NoSuchField(["title"]).sentence(name)
    assert len(sentence) < MAX_FAULT_LENGTH


# --- all at once ----------------------------------------------------------------------------------------------------


def large() -> dict[str, Any]:
    """A sound content with several of everything."""
    body = content()
    benefit = body["benefits"][0]
    outcome = {**benefit, "kind": "citizen_outcome", "measure": "count", "unit": "calls", "frequency": "annual"}
    body["benefits"] = [
        {**copy.deepcopy(benefit), "key": "phone-payments"},
        {
            **copy.deepcopy(outcome),
            "key": "calls",
            "targets": [
                {"period": year, "council": council, "value": "5"}
                for year in ("2026-27", "2027-28")
                for council in (EDINBURGH, ABERDEENSHIRE)
            ],
        },
    ]
    body["costs"].append({"year": "2027-28", "category": "other", "amount_pence": 1})
    body["objectives"] = ["user_centred_services", "collaboration", "digital_capability"]
    return body


#: A fault: where it is told, and what is put where to make it. Those at the end are between fields.
FAULTS: list[tuple[str, dict[str, Any]]] = [
    *((path, {path: value}) for path in ("title", "problem", "user_need") for value in (ABSENT, None, 7, "x" * 5_000)),
    *((path, {path: value}) for path in ("requested_pence", "match_funding_pence") for value in (ABSENT, 2.5, "1", -1)),
    ("costs.0.amount_pence", {"costs.0.amount_pence": 0}),
    ("costs.2.surprise", {"costs.2.surprise": 1}),
    ("milestones.0.due_on", {"milestones.0.due_on": "soon"}),
    ("milestones.1", {"milestones.1": "beta"}),
    ("benefits.0.baseline.value", {"benefits.0.baseline.value": 0}),
    ("benefits.0.baseline", {"benefits.0.baseline": ABSENT}),
    ("benefits.0.direction", {"benefits.0.direction": "up"}),
    ("benefits.1.targets.0.value", {"benefits.1.targets.0.value": 5}),
    ("benefits.1.deadweight_percent", {"benefits.1.deadweight_percent": "101"}),
    ("objectives.2", {"objectives.2": "world_peace"}),
    ("surprise", {"surprise": []}),
    ("objectives.1", {"objectives.0": "collaboration"}),
    ("costs.1", {"costs.0.year": "2027-28", "costs.0.category": "licences"}),
    ("participants.1", {"participants.1": EDINBURGH}),
    ("benefits.1", {"benefits.1.key": "phone-payments"}),
    ("benefits.0.measure", {"benefits.0.measure": "score"}),
    ("benefits.0.unit", {"benefits.0.unit": "thousand GBP"}),
    ("benefits.0.owner_council", {"benefits.0.owner_council": GLASGOW}),
    ("benefits.0.targets.0.period", {"benefits.0.targets.0.period": "2027-10"}),
    ("benefits.1.targets.3", {"benefits.1.targets.3.period": "2026-27"}),
    ("benefits.1.targets.2.council", {"benefits.1.targets.2.council": GLASGOW}),
]  # fmt: skip


def under(path: str) -> str:
    """What two faults may not both change: a field, or an object that one of them takes away."""
    return ".".join(path.split(".")[:2]) if path in ("milestones.1",) else path


@given(st.lists(st.sampled_from(FAULTS), min_size=1, max_size=len(FAULTS)))
def test_every_fault_is_told_at_its_place_whatever_else_is_wrong(chosen: list[tuple[str, dict[str, Any]]]) -> None:
    body, touched, planted = large(), set[str](), set[str]()
    for told_at, changes in chosen:
        # One place, one fault; what hides another place with it, or what depends on it, is no fault of its own.
        places = {*changes, told_at}
        if told_at.startswith("benefits.0.baseline"):
            places.add("a baseline")
        if told_at in ("benefits.0.measure", "benefits.0.unit"):
            places.add("money")
        if places & touched:
            continue
        touched |= places
        planted.add(told_at)
        for path, value in changes.items():
            put(body, path, value)
    assert set(problems_of(body)) == planted


def test_each_repetition_is_told_at_its_own_place() -> None:
    body = content()
    body["costs"] = [body["costs"][0]] * 4
    body["participants"] = [ABERDEENSHIRE, EAST_DUNBARTONSHIRE, ABERDEENSHIRE, "no council", EAST_DUNBARTONSHIRE]
    problems = problems_of(body)
    assert set(problems) == {"costs.1", "costs.2", "costs.3", "participants.2", "participants.3", "participants.4"}
    assert problems["costs.3"] == ["2026-27 staff is given twice: number 1 in the list has it. Keep one."]
    assert problems["participants.4"][0].startswith(
        f"{EAST_DUNBARTONSHIRE} is given twice: number 2 in the list has it."
    )


def test_one_slip_in_every_target_of_a_large_proposal_is_told_in_full() -> None:
    body = large()
    councils = (EDINBURGH, ABERDEENSHIRE, EAST_DUNBARTONSHIRE)
    targets = [
        {"period": f"{2026 + number // 4}-Q{number % 4 + 1}", "council": council, "value": 40_000}
        for number in range(60)
        for council in councils
    ]
    body["benefits"] = [{**body["benefits"][0], "key": f"benefit-{n}", "targets": targets} for n in range(8)]
    problems = problems_of(body)
    assert len(problems) == 8 * len(targets) == 1_440
    assert "" not in problems


# --- drafts ---------------------------------------------------------------------------------------------------------


def test_a_draft_may_lack_anything_but_its_title_and_lead_council() -> None:
    draft = ProposalDraft()
    body = {"title": "Payments", "lead_council": EDINBURGH}
    assert draft.dump(draft.load(body)) == body
    assert set(draft.validate({})) == set(body)
    for name in content():
        value: Any = [] if isinstance(content()[name], list) else content()[name]
        assert draft.validate({**body, name: value}) == {}, name
    assert draft.validate({**body, "benefits": [{}], "costs": [{"year": "2026-27"}], "milestones": [{}, {}]}) == {}


@pytest.mark.parametrize(("path", "field"), FIELDS)
def test_what_a_draft_gives_is_right_by_itself(path: str, field: SomeField) -> None:
    nothing = () if path in OPTIONAL else (None,)
    for value in (*nothing, *of_other_types(field), *filter(None, beyond_bounds(field))):
        body = changed(content(), path, value)
        said = marshmallow.Schema.validate(ProposalDraft(), body)
        assert said, (path, value)
    lacking = changed(content(), path, ABSENT)
    assert bool(ProposalDraft().validate(lacking)) == (path in ProposalDraft.NEEDED)


def test_a_draft_contradicts_itself_no_more_than_a_proposal_does() -> None:
    body = content()
    del body["benefits"][0]["frequency"]
    assert ProposalDraft().validate(body) == {}
    body["benefits"][0]["targets"][0]["period"] = "soon"
    body["participants"].append(EDINBURGH)
    assert set(ProposalDraft().validate(body)) == {"benefits", "participants"}


def test_who_takes_part_may_be_settled_after_the_benefits() -> None:
    body = content(participants=[])
    body["benefits"][0]["owner_council"] = GLASGOW
    assert ProposalDraft().validate(body) == {}
    assert set(problems_of(body)) == {"benefits.0.owner_council"}


def test_a_draft_leaves_the_whole_proposal_as_demanding_as_it_was() -> None:
    ProposalDraft()
    assert len(ProposalContent().validate({})) == len(ProposalContent().fields)


def test_what_is_sound_of_a_content_is_returned() -> None:
    body = content(problem=5, participants=[ABERDEENSHIRE, 7], surprise=1)
    body["costs"][1]["amount_pence"] = 2.5
    sound, problems = examine(body)
    assert set(problems) == {"problem", "participants.1", "surprise", "costs.1.amount_pence"}
    assert sound["participants"] == [ABERDEENSHIRE]
    assert sound["costs"] == [content()["costs"][0], {"year": "2027-28", "category": "licences"}]
    assert set(content()) - set(sound) == {"problem"}
    assert examine(content())[1] == {}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=bent(st.builds(large)))
def test_what_a_draft_is_refused_for_a_proposal_is_too(body: dict[str, Any]) -> None:
    refused = faults(ProposalDraft(unknown=RAISE).validate(body))
    problems = problems_of(body)
    assert set(refused) <= set(problems)
    for path, sentences_ in problems.items():
        assert path.isprintable()
        assert all(sentence.isprintable() and len(sentence) <= MAX_FAULT_LENGTH for sentence in sentences_)
