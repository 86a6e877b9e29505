"""A draft that lacks almost everything goes through whatever a draft can: lists, texts, comparison, sign-off."""

import pytest

from shared.errors import Conflict
from tests.support.proposals import ABERDEENSHIRE, EDINBURGH, Programme, cdo, chair, proposer

LEAST = {"title": "Payments", "lead_council": EDINBURGH}


def test_a_draft_that_was_emptied_shows_what_it_lacks(programme: Programme) -> None:
    proposal_id = programme.under_assessment()
    programme.call("request_changes", chair(), proposal_id=proposal_id, reason="Start again.")
    emptied = {**LEAST, "benefits": [{"title": "Fewer calls"}], "costs": [{"year": "2026-27"}]}
    programme.call("update_proposal", proposer(), proposal_id=proposal_id, content=emptied, expected_revision=1)
    compared = programme.call("compare_revisions", proposer(), proposal_id=proposal_id, from_revision=1)
    sentences = [change["sentence"] for change in compared["items"]]
    assert "Participant removed: Aberdeenshire." in sentences
    assert "Amount requested removed, £250,000." in sentences
    assert "Benefit added: “Fewer calls”." in sentences
    with pytest.raises(Conflict) as refusal:
        programme.call("submit_proposal", proposer(), proposal_id=proposal_id)
    assert "content.user_need" in refusal.value.fields
    assert programme.seen(proposal_id)["revision"] == 1


def test_a_draft_of_two_lines_is_found_and_listed(programme: Programme) -> None:
    request = {"round_id": programme.open_round(), "content": LEAST}
    proposal_id = programme.call("create_proposal", proposer(), **request)["proposal_id"]
    [item] = programme.call("list_proposals", proposer(), text="payment")["items"]
    assert (item["proposal_id"], item["requested_pence"], item["participants"]) == (proposal_id, None, [])
    assert programme.call("find_similar", proposer(), proposal_id=proposal_id)["similar"] == []
    assert programme.call("count_proposals", cdo(), round_id=request["round_id"])["total"] == 1
    assert programme.call("list_proposals", cdo(), council=ABERDEENSHIRE)["items"] == []
