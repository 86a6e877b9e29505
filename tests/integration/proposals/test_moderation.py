"""Assessments that are far apart: who learns of it, and the note without which the panel does not decide."""

from typing import Any

import pytest

from shared.errors import Conflict, Forbidden, Invalid, NotFound
from shared.ids import new_id
from shared.security.principal import Principal
from tests.support.proposals import EDINBURGH, Programme, assessor, cdo, chair, proposer

NOTE = "One assessor had read the draft before last.\nBoth agree that the need is there."


def _apart(programme: Programme) -> str:
    """Bring a proposal to a wide spread: 80 and 50."""
    proposal_id = programme.under_assessment()
    programme.assess(proposal_id, assessor("ailsa"), 8, 8, 8)
    programme.assess(proposal_id, assessor("brodie"), 6, 4, 4)
    return proposal_id


def _summary(programme: Programme, proposal_id: str, who: Principal | None = None, **more: Any) -> Any:
    return programme.call("get_assessment_summary", who or chair(), proposal_id=proposal_id, **more)


def _moderate(programme: Programme, proposal_id: str, who: Principal | None = None, **more: Any) -> Any:
    request = {"proposal_id": proposal_id, "revision": 1, "note": NOTE, **more}
    return programme.call("moderate", who or chair(), **request)


def _determine(programme: Programme, proposal_id: str) -> Any:
    return programme.call(
        "determine", chair(), proposal_id=proposal_id, revision=1, outcome="approved", minute="Agreed."
    )


def test_the_summary_tells_how_far_apart_the_assessments_are(programme: Programme) -> None:
    proposal_id = _apart(programme)
    summary = _summary(programme, proposal_id)
    ids = [total.pop("assessment_id") for total in summary["assessments"]]
    assert summary == {
        "proposal_id": proposal_id,
        "reference": "P-2026-0001",
        "revision": 1,
        "quorum": 2,
        "assessments": [
            {"assessor": assessor("ailsa").subject, "council": None, "total": "80.00", "counts": True},
            {"assessor": assessor("brodie").subject, "council": None, "total": "50.00", "counts": True},
        ],
        "score": "65.00",
        "spread": "30.00",
        "wide_spread": True,
        "criteria": [
            {"criterion": "user-need", "title": "Meets a user need", "weight": 50}
            | {"mean": "7.00", "lowest": 6, "highest": 8, "spread": 2, "wide": False},
            {"criterion": "savings", "title": "Saves money that can be counted", "weight": 30}
            | {"mean": "6.00", "lowest": 4, "highest": 8, "spread": 4, "wide": False},
            {"criterion": "reuse", "title": "Can be used by other councils", "weight": 20}
            | {"mean": "6.00", "lowest": 4, "highest": 8, "spread": 4, "wide": False},
        ],
        "moderated": False,
        "moderations": [],
    }
    note = _moderate(programme, proposal_id, assessments=ids)
    assert note == {
        "moderation_id": note["moderation_id"],
        "proposal_id": proposal_id,
        "revision": 1,
        "note": NOTE,
        "assessments": ids,
        "moderated_at": "2026-10-05T09:30:00+00:00",
        "moderated_by": chair().subject,
    }
    summary = _summary(programme, proposal_id, cdo())
    assert (summary["moderated"], summary["moderations"]) == (True, [note])


def test_below_the_quorum_there_is_neither_score_nor_spread(programme: Programme) -> None:
    proposal_id = programme.under_assessment()
    programme.assess(proposal_id, assessor("ailsa"), 8, 8, 8)
    summary = _summary(programme, proposal_id)
    assert [total["total"] for total in summary["assessments"]] == ["80.00"]
    assert (summary["score"], summary["spread"], summary["wide_spread"]) == (None, None, None)
    assert {criterion["mean"] for criterion in summary["criteria"]} == {None}
    with pytest.raises(Conflict, match="1 of the 2 assessments"):
        _moderate(programme, proposal_id)


def test_the_flag_is_seen_with_the_proposal(programme: Programme) -> None:
    proposal_id = _apart(programme)
    for who in (chair(), cdo(), assessor("ailsa")):
        seen = programme.seen(proposal_id, who)
        assert (seen["score"], seen["spread"], seen["wide_spread"]) == ("65.00", "30.00", True)


def test_a_wide_spread_waits_for_its_note(programme: Programme) -> None:
    proposal_id = _apart(programme)
    with pytest.raises(Conflict, match="Read get_assessment_summary") as error:
        _determine(programme, proposal_id)
    assert error.value.code == "moderation_needed"
    _moderate(programme, proposal_id)
    decided = _determine(programme, proposal_id)
    assert (decided["decision"]["wide_spread"], decided["decision"]["moderated"]) == (True, True)


