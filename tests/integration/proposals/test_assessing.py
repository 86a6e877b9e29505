"""Assessment and decision on a real database."""

import pytest

from shared.errors import Conflict, Forbidden, Invalid, NotFound
from shared.security.principal import ASSESSOR, PANEL_CHAIR, Principal
from tests.support.proposals import (
    ABERDEENSHIRE,
    EDINBURGH,
    GLASGOW,
    Programme,
    assessor,
    cdo,
    chair,
    content,
    proposer,
    scores,
    sponsor,
)

MINUTE = "The panel agreed unanimously."


def test_an_assessment_is_given_once_with_a_total(programme: Programme) -> None:
    proposal_id = programme.under_assessment()
    given = programme.assess(proposal_id, assessor("ailsa", GLASGOW), 8, 7, 6)
    assert (given["total"], given["revision"], given["council"]) == ("73.00", 1, GLASGOW)
    assert given["scores"] == scores(8, 7, 6)
    assert given["counts"] is True
    with pytest.raises(Conflict, match="already assessed revision 1") as error:
        programme.assess(proposal_id, assessor("ailsa", GLASGOW), 1, 1, 1)
    assert error.value.code == "already_assessed"


def test_an_incomplete_assessment_is_refused(programme: Programme) -> None:
    proposal_id = programme.under_assessment()
    sound = scores(8, 7, 6)
    refused = [
        (sound[:2], "scores"),
        ([*sound, sound[0]], "scores.3.criterion"),
        ([*sound[:2], {**sound[2], "criterion": "beauty"}], "scores.2.criterion"),
        ([*sound[:2], {**sound[2], "score": 11}], "scores.2.score"),
        ([*sound[:2], {**sound[2], "score": 7.5}], "scores.2.score"),
        ([*sound[:2], {**sound[2], "justification": " "}], "scores.2.justification"),
    ]
    for given, field in refused:
        with pytest.raises(Invalid) as error:
            programme.call("submit_assessment", assessor(), proposal_id=proposal_id, revision=1, scores=given)
        assert field in error.value.fields
    programme.assess(proposal_id, assessor())


def test_only_the_current_revision_is_assessed_and_only_when_everybody_confirmed(programme: Programme) -> None:
    proposal_id = programme.submitted()
    with pytest.raises(Conflict, match="in the state submitted"):
        programme.assess(proposal_id, assessor())
    with pytest.raises(Conflict) as error:
        programme.assess(programme.under_assessment(), assessor(), revision=2)
    assert error.value.code == "stale_revision"


def test_an_assessor_with_an_interest_is_refused(programme: Programme) -> None:
    proposal_id = programme.under_assessment()
    with pytest.raises(Forbidden, match="Your council takes part"):
        programme.assess(proposal_id, assessor("ailsa", ABERDEENSHIRE))
    declared = programme.call(
        "declare_conflict", assessor("brodie"), proposal_id=proposal_id, reason="My sister leads it."
    )
    assert declared == {
        "proposal_id": proposal_id,
        "person": assessor("brodie").subject,
        "reason": "My sister leads it.",
        "declared_at": "2026-10-05T09:30:00+00:00",
    }
    with pytest.raises(Forbidden, match="You declared a conflict"):
        programme.assess(proposal_id, assessor("brodie"))
    with pytest.raises(Conflict, match="already declared"):
        programme.call("declare_conflict", assessor("brodie"), proposal_id=proposal_id, reason="Again.")


def test_the_score_is_told_at_the_quorum_and_with_each_assessment_after_it(programme: Programme) -> None:
    proposal_id = programme.under_assessment()
    programme.assess(proposal_id, assessor("ailsa"), 8, 7, 6)
    assert programme.told("proposal_assessed") == []
    assert programme.seen(proposal_id)["score"] is None
    programme.assess(proposal_id, assessor("brodie"), 9, 9, 9)
    programme.assess(proposal_id, assessor("catriona"), 5, 5, 5)
    events = programme.told("proposal_assessed")
    assert [(event.data["assessments"], event.data["score"]) for event in events] == [(2, "81.50"), (3, "71.00")]
    assert [(event.data["spread"], event.data["wide_spread"]) for event in events] == [
        ("17.00", False),
        ("40.00", True),
    ]
    assert events[0].sequence < events[1].sequence
    assert set(events[0].data) == {
        *("proposal_id", "reference", "round_id", "revision"),
        *("assessments", "score", "spread", "wide_spread", "assessed_at"),
    }
    assert programme.seen(proposal_id)["score"] == "71.00"


