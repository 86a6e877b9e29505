"""A round's terms change, everybody is told, and what was handed in stays as it was, on a real database."""

from datetime import UTC, date, datetime
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from shared import clock
from shared.errors import Conflict, Invalid
from tests.support.proposals import CRITERIA, Programme, assessor, cdo, chair, content, proposer, round_terms, sponsor


def change(programme: Programme, round_id: str, **terms: Any) -> Any:
    """Change a round, starting from what it is now."""
    version = programme.call("get_round", cdo(), round_id=round_id)["version"]
    request = {"round_id": round_id, "expected_version": version, "reason": "The councils asked for it.", **terms}
    return programme.call("change_round", cdo(), **request)


def test_a_change_is_kept_shown_and_told(programme: Programme, today: clock.FixedClock) -> None:
    round_id = programme.open_round()
    criteria = [{**CRITERIA[0], "weight": 70}, CRITERIA[1]]
    changed = change(programme, round_id, closes_on="2026-12-18", criteria=criteria, quorum=2)
    assert {term: changed[term] for term in round_terms()} == round_terms(closes_on="2026-12-18", criteria=criteria)
    assert (changed["version"], changed["closes_at"]) == (2, "2026-12-19T00:00:00+00:00")
    assert changed["changes"] == [
        {
            "version": 2,
            "before": {"closes_on": "2026-11-30", "criteria": CRITERIA},
            "after": {"closes_on": "2026-12-18", "criteria": criteria},
            "reason": "The councils asked for it.",
            "changed_at": "2026-10-05T09:30:00+00:00",
            "changed_by": cdo().subject,
        }
    ]
    assert programme.call("get_round", proposer(), round_id=round_id) == changed
    (event,) = programme.told("round_changed")
    assert (event.subject, event.sequence) == (round_id, 2)
    assert event.data == {
        "round_id": round_id,
        **round_terms(closes_on="2026-12-18", criteria=criteria),
        "reason": "The councils asked for it.",
        "changed_at": "2026-10-05T09:30:00+00:00",
    }
    again = change(programme, round_id, title="Autumn and winter 2026")
    assert [each["version"] for each in again["changes"]] == [2, 3]
    (item,) = programme.call("list_rounds", proposer())["items"]
    assert "changes" not in item
    assert item == {name: value for name, value in again.items() if name != "changes"}


def test_what_was_changed_is_never_rewritten(programme: Programme) -> None:
    change(programme, programme.open_round(), quorum=3)
    for statement in ("DELETE FROM round_changes", "UPDATE round_changes SET reason = 'Another.'"):
        with pytest.raises(DBAPIError, match="rows of round_changes are never changed"):
            programme.database.run(lambda session, statement=statement: session.execute(text(statement)))


def test_a_change_that_starts_from_an_older_round_is_refused(programme: Programme) -> None:
    round_id = programme.open_round()
    change(programme, round_id, quorum=3)
    with pytest.raises(Conflict, match="at version 2 now") as error:
        change(programme, round_id, quorum=1, expected_version=1)
    assert error.value.code == "stale_round"
    assert programme.call("get_round", cdo(), round_id=round_id)["quorum"] == 3


def test_a_change_that_changes_nothing_or_makes_no_sense_is_refused(programme: Programme) -> None:
    round_id = programme.open_round()
    refused: list[tuple[dict[str, Any], set[str]]] = [
        ({}, set()),
        ({"quorum": 2}, set()),
        ({"closes_on": "2026-10-04"}, {"closes_on"}),
        ({"closes_on": "2026-08-04", "criteria": CRITERIA[:1], "quorum": 0}, {"closes_on", "criteria", "quorum"}),
        ({"reason": " "}, {"reason"}),
        ({"reference": "R-2026-0009"}, {"reference"}),
    ]
    for terms, fields in refused:
        with pytest.raises(Invalid) as error:
            change(programme, round_id, **terms)
        assert set(error.value.fields) == fields, terms
    with pytest.raises(Conflict) as begun:
        change(programme, round_id, opens_on="2026-11-01", closes_on="2026-10-06")
    assert set(begun.value.fields) == {"opens_on", "closes_on"}
    assert programme.told("round_changed") == []


def test_a_planned_round_may_change_in_everything_and_begins_when_its_first_day_has_come(
    programme: Programme, today: clock.FixedClock
) -> None:
    round_id = programme.open_round(opens_on="2026-11-01")
    later = change(programme, round_id, opens_on="2026-11-15", title="Late autumn")
    assert (later["state"], later["version"]) == ("planned", 1)
    today.at = datetime(2026, 11, 14, tzinfo=UTC)
    programme.tick()
    now = change(programme, round_id, opens_on="2026-11-14")
    assert (now["state"], now["version"]) == ("open", 3)
    programme.tick()
    assert [(event.name, event.sequence) for event in programme.told()] == [
        ("round_changed", 1),
        ("round_changed", 2),
        ("round_opened", 3),
    ]
    assert programme.told()[-1].data["opens_on"] == "2026-11-14"


def test_a_last_day_that_moved_is_the_one_that_counts(programme: Programme, today: clock.FixedClock) -> None:
    longer, shorter = programme.open_round(), programme.open_round()
    change(programme, longer, closes_on="2026-12-31")
    change(programme, shorter, closes_on="2026-10-05")
    drafts = [programme.draft(longer), programme.draft(shorter)]
    programme.members(*content()["participants"], content()["lead_council"])
    today.at = datetime(2026, 12, 24, tzinfo=UTC)
    programme.tick()
    assert [event.data["round_id"] for event in programme.told("round_closed")] == [shorter]
    assert programme.call("submit_proposal", proposer(), proposal_id=drafts[0])["state"] == "submitted"
    with pytest.raises(Conflict, match="closed on 5 October 2026 at 24:00 UTC"):
        programme.call("submit_proposal", proposer(), proposal_id=drafts[1])


