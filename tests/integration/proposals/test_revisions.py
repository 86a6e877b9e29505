"""New revisions: what differs, whose confirmation holds, and who is asked again and why."""

from datetime import timedelta
from typing import Any

import pytest

from shared import clock
from shared.errors import Conflict, Forbidden, Invalid, NotFound
from shared.security.principal import ASSESSOR, Principal
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
    costs_by_council,
    person,
    proposer,
    s95_officer,
    scores,
    sponsor,
)

DEARER = "Its cost changed: licences in 2027-28 from £120,000 to £150,000."


def _said(proposal: Any, council: str) -> tuple[str, int | None, list[str]]:
    [found] = [each for each in proposal["confirmations"] if each["council"] == council]
    return found["state"], found["carried_from"], found["asked_because"]


def _answer(programme: Programme, proposal_id: str, who: Principal, revision: int, *, no: bool = False) -> Any:
    method, reason = ("decline_participation", {"reason": "No."}) if no else ("confirm_participation", {})
    return programme.call(method, who, proposal_id=proposal_id, revision=revision, **reason)


def test_a_new_revision_asks_only_the_council_whose_part_changed(programme: Programme, today: clock.FixedClock) -> None:
    proposal_id = programme.submitted(costs=costs_by_council())
    today.advance(timedelta(hours=1))
    for council in (ABERDEENSHIRE, EAST_DUNBARTONSHIRE):
        first = _answer(programme, proposal_id, sponsor(council), 1)
    today.advance(timedelta(days=1))
    again = programme.revised(proposal_id, costs=costs_by_council(15_000_000), title="Payments, costed anew")
    assert again["state"] == "submitted"
    assert _said(again, ABERDEENSHIRE) == ("confirmed", 1, [])
    assert _said(again, EAST_DUNBARTONSHIRE) == ("awaited", None, [DEARER])
    assert again["confirmations"][1] == {**first["confirmations"][1], "carried_from": 1}, "by whom and when, stays"
    frozen = programme.call("get_revision", sponsor(), proposal_id=proposal_id, revision=2)
    assert frozen["confirmations"] == again["confirmations"] == programme.seen(proposal_id)["confirmations"]
    _, event = programme.told("proposal_submitted")
    assert event.data["asked"] == [{"council": EAST_DUNBARTONSHIRE, "because": [DEARER]}]
    confirmed_at = "2026-10-05T10:30:00+00:00"
    assert event.data["carried"] == [{"council": ABERDEENSHIRE, "carried_from": 1, "confirmed_at": confirmed_at}]
    confirmed = _answer(programme, proposal_id, sponsor(EAST_DUNBARTONSHIRE), 2)
    assert confirmed["state"] == "under_assessment"
    assert _said(confirmed, EAST_DUNBARTONSHIRE) == ("confirmed", None, [DEARER])


def test_a_confirmation_is_carried_over_any_number_of_revisions(programme: Programme) -> None:
    proposal_id = programme.under_assessment()
    for number in (2, 3, 4):
        again = programme.revised(proposal_id, title=f"Payments, version {number}")
        assert (again["revision"], again["state"]) == (number, "under_assessment")
        assert _said(again, ABERDEENSHIRE) == _said(again, EAST_DUNBARTONSHIRE) == ("confirmed", 1, [])
    assert len(programme.told("participation_confirmed")) == 2


def test_a_carried_confirmation_binds_nobody(programme: Programme) -> None:
    proposal_id = programme.under_assessment(costs=costs_by_council())
    programme.revised(proposal_id, costs=costs_by_council(15_000_000))
    declined = _answer(programme, proposal_id, sponsor(ABERDEENSHIRE), 2, no=True)
    assert _said(declined, ABERDEENSHIRE) == ("declined", None, [])
    assert _answer(programme, proposal_id, sponsor(EAST_DUNBARTONSHIRE), 2)["state"] == "submitted"
    with pytest.raises(Conflict, match="Aberdeenshire has already declined revision 2"):
        _answer(programme, proposal_id, sponsor(ABERDEENSHIRE), 2)
    third = programme.revised(proposal_id, title="Payments, once more")
    assert _said(third, ABERDEENSHIRE) == ("awaited", None, ["It declined revision 2."])
    assert _said(third, EAST_DUNBARTONSHIRE) == ("confirmed", 2, [])


def test_a_carried_confirmation_can_be_given_in_person(programme: Programme) -> None:
    proposal_id = programme.under_assessment(costs=costs_by_council())
    programme.revised(proposal_id, costs=costs_by_council(15_000_000))
    successor = person("sponsor", ABERDEENSHIRE, "successor")
    confirmed = _answer(programme, proposal_id, successor, 2)
    assert (confirmed["state"], _said(confirmed, ABERDEENSHIRE)) == ("submitted", ("confirmed", None, []))
    assert confirmed["confirmations"][1]["by"] == successor.subject
    event = programme.told("participation_confirmed")[-1]
    assert (event.data["revision"], event.data["council"]) == (2, ABERDEENSHIRE)
    with pytest.raises(Conflict, match="already confirmed revision 2"):
        _answer(programme, proposal_id, successor, 2)


