"""Lists, counts and the search for similar proposals look in the register, which is what the proposals say it is."""

import itertools
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import delete, event, select
from sqlalchemy.orm import Session

from services.proposals import register
from services.proposals.domain import wording
from services.proposals.domain.similarity import THRESHOLD
from services.proposals.domain.states import DECIDED, State
from services.proposals.models import Proposal, ProposalCouncil, ProposalWord, ProposalWording
from shared import clock
from shared.errors import Invalid, NotFound
from shared.ids import new_id
from shared.security.principal import ASSESSOR, CDO, COUNCIL_ROLES, PROPOSER, SYSTEM, TREASURER, Principal
from shared.storage import migrate
from shared.storage.database import Database
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
    person,
    proposer,
    sponsor,
)
from tests.support.servers import Servers
from tests.support.stage import eventually, fresh_stage

CALLERS = {
    "cdo": cdo(),
    "assessor": assessor(),
    "treasurer": person(TREASURER),
    "chair of Glasgow": chair(GLASGOW),
    "Edinburgh": proposer(),
    "Glasgow": sponsor(GLASGOW),
    "Aberdeenshire's, who also assesses": Principal("both@a.example", frozenset({PROPOSER, ASSESSOR}), ABERDEENSHIRE),
    "nobody in particular": person(SYSTEM),
}


def told(title: str, **changes: Any) -> dict[str, Any]:
    """A proposal by Edinburgh or another council about something, with nothing else in common with others."""
    lead = changes.get("lead_council", EDINBURGH)
    benefit = content()["benefits"][0]
    return {
        "title": title,
        "problem": "It is so.",
        "user_need": f"{title}, for us.",
        "benefits": [
            {**benefit, "title": title, "owner_council": lead, "targets": [{**benefit["targets"][0], "council": lead}]}
        ],
        **changes,
    }


# --- lists ----------------------------------------------------------------------------------------------------------

GLASGOWS = {"lead_council": GLASGOW, "participants": [ABERDEENSHIRE]}
_BY = {"lead_council": EDINBURGH, "participants": [ABERDEENSHIRE, EAST_DUNBARTONSHIRE]}


@pytest.fixture
def settled(programme: Programme) -> Programme:
    """Proposals in every state but those of awards, led by two councils, in two rounds, with changed participants."""
    first, second = programme.open_round(), programme.open_round()
    for by in (_BY, GLASGOWS):
        programme.draft(first, **told("Paying bills online", **by))
        programme.submitted(first, **told("Bills, paid by phone", **by))
        programme.draft(second, **told("Online bin collections", **by))
        programme.decided("rejected", second, **told("Collections of missed bins, online", **by))
        withdrawn = programme.draft(first, **told("Paying for parking", **by))
        programme.call("withdraw_proposal", proposer(by["lead_council"]), proposal_id=withdrawn, reason="No.")
    programme.decided("approved", first, **told("Online billing"))
    sent_back = programme.submitted(first, **told("Collections online"))
    programme.call("request_changes", chair(), proposal_id=sent_back, reason="Say more.")
    withdrawn = programme.submitted(first, **told("Phone lines", **GLASGOWS))
    programme.call("withdraw_proposal", proposer(GLASGOW), proposal_id=withdrawn, reason="No.")
    revised(programme, second)
    return programme


def revised(programme: Programme, called: str) -> str:
    """Hand in a proposal again with another participant and other words."""
    proposal_id = programme.submitted(called, **told("Payments by post"))
    programme.call("request_changes", chair(), proposal_id=proposal_id, reason="Ask Glasgow.")
    changed = content(**told("Payments by parcel", participants=[GLASGOW]))
    version = programme.seen(proposal_id)["draft_version"]
    update = {"proposal_id": proposal_id, "content": changed, "expected_revision": version}
    programme.call("update_proposal", proposer(), **update)
    programme.members(GLASGOW)
    programme.call("submit_proposal", proposer(), proposal_id=proposal_id)
    return proposal_id


