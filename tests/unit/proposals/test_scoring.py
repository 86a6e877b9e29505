"""Scores are exact, and rounded once."""

from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.proposals.domain.rounds import Criterion
from services.proposals.domain.scoring import MAX_SCORE, check_scores, mean, two_places, weighted
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


def test_every_criterion_is_scored_once_and_nothing_else() -> None:
    check_scores(CRITERIA, ["reuse", "need", "savings"])
    with pytest.raises(Invalid) as error:
        check_scores(CRITERIA, ["need", "need", "beauty"])
    assert error.value.fields == {
        "scores.1.criterion": ["need is scored twice; keep one."],
        "scores.2.criterion": ["The criteria of this round are need, savings, reuse."],
        "scores": ["Score these criteria too: savings, reuse."],
    }