def test_a_change_that_is_taken_back_asks_nobody_who_confirmed_what_was_before(programme: Programme) -> None:
    proposal_id = programme.under_assessment(costs=costs_by_council())
    programme.revised(proposal_id, costs=costs_by_council(15_000_000))
    third = programme.revised(proposal_id, costs=costs_by_council())
    assert third["state"] == "under_assessment"
    assert _said(third, EAST_DUNBARTONSHIRE) == ("confirmed", 1, [])


def test_a_council_that_comes_back_is_asked(programme: Programme) -> None:
    proposal_id = programme.under_assessment()
    without = programme.revised(proposal_id, participants=[EAST_DUNBARTONSHIRE])
    assert without["state"] == "under_assessment"
    back = programme.revised(proposal_id, participants=[EAST_DUNBARTONSHIRE, ABERDEENSHIRE])
    assert _said(back, ABERDEENSHIRE) == ("awaited", None, ["It did not take part in revision 2."])
    assert _said(back, EAST_DUNBARTONSHIRE) == ("confirmed", 1, [])
    assert _answer(programme, proposal_id, sponsor(ABERDEENSHIRE), 3)["state"] == "under_assessment"


def test_whoever_confirmed_any_revision_neither_assesses_nor_decides(programme: Programme) -> None:
    """Whichever tokens they hold; also who was left out, or whose confirmation somebody else has given anew."""
    proposal_id = programme.under_assessment(costs=costs_by_council())
    programme.members(GLASGOW)
    programme.revised(proposal_id, costs=costs_by_council(15_000_000))
    _answer(programme, proposal_id, person("sponsor", ABERDEENSHIRE, "successor"), 2)
    third = programme.revised(proposal_id, participants=[ABERDEENSHIRE], costs=content()["costs"])
    assert third["state"] == "submitted"
    _answer(programme, proposal_id, person("sponsor", ABERDEENSHIRE, "successor"), 3)
    for subject in (sponsor(council).subject for council in (ABERDEENSHIRE, EAST_DUNBARTONSHIRE)):
        turned = Principal(subject, frozenset({ASSESSOR}))
        with pytest.raises(Forbidden, match="confirmed P-2026-0001 for a council"):
            programme.call("submit_assessment", turned, proposal_id=proposal_id, revision=3, scores=scores(9, 9, 9))
    assert programme.assess(proposal_id, assessor(), revision=3)["counts"]


def test_a_draft_that_a_colleague_has_changed_is_not_handed_in(programme: Programme) -> None:
    proposal_id = programme.draft()
    programme.members(EDINBURGH, *content()["participants"])
    request = {"proposal_id": proposal_id, "expected_revision": 1}
    programme.call("update_proposal", proposer(), **request, content=content(title="A colleague's"))
    with pytest.raises(Conflict, match="is at version 2 now") as error:
        programme.call("submit_proposal", proposer(), **request)
    assert (error.value.code, list(error.value.fields)) == ("stale_draft", ["expected_revision"])
    assert programme.seen(proposal_id)["state"] == "draft"
    request["expected_revision"] = 2
    assert programme.call("submit_proposal", proposer(), **request)["title"] == "A colleague's"


# --- comparison ---


def _compare(programme: Programme, proposal_id: str, who: Principal | None = None, **request: Any) -> Any:
    return programme.call("compare_revisions", who or proposer(), proposal_id=proposal_id, **request)


