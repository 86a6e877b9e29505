"""The tracking plan: made by funding alone, once, whole, and shown to whom it concerns."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from uuid import UUID

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from services.outcomes import models
from shared import ids
from shared.errors import Conflict, Forbidden, NotFound
from shared.messaging.events import Event
from shared.storage.database import Database
from tests.integration.conftest import OpenDatabase
from tests.support.outcomes import (
    ABERDEENSHIRE,
    EDINBURGH,
    FIFE,
    FUNDED_AT,
    PROGRAMME,
    STIRLING,
    THE_CDO,
    THE_SYSTEM,
    Outcomes,
    a_saving,
    an_outcome,
    content,
    on,
    project_funded,
    proposer,
    s95_officer,
    sponsor,
)


def test_funding_alone_makes_the_whole_plan(outcomes: Outcomes) -> None:
    event = project_funded()
    with on(date(2026, 7, 2)):
        outcomes.receive(event)
        plan = outcomes.get_plan(THE_CDO, project_id=event.data["project_id"])
    period_ids = {UUID(period.pop("period_id")) for result in plan["results"] for period in result["periods"]}
    assert len(period_ids) == 3
    assert UUID(plan.pop("plan_id"))
    unreported = {
        "state": "upcoming",
        "overdue": False,
        "value": None,
        "numerator": None,
        "denominator": None,
        "narrative": None,
        "reported_by": None,
        "reported_at": None,
        "certified_by": None,
        "certified_at": None,
        "returned_by": None,
        "returned_at": None,
        "return_reason": None,
    }
    third_quarter = {
        "period": "2027-Q3",
        "starts_on": "2027-10-01",
        "ends_on": "2027-12-31",
        "opens_on": "2028-01-01",
        "due_on": "2028-01-28",
    }
    assert plan == {
        "project_id": str(event.data["project_id"]),
        "award_id": str(event.data["award_id"]),
        "proposal_id": str(event.data["proposal_id"]),
        "proposal_reference": "P-2026-0007",
        "revision": 2,
        "content_hash": "5e" * 32,
        "title": "One online payments service for three councils",
        "lead_council": EDINBURGH,
        "councils": [EDINBURGH, ABERDEENSHIRE, STIRLING],
        "amount_pence": 25_000_000,
        "state": "active",
        "starts_on": "2026-07-01",
        "last_due_on": "2028-01-28",
        "milestones": [
            {
                "key": key,
                "title": title,
                "due_on": due_on,
                "tranche_pence": tranche_pence,
                "state": "planned",
                "achieved_on": None,
                "achieved_by": None,
                "evidence": None,
            }
            for key, title, due_on, tranche_pence in (
                ("alpha", "Alpha passed", "2027-01-31", 10_000_000),
                ("live", "Live in all three", "2027-09-30", 15_000_000),
            )
        ],
        "results": [
            {
                "key": "phone-payments-saved",
                "title": "Fewer payments taken by phone",
                "kind": "cashable_saving",
                "indicator": {
                    "measure": "currency",
                    "unit": "GBP",
                    "direction": "increase",
                    "frequency": "quarterly",
                    "baseline": {"value": "0", "on": "2026-03-31", "source": "Finance ledger"},
                    "owner_council": EDINBURGH,
                    "deadweight_percent": "10",
                    "attribution_percent": "80",
                    "optimism_bias_percent": "15",
                },
                "periods": [
                    {"council": ABERDEENSHIRE, **third_quarter, "target": "22000", **unreported},
                    {"council": EDINBURGH, **third_quarter, "target": "40000", **unreported},
                ],
            },
            {
                "key": "paid-first-time",
                "title": "Payments that succeed at the first attempt",
                "kind": "citizen_outcome",
                "indicator": {
                    "measure": "percentage",
                    "unit": "% of attempts",
                    "direction": "increase",
                    "frequency": "annual",
                    "baseline": {"value": "71.5", "on": "2026-03-31", "source": "Web analytics"},
                    "owner_council": EDINBURGH,
                    "deadweight_percent": "0",
                    "attribution_percent": "100",
                    "optimism_bias_percent": "0",
                },
                "periods": [
                    {
                        "council": ABERDEENSHIRE,
                        "period": "2026-27",
                        "starts_on": "2026-04-01",
                        "ends_on": "2027-03-31",
                        "opens_on": "2027-04-01",
                        "due_on": "2027-04-28",
                        "target": "85",
                        **unreported,
                    }
                ],
            },
        ],
    }


def test_a_new_plan_is_announced_with_its_extent(outcomes: Outcomes) -> None:
    event = project_funded()
    outcomes.receive(event)
    plan = outcomes.get_plan(THE_CDO, project_id=event.data["project_id"])
    [recorded] = outcomes.events()
    assert (recorded["name"], recorded["version"], recorded["sequence"]) == ("tracking_plan_created", 1, 1)
    assert recorded["subject"] == plan["plan_id"]
    assert recorded["data"] == {
        "plan_id": plan["plan_id"],
        "project_id": plan["project_id"],
        "proposal_id": plan["proposal_id"],
        "award_id": plan["award_id"],
        "indicators": 2,
        "periods": 3,
        "milestones": 2,
        "first_due_on": "2027-04-28",
        "last_due_on": "2028-01-28",
    }


def test_a_project_is_tracked_once_even_if_it_is_announced_again_as_something_else(outcomes: Outcomes) -> None:
    project_id = outcomes.fund()
    before = outcomes.get_plan(THE_CDO, project_id=project_id)
    outcomes.fund(project_id=str(project_id), content=content(title="Another", benefits=[an_outcome()]))
    assert outcomes.get_plan(THE_CDO, project_id=project_id) == before
    assert len(outcomes.events()) == 1


def test_forty_deliveries_at_once_to_two_instances_make_one_plan(open_database: OpenDatabase) -> None:
    """The handler itself, without the inbox in front: half of the deliveries come under an event id of their own."""
    first = open_database("outcomes")
    second = Database(first.url.render_as_string(hide_password=False)) if first.is_postgresql else first
    event = project_funded()
    again = [project_funded(**_data_of(event), event_id=str(ids.new_id())) for _ in range(20)]
    ready = threading.Barrier(8)

    def deliver(database: Database, delivered: list[Event]) -> None:
        ready.wait()
        for each in delivered:
            Outcomes(database).receive(each)

    deliveries = [event] * 20 + again
    with ThreadPoolExecutor(8) as threads:
        work = [threads.submit(deliver, (first, second)[lane % 2], deliveries[lane::8]) for lane in range(8)]
        for each in work:
            each.result()
    if second is not first:
        second.close()

    outcomes = Outcomes(first)
    assert [recorded["name"] for recorded in outcomes.events()] == ["tracking_plan_created"]
    with first.transaction() as session:
        assert _count(session, models.Plan) == 1
        assert _count(session, models.Period) == 3
        assert _count(session, models.Milestone) == 2


def _data_of(event: Event) -> dict[str, object]:
    dumped: dict[str, object] = event.type.dump(event.data)
    return dumped


def _count(session: Session, model: type[models.Base]) -> int:
    return session.scalar(select(func.count()).select_from(model)) or 0


def test_the_calendar_runs_to_the_last_period_of_the_last_benefit(outcomes: Outcomes) -> None:
    late = an_outcome(targets=[{"period": "2031-32", "council": STIRLING, "value": "90"}])
    project_id = outcomes.fund(content=content(benefits=[late, a_saving()]))
    assert outcomes.get_plan(THE_CDO, project_id=project_id)["last_due_on"] == "2032-04-28"


def test_those_concerned_see_the_plan(outcomes: Outcomes) -> None:
    project_id = outcomes.fund()
    for reader in (*PROGRAMME, proposer(EDINBURGH), sponsor(ABERDEENSHIRE), s95_officer(STIRLING)):
        assert outcomes.get_plan(reader, project_id=project_id)["project_id"] == str(project_id), reader
        assert len(outcomes.list_plans(reader)["items"]) == 1, reader
        assert len(outcomes.list_periods(reader)["items"]) == 3, reader


def test_to_others_the_plan_does_not_exist(outcomes: Outcomes) -> None:
    project_id = outcomes.fund()
    for stranger in (proposer(FIFE), s95_officer(FIFE), THE_SYSTEM):
        with pytest.raises(NotFound) as hidden:
            outcomes.get_plan(stranger, project_id=project_id)
        with pytest.raises(NotFound) as absent:
            outcomes.get_plan(stranger, project_id=ids.new_id())
        assert hidden.value.as_dict() == absent.value.as_dict()
        assert outcomes.list_plans(stranger)["items"] == []
        assert outcomes.list_periods(stranger)["items"] == []


def test_plans_are_listed_by_council_and_state_in_pages(outcomes: Outcomes) -> None:
    theirs = outcomes.fund(
        lead_council=FIFE,
        content=content(
            lead_council=FIFE,
            benefits=[
                a_saving(owner_council=FIFE, targets=[{"period": "2027-Q3", "council": FIFE, "value": "1"}]),
            ],
            participants=[STIRLING],
        ),
    )
    ours = outcomes.fund()
    everything = outcomes.list_plans(THE_CDO)
    assert [item["project_id"] for item in everything["items"]] == [str(theirs), str(ours)]
    assert everything["next_cursor"] is None
    assert everything["items"][0]["councils"] == [FIFE, STIRLING]
    assert "results" not in everything["items"][0]
    for filters, expected in (
        ({"council": FIFE}, [theirs]),
        ({"council": EDINBURGH}, [ours]),
        ({"council": STIRLING, "state": "active"}, [theirs, ours]),
        ({"state": "closed"}, []),
    ):
        items = outcomes.list_plans(THE_CDO, **filters)["items"]
        assert [item["project_id"] for item in items] == [str(each) for each in expected]
    page = outcomes.list_plans(THE_CDO, limit=1)
    rest = outcomes.list_plans(THE_CDO, limit=1, cursor=page["next_cursor"])
    assert [item["project_id"] for item in page["items"] + rest["items"]] == [str(theirs), str(ours)]
    assert rest["next_cursor"] is None


def test_the_lead_council_achieves_a_milestone_with_its_evidence(outcomes: Outcomes) -> None:
    project_id = outcomes.fund()
    with on(date(2027, 2, 3)):
        before = outcomes.get_plan(THE_CDO, project_id=project_id)
        plan = outcomes.achieve_milestone(
            proposer(EDINBURGH), project_id=project_id, milestone="alpha", evidence="Service assessment, 3 February."
        )
    assert [milestone["state"] for milestone in before["milestones"]] == ["late", "planned"]
    alpha, live = plan["milestones"]
    assert alpha["state"] == "achieved"
    assert alpha["achieved_on"] == "2027-02-03"
    assert alpha["achieved_by"] == proposer(EDINBURGH).subject
    assert alpha["evidence"] == "Service assessment, 3 February."
    assert live == before["milestones"][1]
    [recorded] = outcomes.events("milestone_achieved")
    assert (recorded["subject"], recorded["sequence"]) == (plan["plan_id"], 2)
    assert recorded["data"] == {
        "plan_id": plan["plan_id"],
        "project_id": plan["project_id"],
        "award_id": plan["award_id"],
        "milestone": "alpha",
        "achieved_on": "2027-02-03",
    }


def test_a_milestone_is_achieved_once(outcomes: Outcomes) -> None:
    project_id = outcomes.fund()
    call = {"project_id": project_id, "milestone": "alpha", "evidence": "Assessed."}
    with on(date(2027, 2, 3)):
        outcomes.achieve_milestone(proposer(EDINBURGH), **call)
    with on(date(2027, 3, 1)), pytest.raises(Conflict) as refused:
        outcomes.achieve_milestone(proposer(EDINBURGH), **call)
    assert refused.value.code == "already_achieved"
    assert "2027-02-03" in refused.value.message
    assert len(outcomes.events("milestone_achieved")) == 1


def test_only_the_lead_councils_proposer_achieves_a_milestone_that_there_is(outcomes: Outcomes) -> None:
    project_id = outcomes.fund()
    call = {"project_id": project_id, "milestone": "alpha", "evidence": "Assessed."}
    for someone in (proposer(ABERDEENSHIRE), sponsor(EDINBURGH)):
        with pytest.raises(Forbidden) as refused:
            outcomes.achieve_milestone(someone, **call)
        assert refused.value.code == "not_the_lead"
    with pytest.raises(NotFound) as missing:
        outcomes.achieve_milestone(proposer(FIFE), **call)
    assert missing.value.code == "project_not_found"
    with pytest.raises(NotFound) as missing:
        outcomes.achieve_milestone(proposer(EDINBURGH), **call | {"milestone": "beta"})
    assert missing.value.code == "milestone_not_found"
    assert "alpha, live" in missing.value.message
    assert outcomes.events("milestone_achieved") == []


def test_a_milestone_achieved_twice_at_once_is_announced_once(open_database: OpenDatabase) -> None:
    outcomes = Outcomes(open_database("outcomes"))
    project_id = outcomes.fund()
    ready = threading.Barrier(4)

    def achieve() -> bool:
        ready.wait()
        try:
            outcomes.achieve_milestone(
                proposer(EDINBURGH), project_id=project_id, milestone="alpha", evidence="Assessed."
            )
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(4) as threads:
        achieved = [each.result() for each in [threads.submit(achieve) for _ in range(4)]]
    assert sorted(achieved) == [False, False, False, True]
    assert len(outcomes.events("milestone_achieved")) == 1


def test_a_plan_starts_on_the_day_of_funding_in_utc(outcomes: Outcomes) -> None:
    project_id = outcomes.fund(funded_at="2026-07-02T00:30:00+01:00")
    assert outcomes.get_plan(THE_CDO, project_id=project_id)["starts_on"] == "2026-07-01"
    assert FUNDED_AT.date() == date(2026, 7, 1)
