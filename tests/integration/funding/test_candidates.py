"""Candidates: approved proposals that wait for an award, as their events tell of them."""

from typing import Any

import pytest

from services.funding.models import Candidate
from shared import ids
from shared.errors import Forbidden
from shared.security.principal import APPROVER, Principal
from tests.support.funding import (
    ABERDEENSHIRE,
    APPROVER_BEN,
    EDINBURGH,
    FIFE,
    NOW,
    TREASURER_ANN,
    Funding,
    content,
    officer,
    proposal_approved,
    proposal_withdrawn,
    proposer,
)


def candidates(funding: Funding, pool_id: str, who: object = TREASURER_ANN) -> list[str]:
    page = funding.call(who, "list_candidates", pool_id=pool_id)  # type: ignore[arg-type]
    return [candidate["proposal_id"] for candidate in page["items"]]


def test_an_approved_proposal_is_a_candidate(funding: Funding) -> None:
    pool_id, proposal_id = funding.pool(), ids.new_id()
    funding.receive(proposal_approved(proposal_id))
    page = funding.call(TREASURER_ANN, "list_candidates", pool_id=pool_id)
    assert page == {
        "items": [
            {
                "proposal_id": str(proposal_id),
                "reference": f"P-2026-{proposal_id.hex[-4:]}",
                "title": "One online payments service",
                "lead_council": EDINBURGH,
                "participants": [ABERDEENSHIRE],
                "requested_pence": 25_000_00,
                "score": "81.25",
                "revision": 2,
                "approved_at": "2026-06-01T09:00:00+00:00",
            }
        ],
        "next_cursor": None,
    }


def test_its_content_is_kept_as_canonical_json(funding: Funding) -> None:
    proposal_id = ids.new_id()
    funding.receive(proposal_approved(proposal_id))
    kept = funding.database.run(lambda session: session.get_one(Candidate, proposal_id).content)
    assert kept == content()


def test_the_first_approval_stays_whatever_repeats_it(funding: Funding) -> None:
    pool_id, proposal_id = funding.pool(), ids.new_id()
    approved = proposal_approved(proposal_id)
    for event in (approved, approved, proposal_approved(proposal_id, tranches=(("alpha", 1_00),))):
        funding.receive(event)
    [candidate] = funding.call(TREASURER_ANN, "list_candidates", pool_id=pool_id)["items"]
    assert candidate["requested_pence"] == 25_000_00


def test_a_withdrawn_proposal_is_none_in_whichever_order_the_events_come(funding: Funding) -> None:
    pool_id, early, late = funding.pool(), ids.new_id(), ids.new_id()
    for event in (
        proposal_approved(late),
        proposal_withdrawn(late),
        proposal_withdrawn(early),
        proposal_approved(early),
    ):
        funding.receive(event)
    assert candidates(funding, pool_id) == []


def test_a_live_award_takes_the_candidate_away_and_a_declined_one_brings_it_back(funding: Funding) -> None:
    pool_id = funding.funded_pool()
    proposal_id = funding.candidate()
    award = funding.offer(pool_id, proposal_id)
    assert candidates(funding, pool_id) == []
    funding.call(APPROVER_BEN, "approve_award", award_id=award["award_id"])
    funding.call(officer(EDINBURGH), "decline_award", award_id=award["award_id"], reason="No staff.")
    assert candidates(funding, pool_id) == [proposal_id]


def test_a_council_sees_those_in_which_it_takes_part(funding: Funding) -> None:
    pool_id = funding.pool()
    ours = funding.candidate(lead=EDINBURGH, participants=(FIFE,))
    funding.candidate(lead=EDINBURGH, participants=())
    assert candidates(funding, pool_id, proposer(FIFE)) == [ours]
    assert len(candidates(funding, pool_id, proposer(EDINBURGH))) == 2


def test_they_come_in_pages(funding: Funding) -> None:
    pool_id = funding.pool()
    all_of_them = [funding.candidate() for _ in range(5)]
    seen: list[str] = []
    cursor = None
    for length in (2, 2, 1):
        page = funding.call(TREASURER_ANN, "list_candidates", pool_id=pool_id, limit=2, cursor=cursor)
        assert len(page["items"]) == length
        seen += [candidate["proposal_id"] for candidate in page["items"]]
        cursor = page["next_cursor"]
    assert cursor is None
    assert seen == all_of_them


def test_whoever_had_a_part_in_it_does_not_approve_its_award(funding: Funding) -> None:
    """The approver handed it in, confirmed a part, decided or sat on the panel: in another role, the same person."""
    ben = APPROVER_BEN.subject
    word = {"council": FIFE, "revision": 2, "confirmed_at": NOW.isoformat(), "confirmed_by": ben}
    parts: dict[str, dict[str, Any]] = {
        "handed this proposal in": {"submitted_by": ben, "decided_by": "chair@panel.example"},
        "confirmed your council's part": {"submitted_by": "lead@fife.example", "confirmations": [word]},
        "decided on this proposal": {"decided_by": ben, "panel": [{"person": ben, "council": FIFE}]},
        "sat on the panel": {"decided_by": "chair@panel.example", "panel": [{"person": ben}]},
    }
    pool_id = funding.funded_pool()
    for said, people in parts.items():
        proposal_id = ids.new_id()
        funding.receive(proposal_approved(proposal_id, people))
        award = funding.offer(pool_id, str(proposal_id))
        with pytest.raises(Forbidden, match=said) as refusal:
            funding.call(APPROVER_BEN, "approve_award", award_id=award["award_id"])
        assert refusal.value.code == "two_people"
    other = Principal("other@pool.example", frozenset({APPROVER}))
    assert funding.call(other, "approve_award", award_id=award["award_id"])["approved_by"] == other.subject