def test_any_two_revisions_are_compared_in_either_order(programme: Programme) -> None:
    proposal_id = programme.under_assessment(costs=costs_by_council())
    programme.revised(proposal_id, costs=costs_by_council(15_000_000), title="Payments, costed anew")
    programme.revised(proposal_id, participants=list(reversed(content()["participants"])))
    hashes = [
        programme.call("get_revision", cdo(), proposal_id=proposal_id, revision=number)["content_hash"]
        for number in (1, 2, 3)
    ]
    there = _compare(programme, proposal_id, sponsor(), from_revision=1, to_revision=3)
    assert there == {
        "proposal_id": proposal_id,
        "reference": "P-2026-0001",
        "from_revision": 1,
        "from_hash": hashes[0],
        "to_revision": 3,
        "to_hash": hashes[2],
        "draft_version": None,
        "changes": 3,
        "items": [
            {
                "path": "title",
                "kind": "changed",
                "before": content()["title"],
                "after": "Payments, costed anew",
                "sentence": f"Title changed from “{content()['title']}” to “Payments, costed anew”.",
                "councils": [],
            },
            {
                "path": f"costs.2026-27.staff.{EDINBURGH}.amount_pence",
                "kind": "changed",
                "before": 8_000_000,
                "after": 5_000_000,
                "sentence": "Cost of City of Edinburgh changed: staff in 2026-27 from £80,000 to £50,000.",
                "councils": [EDINBURGH],
            },
            {
                "path": f"costs.2027-28.licences.{EAST_DUNBARTONSHIRE}.amount_pence",
                "kind": "changed",
                "before": 12_000_000,
                "after": 15_000_000,
                "sentence": "Cost of East Dunbartonshire changed: licences in 2027-28 from £120,000 to £150,000.",
                "councils": [EAST_DUNBARTONSHIRE],
            },
        ],
        "next_cursor": None,
        "sign_off": None,
    }
    back = _compare(programme, proposal_id, chair(), from_revision=3, to_revision=1)
    assert [(each["path"], each["after"], each["before"]) for each in back["items"]] == [
        (each["path"], each["before"], each["after"]) for each in there["items"]
    ]
    # The order of a list is no change, though the hash is another.
    reordered = _compare(programme, proposal_id, from_revision=2, to_revision=3)
    assert (reordered["changes"], reordered["items"]) == (0, [])
    assert reordered["from_hash"] != reordered["to_hash"]


def test_a_comparison_comes_in_pages(programme: Programme) -> None:
    proposal_id = programme.under_assessment()
    second = content(title="Other", problem="Other", user_need="Other", objectives=["digital_capability"])
    second["milestones"][0]["key"] = "beta"
    second["benefits"][0] |= {"title": "Other", "deadweight_percent": "20"}
    programme.revised(proposal_id, **second)
    request = {"from_revision": 1, "to_revision": 2}
    whole = _compare(programme, proposal_id, **request)
    assert whole["changes"] == len(whole["items"]) == 10
    pages, cursor = [], None
    while not pages or cursor is not None:
        page = _compare(programme, proposal_id, **request, limit=3, cursor=cursor)
        assert page["changes"] == 10
        pages.append(page["items"])
        cursor = page["next_cursor"]
    assert [len(page) for page in pages] == [3, 3, 3, 1]
    assert [change for page in pages for change in page] == whole["items"]
    for cursor in ("", "nowhere.at.all", "x" * 100_000):
        with pytest.raises(Invalid) as error:
            _compare(programme, proposal_id, **request, cursor=cursor)
        assert error.value.code == "bad_cursor"


def test_the_lead_sees_whom_a_draft_would_ask_before_handing_it_in(programme: Programme) -> None:
    proposal_id = programme.under_assessment(costs=costs_by_council())
    version = programme.redrafted(proposal_id, costs=costs_by_council(15_000_000))
    for principal in (proposer(), s95_officer(), cdo()):
        compared = _compare(programme, proposal_id, principal, from_revision=1)
        assert (compared["to_revision"], compared["draft_version"], compared["changes"]) == (None, version, 2)
        assert compared["sign_off"] == [
            {"council": ABERDEENSHIRE, "carried_from": 1, "asked_because": []},
            {"council": EAST_DUNBARTONSHIRE, "carried_from": None, "asked_because": [DEARER]},
        ]
    submitted = programme.call("submit_proposal", proposer(), proposal_id=proposal_id, expected_revision=version)
    assert submitted["content_hash"] == compared["to_hash"]
    for said in compared["sign_off"]:
        assert _said(submitted, said["council"])[1:] == (said["carried_from"], said["asked_because"])


def test_a_draft_is_compared_by_those_alone_who_see_it(programme: Programme) -> None:
    draft, proposal_id = programme.draft(), programme.under_assessment()
    with pytest.raises(NotFound, match="it has not been handed in yet") as error:
        _compare(programme, draft, from_revision=1)
    assert error.value.code == "revision_not_found"

    def refused_to(*principals: Principal) -> None:
        for principal in principals:
            with pytest.raises(NotFound, match="no draft that is open to you; name one of its revisions, 1") as error:
                _compare(programme, proposal_id, principal, from_revision=1)
            assert (error.value.code, list(error.value.fields)) == ("draft_not_found", ["to_revision"])

    others = (sponsor(), proposer(ABERDEENSHIRE), chair(), assessor())
    refused_to(proposer(), cdo(), *others)  # nothing is being changed
    programme.redrafted(proposal_id, title="Secret")
    refused_to(*others)
    with pytest.raises(NotFound) as error:
        _compare(programme, proposal_id, proposer(GLASGOW), from_revision=1, to_revision=1)
    assert error.value.code == "proposal_not_found"
    for absent, there in (("from_revision", "to_revision"), ("to_revision", "from_revision")):
        with pytest.raises(NotFound, match="has no revision 2; its last is revision 1") as error:
            _compare(programme, proposal_id, **{absent: 2, there: 1})
        assert (error.value.code, list(error.value.fields)) == ("revision_not_found", [absent])
