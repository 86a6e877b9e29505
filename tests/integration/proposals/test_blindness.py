"""Attacks on the rules that nobody judges their own, and nobody sees others' scores before giving theirs."""

import dataclasses
import itertools
from typing import Any

import pytest

from shared.errors import CommonwealError, Conflict, Forbidden
from shared.security.principal import ASSESSOR, CDO, OPERATOR, PANEL_CHAIR, PROPOSER, Principal
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
    scores,
    sponsor,
)

MINUTE = "The panel agreed unanimously."
BOTH_ROLES = Principal("donald@commonweal.example", frozenset({ASSESSOR, PANEL_CHAIR}))
CDO_TOO = Principal("eilidh@commonweal.example", frozenset({ASSESSOR, CDO}))
CHAIR_OF_LEAD = chair(EDINBURGH)
LATE = assessor("late")


def _name(who: object) -> str | None:
    return f"{'+'.join(sorted(who.roles))}-{who.subject}" if isinstance(who, Principal) else None


def _apart(programme: Programme, *totals: int, round_id: str | None = None) -> str:
    """Bring a proposal to a quorum whose totals are as given, or 80 and 50."""
    proposal_id = programme.under_assessment(round_id)
    for name, score in zip(("ailsa", "brodie", "catriona"), totals or (8, 5), strict=False):
        programme.assess(proposal_id, assessor(name), score, score, score)
    return proposal_id


def _next_revision(programme: Programme, proposal_id: str, *, writer: Principal | None = None, **changes: Any) -> int:
    """Bring a proposal to its next revision, under assessment; returns its number."""
    programme.call("request_changes", chair(), proposal_id=proposal_id, reason="Say what it costs to run.")
    seen = programme.seen(proposal_id)
    body = content(**changes)
    changed = {"proposal_id": proposal_id, "content": body, "expected_revision": seen["draft_version"]}
    programme.call("update_proposal", writer or proposer(), **changed)
    programme.members(*body["participants"])
    number = int(programme.call("submit_proposal", proposer(), proposal_id=proposal_id)["revision"])
    for part in programme.seen(proposal_id)["confirmations"]:
        if part["state"] == "awaited":
            who = sponsor(part["council"])
            programme.call("confirm_participation", who, proposal_id=proposal_id, revision=number)
    return number


def _listed(programme: Programme, proposal_id: str, who: Principal) -> list[Any]:
    return list(programme.call("list_assessments", who, proposal_id=proposal_id)["items"])


def _summary(programme: Programme, proposal_id: str, who: Principal, **more: Any) -> Any:
    return programme.call("get_assessment_summary", who, proposal_id=proposal_id, **more)


def _told(programme: Programme, method: str, who: Principal, **request: Any) -> Any:
    """Return an answer, or all that a refusal says."""
    try:
        return programme.call(method, who, **request)
    except CommonwealError as refusal:
        return refusal.as_dict()


def test_nothing_that_is_answered_depends_on_scores_that_are_not_yet_the_callers(programme: Programme) -> None:
    """Two proposals that differ in nothing but their scores: agreed on, and far apart."""
    round_id = programme.open_round()
    agreed, apart = _apart(programme, 8, 8, round_id=round_id), _apart(programme, 9, 1, round_id=round_id)

    def all_that_is_told(proposal_id: str, who: Principal) -> str:
        one = {"proposal_id": proposal_id}
        revision = one | {"revision": 1}
        decision = revision | {"outcome": "approved", "minute": MINUTE}
        calls: list[tuple[str, dict[str, Any]]] = [
            ("get_proposal", one),
            ("get_revision", revision),
            ("check_eligibility", one),
            ("list_assessments", one),
            ("get_assessment_summary", one),
            ("get_assessment_summary", revision),
            ("get_assessment_summary", one | {"revision": 2}),
            ("moderate", revision | {"note": "Let me see."}),
            ("moderate", revision | {"note": "Let me see.", "assessments": []}),
            ("determine", decision),
            ("determine", decision | {"content_hash": "0"}),
            ("determine", decision | {"panel": [{"person": assessor("ailsa").subject}]}),
            ("submit_proposal", one),
        ]
        told = repr([_told(programme, method, who, **request) for method, request in calls])
        return told.replace(proposal_id, "ID").replace(programme.seen(proposal_id)["reference"], "REFERENCE")

    for who in (LATE, BOTH_ROLES, CDO_TOO, CHAIR_OF_LEAD, proposer(), sponsor()):
        assert all_that_is_told(agreed, who) == all_that_is_told(apart, who), who
        items = programme.call("list_proposals", who)["items"]
        assert {item["score"] for item in items} == {None}
        assert all(item.keys().isdisjoint({"spread", "wide_spread"}) for item in items)
    assert programme.seen(apart)["state"] == "under_assessment"
    # What the test looks for is there to be found.
    assert all_that_is_told(agreed, assessor("ailsa")) != all_that_is_told(apart, assessor("ailsa"))


