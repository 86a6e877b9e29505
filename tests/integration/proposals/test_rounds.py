"""Rounds on a real database."""

from datetime import UTC, datetime, timedelta

import pytest

from shared import clock
from shared.errors import Conflict, Forbidden, Invalid, NotFound
from shared.ids import new_id
from tests.support.proposals import CRITERIA, Programme, assessor, cdo, chair, proposer, round_terms


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


def test_a_round_may_be_announced_before_its_window_begins(programme: Programme) -> None:
    planned = programme.call("open_round", cdo(), **round_terms(opens_on="2026-11-01"))
    assert planned["state"] == "planned"
    assert [event.name for event in programme.told()] == ["round_opened"]


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


def test_only_the_cdo_opens_and_closes(programme: Programme) -> None:
    round_id = programme.open_round()
    for principal in (proposer(), chair()):
        with pytest.raises(Forbidden):
            programme.call("open_round", principal, **round_terms())
        with pytest.raises(Forbidden):
            programme.call("close_round", principal, round_id=round_id)


def test_a_round_is_closed_early_once(programme: Programme, today: clock.FixedClock) -> None:
    round_id = programme.open_round()
    waiting = programme.submitted(round_id)
    closed = programme.call("close_round", cdo(), round_id=round_id)
    assert (closed["state"], closed["closed_at"]) == ("closed", "2026-10-05T09:30:00+00:00")
    (event,) = programme.told("round_closed")
    assert event.data == {"round_id": round_id, "closed_at": "2026-10-05T09:30:00+00:00"}
    assert event.sequence == 2
    with pytest.raises(Conflict, match="closed on 2026-10-05 already"):
        programme.call("close_round", cdo(), round_id=round_id)
    assert programme.seen(waiting)["state"] == "submitted"


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
    for method, principal in (("get_round", proposer()), ("close_round", cdo())):
        with pytest.raises(NotFound, match="no such round"):
            programme.call(method, principal, round_id=new_id())


def test_references_count_anew_each_year(programme: Programme, today: clock.FixedClock) -> None:
    round_id = programme.open_round(closes_on="2027-01-31")
    first, second = programme.draft(round_id), programme.draft(round_id)
    today.advance(timedelta(days=100))
    third = programme.draft(round_id)
    references = [programme.seen(proposal_id)["reference"] for proposal_id in (first, second, third)]
    assert references == ["P-2026-0001", "P-2026-0002", "P-2027-0001"]
