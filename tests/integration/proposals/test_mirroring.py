"""Funding's events, whatever their order and however often they come."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from services.proposals.models import Member
from shared.errors import Conflict
from shared.ids import new_id
from shared.proposal_content import ProposalContent
from tests.support.proposals import EDINBURGH, GLASGOW, Programme, content, proposer

AT = datetime(2026, 12, 1, 12, tzinfo=UTC)


class Award:
    """An award of a proposal, and the events that funding would tell of it."""

    def __init__(self, programme: Programme, proposal_id: str) -> None:
        self.programme = programme
        self.award_id, self.project_id = new_id(), new_id()
        self.about: dict[str, Any] = {
            "award_id": self.award_id,
            "pool_id": programme.pool_id,
            "proposal_id": UUID(proposal_id),
            "proposal_reference": "P-2026-0001",
            "lead_council": EDINBURGH,
        }

    def offered(self) -> None:
        facts = {"amount_pence": 25_000_000, "expires_on": date(2026, 12, 31)}
        self.programme.deliver("award_offered", **self.about, **facts)

    def declined(self) -> None:
        self.programme.deliver("award_declined", **self.about, reason="No staff to run it.", declined_at=AT)

    def funded(self) -> None:
        self.programme.deliver(
            "project_funded",
            **self.about,
            project_id=self.project_id,
            amount_pence=25_000_000,
            revision=1,
            content_hash="0" * 64,
            content=ProposalContent().load(content()),
            funded_at=AT,
        )


def test_a_member_joins_once_however_often_it_is_told(programme: Programme) -> None:
    for _ in range(3):
        programme.members(EDINBURGH, GLASGOW)
    programme.members(EDINBURGH, joins_on=date(2027, 4, 1))
    rows = programme.database.run(lambda session: list(session.scalars(select(Member))))
    assert sorted((row.council, row.joins_on) for row in rows) == [
        (EDINBURGH, date(2026, 4, 1)),
        (EDINBURGH, date(2027, 4, 1)),
        (GLASGOW, date(2026, 4, 1)),
    ]


def test_an_offer_is_noted_and_changes_no_state(programme: Programme) -> None:
    proposal_id = programme.decided()
    award = Award(programme, proposal_id)
    award.offered()
    seen = programme.seen(proposal_id, proposer())
    assert seen["state"] == "approved"
    assert seen["award"] == {
        "award_id": str(award.award_id),
        "state": "offered",
        "amount_pence": 25_000_000,
        "expires_on": "2026-12-31",
        "project_id": None,
        "reason": None,
    }


@pytest.mark.parametrize(
    "order", [["offered", "funded"], ["funded", "offered"], ["offered", "funded", "offered", "funded"]]
)
def test_a_proposal_is_funded_in_whatever_order_it_is_told(programme: Programme, order: list[str]) -> None:
    proposal_id = programme.decided()
    award = Award(programme, proposal_id)
    for name in order:
        getattr(award, name)()
    seen = programme.seen(proposal_id)
    assert (seen["state"], seen["award"]["state"]) == ("funded", "funded")
    assert seen["award"]["project_id"] == str(award.project_id)
    assert seen["award"]["expires_on"] == "2026-12-31"
    told = len(programme.told())
    award.offered()
    assert programme.seen(proposal_id) == seen
    assert len(programme.told()) == told


@pytest.mark.parametrize("order", [["offered", "declined"], ["declined", "offered", "declined"]])
def test_a_declined_award_leaves_a_proposal_not_funded(programme: Programme, order: list[str]) -> None:
    proposal_id = programme.decided()
    award = Award(programme, proposal_id)
    for name in order:
        getattr(award, name)()
    seen = programme.seen(proposal_id)
    assert (seen["state"], seen["award"]["state"]) == ("not_funded", "declined")
    assert seen["award"]["reason"] == "No staff to run it."


def test_a_second_offer_revives_a_proposal_even_when_the_first_refusal_comes_late(programme: Programme) -> None:
    proposal_id = programme.decided()
    first, second = Award(programme, proposal_id), Award(programme, proposal_id)
    first.offered()
    second.offered()
    first.declined()
    seen = programme.seen(proposal_id)
    assert (seen["state"], seen["award"]["award_id"]) == ("approved", str(second.award_id))
    second.funded()
    first.declined()
    assert programme.seen(proposal_id)["state"] == "funded"


def test_an_award_is_not_both_taken_and_declined(programme: Programme) -> None:
    proposal_id = programme.decided()
    award = Award(programme, proposal_id)
    award.funded()
    seen = programme.seen(proposal_id)
    with pytest.raises(Conflict) as error:
        award.declined()
    assert error.value.code == "award_contradicted"
    assert programme.seen(proposal_id) == seen


def test_an_award_or_a_project_of_another_proposal_is_a_contradiction(programme: Programme) -> None:
    round_id = programme.open_round()
    first, other = (programme.decided(round_id=round_id) for _ in range(2))
    award = Award(programme, first)
    award.funded()
    seen = programme.seen(other)
    stolen, twice = Award(programme, other), Award(programme, other)
    stolen.about["award_id"] = award.award_id
    twice.project_id = award.project_id
    for wrong in (stolen.offered, stolen.funded, twice.funded):
        with pytest.raises(Conflict) as error:
            wrong()
        assert error.value.code == "award_contradicted"
    assert programme.seen(other) == seen


def test_an_award_of_a_proposal_that_is_not_here_waits(programme: Programme) -> None:
    with pytest.raises(Conflict) as error:
        Award(programme, str(new_id())).offered()
    assert error.value.code == "proposal_unknown"


def test_an_award_of_a_proposal_that_was_not_approved_waits(programme: Programme) -> None:
    for proposal_id in (programme.draft(), programme.under_assessment()):
        with pytest.raises(Conflict) as error:
            Award(programme, proposal_id).funded()
        assert error.value.code == "wrong_state"
        assert programme.seen(proposal_id)["award"] is None
