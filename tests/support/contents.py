"""Sound contents of proposals by a few councils, for hypothesis: any, and ones that were edited from one another."""

import copy
from typing import Any

from hypothesis import strategies as st

from shared.proposal_content import OBJECTIVES
from tests.support.proposals import ABERDEENSHIRE, EAST_DUNBARTONSHIRE, EDINBURGH, GLASGOW

LEAD, OTHERS = EDINBURGH, (ABERDEENSHIRE, EAST_DUNBARTONSHIRE, GLASGOW)
Content = dict[str, Any]

_COUNCILS = st.sampled_from([LEAD, *OTHERS])
_PENCE = st.sampled_from([1, 12_000_000, 15_000_000])
_TEXTS = st.sampled_from(["Alpha", "Beta", "Gàidhlig “x” 𝄞"])
_KEYS = st.sampled_from(["alpha", "live", "phone-payments-saved"])
_PERIODS = st.sampled_from(["2027-Q3", "2027-Q4"])
_VALUES = st.sampled_from(["0", "22000", "40000.50", "1.005"])
_PERCENTS = st.sampled_from(["0", "10", "100"])

_costs: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {
        "year": st.sampled_from(["2026-27", "2027-28"]),
        "category": st.sampled_from(["staff", "licences"]),
        "amount_pence": _PENCE,
    },
    optional={"council": _COUNCILS},
)
_milestones: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {
        "key": _KEYS,
        "title": _TEXTS,
        "due_on": st.sampled_from(["2027-01-31", "2027-09-30"]),
        "tranche_pence": _PENCE,
    }
)
_targets: st.SearchStrategy[Any] = st.fixed_dictionaries({"period": _PERIODS, "council": _COUNCILS, "value": _VALUES})
_baselines: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {"value": _VALUES, "on": st.sampled_from(["2026-03-31", "2026-06-30"]), "source": _TEXTS}
)
_benefits: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {
        "key": _KEYS,
        "title": _TEXTS,
        "kind": st.sampled_from(["cashable_saving", "non_cashable_saving"]),
        "measure": st.just("currency"),
        "unit": st.just("GBP"),
        "direction": st.sampled_from(["increase", "range"]),
        "frequency": st.just("quarterly"),
        "baseline": _baselines,
        "owner_council": _COUNCILS,
        "targets": st.lists(_targets, min_size=1, max_size=5, unique_by=lambda each: (each["period"], each["council"])),
        "deadweight_percent": _PERCENTS,
        "attribution_percent": _PERCENTS,
        "optimism_bias_percent": _PERCENTS,
    }
)
_drawn: st.SearchStrategy[Content] = st.fixed_dictionaries(
    {
        "title": _TEXTS,
        "lead_council": st.just(LEAD),
        "participants": st.lists(st.sampled_from(OTHERS), unique=True),
        "objectives": st.lists(st.sampled_from(OBJECTIVES), min_size=1, unique=True),
        "problem": _TEXTS,
        "user_need": _TEXTS,
        "requested_pence": _PENCE,
        "match_funding_pence": _PENCE,
        "costs": st.lists(
            _costs, min_size=1, max_size=5, unique_by=lambda each: (each["year"], each["category"], each.get("council"))
        ),
        "milestones": st.lists(_milestones, min_size=1, max_size=3, unique_by=lambda each: each["key"]),
        "benefits": st.lists(_benefits, min_size=1, max_size=3, unique_by=lambda each: each["key"]),
    }
)


def _sound(content: Content) -> Content:
    """Leave out what belongs to councils that take no part; where nothing is left, something of the lead's is put."""
    taking_part = {LEAD, *content["participants"]}
    content["costs"] = [cost for cost in content["costs"] if cost.get("council", LEAD) in taking_part] or [
        {"year": "2026-27", "category": "staff", "amount_pence": 1}
    ]
    for benefit in content["benefits"]:
        if benefit["owner_council"] not in taking_part:
            benefit["owner_council"] = LEAD
        benefit["targets"] = [target for target in benefit["targets"] if target["council"] in taking_part] or [
            {"period": "2027-Q3", "council": LEAD, "value": "0"}
        ]
    return content


def contents() -> st.SearchStrategy[Content]:
    """Return contents that have little in common."""
    return _drawn.map(copy.deepcopy).map(_sound)


@st.composite
def edited(draw: st.DrawFn, content: Content) -> Content:
    """Return the content with nothing, or a few things in it, changed, and its lists in any order."""
    other, new = draw(contents()), copy.deepcopy(content)
    for field in draw(st.lists(st.sampled_from([*new, "a cost", "a benefit", "a target"]), max_size=2)):
        match field:
            case "a cost":
                new["costs"][-1]["amount_pence"] = other["costs"][0]["amount_pence"]
            case "a benefit":
                new["benefits"][-1] = {**other["benefits"][0], "key": new["benefits"][-1]["key"]}
            case "a target":
                new["benefits"][-1]["targets"][-1]["value"] = other["benefits"][0]["targets"][0]["value"]
            case _:
                new[field] = other[field]
    new = _sound(copy.deepcopy(new))
    for field in ("participants", "costs", "milestones", "benefits"):
        new[field] = draw(st.permutations(new[field]))
    return new


@st.composite
def histories(draw: st.DrawFn) -> list[Content]:
    """Return the contents of up to five revisions, each edited from an earlier one, or the same again."""
    made = [draw(contents())]
    for _ in range(draw(st.integers(1, 4))):
        made.append(draw(edited(draw(st.sampled_from(made)))))
    return made
