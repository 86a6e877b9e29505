"""Scores and spreads are exact, and rounded once."""

import doctest
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.proposals.domain import scoring
from services.proposals.domain.rounds import Criterion
from services.proposals.domain.scoring import (
    MAX_SCORE,
    WIDE_SCORES_APART,
    WIDE_TOTALS_APART,
    Tally,
    check_scores,
    mean,
    tally,
    two_places,
    weighted,
)
from shared.errors import Invalid

CRITERIA = [Criterion("need", "Need", 50), Criterion("savings", "Savings", 30), Criterion("reuse", "Reuse", 20)]


def _given(*scores: int) -> list[dict[str, object]]:
    return [{"criterion": c.key, "score": score} for c, score in zip(CRITERIA, scores, strict=True)]


@st.composite
def criteria(draw: st.DrawFn) -> list[Criterion]:
    cuts = sorted(draw(st.sets(st.integers(1, 99), max_size=6)))
    weights = [high - low for low, high in zip([0, *cuts], [*cuts, 100], strict=True)]
    return [Criterion(f"c{index}", "Criterion", weight) for index, weight in enumerate(weights)]


def test_an_assessment_is_weighted_out_of_a_hundred() -> None:
    assert weighted(CRITERIA, _given(10, 10, 10)) == 100
    assert weighted(CRITERIA, _given(0, 0, 0)) == 0
    assert weighted(CRITERIA, _given(8, 7, 6)) == 40 + 21 + 12


def test_thirds_are_exact_until_they_are_shown() -> None:
    exact = mean([weighted(CRITERIA, _given(*scores)) for scores in [(8, 7, 6), (8, 7, 6), (7, 7, 6)]])
    assert exact == Fraction(214, 3)
    assert two_places(exact) == "71.33"


@pytest.mark.parametrize(
    ("exact", "shown"),
    [
        (Fraction(0), "0.00"),
        (Fraction(100), "100.00"),
        (Fraction(1, 200), "0.00"),
        (Fraction(3, 200), "0.02"),
        (Fraction(14345, 200), "71.72"),
        (Fraction(14347, 200), "71.74"),
    ],
)
def test_halves_go_to_the_even_neighbour(exact: Fraction, shown: str) -> None:
    assert two_places(exact) == shown


@given(st.data())
def test_the_score_agrees_with_decimal_arithmetic_at_any_length(data: st.DataObject) -> None:
    of_round = data.draw(criteria())
    assessments = data.draw(
        st.lists(
            st.fixed_dictionaries({criterion.key: st.integers(0, MAX_SCORE) for criterion in of_round}),
            min_size=1,
            max_size=12,
        )
    )
    totals = [
        weighted(of_round, [{"criterion": key, "score": score} for key, score in assessment.items()])
        for assessment in assessments
    ]
    shown = two_places(mean(totals))
    with localcontext(prec=60):
        points = sum(criterion.weight * given[criterion.key] for given in assessments for criterion in of_round)
        expected = Decimal(points) / (MAX_SCORE * len(assessments))
        assert shown == str(expected.quantize(Decimal("0.01"), ROUND_HALF_EVEN))
    assert min(totals) - Fraction(1, 200) <= Fraction(shown) <= max(totals) + Fraction(1, 200)
    assert two_places(mean(totals[::-1])) == shown


@st.composite
def assessed(draw: st.DrawFn) -> tuple[list[Criterion], list[dict[str, int]]]:
    """Criteria, and what some assessments score them."""
    of_round = draw(criteria())
    one = st.fixed_dictionaries({criterion.key: st.integers(0, MAX_SCORE) for criterion in of_round})
    return of_round, draw(st.lists(one, min_size=1, max_size=12))


def _tally(of_round: list[Criterion], assessments: list[dict[str, int]]) -> Tally:
    return tally(
        of_round, [[{"criterion": key, "score": score} for key, score in each.items()] for each in assessments]
    )


def test_the_docstring_works_its_example_out() -> None:
    result = doctest.testmod(scoring)
    assert result.failed == 0
    assert result.attempted > 0


