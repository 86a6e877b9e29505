"""What finance reports: money is the same whoever tells of it, and only what may be is booked."""

import dataclasses
from typing import Any

import pytest

from shared import clock, ids
from shared.errors import CommonwealError, Conflict, Invalid, NotFound
from shared.messaging.events import Event
from tests.support.funding import (
    ABERDEENSHIRE,
    APPROVER_BEN,
    CDO_CLEO,
    EDINBURGH,
    FIFE,
    TREASURER_ANN,
    Funding,
    contribution_received,
    officer,
    payment_made,
)

BACS = "BACS-20260529-1"


def receipts(funding: Funding, pool_id: str, who: Any = TREASURER_ANN, **choice: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = funding.call(who, "list_receipts", pool_id=pool_id, **choice)["items"]
    return items


def refused(funding: Funding, event: Event, error: type[CommonwealError], code: str, *said: str) -> CommonwealError:
    """The event is refused, and nothing is changed by it."""
    before = [(row.name, row.data) for row in funding.recorded()]
    with pytest.raises(error) as refusal:
        funding.receive(event)
    assert refusal.value.code == code
    for words in said:
        assert words in refusal.value.message
    assert [(row.name, row.data) for row in funding.recorded()] == before
    return refusal.value


def pledge(funding: Funding, pool_id: str, total_pence: int, year: str = "2026-27", **fixed: Any) -> None:
    facts = {"pool_id": pool_id, "year": year, "total_pence": total_pence, "scheme": "equal"}
    funding.call(TREASURER_ANN, "set_contributions", **facts | fixed)


# --- receipts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names_its_pool", [True, False])
def test_money_that_finance_reports_is_in_the_ledger_under_its_name(funding: Funding, names_its_pool: bool) -> None:
    pool_id = funding.pool(EDINBURGH, FIFE)
    pledge(funding, pool_id, 100_00)
    event = contribution_received(**({"pool_id": pool_id} if names_its_pool else {}), bank_reference=BACS)
    funding.receive(event)
    [receipt] = receipts(funding, pool_id)
    assert (receipt["recorded_by"], receipt["flag"], receipt["bank_reference"]) == ("finance", "exact", BACS)
    assert funding.position(pool_id) == {"pledged": 50_00, "available": 50_00, "received": 50_00}
    [posted] = [
        each
        for each in funding.call(TREASURER_ANN, "list_transactions", pool_id=pool_id)["items"]
        if each["kind"] == "receipt"
    ]
    assert posted["author"] == "finance"
    [told] = funding.recorded("contribution_recorded")
    assert (told.data["flag"], told.data["still_owed_pence"]) == ("exact", 0)
    assert funding.ledger_is_sound(pool_id)


def test_the_same_money_counts_once_whoever_tells_of_it_and_however_often(funding: Funding) -> None:
    pool_id = funding.pool()
    event = contribution_received(bank_reference=BACS)
    again = dataclasses.replace(event, id=str(ids.new_id()))
    by_name = contribution_received(bank_reference=BACS, pool_id=pool_id)
    for each in (event, event, again, by_name):
        funding.receive(each)
    [receipt] = receipts(funding, pool_id)
    assert funding.receipt(pool_id, bank_reference=BACS) == receipt
    assert funding.position(pool_id) == {"available": 50_00, "received": 50_00}
    by_hand = funding.receipt(pool_id, bank_reference="BACS-2")
    funding.receive(contribution_received(bank_reference="BACS-2"))
    assert receipts(funding, pool_id) == [receipt, by_hand]


def test_money_told_of_again_need_not_fit_the_memberships_of_now(funding: Funding) -> None:
    pool_id = funding.pool()
    event = contribution_received(bank_reference=BACS)
    funding.receive(event)
    other_id = funding.pool()
    funding.receive(dataclasses.replace(event, id=str(ids.new_id())))
    assert len(receipts(funding, pool_id)) == 1
    assert receipts(funding, other_id) == []


@pytest.mark.parametrize(
    ("field", "other", "recorded"),
    [("council", FIFE, EDINBURGH), ("amount_pence", 50_01, "5000"), ("received_on", "2026-05-28", "2026-05-29")],
)
def test_a_bank_reference_with_other_facts_is_refused_and_says_which(
    funding: Funding, field: str, other: object, recorded: str
) -> None:
    pool_id = funding.pool()
    funding.receipt(pool_id, bank_reference=BACS)
    event = contribution_received(**{"bank_reference": BACS, field: other})
    refusal = refused(funding, event, Conflict, "reference_used", BACS, f"Correct {field}")
    assert refusal.fields == {field: [f"Recorded before as {recorded}."]}
    assert funding.position(pool_id) == {"available": 50_00, "received": 50_00}


def test_money_that_fits_no_pool_or_several_waits_for_somebody_to_say_whose_it_is(funding: Funding) -> None:
    event = contribution_received()
    refused(funding, event, Conflict, "no_pool", "City of Edinburgh was a member of no pool that ran on 2026-05-29")
    first, second = funding.pool(), funding.pool()
    refused(funding, event, Conflict, "several_pools", "2 pools", "say by pool_id which")
    assert [receipts(funding, pool_id) for pool_id in (first, second)] == [[], []]
    funding.receive(contribution_received(pool_id=second))
    assert len(receipts(funding, second)) == 1


def test_what_was_refused_has_its_effect_once_the_reason_is_gone(funding: Funding) -> None:
    pool_id = funding.pool(FIFE)
    event = contribution_received()
    refused(funding, event, Conflict, "no_pool")
    funding.call(TREASURER_ANN, "add_member", pool_id=pool_id, council=EDINBURGH, joins_on="2026-04-01")
    funding.receive(event)
    funding.receive(event)
    assert [receipt["council"] for receipt in receipts(funding, pool_id)] == [EDINBURGH]


def test_each_receipt_that_cannot_be_says_so_in_words_for_a_clerk(funding: Funding, at: clock.FixedClock) -> None:
    pool_id = funding.pool(FIFE)
    refused(funding, contribution_received(pool_id=str(ids.new_id())), NotFound, "no_such_pool", "or leave it out")
    refused(funding, contribution_received(pool_id=pool_id), Conflict, "not_a_member", "add it first")
    future = {"council": FIFE, "received_on": "2026-06-02"}
    refused(funding, contribution_received(**future), Invalid, "in_the_future", "once it has moved")
    pledge(funding, pool_id, 100_00)
    at.at = at.now().replace(year=2029)
    late = {"pool_id": pool_id, "council": FIFE, "received_on": "2029-04-02"}
    refused(funding, contribution_received(**late, amount_pence=100_01), Conflict, "pool_ended", "£0.01 more")
    refused(funding, contribution_received(**late | {"pool_id": None}), Conflict, "no_pool")
    funding.receive(contribution_received(**late, amount_pence=100_00))
    assert funding.position(pool_id) == {"available": 100_00, "received": 100_00}


def test_each_receipt_is_flagged_and_found_by_its_flag(funding: Funding, at: clock.FixedClock) -> None:
    pool_id = funding.pool(EDINBURGH, FIFE)
    pledge(funding, pool_id, 200_00)
    pledge(funding, pool_id, 300_00, year="2027-28")
    amounts = {"a": 60_00, "b": 40_00, "c": 150_00, "d": 5_00, "e": 7_00}
    for reference, amount_pence in amounts.items():
        funding.receipt(pool_id, bank_reference=reference, amount_pence=amount_pence)
    at.at = at.now().replace(year=2027)
    funding.receipt(pool_id, council=FIFE, bank_reference="f", amount_pence=251_00, received_on="2027-05-29")
    assert [
        (each["bank_reference"], each["flag"], each["still_owed_pence"], each["unpledged_pence"])
        for each in receipts(funding, pool_id)
    ] == [
        ("a", "partial", 40_00, 0),
        ("b", "exact", 0, 0),
        ("c", "exact", 0, 0),
        ("d", "unpledged", 0, 5_00),
        ("e", "unpledged", 0, 7_00),
        ("f", "over", 0, 1_00),
    ]

    def found(**choice: Any) -> str:
        return "".join(each["bank_reference"] for each in receipts(funding, pool_id, **choice))

    assert [found(flag=flag) for flag in ("exact", "partial", "over", "unpledged")] == ["bc", "a", "f", "de"]
    assert [found(council=FIFE), found(year="2026-27"), found(year="2027-28"), found(year="2028-29")] == [
        "f", "abcde", "f", "",
    ]  # fmt: skip
    assert found(year="2026-27", flag="unpledged", council=EDINBURGH) == "de"
    first = funding.call(TREASURER_ANN, "list_receipts", pool_id=pool_id, limit=4)
    assert found(limit=4, cursor=first["next_cursor"]) == "ef"


def test_a_council_sees_its_own_receipts_and_no_others(funding: Funding) -> None:
    pool_id = funding.pool(EDINBURGH, FIFE)
    for council in (EDINBURGH, FIFE):
        funding.receipt(pool_id, council=council)
    for who in (TREASURER_ANN, APPROVER_BEN, CDO_CLEO):
        assert len(receipts(funding, pool_id, who)) == 2
    assert [each["council"] for each in receipts(funding, pool_id, officer(FIFE))] == [FIFE]
    assert receipts(funding, pool_id, officer(FIFE), council=EDINBURGH) == []
    with pytest.raises(NotFound):
        receipts(funding, pool_id, officer(ABERDEENSHIRE))


# --- payments -------------------------------------------------------------------------------------------------------


@pytest.fixture
def award(funding: Funding) -> dict[str, Any]:
    return funding.active_award(funding.funded_pool())


def state_of(funding: Funding, award: dict[str, Any]) -> str:
    seen = funding.call(TREASURER_ANN, "get_award", award_id=award["award_id"])
    return str(seen["tranches"][0]["state"])


def test_a_payment_that_finance_reports_is_booked_attributed_and_told(funding: Funding, award: dict[str, Any]) -> None:
    funding.approved_drawdown(award)
    funding.receive(payment_made(award, payment_reference="PAY-1"))
    assert state_of(funding, award) == "paid"
    assert funding.position(award["pool_id"])["paid"] == 10_000_00
    [posted] = [
        each
        for each in funding.call(TREASURER_ANN, "list_transactions", pool_id=award["pool_id"])["items"]
        if each["kind"] == "pay"
    ]
    assert (posted["author"], posted["approver"]) == ("finance", APPROVER_BEN.subject)
    assert posted["attributions"] == [{"council": EDINBURGH, "amount_pence": 10_000_00}]
    [told] = funding.recorded("tranche_paid")
    assert (told.data["tranche"], told.data["payment_reference"]) == ("alpha", "PAY-1")
    assert funding.ledger_is_sound(award["pool_id"])


def test_the_same_payment_counts_once_whoever_tells_of_it(funding: Funding, award: dict[str, Any]) -> None:
    funding.approved_drawdown(award)
    event = payment_made(award, payment_reference="PAY-1")
    for each in (event, event, dataclasses.replace(event, id=str(ids.new_id()))):
        funding.receive(each)
    facts = {"tranche": "alpha", "payment_reference": "PAY-1", "paid_on": "2026-06-01"}
    seen = funding.call(TREASURER_ANN, "record_payment", award_id=award["award_id"], **facts)
    assert seen["recorded_by"] == "finance"
    assert len(funding.recorded("tranche_paid")) == 1


@pytest.mark.parametrize(
    ("field", "other"),
    [("tranche", "live"), ("amount_pence", 9_999_99), ("paid_on", "2026-05-31")],
)
def test_a_payment_reference_with_other_facts_is_refused(
    funding: Funding, award: dict[str, Any], field: str, other: object
) -> None:
    funding.approved_drawdown(award)
    funding.receive(payment_made(award, payment_reference="PAY-1"))
    event = payment_made(award, **{"payment_reference": "PAY-1", field: other})
    refusal = refused(funding, event, Conflict, "reference_used", f"Correct {field}")
    assert list(refusal.fields) == [field]


def test_only_what_was_approved_is_paid(funding: Funding, award: dict[str, Any]) -> None:
    event = payment_made(award)
    refused(funding, event, Conflict, "tranche_not_approved", "is locked")
    funding.requested_drawdown(award)
    refused(funding, event, Conflict, "tranche_not_approved", "is requested")
    refused(funding, payment_made(award, amount_pence=10_000_01), Invalid, "amount_differs", "£10,000.01 was paid")
    refused(funding, payment_made(award, tranche="gamma"), NotFound, "no_such_tranche")
    refused(funding, payment_made(award | {"award_id": str(ids.new_id())}), NotFound, "no_such_award")
    refused(funding, payment_made(funding.approved_offer(award["pool_id"]) | {"tranches": award["tranches"]}),
            Conflict, "award_not_active")  # fmt: skip
    funding.call(APPROVER_BEN, "approve_drawdown", award_id=award["award_id"], tranche="alpha")
    refused(funding, payment_made(award, paid_on="2026-05-31"), Invalid, "paid_before_approval")
    refused(funding, payment_made(award, paid_on="2026-06-02"), Invalid, "in_the_future")
    funding.receive(event)
    assert state_of(funding, award) == "paid"
    refused(
        funding, payment_made(award), Conflict, "tranche_not_approved", event.data["payment_reference"], "paid once"
    )
    assert funding.position(award["pool_id"])["paid"] == 10_000_00
