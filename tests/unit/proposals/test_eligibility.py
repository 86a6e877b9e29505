"""Eligibility: every rule, met and unmet, with a sentence that says what to do."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.proposals.domain.eligibility import Rule, check
from services.proposals.domain.rounds import Criterion, RoundRules, Window
from shared.proposal_content import examine
from tests.support.fuzz import bent
from tests.support.proposals import ABERDEENSHIRE, EAST_DUNBARTONSHIRE, EDINBURGH, content

RULES = RoundRules((Criterion("need", "Need", 100),), min_participants=3, quorum=2, ceiling_pence=25_000_000)
WINDOW = Window("R-2026-0001", date(2026, 9, 1), date(2026, 11, 30))
MEMBERS = {EDINBURGH, ABERDEENSHIRE, EAST_DUNBARTONSHIRE}
OCTOBER = datetime(2026, 10, 5, tzinfo=UTC)


def _check(body: dict[str, Any] | None = None, **changes: Any) -> dict[str, Rule]:
    known: dict[str, Any] = {"rules": RULES, "window": WINDOW, "members": MEMBERS, "at": OCTOBER, **changes}
    return {rule.rule: rule for rule in check(*examine(content() if body is None else body), **known)}


def _unmet(body: dict[str, Any] | None = None, **changes: Any) -> dict[str, str]:
    return {name: rule.sentence for name, rule in _check(body, **changes).items() if not rule.met}


def test_a_sound_proposal_meets_every_rule() -> None:
    rules = _check()
    assert list(rules) == [
        "content_complete",
        "round_open",
        "councils_are_members",
        "enough_participants",
        "under_ceiling",
        "costs_add_up",
        "tranches_add_up",
        "benefits_measurable",
    ]
    assert all(rule.met for rule in rules.values())
    assert rules["round_open"].sentence == "R-2026-0001 is open until 30 November 2026 at 24:00 UTC."


def test_the_round_must_be_open_and_the_sentence_says_when_it_was() -> None:
    assert _unmet(at=datetime(2026, 12, 1, tzinfo=UTC)) == {
        "round_open": "R-2026-0001 closed on 30 November 2026 at 24:00 UTC and takes no more proposals."
    }
    assert _unmet(at=datetime(2026, 8, 31, tzinfo=UTC)) == {
        "round_open": "R-2026-0001 opens on 1 September 2026 at 00:00 UTC; submit from then on."
    }
    early = Window("R-2026-0001", WINDOW.opens_on, WINDOW.closes_on, datetime(2026, 10, 1, 9, 30, 5, tzinfo=UTC))
    assert _unmet(window=early) == {
        "round_open": "R-2026-0001 closed on 1 October 2026 at 09:30:05 UTC and takes no more proposals."
    }


def test_of_what_was_handed_in_nothing_is_said_that_a_change_of_the_round_could_make_untrue() -> None:
    for closes_on, closed_at in ((date(2026, 10, 5), OCTOBER), (date(2027, 1, 31), datetime(2026, 10, 6, tzinfo=UTC))):
        later = Window("R-2026-0001", WINDOW.opens_on, closes_on, closed_at)
        rule = _check(window=later, handed_in=True)["round_open"]
        assert rule == Rule("round_open", True, "R-2026-0001 was open when this was handed in.")


def test_a_revision_that_the_panel_asked_for_may_come_after_the_round_has_closed() -> None:
    assert _unmet(at=datetime(2027, 1, 10, tzinfo=UTC), asked_for=True) == {}


def test_every_council_must_be_a_member_and_the_sentence_names_those_that_are_not() -> None:
    sentence = _unmet(members={ABERDEENSHIRE})["councils_are_members"]
    assert "City of Edinburgh, East Dunbartonshire" in sentence
    assert "Aberdeenshire" not in sentence
    assert "2026-10-05" in sentence


def test_the_lead_council_counts_as_taking_part() -> None:
    two = content(participants=[ABERDEENSHIRE])
    assert _unmet(two) == {
        "enough_participants": "Taking part, the lead council included: 2. The round asks for 3 or more. "
        "Bring more councils in."
    }


def test_the_ceiling_itself_may_be_asked_for() -> None:
    lower = RoundRules(RULES.criteria, 3, 2, ceiling_pence=24_999_999)
    assert _unmet(rules=lower) == {
        "under_ceiling": "Requested is £250,000; the round's ceiling is £249,999.99. Ask for £0.01 less."
    }


def test_costs_are_what_is_requested_and_matched() -> None:
    assert _unmet(content(match_funding_pence=4_000_000)) == {
        "costs_add_up": "The costs add up to £300,000; £250,000 requested and £40,000 of match funding make £290,000. "
        "Make the two agree."
    }


def test_tranches_are_what_is_requested() -> None:
    body = content()
    body["milestones"][0]["tranche_pence"] = 0
    assert _unmet(body) == {
        "tranches_add_up": "The tranches add up to £150,000; requested is £250,000. Make the two agree."
    }


@pytest.mark.parametrize("part", ["baseline", "targets", "owner_council", "measure", "baseline.on", "targets.0.value"])
def test_every_benefit_can_be_measured(part: str) -> None:
    body = content()
    *steps, last = [int(step) if step.isdigit() else step for step in part.split(".")]
    place = body["benefits"][0]
    for step in steps:
        place = place[step]
    del place[last]
    unmet = _unmet(body)
    assert "Fewer payments taken by phone" in unmet["benefits_measurable"]
    assert f"benefits.0.{part}" in unmet["content_complete"]


def test_what_is_missing_is_told_piece_by_piece() -> None:
    rule = _check({"title": "Payments", "lead_council": EDINBURGH})["content_complete"]
    assert not rule.met
    assert set(rule.problems) == set(content()) - {"title", "lead_council"}
    assert rule.problems["problem"] == ["Say what problem residents or staff have today, in up to 4,000 characters."]
    assert rule.sentence == (
        "Missing or wrong: participants, objectives, problem, user_need, requested_pence, match_funding_pence, costs, "
        "milestones and 1 more. Complete or correct them."
    )


AWAITING = {
    "lead_council": {"councils_are_members", "enough_participants"},
    "participants": {"councils_are_members", "enough_participants"},
    "requested_pence": {"under_ceiling", "costs_add_up", "tranches_add_up"},
    "match_funding_pence": {"costs_add_up"},
    "costs": {"costs_add_up"},
    "costs.1.amount_pence": {"costs_add_up"},
    "milestones": {"tranches_add_up"},
    "milestones.0.tranche_pence": {"tranches_add_up"},
    "benefits": {"benefits_measurable"},
    "title": set(),
}


@pytest.mark.parametrize(("path", "awaiting"), AWAITING.items())
@pytest.mark.parametrize("wrong", [True, False])
def test_a_rule_that_waits_for_something_says_so_and_the_others_judge(
    path: str, awaiting: set[str], wrong: bool
) -> None:
    body = content()
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    place: Any = body
    for step in steps:
        place = place[step]
    if wrong:
        place[last] = {}
    else:
        del place[last]
    rules = _check(body)
    assert {name for name, rule in rules.items() if rule.met is None} == awaiting
    assert {name for name, rule in rules.items() if rule.met is False} == {"content_complete"}
    for name in awaiting:
        assert rules[name].sentence == f"To be told once this is there and right: {path}."


def test_what_is_there_is_judged_although_more_may_come() -> None:
    some = content(participants=[ABERDEENSHIRE, "somebody else"])
    assert _check(some, members={EDINBURGH})["councils_are_members"].met is False
    assert _check(some)["councils_are_members"].met is None
    assert _check(some)["enough_participants"].met is None
    fewer = RoundRules(RULES.criteria, min_participants=2, quorum=2, ceiling_pence=RULES.ceiling_pence)
    assert _check(some, rules=fewer)["enough_participants"].met is True


def test_no_sentence_grows_with_what_is_in_the_content() -> None:
    benefit = {"title": "b" * 200}
    for rule in _check({"benefits": [benefit] * 50, "costs": [{}] * 100, "milestones": [{}] * 50}).values():
        assert len(rule.sentence) < 2_000


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=bent(bent(st.builds(content))))
def test_every_rule_has_a_verdict_and_a_sentence_whatever_is_there(body: dict[str, Any]) -> None:
    rules = _check(body)
    assert len(rules) == 8
    assert all(rule.sentence.endswith(".") and len(rule.sentence) < 2_000 for rule in rules.values())
    if any(rule.met is None for rule in rules.values()):
        assert rules["content_complete"].met is False


@given(
    costs=st.lists(st.integers(1, 10**12), min_size=1, max_size=5),
    tranches=st.lists(st.integers(0, 10**12), min_size=1, max_size=5),
    requested=st.integers(1, 10**12),
    matched=st.integers(0, 10**12),
)
def test_sums_agree_to_the_penny(costs: list[int], tranches: list[int], requested: int, matched: int) -> None:
    body = content(requested_pence=requested, match_funding_pence=matched)
    body["costs"] = [
        {"year": f"{2026 + n}-{27 + n}", "category": "staff", "amount_pence": c} for n, c in enumerate(costs)
    ]
    body["milestones"] = [
        {**body["milestones"][0], "key": f"m-{number}", "tranche_pence": amount}
        for number, amount in enumerate(tranches)
    ]
    rules = _check(body)
    assert rules["costs_add_up"].met == (sum(costs) == requested + matched)
    assert rules["tranches_add_up"].met == (sum(tranches) == requested)
