"""The content of a proposal: the design's own example, and one failing case for each rule.

What is said of each field is in ``test_own_words.py``.
"""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from commonweal import load_yaml
from shared.fields import MAX_PENCE
from shared.proposal_content import ProposalContent, councils_of, problems_of

EXAMPLES = Path(__file__).parents[3] / "examples" / "proposals"

#: Section 8 of the design, as people write it.
EXAMPLE = """
title: One online payments service for three councils
lead_council: S12000036
participants: [S12000034, S12000045]
objectives: [user_centred_services, collaboration]       # also digital_capability
problem: Residents pay by phone because each council's form differs and fails on mobiles.
user_need: Pay any council bill in under two minutes, on a phone, without an account.
requested_pence: 25000000
match_funding_pence: 5000000
costs:
  - {year: 2026-27, category: staff, amount_pence: 18000000}
  - {year: 2027-28, category: licences, amount_pence: 12000000}
milestones:
  - {key: alpha, title: Alpha passed, due_on: 2027-01-31, tranche_pence: 10000000}
  - {key: live, title: Live in all three, due_on: 2027-09-30, tranche_pence: 15000000}
benefits:
  - key: phone-payments-saved
    title: Fewer payments taken by phone
    kind: cashable_saving            # non_cashable_saving, citizen_outcome, capability
    measure: currency                # count, percentage, currency, score
    unit: GBP
    direction: increase              # decrease, range
    frequency: quarterly             # monthly, annual
    baseline: {value: "0", on: 2026-03-31, source: Finance ledger}
    owner_council: S12000036
    targets:
      - {period: 2027-Q3, council: S12000036, value: "40000"}
      - {period: 2027-Q3, council: S12000034, value: "22000"}
    deadweight_percent: "10"
    attribution_percent: "100"
    optimism_bias_percent: "15"
"""

STRANGER, ABSENT = "S12000049", object()


@pytest.fixture
def content(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "proposal.yaml").write_text(EXAMPLE, encoding="utf-8")
    loaded: dict[str, Any] = load_yaml(tmp_path / "proposal.yaml")
    return loaded


