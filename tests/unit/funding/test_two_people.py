"""Two people for money: whatever people try, in whatever order and roles, nobody stands on both sides of a pair."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from services.funding.domain import awards, drawdowns
from services.funding.domain.awards import AwardState
from services.funding.domain.drawdowns import TrancheState
from services.funding.domain.people import Part, parts_of
from shared import ids
from shared.errors import CommonwealError, Forbidden
from shared.security.principal import APPROVER, PROPOSER, S95_OFFICER, TREASURER, Principal
from tests.support.funding import EDINBURGH, NOW, AnAward, ATranche

SUBJECTS = ("ann@edinburgh.example", "ben@edinburgh.example", "cat@edinburgh.example")
ROLES = frozenset({TREASURER, APPROVER, S95_OFFICER, PROPOSER})
PEOPLE = {subject: Principal(subject, ROLES, EDINBURGH) for subject in SUBJECTS}

#: What may be tried, and the role that the service asks for.
ACTIONS: dict[str, Callable[[AnAward, ATranche, Principal], Any]] = {
    "approve_award": lambda award, tranche, by: awards.approve_award(award, by=by, at=NOW),
    "accept_award": lambda award, tranche, by: awards.accept_award(award, by=by, at=NOW, project_id=ids.new_id()),
    "request": lambda award, tranche, by: drawdowns.request_drawdown(tranche, award, by=by, at=NOW, evidence="Report."),
    "approve": lambda award, tranche, by: drawdowns.approve_drawdown(tranche, by=by, at=NOW),
    "reject": lambda award, tranche, by: drawdowns.reject_drawdown(tranche, by=by, at=NOW, reason="No report."),
    "pay": lambda award, tranche, by: drawdowns.pay_tranche(tranche, by=by, paid_on=NOW.date(), today=NOW.date()),
}


@given(
    offered_by=st.sampled_from(SUBJECTS),
    attempts=st.lists(st.tuples(st.sampled_from(list(ACTIONS)), st.sampled_from(SUBJECTS)), max_size=20),
)
def test_nobody_stands_on_both_sides(offered_by: str, attempts: list[tuple[str, str]]) -> None:
    award, tranche = AnAward(offered_by=offered_by), ATranche(state=TrancheState.CLAIMABLE)
    paid_by: str | None = None
    for action, subject in attempts:
        try:
            ACTIONS[action](award, tranche, PEOPLE[subject])
        except CommonwealError:
            continue
        event(action)
        if action == "pay":
            paid_by = subject
        answered = [who for who in (award.offered_by, award.approved_by, award.accepted_by) if who is not None]
        assert len(set(answered)) == len(answered)
        if tranche.state in (TrancheState.APPROVED, TrancheState.PAID):
            moved = [who for who in (tranche.requested_by, tranche.approved_by, paid_by) if who is not None]
            assert len(set(moved)) == len(moved)


def test_three_people_can_go_the_whole_way() -> None:
    """The counterpart: the rule above is not kept by refusing everybody."""
    ann, ben, cat = (PEOPLE[subject] for subject in SUBJECTS)
    award, tranche = AnAward(offered_by=ann.subject), ATranche(state=TrancheState.CLAIMABLE)
    for action, who in (
        ("approve_award", ben),
        ("accept_award", cat),
        ("request", ann),
        ("approve", ben),
        ("pay", cat),
    ):
        ACTIONS[action](award, tranche, who)
    assert (award.state, tranche.state) == (AwardState.ACTIVE, TrancheState.PAID)


@pytest.mark.parametrize(
    ("award", "tranche", "action"),
    [
        ({}, {}, "approve_award"),
        ({"offered_by": "ben@edinburgh.example", "approved_by": SUBJECTS[0]}, {}, "accept_award"),
        ({"approved_by": "ben@edinburgh.example"}, {}, "accept_award"),
        ({}, {"state": TrancheState.REQUESTED, "requested_by": SUBJECTS[0]}, "approve"),
        ({}, {"state": TrancheState.APPROVED, "approved_by": SUBJECTS[0]}, "pay"),
        ({}, {"state": TrancheState.APPROVED, "requested_by": SUBJECTS[0], "approved_by": "ben"}, "pay"),
    ],
)
def test_each_pair_is_refused_to_one_person(award: dict[str, Any], tranche: dict[str, Any], action: str) -> None:
    award_facts = AnAward(**{"offered_by": SUBJECTS[0], **award})
    with pytest.raises(Forbidden) as refusal:
        ACTIONS[action](award_facts, ATranche(**tranche), PEOPLE[SUBJECTS[0]])
    assert refusal.value.code == "two_people"


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (Part.HANDED_IN, "You handed this proposal in"),
        (Part.CONFIRMED, "You confirmed your council's part in this proposal"),
        (Part.DECIDED, "You decided on this proposal"),
        (Part.SAT_ON_THE_PANEL, "You sat on the panel that decided on this proposal"),
    ],
)
def test_whoever_had_a_part_in_the_proposal_does_not_approve_the_offer(part: Part, said: str) -> None:
    award = AnAward(offered_by="dee@edinburgh.example", parts=parts_of([(part, SUBJECTS[0])]))
    with pytest.raises(Forbidden, match=f"{said}, so a second person must approve the offer") as refusal:
        awards.approve_award(award, by=PEOPLE[SUBJECTS[0]], at=NOW)
    assert refusal.value.code == "two_people"
    awards.approve_award(award, by=PEOPLE[SUBJECTS[1]], at=NOW)


def test_the_first_of_several_parts_is_told_and_nobody_has_none() -> None:
    people = [(Part.HANDED_IN, None), (Part.CONFIRMED, "ann"), (Part.DECIDED, "ann"), (Part.DECIDED, "ben")]
    assert parts_of(people) == {"ann": Part.CONFIRMED, "ben": Part.DECIDED}
