"""A year's figures: they add up for every council, for the pool, and from one year to the next."""

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.funding.domain import years
from services.funding.year_end import Figures, Movement, figures, total
from shared.errors import Conflict
from tests.support.funding import ABERDEENSHIRE, EDINBURGH, FIFE

POOL_YEARS = ["2026-27", "2027-28", "2028-29"]
PENCE = st.integers(-(10**9), 10**9)
movements = st.lists(
    st.builds(
        Movement,
        st.sampled_from(["pledge", "cancel", "receipt", "refund", "pay", "return", "claw_back"]),
        st.sampled_from([EDINBURGH, ABERDEENSHIRE, FIFE]),
        PENCE,
        PENCE,
        PENCE,
    ).map(
        # A pledge and its end move nothing into the pool.
        lambda found: (
            replace(found, outside_pence=-found.pledged_pence)
            if found.kind in ("pledge", "cancel")
            else replace(found, pledged_pence=0)
            if found.kind == "refund"
            else found
        )
    ),
    max_size=20,
)


def test_a_year_of_a_council() -> None:
    of_councils = figures(
        {EDINBURGH: Figures(carried_forward_pence=500, owed_at_end_pence=100)},
        [
            Movement("pledge", EDINBURGH, outside_pence=-1000, pledged_pence=1000),
            Movement("cancel", EDINBURGH, outside_pence=50, pledged_pence=-50),
            Movement("receipt", EDINBURGH, outside_pence=-30, pledged_pence=-900),
            Movement("pay", EDINBURGH, attributed_pence=700),
            Movement("return", EDINBURGH, attributed_pence=-20),
            Movement("refund", EDINBURGH, outside_pence=80),
        ],
    )
    assert of_councils == {
        EDINBURGH: Figures(
            opening_pence=500,
            received_pence=930,
            paid_pence=700,
            returned_pence=20,
            refunded_pence=80,
            carried_forward_pence=670,
            owed_at_start_pence=100,
            pledged_pence=950,
            unpledged_pence=30,
            owed_at_end_pence=150,
        )
    }


@given(movements, movements)
def test_the_figures_add_up(first: list[Movement], second: list[Movement]) -> None:
    one = figures({}, first)
    two = figures(one, second)
    for each in (*one.values(), *two.values(), total(one), total(two)):
        assert (
            each.opening_pence + each.received_pence - each.paid_pence + each.returned_pence - each.refunded_pence
            == each.carried_forward_pence
        )
        assert (
            each.owed_at_start_pence + each.pledged_pence - each.received_pence + each.unpledged_pence
            == each.owed_at_end_pence
        )
    assert total(two).opening_pence == total(one).carried_forward_pence
    both = figures({}, [*first, *second])
    assert {council: each.carried_forward_pence for council, each in both.items()} == {
        council: each.carried_forward_pence for council, each in two.items()
    }


@pytest.mark.parametrize(
    ("year", "closed", "today", "code"),
    [
        ("2026-27", [], date(2027, 3, 31), "year_not_over"),
        ("2026-27", ["2026-27"], date(2027, 4, 1), "year_closed"),
        ("2027-28", [], date(2028, 4, 1), "earlier_year_open"),
        ("2028-29", ["2026-27"], date(2029, 4, 1), "earlier_year_open"),
    ],
)
def test_years_are_closed_once_each_in_order_when_they_are_over(
    year: str, closed: list[str], today: date, code: str
) -> None:
    with pytest.raises(Conflict) as refusal:
        years.check_closing(year, POOL_YEARS, closed, today)
    assert refusal.value.code == code
    years.check_closing("2026-27", POOL_YEARS, [], date(2027, 4, 1))
    years.check_closing("2027-28", POOL_YEARS, ["2026-27"], date(2028, 4, 1))


def test_a_closed_year_says_from_when_it_is_open() -> None:
    years.check_open("paid_on", date(2027, 4, 1), date(2027, 3, 31))
    years.check_open("paid_on", date(2020, 4, 1), None)
    with pytest.raises(Conflict) as refusal:
        years.check_open("paid_on", date(2027, 3, 31), date(2027, 3, 31))
    assert "2027-04-01" in refusal.value.message
    assert list(refusal.value.fields) == ["paid_on"]
