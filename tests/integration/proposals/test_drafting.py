"""A digital lead saves what there is, is told all that is missing or wrong, and submits what is whole."""

import copy
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from services.proposals.domain.content_hash import content_hash
from services.proposals.models import Proposal, Round
from shared import clock
from shared.audit.tables import audit
from shared.errors import Conflict, Forbidden, Invalid, NotFound
from shared.ids import new_id
from tests.support.proposals import (
    ABERDEENSHIRE,
    EAST_DUNBARTONSHIRE,
    EDINBURGH,
    GLASGOW,
    Programme,
    assessor,
    cdo,
    chair,
    content,
    proposer,
    sponsor,
)

LEAST = {"title": "Payments", "lead_council": EDINBURGH}


def draft(programme: Programme, body: dict[str, Any]) -> str:
    """Create a draft with nothing but a content of the test's."""
    created = programme.call("create_proposal", proposer(), round_id=programme.open_round(), content=body)
    return str(created["proposal_id"])


def test_a_draft_begins_with_a_title_and_a_lead_council(programme: Programme) -> None:
    created = programme.call("create_proposal", proposer(), round_id=programme.open_round(), content=LEAST)
    assert (created["content"], created["title"], created["participants"]) == (LEAST, "Payments", [])
    assert programme.seen(created["proposal_id"], proposer()) == created
    [item] = programme.call("list_proposals", proposer())["items"]
    assert (item["title"], item["participants"], item["requested_pence"]) == ("Payments", [], None)
    for council, listed in ((EDINBURGH, 1), (GLASGOW, 0)):
        assert len(programme.call("list_proposals", cdo(), council=council)["items"]) == listed


def test_without_them_it_does_not_and_both_are_asked_for(programme: Programme) -> None:
    with pytest.raises(Invalid) as error:
        programme.call("create_proposal", proposer(), round_id=programme.open_round(), content={"costs": []})
    assert error.value.fields == {
        "content.title": ["Give the proposal a title, in a line of up to 200 characters."],
        "content.lead_council": ["Name the lead council by its GSS code, like S12000036."],
    }


def test_a_draft_is_completed_step_by_step_and_then_submitted(programme: Programme) -> None:
    programme.members(EDINBURGH, ABERDEENSHIRE, EAST_DUNBARTONSHIRE)
    proposal_id = draft(programme, LEAST)
    body, version = dict(LEAST), 1
    for name, value in content().items():
        with pytest.raises(Conflict) as error:
            programme.call("submit_proposal", proposer(), proposal_id=proposal_id)
        assert error.value.code == "not_eligible"
        assert f"content.{name}" in error.value.fields or name in LEAST
        body[name] = value
        updated = programme.call(
            "update_proposal", proposer(), proposal_id=proposal_id, content=body, expected_revision=version
        )
        version = updated["draft_version"]
    [item] = programme.call("list_proposals", proposer())["items"]
    assert (item["participants"], item["requested_pence"]) == (content()["participants"], 25_000_000)
    submitted = programme.call("submit_proposal", proposer(), proposal_id=proposal_id)
    assert (submitted["state"], submitted["content_hash"]) == ("submitted", content_hash(content()))


def test_what_is_missing_stops_a_submission_and_is_told_with_the_rules(programme: Programme) -> None:
    body = content(participants=[ABERDEENSHIRE])
    del body["problem"], body["costs"][1]["amount_pence"], body["benefits"][0]["baseline"]["on"]
    body["benefits"][0]["targets"].append({"period": "2027-Q3", "council": GLASGOW})
    proposal_id = draft(programme, body)
    programme.members(EDINBURGH)
    with pytest.raises(Conflict) as error:
        programme.call("submit_proposal", proposer(), proposal_id=proposal_id)
    rules = {"content_complete", "councils_are_members", "costs_add_up", "benefits_measurable"}
    missing = {
        "content.problem",
        "content.costs.1.amount_pence",
        "content.benefits.0.baseline.on",
        "content.benefits.0.targets.1.council",
        "content.benefits.0.targets.1.value",
    }
    assert set(error.value.fields) == rules | missing
    assert error.value.message.startswith("P-2026-0001 cannot be submitted: Missing or wrong: problem,")

    checked = programme.call("check_eligibility", proposer(), proposal_id=proposal_id)
    assert not checked["eligible"]
    assert {problem["path"] for problem in checked["problems"]} == {path.removeprefix("content.") for path in missing}
    assert {rule["rule"]: rule["met"] for rule in checked["rules"]} == {
        "content_complete": False,
        "round_open": True,
        "councils_are_members": False,
        "enough_participants": True,
        "under_ceiling": True,
        "costs_add_up": None,
        "tranches_add_up": True,
        "benefits_measurable": False,
    }
    assert (programme.seen(proposal_id)["state"], programme.seen(proposal_id)["revision"]) == ("draft", 0)