READERS = (
    *(cdo(), chair(), CHAIR_OF_LEAD, chair(GLASGOW), assessor("ailsa"), assessor("brodie"), LATE, BOTH_ROLES, CDO_TOO),
    assessor("ailsa", EDINBURGH),
)


@pytest.mark.parametrize("decided", [False, True])
def test_a_summary_shows_nothing_that_the_list_does_not(programme: Programme, decided: bool) -> None:
    proposal_id = _apart(programme, 8, 7)
    second = _next_revision(programme, proposal_id)
    for name, score in (("brodie", 6), ("catriona", 9)):
        programme.assess(proposal_id, assessor(name), score, score, score, revision=second)
    if decided:
        request = {"proposal_id": proposal_id, "revision": second, "outcome": "approved", "minute": MINUTE}
        ids = [total["assessment_id"] for total in _summary(programme, proposal_id, cdo())["assessments"]]
        note = {"proposal_id": proposal_id, "revision": second, "note": "Talked over.", "assessments": ids}
        programme.call("moderate", chair(), **note)
        programme.call("determine", chair(), **request)
    everything = _listed(programme, proposal_id, cdo())
    for who, revision in itertools.product(READERS, (1, 2)):
        its = [given for given in everything if given["revision"] == revision]
        seen = [given for given in _listed(programme, proposal_id, who) if given["revision"] == revision]
        answer = _told(programme, "get_assessment_summary", who, proposal_id=proposal_id, revision=revision)
        if seen == its:
            assert [total["total"] for total in answer["assessments"]] == [given["total"] for given in its], who
        else:
            assert answer["code"] == "assessments_not_yet_yours", who
            assert not set(answer) & {"score", "spread", "criteria"}


def test_an_assessor_who_has_declared_an_interest_learns_no_more(programme: Programme) -> None:
    proposal_id = _apart(programme)
    programme.assess(proposal_id, assessor("catriona"), 7, 7, 7)
    programme.call("declare_conflict", assessor("ailsa"), proposal_id=proposal_id, reason="I was offered the job.")
    ailsa = assessor("ailsa")
    assert [given["assessor"] for given in _listed(programme, proposal_id, ailsa)] == [ailsa.subject]
    assert programme.seen(proposal_id, ailsa)["score"] is None
    assert programme.seen(proposal_id, ailsa)["wide_spread"] is None
    with pytest.raises(Forbidden):
        _summary(programme, proposal_id, ailsa)
    with pytest.raises(Forbidden, match="You declared a conflict"):
        programme.assess(proposal_id, ailsa)
    # Hers was the high one: without it the spread is narrow, and nothing else of hers counts.
    assert programme.seen(proposal_id)["score"] == "60.00"
    request = {"proposal_id": proposal_id, "revision": 1, "outcome": "approved", "minute": MINUTE}
    assert programme.call("determine", chair(), **request)["decision"]["spread"] == "20.00"
    assert len(_listed(programme, proposal_id, ailsa)) == 3


