"""Pools: their years, their members, what may be recorded."""

from datetime import date

import pytest

from services.funding.domain import pools, records
from shared.errors import CommonwealError, Invalid
from tests.support.funding import EDINBURGH, FIFE, AMember

STARTS_ON, ENDS_ON = date(2026, 4, 1), date(2029, 3, 31)


@pytest.mark.parametrize("last_year", range(2027, 2032))
def test_a_pool_is_for_one_to_five_whole_years(last_year: int) -> None:
    pools.check_pool_years(STARTS_ON, date(last_year, 3, 31))


@pytest.mark.parametrize(
    ("starts_on", "ends_on", "field"),
    [
        (date(2026, 4, 2), ENDS_ON, "starts_on"),
        (date(2026, 1, 1), ENDS_ON, "starts_on"),
        (STARTS_ON, date(2029, 3, 30), "ends_on"),
        (STARTS_ON, date(2029, 4, 1), "ends_on"),
        (STARTS_ON, date(2026, 3, 31), "ends_on"),
        (STARTS_ON, date(2020, 3, 31), "ends_on"),
        (STARTS_ON, date(2032, 3, 31), "ends_on"),
        (date(1999, 4, 1), date(2001, 3, 31), "starts_on"),
    ],
)
def test_other_days_are_refused(starts_on: date, ends_on: date, field: str) -> None:
    with pytest.raises(Invalid) as refusal:
        pools.check_pool_years(starts_on, ends_on)
    assert list(refusal.value.fields) == [field]


def test_contributions_are_for_the_years_of_the_pool() -> None:
    pools.check_year_of_pool("2026-27", ["2026-27"])
    with pytest.raises(Invalid) as refusal:
        pools.check_year_of_pool("2027-28", ["2026-27"])
    assert list(refusal.value.fields) == ["year"]


def test_money_is_recorded_once_it_has_moved() -> None:
    records.check_not_in_the_future("paid_on", date(2026, 6, 1), today=date(2026, 6, 1))
    with pytest.raises(Invalid) as refusal:
        records.check_not_in_the_future("paid_on", date(2026, 6, 2), today=date(2026, 6, 1))
    assert list(refusal.value.fields) == ["paid_on"]


def test_a_reference_repeats_its_facts_or_is_refused() -> None:
    recorded = AMember(EDINBURGH, STARTS_ON)
    records.check_same_facts("bank_reference", "BACS-1", recorded, {"council": EDINBURGH, "joins_on": STARTS_ON})
    with pytest.raises(CommonwealError) as refusal:
        records.check_same_facts("bank_reference", "BACS-1", recorded, {"council": FIFE, "joins_on": STARTS_ON})
    assert refusal.value.code == "reference_used"
    assert refusal.value.fields == {"council": [f"Recorded before as {EDINBURGH}."]}
