"""Awards: offered, approved, accepted or declined, with the money and the events that go with each step."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from services.funding.models import Candidate
from shared import clock, ids
from shared.errors import Conflict, Forbidden, Invalid, NotFound
from shared.security.principal import APPROVER, TREASURER, Principal
from tests.support.funding import (
    ABERDEENSHIRE,
    APPROVER_BEN,
    CDO_CLEO,
    EDINBURGH,
    FIFE,
    TREASURER_ANN,
    Funding,
    content,
    officer,
    proposal_withdrawn,
    proposer,
)

RECEIVED_PENCE = 100_000_00
AMOUNT_PENCE = 25_000_00
REST_PENCE = RECEIVED_PENCE - AMOUNT_PENCE


@pytest.fixture
def pool_id(funding: Funding) -> str:
    """A pool that has received 100,000 pounds."""
    return funding.funded_pool(RECEIVED_PENCE)


# --- offering -------------------------------------------------------------------------------------------------------


def test_an_offer_holds_the_money_and_waits_for_a_second_person(funding: Funding, pool_id: str) -> None:
    proposal_id = funding.candidate()
    award = funding.offer(pool_id, proposal_id)
    assert award == {
        "award_id": award["award_id"],
        "reference": "A-2026-0001",
        "pool_id": pool_id,
        "proposal_id": proposal_id,
        "proposal_reference": award["proposal_reference"],
        "title": "One online payments service",
        "lead_council": EDINBURGH,
        "participants": [ABERDEENSHIRE],
        "state": "offered",
        "amount_pence": AMOUNT_PENCE,
        "committed_pence": 0,
        "paid_pence": 0,
        "returned_pence": 0,
        "clawed_back_pence": 0,
        "released_pence": 0,
        "expires_on": "2026-06-30",
        "offered_by": TREASURER_ANN.subject,
        "offered_at": "2026-06-01T09:00:00+00:00",
        **dict.fromkeys(["approved_by", "approved_at", "accepted_by", "accepted_at"]),
        **dict.fromkeys(["declined_by", "declined_at", "decline_reason", "lapsed_at", "project_id"]),
        **dict.fromkeys(["completed_at", "terminated_at", "termination_reason"]),
        "tranches": [],
        "instructions": [],
        "version": 0,
    }
    assert funding.call(TREASURER_ANN, "get_award", award_id=award["award_id"]) == award
    assert funding.position(pool_id) == {
        "available": REST_PENCE,
        "reserved": AMOUNT_PENCE,
        "received": RECEIVED_PENCE,
    }
    assert funding.recorded("award_offered") == []


def test_references_count_through_the_year(funding: Funding, pool_id: str, at: clock.FixedClock) -> None:
    references = [funding.offer(pool_id, funding.candidate())["reference"] for _ in range(2)]
    at.advance(timedelta(days=365))
    references.append(funding.offer(pool_id, funding.candidate(), expires_on="2027-06-30")["reference"])
    assert references == ["A-2026-0001", "A-2026-0002", "A-2027-0001"]


def test_a_refused_offer_uses_no_reference(funding: Funding, pool_id: str) -> None:
    with pytest.raises(Conflict):
        funding.offer(
            pool_id, funding.candidate(tranches=(("all", RECEIVED_PENCE + 1),)), amount_pence=RECEIVED_PENCE + 1
        )
    assert funding.offer(pool_id, funding.candidate())["reference"] == "A-2026-0001"


def test_no_offer_is_larger_than_what_is_available(funding: Funding, pool_id: str) -> None:
    for _ in range(3):
        funding.offer(pool_id, funding.candidate())
    funding.offer(pool_id, funding.candidate(tranches=(("all", 24_000_00),)), amount_pence=24_000_00)
    with pytest.raises(Conflict) as refusal:
        funding.offer(pool_id, funding.candidate())
    assert refusal.value.code == "insufficient_funds"
    assert "£1,000 available" in refusal.value.message
    assert funding.position(pool_id)["available"] == 1_000_00
    assert funding.ledger_is_sound(pool_id)


def test_a_proposal_has_one_live_award(funding: Funding, pool_id: str) -> None:
    proposal_id = funding.candidate()
    award = funding.offer(pool_id, proposal_id)
    with pytest.raises(Conflict) as refusal:
        funding.offer(pool_id, proposal_id)
    assert refusal.value.code == "award_exists"
    assert award["reference"] in refusal.value.message


def test_only_an_approved_proposal_gets_an_offer(funding: Funding, pool_id: str) -> None:
    withdrawn_early, withdrawn_late = ids.new_id(), funding.candidate()
    funding.receive(proposal_withdrawn(withdrawn_early))
    funding.receive(proposal_withdrawn(UUID(withdrawn_late)))
    for proposal_id in (ids.new_id(), withdrawn_early):
        with pytest.raises(NotFound):
            funding.offer(pool_id, str(proposal_id))
    with pytest.raises(Conflict) as refusal:
        funding.offer(pool_id, withdrawn_late)
    assert refusal.value.code == "proposal_withdrawn"


def test_an_offer_is_the_requested_sum_to_a_member(funding: Funding, pool_id: str) -> None:
    with pytest.raises(Invalid) as sum_refused:
        funding.offer(pool_id, funding.candidate(), amount_pence=AMOUNT_PENCE - 1)
    assert list(sum_refused.value.fields) == ["amount_pence"]
    with pytest.raises(Conflict) as stranger:
        funding.offer(pool_id, funding.candidate(lead="S12000033"))
    assert stranger.value.code == "not_a_member"


# --- approving ------------------------------------------------------------------------------------------------------


def test_approval_makes_the_offer_real(funding: Funding, pool_id: str) -> None:
    award = funding.approved_offer(pool_id)
    assert (award["approved_by"], award["state"], award["version"]) == (APPROVER_BEN.subject, "offered", 1)
    [offered] = funding.recorded("award_offered")
    assert (offered.subject, offered.sequence) == (award["award_id"], 1)
    assert offered.data == {
        "award_id": award["award_id"],
        "pool_id": pool_id,
        "proposal_id": award["proposal_id"],
        "proposal_reference": award["proposal_reference"],
        "lead_council": EDINBURGH,
        "amount_pence": AMOUNT_PENCE,
        "expires_on": "2026-06-30",
    }


def test_whoever_offers_never_approves(funding: Funding, pool_id: str) -> None:
    both = Principal("ann@pool.example", frozenset({TREASURER, APPROVER}))
    award = funding.offer(pool_id, funding.candidate())
    with pytest.raises(Forbidden) as refusal:
        funding.call(both, "approve_award", award_id=award["award_id"])
    assert refusal.value.code == "two_people"
    assert funding.recorded("award_offered") == []


# --- accepting ------------------------------------------------------------------------------------------------------


def test_acceptance_funds_the_project(funding: Funding, pool_id: str) -> None:
    award = funding.active_award(pool_id)
    assert (award["state"], award["accepted_by"], award["version"]) == ("active", officer(EDINBURGH).subject, 2)
    assert UUID(award["project_id"]).version == 7
    assert [
        (tranche["tranche"], tranche["state"], tranche["amount_pence"], tranche["due_on"])
        for tranche in award["tranches"]
    ] == [("alpha", "locked", 10_000_00, "2027-01-28"), ("live", "locked", 15_000_00, "2027-03-28")]
    assert funding.call(TREASURER_ANN, "get_award", award_id=award["award_id"]) == award
    assert funding.position(pool_id) == {
        "available": REST_PENCE,
        "committed": AMOUNT_PENCE,
        "received": RECEIVED_PENCE,
    }
    assert funding.ledger_is_sound(pool_id)


def test_a_funded_project_carries_all_that_tracking_needs(funding: Funding, pool_id: str) -> None:
    award = funding.active_award(pool_id)
    [funded] = funding.recorded("project_funded")
    assert (funded.subject, funded.sequence) == (award["award_id"], 2)
    assert funded.data == {
        "award_id": award["award_id"],
        "pool_id": pool_id,
        "proposal_id": award["proposal_id"],
        "proposal_reference": award["proposal_reference"],
        "lead_council": EDINBURGH,
        "project_id": award["project_id"],
        "amount_pence": AMOUNT_PENCE,
        "revision": 2,
        "content_hash": "ab" * 32,
        "content": content(),
        "funded_at": "2026-06-01T09:00:00+00:00",
    }


def test_the_event_carries_the_content_that_was_kept(funding: Funding, pool_id: str) -> None:
    award = funding.active_award(pool_id)
    [funded] = funding.recorded("project_funded")
    proposal_id = UUID(award["proposal_id"])
    assert funded.data["content"] == funding.database.run(lambda it: it.get_one(Candidate, proposal_id).content)


def test_acceptance_waits_for_the_approval(funding: Funding, pool_id: str) -> None:
    award = funding.offer(pool_id, funding.candidate())
    with pytest.raises(Conflict) as refusal:
        funding.call(officer(EDINBURGH), "accept_award", award_id=award["award_id"])
    assert refusal.value.code == "offer_not_approved"


def test_acceptance_ends_with_the_offers_last_day(funding: Funding, pool_id: str, at: clock.FixedClock) -> None:
    in_time, too_late = funding.approved_offer(pool_id), funding.approved_offer(pool_id)
    at.advance(timedelta(days=29))
    funding.call(officer(EDINBURGH), "accept_award", award_id=in_time["award_id"])
    at.advance(timedelta(days=1))
    with pytest.raises(Conflict) as refusal:
        funding.call(officer(EDINBURGH), "accept_award", award_id=too_late["award_id"])
    assert refusal.value.code == "offer_expired"
    assert funding.position(pool_id)["reserved"] == AMOUNT_PENCE


def test_only_the_lead_accepts(funding: Funding, pool_id: str) -> None:
    award = funding.approved_offer(pool_id)
    with pytest.raises(Forbidden) as participant:
        funding.call(officer(ABERDEENSHIRE), "accept_award", award_id=award["award_id"])
    assert participant.value.code == "not_the_lead"
    with pytest.raises(NotFound):
        funding.call(officer(FIFE), "accept_award", award_id=award["award_id"])
    with pytest.raises(Forbidden):
        funding.call(proposer(EDINBURGH), "accept_award", award_id=award["award_id"])


def test_an_award_is_accepted_once(funding: Funding, pool_id: str) -> None:
    award = funding.active_award(pool_id)
    with pytest.raises(Conflict) as refusal:
        funding.call(officer(EDINBURGH), "accept_award", award_id=award["award_id"])
    assert refusal.value.code == "award_not_offered"
    assert len(funding.recorded("project_funded")) == 1


def test_the_same_key_gives_the_same_project(funding: Funding, pool_id: str) -> None:
    award = funding.approved_offer(pool_id)
    request = {"award_id": award["award_id"], "idempotency_key": "accept-once-1"}
    first = funding.call(officer(EDINBURGH), "accept_award", **request)
    assert funding.call(officer(EDINBURGH), "accept_award", **request) == first
    assert len(funding.recorded("project_funded")) == 1


# --- declining ------------------------------------------------------------------------------------------------------


def test_declining_frees_the_money(funding: Funding, pool_id: str) -> None:
    award = funding.approved_offer(pool_id)
    declined = funding.call(officer(EDINBURGH), "decline_award", award_id=award["award_id"], reason="No staff.")
    assert (declined["state"], declined["decline_reason"]) == ("declined", "No staff.")
    assert funding.position(pool_id) == {"available": RECEIVED_PENCE, "received": RECEIVED_PENCE}
    [event] = funding.recorded("award_declined")
    assert (event.subject, event.sequence) == (award["award_id"], 2)
    assert event.data == {
        "award_id": award["award_id"],
        "pool_id": pool_id,
        "proposal_id": award["proposal_id"],
        "proposal_reference": award["proposal_reference"],
        "lead_council": EDINBURGH,
        "reason": "No staff.",
        "declined_at": "2026-06-01T09:00:00+00:00",
    }


def test_a_declined_proposal_can_be_offered_to_again(funding: Funding, pool_id: str) -> None:
    award = funding.approved_offer(pool_id)
    funding.call(officer(EDINBURGH), "decline_award", award_id=award["award_id"], reason="Not this year.")
    again = funding.offer(pool_id, award["proposal_id"])
    funding.call(APPROVER_BEN, "approve_award", award_id=again["award_id"])
    assert funding.call(officer(EDINBURGH), "accept_award", award_id=again["award_id"])["state"] == "active"
    assert funding.ledger_is_sound(pool_id)


# --- lapsing --------------------------------------------------------------------------------------------------------


def test_an_offer_that_nobody_takes_lapses_after_its_last_day(
    funding: Funding, pool_id: str, at: clock.FixedClock
) -> None:
    award = funding.approved_offer(pool_id)
    at.at = datetime(2026, 6, 30, 23, 59, 59, tzinfo=UTC)
    funding.tick()
    assert funding.call(TREASURER_ANN, "get_award", award_id=award["award_id"])["state"] == "offered"
    at.at = datetime(2026, 7, 1, tzinfo=UTC)
    for _ in range(2):
        funding.tick()
    lapsed = funding.call(TREASURER_ANN, "get_award", award_id=award["award_id"])
    assert (lapsed["state"], lapsed["lapsed_at"]) == ("lapsed", "2026-07-01T00:00:00+00:00")
    assert funding.position(pool_id) == {"available": RECEIVED_PENCE, "received": RECEIVED_PENCE}
    [event] = funding.recorded("award_lapsed")
    assert (event.subject, event.sequence) == (award["award_id"], 2)
    assert event.data == {
        "award_id": award["award_id"],
        "pool_id": pool_id,
        "proposal_id": award["proposal_id"],
        "proposal_reference": award["proposal_reference"],
        "lead_council": EDINBURGH,
        "expires_on": "2026-06-30",
        "lapsed_at": "2026-07-01T00:00:00+00:00",
    }
    page = funding.call(TREASURER_ANN, "list_transactions", pool_id=pool_id)["items"]
    assert [(entry["kind"], entry["author"]) for entry in page[-1:]] == [("release", "the clock")]
    assert funding.ledger_is_sound(pool_id)
    for method, who in (("accept_award", officer(EDINBURGH)), ("approve_award", APPROVER_BEN)):
        with pytest.raises(Conflict) as refusal:
            funding.call(who, method, award_id=award["award_id"])
        assert refusal.value.code == "award_not_offered"


def test_an_offer_that_nobody_approved_lapses_without_the_council_hearing_of_it(
    funding: Funding, pool_id: str, at: clock.FixedClock
) -> None:
    award = funding.offer(pool_id, funding.candidate())
    at.at = datetime(2026, 7, 1, tzinfo=UTC)
    funding.tick()
    assert funding.call(TREASURER_ANN, "get_award", award_id=award["award_id"])["state"] == "lapsed"
    assert funding.position(pool_id) == {"available": RECEIVED_PENCE, "received": RECEIVED_PENCE}
    assert funding.recorded("award_offered", "award_lapsed") == []


def test_what_lapsed_can_be_offered_again(funding: Funding, pool_id: str, at: clock.FixedClock) -> None:
    award = funding.approved_offer(pool_id)
    at.at = datetime(2026, 7, 1, tzinfo=UTC)
    funding.tick()
    listed = funding.call(TREASURER_ANN, "list_candidates", pool_id=pool_id)["items"]
    assert [candidate["proposal_id"] for candidate in listed] == [award["proposal_id"]]
    again = funding.offer(pool_id, award["proposal_id"], expires_on="2026-07-31")
    funding.call(APPROVER_BEN, "approve_award", award_id=again["award_id"])
    assert funding.call(officer(EDINBURGH), "accept_award", award_id=again["award_id"])["state"] == "active"
    assert funding.ledger_is_sound(pool_id)


def test_what_is_taken_or_declined_in_time_does_not_lapse(funding: Funding, pool_id: str, at: clock.FixedClock) -> None:
    taken, declined = funding.active_award(pool_id), funding.approved_offer(pool_id)
    funding.call(officer(EDINBURGH), "decline_award", award_id=declined["award_id"], reason="No staff.")
    at.at = datetime(2027, 7, 1, tzinfo=UTC)
    funding.tick()
    states = [funding.call(TREASURER_ANN, "get_award", award_id=award["award_id"]) for award in (taken, declined)]
    assert [award["state"] for award in states] == ["active", "declined"]
    assert funding.recorded("award_lapsed") == []


# --- who sees what --------------------------------------------------------------------------------------------------


def awards(funding: Funding, who: Principal, **filters: Any) -> list[str]:
    return [award["award_id"] for award in funding.call(who, "list_awards", **filters)["items"]]


def test_a_council_sees_the_awards_of_proposals_in_which_it_takes_part(funding: Funding, pool_id: str) -> None:
    award = funding.approved_offer(pool_id, lead=EDINBURGH, participants=(ABERDEENSHIRE,))
    for who in (TREASURER_ANN, CDO_CLEO, officer(EDINBURGH), proposer(ABERDEENSHIRE)):
        assert funding.call(who, "get_award", award_id=award["award_id"])["award_id"] == award["award_id"]
        assert awards(funding, who) == [award["award_id"]]
    assert awards(funding, officer(FIFE)) == []
    with pytest.raises(NotFound) as refusal:
        funding.call(officer(FIFE), "get_award", award_id=award["award_id"])
    with pytest.raises(NotFound) as absence:
        funding.call(officer(FIFE), "get_award", award_id=str(ids.new_id()))
    assert refusal.value.as_dict() == absence.value.as_dict()


def test_awards_are_listed_by_pool_council_and_state(funding: Funding, pool_id: str) -> None:
    ours = funding.offer(pool_id, funding.candidate(participants=(FIFE,)))["award_id"]
    active = funding.active_award(pool_id)["award_id"]
    elsewhere = funding.offer(funding.funded_pool(), funding.candidate())["award_id"]
    assert awards(funding, TREASURER_ANN) == [ours, active, elsewhere]
    assert awards(funding, TREASURER_ANN, pool_id=pool_id) == [ours, active]
    assert awards(funding, TREASURER_ANN, council=FIFE) == [ours]
    assert awards(funding, TREASURER_ANN, state="active") == [active]
    assert awards(funding, TREASURER_ANN, state="offered", pool_id=pool_id) == [ours]
    assert awards(funding, proposer(FIFE), council=EDINBURGH) == [ours]


def test_awards_come_in_pages(funding: Funding, pool_id: str) -> None:
    both = [funding.offer(pool_id, funding.candidate())["award_id"] for _ in range(2)]
    first = funding.call(TREASURER_ANN, "list_awards", limit=1)
    second = funding.call(TREASURER_ANN, "list_awards", limit=1, cursor=first["next_cursor"])
    assert [first["items"][0]["award_id"], second["items"][0]["award_id"]] == both
    assert second["next_cursor"] is None