def test_an_assessor_whose_council_joins_later_is_shut_out_from_then_on(programme: Programme) -> None:
    glasgows = assessor("fergus", GLASGOW)
    proposal_id = programme.under_assessment()
    programme.assess(proposal_id, glasgows)
    programme.assess(proposal_id, assessor("ailsa"))
    assert len(_listed(programme, proposal_id, glasgows)) == 2
    second = _next_revision(programme, proposal_id, participants=[ABERDEENSHIRE, GLASGOW])
    with pytest.raises(Forbidden, match="Your council takes part"):
        programme.assess(proposal_id, glasgows, revision=second)
    assert [given["assessor"] for given in _listed(programme, proposal_id, glasgows)] == [glasgows.subject]
    with pytest.raises(Forbidden):
        _summary(programme, proposal_id, glasgows, revision=1)


def test_leaving_the_council_out_of_the_token_does_not_let_its_assessor_back_in(programme: Programme) -> None:
    glasgows, nobodys = (
        assessor("fergus", GLASGOW),
        Principal(assessor("fergus", GLASGOW).subject, frozenset({ASSESSOR})),
    )
    proposal_id = programme.under_assessment()
    programme.assess(proposal_id, glasgows)
    second = _next_revision(programme, proposal_id, participants=[ABERDEENSHIRE, GLASGOW])
    with pytest.raises(Forbidden, match="Your council takes part"):
        programme.assess(proposal_id, nobodys, revision=second)
    for name in ("ailsa", "brodie"):
        programme.assess(proposal_id, assessor(name), revision=second)
    decision = {"proposal_id": proposal_id, "revision": second, "outcome": "approved", "minute": MINUTE}
    with pytest.raises(Forbidden) as error:
        programme.call("determine", chair(), **decision, panel=[{"person": glasgows.subject}])
    assert error.value.fields == {"panel.0": [error.value.message.partition("interest. ")[2]]}


def test_whoever_confirmed_an_earlier_revision_does_not_judge_a_later_one_without_their_council(
    programme: Programme,
) -> None:
    """East Dunbartonshire drops out; its sponsor has an assessor's token too, which names no council."""
    sponsors = sponsor(EAST_DUNBARTONSHIRE)
    proposal_id = programme.assessed()
    second = _next_revision(programme, proposal_id, participants=[ABERDEENSHIRE])
    on_the_panel = Principal(sponsors.subject, frozenset({ASSESSOR, PANEL_CHAIR}))
    with pytest.raises(Forbidden, match="You wrote, handed in or confirmed"):
        programme.assess(proposal_id, on_the_panel, revision=second)


def test_whoever_rewrote_the_draft_does_not_judge_it(programme: Programme) -> None:
    """Neither the one who created nor the one who handed in, but the one who wrote what is judged."""
    ghost = Principal("ghost@edinburgh.example", frozenset({PROPOSER}), EDINBURGH)
    proposal_id = programme.assessed()
    second = _next_revision(programme, proposal_id, writer=ghost)
    on_the_panel = Principal(ghost.subject, frozenset({ASSESSOR, PANEL_CHAIR}))
    for method, rest in (
        ("submit_assessment", {"scores": scores(8, 7, 6)}),
        ("moderate", {"note": "Fine."}),
        ("determine", {"outcome": "approved", "minute": MINUTE}),
    ):
        with pytest.raises(Forbidden, match="You wrote, handed in or confirmed"):
            programme.call(method, on_the_panel, proposal_id=proposal_id, revision=second, **rest)


def test_a_person_with_tokens_of_two_councils_is_one_person(programme: Programme) -> None:
    proposal_id = programme.under_assessment()
    of_glasgow = Principal(sponsor(ABERDEENSHIRE).subject, frozenset({ASSESSOR}), GLASGOW)
    with pytest.raises(Forbidden, match="You wrote, handed in or confirmed"):
        programme.assess(proposal_id, of_glasgow)
    programme.assess(proposal_id, assessor("ailsa", GLASGOW))
    with pytest.raises(Conflict) as error:
        programme.assess(proposal_id, dataclasses.replace(assessor("ailsa", GLASGOW), council=None))
    assert error.value.code == "already_assessed"


