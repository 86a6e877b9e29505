"""Scores: what an assessment comes to, what several of them do, and how far apart they are, in exact arithmetic."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from services.proposals.domain.rounds import Criterion
from shared.errors import Invalid

#: A criterion is scored from 0, not met at all, to 10, fully met.
MAX_SCORE = 10

#: Totals, out of 100, that are this far apart are a wide spread. With the smallest panel, of two, each of them then
#: differs from the mean that stands for both by an eighth of the scale: enough to change a proposal's place in its
#: round. (Innovate UK moderates an application when a score "varies considerably" and gives no figure; a stated one can
#: be checked by those whom it concerns.)
WIDE_TOTALS_APART = 25
#: So are scores of one criterion that are half of its scale apart, whatever it weighs: its assessors have not read the
#: same thing, or not understood the criterion alike, and a low weight would hide that in the totals.
WIDE_SCORES_APART = 5


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


def mean(values: Sequence[Fraction] | Sequence[int]) -> Fraction:
    """Return the arithmetic mean, exactly. :param values: at least one."""
    return Fraction(sum(values), len(values))


@dataclass(frozen=True)
class OfCriterion:
    """How one criterion was scored. :param scores: out of 10, one of each assessment; at least one."""

    criterion: Criterion
    scores: tuple[int, ...]

    @property
    def mean(self) -> Fraction:
        """The mean of the scores, exactly."""
        return mean(self.scores)

    @property
    def lowest(self) -> int:
        """The lowest score."""
        return min(self.scores)

    @property
    def highest(self) -> int:
        """The highest score."""
        return max(self.scores)

    @property
    def spread(self) -> int:
        """The highest score less the lowest."""
        return self.highest - self.lowest

    @property
    def wide(self) -> bool:
        """Whether the scores are :data:`WIDE_SCORES_APART` or more apart."""
        return self.spread >= WIDE_SCORES_APART


@dataclass(frozen=True)
class Tally:
    """What the assessments of a revision come to together: their score, and how far apart they are.

    With ``n`` assessments, ``w(c)`` the weight of a criterion in percent (the weights add up to 100) and ``s(a, c)``
    what assessment ``a`` scores it, from 0 to 10::

        total(a)  = sum over c of w(c) * s(a, c) / 10                   from 0 to 100
        score     = sum over a of total(a) / n
        spread    = highest total(a) - lowest total(a)
        spread(c) = highest s(a, c) - lowest s(a, c)                    from 0 to 10
        wide      = spread >= 25, or spread(c) >= 5 for some c

    Nothing is rounded on the way, so neither the order of the assessments nor that of the criteria matters, and a
    spread of exactly 25 is wide. :func:`two_places` rounds what is shown.

    >>> criteria = [Criterion("need", "Need", 50), Criterion("savings", "Savings", 30), Criterion("reuse", "Reuse", 20)]
    >>> def scored(*scores): return [{"criterion": c.key, "score": s} for c, s in zip(criteria, scores)]
    >>> three = tally(criteria, [scored(8, 7, 6), scored(9, 7, 5), scored(6, 6, 8)])
    >>> [two_places(total) for total in three.totals]        # (50*8 + 30*7 + 20*6) / 10 = 40 + 21 + 12, and so on
    ['73.00', '76.00', '64.00']
    >>> two_places(three.score), two_places(three.spread)     # (73 + 76 + 64) / 3, and 76 - 64
    ('71.00', '12.00')
    >>> [(c.criterion.key, two_places(c.mean), c.spread) for c in three.criteria]
    [('need', '7.67', 3), ('savings', '6.67', 1), ('reuse', '6.33', 3)]
    >>> three.wide
    False
    >>> tally(criteria, [scored(8, 7, 6), scored(3, 7, 6)]).wide     # 73 and 48 are 25 apart
    True
    >>> apart = tally(criteria, [scored(8, 8, 3), scored(8, 7, 8)])  # 70 and 77 are not, but reuse has 3 and 8
    >>> two_places(apart.spread), apart.wide
    ('7.00', True)

    :param totals: what each assessment comes to, out of 100; at least one.
    :param criteria: how each criterion was scored, in the round's order.
    """

    totals: tuple[Fraction, ...]
    criteria: tuple[OfCriterion, ...]

    @property
    def score(self) -> Fraction:
        """The weighted mean of the assessments, out of 100, exactly."""
        return mean(self.totals)

    @property
    def spread(self) -> Fraction:
        """The highest total less the lowest, exactly."""
        return max(self.totals) - min(self.totals)

    @property
    def wide(self) -> bool:
        """Whether the panel should say why the assessments are so far apart before it decides."""
        return self.spread >= WIDE_TOTALS_APART or any(criterion.wide for criterion in self.criteria)


def tally(criteria: Sequence[Criterion], assessments: Iterable[Sequence[Mapping[str, Any]]]) -> Tally:
    """Return what assessments come to together.

    :param criteria: weights in whole percent that add up to 100.
    :param assessments: the scores of each, as :func:`weighted` takes them; at least one assessment.
    """
    given = list(assessments)
    scores = [{score["criterion"]: score["score"] for score in each} for each in given]
    return Tally(
        totals=tuple(weighted(criteria, each) for each in given),
        criteria=tuple(OfCriterion(criterion, tuple(each[criterion.key] for each in scores)) for criterion in criteria),
    )


def two_places(exact: Fraction) -> str:
    """Return a score as people see it: a decimal with two places, rounded half to even.

    This is the only place where a score is rounded, and nothing is worked out from the result.
    """
    hundredths = round(exact * 100)  # of a Fraction: exact, half to even
    return str(Decimal(hundredths).scaleb(-2))