def test_a_note_covers_the_assessments_that_it_was_made_on_and_no_others(programme: Programme) -> None:
    proposal_id = _apart(programme)
    _moderate(programme, proposal_id)
    programme.assess(proposal_id, assessor("catriona"), 7, 7, 7)
    with pytest.raises(Conflict) as error:
        _determine(programme, proposal_id)
    assert error.value.code == "moderation_needed"
    assert _summary(programme, proposal_id)["moderated"] is False
    _moderate(programme, proposal_id, note="The third lies between them.")
    programme.call("declare_conflict", assessor("brodie"), proposal_id=proposal_id, reason="I was offered the job.")
    # 80 and 70 are left: no longer wide, so no note is needed.
    decided = _determine(programme, proposal_id)
    assert (decided["decision"]["wide_spread"], decided["decision"]["moderated"]) == (False, False)


def test_an_assessment_set_aside_that_leaves_the_spread_wide_asks_for_a_new_note(programme: Programme) -> None:
    proposal_id = _apart(programme)
    programme.assess(proposal_id, assessor("catriona"), 7, 7, 7)
    _moderate(programme, proposal_id)
    programme.call("declare_conflict", assessor("catriona"), proposal_id=proposal_id, reason="I was offered the job.")
    with pytest.raises(Conflict) as error:
        _determine(programme, proposal_id)
    assert error.value.code == "moderation_needed"
    _moderate(programme, proposal_id)
    assert len(_summary(programme, proposal_id)["moderations"]) == 2
    assert _determine(programme, proposal_id)["state"] == "approved"


def test_a_note_is_for_one_revision(programme: Programme) -> None:
    proposal_id = _apart(programme)
    _moderate(programme, proposal_id)
    programme.call("request_changes", chair(), proposal_id=proposal_id, reason="Say what it costs to run.")
    with pytest.raises(Conflict, match="in the state changes_requested"):
        _moderate(programme, proposal_id)
    assert _summary(programme, proposal_id, revision=1)["moderated"] is True
    for revision in (2, 99):
        with pytest.raises(NotFound, match="its last is revision 1"):
            _summary(programme, proposal_id, revision=revision)


def test_there_is_one_note_on_the_same_assessments(programme: Programme) -> None:
    proposal_id = _apart(programme)
    _moderate(programme, proposal_id)
    with pytest.raises(Conflict) as error:
        _moderate(programme, proposal_id, note="One more thing.")
    assert error.value.code == "already_moderated"


def test_a_note_can_name_the_assessments_that_it_was_written_on(programme: Programme) -> None:
    proposal_id = _apart(programme)
    ids = [total["assessment_id"] for total in _summary(programme, proposal_id)["assessments"]]
    programme.assess(proposal_id, assessor("catriona"), 7, 7, 7)
    for others in (ids, [*ids, str(new_id())], []):
        with pytest.raises(Conflict) as error:
            _moderate(programme, proposal_id, assessments=others)
        assert (error.value.code, set(error.value.fields)) == ("other_assessments", {"assessments"})
    with pytest.raises(Invalid):
        _moderate(programme, proposal_id, assessments=[*ids, ids[0]])


def test_the_chair_may_put_a_note_on_assessments_that_agree(programme: Programme) -> None:
    proposal_id = programme.assessed()
    _moderate(programme, proposal_id, note="Both stressed how well it is costed.")
    assert _determine(programme, proposal_id)["decision"]["moderated"] is True


def test_a_chair_with_an_interest_does_not_moderate(programme: Programme) -> None:
    proposal_id = _apart(programme)
    declared = Principal("donald@commonweal.example", chair().roles)
    programme.call("declare_conflict", declared, proposal_id=proposal_id, reason="I advised them.")
    for who in (chair(EDINBURGH), declared, Principal(proposer().subject, chair().roles)):
        with pytest.raises(Forbidden) as error:
            _moderate(programme, proposal_id, who)
        assert error.value.code == "conflict_of_interest"
        with pytest.raises(Forbidden) as hidden:
            _summary(programme, proposal_id, who)
        assert hidden.value.code == "assessments_not_yet_yours"
    with pytest.raises(Forbidden, match="roles panel_chair"):
        _moderate(programme, proposal_id, cdo())


def test_councils_never_read_a_note(programme: Programme) -> None:
    proposal_id = _apart(programme)
    _moderate(programme, proposal_id)
    _determine(programme, proposal_id)
    with pytest.raises(Forbidden, match="roles"):
        _summary(programme, proposal_id, proposer())
    for method, more in (("get_proposal", {}), ("get_revision", {"revision": 1})):
        answer = programme.call(method, proposer(), proposal_id=proposal_id, **more)
        assert NOTE not in str(answer)
        assert answer["decision"]["moderated"] is True


def test_there_is_no_summary_of_a_draft(programme: Programme) -> None:
    proposal_id = programme.draft()
    with pytest.raises(NotFound, match="has not been handed in yet"):
        _summary(programme, proposal_id, cdo())
    with pytest.raises(NotFound, match="no such proposal"):
        _summary(programme, proposal_id, chair())