@given(assessed())
def test_the_mean_lies_between_the_lowest_and_the_highest(drawn: tuple[Any, Any]) -> None:
    found = _tally(*drawn)
    assert min(found.totals) <= found.score <= max(found.totals)
    for of_criterion in found.criteria:
        assert of_criterion.lowest <= of_criterion.mean <= of_criterion.highest


@given(assessed())
def test_the_score_is_the_weighted_mean_of_the_criteria_as_well(drawn: tuple[Any, Any]) -> None:
    found = _tally(*drawn)
    assert found.score == sum(each.criterion.weight * each.mean for each in found.criteria) / MAX_SCORE


@given(assessed())
def test_there_is_no_spread_if_and_only_if_all_are_equal(drawn: tuple[Any, Any]) -> None:
    found = _tally(*drawn)
    assert (found.spread == 0) == (len(set(found.totals)) == 1)
    for of_criterion in found.criteria:
        assert (of_criterion.spread == 0) == (len(set(of_criterion.scores)) == 1)
    # Totals are no further apart than the scores that they are made of let them be.
    assert 0 <= found.spread * MAX_SCORE <= sum(each.criterion.weight * each.spread for each in found.criteria)


@given(assessed(), st.randoms())
def test_the_order_of_assessments_and_scores_makes_no_difference(drawn: tuple[Any, Any], random: Any) -> None:
    of_round, assessments = drawn
    shuffled = [dict(random.sample(list(each.items()), len(each))) for each in assessments]
    random.shuffle(shuffled)
    found, again = _tally(of_round, assessments), _tally(of_round, shuffled)
    assert (found.score, found.spread, found.wide) == (again.score, again.spread, again.wide)
    assert [(each.mean, each.spread) for each in found.criteria] == [
        (each.mean, each.spread) for each in again.criteria
    ]


@given(assessed(), st.integers(1, MAX_SCORE))
def test_what_is_scaled_by_a_whole_number_comes_to_exactly_as_many_times_as_much(
    drawn: tuple[Any, Any], factor: int
) -> None:
    of_round, assessments = drawn
    small = [{key: score // factor for key, score in each.items()} for each in assessments]
    large = [{key: score * factor for key, score in each.items()} for each in small]
    found, scaled = _tally(of_round, small), _tally(of_round, large)
    assert scaled.score == found.score * factor
    assert scaled.spread == found.spread * factor


@given(assessed(), st.data())
def test_another_assessment_never_narrows_the_spread(drawn: tuple[Any, Any], data: st.DataObject) -> None:
    of_round, assessments = drawn
    more = data.draw(st.fixed_dictionaries({criterion.key: st.integers(0, MAX_SCORE) for criterion in of_round}))
    before, after = _tally(of_round, assessments), _tally(of_round, [*assessments, more])
    assert after.spread >= before.spread
    assert after.wide or not before.wide


@pytest.mark.parametrize(
    ("one", "other", "spread", "wide"),
    [
        ((8, 7, 6), (8, 7, 6), "0.00", False),
        ((8, 8, 8), (4, 7, 7), "25.00", True),
        ((8, 8, 8), (4, 7, 8), "23.00", False),
        ((9, 5, 5), (9, 5, 9), "8.00", False),
        ((9, 5, 5), (9, 5, 10), "10.00", True),
        ((10, 0, 5), (7, 5, 5), "0.00", True),
    ],
)
def test_a_spread_is_wide_from_the_thresholds_on(
    one: tuple[int, ...], other: tuple[int, ...], spread: str, wide: bool
) -> None:
    assert (WIDE_TOTALS_APART, WIDE_SCORES_APART) == (25, 5)
    found = tally(CRITERIA, [_given(*one), _given(*other)])
    assert (two_places(found.spread), found.wide) == (spread, wide)


def test_every_criterion_is_scored_once_and_nothing_else() -> None:
    check_scores(CRITERIA, ["reuse", "need", "savings"])
    with pytest.raises(Invalid) as error:
        check_scores(CRITERIA, ["need", "need", "beauty"])
    assert error.value.fields == {
        "scores.1.criterion": ["need is scored twice; keep one."],
        "scores.2.criterion": ["The criteria of this round are need, savings, reuse."],
        "scores": ["Score these criteria too: savings, reuse."],
    }