def test_a_conflict_declared_between_revisions_lasts(programme: Programme) -> None:
    proposal_id = programme.assessed()
    programme.call("request_changes", chair(), proposal_id=proposal_id, reason="Say what it costs to run.")
    programme.call("declare_conflict", assessor("ailsa"), proposal_id=proposal_id, reason="I was offered the job.")
    assert programme.seen(proposal_id)["score"] is None
    programme.call("submit_proposal", proposer(), proposal_id=proposal_id)
    for part in programme.seen(proposal_id)["confirmations"]:
        if part["state"] == "awaited":
            who = sponsor(part["council"])
            programme.call("confirm_participation", who, proposal_id=proposal_id, revision=2)
    with pytest.raises(Forbidden, match="You declared a conflict"):
        programme.assess(proposal_id, assessor("ailsa"), revision=2)


def test_a_conflict_declared_before_everybody_has_confirmed_lasts(programme: Programme) -> None:
    proposal_id = programme.submitted()
    programme.call("declare_conflict", assessor("ailsa"), proposal_id=proposal_id, reason="I was offered the job.")
    for council in content()["participants"]:
        programme.call("confirm_participation", sponsor(council), proposal_id=proposal_id, revision=1)
    with pytest.raises(Forbidden, match="You declared a conflict"):
        programme.assess(proposal_id, assessor("ailsa"))


@pytest.mark.parametrize("who", [BOTH_ROLES, CDO_TOO], ids=_name)
def test_who_chairs_or_leads_the_programme_and_assesses_gives_scores_first(
    programme: Programme, who: Principal
) -> None:
    proposal_id = _apart(programme)
    assert _listed(programme, proposal_id, who) == []
    programme.assess(proposal_id, who, 7, 7, 7)
    assert len(_listed(programme, proposal_id, who)) == 3
    assert _summary(programme, proposal_id, who)["spread"] == "30.00"


def test_a_chair_who_has_read_the_scores_to_moderate_does_not_add_some(programme: Programme) -> None:
    proposal_id = _apart(programme)
    programme.call("moderate", chair(), proposal_id=proposal_id, revision=1, note="Talked over.")
    as_assessor = Principal(chair().subject, frozenset({ASSESSOR}))
    with pytest.raises(Forbidden) as error:
        programme.assess(proposal_id, as_assessor, 10, 10, 10)
    assert error.value.code == "knows_the_scores"


def test_a_key_of_another_caller_or_time_shows_nobody_elses_scores(programme: Programme) -> None:
    proposal_id = programme.under_assessment()
    request = {"proposal_id": proposal_id, "revision": 1, "idempotency_key": "our-scores-1"}
    first = programme.call("submit_assessment", assessor("ailsa"), scores=scores(9, 9, 9), **request)
    other = programme.call("submit_assessment", assessor("brodie"), scores=scores(1, 1, 1), **request)
    assert (first["total"], other["total"]) == ("90.00", "10.00")
    again = programme.call("submit_assessment", assessor("ailsa"), scores=scores(9, 9, 9), **request)
    assert again == first
    with pytest.raises(Conflict) as error:
        programme.call("submit_assessment", assessor("ailsa"), scores=scores(1, 1, 1), **request)
    assert error.value.code == "idempotency_key_reused"


def test_an_operator_or_treasurer_learns_the_score_with_the_decision(programme: Programme) -> None:
    proposal_id = _apart(programme)
    operator = Principal("operator@commonweal.example", frozenset({OPERATOR}))
    seen = programme.seen(proposal_id, operator)
    assert (seen["score"], seen["spread"], seen["wide_spread"]) == (None, None, None)
