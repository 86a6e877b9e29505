"""What differs between two contents: every difference once, whatever the order of their lists, and in words."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.proposals.domain.comparison import FIELDS, IDENTITY, Change, compare, order_of
from shared.fields import MAX_PENCE
from shared.proposal_content import ProposalContent, problems_of
from tests.support.contents import Content, contents, edited
from tests.support.proposals import ABERDEENSHIRE, EDINBURGH, GLASGOW, content

PAIRS = st.tuples(contents(), contents()) | contents().flatmap(lambda one: st.tuples(st.just(one), edited(one)))
FEW = settings(max_examples=60, deadline=None)


def _leaves(path: tuple[str, ...], value: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value of a content by its path: all that it says, but for the order of its lists."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves((*path, name), inner)
    elif isinstance(value, list):
        for item in value:
            names = IDENTITY[path[-1]]
            identity = [item[name] for name in names if name in item] if names else [item]
            yield from _leaves((*path, *identity), item)
    else:
        yield path, value


def _apply(said: dict[tuple[str, ...], Any], changes: list[Change]) -> dict[tuple[str, ...], Any]:
    """Make the changes, each of which must find what it says was there before."""
    made = dict(said)
    for change in changes:
        for path, value in _leaves(change.path, change.before) if change.before is not None else ():
            assert made.pop(path) == value
        for path, value in _leaves(change.path, change.after) if change.after is not None else ():
            assert path not in made
            made[path] = value
    return made


@FEW
@given(PAIRS)
def test_what_changed_in_one_content_makes_it_the_other_and_back(pair: tuple[Content, Content]) -> None:
    one, other = (dict(_leaves((), each)) for each in pair)
    changes = compare(*pair)
    assert _apply(one, changes) == other
    assert len({change.path for change in changes}) == len(changes)
    # The least that does it: nothing is told of that is the same on both sides.
    assert all(change.before != change.after for change in changes)
    assert [order_of(tuple(change.dotted_path.split("."))) for change in changes] == sorted(
        order_of(change.path) for change in changes
    )
    back = compare(*reversed(pair))
    assert [(change.path, change.after, change.before) for change in back] == [
        (change.path, change.before, change.after) for change in changes
    ]
    swapped = {"added": "removed", "removed": "added", "changed": "changed"}
    assert [swapped[change.kind] for change in back] == [change.kind for change in changes]


@settings(max_examples=20, deadline=None)
@given(contents(), st.data())
def test_an_order_is_no_difference(one: Content, data: st.DataObject) -> None:
    assert compare(one, copy.deepcopy(one)) == []
    shuffled = copy.deepcopy(one)
    for items in (*(shuffled[name] for name in FIELDS), *(benefit["targets"] for benefit in shuffled["benefits"])):
        if isinstance(items, list):
            items[:] = data.draw(st.permutations(items))
    assert compare(one, shuffled) == []


@settings(max_examples=10, deadline=None)
@given(contents().flatmap(edited))
def test_what_is_compared_here_is_sound(one: Content) -> None:
    assert problems_of(one) == {}


def test_every_field_and_every_list_is_known() -> None:
    schema = ProposalContent()
    assert list(FIELDS) == list(schema.fields)
    benefit = schema.fields["benefits"].inner.schema  # type: ignore[attr-defined]
    lists = {name for each in (schema, benefit) for name, field in each.fields.items() if hasattr(field, "inner")}
    assert lists == set(IDENTITY)


def _benefit(**changes: Any) -> list[dict[str, Any]]:
    return [{**content()["benefits"][0], **changes}]


def _cost(index: int, **changes: Any) -> list[dict[str, Any]]:
    costs: list[dict[str, Any]] = content()["costs"]
    costs[index] |= changes
    return costs


TARGET = {"period": "2027-Q3", "council": EDINBURGH, "value": "40000"}
COUNT = _benefit(kind="citizen_outcome", measure="count", unit="people")
SHARE = _benefit(kind="citizen_outcome", measure="percentage", unit="%")


@pytest.mark.parametrize(
    ("before", "after", "path", "sentence"),
    [
        ({}, {"title": "Other"}, "title", "Title changed from “{title}” to “Other”."),
        ({}, {"problem": "Other"}, "problem", "Problem changed."),
        (
            {"participants": []},
            {"participants": [GLASGOW]},
            "participants.S12000049",
            "Participant added: Glasgow City.",
        ),
        (
            {},
            {"objectives": ["collaboration"]},
            "objectives.user_centred_services",
            "Objective removed: user centred services.",
        ),
        (
            {},
            {"requested_pence": 26_000_050},
            "requested_pence",
            "Amount requested changed from £250,000 to £260,000.50.",
        ),
        (
            {},
            {"costs": _cost(1, amount_pence=15_000_000)},
            "costs.2027-28.licences.amount_pence",
            "Common cost changed: licences in 2027-28 from £120,000 to £150,000.",
        ),
        (
            {"costs": _cost(1, council=GLASGOW)},
            {"costs": _cost(1, council=GLASGOW, amount_pence=1)},
            "costs.2027-28.licences.S12000049.amount_pence",
            "Cost of Glasgow City changed: licences in 2027-28 from £120,000 to £0.01.",
        ),
        (
            {},
            {"costs": [*content()["costs"], {**content()["costs"][0], "council": ABERDEENSHIRE}]},
            "costs.2026-27.staff.S12000034",
            "Cost of Aberdeenshire added: staff in 2026-27, £180,000.",
        ),
        (
            {},
            {"milestones": content()["milestones"][:1]},
            "milestones.live",
            "Milestone removed: “Live in all three”.",
        ),
        (
            {},
            {"milestones": [{**content()["milestones"][0], "due_on": "2027-02-28"}, content()["milestones"][1]]},
            "milestones.alpha.due_on",
            "Milestone changed: “Alpha passed”, due date from 2027-01-31 to 2027-02-28.",
        ),
        (
            {},
            {"benefits": [*content()["benefits"], *_benefit(key="other", title="Other")]},
            "benefits.other",
            "Benefit added: “Other”.",
        ),
        (
            {},
            {"benefits": _benefit(owner_council=GLASGOW)},
            "benefits.phone-payments-saved.owner_council",
            "Benefit changed: “{benefit}”, owner from City of Edinburgh to Glasgow City.",
        ),
        (
            {},
            {"benefits": _benefit(kind="non_cashable_saving")},
            "benefits.phone-payments-saved.kind",
            "Benefit changed: “{benefit}”, kind from cashable saving to non cashable saving.",
        ),
        (
            {},
            {"benefits": _benefit(baseline={"value": "0", "on": "2026-03-31", "source": "Ledger"})},
            "benefits.phone-payments-saved.baseline.source",
            "Benefit changed: “{benefit}”, baseline source from “Finance ledger” to “Ledger”.",
        ),
        (
            {},
            {"benefits": _benefit(targets=[{**TARGET, "value": "50000.5"}])},
            "benefits.phone-payments-saved.targets.2027-Q3.S12000036.value",
            "Benefit changed: “{benefit}”, target of City of Edinburgh for 2027-Q3 from £40,000 to £50,000.50.",
        ),
        (
            {},
            {"benefits": _benefit(targets=[TARGET, {**TARGET, "council": GLASGOW, "value": "1.005"}])},
            "benefits.phone-payments-saved.targets.2027-Q3.S12000049",
            "Benefit changed: “{benefit}”, target of Glasgow City for 2027-Q3 added, £1.005.",
        ),
        (
            {"benefits": COUNT},
            {"benefits": [{**COUNT[0], "baseline": {**COUNT[0]["baseline"], "value": "70"}}]},
            "benefits.phone-payments-saved.baseline.value",
            "Benefit changed: “{benefit}”, baseline value from 0 people to 70 people.",
        ),
        (
            {"benefits": SHARE},
            {"benefits": [{**SHARE[0], "targets": [{**TARGET, "value": "55"}]}]},
            "benefits.phone-payments-saved.targets.2027-Q3.S12000036.value",
            "Benefit changed: “{benefit}”, target of City of Edinburgh for 2027-Q3 from 40000% to 55%.",
        ),
    ],
)
def test_a_change_is_told_in_words(before: Content, after: Content, path: str, sentence: str) -> None:
    [change] = compare(content(**before), content(**after))
    assert change.dotted_path == path
    assert change.sentence == sentence.format(title=content()["title"], benefit=content()["benefits"][0]["title"])


def test_sentences_are_of_one_line_and_bounded() -> None:
    """Events carry them in fields of 1,000 letters."""
    long = content(title="W" * 200, requested_pence=MAX_PENCE)
    long["milestones"][0] |= {"key": "m" * 64, "title": "M" * 200, "tranche_pence": MAX_PENCE}
    long["benefits"] = _benefit(
        key="b" * 64,
        title="B" * 200,
        kind="citizen_outcome",
        measure="score",
        unit="u" * 40,
        baseline={"value": "-" + "9" * 15 + "." + "9" * 6, "on": "2026-03-31", "source": "S" * 200},
    )
    other = copy.deepcopy(long)
    other["title"] = other["title"][::-1].lower()
    for item in (other["milestones"][0], other["benefits"][0]):
        item["title"] = item["title"].lower()
    other["benefits"][0] |= {"unit": "v" * 40, "baseline": {**other["benefits"][0]["baseline"], "source": "T" * 200}}
    sentences = [change.sentence for pair in ((long, other), (content(), long)) for change in compare(*pair)]
    assert len(sentences) > 8
    assert all(len(sentence) < 1000 and sentence.endswith(".") and "\n" not in sentence for sentence in sentences)
