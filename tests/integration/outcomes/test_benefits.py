"""The roll-up of benefits: a project's, a council's, the portfolio's."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from marshmallow import ValidationError

from shared import ids
from shared.errors import NotFound
from tests.support.outcomes import (
    ABERDEENSHIRE,
    EDINBURGH,
    FIFE,
    STIRLING,
    THE_CDO,
    THE_SYSTEM,
    Outcomes,
    a_saving,
    an_outcome,
    content,
    on,
    proposer,
    s95_officer,
)

TODAY = date(2028, 1, 29)
NOTHING = {
    "target": "0.00",
    "reported": "0.00",
    "certified_gross": "0.00",
    "deadweight": "0.00",
    "unattributed": "0.00",
    "net": "0.00",
}


def certify(outcomes: Outcomes, period_id: str, council: str, value: str) -> None:
    outcomes.report_actual(proposer(council), period_id=period_id, value=value)
    outcomes.certify_period(s95_officer(council), period_id=period_id)


def test_a_projects_savings_are_realised_by_certification_net_of_what_it_did_not_cause(outcomes: Outcomes) -> None:
    project_id = outcomes.fund()
    with on(TODAY):
        certify(outcomes, outcomes.period_id(project_id, EDINBURGH), EDINBURGH, "38500")
        outcomes.report_actual(
            proposer(ABERDEENSHIRE), period_id=outcomes.period_id(project_id, ABERDEENSHIRE), value="22000.50"
        )
        summary = outcomes.benefits_summary(THE_CDO, project_id=project_id)
    edinburghs = {
        "kind": "cashable_saving",
        "target": "40000.00",
        "reported": "0.00",
        "certified_gross": "38500.00",
        "deadweight": "3850.00",
        "unattributed": "6930.00",
        "net": "27720.00",
    }
    counts = {"upcoming": 0, "open": 0, "reported": 0, "certified": 0, "returned": 0, "overdue": 0}
    assert summary == {
        "project_id": str(project_id),
        "council": None,
        "plans": 1,
        "indicators": 2,
        "indicators_not_summed": 1,
        "periods": counts | {"open": 1, "overdue": 1, "reported": 1, "certified": 1},
        "savings": [
            edinburghs | {"target": "62000.00", "reported": "22000.50"},
            {"kind": "non_cashable_saving", **NOTHING},
        ],
        "by_council": [
            {
                "council": ABERDEENSHIRE,
                "periods": counts | {"open": 1, "overdue": 1, "reported": 1},
                "savings": [
                    {"kind": "cashable_saving", **NOTHING, "target": "22000.00", "reported": "22000.50"},
                    {"kind": "non_cashable_saving", **NOTHING},
                ],
            },
            {
                "council": EDINBURGH,
                "periods": counts | {"certified": 1},
                "savings": [edinburghs, {"kind": "non_cashable_saving", **NOTHING}],
            },
        ],
    }


def test_projects_and_councils_add_up_to_the_portfolio_to_the_penny(outcomes: Outcomes) -> None:
    uneven = {"deadweight_percent": "33.333", "attribution_percent": "66.667"}
    targets = [
        {"period": f"2027-Q{quarter}", "council": council, "value": "100.01"}
        for quarter in (1, 2, 3)
        for council in (EDINBURGH, ABERDEENSHIRE, STIRLING)
    ]
    projects = [
        outcomes.fund(content=content(benefits=[a_saving(kind=kind, targets=targets, **uneven), an_outcome()]))
        for kind in ("cashable_saving", "cashable_saving", "non_cashable_saving")
    ]
    with on(TODAY):
        for number, period in enumerate(outcomes.list_periods(THE_CDO)["items"]):
            if period["measure"] == "currency" and number % 4:
                certify(outcomes, period["period_id"], period["council"], f"{number}.005")
        whole = outcomes.benefits_summary(THE_CDO)
        by_project = [outcomes.benefits_summary(THE_CDO, project_id=project_id) for project_id in projects]
        by_council = [outcomes.benefits_summary(THE_CDO, council=each) for each in (STIRLING, ABERDEENSHIRE, EDINBURGH)]
    assert whole["plans"] == 3
    assert whole["savings"][0]["net"] != "0.00"
    for parts in (by_project, by_council, whole["by_council"]):
        assert total(parts) == total([whole])
    for alone, part in zip(by_council, whole["by_council"], strict=True):
        assert part == {name: alone[name] for name in ("council", "periods", "savings")}


def total(parts: list[dict[str, Any]]) -> dict[tuple[str, str], Decimal]:
    sums: dict[tuple[str, str], Decimal] = {}
    for part in parts:
        for state, count in part["periods"].items():
            sums["periods", state] = sums.get(("periods", state), Decimal(0)) + count
        for saving in part["savings"]:
            for name in NOTHING:
                place = (saving["kind"], name)
                sums[place] = sums.get(place, Decimal(0)) + Decimal(saving[name])
    return sums


def test_a_returned_report_counts_nowhere(outcomes: Outcomes) -> None:
    project_id = outcomes.fund()
    period_id = outcomes.period_id(project_id, EDINBURGH)
    with on(TODAY):
        outcomes.report_actual(proposer(EDINBURGH), period_id=period_id, value="99999")
        outcomes.return_period(s95_officer(EDINBURGH), period_id=period_id, reason="A digit too many?")
        certify_again = outcomes.benefits_summary(THE_CDO)
        certify(outcomes, period_id, EDINBURGH, "9999")
        after = outcomes.benefits_summary(THE_CDO)
    assert certify_again["savings"][0] == {"kind": "cashable_saving", **NOTHING, "target": "62000.00"}
    assert certify_again["periods"]["returned"] == 1
    assert after["savings"][0]["certified_gross"] == "9999.00"


def test_anybody_may_read_the_account_even_of_a_project_that_is_not_theirs(outcomes: Outcomes) -> None:
    project_id = outcomes.fund()
    expected = outcomes.benefits_summary(THE_CDO, project_id=project_id)
    for someone in (proposer(FIFE), THE_SYSTEM):
        assert outcomes.benefits_summary(someone, project_id=project_id) == expected


def test_an_empty_portfolio_and_a_council_without_projects_are_nothing_and_no_error(outcomes: Outcomes) -> None:
    for scope in ({}, {"council": FIFE}):
        summary = outcomes.benefits_summary(THE_CDO, **scope)
        assert (summary["plans"], summary["by_council"]) == (0, [])
        assert summary["savings"] == [{"kind": kind, **NOTHING} for kind in ("cashable_saving", "non_cashable_saving")]


def test_a_project_that_is_not_tracked_has_no_summary(outcomes: Outcomes) -> None:
    with pytest.raises(NotFound) as refused:
        outcomes.benefits_summary(THE_CDO, project_id=ids.new_id())
    assert refused.value.code == "project_not_found"


def test_a_summary_has_one_scope(outcomes: Outcomes) -> None:
    with pytest.raises(ValidationError) as refused:
        outcomes.benefits_summary(THE_CDO, project_id=ids.new_id(), council=EDINBURGH)
    assert set(refused.value.normalized_messages()) == {"council"}
