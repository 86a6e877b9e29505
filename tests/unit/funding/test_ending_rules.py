"""How awards end and how much of them can come back: examples, and any sequence against plain sums."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.funding.domain import drawdowns, endings
from services.funding.domain.awards import AwardState
from services.funding.domain.drawdowns import TrancheState
from shared import ids
from shared.errors import CommonwealError, Conflict, Invalid
from tests.support.funding import APPROVER_BEN, NOW, TREASURER_ANN, AnAward, ATranche

TODAY = NOW.date()
UNPAID = [state for state in TrancheState if state not in (TrancheState.PAID, TrancheState.CANCELLED)]
NOT_OPEN = [TrancheState.LOCKED, TrancheState.CLAIMABLE, TrancheState.PAID]


def active() -> AnAward:
    return AnAward(state=AwardState.ACTIVE, project_id=ids.new_id())


def days(*movements: tuple[int, int]) -> list[tuple[date, int]]:
    return [(TODAY + timedelta(days=day), pence) for day, pence in movements]


@pytest.mark.parametrize("state", NOT_OPEN)
def test_a_project_that_waits_for_no_money_is_completed(state: TrancheState) -> None:
    award, tranches = active(), [ATranche(state=state)]
    endings.complete_project(award, tranches, at=NOW)
    assert (award.state, award.completed_at) == (AwardState.COMPLETED, NOW)
    assert tranches[0].state == (TrancheState.PAID if state == TrancheState.PAID else TrancheState.CANCELLED)


@pytest.mark.parametrize("state", endings.OPEN_DRAWDOWNS)
def test_one_that_waits_for_money_is_not(state: TrancheState) -> None:
    award, tranches = active(), [ATranche(), ATranche(key="live", state=state)]
    with pytest.raises(Conflict, match=f"live is {state}") as refusal:
        endings.complete_project(award, tranches, at=NOW)
    assert refusal.value.code == "drawdown_open"
    assert (award.state, tranches[0].state) == (AwardState.ACTIVE, TrancheState.LOCKED)


@pytest.mark.parametrize("state", UNPAID)
def test_termination_cancels_whatever_is_not_paid(state: TrancheState) -> None:
    award, tranches = active(), [ATranche(state=state), ATranche(key="live", state=TrancheState.PAID)]
    endings.terminate_award(award, tranches, at=NOW, reason="Nobody uses it.")
    assert (award.state, award.terminated_at, award.termination_reason) == (
        AwardState.TERMINATED,
        NOW,
        "Nobody uses it.",
    )
    assert [tranche.state for tranche in tranches] == [TrancheState.CANCELLED, TrancheState.PAID]


@pytest.mark.parametrize("state", [state for state in AwardState if state != AwardState.ACTIVE])
def test_only_an_active_award_ends(state: AwardState) -> None:
    with pytest.raises(Conflict, match=f"is {state}; only an active one can be completed"):
        endings.complete_project(AnAward(state=state), [], at=NOW)
    with pytest.raises(Conflict, match=f"is {state}; only an active one can be terminated"):
        endings.terminate_award(AnAward(state=state), [], at=NOW, reason="Nobody uses it.")


def test_a_cancelled_tranche_is_neither_approved_nor_paid() -> None:
    tranche = ATranche(state=TrancheState.CANCELLED)
    drawdowns.unlock_tranche(tranche, TODAY)
    assert tranche.state == TrancheState.CANCELLED
    with pytest.raises(Conflict, match="is cancelled"):
        drawdowns.approve_drawdown(tranche, by=APPROVER_BEN, at=NOW)
    with pytest.raises(Conflict, match="is cancelled"):
        drawdowns.pay_tranche(tranche, by=TREASURER_ANN, paid_on=TODAY, today=TODAY)


@pytest.mark.parametrize("state", [AwardState.OFFERED, AwardState.DECLINED, AwardState.LAPSED])
def test_nothing_comes_back_of_what_was_never_accepted(state: AwardState) -> None:
    with pytest.raises(Conflict, match=f"is {state}; nothing has been paid") as refusal:
        check_return(1, 0, (0, 100), award=AnAward(state=state))
    assert refusal.value.code == "award_not_accepted"


def check_return(pence: int, day: int, *movements: tuple[int, int], award: AnAward | None = None) -> None:
    endings.check_return(
        award or active(),
        amount_pence=pence,
        received_on=TODAY + timedelta(days=day),
        today=TODAY,
        movements=days(*movements),
    )


@pytest.mark.parametrize("state", [AwardState.ACTIVE, AwardState.COMPLETED, AwardState.TERMINATED])
def test_all_that_was_paid_can_come_back_and_not_a_penny_more(state: AwardState) -> None:
    award = AnAward(state=state)
    check_return(100, 0, (-9, 60), (-3, 40), award=award)
    with pytest.raises(Conflict, match="£1 of it can come back") as refusal:
        check_return(101, 0, (-9, 60), (-3, 40), award=award)
    assert refusal.value.fields == {"amount_pence": ["At most 100 pence."]}


def test_what_has_not_come_yet_is_not_recorded() -> None:
    with pytest.raises(Invalid) as refusal:
        check_return(1, 1, (0, 100))
    assert (refusal.value.code, list(refusal.value.fields)) == ("in_the_future", ["received_on"])


@pytest.mark.parametrize(
    ("movements", "day", "at_most"),
    [
        pytest.param([], 0, 0, id="nothing was paid"),
        pytest.param([(1, 100)], 0, 0, id="nothing yet"),
        pytest.param([(0, 100)], 0, 100, id="on the day of the payment"),
        pytest.param([(0, 100), (5, 100)], 3, 100, id="a later payment does not count"),
        pytest.param([(0, 100), (5, -80)], 3, 20, id="what came back since is not there twice"),
        pytest.param([(0, 100), (5, -80), (9, 100)], 3, 20, id="nor when more was paid after it"),
        pytest.param([(0, 100), (5, 60), (5, -80)], 3, 80, id="a day is looked at when it is over"),
    ],
)
def test_how_much_can_come_back_on_a_day(movements: list[tuple[int, int]], day: int, at_most: int) -> None:
    assert endings.can_come_back(days(*movements), TODAY + timedelta(days=day)) == at_most


@given(
    payments=st.lists(st.tuples(st.integers(-20, 0), st.integers(1, 100)), max_size=5),
    returns=st.lists(st.tuples(st.integers(-20, 0), st.integers(1, 150)), max_size=8),
)
def test_what_was_paid_is_never_below_zero_on_any_day(
    payments: list[tuple[int, int]], returns: list[tuple[int, int]]
) -> None:
    movements = list(payments)
    for day, pence in returns:
        try:
            check_return(pence, day, *movements)
        except CommonwealError:
            continue
        movements.append((day, -pence))
    for day in range(-20, 1):
        assert sum(pence for moved_on, pence in movements if moved_on <= day) >= 0


@given(
    tranches=st.lists(st.tuples(st.sampled_from(list(TrancheState)[:5]), st.integers(1, 100)), min_size=1, max_size=5),
    terminates=st.booleans(),
)
def test_what_ends_is_paid_or_cancelled_to_the_penny(
    tranches: list[tuple[TrancheState, int]], terminates: bool
) -> None:
    award = active()
    parts = [ATranche(key=f"part-{n}", state=state, amount_pence=pence) for n, (state, pence) in enumerate(tranches)]
    paid_pence = sum(pence for state, pence in tranches if state == TrancheState.PAID)
    freed_pence = sum(part.amount_pence for part in endings.unpaid(parts))
    assert paid_pence + freed_pence == sum(pence for _, pence in tranches)
    try:
        if terminates:
            endings.terminate_award(award, parts, at=NOW, reason="Nobody uses it.")
        else:
            endings.complete_project(award, parts, at=NOW)
    except Conflict:
        assert not terminates
        assert [part.state for part in parts] == [state for state, _ in tranches]
        return
    assert sum(part.amount_pence for part in parts if part.state == TrancheState.PAID) == paid_pence
    assert sum(part.amount_pence for part in parts if part.state == TrancheState.CANCELLED) == freed_pence
