"""Who may know of what, one table for all: reading a proposal, listing it and acting on it agree."""

import pytest
from sqlalchemy import event

from shared.errors import NotFound
from shared.ids import new_id
from shared.security.principal import APPROVER, OPERATOR, SYSTEM, TREASURER, Principal
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
    s95_officer,
    sponsor,
)

LEAD = [proposer(), sponsor(EDINBURGH), s95_officer()]
PARTICIPANTS = [proposer(ABERDEENSHIRE), sponsor(EAST_DUNBARTONSHIRE)]
READERS = [assessor(), chair(), *(person(role) for role in (TREASURER, APPROVER, OPERATOR))]
STRANGERS = [
    proposer(GLASGOW),
    sponsor(GLASGOW),
    person(SYSTEM),
    Principal("x@y.example", frozenset({SYSTEM}), EDINBURGH),
]
ALL = [*LEAD, *PARTICIPANTS, *READERS, *STRANGERS, cdo()]

KNOWN_TO = {
    "draft": [*LEAD, cdo()],
    "submitted": [*LEAD, *PARTICIPANTS, *READERS, cdo()],
    "under_assessment": [*LEAD, *PARTICIPANTS, *READERS, cdo()],
    "decided": ALL,
}


@pytest.mark.parametrize("bring", KNOWN_TO)
def test_a_proposal_is_known_to_those_whom_it_concerns(programme: Programme, bring: str) -> None:
    proposal_id = getattr(programme, bring)()
    for principal in ALL:
        listed = [item["proposal_id"] for item in programme.call("list_proposals", principal)["items"]]
        if principal in KNOWN_TO[bring]:
            assert programme.seen(proposal_id, principal)["proposal_id"] == proposal_id
            assert listed == [proposal_id], principal
            continue
        assert listed == [], principal
        for method in ("get_proposal", "check_eligibility"):
            with pytest.raises(NotFound):
                programme.call(method, principal, proposal_id=proposal_id)
        with pytest.raises(NotFound):
            programme.call("get_revision", principal, proposal_id=proposal_id, revision=1)
        for to_revision in (1, None):
            request = {"proposal_id": proposal_id, "from_revision": 1, "to_revision": to_revision}
            with pytest.raises(NotFound, match="no such proposal"):
                programme.call("compare_revisions", principal, **request)


def test_a_withdrawn_proposal_stays_with_those_who_knew_of_it(programme: Programme) -> None:
    draft, submitted = programme.draft(), programme.submitted()
    for proposal_id in (draft, submitted):
        programme.call("withdraw_proposal", proposer(), proposal_id=proposal_id, reason="Built elsewhere.")
    for principal in ALL:
        listed = {item["proposal_id"] for item in programme.call("list_proposals", principal)["items"]}
        expected = {draft} if principal in KNOWN_TO["draft"] else set()
        assert listed == expected | ({submitted} if principal in KNOWN_TO["submitted"] else set()), principal


def test_what_one_may_not_know_of_is_refused_like_what_does_not_exist(programme: Programme) -> None:
    proposal_id = programme.draft()
    attempts: list[tuple[str, Principal, dict[str, object]]] = [
        ("submit_proposal", proposer(GLASGOW), {}),
        ("withdraw_proposal", proposer(GLASGOW), {"reason": "Mine now."}),
        ("confirm_participation", sponsor(GLASGOW), {"revision": 1}),
        ("declare_conflict", assessor(), {"reason": "Curious."}),
        ("request_changes", chair(), {"reason": "Curious."}),
    ]
    for method, principal, rest in attempts:
        answers = []
        for wanted in (proposal_id, new_id()):
            with pytest.raises(NotFound) as error:
                programme.call(method, principal, proposal_id=wanted, **rest)
            answers.append(error.value.as_dict())
        assert answers[0] == answers[1], method


def test_lists_are_filtered_and_come_in_pages(programme: Programme) -> None:
    autumn, other = programme.open_round(), programme.open_round()
    draft = programme.draft(autumn)
    submitted = [programme.submitted(autumn) for _ in range(3)]
    glasgows = programme.submitted(
        other, lead_council=GLASGOW, participants=[ABERDEENSHIRE], benefits=_owned_by(GLASGOW)
    )

    def listed(**filters: object) -> list[str]:
        return [item["proposal_id"] for item in programme.call("list_proposals", cdo(), **filters)["items"]]

    assert listed() == [draft, *submitted, glasgows]
    assert listed(state="submitted") == [*submitted, glasgows]
    assert listed(round_id=other) == [glasgows]
    assert listed(council=GLASGOW) == [glasgows]
    assert listed(council=ABERDEENSHIRE) == [*submitted, glasgows]
    assert listed(council=EDINBURGH, state="submitted", round_id=autumn) == submitted
    first = programme.call("list_proposals", cdo(), limit=2)
    rest = programme.call("list_proposals", cdo(), limit=100, cursor=first["next_cursor"])
    assert [item["proposal_id"] for item in first["items"] + rest["items"]] == listed()
    assert first["items"][1] == {
        "proposal_id": submitted[0],
        "reference": "P-2026-0002",
        "round_id": autumn,
        "state": "submitted",
        "revision": 1,
        "title": "One online payments service for three councils",
        "lead_council": EDINBURGH,
        "participants": [ABERDEENSHIRE, EAST_DUNBARTONSHIRE],
        "requested_pence": 25_000_000,
        "submitted_at": "2026-10-05T09:30:00+00:00",
        "score": None,
    }


def test_a_proposal_of_many_revisions_is_read_with_no_more_statements_than_one_of_two(programme: Programme) -> None:
    proposal_id = programme.submitted()

    def next_revision() -> None:
        programme.call("request_changes", chair(), proposal_id=proposal_id, reason="Shorter.")
        programme.call("submit_proposal", proposer(), proposal_id=proposal_id)

    def statements() -> int:
        counted: list[str] = []

        def count(_: object, __: object, statement: str, *rest: object) -> None:
            counted.append(statement)

        event.listen(programme.database.engine, "before_cursor_execute", count)
        programme.seen(proposal_id, chair())
        event.remove(programme.database.engine, "before_cursor_execute", count)
        return len(counted)

    next_revision()
    of_two = statements()
    for _ in range(4):
        next_revision()
    assert programme.seen(proposal_id)["revision"] == 6
    assert 0 < statements() == of_two


def _owned_by(council: str) -> list[dict[str, object]]:
    benefit = content()["benefits"][0]
    return [{**benefit, "owner_council": council, "targets": [{**benefit["targets"][0], "council": council}]}]
