"""Scores: what an assessment comes to, and what several of them do, in exact arithmetic."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from services.proposals.domain.rounds import Criterion
from shared.errors import Invalid

#: A criterion is scored from 0, not met at all, to 10, fully met.
MAX_SCORE = 10


def check_scores(criteria: Sequence[Criterion], scored: Sequence[str]) -> None:
    """Check that an assessment scores every criterion once and nothing else.

    :param scored: the keys of the criteria in the order given.
    :raises Invalid: naming each score that does not belong and each criterion left out.
    """
    keys = [criterion.key for criterion in criteria]
    problems: dict[str, list[str]] = {}
    for index, key in enumerate(scored):
        if key not in keys:
            problems[f"scores.{index}.criterion"] = [f"The criteria of this round are {', '.join(keys)}."]
        elif key in scored[:index]:
            problems[f"scores.{index}.criterion"] = [f"{key} is scored twice; keep one."]
    left_out = [key for key in keys if key not in scored]
    if left_out:
        problems["scores"] = [f"Score these criteria too: {', '.join(left_out)}."]
    if problems:
        raise Invalid("bad_scores", "Score each criterion of the round once.", problems)


def weighted(criteria: Sequence[Criterion], scores: Sequence[Mapping[str, Any]]) -> Fraction:
    """Return what one assessment comes to, out of 100, exactly: the sum of weight times score, divided by 10.

    :param criteria: weights in whole percent that add up to 100.
    :param scores: ``{"criterion": key, "score": 0 to 10}``, one for each criterion.
    """
    weights = {criterion.key: criterion.weight for criterion in criteria}
    return Fraction(sum(weights[given["criterion"]] * given["score"] for given in scores), MAX_SCORE)


def mean(totals: Sequence[Fraction]) -> Fraction:
    """Return the arithmetic mean of assessments, exactly. :param totals: at least one."""
    return sum(totals, Fraction(0)) / len(totals)


def two_places(exact: Fraction) -> str:
    """Return a score as people see it: a decimal with two places, rounded half to even.

    This is the only place where a score is rounded, and nothing is worked out from the result.
    """
    hundredths = round(exact * 100)  # of a Fraction: exact, half to even
    return str(Decimal(hundredths).scaleb(-2))
