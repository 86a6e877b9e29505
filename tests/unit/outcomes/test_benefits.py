"""The arithmetic of benefits: worked examples, and sums that add up whichever way they are taken."""

from dataclasses import replace
from datetime import date
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.outcomes import benefits
from services.outcomes.benefits import Figures

TODAY = date(2028, 1, 15)
EDINBURGH, ABERDEENSHIRE, FIFE = "S12000036", "S12000034", "S12000047"

CERTIFIED = Figures(
    plan="plan-1",
    indicator="indicator-1",
    council=EDINBURGH,
    state="certified",
    ends_on=date(2027, 12, 31),
    due_on=date(2028, 1, 28),
    kind="cashable_saving",
    measure="currency",
    unit="GBP",
    direction="increase",
    baseline="0",
    deadweight_percent="10",
    attribution_percent="80",
    target="40000",
    value="38500",
)


@pytest.mark.parametrize(
    ("direction", "baseline", "value", "expected"),
    [
        ("increase", "0", "40000", 40000),
        ("increase", "10000", "40000", 30000),
        ("decrease", "90000", "60000", 30000),
        ("increase", "10", "4.5", Fraction(-11, 2)),
    ],
)
def test_gross_is_the_change_from_the_baseline_in_the_wanted_direction(
    direction: str, baseline: str, value: str, expected: Fraction
) -> None:
    assert benefits.gross(value, baseline, direction) == expected


def test_a_range_has_no_gross() -> None:
    with pytest.raises(ValueError, match="range"):
        benefits.gross("1", "0", "range")


def test_net_is_gross_less_deadweight_times_attribution() -> None:
    # £38,500 gross; a tenth would have come anyway: £3,850; of the £34,650 left four fifths are the project's.
    assert benefits.realise(Fraction(38500), "10", "80") == benefits.Realised(
        gross_pence=3_850_000, deadweight_pence=385_000, unattributed_pence=693_000, net_pence=2_772_000
    )


def test_a_period_is_rounded_to_the_penny_once_and_half_a_penny_goes_up() -> None:
    # 10 % of £0.25 is 2.5p, half of the 22.5p left is 11.25p.
    assert benefits.realise(Fraction(1, 4), "10", "50") == benefits.Realised(25, 3, 11, 11)
    assert benefits.realise(Fraction(-1, 4), "10", "50") == benefits.Realised(-25, -3, -11, -11)


@pytest.mark.parametrize(
    ("pence", "text"), [(0, "0.00"), (5, "0.05"), (123_456_789, "1234567.89"), (-5, "-0.05"), (-12_300, "-123.00")]
)
def test_pounds_are_written_with_their_pence(pence: int, text: str) -> None:
    assert benefits.pounds(pence) == text


def test_only_certified_savings_are_realised_and_reported_ones_stand_beside_them() -> None:
    reported = replace(CERTIFIED, council=ABERDEENSHIRE, state="reported", value="22000.50", target="22000")
    due = replace(CERTIFIED, council=FIFE, state="pending", value=None, target="1000")
    returned = replace(CERTIFIED, council=FIFE, state="returned", value=None, target="1000", indicator="indicator-2")
    summary = benefits.summarise([CERTIFIED, reported, due, returned], TODAY)
    cashable, non_cashable = (summary.whole.savings[kind] for kind in ("cashable_saving", "non_cashable_saving"))
    assert cashable == benefits.Totals(
        target_pence=6_400_000,
        reported_pence=2_200_050,
        certified_gross_pence=3_850_000,
        deadweight_pence=385_000,
        unattributed_pence=693_000,
        net_pence=2_772_000,
    )
    assert non_cashable == benefits.Totals()
    assert summary.whole.periods == {
        "upcoming": 0,
        "open": 1,
        "reported": 1,
        "certified": 1,
        "returned": 1,
        "overdue": 0,
    }
    assert (summary.plans, summary.indicators, summary.indicators_not_summed) == (1, 2, 0)


@pytest.mark.parametrize(
    "unsummable",
    [
        replace(CERTIFIED, kind="citizen_outcome", measure="percentage", unit="%"),
        replace(CERTIFIED, kind="citizen_outcome"),
        replace(CERTIFIED, unit="GBP thousand"),
        replace(CERTIFIED, direction="range"),
    ],
)
def test_what_is_not_a_saving_in_pounds_is_counted_and_not_summed(unsummable: Figures) -> None:
    summary = benefits.summarise([unsummable], TODAY)
    assert set(summary.whole.savings.values()) == {benefits.Totals()}
    assert (summary.indicators, summary.indicators_not_summed) == (1, 1)
    assert summary.whole.periods["certified"] == 1


PERCENTS = st.decimals(0, 100, places=3).map(str)
VALUES = st.decimals(-(10**9), 10**9, places=6).map(str)


@st.composite
def figures(draw: st.DrawFn) -> Figures:
    state = draw(st.sampled_from(["pending", "reported", "certified", "returned"]))
    return Figures(
        plan=draw(st.sampled_from(["plan-1", "plan-2"])),
        indicator=draw(st.sampled_from(["a", "b", "c"])),
        council=draw(st.sampled_from([EDINBURGH, ABERDEENSHIRE, FIFE])),
        state=state,
        ends_on=(ends_on := draw(st.dates(date(2027, 1, 1), date(2029, 1, 1)))),
        due_on=ends_on.replace(year=ends_on.year + 1, day=1),
        kind=draw(st.sampled_from(["cashable_saving", "non_cashable_saving", "citizen_outcome"])),
        measure="currency",
        unit="GBP",
        direction=draw(st.sampled_from(["increase", "decrease"])),
        baseline=draw(VALUES),
        deadweight_percent=draw(PERCENTS),
        attribution_percent=draw(PERCENTS),
        target=draw(VALUES),
        value=draw(VALUES) if state in ("reported", "certified") else None,
    )


@given(st.lists(figures(), max_size=12), st.randoms(use_true_random=False))
def test_the_parts_add_up_to_the_whole_in_any_order(drawn: list[Figures], random: Random) -> None:
    summary = benefits.summarise(drawn, TODAY)
    by_council = {
        council: benefits.summarise([each for each in drawn if each.council == council], TODAY).whole
        for council in sorted({each.council for each in drawn})
    }
    by_plan = {
        plan: benefits.summarise([each for each in drawn if each.plan == plan], TODAY).whole
        for plan in {each.plan for each in drawn}
    }
    assert summary.councils == by_council
    for parts in (by_council, by_plan):
        assert sum(parts.values(), benefits.Part()) == summary.whole
    shuffled = list(drawn)
    random.shuffle(shuffled)
    assert benefits.summarise(shuffled, TODAY) == summary


@given(st.lists(figures(), max_size=12))
def test_gross_is_deadweight_and_what_others_did_and_net(drawn: list[Figures]) -> None:
    summary = benefits.summarise(drawn, TODAY)
    for totals in summary.whole.savings.values():
        parts = totals.deadweight_pence + totals.unattributed_pence + totals.net_pence
        assert parts == totals.certified_gross_pence
    assert sum(summary.whole.periods.values()) - summary.whole.periods["overdue"] == len(drawn)
