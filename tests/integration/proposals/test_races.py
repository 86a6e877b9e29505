"""What several people do at the same moment has the same outcome as one after the other."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from services.proposals.models import Award
from shared import clock
from shared.errors import CommonwealError, Conflict
from shared.ids import new_id
from shared.proposal_content import ProposalContent
from tests.support.proposals import (
    EDINBURGH,
    Programme,
    assessor,
    cdo,
    chair,
    content,
    costs_by_council,
    proposer,
    sponsor,
)

CROWD = 8
WAIT_S = 30


def _at_once(works: Sequence[Callable[[], Any]]) -> list[Any]:
    """Do everything at the same moment; return each result, or the error that its caller would see."""
    ready = threading.Barrier(len(works))

    def one(work: Callable[[], Any]) -> Any:
        ready.wait(WAIT_S)
        try:
            return work()
        except CommonwealError as error:
            return error

    with ThreadPoolExecutor(len(works)) as threads:
        return [future.result(WAIT_S) for future in [threads.submit(one, work) for work in works]]


class _TickingClock:
    """A clock that never tells the same moment twice."""

    def __init__(self, at: datetime) -> None:
        self.at = at
        self._turn = threading.Lock()

    def now(self) -> datetime:
        with self._turn:
            self.at += timedelta(milliseconds=1)
            return self.at


def _codes(results: list[Any]) -> list[str]:
    return [result.code for result in results if isinstance(result, CommonwealError)]


def test_references_are_given_out_once_and_without_gaps(programme: Programme) -> None:
    round_id = programme.open_round()
    ids = _at_once([partial(programme.draft, round_id)] * CROWD)
    references = sorted(programme.seen(proposal_id)["reference"] for proposal_id in ids)
    assert references == [f"P-2026-{number:04d}" for number in range(1, CROWD + 1)]


def test_assessment_begins_when_everybody_confirms_at_once(programme: Programme) -> None:
    proposal_id = programme.submitted()
    request = {"proposal_id": proposal_id, "revision": 1}
    confirm = [
        partial(programme.call, "confirm_participation", sponsor(council), **request)
        for council in content()["participants"]
    ]
    results = _at_once(confirm)
    assert sorted(result["state"] for result in results) == ["submitted", "under_assessment"]
    assert programme.seen(proposal_id)["state"] == "under_assessment"
    assert [event.sequence for event in programme.told() if event.subject == proposal_id] == [1, 2, 3]


def test_one_edit_of_a_draft_wins(programme: Programme) -> None:
    proposal_id = programme.draft()
    request = {"proposal_id": proposal_id, "content": content(), "expected_revision": 1}
    results = _at_once([partial(programme.call, "update_proposal", proposer(), **request)] * CROWD)
    assert _codes(results) == ["stale_draft"] * (CROWD - 1)
    assert programme.seen(proposal_id)["draft_version"] == 2


def test_nobody_hands_in_what_they_have_not_seen(programme: Programme) -> None:
    programme.members(EDINBURGH, *content()["participants"])
    edited = content(title="A colleague's")
    for _ in range(CROWD):
        request = {"proposal_id": programme.draft(), "expected_revision": 1}
        edit = partial(programme.call, "update_proposal", proposer(), **request, content=edited)
        results = _at_once([partial(programme.call, "submit_proposal", proposer(), **request), edit])
        seen = programme.seen(request["proposal_id"])
        if seen["state"] == "submitted":
            assert (_codes(results), seen["title"]) == (["wrong_state"], content()["title"])
        else:
            assert (_codes(results), seen["title"]) == (["stale_draft"], edited["title"])


def test_a_council_takes_a_carried_confirmation_back_in_time_or_not_at_all(programme: Programme) -> None:
    carried, asked = content()["participants"]
    for _ in range(CROWD // 2):
        proposal_id = programme.under_assessment(costs=costs_by_council())
        programme.revised(proposal_id, costs=costs_by_council(15_000_000))
        request = {"proposal_id": proposal_id, "revision": 2}
        confirm = partial(programme.call, "confirm_participation", sponsor(asked), **request)
        decline = partial(programme.call, "decline_participation", sponsor(carried), **request, reason="Not any more.")
        results = _at_once([confirm, decline])
        answers = {each["council"]: each["state"] for each in programme.seen(proposal_id)["confirmations"]}
        outcome = programme.seen(proposal_id)["state"], answers[carried], _codes(results)
        assert outcome in (("submitted", "declined", []), ("under_assessment", "confirmed", ["wrong_state"]))


def test_a_proposal_is_submitted_once(programme: Programme) -> None:
    proposal_id = programme.draft()
    programme.members(EDINBURGH, *content()["participants"])
    results = _at_once([partial(programme.call, "submit_proposal", proposer(), proposal_id=proposal_id)] * CROWD)
    assert _codes(results) == ["wrong_state"] * (CROWD - 1)
    assert len(programme.told("proposal_submitted")) == 1


def test_an_assessor_scores_once_and_everybody_counts(programme: Programme) -> None:
    proposal_id = programme.under_assessment()
    names = ["ailsa", "ailsa", "ailsa", "brodie", "catriona", "donald"]
    results = _at_once([partial(programme.assess, proposal_id, assessor(name)) for name in names])
    assert _codes(results) == ["already_assessed"] * 2
    assert [event.data["assessments"] for event in programme.told("proposal_assessed")] == [2, 3, 4]


def test_a_decision_counts_the_assessments_that_came_before_it_and_no_others(programme: Programme) -> None:
    proposal_id = programme.assessed()
    decision = {"proposal_id": proposal_id, "revision": 1, "outcome": "approved", "minute": "Agreed."}
    results = _at_once(
        [
            partial(programme.assess, proposal_id, assessor("catriona"), 9, 9, 9),
            partial(programme.call, "determine", chair(), **decision),
            partial(programme.assess, proposal_id, assessor("donald"), 7, 7, 7),
        ]
    )
    assert set(_codes(results)) <= {"wrong_state"}
    (event,) = programme.told("proposal_approved")
    summary = programme.call("get_assessment_summary", cdo(), proposal_id=proposal_id)
    assert event.data["assessments"] == len(summary["assessments"]) == 4 - len(_codes(results))
    decided = programme.seen(proposal_id)
    for told in (event.data, summary, decided):
        assert (told["score"], told["spread"]) == (decided["decision"]["score"], decided["decision"]["spread"])


def test_a_note_that_a_new_assessment_overtakes_does_not_cover_it(programme: Programme) -> None:
    proposal_id = programme.under_assessment()
    programme.assess(proposal_id, assessor("ailsa"), 9, 9, 9)
    programme.assess(proposal_id, assessor("brodie"), 4, 4, 4)
    note = {"proposal_id": proposal_id, "revision": 1, "note": "Talked over."}
    note["assessments"] = [
        total["assessment_id"]
        for total in programme.call("get_assessment_summary", chair(), proposal_id=proposal_id)["assessments"]
    ]
    _at_once(
        [
            partial(programme.call, "moderate", chair(), **note),
            partial(programme.assess, proposal_id, assessor("catriona"), 6, 6, 6),
        ]
    )
    assert programme.call("get_assessment_summary", chair(), proposal_id=proposal_id)["moderated"] is False
    decision = {"proposal_id": proposal_id, "revision": 1, "outcome": "approved", "minute": "Agreed."}
    with pytest.raises(Conflict) as error:
        programme.call("determine", chair(), **decision)
    assert error.value.code == "moderation_needed"


def test_assessments_have_one_note(programme: Programme) -> None:
    proposal_id = programme.assessed()
    note = {"proposal_id": proposal_id, "revision": 1, "note": "Talked over."}
    results = _at_once([partial(programme.call, "moderate", chair(), **note)] * CROWD)
    assert _codes(results) == ["already_moderated"] * (CROWD - 1)
    assert len(programme.call("get_assessment_summary", cdo(), proposal_id=proposal_id)["moderations"]) == 1


def test_a_conflict_that_is_declared_while_the_panel_decides_counts_or_comes_too_late(programme: Programme) -> None:
    proposal_id = programme.assessed()
    decision = {"proposal_id": proposal_id, "revision": 1, "outcome": "approved", "minute": "Agreed."}
    member = assessor("brodie")
    results = _at_once(
        [
            partial(
                programme.call, "determine", chair(), **decision, panel=[{"person": member.subject, "council": None}]
            ),
            partial(programme.call, "declare_conflict", member, proposal_id=proposal_id, reason="I was offered a job."),
        ]
    )
    assert _codes(results) in (["conflict_of_interest"], ["wrong_state"])


def test_a_panel_decides_once(programme: Programme) -> None:
    proposal_id = programme.assessed()
    request = {"proposal_id": proposal_id, "revision": 1, "minute": "Agreed."}
    outcomes = ["approved", "rejected"] * (CROWD // 2)
    decide = [partial(programme.call, "determine", chair(), **request, outcome=outcome) for outcome in outcomes]
    results = _at_once(decide)
    assert _codes(results) == ["wrong_state"] * (CROWD - 1)
    assert len(programme.told("proposal_approved", "proposal_rejected")) == 1


def test_no_submission_slips_through_a_closing_round(programme: Programme, today: clock.FixedClock) -> None:
    round_id = programme.open_round()
    programme.members(EDINBURGH, *content()["participants"])
    drafts = [programme.draft(round_id) for _ in range(CROWD - 1)]
    submit = [partial(programme.call, "submit_proposal", proposer(), proposal_id=draft) for draft in drafts]
    with clock.using(_TickingClock(today.at)):
        results = _at_once([*submit, partial(programme.call, "close_round", cdo(), round_id=round_id)])
    assert set(_codes(results)) <= {"not_eligible"}
    events = programme.told("proposal_submitted", "round_closed")
    submitted = [proposal for proposal in map(programme.seen, drafts) if proposal["state"] == "submitted"]
    assert [event.name for event in events] == ["proposal_submitted"] * len(submitted) + ["round_closed"]
    assert all(proposal["submitted_at"] < events[-1].data["closed_at"] for proposal in submitted)


def test_the_clock_closes_a_round_once_and_after_every_submission_in_time(
    programme: Programme, today: clock.FixedClock
) -> None:
    """Half of them find the last day over, each at a moment of its own; and more than one process closes."""
    round_id = programme.open_round()
    programme.members(EDINBURGH, *content()["participants"])
    drafts = [programme.draft(round_id) for _ in range(CROWD)]
    submit = [partial(programme.call, "submit_proposal", proposer(), proposal_id=draft) for draft in drafts]
    midnight = datetime(2026, 12, 1, tzinfo=UTC)
    with clock.using(_TickingClock(midnight - timedelta(milliseconds=3 * CROWD))):
        results = _at_once([*submit, *[programme.tick] * 4])
    assert set(_codes(results)) <= {"not_eligible"}
    today.at = midnight
    programme.tick()
    events = programme.told("proposal_submitted", "round_closed")
    submitted = [proposal for proposal in map(programme.seen, drafts) if proposal["state"] == "submitted"]
    assert [event.name for event in events] == ["proposal_submitted"] * len(submitted) + ["round_closed"]
    assert events[-1].data["closed_at"] == midnight.isoformat()
    assert all(proposal["submitted_at"] < events[-1].data["closed_at"] for proposal in submitted)


def test_a_round_closed_by_hand_and_by_the_clock_at_once_is_closed_once(
    programme: Programme, today: clock.FixedClock
) -> None:
    round_id = programme.open_round()
    today.at = datetime(2026, 12, 1, tzinfo=UTC)
    close = partial(programme.call, "close_round", cdo(), round_id=round_id)
    results = _at_once([close, programme.tick] * 4)
    closed = programme.call("get_round", cdo(), round_id=round_id)
    by_hand = closed["closed_by"] == cdo().subject
    assert _codes(results) == ["round_closed"] * (3 if by_hand else 4)
    (event,) = programme.told("round_closed")
    assert event.data["closed_at"] == closed["closed_at"] == "2026-12-01T00:00:00+00:00"


def test_a_submission_is_held_to_the_rules_before_a_change_or_after_it_and_to_no_mixture(
    programme: Programme,
) -> None:
    """Under the old rules nobody could hand in, under the new ones everybody can."""
    round_id = programme.open_round(ceiling_pence=1, quorum=1)
    programme.members(EDINBURGH, *content()["participants"])
    drafts = [programme.draft(round_id) for _ in range(CROWD)]
    submit = [partial(programme.call, "submit_proposal", proposer(), proposal_id=draft) for draft in drafts]
    request = {"round_id": round_id, "expected_version": 1, "reason": "A slip.", "ceiling_pence": 40_000_000}
    change = partial(programme.call, "change_round", cdo(), **request, quorum=2)
    results = _at_once([*submit[: CROWD // 2], change, *submit[CROWD // 2 :]])
    assert set(_codes(results)) <= {"not_eligible"}
    events = programme.told("proposal_submitted", "round_changed")
    submitted = [draft for draft in drafts if programme.seen(draft)["state"] == "submitted"]
    assert [event.name for event in events] == ["round_changed"] + ["proposal_submitted"] * len(submitted)
    for draft in submitted:
        rules = programme.call("get_revision", cdo(), proposal_id=draft, revision=1)["rules"]
        assert (rules["ceiling_pence"], rules["quorum"]) == (40_000_000, 2)


def test_one_change_of_a_round_wins(programme: Programme) -> None:
    request = {"round_id": programme.open_round(), "expected_version": 1, "reason": "More time."}
    changes = [
        partial(programme.call, "change_round", cdo(), **request, closes_on=f"2026-12-{day:02}")
        for day in range(1, CROWD + 1)
    ]
    results = _at_once(changes)
    assert _codes(results) == ["stale_round"] * (CROWD - 1)
    [won] = [result for result in results if isinstance(result, dict)]
    assert programme.call("get_round", cdo(), round_id=request["round_id"]) == won
    assert len(programme.told("round_changed")) == 1


def test_a_last_day_put_off_at_the_last_moment_is_put_off_or_comes_too_late(
    programme: Programme, today: clock.FixedClock
) -> None:
    round_id = programme.open_round()
    request = {"round_id": round_id, "expected_version": 1, "reason": "More time.", "closes_on": "2026-12-24"}
    change = partial(programme.call, "change_round", cdo(), **request)
    with clock.using(_TickingClock(datetime(2026, 12, 1, tzinfo=UTC) - timedelta(milliseconds=8))):
        (result, *_) = _at_once([change, *[programme.tick] * 6])
    today.at = datetime(2026, 12, 1, 1, tzinfo=UTC)
    programme.tick()
    names = [event.name for event in programme.told()]
    if isinstance(result, Conflict):
        assert (result.code, names) == ("round_closed", ["round_opened", "round_closed"])
    else:
        assert (result["state"], names) == ("open", ["round_opened", "round_changed"])


def test_an_award_told_many_times_at_once_is_one(programme: Programme) -> None:
    proposal_id = programme.decided()
    award_id, project_id = new_id(), new_id()
    deliver = partial(
        programme.deliver,
        "project_funded",
        award_id=award_id,
        pool_id=programme.pool_id,
        proposal_id=UUID(proposal_id),
        proposal_reference="P-2026-0001",
        lead_council=EDINBURGH,
        project_id=project_id,
        amount_pence=25_000_000,
        revision=1,
        content_hash="0" * 64,
        content=ProposalContent().load(content()),
        funded_at=datetime(2026, 12, 1, tzinfo=UTC),
    )
    assert _at_once([deliver] * CROWD) == [None] * CROWD
    assert programme.seen(proposal_id)["state"] == "funded"
    awards = programme.database.run(lambda session: list(session.scalars(select(Award))))
    assert [(award.id, award.project_id) for award in awards] == [(award_id, project_id)]


def test_a_write_with_an_idempotency_key_is_done_once(programme: Programme) -> None:
    request = {"round_id": programme.open_round(), "content": content(), "idempotency_key": "our-draft-1"}
    results = _at_once([partial(programme.call, "create_proposal", proposer(), **request)] * CROWD)
    assert all(result == results[0] for result in results)
    assert len(programme.call("list_proposals", proposer())["items"]) == 1
    with pytest.raises(Conflict):
        programme.call("create_proposal", proposer(), **{**request, "content": content(title="Another")})
