"""Whose pound it is: every payment and return is somebody's, to the penny, and nobody pays more than it has."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.funding.attribution import of_payment, of_return
from shared.money import split_by_largest_remainder
from tests.support.funding import ABERDEENSHIRE, EDINBURGH, FIFE

COUNCILS = tuple(f"S120000{number:02d}" for number in range(5, 50, 7))
PENCE = st.integers(0, 10**9)
sums = st.dictionaries(st.sampled_from(COUNCILS), PENCE, min_size=1).filter(lambda found: sum(found.values()) > 0)


@st.composite
def pools(draw: st.DrawFn) -> dict[str, Any]:
    """What councils have paid in, what they have left of it, and a payment that the pool can make."""
    paid_in = draw(sums)
    left = {council: draw(st.integers(0, pence)) for council, pence in paid_in.items()}
    return {"amount_pence": draw(st.integers(0, sum(left.values()))), "paid_in": paid_in, "left": left}


@given(pools())
def test_a_payment_is_covered_to_the_penny_and_nobody_pays_more_than_it_has_left(pool: dict[str, Any]) -> None:
    parts = of_payment(**pool)
    assert sum(parts.values()) == pool["amount_pence"]
    assert all(0 < pence <= pool["left"][council] for council, pence in parts.items())


@given(pools())
def test_who_has_enough_pays_no_less_than_its_part_of_what_was_paid_in(pool: dict[str, Any]) -> None:
    parts, whole = of_payment(**pool), sum(pool["paid_in"].values())
    for council, paid_in in pool["paid_in"].items():
        exact_pence = pool["amount_pence"] * paid_in // whole
        assert parts.get(council, 0) >= min(exact_pence, pool["left"][council])


@given(sums, st.data())
def test_while_everybody_has_enough_it_is_pro_rata_to_what_was_paid_in(
    paid_in: dict[str, int], data: st.DataObject
) -> None:
    amount_pence = data.draw(st.integers(0, sum(paid_in.values())))
    councils = sorted(paid_in)
    exact = split_by_largest_remainder(amount_pence, [paid_in[council] for council in councils])
    parts = of_payment(amount_pence, paid_in, paid_in)
    assert [parts.get(council, 0) for council in councils] == exact


def test_an_excess_is_spread_over_the_others() -> None:
    # Edinburgh has spent 90 of its 100 before Fife and Aberdeenshire joined.
    paid_in = {ABERDEENSHIRE: 100, EDINBURGH: 100, FIFE: 200}
    left = {ABERDEENSHIRE: 100, EDINBURGH: 10, FIFE: 200}
    assert of_payment(160, paid_in, left) == {ABERDEENSHIRE: 50, EDINBURGH: 10, FIFE: 100}


def test_equal_remainders_go_to_the_first_gss_codes() -> None:
    even = dict.fromkeys((FIFE, EDINBURGH, ABERDEENSHIRE), 10)
    assert of_payment(2, even, even) == {ABERDEENSHIRE: 1, EDINBURGH: 1}


def test_the_councils_cannot_pay_what_they_do_not_have() -> None:
    with pytest.raises(ValueError, match="11 pence are paid and the councils have 10 left"):
        of_payment(11, {EDINBURGH: 20}, {EDINBURGH: 10})
    with pytest.raises(ValueError, match="11 pence come back and 10 were paid"):
        of_return(11, {EDINBURGH: 10})


@given(sums, st.data())
def test_what_comes_back_is_shared_out_to_the_penny_and_no_further(
    in_project: dict[str, int], data: st.DataObject
) -> None:
    amount_pence = data.draw(st.integers(0, sum(in_project.values())))
    back = of_return(amount_pence, in_project)
    assert sum(back.values()) == -amount_pence
    assert all(0 <= in_project[council] + pence < in_project[council] for council, pence in back.items())


@given(sums)
def test_all_of_it_back_leaves_nothing(in_project: dict[str, int]) -> None:
    back = of_return(sum(in_project.values()), in_project)
    assert {council: -pence for council, pence in back.items()} == {k: v for k, v in in_project.items() if v}
