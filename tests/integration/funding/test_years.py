"""The end of a year: its figures are settled, what is unspent goes on, and nothing is dated in it any more."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from services.funding.domain.reversals import REVERSIBLE
from services.funding.domain.statements import NAMES
from services.funding.models import ClosedYear
from shared import clock
from shared.errors import CommonwealError
from tests.support.funding import (
    ABERDEENSHIRE,
    APPROVER_BEN,
    CDO_CLEO,
    EDINBURGH,
    FIFE,
    NOW,
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
    parts = [council["figures"] for council in year["councils"]]
    sums = {name: sum(part[name] for part in parts) for name in NAMES}
    return sums == year["total"] and all(
        part["opening_pence"]
        + part["received_pence"]
        - part["refunded_pence"]
        - part["spent_pence"]
        + part["returned_pence"]
        == part["closing_pence"]
        and part["outstanding_before_pence"] + part["pledged_pence"] - part["settled_pence"]
        == part["outstanding_pence"]
        for part in [*parts, year["total"]]
    )


def test_a_year_in_figures_before_and_after_it_is_closed(funding: Funding, pool_id: str, at: clock.FixedClock) -> None:
    standing = year_of(funding, pool_id)
    assert standing["closed_at"] is None
    assert standing["total"] == {
        "opening_pence": 0,
        "received_pence": 60_000_01,
        "refunded_pence": 0,
        "spent_pence": 10_000_00,
        "returned_pence": 1_000_00,
        "closing_pence": 51_000_01,
        "outstanding_before_pence": 0,
        "pledged_pence": 100_000_00,
        "settled_pence": 60_000_01,
        "outstanding_pence": 39_999_99,
    }
    assert adds_up(standing)
    at.at = AFTER["2026-27"]
    done = close(funding, pool_id)
    assert done["sentence"] == (
        "Close 2026-27: opening with £0, £60,000.01 received, £0 refunded, £10,000 spent, £1,000 returned; closing with"
        " £51,000.01, which is carried forward, and £39,999.99 outstanding. Nothing is dated in it any more."
    )
    settled = year_of(funding, pool_id)
    assert settled == standing | {"closed_at": "2027-04-02T09:00:00+00:00"}
    [told] = funding.recorded("year_closed")
    assert told.data["total"] == settled["total"]
    assert told.data["councils"] == [{"council": row["council"], **row["figures"]} for row in settled["councils"]]
    position = funding.position(pool_id)
    unspent = position["available"] + position["committed"]
    assert settled["total"]["closing_pence"] == unspent


def test_what_is_unspent_and_owed_begins_the_next_year(funding: Funding, pool_id: str, at: clock.FixedClock) -> None:
    first = year_of(funding, pool_id)
    at.at = AFTER["2026-27"]
    open_still = year_of(funding, pool_id, "2027-28")
    close(funding, pool_id)
    funding.receipt(pool_id, council=ABERDEENSHIRE, amount_pence=5_000_00, received_on="2027-04-01")
    second = year_of(funding, pool_id, "2027-28")
    assert open_still["total"]["opening_pence"] == first["total"]["closing_pence"]
    for before, after in zip(first["councils"], second["councils"], strict=True):
        assert after["figures"]["opening_pence"] == before["figures"]["closing_pence"]
        assert after["figures"]["outstanding_before_pence"] == before["figures"]["outstanding_pence"]
    assert second["total"]["closing_pence"] == 56_000_01
    assert adds_up(second)
    at.at = AFTER["2027-28"]
    close(funding, pool_id, "2027-28")
    assert year_of(funding, pool_id, "2027-28")["total"] == second["total"]


def test_what_came_before_the_pools_first_day_opens_its_first_year(
    funding: Funding, pool_id: str, at: clock.FixedClock
) -> None:
    before = year_of(funding, pool_id)["total"]
    funding.receipt(pool_id, amount_pence=7_00, received_on="2026-03-31")
    standing = year_of(funding, pool_id)
    assert standing["total"] == before | {
        "opening_pence": 7_00,
        "closing_pence": before["closing_pence"] + 7_00,
        # It settles a part of what Edinburgh pledged later.
        "outstanding_before_pence": -7_00,
        "outstanding_pence": before["outstanding_pence"] - 7_00,
    }
    at.at = AFTER["2026-27"]
    close(funding, pool_id)
    assert year_of(funding, pool_id)["total"] == standing["total"]
    assert funding.ledger_is_sound(pool_id)


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
    agreed = {"pool_id": pool_id, "year": "2026-27", "council": FIFE, "amount_pence": 1}
    assert refused(funding.call, TREASURER_ANN, "add_contribution", **agreed).code == "year_closed"
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
    assert (following["total"]["received_pence"], following["total"]["refunded_pence"]) == (-2_000_00, 0)
    assert adds_up(following)
    [line] = funding.call(TREASURER_ANN, "council_statement", pool_id=pool_id, council=FIFE, year="2027-28")["lines"]
    assert (line["line"], line["amount_pence"], line["corrects"]) == ("received", -2_000_00, number)


steps = st.tuples(
    st.sampled_from(("receive", "pay", "return", "claw back", "refund", "reverse", "reverse", "reverse", "close")),
    st.sampled_from((EDINBURGH, ABERDEENSHIRE, FIFE)),
    st.integers(1, 3_000_00),
)
Step = tuple[str, str, int]


def take(funding: Funding, at: clock.FixedClock, pool_id: str, award: dict[str, Any], step: Step) -> None:
    """Do a step, which may be refused: what is possible is not the concern of the figures."""
    what, council, pence = step
    today = at.at.date().isoformat()
    if what == "receive":
        funding.receipt(pool_id, council=council, amount_pence=pence, received_on=today)
    elif what == "pay":
        found = funding.call(TREASURER_ANN, "get_award", award_id=award["award_id"])["tranches"]
        unpaid = next(each for each in found if each["state"] != "paid")
        if unpaid["state"] == "locked":
            funding.approved_drawdown(award, unpaid["tranche"])
        funding.pay(award, unpaid["tranche"], paid_on=today)
    elif what == "return":
        funding.carried_out("return_underspend", award, amount_pence=pence, received_on=today)
    elif what == "claw back":
        funding.carried_out("claw_back", award, amount_pence=pence, received_on=today, reason="A milestone was missed.")
    elif what == "refund":
        with suppress(CommonwealError):
            funding.call(TREASURER_ANN, "remove_member", pool_id=pool_id, council=council, leaves_on=today)
        at.at += timedelta(days=1)
        funding.by_two_people("refund_leaver", pool_id, council=council)
    elif what == "reverse":
        likely = [each["number"] for each in funding.transactions(pool_id) if each["kind"] in REVERSIBLE]
        number = likely[-1 - pence % 4]
        funding.by_two_people("reverse_transaction", pool_id, number=number, reason="A typing error.")
    else:
        at.at += timedelta(days=400)
        close(funding, pool_id, "2026-27")


#: In which all is done and each of it is reversed, before the end of the year or after it.
EACH = [
    ("return", FIFE, 3),
    ("claw back", FIFE, 500_00),
    ("reverse", FIFE, 1),
    ("refund", FIFE, 1),
    ("reverse", FIFE, 4),
    ("receive", FIFE, 700_00),
    ("reverse", FIFE, 4),
    ("claw back", EDINBURGH, 5),
    ("close", FIFE, 1),
    ("reverse", FIFE, 4),
    ("reverse", FIFE, 6),
    ("refund", FIFE, 1),
]


@example(history=EACH)
@given(history=st.lists(steps, min_size=8, max_size=12))
@settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],  # Shrinking takes minutes: a step is several transactions.
    suppress_health_check=list(HealthCheck),
)
def test_whatever_happens_a_closed_year_is_what_its_statements_say(
    funding: Funding, at: clock.FixedClock, history: list[Step]
) -> None:
    at.at = NOW
    pool_id = funding.pool()
    funding.call(
        TREASURER_ANN, "set_contributions", pool_id=pool_id, year="2026-27", total_pence=30_000_00, scheme="equal"
    )
    for council in (EDINBURGH, ABERDEENSHIRE, FIFE):
        funding.receipt(pool_id, council=council, amount_pence=9_000_00)
    award = funding.paid_award(pool_id, tranches=(("alpha", 6_000_00), ("beta", 9_000_01), ("live", 9_999_99)))
    for step in history:
        with suppress(CommonwealError, StopIteration):
            take(funding, at, pool_id, award, step)
    at.at = max(at.at, AFTER["2027-28"])
    for year in AFTER:
        with suppress(CommonwealError):
            close(funding, pool_id, year)
    for year, before in (("2026-27", None), ("2027-28", "2026-27")):
        settled = year_of(funding, pool_id, year)
        assert settled["closed_at"] is not None
        assert adds_up(settled)
        closed = funding.database.run(lambda session, year=year: session.get_one(ClosedYear, (UUID(pool_id), year)))
        asked = {"pool_id": pool_id, "year": year, "upto_number": closed.number}
        whole = funding.call(TREASURER_ANN, "pool_statement", **asked)
        assert (whole["figures"], whole["councils"]) == (settled["total"], settled["councils"])
        for part in settled["councils"]:
            own = funding.call(TREASURER_ANN, "council_statement", council=part["council"], **asked)
            assert own["figures"] == part["figures"]
            # Nothing is dated in it any more: it is the same whatever came after.
            now = funding.call(TREASURER_ANN, "council_statement", pool_id=pool_id, year=year, council=part["council"])
            assert now["figures"] == part["figures"]
        if before:
            closing = {each["council"]: each["figures"] for each in year_of(funding, pool_id, before)["councils"]}
            for part in settled["councils"]:
                last = closing[part["council"]]
                assert part["figures"]["opening_pence"] == last["closing_pence"]
                assert part["figures"]["outstanding_before_pence"] == last["outstanding_pence"]
    assert funding.ledger_is_sound(pool_id)


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


def test_what_is_slipped_into_a_closed_year_is_found(funding: Funding, pool_id: str, at: clock.FixedClock) -> None:
    at.at = AFTER["2026-27"]
    close(funding, pool_id)
    assert funding.ledger_is_sound(pool_id)
    head = "UPDATE ledger_heads SET closed_through = NULL"
    funding.database.run(lambda session: session.execute(text(head)))
    funding.receipt(pool_id, received_on="2027-03-31")
    found = funding.call(TREASURER_ANN, "verify_ledger", pool_id=pool_id)["problems"]
    assert [problem["code"] for problem in found] == ["year_out_of_step", "closed_through_out_of_step"]
    assert found[0]["message"] == (
        f"The received_pence of {EDINBURGH} for 2026-27 is kept as 4000000 pence, and the ledger's transactions come to"
        " 4005000."
    )


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
