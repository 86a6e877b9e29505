"""Rounds on a real database."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from services.proposals.handlers import rounds_to_close
from shared import clock
from shared.audit.sealer import Sealer
from shared.audit.tables import audit
from shared.errors import Conflict, Forbidden, Invalid, NotFound
from shared.ids import new_id
from shared.ops.cli import main
from shared.storage.own_connection import own_connection
from tests.support.proposals import CRITERIA, Programme, assessor, cdo, chair, content, proposer, round_terms


def test_a_round_is_opened_and_told(programme: Programme) -> None:
    opened = programme.call("open_round", cdo(), **round_terms())
    terms = round_terms()
    assert opened["reference"] == "R-2026-0001"
    assert opened["state"] == "open"
    assert {name: opened[name] for name in terms} == terms
    (event,) = programme.told()
    assert (event.name, event.subject, event.sequence) == ("round_opened", opened["round_id"], 1)
    assert event.data == {"round_id": opened["round_id"], **terms}
    assert programme.call("get_round", assessor(), round_id=opened["round_id"]) == opened


def test_a_round_announced_before_its_window_begins_is_told_on_its_first_day(
    programme: Programme, today: clock.FixedClock
) -> None:
    planned = programme.call("open_round", cdo(), **round_terms(opens_on="2026-11-01"))
    assert (planned["state"], planned["version"]) == ("planned", 0)
    assert programme.told() == []
    today.at = datetime(2026, 10, 31, 23, 59, 59, tzinfo=UTC)
    programme.tick()
    assert programme.told() == []
    today.at = datetime(2026, 11, 1, tzinfo=UTC)
    for _ in range(2):
        programme.tick()
        (event,) = programme.told()
    assert (event.name, event.sequence) == ("round_opened", 1)
    assert event.data == {"round_id": planned["round_id"], **round_terms(opens_on="2026-11-01")}


def test_a_round_that_makes_no_sense_is_refused(programme: Programme) -> None:
    refused: list[tuple[dict[str, object], str]] = [
        ({"closes_on": "2026-08-31"}, "closes_on"),
        ({"opens_on": "2026-09-01", "closes_on": "2026-10-04"}, "closes_on"),
        ({"criteria": CRITERIA[:2]}, "criteria"),
        ({"criteria": []}, "criteria"),
        ({"criteria": [{**CRITERIA[0], "weight": 33.3}]}, "criteria.0.weight"),
        ({"quorum": 0}, "quorum"),
        ({"min_participants": 33}, "min_participants"),
        ({"ceiling_pence": "40000000"}, "ceiling_pence"),
        ({"colour": "blue"}, "colour"),
    ]
    for changes, field in refused:
        with pytest.raises(Invalid) as error:
            programme.call("open_round", cdo(), **round_terms(**changes))
        assert field in error.value.fields, changes
    assert programme.told() == []


def test_everything_that_is_wrong_with_a_request_is_told_at_once(programme: Programme) -> None:
    terms = round_terms(
        title=" ", opens_on="2026-09-10", closes_on="2026-09-09", criteria=[CRITERIA[0], CRITERIA[0]], quorum=0
    )
    with pytest.raises(Invalid) as error:
        programme.call("open_round", cdo(), **terms)
    assert error.value.code == "invalid_request"
    assert error.value.fields == {
        "title": ["Write something here; it is empty."],
        "quorum": ["Give a whole number from 1 to 32."],
        "closes_on": [
            "This window is already over; choose 2026-10-05 or later.",
            "The last day cannot be before the first; choose 2026-09-10 or later.",
        ],
        "criteria": ["Each criterion needs a key of its own; given more than once: user-need."],
    }
    with pytest.raises(Invalid) as whole:
        programme.call("open_round", cdo(), **{**terms, "title": "Autumn", "quorum": 1})
    assert whole.value.fields == {term: error.value.fields[term] for term in ("closes_on", "criteria")}
    # What is unsound in itself is not held against the rest.
    terms["criteria"][1] = {**CRITERIA[1], "weight": "50"}
    with pytest.raises(Invalid) as partly:
        programme.call("open_round", cdo(), **{**terms, "closes_on": "tomorrow"})
    assert set(partly.value.fields) == {"title", "quorum", "closes_on", "criteria.1.weight"}


def test_an_answer_that_got_lost_is_given_again_although_the_window_is_over_by_now(
    programme: Programme, today: clock.FixedClock
) -> None:
    terms = round_terms(closes_on="2026-10-05")
    opened = programme.call("open_round", cdo(), **terms, idempotency_key="the-same-key")
    today.advance(timedelta(days=1))
    assert programme.call("open_round", cdo(), **terms, idempotency_key="the-same-key") == opened


def test_only_the_cdo_opens_changes_and_closes(programme: Programme) -> None:
    round_id = programme.open_round()
    for principal in (proposer(), chair()):
        with pytest.raises(Forbidden):
            programme.call("change_round", principal, round_id=round_id, expected_version=1, reason="No.", quorum=1)
        with pytest.raises(Forbidden):
            programme.call("open_round", principal, **round_terms())
        with pytest.raises(Forbidden):
            programme.call("close_round", principal, round_id=round_id)


def test_a_round_is_closed_early_once(programme: Programme, today: clock.FixedClock) -> None:
    round_id = programme.open_round()
    waiting = programme.submitted(round_id)
    closed = programme.call("close_round", cdo(), round_id=round_id)
    assert (closed["state"], closed["closed_at"]) == ("closed", "2026-10-05T09:30:00+00:00")
    assert (closed["closes_at"], closed["closed_by"]) == (closed["closed_at"], cdo().subject)
    (event,) = programme.told("round_closed")
    assert event.data == {"round_id": round_id, "closed_at": "2026-10-05T09:30:00+00:00"}
    assert event.sequence == 2
    with pytest.raises(Conflict, match="closed on 5 October 2026 at 09:30:00 UTC already"):
        programme.call("close_round", cdo(), round_id=round_id)
    assert programme.seen(waiting)["state"] == "submitted"


def test_a_round_is_closed_by_the_clock_at_the_end_of_its_last_day(
    programme: Programme, today: clock.FixedClock
) -> None:
    round_id = programme.open_round()
    early = programme.open_round()
    programme.call("close_round", cdo(), round_id=early)
    today.at = datetime(2026, 11, 30, 23, 59, 59, 999_999, tzinfo=UTC)
    programme.tick()
    assert len(programme.told("round_closed")) == 1
    assert programme.call("get_round", chair(), round_id=round_id)["closed_at"] is None
    # The service was down on the day: the record says when the round closed, not when that was put down.
    today.at = datetime(2026, 12, 3, 8, tzinfo=UTC)
    for _ in range(2):
        programme.tick()
        _, event = programme.told("round_closed")
    assert (event.subject, event.sequence) == (round_id, 2)
    assert event.data == {"round_id": round_id, "closed_at": "2026-12-01T00:00:00+00:00"}
    closed = programme.call("get_round", chair(), round_id=round_id)
    assert (closed["closed_at"], closed["closed_by"]) == (closed["closes_at"], "the clock")
    assert closed["closes_at"] == "2026-12-01T00:00:00+00:00"
    with pytest.raises(Conflict, match="closed on 30 November 2026 at 24:00 UTC already"):
        programme.call("close_round", cdo(), round_id=round_id)


def test_what_the_clock_did_stands_in_the_audit_trail(programme: Programme, today: clock.FixedClock) -> None:
    round_id = programme.open_round(opens_on="2026-11-01")
    today.at = datetime(2027, 2, 1, tzinfo=UTC)
    programme.tick()
    done = programme.database.run(lambda session: session.execute(select(audit).where(audit.c.kind == "clock")).all())
    assert [(row.method, row.subject) for row in done] == [("begin_rounds", None), ("close_rounds", None)]
    assert [row.objects for row in done] == [{"reference": "R-2026-0001", "round_id": round_id}] * 2


def test_the_trail_of_what_the_clock_did_is_sealed_exported_and_verified(
    programme: Programme, today: clock.FixedClock, tmp_path: Path
) -> None:
    programme.open_round(closes_on="2026-10-05")
    today.advance(timedelta(days=1))
    programme.tick()
    with own_connection(programme.database) as turn:
        Sealer("proposals", turn).seal()
    url = programme.database.url.render_as_string(hide_password=False)
    exported = tmp_path / "trail.jsonl"
    for command in (
        ["verify", "proposals", "--database-url", url],
        ["export", "proposals", "--database-url", url, "--output", str(exported)],
        ["verify", "proposals", "--file", str(exported)],
    ):
        result = CliRunner().invoke(main, ["audit", *command])
        assert result.exit_code == 0, result.output
    assert [json.loads(line)["row"]["kind"] for line in exported.read_text().splitlines()] == ["call", "clock"]


def test_a_round_of_which_nobody_heard_is_told_open_before_it_is_told_closed(
    programme: Programme, today: clock.FixedClock
) -> None:
    slept_through = programme.open_round(opens_on="2026-11-01", closes_on="2026-11-02")
    by_hand = programme.open_round(opens_on="2026-11-01")
    today.at = datetime(2026, 11, 3, 9, tzinfo=UTC)
    programme.call("close_round", cdo(), round_id=by_hand)
    # Should the one fail, the other waits for it.
    assert not programme.database.run(lambda session: session.scalars(rounds_to_close(today.now())).all())
    programme.tick()
    for round_id in (slept_through, by_hand):
        events = [event for event in programme.told() if event.subject == round_id]
        assert [(event.name, event.sequence) for event in events] == [("round_opened", 1), ("round_closed", 2)]


def test_a_closing_by_hand_after_the_end_says_when_the_end_was(programme: Programme, today: clock.FixedClock) -> None:
    round_id = programme.open_round()
    today.at = datetime(2026, 12, 3, 8, tzinfo=UTC)
    closed = programme.call("close_round", cdo(), round_id=round_id)
    assert (closed["closed_at"], closed["closed_by"]) == ("2026-12-01T00:00:00+00:00", cdo().subject)
    programme.tick()
    assert len(programme.told("round_closed")) == 1


def test_eligibility_does_not_wait_for_the_clock(programme: Programme, today: clock.FixedClock) -> None:
    """Nobody ticked: whether a round takes proposals is a matter of its window."""
    round_id = programme.open_round(opens_on="2026-11-01")
    late, in_time = programme.draft(round_id), programme.draft(round_id)
    programme.members(*content()["participants"], content()["lead_council"])
    today.at = datetime(2026, 11, 1, tzinfo=UTC)
    assert programme.call("submit_proposal", proposer(), proposal_id=in_time)["state"] == "submitted"
    today.at = datetime(2026, 12, 1, tzinfo=UTC)
    with pytest.raises(Conflict) as error:
        programme.call("submit_proposal", proposer(), proposal_id=late)
    sentence = "R-2026-0001 closed on 30 November 2026 at 24:00 UTC and takes no more proposals."
    assert error.value.fields == {"round_open": [sentence]}
    assert sentence in error.value.message
    with pytest.raises(Conflict, match="closed on 30 November 2026 at 24:00 UTC; choose a round") as draft:
        programme.draft(round_id)
    assert draft.value.fields == {"round_id": ["Closed on 30 November 2026 at 24:00 UTC."]}
    assert [event.name for event in programme.told()] == ["proposal_submitted"]


def test_a_process_whose_clock_is_behind_takes_nothing_once_the_round_was_told_to_be_closed(
    programme: Programme, today: clock.FixedClock
) -> None:
    round_id = programme.open_round()
    proposal_id = programme.draft(round_id)
    programme.members(*content()["participants"], content()["lead_council"])
    today.at = datetime(2026, 12, 1, tzinfo=UTC)
    programme.tick()
    today.at -= timedelta(milliseconds=20)
    with pytest.raises(Conflict, match="closed on 30 November 2026 at 24:00 UTC"):
        programme.call("submit_proposal", proposer(), proposal_id=proposal_id)


def test_a_round_is_decided_once_every_proposal_handed_in_is(programme: Programme, today: clock.FixedClock) -> None:
    round_id = programme.open_round()
    programme.draft(round_id)
    waiting = programme.assessed(round_id)
    today.at = datetime(2026, 12, 1, tzinfo=UTC)
    assert programme.call("get_round", chair(), round_id=round_id)["state"] == "closed"
    programme.call(
        "determine", chair(), proposal_id=waiting, revision=1, outcome="rejected", minute="Overlaps with another."
    )
    assert programme.call("get_round", chair(), round_id=round_id)["state"] == "decided"


def test_rounds_come_in_pages(programme: Programme) -> None:
    opened = [programme.open_round(title=f"Round {number}") for number in range(5)]
    programme.submitted(opened[1])
    first = programme.call("list_rounds", proposer(), limit=3)
    rest = programme.call("list_rounds", proposer(), limit=3, cursor=first["next_cursor"])
    assert [item["round_id"] for item in first["items"] + rest["items"]] == opened
    assert rest["next_cursor"] is None
    assert {item["state"] for item in first["items"]} == {"open"}


def test_a_round_that_does_not_exist_is_not_found(programme: Programme) -> None:
    change = {"expected_version": 1, "reason": "More time.", "closes_on": "2026-12-31"}
    for method, principal, request in (
        ("get_round", proposer(), {}),
        ("close_round", cdo(), {}),
        ("change_round", cdo(), change),
    ):
        with pytest.raises(NotFound, match="no such round"):
            programme.call(method, principal, round_id=new_id(), **request)


def test_references_count_anew_each_year(programme: Programme, today: clock.FixedClock) -> None:
    round_id = programme.open_round(closes_on="2027-01-31")
    first, second = programme.draft(round_id), programme.draft(round_id)
    today.advance(timedelta(days=100))
    third = programme.draft(round_id)
    references = [programme.seen(proposal_id)["reference"] for proposal_id in (first, second, third)]
    assert references == ["P-2026-0001", "P-2026-0002", "P-2027-0001"]
