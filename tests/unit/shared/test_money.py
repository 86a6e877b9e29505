"""Money is split to the penny and shown as people write it."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.fields import MAX_PENCE
from shared.money import format_pounds, split_by_largest_remainder

totals = st.integers(min_value=0, max_value=MAX_PENCE)
weights_of_some = st.lists(st.integers(min_value=0, max_value=6_000_000), min_size=1, max_size=32).filter(any)


@given(total_pence=totals, weights=weights_of_some)
def test_the_parts_add_up_to_the_amount(total_pence: int, weights: list[int]) -> None:
    assert sum(split_by_largest_remainder(total_pence, weights)) == total_pence


@given(total_pence=totals, weights=weights_of_some)
def test_each_part_is_within_a_penny_of_its_exact_share(total_pence: int, weights: list[int]) -> None:
    for part, weight in zip(split_by_largest_remainder(total_pence, weights), weights, strict=True):
        assert abs(part - Fraction(total_pence * weight, sum(weights))) < 1


@given(total_pence=totals, weights=weights_of_some)
def test_who_weighs_more_never_gets_less_and_who_weighs_nothing_gets_nothing(
    total_pence: int, weights: list[int]
) -> None:
    by_weight = sorted(zip(weights, split_by_largest_remainder(total_pence, weights), strict=True))
    parts = [part for _, part in by_weight]
    assert parts == sorted(parts)
    assert not any(part for weight, part in by_weight if weight == 0)


@given(total_pence=totals, weight=st.integers(min_value=1, max_value=1000), members=st.integers(1, 32))
def test_equal_remainders_are_served_in_the_order_given(total_pence: int, weight: int, members: int) -> None:
    parts = split_by_largest_remainder(total_pence, [weight] * members)
    assert parts == sorted(parts, reverse=True)


@given(total_pence=totals, more_pence=totals, weights=weights_of_some)
def test_a_larger_amount_takes_at_most_a_penny_from_anyone(
    total_pence: int, more_pence: int, weights: list[int]
) -> None:
    before = split_by_largest_remainder(total_pence, weights)
    after = split_by_largest_remainder(total_pence + more_pence, weights)
    assert all(late >= early - 1 for early, late in zip(before, after, strict=True))


def test_the_method_has_its_known_paradox() -> None:
    """The Alabama paradox: a penny more for all may be a penny less for one; the method itself cannot be otherwise."""
    assert split_by_largest_remainder(10, [6, 6, 2]) == [4, 4, 2]
    assert split_by_largest_remainder(11, [6, 6, 2]) == [5, 5, 1]


@pytest.mark.parametrize(
    ("total_pence", "weights", "sentence"),
    [
        (-1, [1], "the amount to split is negative"),
        (1, [2, -1], "a weight is negative"),
        (1, [], "there is nobody to split the amount between"),
        (1, [0, 0], "there is nobody to split the amount between"),
    ],
)
def test_what_cannot_be_split_is_refused(total_pence: int, weights: list[int], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        split_by_largest_remainder(total_pence, weights)


@pytest.mark.parametrize(
    ("amount_pence", "written"),
    [
        (0, "£0"),
        (5, "£0.05"),
        (99, "£0.99"),
        (100, "£1"),
        (123_456, "£1,234.56"),
        (25_000_000, "£250,000"),
        (-5, "-£0.05"),
        (-100_000_000, "-£1,000,000"),
    ],
)
def test_an_amount_is_written_as_people_write_it(amount_pence: int, written: str) -> None:
    assert format_pounds(amount_pence) == written


@given(amount_pence=st.integers(min_value=-MAX_PENCE, max_value=MAX_PENCE))
def test_nothing_of_an_amount_is_lost_when_it_is_written(amount_pence: int) -> None:
    pounds, _, pence = format_pounds(amount_pence).replace("£", "").replace(",", "").partition(".")
    sign = -1 if pounds.startswith("-") else 1
    assert int(pounds) * 100 + sign * int(pence or 0) == amount_pence
