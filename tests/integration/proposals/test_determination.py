"""A decision: frozen to what was decided on, by whom; and what is told of it."""

import hashlib
import json
from typing import Any

import pytest

from shared.errors import Conflict, Forbidden, Invalid
from shared.events.catalogue import event_type
from shared.events.proposals import MAX_PANEL
from shared.security.principal import ASSESSOR, PANEL_CHAIR, Principal
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

MINUTE = "The panel agreed unanimously."
NOW = "2026-10-05T09:30:00+00:00"


def _determine(programme: Programme, proposal_id: str, who: Principal | None = None, **more: Any) -> Any:
    request = {"proposal_id": proposal_id, "revision": 1, "outcome": "approved", "minute": MINUTE, **more}
    return programme.call("determine", who or chair(), **request)


def test_four_arguments_are_enough_and_the_decision_keeps_what_it_rests_on(programme: Programme) -> None:
    proposal_id = programme.assessed()
    decided = _determine(programme, proposal_id)
    assert decided["state"] == "approved"
    assert decided["decision"] == {
        "revision": 1,
        "outcome": "approved",
        "content_hash": decided["content_hash"],
        "score": "73.00",
        "spread": "0.00",
        "wide_spread": False,
        "moderated": False,
        "minute": MINUTE,
        "decided_at": NOW,
        "decided_by": chair().subject,
        "panel": [{"person": chair().subject, "council": None}],
    }
    revision = programme.call("get_revision", proposer(), proposal_id=proposal_id, revision=1)
    assert revision["decision"] == decided["decision"]
    assert programme.seen(proposal_id, sponsor(GLASGOW))["decision"] == decided["decision"]


def test_a_decision_is_on_what_the_panel_looked_at(programme: Programme) -> None:
    proposal_id = programme.assessed()
    right = programme.seen(proposal_id, chair())["content_hash"]
    with pytest.raises(Conflict, match=right) as error:
        _determine(programme, proposal_id, content_hash="0" * 64)
    assert (error.value.code, set(error.value.fields)) == ("other_content", {"content_hash"})
    assert programme.seen(proposal_id)["state"] == "under_assessment"
    assert _determine(programme, proposal_id, content_hash=right)["decision"]["content_hash"] == right


def test_the_hash_of_an_earlier_revision_is_refused_for_the_next(programme: Programme) -> None:
    proposal_id = programme.assessed()
    before = programme.seen(proposal_id, chair())["content_hash"]
    _again(programme, proposal_id, title="Payments, costed")
    for name in ("ailsa", "brodie"):
        programme.assess(proposal_id, assessor(name), revision=2)
    with pytest.raises(Conflict) as error:
        _determine(programme, proposal_id, revision=2, content_hash=before)
    assert error.value.code == "other_content"
    after = programme.seen(proposal_id, chair())["content_hash"]
    assert _determine(programme, proposal_id, revision=2, content_hash=after)["state"] == "approved"


def _again(programme: Programme, proposal_id: str, **changes: Any) -> None:
    """Bring a proposal to its second revision, under assessment."""
    programme.call("request_changes", chair(), proposal_id=proposal_id, reason="Say what it costs to run.")
    changed = {"proposal_id": proposal_id, "content": content(**changes), "expected_revision": 1}
    programme.call("update_proposal", proposer(), **changed)
    programme.members(*content(**changes)["participants"])
    submitted = programme.call("submit_proposal", proposer(), proposal_id=proposal_id)
    for asked in submitted["confirmations"]:
        if asked["state"] == "awaited":
            programme.call("confirm_participation", sponsor(asked["council"]), proposal_id=proposal_id, revision=2)


def test_an_approval_says_in_which_revision_each_council_gave_its_word(programme: Programme) -> None:
    proposal_id = programme.assessed()
    _again(programme, proposal_id, title="Payments, costed")
    for name in ("ailsa", "brodie"):
        programme.assess(proposal_id, assessor(name), revision=2)
    _determine(programme, proposal_id, revision=2)
    [approved] = programme.told("proposal_approved")
    given = {word["council"]: word["revision"] for word in approved.data["confirmations"]}
    assert given == {EDINBURGH: 2, **dict.fromkeys(content()["participants"], 1)}


