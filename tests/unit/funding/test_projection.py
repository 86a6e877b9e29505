"""What is foreseen of a pool's money: a worked example, to the penny."""

from datetime import date

from services.funding.domain.projection import Due, Projection, project
from tests.support.funding import EDINBURGH, FIFE

#: Edinburgh owes 30 of 2026-27 and all of its 100 of 2027-28; Fife has paid its 2026-27 and owes 100 of 2027-28.
BALANCES = {
    f"council:{EDINBURGH}": -200_00,
    f"pledged:{EDINBURGH}": 130_00,
    f"council:{FIFE}": -200_00,
    f"pledged:{FIFE}": 100_00,
    "available": 50_00,
    "reserved:p": 60_00,
    "committed:q": 40_00,
    "paid:q": 20_00,
}
PLEDGES = {council: {"2026-27": 100_00, "2027-28": 100_00} for council in (EDINBURGH, FIFE)}
TRANCHES = [Due("committed:q", date(2026, 5, 1), 10_00), Due("committed:q", date(2027, 9, 30), 30_00)]
OFFERS = [Due("reserved:p", date(2027, 3, 31), 25_00), Due("reserved:p", date(2028, 4, 1), 35_00)]


def foreseen(today: date, balances: dict[str, int] = BALANCES) -> list[Projection]:
    years = ["2026-27", "2027-28", "2028-29"]
    return project(balances, pledges=PLEDGES, tranches=TRANCHES, offers=OFFERS, years=years, today=today)


def test_a_worked_example() -> None:
    # In the pool now: 50 available, 60 reserved, 40 committed, so 150.
    assert foreseen(date(2026, 6, 1)) == [
        Projection(
            year="2026-27",
            ends_on=date(2027, 3, 31),
            pledges_due_pence=30_00,  # Edinburgh's of this year; what is paid settles the oldest year first.
            tranches_due_pence=10_00,  # Overdue since May.
            offers_due_pence=25_00,
            balance_pence=170_00,  # 150 + 30 - 10
            balance_if_accepted_pence=145_00,
            uncommitted_pence=80_00,  # 50 + 30
        ),
        Projection(
            year="2027-28",
            ends_on=date(2028, 3, 31),
            pledges_due_pence=230_00,
            tranches_due_pence=40_00,
            offers_due_pence=25_00,
            balance_pence=340_00,
            balance_if_accepted_pence=315_00,
            uncommitted_pence=280_00,
        ),
        Projection(
            year="2028-29",
            ends_on=date(2029, 3, 31),
            pledges_due_pence=230_00,
            tranches_due_pence=40_00,
            offers_due_pence=60_00,
            balance_pence=340_00,
            balance_if_accepted_pence=280_00,
            uncommitted_pence=280_00,
        ),
    ]


def test_a_year_that_is_over_is_not_foreseen() -> None:
    assert [found.year for found in foreseen(date(2027, 3, 31))] == ["2026-27", "2027-28", "2028-29"]
    assert [found.year for found in foreseen(date(2027, 4, 1))] == ["2027-28", "2028-29"]


def test_no_more_goes_out_than_is_held_for_it() -> None:
    returned = {**BALANCES, "available": 85_00, "committed:q": 5_00}
    first, *_, last = foreseen(date(2026, 6, 1), returned)
    assert (first.tranches_due_pence, last.tranches_due_pence) == (5_00, 5_00)
