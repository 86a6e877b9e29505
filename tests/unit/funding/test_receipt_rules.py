"""Receipts: how they stand to the pledge, and whose pool they are for."""

from dataclasses import dataclass, field
from datetime import date
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.funding import ledger
from services.funding.domain import receipts as rules
from services.funding.domain.receipts import ReceiptFlag
from shared.errors import Conflict
from shared.events.funding import RECEIPT_FLAGS
from tests.support.funding import EDINBURGH, FIFE, AMember

YEARS = ("2026-27", "2027-28", "2028-29")


@dataclass
class APool:
    name: str = "Digital"
    starts_on: date = date(2026, 4, 1)
    ends_on: date = date(2029, 3, 31)
    members: list[AMember] = field(default_factory=lambda: [AMember()])


def judged(pledges: dict[str, int], outstanding_pence: int, amount_pence: int) -> tuple[str, int]:
    owed_pence = rules.still_owed(pledges, outstanding_pence, amount_pence)
    unpledged_pence = ledger.unpledged_part(amount_pence, outstanding_pence)
    flag = rules.flag_of(amount_pence=amount_pence, unpledged_pence=unpledged_pence, still_owed_pence=owed_pence)
    return str(flag), owed_pence


@pytest.mark.parametrize(
    ("pledges", "outstanding_pence", "amount_pence", "judgement"),
    [
        ((100,), 100, 100, ("exact", 0)),
        ((100,), 100, 99, ("partial", 1)),
        ((100,), 1, 1, ("exact", 0)),
        ((100,), 100, 101, ("over", 0)),
        ((100,), 0, 1, ("unpledged", 0)),
        ((), 0, 1, ("unpledged", 0)),
        ((100, 200), 300, 100, ("exact", 0)),
        ((100, 200), 300, 300, ("exact", 0)),
        ((100, 200), 300, 60, ("partial", 40)),
        ((100, 200), 300, 150, ("partial", 150)),
        ((100, 200), 240, 40, ("exact", 0)),
        ((100, 0, 200), 300, 100, ("exact", 0)),
    ],
)
def test_a_receipt_is_measured_by_the_year_that_it_goes_towards(
    pledges: tuple[int, ...], outstanding_pence: int, amount_pence: int, judgement: tuple[str, int]
) -> None:
    assert judged(dict(zip(YEARS, pledges, strict=False)), outstanding_pence, amount_pence) == judgement


@given(st.lists(st.integers(0, 1_000), min_size=3, max_size=3), st.lists(st.integers(1, 1_500), max_size=8))
def test_whatever_comes_each_flag_means_what_it_says(pledged: list[int], amounts: list[int]) -> None:
    ends = {0, *accumulate(pledged)}
    paid = 0
    for amount in amounts:
        before = min(paid, sum(pledged))
        flag, owed = judged(dict(zip(YEARS, pledged, strict=True)), sum(pledged) - before, amount)
        paid += amount
        assert (flag == "unpledged") == (before == sum(pledged))
        assert (flag in ("over", "unpledged")) == (paid > sum(pledged))
        assert (flag == "exact") == (paid in ends and paid - amount < paid <= sum(pledged))
        assert (flag == "partial") == (owed > 0)
        assert owed == 0 or paid + owed == min(end for end in ends if end > paid)


def test_events_know_the_flags() -> None:
    assert tuple(map(str, ReceiptFlag)) == RECEIPT_FLAGS


@pytest.mark.parametrize(
    ("pool", "council", "on", "takes"),
    [
        (APool(), EDINBURGH, date(2026, 4, 1), True),
        (APool(), EDINBURGH, date(2029, 3, 31), True),
        (APool(), EDINBURGH, date(2026, 3, 31), False),
        (APool(), EDINBURGH, date(2029, 4, 1), False),
        (APool(), FIFE, date(2026, 4, 1), False),
        (APool(members=[AMember(joins_on=date(2027, 4, 1))]), EDINBURGH, date(2027, 3, 31), False),
    ],
)
def test_money_that_names_no_pool_is_for_one_that_runs_with_its_council_in_it(
    pool: APool, council: str, on: date, takes: bool
) -> None:
    assert rules.takes_in(pool, council, on) is takes


def test_there_must_be_one_pool_that_it_can_be_for() -> None:
    day = date(2026, 5, 29)
    rules.check_one_pool([APool()], EDINBURGH, day)
    with pytest.raises(Conflict) as none:
        rules.check_one_pool([], EDINBURGH, day)
    assert none.value.code == "no_pool"
    assert "City of Edinburgh was a member of no pool that ran on 2026-05-29" in none.value.message
    with pytest.raises(Conflict) as several:
        rules.check_one_pool([APool(name="Roads"), APool()], EDINBURGH, day)
    assert several.value.code == "several_pools"
    assert "(Digital, Roads); say by pool_id" in several.value.message


@pytest.mark.parametrize(
    ("on", "unpledged_pence", "is_taken"),
    [(date(2029, 3, 31), 1, True), (date(2029, 4, 1), 0, True), (date(2029, 4, 1), 1, False)],
)
def test_a_pool_that_has_ended_takes_what_is_owed_to_it_and_no_more(
    on: date, unpledged_pence: int, is_taken: bool
) -> None:
    if is_taken:
        rules.check_still_takes(APool(), on, unpledged_pence)
        return
    with pytest.raises(Conflict) as refusal:
        rules.check_still_takes(APool(), on, unpledged_pence)
    assert refusal.value.code == "pool_ended"
    assert "£0.01 more" in refusal.value.message