def test_the_panel_is_kept_with_its_chair_first(programme: Programme) -> None:
    proposal_id = programme.assessed()
    panel = [{"person": "Eilidh@Perth.Example", "council": GLASGOW}, {"person": "fergus@audit.example"}]
    decided = _determine(programme, proposal_id, chair(GLASGOW), panel=panel)
    assert decided["decision"]["panel"] == [
        {"person": chair(GLASGOW).subject, "council": GLASGOW},
        {"person": "eilidh@perth.example", "council": GLASGOW},
        {"person": "fergus@audit.example", "council": None},
    ]


def test_an_assessor_may_sit_on_the_panel_and_chair_it(programme: Programme) -> None:
    """As the introducing members of a research council's panel do: they speak to the scores that they gave."""
    proposal_id = programme.assessed()
    both = Principal(assessor("ailsa").subject, frozenset({ASSESSOR, PANEL_CHAIR}))
    panel = [{"person": assessor("brodie").subject}]
    assert len(_determine(programme, proposal_id, both, panel=panel)["decision"]["panel"]) == 2


def test_everybody_at_fault_on_the_panel_is_named_at_once(programme: Programme) -> None:
    proposal_id = programme.assessed()
    declared = assessor("catriona")
    programme.call("declare_conflict", declared, proposal_id=proposal_id, reason="I advised them.")
    panel = [
        {"person": declared.subject.upper()},
        {"person": "fergus@audit.example"},
        {"person": "eilidh@elsewhere.example", "council": ABERDEENSHIRE},
        {"person": proposer().subject},
        {"person": sponsor(EAST_DUNBARTONSHIRE).subject, "council": GLASGOW},
    ]
    with pytest.raises(Forbidden) as error:
        _determine(programme, proposal_id, panel=panel)
    assert error.value.code == "conflict_of_interest"
    assert list(error.value.fields) == ["panel.0", "panel.2", "panel.3", "panel.4"]
    assert programme.seen(proposal_id)["state"] == "under_assessment"
    assert _determine(programme, proposal_id, panel=panel[1:2])["state"] == "approved"


def test_nobody_learns_of_declared_conflicts_by_naming_people_without_a_right_to_decide(programme: Programme) -> None:
    proposal_id = programme.assessed()
    declared = assessor("catriona")
    programme.call("declare_conflict", declared, proposal_id=proposal_id, reason="I advised them.")
    both = Principal("donald@commonweal.example", frozenset({ASSESSOR, PANEL_CHAIR}))
    for who in (chair(EDINBURGH), both):
        answers = []
        for person in (declared.subject, "fergus@audit.example"):
            with pytest.raises(Forbidden) as error:
                _determine(programme, proposal_id, who, panel=[{"person": person}])
            answers.append(error.value.as_dict())
        assert answers[0] == answers[1]


UNSOUND: list[tuple[Any, str]] = [
    ([{"person": "a@b.example"}, {"person": "A@B.example", "council": GLASGOW}], "panel.1"),
    ([{"person": "the chair"}], "panel.0.person"),
    ([{"person": "a@b.example", "council": "Fife"}], "panel.0.council"),
    ([{"council": GLASGOW}], "panel.0.person"),
    ([{"person": "a@b.example", "vote": "yes"}], "panel.0.vote"),
    ([{"person": f"member-{number}@b.example"} for number in range(MAX_PANEL + 1)], "panel"),
    ([{"person": chair().subject.upper(), "council": GLASGOW}], "panel.0.person"),
    ("a@b.example", "panel"),
]


def test_a_panel_that_nobody_could_be_is_refused(programme: Programme) -> None:
    proposal_id = programme.assessed()
    for panel, field in UNSOUND:
        with pytest.raises(Invalid) as error:
            _determine(programme, proposal_id, panel=panel)
        assert set(error.value.fields) == {field}


def test_a_full_panel_is_told(programme: Programme) -> None:
    proposal_id = programme.assessed()
    _determine(programme, proposal_id, panel=[{"person": f"m-{number}@b.example"} for number in range(MAX_PANEL)])
    (event,) = programme.told("proposal_approved")
    assert len(event.data["panel"]) == MAX_PANEL + 1