def change(content: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of the content in which the field at a dotted path has another value, or is absent."""
    changed = copy.deepcopy(content)
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    place: Any = changed
    for step in steps:
        place = place[step]
    if value is ABSENT:
        del place[last]
    else:
        place[last] = value
    return changed


def test_the_designs_example_is_sound(content: dict[str, Any]) -> None:
    assert problems_of(content) == {}
    assert councils_of(content) == ["S12000036", "S12000034", "S12000045"]


def test_loading_and_dumping_gives_the_same_again(content: dict[str, Any]) -> None:
    assert ProposalContent().dump(ProposalContent().load(content)) == content


RULES: list[tuple[str, Any, str]] = [
    ("title", "x" * 201, "title"),
    ("title", "two\nlines", "title"),
    ("problem", "x" * 4001, "problem"),
    ("user_need", " ", "user_need"),
    ("lead_council", "S12000099", "lead_council"),
    ("participants", ["S12000034", "E06000001"], "participants.1"),
    ("participants", ["S12000034", "S12000045", "S12000034"], "participants.2"),
    ("participants", ["S12000034", "S12000036"], "participants.1"),
    ("participants", "S12000034", "participants"),
    ("participants", ["S12000034"] * 32, "participants"),
    ("objectives", [], "objectives"),
    ("objectives", ["world_peace"], "objectives.0"),
    ("objectives", ["collaboration", "collaboration"], "objectives.1"),
    ("requested_pence", 0, "requested_pence"),
    ("requested_pence", 250_000.0, "requested_pence"),
    ("requested_pence", MAX_PENCE + 1, "requested_pence"),
    ("match_funding_pence", -1, "match_funding_pence"),
    ("costs", [], "costs"),
    ("costs", [{"year": "2026-27", "category": "staff", "amount_pence": 1}] * 2, "costs.1"),
    ("costs.0.year", "2026", "costs.0.year"),
    ("costs.0.category", "sundries", "costs.0.category"),
    ("costs.0.amount_pence", 0, "costs.0.amount_pence"),
    ("costs.0.council", "E06000001", "costs.0.council"),
    ("costs.0.council", STRANGER, "costs.0.council"),
    ("costs", [{"year": "2026-27", "category": "staff", "amount_pence": 1, "council": "S12000034"}] * 2, "costs.1"),
    ("milestones", [], "milestones"),
    ("milestones.1.key", "alpha", "milestones.1"),
    ("milestones.0.key", "Alpha", "milestones.0.key"),
    ("milestones.0.due_on", "31 January 2027", "milestones.0.due_on"),
    ("milestones.0.tranche_pence", -1, "milestones.0.tranche_pence"),
    ("benefits", [], "benefits"),
    ("benefits.0", "a benefit", "benefits.0"),
    ("benefits.0.kind", "magic", "benefits.0.kind"),
    ("benefits.0.measure", "count", "benefits.0.measure"),
    ("benefits.0.measure", "smiles", "benefits.0.measure"),
    ("benefits.0.unit", "thousand GBP", "benefits.0.unit"),
    ("benefits.0.direction", "up", "benefits.0.direction"),
    ("benefits.0.frequency", "daily", "benefits.0.frequency"),
    ("benefits.0.frequency", "monthly", "benefits.0.targets.0.period"),
    ("benefits.0.baseline.value", 0, "benefits.0.baseline.value"),
    ("benefits.0.baseline.on", "2026", "benefits.0.baseline.on"),
    ("benefits.0.baseline.source", "", "benefits.0.baseline.source"),
    ("benefits.0.owner_council", STRANGER, "benefits.0.owner_council"),
    ("benefits.0.targets", [], "benefits.0.targets"),
    ("benefits.0.targets.1.council", "S12000036", "benefits.0.targets.1"),
    ("benefits.0.targets.1.council", STRANGER, "benefits.0.targets.1.council"),
    ("benefits.0.targets.1.period", "2027-Q5", "benefits.0.targets.1.period"),
    ("benefits.0.targets.1.value", 22000, "benefits.0.targets.1.value"),
    ("benefits.0.deadweight_percent", "100.1", "benefits.0.deadweight_percent"),
    ("benefits.0.attribution_percent", "-1", "benefits.0.attribution_percent"),
    ("benefits.0.optimism_bias_percent", 15, "benefits.0.optimism_bias_percent"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "at_fault"), RULES)
def test_each_rule_names_the_field_at_fault(content: dict[str, Any], path: str, value: Any, at_fault: str) -> None:
    problems = problems_of(change(content, path, value))
    assert at_fault in problems
    assert all(sentence.endswith((".", "?")) for sentence in problems[at_fault])


@pytest.mark.parametrize(("place", "most"), [("costs", 100), ("milestones", 50), ("benefits", 50), ("targets", 400)])
def test_lists_are_bounded(content: dict[str, Any], place: str, most: int) -> None:
    path = "benefits.0.targets" if place == "targets" else place
    items: Callable[[int], list[Any]] = lambda count: [{} for _ in range(count)]  # noqa: E731
    full, over = (problems_of(change(content, path, items(count))) for count in (most, most + 1))
    assert path not in full
    assert list(over) == [path]


def test_savings_are_money_and_other_benefits_need_not_be(content: dict[str, Any]) -> None:
    outcome = change(content, "benefits.0.kind", "citizen_outcome")
    assert problems_of(change(change(outcome, "benefits.0.measure", "count"), "benefits.0.unit", "people")) == {}
    assert "benefits.0.measure" in problems_of(
        change(change(content, "benefits.0.kind", "non_cashable_saving"), "benefits.0.measure", "score")
    )


def test_a_cost_falls_on_a_council_or_on_the_project(content: dict[str, Any]) -> None:
    line = content["costs"][0]
    content["costs"] += [{**line, "council": council} for council in councils_of(content)]
    assert problems_of(content) == {}
    assert ProposalContent().dump(ProposalContent().load(content)) == content
    twice = problems_of(change(content, "costs.3.council", "S12000036"))
    assert twice == {"costs.3": ["2026-27 staff S12000036 is given twice: number 3 in the list has it. Keep one."]}
    unnamed = problems_of(change(content, "costs.2.council", None))
    assert unnamed == {"costs.2": ["2026-27 staff is given twice: number 1 in the list has it. Keep one."]}
    stranger = problems_of(change(content, "costs.2.council", "S12000047"))
    assert list(stranger) == ["costs.2.council"]


@pytest.mark.parametrize("value", [None, [], "text", 5])
def test_what_is_no_mapping_is_no_proposal(value: Any) -> None:
    assert problems_of(value) == {"": [f"A proposal is a mapping of fields, not a {type(value).__name__}."]}


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_examples_are_sound_and_their_sums_add_up(path: Path) -> None:
    content = load_yaml(path)
    assert problems_of(content) == {}
    asked = content["requested_pence"]
    assert sum(cost["amount_pence"] for cost in content["costs"]) == asked + content["match_funding_pence"]
    assert sum(milestone["tranche_pence"] for milestone in content["milestones"]) == asked


def test_there_are_six_examples() -> None:
    assert len(list(EXAMPLES.glob("*.yaml"))) == 6
