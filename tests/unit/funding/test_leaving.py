"""What a leaver gets back and what it still owes: fair, exact, and never more than there is."""

from datetime import date
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.funding.leaving import Pledged, cancelled_by_leaving, refund_of
from tests.support.funding import ABERDEENSHIRE, EDINBURGH, FIFE

COUNCILS = tuple(f"S120000{number:02d}" for number in range(5, 50, 7))
YEARS = ("2026-27", "2027-28", "2028-29")
PENCE = st.integers(0, 10**9)


@st.composite
def pools(draw: st.DrawFn) -> dict[str, Any]:
    """What each council has left, and how much of it all is available."""
    left = draw(st.dictionaries(st.sampled_from(COUNCILS), PENCE, min_size=1))
    return {"left": left, "available_pence": draw(st.integers(0, sum(left.values())))}


def test_the_worked_example_of_a_refund() -> None:
    left = {EDINBURGH: 24_000_00, ABERDEENSHIRE: 24_000_00, FIFE: 32_000_00}
    assert refund_of(FIFE, 50_000_00, left) == 20_000_00


def test_the_worked_example_of_what_stays_owed() -> None:
    pledges = [Pledged(year, 1, 40_000_00) for year in YEARS]
    cancelled = cancelled_by_leaving(pledges, 70_000_00, date(2027, 12, 31))
    assert cancelled == [(Pledged("2028-29", 1, 40_000_00), 40_000_00)]


def test_pennies_go_to_the_largest_remainders_in_the_order_of_the_codes() -> None:
    left = {EDINBURGH: 1, ABERDEENSHIRE: 1, FIFE: 1}
    assert [refund_of(council, 2, left) for council in (ABERDEENSHIRE, EDINBURGH, FIFE)] == [1, 1, 0]


def test_who_has_nothing_left_gets_nothing() -> None:
    assert refund_of(FIFE, 10, {EDINBURGH: 10, FIFE: 0}) == 0
    assert refund_of(FIFE, 10, {EDINBURGH: 10}) == 0
    assert refund_of(FIFE, 0, {FIFE: 0}) == 0


@given(pools())
def test_all_refunds_together_are_what_is_available_and_nobody_gets_more_than_it_has_left(pool: dict[str, Any]) -> None:
    refunds = {council: refund_of(council, **pool) for council in pool["left"]}
    assert sum(refunds.values()) == pool["available_pence"]
    assert all(0 <= pence <= pool["left"][council] for council, pence in refunds.items())


@given(pools(), st.permutations(COUNCILS))
def test_one_leaver_after_another_gets_its_part_and_what_is_promised_stays(
    pool: dict[str, Any], leavers: list[str]
) -> None:
    left, available_pence = dict(pool["left"]), pool["available_pence"]
    promised_pence = sum(left.values()) - available_pence
    for council in leavers:
        exact = left.get(council, 0) * available_pence / (sum(left.values()) or 1)
        refund_pence = refund_of(council, available_pence, left)
        assert abs(refund_pence - exact) < 1 + exact / 10**9
        available_pence -= refund_pence
        left[council] = left.get(council, 0) - refund_pence
        assert left[council] >= 0
        assert sum(left.values()) == promised_pence + available_pence


@given(
    st.lists(st.tuples(st.sampled_from(YEARS), PENCE), max_size=6),
    st.integers(0, 100),
    st.dates(date(2026, 4, 1), date(2029, 3, 31)),
)
def test_only_what_is_unpaid_of_later_years_is_cancelled(
    agreed: list[tuple[str, int]], paid_percent: int, leaves_on: date
) -> None:
    pledges = [Pledged(year, nth, pence) for nth, (year, pence) in enumerate(agreed, start=1)]
    pledged_pence = sum(pence for _, pence in agreed)
    outstanding_pence = pledged_pence * (100 - paid_percent) // 100
    cancelled = cancelled_by_leaving(pledges, outstanding_pence, leaves_on)
    later = [pledge for pledge in pledges if date(int(pledge.year[:4]), 4, 1) > leaves_on]
    assert all(pledge in later and 0 < pence <= pledge.amount_pence for pledge, pence in cancelled)
    # Earlier years are paid first, so that a later one is unpaid as far as the payments do not reach.
    earlier_pence = pledged_pence - sum(pledge.amount_pence for pledge in later)
    still_owed_pence = max(0, earlier_pence - (pledged_pence - outstanding_pence))
    assert outstanding_pence - sum(pence for _, pence in cancelled) == still_owed_pence