def test_a_conflict_declared_afterwards_sets_the_assessment_aside(programme: Programme) -> None:
    proposal_id = programme.assessed()
    programme.assess(proposal_id, assessor("catriona"), 0, 0, 0)
    programme.call("declare_conflict", assessor("catriona"), proposal_id=proposal_id, reason="I was offered the job.")
    assert programme.seen(proposal_id)["score"] == "73.00"
    assert [event.data["score"] for event in programme.told("proposal_assessed")] == ["73.00", "48.67", "73.00"]
    listed = programme.call("list_assessments", chair(), proposal_id=proposal_id)["items"]
    assert [given["counts"] for given in listed] == [True, True, False]
    programme.call("declare_conflict", assessor("brodie"), proposal_id=proposal_id, reason="So was I.")
    assert programme.seen(proposal_id)["score"] is None
    with pytest.raises(Conflict, match="1 of the 2 assessments"):
        programme.call("determine", chair(), proposal_id=proposal_id, revision=1, outcome="approved", minute=MINUTE)


def test_nobody_sees_others_scores_before_giving_theirs(programme: Programme) -> None:
    proposal_id = programme.assessed()

    def listed(principal: Principal) -> list[str]:
        items = programme.call("list_assessments", principal, proposal_id=proposal_id)["items"]
        return [given["assessor"] for given in items]

    late = assessor("catriona")
    both_roles = Principal("donald@commonweal.example", frozenset({ASSESSOR, PANEL_CHAIR}))
    for principal in (late, both_roles):
        assert listed(principal) == []
        assert programme.seen(proposal_id, principal)["score"] is None
    assert len(listed(chair())) == len(listed(cdo())) == len(listed(assessor("ailsa"))) == 2
    programme.assess(proposal_id, late)
    assert len(listed(late)) == 3
    assert programme.seen(proposal_id, late)["score"] == "73.00"


def test_councils_see_no_assessments_and_learn_the_score_with_the_decision(programme: Programme) -> None:
    proposal_id = programme.assessed()
    with pytest.raises(Forbidden):
        programme.call("list_assessments", proposer(), proposal_id=proposal_id)
    for principal in (proposer(), sponsor()):
        assert programme.seen(proposal_id, principal)["score"] is None
    programme.call("determine", chair(), proposal_id=proposal_id, revision=1, outcome="approved", minute=MINUTE)
    for principal in (proposer(), sponsor(), sponsor(GLASGOW), assessor("late")):
        assert programme.seen(proposal_id, principal)["score"] == "73.00"


def test_assessments_come_in_pages(programme: Programme) -> None:
    proposal_id = programme.under_assessment()
    names = ["ailsa", "brodie", "catriona"]
    for name in names:
        programme.assess(proposal_id, assessor(name))
    first = programme.call("list_assessments", chair(), proposal_id=proposal_id, limit=2)
    rest = programme.call("list_assessments", chair(), proposal_id=proposal_id, limit=2, cursor=first["next_cursor"])
    assert [given["assessor"] for given in first["items"] + rest["items"]] == [assessor(name).subject for name in names]
    with pytest.raises(NotFound):
        programme.call("list_assessments", assessor(), proposal_id=programme.draft())


def test_a_new_revision_starts_its_assessment_afresh(programme: Programme) -> None:
    proposal_id = programme.assessed()
    programme.call("request_changes", chair(), proposal_id=proposal_id, reason="Say what it costs to run.")
    alone = {"proposal_id": proposal_id, "content": content(title="Payments, costed"), "expected_revision": 1}
    programme.call("update_proposal", proposer(), **alone)
    again = programme.call("submit_proposal", proposer(), proposal_id=proposal_id)
    assert (again["revision"], again["state"]) == (2, "under_assessment")
    assert programme.seen(proposal_id)["score"] is None
    decision = {"proposal_id": proposal_id, "outcome": "approved", "minute": MINUTE}
    with pytest.raises(Conflict, match="0 of the 2"):
        programme.call("determine", chair(), **decision, revision=2)
    programme.assess(proposal_id, assessor("ailsa"), 10, 10, 10, revision=2)
    own = programme.call("list_assessments", assessor("brodie"), proposal_id=proposal_id)["items"]
    assert [given["revision"] for given in own] == [1, 1]
    programme.assess(proposal_id, assessor("brodie"), 10, 10, 10, revision=2)
    with pytest.raises(Conflict) as error:
        programme.call("determine", chair(), **decision, revision=1)
    assert error.value.code == "stale_revision"
    assert programme.call("determine", chair(), **decision, revision=2)["score"] == "100.00"


