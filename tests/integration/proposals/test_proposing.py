"""From a draft to a revision that every council stands behind, on a real database."""

import hashlib
import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from shared import clock
from shared.errors import Conflict, Forbidden, Invalid, NotFound
from shared.ids import new_id
from shared.security.principal import Principal
from tests.support.proposals import (
    ABERDEENSHIRE,
    CRITERIA,
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


def _states(proposal: dict[str, Any]) -> dict[str, str]:
    return {confirmation["council"]: confirmation["state"] for confirmation in proposal["confirmations"]}


def test_a_draft_begins(programme: Programme) -> None:
    round_id = programme.open_round()
    created = programme.call("create_proposal", proposer(), round_id=round_id, content=content())
    assert created["reference"] == "P-2026-0001"
    assert (created["state"], created["revision"], created["draft_version"]) == ("draft", 0, 1)
    assert created["content"] == content()
    assert (created["content_hash"], created["confirmations"], created["score"]) == (None, [], None)
    assert programme.seen(created["proposal_id"], proposer()) == created
    assert programme.told("proposal_submitted") == []


def test_every_problem_of_the_content_is_named_at_once(programme: Programme) -> None:
    body = content(title=" ", requested_pence=2.5, surprise=1)
    body["benefits"][0]["baseline"]["value"] = 0
    body["costs"][1]["year"] = "2027-29"
    with pytest.raises(Invalid) as error:
        programme.call("create_proposal", proposer(), round_id=programme.open_round(), content=body)
    assert set(error.value.fields) == {
        "content.title",
        "content.requested_pence",
        "content.surprise",
        "content.benefits.0.baseline.value",
        "content.costs.1.year",
    }


def test_a_draft_needs_a_round_that_has_not_closed(programme: Programme, today: clock.FixedClock) -> None:
    with pytest.raises(NotFound):
        programme.call("create_proposal", proposer(), round_id=new_id(), content=content())
    planned = programme.open_round(opens_on="2026-11-01")
    assert programme.seen(programme.draft(planned))["state"] == "draft"
    today.at = datetime(2026, 12, 1, tzinfo=UTC)
    with pytest.raises(Conflict, match="closed on 30 November 2026 at 24:00 UTC"):
        programme.draft(planned)


def test_a_council_proposes_only_what_it_leads(programme: Programme) -> None:
    round_id = programme.open_round()
    with pytest.raises(Forbidden, match="lead council"):
        programme.call("create_proposal", proposer(GLASGOW), round_id=round_id, content=content())
    proposal_id = programme.draft(round_id)
    glasgows = content(lead_council=GLASGOW, participants=[EDINBURGH])
    with pytest.raises(Forbidden, match="lead council"):
        programme.call("update_proposal", proposer(), proposal_id=proposal_id, content=glasgows, expected_revision=1)


def test_a_draft_is_replaced_by_whoever_saw_the_latest(programme: Programme) -> None:
    proposal_id = programme.draft()
    change = {"proposal_id": proposal_id, "content": content(title="Payments, once"), "expected_revision": 1}
    updated = programme.call("update_proposal", proposer(), **change)
    assert (updated["title"], updated["draft_version"]) == ("Payments, once", 2)
    with pytest.raises(Conflict, match="at version 2") as error:
        programme.call("update_proposal", proposer(), **{**change, "content": content()})
    assert error.value.code == "stale_draft"
    assert programme.seen(proposal_id)["title"] == "Payments, once"
    assert [item["title"] for item in programme.call("list_proposals", cdo())["items"]] == ["Payments, once"]


def test_a_submission_freezes_a_revision_and_tells_it(programme: Programme) -> None:
    proposal_id = programme.draft()
    programme.members(EDINBURGH, ABERDEENSHIRE, EAST_DUNBARTONSHIRE)
    submitted = programme.call("submit_proposal", proposer(), proposal_id=proposal_id)
    canonical = json.dumps(content(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert submitted["content_hash"] == hashlib.sha256(canonical.encode()).hexdigest()
    assert (submitted["state"], submitted["revision"]) == ("submitted", 1)
    as_asked = {"reason": None, "carried_from": None, "asked_because": []}
    assert submitted["confirmations"] == [
        {
            "council": EDINBURGH,
            "state": "confirmed",
            "by": proposer().subject,
            "at": "2026-10-05T09:30:00+00:00",
            **as_asked,
        },
        {"council": ABERDEENSHIRE, "state": "awaited", "by": None, "at": None, **as_asked},
        {"council": EAST_DUNBARTONSHIRE, "state": "awaited", "by": None, "at": None, **as_asked},
    ]
    (event,) = programme.told("proposal_submitted")
    assert (event.subject, event.sequence) == (proposal_id, 1)
    assert event.data == {
        "proposal_id": proposal_id,
        "reference": "P-2026-0001",
        "round_id": submitted["round_id"],
        "revision": 1,
        "content_hash": submitted["content_hash"],
        "title": content()["title"],
        "lead_council": EDINBURGH,
        "participants": [ABERDEENSHIRE, EAST_DUNBARTONSHIRE],
        "requested_pence": 25_000_000,
        "submitted_at": "2026-10-05T09:30:00+00:00",
        "asked": [{"council": ABERDEENSHIRE, "because": []}, {"council": EAST_DUNBARTONSHIRE, "because": []}],
        "carried": [],
    }


def test_a_revision_keeps_the_rules_of_its_round(programme: Programme) -> None:
    proposal_id = programme.submitted()
    revision = programme.call("get_revision", proposer(), proposal_id=proposal_id, revision=1)
    assert revision["rules"] == {
        "criteria": CRITERIA,
        "min_participants": 2,
        "quorum": 2,
        "ceiling_pence": 40_000_000,
    }
    assert revision["content"] == content()
    with pytest.raises(NotFound):
        programme.call("get_revision", proposer(), proposal_id=proposal_id, revision=2)


def test_an_ineligible_proposal_is_refused_with_every_reason(programme: Programme) -> None:
    proposal_id = programme.draft(programme.open_round(ceiling_pence=20_000_000))
    programme.members(EDINBURGH, ABERDEENSHIRE)
    programme.members(EAST_DUNBARTONSHIRE, joins_on=date(2026, 10, 6))
    with pytest.raises(Conflict, match="East Dunbartonshire") as error:
        programme.call("submit_proposal", proposer(), proposal_id=proposal_id)
    assert error.value.code == "not_eligible"
    assert set(error.value.fields) == {"councils_are_members", "under_ceiling"}
    checked = programme.call("check_eligibility", proposer(), proposal_id=proposal_id)
    assert (checked["eligible"], checked["as_of"]) == (False, "2026-10-05")
    unmet = {rule["rule"]: [rule["sentence"]] for rule in checked["rules"] if not rule["met"]}
    assert unmet == error.value.fields
    assert checked["problems"] == []
    assert programme.seen(proposal_id)["state"] == "draft"


def test_a_council_is_a_member_from_the_day_on_which_it_joins(programme: Programme, today: clock.FixedClock) -> None:
    proposal_id = programme.draft()
    programme.members(EDINBURGH, ABERDEENSHIRE)
    programme.members(EAST_DUNBARTONSHIRE, joins_on=date(2026, 10, 6))
    today.advance(timedelta(days=1))
    assert programme.call("submit_proposal", proposer(), proposal_id=proposal_id)["state"] == "submitted"


def test_a_submission_outside_the_window_is_told_when_it_is(programme: Programme, today: clock.FixedClock) -> None:
    proposal_id = programme.draft(programme.open_round(opens_on="2026-11-01"))
    programme.members(EDINBURGH, ABERDEENSHIRE, EAST_DUNBARTONSHIRE)
    for at, sentence in (
        (datetime(2026, 10, 31, 23, 59, tzinfo=UTC), "opens on 1 November 2026 at 00:00 UTC"),
        (datetime(2026, 12, 1, tzinfo=UTC), "closed on 30 November 2026 at 24:00 UTC"),
    ):
        today.at = at
        with pytest.raises(Conflict, match=sentence):
            programme.call("submit_proposal", proposer(), proposal_id=proposal_id)


def test_a_submission_after_the_round_was_closed_by_hand_is_refused(programme: Programme) -> None:
    round_id = programme.open_round()
    proposal_id = programme.draft(round_id)
    programme.members(EDINBURGH, ABERDEENSHIRE, EAST_DUNBARTONSHIRE)
    programme.call("close_round", cdo(), round_id=round_id)
    with pytest.raises(Conflict, match="closed on 5 October 2026 at 09:30:00 UTC and takes no more"):
        programme.call("submit_proposal", proposer(), proposal_id=proposal_id)


def test_eligibility_of_what_was_handed_in_stays_that_of_its_day(programme: Programme, today: clock.FixedClock) -> None:
    proposal_id = programme.submitted()
    today.at = datetime(2027, 2, 1, tzinfo=UTC)
    checked = programme.call("check_eligibility", sponsor(), proposal_id=proposal_id)
    assert (checked["eligible"], checked["as_of"]) == (True, "2026-10-05")


def test_what_was_submitted_is_not_edited_nor_submitted_again(programme: Programme) -> None:
    proposal_id = programme.submitted()
    with pytest.raises(Conflict, match="in the state submitted"):
        programme.call("update_proposal", proposer(), proposal_id=proposal_id, content=content(), expected_revision=1)
    with pytest.raises(Conflict, match="in the state submitted"):
        programme.call("submit_proposal", proposer(), proposal_id=proposal_id)


def test_assessment_begins_when_the_last_council_confirms(programme: Programme) -> None:
    proposal_id = programme.submitted()
    first = programme.call("confirm_participation", sponsor(ABERDEENSHIRE), proposal_id=proposal_id, revision=1)
    assert first["state"] == "submitted"
    last = programme.call("confirm_participation", sponsor(EAST_DUNBARTONSHIRE), proposal_id=proposal_id, revision=1)
    assert last["state"] == "under_assessment"
    assert set(_states(last).values()) == {"confirmed"}
    events = programme.told("participation_confirmed")
    assert [(event.data["council"], event.sequence) for event in events] == [
        (ABERDEENSHIRE, 2),
        (EAST_DUNBARTONSHIRE, 3),
    ]
    assert events[0].data == {
        "proposal_id": proposal_id,
        "reference": "P-2026-0001",
        "round_id": last["round_id"],
        "revision": 1,
        "council": ABERDEENSHIRE,
        "confirmed_at": "2026-10-05T09:30:00+00:00",
    }


def test_a_council_by_itself_goes_to_assessment_at_once(programme: Programme) -> None:
    proposal_id = programme.submitted(programme.open_round(min_participants=1), participants=[])
    assert programme.seen(proposal_id)["state"] == "under_assessment"


def test_a_council_answers_once_and_the_lead_has_answered(programme: Programme) -> None:
    proposal_id = programme.submitted()
    request = {"proposal_id": proposal_id, "revision": 1}
    programme.call("confirm_participation", sponsor(ABERDEENSHIRE), **request)
    for council, name in ((ABERDEENSHIRE, "Aberdeenshire"), (EDINBURGH, "City of Edinburgh")):
        with pytest.raises(Conflict, match=f"{name} has already confirmed"):
            programme.call("decline_participation", sponsor(council), **request, reason="We have changed our mind.")
    with pytest.raises(Conflict) as error:
        programme.call("confirm_participation", sponsor(EAST_DUNBARTONSHIRE), proposal_id=proposal_id, revision=2)
    assert error.value.code == "stale_revision"
    with pytest.raises(Forbidden):
        programme.call("confirm_participation", proposer(EAST_DUNBARTONSHIRE), **request)


def test_a_refusal_holds_a_proposal_up_until_a_new_revision(programme: Programme, today: clock.FixedClock) -> None:
    proposal_id = programme.submitted()
    declined = programme.call(
        "decline_participation",
        sponsor(ABERDEENSHIRE),
        proposal_id=proposal_id,
        revision=1,
        reason="Our finance system moves next year.",
    )
    programme.call("confirm_participation", sponsor(EAST_DUNBARTONSHIRE), proposal_id=proposal_id, revision=1)
    assert declined["state"] == programme.seen(proposal_id)["state"] == "submitted"
    assert declined["confirmations"][1]["reason"] == "Our finance system moves next year."
    (event,) = programme.told("participation_declined")
    assert event.data["reason"] == "Our finance system moves next year."
    assert (event.data["council"], event.data["declined_at"]) == (ABERDEENSHIRE, "2026-10-05T09:30:00+00:00")

    sent_back = programme.call("request_changes", chair(), proposal_id=proposal_id, reason="Go on without them.")
    assert sent_back["change_request"] == {
        "revision": 1,
        "reason": "Go on without them.",
        "requested_at": "2026-10-05T09:30:00+00:00",
        "requested_by": chair().subject,
    }
    (event,) = programme.told("changes_requested")
    assert (event.data["revision"], event.data["reason"]) == (1, "Go on without them.")
    today.at = datetime(2026, 12, 10, tzinfo=UTC)
    smaller = content(participants=[EAST_DUNBARTONSHIRE])
    programme.call("update_proposal", proposer(), proposal_id=proposal_id, content=smaller, expected_revision=1)
    again = programme.call("submit_proposal", proposer(), proposal_id=proposal_id)
    assert (again["revision"], again["state"], again["change_request"]) == (2, "under_assessment", None)
    assert _states(again) == {EDINBURGH: "confirmed", EAST_DUNBARTONSHIRE: "confirmed"}
    assert programme.call("check_eligibility", proposer(), proposal_id=proposal_id)["eligible"]
    first = programme.call("get_revision", cdo(), proposal_id=proposal_id, revision=1)
    assert first["content"]["participants"] == [ABERDEENSHIRE, EAST_DUNBARTONSHIRE]
    assert first["confirmations"][1]["state"] == "declined"


def test_while_changes_are_made_only_the_lead_and_the_cdo_see_the_draft(programme: Programme) -> None:
    proposal_id = programme.submitted()
    programme.call("request_changes", chair(), proposal_id=proposal_id, reason="Say what it costs to run.")
    new = content(title="Payments, with running costs", participants=[ABERDEENSHIRE, GLASGOW])
    programme.call("update_proposal", proposer(), proposal_id=proposal_id, content=new, expected_revision=1)
    for principal in (proposer(), cdo()):
        assert programme.seen(proposal_id, principal)["content"] == new
    for principal in (sponsor(ABERDEENSHIRE), sponsor(EAST_DUNBARTONSHIRE), chair()):
        seen = programme.seen(proposal_id, principal)
        assert (seen["content"], seen["title"]) == (content(), content()["title"])
        assert seen["participants"] == [ABERDEENSHIRE, EAST_DUNBARTONSHIRE]
    with pytest.raises(NotFound):
        programme.seen(proposal_id, sponsor(GLASGOW))
    (item,) = programme.call("list_proposals", proposer())["items"]
    assert item["title"] == content()["title"]


@pytest.mark.parametrize("bring", ["draft", "assessed"])
def test_a_proposal_is_withdrawn_before_the_decision(programme: Programme, bring: str) -> None:
    proposal_id = getattr(programme, bring)()
    reason = "Another council has built it."
    withdrawn = programme.call("withdraw_proposal", proposer(), proposal_id=proposal_id, reason=reason)
    assert (withdrawn["state"], withdrawn["withdrawal_reason"]) == ("withdrawn", reason)
    (event,) = programme.told("proposal_withdrawn")
    assert event.data == {
        "proposal_id": proposal_id,
        "reference": "P-2026-0001",
        "round_id": withdrawn["round_id"],
        "revision": 0 if bring == "draft" else 1,
        "reason": reason,
        "withdrawn_at": "2026-10-05T09:30:00+00:00",
    }
    with pytest.raises(Conflict):
        programme.call("withdraw_proposal", proposer(), proposal_id=proposal_id, reason=reason)


def test_a_decided_proposal_is_not_withdrawn(programme: Programme) -> None:
    proposal_id = programme.decided()
    with pytest.raises(Conflict, match="in the state approved"):
        programme.call("withdraw_proposal", proposer(), proposal_id=proposal_id, reason="Too late.")
    with pytest.raises(Forbidden):
        programme.call("withdraw_proposal", proposer(ABERDEENSHIRE), proposal_id=proposal_id, reason="Not mine.")


def test_every_event_of_a_proposal_has_the_next_number(programme: Programme) -> None:
    proposal_id = programme.decided()
    events = [event for event in programme.told() if event.subject == proposal_id]
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert programme.seen(proposal_id)["version"] == len(events)


def test_a_write_answers_what_a_read_gives_afterwards(programme: Programme) -> None:
    programme.members(EDINBURGH, ABERDEENSHIRE, EAST_DUNBARTONSHIRE)
    created = programme.call("create_proposal", proposer(), round_id=programme.open_round(), content=content())
    proposal_id = created["proposal_id"]
    assert created == programme.seen(proposal_id, proposer())

    def write(method: str, principal: Principal, **request: Any) -> None:
        answer = programme.call(method, principal, proposal_id=proposal_id, **request)
        if method == "submit_proposal":
            assert answer.pop("similar") == []
        assert answer == programme.seen(proposal_id, principal), method

    write("update_proposal", proposer(), content=content(title="Payments, once"), expected_revision=1)
    write("submit_proposal", proposer())
    write("confirm_participation", sponsor(ABERDEENSHIRE), revision=1)
    write("decline_participation", sponsor(EAST_DUNBARTONSHIRE), revision=1, reason="Not this year.")
    write("request_changes", chair(), reason="Go on without them.")
    smaller = content(participants=[ABERDEENSHIRE], requested_pence=24_000_000, match_funding_pence=6_000_000)
    smaller["milestones"][0]["tranche_pence"] -= 1_000_000
    write("update_proposal", proposer(), content=smaller, expected_revision=2)
    write("submit_proposal", proposer())
    write("confirm_participation", sponsor(ABERDEENSHIRE), revision=2)
    for name in ("ailsa", "brodie"):
        given = programme.assess(proposal_id, assessor(name), revision=2)
        assert given in programme.call("list_assessments", assessor(name), proposal_id=proposal_id)["items"]
    write("determine", chair(), revision=2, outcome="approved", minute="Agreed.")
    withdrawn = programme.draft()
    answer = programme.call("withdraw_proposal", proposer(), proposal_id=withdrawn, reason="Built elsewhere.")
    assert answer == programme.seen(withdrawn, proposer())