def test_a_closed_round_stays_as_it_was(programme: Programme, today: clock.FixedClock) -> None:
    by_hand, by_the_clock = programme.open_round(), programme.open_round()
    programme.call("close_round", cdo(), round_id=by_hand)
    with pytest.raises(Conflict, match="closed on 5 October 2026 at 09:30:00 UTC and stays as it was"):
        change(programme, by_hand, closes_on="2026-12-31")
    today.at = datetime(2026, 12, 1, tzinfo=UTC)
    for _ in range(2):
        with pytest.raises(Conflict, match="closed on 30 November 2026 at 24:00 UTC and stays as it was"):
            change(programme, by_the_clock, closes_on="2026-12-31")
        programme.tick()


def test_a_draft_follows_its_round_until_it_is_first_handed_in(programme: Programme) -> None:
    round_id = programme.open_round()
    proposal_id = programme.draft(round_id)
    programme.members(*content()["participants"], content()["lead_council"])
    change(programme, round_id, ceiling_pence=20_000_000)
    checked = programme.call("check_eligibility", proposer(), proposal_id=proposal_id)
    assert [rule["rule"] for rule in checked["rules"] if not rule["met"]] == ["under_ceiling"]
    with pytest.raises(Conflict, match="the round's ceiling is £200,000"):
        programme.call("submit_proposal", proposer(), proposal_id=proposal_id)
    change(programme, round_id, ceiling_pence=25_000_000, quorum=1)
    assert programme.call("check_eligibility", proposer(), proposal_id=proposal_id)["eligible"]
    programme.call("submit_proposal", proposer(), proposal_id=proposal_id)
    revision = programme.call("get_revision", proposer(), proposal_id=proposal_id, revision=1)
    assert (revision["rules"]["ceiling_pence"], revision["rules"]["quorum"]) == (25_000_000, 1)
    for council in content()["participants"]:
        programme.call("confirm_participation", sponsor(council), proposal_id=proposal_id, revision=1)
    programme.assess(proposal_id, assessor())
    assert programme.seen(proposal_id)["score"] == "73.00"


def _terms() -> st.SearchStrategy[dict[str, Any]]:
    """Terms to which an open round may be changed, some of them or all."""
    criteria = st.lists(st.integers(1, 99), min_size=1, max_size=4).map(_criteria_of)
    return st.fixed_dictionaries(
        {},
        optional={
            "closes_on": st.dates(date(2026, 10, 5), date(2030, 1, 1)).map(str),
            "criteria": criteria,
            "min_participants": st.integers(1, 32),
            "quorum": st.integers(1, 32),
            "ceiling_pence": st.integers(1, 10**12),
        },
    )


def _criteria_of(weights: list[int]) -> list[dict[str, Any]]:
    """Criteria, other ones than the usual, that weigh 100 percent together: the last takes what is left."""
    weights = [min(weight, 100 // len(weights)) for weight in weights[:-1]]
    weights.append(100 - sum(weights))
    return [
        {"key": f"criterion-{number}", "title": f"Criterion {number}", "weight": weight}
        for number, weight in enumerate(weights)
    ]


def _as_handed_in(programme: Programme, proposal_ids: list[str]) -> list[Any]:
    """All that the rules of their round decide about proposals."""
    return [
        (
            programme.call("get_revision", cdo(), proposal_id=proposal_id, revision=1),
            programme.call("check_eligibility", chair(), proposal_id=proposal_id),
            programme.call("list_assessments", cdo(), proposal_id=proposal_id),
            programme.seen(proposal_id),
        )
        for proposal_id in proposal_ids
    ]


def test_whatever_changes_about_a_round_what_was_handed_in_stays_as_it_was(programme: Programme) -> None:
    round_id = programme.open_round()
    submitted, halfway = programme.submitted(round_id), programme.under_assessment(round_id)
    assessed, returned = programme.assessed(round_id), programme.submitted(round_id)
    programme.assess(halfway, assessor("ailsa"))
    programme.call("request_changes", chair(), proposal_id=returned, reason="Say who owns it.")
    before = _as_handed_in(programme, [submitted, halfway, assessed, returned])

    titles = count()

    @settings(max_examples=20, deadline=None)
    @given(terms=_terms())
    def assert_that_nothing_changes_with(terms: dict[str, Any]) -> None:
        change(programme, round_id, title=f"Title {next(titles)}", **terms)
        assert _as_handed_in(programme, [submitted, halfway, assessed, returned]) == before

    assert_that_nothing_changes_with()
    change(programme, round_id, quorum=32, min_participants=32, ceiling_pence=1, criteria=_criteria_of([1, 1]))
    # And so it goes on: scored by the same criteria, decided by the same quorum, revised under the same rules.
    programme.assess(halfway, assessor("brodie"))
    assert programme.seen(halfway)["score"] == programme.seen(assessed)["score"] == "73.00"
    for proposal_id in (halfway, assessed):
        request = {"proposal_id": proposal_id, "revision": 1, "outcome": "approved", "minute": "Agreed."}
        assert programme.call("determine", chair(), **request)["state"] == "approved"
    assert programme.call("submit_proposal", proposer(), proposal_id=returned)["revision"] == 2
    second = programme.call("get_revision", cdo(), proposal_id=returned, revision=2)
    assert second["rules"] == before[3][0]["rules"] == {term: round_terms()[term] for term in second["rules"]}