def test_an_approval_carries_all_that_others_will_ever_need(programme: Programme) -> None:
    proposal_id = programme.under_assessment()
    programme.assess(proposal_id, assessor("ailsa"), 8, 7, 6)
    programme.assess(proposal_id, assessor("brodie"), 9, 9, 8)
    approved = _determine(programme, proposal_id, panel=[{"person": "fergus@audit.example", "council": GLASGOW}])
    (event,) = programme.told("proposal_approved")
    confirmed = [
        (EDINBURGH, proposer()),
        (ABERDEENSHIRE, sponsor()),
        (EAST_DUNBARTONSHIRE, sponsor(EAST_DUNBARTONSHIRE)),
    ]
    assert event.data == {
        "proposal_id": proposal_id,
        "reference": "P-2026-0001",
        "round_id": approved["round_id"],
        "round_reference": "R-2026-0001",
        "round_title": "Autumn 2026",
        "rules": {"criteria": CRITERIA, "min_participants": 2, "quorum": 2, "ceiling_pence": 40_000_000},
        "revision": 1,
        "content_hash": approved["content_hash"],
        "content": content(),
        "submitted_at": NOW,
        "submitted_by": proposer().subject,
        "confirmations": [
            {"council": council, "revision": 1, "confirmed_at": NOW, "confirmed_by": who.subject}
            for council, who in confirmed
        ],
        "assessments": 2,
        "score": "80.50",
        "spread": "15.00",
        "wide_spread": False,
        "moderated": False,
        "criterion_results": [
            {"criterion": "user-need", "mean": "8.50", "spread": 1},
            {"criterion": "savings", "mean": "8.00", "spread": 2},
            {"criterion": "reuse", "mean": "7.00", "spread": 2},
        ],
        "minute": MINUTE,
        "decided_by": chair().subject,
        "panel": [
            {"person": chair().subject, "council": None},
            {"person": "fergus@audit.example", "council": GLASGOW},
        ],
        "approved_at": NOW,
    }


def test_whoever_gets_an_approval_can_check_its_content(programme: Programme) -> None:
    programme.decided(problem="Füße, naïve, 漢字 \U0001f600 and “quotes”.\nA second line.\tA tab.")
    (event,) = programme.told("proposal_approved")
    canonical = json.dumps(event.data["content"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert hashlib.sha256(canonical.encode()).hexdigest() == event.data["content_hash"]


def test_a_rejection_is_told_with_its_minute_and_panel(programme: Programme) -> None:
    proposal_id = programme.decided("rejected")
    (event,) = programme.told("proposal_rejected")
    assert set(event.data) == set(event_type("proposals", "proposal_rejected").schema().fields)
    assert event.data["proposal_id"] == proposal_id
    assert (event.data["score"], event.data["spread"], event.data["minute"]) == ("73.00", "0.00", MINUTE)
    assert event.data["panel"] == [{"person": chair().subject, "council": None}]
    assert programme.told("proposal_approved") == []
    with pytest.raises(Conflict, match="in the state rejected"):
        _determine(programme, proposal_id)


def test_events_name_no_assessor(programme: Programme) -> None:
    proposal_id = programme.under_assessment()
    programme.assess(proposal_id, assessor("ailsa"), 9, 9, 9)
    programme.assess(proposal_id, assessor("brodie"), 1, 1, 1)
    programme.call("moderate", chair(), proposal_id=proposal_id, revision=1, note="Brodie read the first draft.")
    _determine(programme, proposal_id)
    told = json.dumps([event.data for event in programme.told()])
    assert "ailsa" not in told
    assert "rodie" not in told
    assert programme.told("proposal_approved")[0].data["moderated"] is True


def test_a_later_threshold_does_not_reopen_a_decision(programme: Programme, monkeypatch: pytest.MonkeyPatch) -> None:
    proposal_id = programme.under_assessment()
    programme.assess(proposal_id, assessor("ailsa"), 8, 8, 8)
    programme.assess(proposal_id, assessor("brodie"), 7, 7, 7)
    open_still = programme.under_assessment()
    programme.assess(open_still, assessor("ailsa"), 8, 8, 8)
    programme.assess(open_still, assessor("brodie"), 7, 7, 7)
    _determine(programme, proposal_id)
    monkeypatch.setattr("services.proposals.domain.scoring.WIDE_TOTALS_APART", 10)
    assert programme.seen(open_still)["wide_spread"] is True
    for who in (cdo(), proposer()):
        assert programme.seen(proposal_id, who)["wide_spread"] is False
        assert programme.seen(proposal_id, who)["decision"]["wide_spread"] is False
    summary = programme.call("get_assessment_summary", cdo(), proposal_id=proposal_id)
    assert (summary["spread"], summary["wide_spread"]) == ("10.00", False)
