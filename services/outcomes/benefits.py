"""The arithmetic of benefits: from what councils measured to what a project, a council or the portfolio saved.

Measured values and percentages are decimals and are computed with as exact fractions, never as floats. The smallest
part of every sum is one reporting period of one council: its figures are rounded to the penny there, once, and all
sums above it are sums of whole pence. So the parts of a roll-up always add up to it, however it is cut.

The words are those of HM Treasury's Green Book ("additionality"): *deadweight* is what would have happened without
the project, *attribution* the project's own part in what remains.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from fractions import Fraction

from services.outcomes import decimals, domain
from shared.proposal_content import SAVING_KINDS

#: The unit of what is summed. A saving in any other (thousands of pounds, pounds per case) is shown and not summed,
#: because its sum with the others would be wrong by an unknown factor.
POUNDS = "GBP"


def gross(value: str, baseline: str, direction: str) -> Fraction:
    """Return how far a measured value moved from its baseline in the wanted direction.

    ``value - baseline`` when the measure is to increase, ``baseline - value`` when it is to decrease. Savings are
    usually measured as such, that is from a baseline of 0 with direction ``increase``: there the value is the gross.

    :param value: the measured (or targeted) value of one period, a decimal string; so is the baseline.
    :param direction: ``increase`` or ``decrease``.
    :raises ValueError: for ``range``: a measure to be kept within bounds has no amount that it moved by.
    """
    if direction not in ("increase", "decrease"):
        raise ValueError(f"a measure with direction {direction} has no gross")
    moved = Fraction(value) - Fraction(baseline)
    return moved if direction == "increase" else -moved


@dataclass(frozen=True)
class Realised:
    """What one period brought, in pence: gross = deadweight + unattributed + net."""

    gross_pence: int
    deadweight_pence: int
    unattributed_pence: int
    net_pence: int


def realise(gross_pounds: Fraction, deadweight_percent: str, attribution_percent: str) -> Realised:
    """Return one period's benefit, net of what the project did not cause (HM Treasury, The Green Book: additionality).

    ``deadweight = gross * deadweight_percent / 100``;
    ``net = (gross - deadweight) * attribution_percent / 100``;
    ``unattributed`` is the rest, what other causes brought.

    Each is rounded to the penny, half a penny away from zero, and ``unattributed`` takes up what rounding leaves.

    :param gross_pounds: as :func:`gross` returns it, in pounds.
    :param deadweight_percent: 0 to 100, a decimal string; so is the attribution.
    """
    deadweight = gross_pounds * Fraction(deadweight_percent) / 100
    net = (gross_pounds - deadweight) * Fraction(attribution_percent) / 100
    gross_pence, deadweight_pence, net_pence = _pence(gross_pounds), _pence(deadweight), _pence(net)
    return Realised(gross_pence, deadweight_pence, gross_pence - deadweight_pence - net_pence, net_pence)


@dataclass(frozen=True)
class Figures:
    """One reporting period of one council, with all that its arithmetic needs.

    :param plan: which plan, and which indicator, in any form that tells one from another.
    :param state: as stored; see :mod:`services.outcomes.domain`.
    :param target: a decimal string in the indicator's unit, as are the baseline and the value.
    :param value: what stands: reported and awaiting certification, or certified; else None.
    """

    plan: object
    indicator: object
    council: str
    state: str
    ends_on: date
    due_on: date
    kind: str
    measure: str
    unit: str
    direction: str
    baseline: str
    deadweight_percent: str
    attribution_percent: str
    target: str
    value: str | None

    @property
    def is_summed(self) -> bool:
        """Tell whether the period is about a saving in pounds."""
        is_money = self.measure == "currency" and self.unit == POUNDS
        return self.kind in SAVING_KINDS and is_money and self.direction != "range"


@dataclass(frozen=True)
class Totals:
    """Sums over periods, in pence. ``reported`` awaits certification; only what is certified counts as realised.

    :param target_pence: the gross that the targets of all periods come to, past and future.
    :param reported_pence: the gross of what is reported and not certified.
    """

    target_pence: int = 0
    reported_pence: int = 0
    certified_gross_pence: int = 0
    deadweight_pence: int = 0
    unattributed_pence: int = 0
    net_pence: int = 0

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(Totals)))


def _no_savings() -> dict[str, Totals]:
    return dict.fromkeys(SAVING_KINDS, Totals())


def _no_periods() -> dict[str, int]:
    return dict.fromkeys(domain.PERIOD_FILTERS, 0)


@dataclass
class Part:
    """A part of a roll-up, or the whole.

    :param savings: the totals by kind of saving.
    :param periods: how many periods show each state; ``overdue`` counts some of the open and returned ones again.
    """

    savings: dict[str, Totals] = field(default_factory=_no_savings)
    periods: dict[str, int] = field(default_factory=_no_periods)

    def __add__(self, other: "Part") -> "Part":
        return Part(
            {kind: totals + other.savings[kind] for kind, totals in self.savings.items()},
            {state: count + other.periods[state] for state, count in self.periods.items()},
        )


@dataclass(frozen=True)
class Summary:
    """A roll-up: the whole, and its parts by council in the order of their codes.

    :param indicators_not_summed: how many of the indicators are no saving in pounds; their periods are counted.
    """

    plans: int
    indicators: int
    indicators_not_summed: int
    whole: Part
    councils: Mapping[str, Part]


def summarise(figures: Iterable[Figures], today: date) -> Summary:
    """Roll up any set of reporting periods.

    :param today: decides which periods are upcoming, open and overdue.
    """
    periods = list(figures)
    councils = {council: Part() for council in sorted({each.council for each in periods})}
    for each in periods:
        _add(councils[each.council], each, today)
    return Summary(
        plans=len({each.plan for each in periods}),
        indicators=len({(each.plan, each.indicator) for each in periods}),
        indicators_not_summed=len({(each.plan, each.indicator) for each in periods if not each.is_summed}),
        whole=sum(councils.values(), Part()),
        councils=councils,
    )


def _add(part: Part, period: Figures, today: date) -> None:
    part.periods[domain.shown_state(period, today)] += 1
    part.periods[domain.OVERDUE] += domain.is_overdue(period, today)
    if period.is_summed:
        part.savings[period.kind] += _totals_of(period)


def _totals_of(period: Figures) -> Totals:
    target_pence = _pence(gross(period.target, period.baseline, period.direction))
    if period.value is None:
        return Totals(target_pence)
    moved = gross(period.value, period.baseline, period.direction)
    if period.state == domain.REPORTED:
        return Totals(target_pence, reported_pence=_pence(moved))
    realised = realise(moved, period.deadweight_percent, period.attribution_percent)
    return Totals(
        target_pence,
        certified_gross_pence=realised.gross_pence,
        deadweight_pence=realised.deadweight_pence,
        unattributed_pence=realised.unattributed_pence,
        net_pence=realised.net_pence,
    )


def pounds(pence: int) -> str:
    """Return an amount in pounds as a decimal string with its pence: ``1234.50``."""
    return decimals.write(Fraction(pence, 100), places=2)


def _pence(amount_pounds: Fraction) -> int:
    return decimals.round_half_up(amount_pounds * 100)
