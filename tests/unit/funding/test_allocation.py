"""How councils share a year's contributions."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.funding import allocation
from services.funding.allocation import Scheme
from shared.councils import all_councils
from shared.errors import Conflict, Invalid
from shared.fields import MAX_PENCE
from tests.support.funding import ABERDEENSHIRE, EDINBURGH, FIFE

members = st.lists(st.sampled_from(list(all_councils())), min_size=1, unique=True)
totals = st.integers(min_value=1, max_value=MAX_PENCE)
computed = st.sampled_from([Scheme.EQUAL, Scheme.POPULATION])


@given(scheme=computed, total_pence=totals, members=members)
def test_shares_add_up_to_the_penny_and_leave_nobody_out(scheme: str, total_pence: int, members: list[str]) -> None:
    shares = allocation.shares(scheme, total_pence, members)
    assert sum(shares.values()) == total_pence
    assert list(shares) == sorted(members)
    assert min(shares.values()) >= 0


@given(scheme=computed, total_pence=totals, members=members, shuffle=st.randoms(use_true_random=False))
def test_the_order_in_which_members_are_given_does_not_matter(
    scheme: str, total_pence: int, members: list[str], shuffle: object
) -> None:
    shuffled = members[:]
    shuffle.shuffle(shuffled)  # type: ignore[attr-defined]
    assert allocation.shares(scheme, total_pence, shuffled) == allocation.shares(scheme, total_pence, members)


@given(total_pence=totals, members=members)
def test_no_council_pays_more_than_a_larger_one(total_pence: int, members: list[str]) -> None:
    shares = allocation.shares(Scheme.POPULATION, total_pence, members)
    by_population = sorted(members, key=lambda council: all_councils()[council].population)
    assert all(shares[smaller] <= shares[larger] for smaller, larger in pairwise(by_population))


@given(total_pence=totals, members=members)
def test_equal_shares_differ_by_a_penny_at_most(total_pence: int, members: list[str]) -> None:
    shares = allocation.shares(Scheme.EQUAL, total_pence, members).values()
    assert max(shares) - min(shares) <= 1


@given(total_pence=totals, members=members)
def test_a_share_by_population_is_within_a_penny_of_the_exact_one(total_pence: int, members: list[str]) -> None:
    people = {council: all_councils()[council].population for council in members}
    for council, pence in allocation.shares(Scheme.POPULATION, total_pence, members).items():
        assert abs(pence * sum(people.values()) - total_pence * people[council]) < sum(people.values())


def test_left_over_pennies_go_to_equal_remainders_in_the_order_of_the_codes() -> None:
    assert allocation.shares(Scheme.EQUAL, 101, [FIFE, EDINBURGH, ABERDEENSHIRE]) == {
        ABERDEENSHIRE: 34,
        EDINBURGH: 34,
        FIFE: 33,
    }


def test_fixed_shares_are_taken_as_they_are() -> None:
    fixed = {EDINBURGH: 70, ABERDEENSHIRE: 30}
    assert allocation.shares(Scheme.FIXED, 100, [EDINBURGH, ABERDEENSHIRE], fixed) == {ABERDEENSHIRE: 30, EDINBURGH: 70}


@pytest.mark.parametrize(
    ("scheme", "fixed", "code", "field"),
    [
        (Scheme.FIXED, None, "fixed_missing", "fixed"),
        (Scheme.FIXED, {EDINBURGH: 100}, "fixed_not_the_members", f"fixed.{ABERDEENSHIRE}"),
        (Scheme.FIXED, {EDINBURGH: 90, ABERDEENSHIRE: 10, FIFE: 0}, "fixed_not_the_members", f"fixed.{FIFE}"),
        (Scheme.FIXED, {EDINBURGH: 70, ABERDEENSHIRE: 29}, "fixed_does_not_add_up", "fixed"),
        (Scheme.EQUAL, {EDINBURGH: 50, ABERDEENSHIRE: 50}, "fixed_not_wanted", "fixed"),
    ],
)
def test_fixed_shares_must_fit(scheme: str, fixed: dict[str, int] | None, code: str, field: str) -> None:
    with pytest.raises(Invalid) as refusal:
        allocation.shares(scheme, 100, [EDINBURGH, ABERDEENSHIRE], fixed)
    assert refusal.value.code == code
    assert list(refusal.value.fields) == [field]


@pytest.mark.parametrize("scheme", list(Scheme))
def test_somebody_has_to_pay(scheme: str) -> None:
    with pytest.raises(Conflict) as refusal:
        allocation.shares(scheme, 100, [])
    assert refusal.value.code == "no_members"