def test_what_a_draft_gives_is_right_by_itself_and_all_that_is_not_is_told(programme: Programme) -> None:
    proposal_id = draft(programme, LEAST)
    wrong = {**LEAST, "requested_pence": 2.5, "objectives": ["fun"], "costs": [{"year": 2026}], "user-need": "x"}
    wrong["participants"] = [GLASGOW, EDINBURGH, GLASGOW]
    request: dict[str, Any] = {"proposal_id": proposal_id, "content": wrong, "expected_revision": 1}
    with pytest.raises(Invalid) as error:
        programme.call("update_proposal", proposer(), **request)
    assert set(error.value.fields) == {
        "content.requested_pence",
        "content.objectives.0",
        "content.costs.0.year",
        "content.user-need",
        "content.participants.1",
        "content.participants.2",
    }
    assert programme.seen(proposal_id)["draft_version"] == 1


def test_a_revision_that_the_panel_asked_for_may_be_worked_on_in_parts_too(programme: Programme) -> None:
    proposal_id = programme.submitted()
    programme.call("request_changes", chair(), proposal_id=proposal_id, reason="Say more.")
    programme.call("update_proposal", proposer(), proposal_id=proposal_id, content=LEAST, expected_revision=1)
    with pytest.raises(Conflict, match="Missing or wrong"):
        programme.call("submit_proposal", proposer(), proposal_id=proposal_id)
    [item] = programme.call("list_proposals", proposer())["items"]
    assert item["requested_pence"] == 25_000_000, "what was handed in"
    assert programme.seen(proposal_id, proposer())["content"] == LEAST
    assert programme.seen(proposal_id, sponsor())["content"] == content()


# --- a content that is checked without a proposal -------------------------------------------------------------------


def bodies() -> dict[str, dict[str, Any]]:
    """Contents of every kind that can be drafted."""
    strange = content(participants=[ABERDEENSHIRE])
    strange["benefits"][0]["owner_council"] = GLASGOW
    lacking = content()
    del lacking["costs"][0]["amount_pence"], lacking["problem"]
    return {
        "whole": content(),
        "least": LEAST,
        "a stranger": strange,
        "lacking": lacking,
        "too dear": content(requested_pence=50_000_000),
        "alone": content(participants=[]),
        "empty lists": content(costs=[], benefits=[], milestones=[], objectives=[]),
    }


@pytest.mark.parametrize("kind", bodies())
def test_the_check_of_a_content_says_what_drafting_checking_and_submitting_would(
    programme: Programme, kind: str
) -> None:
    body = bodies()[kind]
    programme.members(EDINBURGH, ABERDEENSHIRE, EAST_DUNBARTONSHIRE)
    round_id = programme.open_round()
    before = stored(programme)
    checked = programme.call("check_content", proposer(), round_id=round_id, content=body)
    assert stored(programme) == before
    created = programme.call("create_proposal", proposer(), round_id=round_id, content=body)
    drafted = programme.call("check_eligibility", proposer(), proposal_id=created["proposal_id"])
    assert checked == {name: drafted[name] for name in checked}
    if checked["eligible"]:
        assert programme.call("submit_proposal", proposer(), proposal_id=created["proposal_id"])["revision"] == 1
        return
    with pytest.raises(Conflict) as error:
        programme.call("submit_proposal", proposer(), proposal_id=created["proposal_id"])
    unmet = {rule["rule"] for rule in checked["rules"] if not rule["met"]}
    assert set(error.value.fields) == unmet | {f"content.{problem['path']}" for problem in checked["problems"]}


def stored(programme: Programme) -> tuple[int, ...]:
    """How much there is that a check could leave behind."""

    def count(session: Session) -> tuple[int, ...]:
        return tuple(session.scalar(select(func.count()).select_from(table)) or 0 for table in (Proposal, Round, audit))

    return programme.database.run(count)


def test_what_could_not_be_drafted_is_answered_with_everything_that_is_wrong(programme: Programme) -> None:
    body: dict[str, Any] = copy.deepcopy(content(requested_pence=2.5, surprise=1, lead_council="Fife", costs={}))
    body["benefits"][0]["targets"] *= 2
    round_id = programme.open_round()
    checked = programme.call("check_content", cdo(), round_id=round_id, content=body)
    with pytest.raises(Invalid) as error:
        programme.call("create_proposal", proposer(), round_id=round_id, content=body)
    told = {problem["path"]: problem["sentence"] for problem in checked["problems"]}
    assert {f"content.{path}": [sentence] for path, sentence in told.items()} == error.value.fields
    assert set(told) == {"requested_pence", "surprise", "lead_council", "costs", "benefits.0.targets.1"}
    assert (checked["eligible"], checked["as_of"]) == (False, "2026-10-05")
    assert {rule["rule"] for rule in checked["rules"] if rule["met"] is None} == {
        "under_ceiling", "costs_add_up", "tranches_add_up"
    }  # fmt: skip
    empty = programme.call("check_content", proposer(GLASGOW), round_id=round_id, content={})
    assert {problem["path"] for problem in empty["problems"]} == set(content())


def test_a_content_is_checked_for_a_round_as_it_is_now(programme: Programme, today: clock.FixedClock) -> None:
    with pytest.raises(NotFound):
        programme.call("check_content", proposer(), round_id=new_id(), content=content())
    round_id = programme.open_round()
    programme.call("close_round", cdo(), round_id=round_id)
    rules = programme.call("check_content", proposer(), round_id=round_id, content=content())["rules"]
    assert {rule["rule"] for rule in rules if not rule["met"]} == {"round_open", "councils_are_members"}
    with pytest.raises(Forbidden):
        programme.call("check_content", assessor(), round_id=round_id, content=content())
