"""The end of a year: its figures are settled, what is unspent goes on, and nothing is dated in it any more."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from services.funding.year_end import NAMES
from shared import clock
from shared.errors import CommonwealError
from tests.support.funding import (
    ABERDEENSHIRE,
    APPROVER_BEN,
    CDO_CLEO,
    EDINBURGH,
    FIFE,
    TREASURER_ANN,
    Funding,
    officer,
)

AFTER = {"2026-27": datetime(2027, 4, 2, 9, tzinfo=UTC), "2027-28": datetime(2028, 4, 2, 9, tzinfo=UTC)}


@pytest.fixture
def pool_id(funding: Funding) -> str:
    """A pool of three with pledges, receipts, a paid tranche of 10,000 pounds, of which 1,000 came back."""
    pool_id = funding.pool()
    funding.call(
        TREASURER_ANN, "set_contributions", pool_id=pool_id, year="2026-27", total_pence=100_000_00, scheme="population"
    )
    funding.receipt(pool_id, council=EDINBURGH, amount_pence=40_000_00, bank_reference="BACS-E")
    funding.receipt(pool_id, council=FIFE, amount_pence=20_000_01)
    award = funding.paid_award(pool_id)
    funding.carried_out("return_underspend", award, amount_pence=1_000_00)
    return pool_id


def year_of(funding: Funding, pool_id: str, year: str = "2026-27") -> dict[str, Any]:
    return funding.call(TREASURER_ANN, "get_year", pool_id=pool_id, year=year)


def close(funding: Funding, pool_id: str, year: str = "2026-27") -> dict[str, Any]:
    return funding.by_two_people("close_year", pool_id, year=year)


def refused(call: Any, *arguments: Any, **named: Any) -> CommonwealError:
    with pytest.raises(CommonwealError) as refusal:
        call(*arguments, **named)
    return refusal.value


def adds_up(year: dict[str, Any]) -> bool:
    rows = [*year["councils"], year["total"]]
    sums = {name: sum(row[name] for row in year["councils"]) for name in NAMES}
    return sums == year["total"] and all(
        row["opening_pence"] + row["received_pence"] - row["paid_pence"] + row["returned_pence"] - row["refunded_pence"]
        == row["carried_forward_pence"]
        and row["owed_at_start_pence"] + row["pledged_pence"] - row["received_pence"] + row["unpledged_pence"]
        == row["owed_at_end_pence"]
        for row in rows
    )


def test_a_year_in_figures_before_and_after_it_is_closed(funding: Funding, pool_id: str, at: clock.FixedClock) -> None:
    standing = year_of(funding, pool_id)
    assert standing["closed_at"] is None
    assert standing["total"] == {
        "opening_pence": 0,
        "received_pence": 60_000_01,
        "paid_pence": 10_000_00,
        "returned_pence": 1_000_00,
        "refunded_pence": 0,
        "carried_forward_pence": 51_000_01,
        "owed_at_start_pence": 0,
        "pledged_pence": 100_000_00,
        "unpledged_pence": 0,
        "owed_at_end_pence": 39_999_99,
    }
    assert adds_up(standing)
    at.at = AFTER["2026-27"]
    done = close(funding, pool_id)
    assert done["sentence"] == (
        "Close 2026-27: £0 at its start, £60,000.01 received, £10,000 paid, £1,000 returned, £0 refunded;"
        " £51,000.01 are carried forward and £39,999.99 are owed. Nothing is dated in it any more."
    )
    settled = year_of(funding, pool_id)
    assert settled == standing | {"closed_at": "2027-04-02T09:00:00+00:00"}
    [told] = funding.recorded("year_closed")
    assert told.data["total"] == settled["total"]
    assert [{**row, "name": None} for row in told.data["councils"]] == [
        {**row, "name": None} for row in settled["councils"]
    ]
    position = funding.position(pool_id)
    unspent = position["available"] + position["committed"]
    assert settled["total"]["carried_forward_pence"] == unspent


def test_what_is_unspent_and_owed_begins_the_next_year(funding: Funding, pool_id: str, at: clock.FixedClock) -> None:
    first = year_of(funding, pool_id)
    at.at = AFTER["2026-27"]
    open_still = year_of(funding, pool_id, "2027-28")
    close(funding, pool_id)
    funding.receipt(pool_id, council=ABERDEENSHIRE, amount_pence=5_000_00, received_on="2027-04-01")
    second = year_of(funding, pool_id, "2027-28")
    assert open_still["total"]["opening_pence"] == first["total"]["carried_forward_pence"]
    for before, after in zip(first["councils"], second["councils"], strict=True):
        assert after["opening_pence"] == before["carried_forward_pence"]
        assert after["owed_at_start_pence"] == before["owed_at_end_pence"]
    assert second["total"]["carried_forward_pence"] == 56_000_01
    assert adds_up(second)
    at.at = AFTER["2027-28"]
    close(funding, pool_id, "2027-28")
    assert year_of(funding, pool_id, "2027-28")["total"] == second["total"]


def test_years_are_closed_in_order_once_they_are_over(funding: Funding, pool_id: str, at: clock.FixedClock) -> None:
    assert refused(close, funding, pool_id).code == "year_not_over"
    at.at = AFTER["2027-28"]
    assert refused(close, funding, pool_id, "2027-28").code == "earlier_year_open"
    assert refused(close, funding, pool_id, "2030-31").code == "not_a_year_of_the_pool"
    first = close(funding, pool_id)
    again = funding.call(TREASURER_ANN, "close_year", pool_id=pool_id, year="2026-27")
    assert again["instruction_id"] == first["instruction_id"]
    assert len(funding.recorded("year_closed")) == 1


def test_nothing_is_dated_in_a_closed_year(funding: Funding, pool_id: str, at: clock.FixedClock) -> None:
    award = funding.active_award(pool_id)
    funding.approved_drawdown(award)
    at.at = AFTER["2026-27"]
    close(funding, pool_id)
    before = year_of(funding, pool_id)
    refusal = refused(funding.receipt, pool_id, received_on="2027-03-31")
    assert (refusal.code, list(refusal.fields)) == ("year_closed", ["received_on"])
    assert "2027-04-01" in refusal.message
    assert refused(funding.pay, award, paid_on="2027-03-31").code == "year_closed"
    back = {"amount_pence": 1_00, "received_on": "2027-03-31"}
    [paid] = [each for each in funding.call(TREASURER_ANN, "list_awards")["items"] if each["paid_pence"]]
    assert refused(funding.carried_out, "return_underspend", paid, **back).code == "year_closed"
    leaving = {"pool_id": pool_id, "council": FIFE, "leaves_on": "2027-03-31"}
    assert refused(funding.call, TREASURER_ANN, "remove_member", **leaving).code == "year_closed"
    funding.pay(award, paid_on="2027-04-01")
    assert year_of(funding, pool_id) == before
    # What was recorded of it before is answered as before.
    again = funding.receipt(
        pool_id, council=EDINBURGH, amount_pence=40_000_00, bank_reference="BACS-E", received_on="2026-05-29"
    )
    assert again["received_on"] == "2026-05-29"


def test_a_wrong_receipt_of_a_closed_year_is_reversed_in_the_open_one(
    funding: Funding, pool_id: str, at: clock.FixedClock
) -> None:
    wrong = funding.receipt(pool_id, council=FIFE, amount_pence=2_000_00)
    number = funding.transactions(pool_id)[-1]["number"]
    at.at = AFTER["2026-27"]
    close(funding, pool_id)
    settled = year_of(funding, pool_id)
    dated = {"number": number, "reason": "It was another council's."}
    assert (
        refused(funding.by_two_people, "reverse_transaction", pool_id, **dated, effective_on=wrong["received_on"]).code
        == "year_closed"
    )
    funding.by_two_people("reverse_transaction", pool_id, **dated)
    assert year_of(funding, pool_id) == settled
    following = year_of(funding, pool_id, "2027-28")
    assert following["total"]["received_pence"] == -2_000_00
    assert adds_up(following)


def test_a_council_sees_its_own_figures_and_the_sums(funding: Funding, pool_id: str) -> None:
    own = funding.call(officer(FIFE), "get_year", pool_id=pool_id, year="2026-27")
    assert [row["council"] for row in own["councils"]] == [FIFE]
    everything = funding.call(CDO_CLEO, "get_year", pool_id=pool_id, year="2026-27")
    assert own["total"] == everything["total"]
    assert len(everything["councils"]) == 3


@pytest.mark.parametrize("table", ["closed_years", "year_figures"])
@pytest.mark.parametrize("change", ["UPDATE {} SET year = '2030-31'", "DELETE FROM {}"])
def test_a_closed_year_stays_as_it_is(
    funding: Funding, pool_id: str, at: clock.FixedClock, table: str, change: str
) -> None:
    at.at = AFTER["2026-27"]
    close(funding, pool_id)
    with pytest.raises(DBAPIError, match="append-only"):
        funding.database.run(lambda session: session.execute(text(change.format(table))))


def test_the_close_is_asked_for_by_one_and_approved_by_another(
    funding: Funding, pool_id: str, at: clock.FixedClock
) -> None:
    at.at = AFTER["2026-27"]
    asked = funding.call(TREASURER_ANN, "close_year", pool_id=pool_id, year="2026-27")
    assert year_of(funding, pool_id)["closed_at"] is None
    # A receipt that comes before the approval belongs to the year: what was asked for is no longer what would happen.
    funding.receipt(pool_id, received_on="2027-03-31")
    refusal = refused(funding.call, APPROVER_BEN, "approve_instruction", instruction_id=asked["instruction_id"])
    assert refusal.code == "instruction_outdated"
