"""A period's states, what a report must say, and who decides on it."""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.outcomes import domain
from shared.errors import Conflict, Forbidden, Invalid
from shared.proposal_content import BENEFIT_KINDS, MEASURES
from shared.security.principal import CDO, S95_OFFICER

ENDS_ON = date(2027, 12, 31)
DUE_ON = date(2028, 1, 28)
WIDE = Context(prec=100)


@dataclass
class Period:
    state: str = domain.PENDING
    ends_on: date = ENDS_ON
    due_on: date = DUE_ON


@pytest.mark.parametrize(
    ("today", "state", "overdue"),
    [
        (date(2027, 12, 31), "upcoming", False),
        (date(2028, 1, 1), "open", False),
        (date(2028, 1, 28), "open", False),
        (date(2028, 1, 29), "open", True),
    ],
)
def test_a_pending_period_opens_the_day_after_it_ends_and_is_overdue_the_day_after_it_is_due(
    today: date, state: str, overdue: bool
) -> None:
    assert domain.shown_state(Period(), today) == state
    assert domain.is_overdue(Period(), today) is overdue


@pytest.mark.parametrize(("state", "overdue"), [("reported", False), ("certified", False), ("returned", True)])
def test_what_people_did_shows_whatever_the_day_and_a_returned_period_is_owed_again(state: str, overdue: bool) -> None:
    late = DUE_ON + timedelta(days=100)
    assert domain.shown_state(Period(state), late) == state
    assert domain.is_overdue(Period(state), late) is overdue


@given(st.sampled_from(domain.STORED_STATES), st.dates(date(2027, 1, 1), date(2029, 1, 1)))
def test_every_period_shows_a_state_that_callers_know(state: str, today: date) -> None:
    assert domain.shown_state(Period(state), today) in domain.SHOWN_STATES


@pytest.mark.parametrize("state", ["pending", "returned"])
def test_an_open_or_returned_period_takes_a_report(state: str) -> None:
    domain.check_reportable(Period(state), ENDS_ON + timedelta(days=1))


def test_a_period_that_has_not_ended_says_from_when_it_takes_a_report() -> None:
    with pytest.raises(Conflict) as refused:
        domain.check_reportable(Period(), ENDS_ON)
    assert refused.value.code == "not_open_yet"
    assert "2028-01-01" in refused.value.message


@pytest.mark.parametrize(("state", "code"), [("reported", "awaits_certification"), ("certified", "already_certified")])
def test_a_report_is_never_overwritten(state: str, code: str) -> None:
    with pytest.raises(Conflict) as refused:
        domain.check_reportable(Period(state), DUE_ON)
    assert refused.value.code == code


def test_only_a_reported_period_is_decided() -> None:
    domain.check_decidable(Period("reported"))
    for state, code in (
        ("pending", "nothing_reported"),
        ("returned", "nothing_reported"),
        ("certified", "already_certified"),
    ):
        with pytest.raises(Conflict) as refused:
            domain.check_decidable(Period(state))
        assert refused.value.code == code


def test_savings_are_certified_by_section_95_officers_and_the_rest_by_the_cdo() -> None:
    assert {kind: domain.certifying_role(kind) for kind in BENEFIT_KINDS} == {
        "cashable_saving": S95_OFFICER,
        "non_cashable_saving": S95_OFFICER,
        "citizen_outcome": CDO,
        "capability": CDO,
    }


def test_whoever_reported_the_period_never_decides_on_it() -> None:
    domain.check_two_people(["ann@moray.example"], "bob@moray.example")
    with pytest.raises(Forbidden) as refused:
        domain.check_two_people(["ann@moray.example", "bob@moray.example"], "ann@moray.example")
    assert refused.value.code == "two_people"


@pytest.mark.parametrize(
    ("value", "numerator", "denominator"),
    [
        ("33", "1", "3"),
        ("33.3", "1", "3"),
        ("33.33", "1", "3"),
        ("67", "2", "3"),
        ("12.5", "1", "8"),
        ("13", "1", "8"),
        ("0", "0", "7"),
        ("100.00", "7", "7"),
        ("150", "3", "2"),
        ("-12.5", "-1", "8"),
        ("-13", "-1", "8"),
        ("62.5", "1250.5", "2000.8"),
    ],
)
def test_a_percentage_says_what_its_numerator_and_denominator_say(value: str, numerator: str, denominator: str) -> None:
    domain.check_figures("percentage", value, numerator, denominator)


@pytest.mark.parametrize(
    ("value", "numerator", "denominator", "fields"),
    [
        ("34", "1", "3", {"value"}),
        ("33.34", "1", "3", {"value"}),
        ("12", "1", "8", {"value"}),
        ("0.33", "1", "3", {"value"}),
        ("50", None, None, {"numerator", "denominator"}),
        ("50", "1", None, {"denominator"}),
        ("50", None, "2", {"numerator"}),
        ("50", "1", "0", {"denominator"}),
        ("50", "1", "-2", {"denominator"}),
    ],
)
def test_a_percentage_that_says_something_else_is_refused(
    value: str, numerator: str | None, denominator: str | None, fields: set[str]
) -> None:
    with pytest.raises(Invalid) as refused:
        domain.check_figures("percentage", value, numerator, denominator)
    assert set(refused.value.fields) == fields


def test_the_refusal_of_a_percentage_names_the_right_one() -> None:
    with pytest.raises(Invalid) as refused:
        domain.check_figures("percentage", "33.4", "1", "3")
    assert "33.3" in refused.value.message


@pytest.mark.parametrize("measure", [measure for measure in MEASURES if measure != "percentage"])
def test_only_a_percentage_has_a_numerator_and_a_denominator(measure: str) -> None:
    domain.check_figures(measure, "40000", None, None)
    with pytest.raises(Invalid) as refused:
        domain.check_figures(measure, "40000", "1", "2")
    assert set(refused.value.fields) == {"numerator", "denominator"}


MEASURED = st.decimals(min_value=0, max_value=10**9, places=3)


@given(MEASURED, MEASURED.filter(bool), st.integers(0, 6))
def test_a_rounded_ratio_is_accepted_and_its_neighbours_are_not(
    numerator: Decimal, denominator: Decimal, places: int
) -> None:
    step = Decimal(1).scaleb(-places)
    exact = 100 * Fraction(numerator) / Fraction(denominator)
    # 60 digits are more than any of these ratios needs to be rounded rightly.
    scaled = Decimal(exact.numerator * 10**40 // exact.denominator).scaleb(-40, context=WIDE)
    value = scaled.quantize(step, ROUND_HALF_UP, context=WIDE)
    domain.check_figures("percentage", f"{value:f}", str(numerator), str(denominator))
    for neighbour in (WIDE.add(value, step), WIDE.subtract(value, step)):
        with pytest.raises(Invalid):
            domain.check_figures("percentage", f"{neighbour:f}", str(numerator), str(denominator))