def test_the_decision_needs_the_quorum_a_minute_and_a_chair_without_interest(programme: Programme) -> None:
    proposal_id = programme.under_assessment()
    decision = {"proposal_id": proposal_id, "revision": 1, "outcome": "approved", "minute": MINUTE}
    with pytest.raises(Conflict, match="0 of the 2"):
        programme.call("determine", chair(), **decision)
    for name in ("ailsa", "brodie"):
        programme.assess(proposal_id, assessor(name))
    for minute in (" ", None):
        with pytest.raises(Invalid) as error:
            programme.call("determine", chair(), **{**decision, "minute": minute})
        assert set(error.value.fields) == {"minute"}
    with pytest.raises(Invalid):
        programme.call("determine", chair(), **{**decision, "outcome": "funded"})
    with pytest.raises(Forbidden, match="Your council takes part"):
        programme.call("determine", chair(EDINBURGH), **decision)
    with pytest.raises(Forbidden, match="roles panel_chair"):
        programme.call("determine", cdo(), **decision)
    programme.call("declare_conflict", chair(), proposal_id=proposal_id, reason="I advised them.")
    with pytest.raises(Forbidden, match="You declared a conflict"):
        programme.call("determine", chair(), **decision)
    assert programme.call("determine", chair(GLASGOW), **decision)["state"] == "approved"


def test_changes_are_not_requested_of_drafts_or_decided_proposals(programme: Programme) -> None:
    with pytest.raises(NotFound):
        programme.call("request_changes", chair(), proposal_id=programme.draft(), reason="Too long.")
    with pytest.raises(Conflict, match="in the state approved"):
        programme.call("request_changes", chair(), proposal_id=programme.decided(), reason="Too late.")


def test_whoever_asks_for_the_money_does_not_assess_or_decide_by_another_token(programme: Programme) -> None:
    """A token for a panel's role names no council; the person is the same all the same."""
    proposal_id = programme.assessed()
    for asker in (proposer(), sponsor(ABERDEENSHIRE)):
        on_the_panel = Principal(asker.subject, frozenset({PANEL_CHAIR, ASSESSOR}))
        with pytest.raises(Forbidden, match="You wrote, handed in or confirmed"):
            programme.assess(proposal_id, on_the_panel)
        for method, rest in (
            ("determine", {"revision": 1, "outcome": "approved", "minute": MINUTE}),
            ("request_changes", {"reason": "Ask for more."}),
        ):
            with pytest.raises(Forbidden, match="You wrote, handed in or confirmed"):
                programme.call(method, on_the_panel, proposal_id=proposal_id, **rest)
    assert programme.seen(proposal_id)["state"] == "under_assessment"


def test_a_chair_with_an_interest_learns_the_scores_with_the_decision(programme: Programme) -> None:
    proposal_id = programme.assessed()
    declared = Principal("donald@commonweal.example", frozenset({PANEL_CHAIR}))
    programme.call("declare_conflict", declared, proposal_id=proposal_id, reason="I advised them.")
    asked = Principal(proposer().subject, frozenset({PANEL_CHAIR}))

    def listed(principal: Principal) -> int:
        return len(programme.call("list_assessments", principal, proposal_id=proposal_id)["items"])

    for interested in (chair(EDINBURGH), chair(ABERDEENSHIRE), declared, asked):
        assert listed(interested) == 0
        assert programme.seen(proposal_id, interested)["score"] is None
    assert listed(chair()) == listed(chair(GLASGOW)) == 2
    programme.call("determine", chair(), proposal_id=proposal_id, revision=1, outcome="approved", minute=MINUTE)
    for interested in (chair(EDINBURGH), declared, asked):
        assert listed(interested) == 2
        assert programme.seen(proposal_id, interested)["score"] == "73.00"