def may_know(principal: Principal, row: Proposal) -> bool:
    """The rule as its sentence has it."""
    ours = principal.council is not None and principal.has(*COUNCIL_ROLES)
    if principal.has(CDO) or row.state in DECIDED or (ours and row.lead_council == principal.council):
        return True
    takes_part = ours and principal.council in row.participants
    return row.revision > 0 and (takes_part or principal.has(ASSESSOR, TREASURER, "panel_chair"))


def is_wanted(row: Proposal, words: dict[str, Any], filters: dict[str, Any]) -> bool:
    concerned = [row.lead_council, *(row.participants if row.revision > 0 else [])]
    text = filters.get("text", "")
    return (
        filters.get("state") in (None, row.state)
        and filters.get("round_id") in (None, str(row.round_id))
        and filters.get("council") in (None, *concerned)
        and (set(wording.of_query(text)) <= words.keys() or row.reference == text)
    )


def paged(programme: Programme, principal: Principal, limit: int, **filters: Any) -> Iterator[list[str]]:
    cursor = None
    while True:
        page = programme.call("list_proposals", principal, limit=limit, cursor=cursor, **filters)
        yield [item["proposal_id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            return


def everything(session: Session) -> list[tuple[Proposal, dict[str, Any]]]:
    rows = session.scalars(select(Proposal).order_by(Proposal.id)).all()
    said = [wording.of_proposal(row.current.content if row.current else row.draft) for row in rows]
    return list(zip(rows, said, strict=True))


def combinations(called: str) -> list[dict[str, Any]]:
    found = [
        {"state": state, "round_id": round_id, "council": council, "text": text}
        for state in (None, State.DRAFT, State.SUBMITTED, State.CHANGES_REQUESTED, State.REJECTED, State.WITHDRAWN)
        for round_id in (None, called)
        for council in (None, EDINBURGH, GLASGOW)
        for text in (None, "bill", "phone bills", "online Collection of missed bins", "P-2026-0003")
    ]
    return [{name: value for name, value in each.items() if value is not None} for each in found]


def test_every_combination_of_filters_finds_what_a_plain_filter_does(
    settled: Programme, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = settled.database.run(everything)
    asked = combinations(settled.call("list_rounds", cdo())["items"][0]["round_id"])
    found = 0
    for number, (caller, principal) in enumerate(CALLERS.items()):
        monkeypatch.setattr(register, "MAX_JOINED", 1 + number % 3)
        expected = [
            [str(row.id) for row, words in rows if may_know(principal, row) and is_wanted(row, words, filters)]
            for filters in asked
        ]
        for filters, whole in zip(asked, expected, strict=True):
            assert list(paged(settled, principal, 100, **filters)) == [whole], (caller, filters)
            found += len(whole)
        for filters, whole in random.Random(caller).sample(list(zip(asked, expected, strict=True)), 8):
            for limit in (1, 2):
                pages = list(paged(settled, principal, limit, **filters))
                assert [one for page in pages for one in page] == whole, (caller, limit, filters)
                assert all(len(page) == limit for page in pages[:-1])
    assert found > 300


def test_what_is_made_meanwhile_comes_once_and_nothing_twice(settled: Programme) -> None:
    for principal in (cdo(), proposer(), sponsor(GLASGOW)):
        seen: list[str] = []
        made: list[str] = []
        before = [one for page in paged(settled, principal, 100) for one in page]
        for page in paged(settled, principal, 2):
            seen += page
            if len(made) < 2:
                made.append(settled.draft(**told("Made meanwhile", **_BY)))
        expected = before + (made if principal != sponsor(GLASGOW) else [])
        assert seen == expected


def test_a_text_that_names_nothing_is_refused(programme: Programme) -> None:
    with pytest.raises(Invalid) as error:
        programme.call("list_proposals", cdo(), text="the of a")
    assert error.value.code == "nothing_to_look_for"
    assert "text" in error.value.fields
    with pytest.raises(Invalid):
        programme.call("list_proposals", cdo(), text="  ")


def test_a_list_shows_when_it_was_handed_in_and_the_score_to_those_who_may_see_it(programme: Programme) -> None:
    called = programme.open_round()
    programme.assessed(called)
    programme.decided("approved", called)
    shown = {}
    for name in ("cdo", "Edinburgh", "assessor"):
        items = programme.call("list_proposals", CALLERS[name])["items"]
        shown[name] = [item["score"] for item in items]
        assert [item["submitted_at"] for item in items] == ["2026-10-05T09:30:00+00:00"] * 2
    assert shown == {"cdo": ["73.00", "73.00"], "Edinburgh": [None, "73.00"], "assessor": [None, "73.00"]}


def test_the_counts_of_a_round_are_those_of_its_list(settled: Programme) -> None:
    rounds = [called["round_id"] for called in settled.call("list_rounds", cdo())["items"][:2]]
    for round_id, principal in itertools.product(rounds, CALLERS.values()):
        wanted = {"round_id": round_id}
        counts = settled.call("count_proposals", principal, **wanted)
        by_state = {each["state"]: each["proposals"] for each in counts["states"]}
        assert list(by_state) == [state.value for state in State]
        items = settled.call("list_proposals", principal, **wanted)["items"]
        assert by_state == {state.value: sum(item["state"] == state for item in items) for state in State}
        assert counts["total"] == len(items)
    with pytest.raises(NotFound):
        settled.call("count_proposals", principal, round_id=new_id())


# --- similar ones ---------------------------------------------------------------------------------------------------


def test_a_submission_is_told_of_what_is_like_it_in_any_round_and_council(programme: Programme) -> None:
    theirs = programme.decided("approved", **told("Paying council bills by phone", **GLASGOWS))
    waiting = programme.submitted(**told("Bills that are paid by phone", **GLASGOWS))
    programme.submitted(**told("Damp sensors in houses", **GLASGOWS))
    programme.draft(**told("Paying bills by phone", **GLASGOWS))
    ours = programme.draft(**told("Phone payment of bills: paying by phone"))
    before = programme.call("find_similar", proposer(), proposal_id=ours)["similar"]
    programme.members(EDINBURGH, ABERDEENSHIRE, EAST_DUNBARTONSHIRE)
    answer = programme.call("submit_proposal", proposer(), proposal_id=ours)
    assert answer["similar"] == before
    assert {found["proposal_id"] for found in before} == {theirs, waiting}
    assert [found["score"] for found in before] == sorted((found["score"] for found in before), reverse=True)
    [first] = [found for found in before if found["proposal_id"] == waiting]
    round_id = programme.seen(waiting)["round_id"]
    # What is told, and no more: Edinburgh may not read it yet.
    assert first == {
        "proposal_id": waiting,
        "reference": "P-2026-0002",
        "round_id": round_id,
        "state": "submitted",
        "title": "Bills that are paid by phone",
        "lead_council": GLASGOW,
        "participants": [ABERDEENSHIRE],
        "score": first["score"],
        "shared_words": [
            {"word": "bills", "stands_in": ["title", "need", "benefits"]},
            {"word": "phone", "stands_in": ["title", "need", "benefits"]},
        ],
        "sentence": "Shares bills and phone in title, need and benefits with P-2026-0002, Bills that are paid by phone"
        " (Glasgow City, submitted).",
    }
    assert THRESHOLD <= first["score"] <= 100
    with pytest.raises(NotFound):
        programme.seen(waiting, proposer())
    assert "similar" not in programme.seen(ours)


def test_the_draft_is_compared_by_those_who_see_it_and_the_revision_by_others(programme: Programme) -> None:
    bins = programme.submitted(**told("Missed bins", **GLASGOWS))
    trees = programme.submitted(**told("Survey of trees", **GLASGOWS))
    ours = programme.submitted(**told("Trees surveyed"))
    programme.call("request_changes", chair(), proposal_id=ours, reason="Rather bins.")
    version = programme.seen(ours)["draft_version"]
    changed = content(**told("Bins that were missed"))
    programme.call("update_proposal", proposer(), proposal_id=ours, content=changed, expected_revision=version)
    for principal, like in ((proposer(), bins), (cdo(), bins), (assessor(), trees), (sponsor(ABERDEENSHIRE), trees)):
        found = programme.call("find_similar", principal, proposal_id=ours)["similar"]
        assert [each["proposal_id"] for each in found] == [like]
    # To others it is what was handed in until it is handed in again.
    assert ours in [each["proposal_id"] for each in programme.call("find_similar", cdo(), proposal_id=trees)["similar"]]
    assert programme.call("find_similar", cdo(), proposal_id=bins)["similar"] == []


def test_no_more_than_ten_are_told_of_the_most_similar_first(programme: Programme) -> None:
    called = programme.open_round()
    for number in range(12):
        programme.submitted(called, **told("Missed bins " + "reported by crews " * (number % 3)))
    ours = programme.draft(called, **told("Missed bins"))
    found = programme.call("find_similar", proposer(), proposal_id=ours)["similar"]
    assert [each["score"] for each in found][:4] == [100] * 4
    assert len(found) == 10


def test_what_nobody_may_know_of_is_not_asked_about(programme: Programme) -> None:
    draft = programme.draft()
    for wanted in (draft, new_id()):
        with pytest.raises(NotFound):
            programme.call("find_similar", proposer(GLASGOW), proposal_id=wanted)


# --- what it holds --------------------------------------------------------------------------------------------------


def held(session: Session) -> dict[UUID, Any]:
    """What the register has of each proposal."""
    councils: dict[UUID, set[Any]] = {}
    for row in session.scalars(select(ProposalCouncil)):
        councils.setdefault(row.proposal_id, set()).add((row.council, row.round_id, row.state))
    words: dict[UUID, dict[str, int]] = {}
    for word in session.scalars(select(ProposalWord)):
        words.setdefault(word.proposal_id, {})[word.word] = word.weight
    return {
        row.proposal_id: (councils[row.proposal_id], words.get(row.proposal_id, {}), row.words)
        for row in session.scalars(select(ProposalWording))
    }


def should_be(session: Session) -> dict[UUID, Any]:
    return {
        row.id: (
            {
                (council, row.round_id, row.state)
                for council in [row.lead_council, *(row.participants if row.revision > 0 else [])]
            },
            {stem: word.weight for stem, word in words.items()},
            {stem: list(word) for stem, word in words.items()},
        )
        for row, words in everything(session)
    }


def enter_all(programme: Programme) -> int:
    done, entered = None, 0
    while batch := programme.database.run(partial(register.enter_stale, after=done)):
        done, entered = batch.upto, entered + batch.entered
    return entered


def test_it_is_kept_with_every_change(settled: Programme) -> None:
    assert settled.database.run(held) == settled.database.run(should_be)
    assert enter_all(settled) == 0


def test_what_an_older_version_wrote_is_entered(settled: Programme, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(register, "BATCH_SIZE", 3)
    monkeypatch.setattr(register, "MAX_LOOKED_AT", 5)
    as_it_was = settled.database.run(held)
    ids = list(as_it_was)

    def forget(session: Session) -> None:
        for table in (ProposalCouncil, ProposalWord, ProposalWording):
            session.execute(delete(table).where(table.proposal_id.in_(ids[:5])))

    settled.database.run(forget)
    assert enter_all(settled) == 5
    assert settled.database.run(held) == as_it_was
    # Another analysis of the same text.
    monkeypatch.setattr(wording, "ANALYSER", wording.ANALYSER + 1)
    monkeypatch.setattr(wording, "MAX_WORDS", 3)
    monkeypatch.setattr(wording, "_WEIGHTS", [2 * weight for weight in wording._WEIGHTS])
    assert enter_all(settled) == len(ids)
    assert settled.database.run(held) == settled.database.run(should_be) != as_it_was
    # A draft and a revision that it knows nothing of.
    monkeypatch.setattr(register, "enter", lambda *_: None)
    draft = settled.draft()
    settled.members(EDINBURGH, ABERDEENSHIRE, EAST_DUNBARTONSHIRE)
    monkeypatch.undo()
    monkeypatch.setattr(wording, "ANALYSER", wording.ANALYSER + 1)
    assert enter_all(settled) == 1
    monkeypatch.setattr(register, "enter", lambda *_: None)
    settled.call("submit_proposal", proposer(), proposal_id=draft)
    monkeypatch.undo()
    # The others have it from a later analysis, which an earlier one leaves alone.
    assert enter_all(settled) == 1
    assert settled.seen(draft, sponsor(ABERDEENSHIRE))["revision"] == 1


def test_proposals_from_before_the_register_are_in_it_after_the_upgrade(settled: Programme) -> None:
    as_it_was = settled.database.run(held)
    url = settled.database.url.render_as_string(hide_password=False)
    config = Config()
    config.set_main_option("script_location", "services.proposals:migrations")
    config.set_main_option("path_separator", "os")
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    command.downgrade(config, str(ScriptDirectory.from_config(config).get_revision("0006").down_revision))
    migrate.upgrade("proposals", url)
    # Who may know of what is so at once, the words follow when the service starts.
    assert [one for page in paged(settled, sponsor(ABERDEENSHIRE), 100) for one in page]
    councils = settled.database.run(lambda session: set(session.scalars(select(ProposalCouncil.proposal_id))))
    assert councils == as_it_was.keys()
    assert enter_all(settled) == len(as_it_was)
    assert settled.database.run(held) == as_it_was


def test_a_service_enters_what_is_not_in_it_as_it_starts(servers: Servers, tmp_path: Path) -> None:
    def prepare(service: str, url: str) -> str:
        migrate.upgrade(service, url)
        if service == "proposals":
            database = Database(url)
            with clock.using(clock.FixedClock(datetime(2026, 10, 5, tzinfo=UTC))):
                Programme(database).submitted(**told("Missed bins"))
                Programme(database).submitted(**told("Bins missed", **GLASGOWS))
            database.run(lambda session: [session.execute(delete(table)) for table in (ProposalWord, ProposalWording)])
            database.close()
        return url

    with fresh_stage(servers, tmp_path, services=("proposals",), prepare=prepare) as stage:
        caller = stage.caller(CDO).proposals
        eventually(lambda: len(caller.list_proposals(text="bins")["items"]) == 2)
        [proposal, other] = caller.list_proposals()["items"]
        [found] = caller.find_similar(proposal_id=proposal["proposal_id"])["similar"]
        assert (found["reference"], found["score"]) == (other["reference"], 100)
        eventually(lambda: "2 proposals were entered into the register" in stage.processes["proposals"].output())


# --- what reading costs ---------------------------------------------------------------------------------------------


def test_reading_takes_as_many_statements_whatever_there_is(programme: Programme) -> None:
    proposal_id = programme.assessed()
    asked: list[str] = []
    event.listen(programme.database.engine, "before_cursor_execute", lambda *args: asked.append(args[2]))

    def statements(method: str, principal: Principal, **request: Any) -> int:
        asked.clear()
        programme.call(method, principal, **request)
        return len([statement for statement in asked if statement.startswith("SELECT")])

    def counted() -> dict[str, int]:
        return {
            "get": statements("get_proposal", cdo(), proposal_id=proposal_id),
            "list": statements("list_proposals", proposer()),
            "count": statements("count_proposals", proposer(), round_id=programme.seen(proposal_id)["round_id"]),
        }

    first = counted()
    for _ in range(3):
        programme.decided()
    assert counted() == first == {"get": 8, "list": 1, "count": 2}
