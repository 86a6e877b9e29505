"""Corrections are reversals: the mirror image is posted, and what was recorded beside the ledger agrees with it."""

from typing import Any

import pytest

from shared import clock
from shared.errors import CommonwealError, NotFound
from shared.security.principal import APPROVER, TREASURER, Principal
from tests.support.funding import (
    ABERDEENSHIRE,
    APPROVER_BEN,
    EDINBURGH,
    FIFE,
    TREASURER_ANN,
    Funding,
    milestone_achieved,
)


def reverse(funding: Funding, pool_id: str, number: int, **facts: Any) -> dict[str, Any]:
    return funding.by_two_people("reverse_transaction", pool_id, number=number, reason="It was wrong.", **facts)


def last(funding: Funding, pool_id: str, kind: str | None = None) -> dict[str, Any]:
    return [each for each in funding.transactions(pool_id) if kind in (None, each["kind"])][-1]


def refused(call: Any, *arguments: Any, **named: Any) -> CommonwealError:
    with pytest.raises(CommonwealError) as refusal:
        call(*arguments, **named)
    return refusal.value


def refusal_of(funding: Funding, pool_id: str, kind: str) -> str:
    """Ask for the reversal of the last transaction of a kind, which must be refused; returns the code."""
    asked = {"pool_id": pool_id, "number": last(funding, pool_id, kind)["number"], "reason": "It was wrong."}
    return refused(funding.call, TREASURER_ANN, "reverse_transaction", **asked).code


def amounts(transaction: dict[str, Any], of: str, name: str) -> dict[str, int]:
    return {each[name]: each["amount_pence"] for each in transaction[of]}


def is_mirror_of(reversal: dict[str, Any], original: dict[str, Any]) -> bool:
    return all(
        amounts(reversal, of, name) == {key: -pence for key, pence in amounts(original, of, name).items()}
        for of, name in (("postings", "account"), ("attributions", "council"))
    )


@pytest.fixture
def pool_id(funding: Funding) -> str:
    """A pool of three, 90,000 pounds pledged; Edinburgh and Fife have paid in 60,000 and 40,000."""
    pool_id = funding.pool()
    funding.call(
        TREASURER_ANN, "set_contributions", pool_id=pool_id, year="2026-27", total_pence=90_000_00, scheme="equal"
    )
    funding.receipt(pool_id, council=EDINBURGH, amount_pence=60_000_00)
    funding.receipt(pool_id, council=FIFE, amount_pence=40_000_00)
    return pool_id


# --- a receipt ------------------------------------------------------------------------------------------------------


def test_a_receipt_is_taken_back_and_recorded_right(funding: Funding, pool_id: str) -> None:
    before = funding.position(pool_id)
    wrong = funding.receipt(pool_id, council=ABERDEENSHIRE, amount_pence=35_000_00, bank_reference="BACS-7")
    original = last(funding, pool_id)
    done = reverse(funding, pool_id, original["number"])
    assert done["sentence"] == (
        f"Reverse transaction {original['number']}, the receipt of £35,000 dated 2026-05-29, as of 2026-06-01:"
        " It was wrong."
    )
    reversal = last(funding, pool_id)
    assert is_mirror_of(reversal, original)
    assert (reversal["key"], reversal["kind"]) == (f"reversal:{original['number']}", "reverse_receipt")
    assert (reversal["author"], reversal["approver"]) == (TREASURER_ANN.subject, APPROVER_BEN.subject)
    assert (reversal["effective_on"], original["effective_on"]) == ("2026-06-01", "2026-05-29")
    assert funding.position(pool_id) == before
    right = funding.receipt(pool_id, council=ABERDEENSHIRE, amount_pence=25_000_00, bank_reference="BACS-7")
    assert right["receipt_id"] != wrong["receipt_id"]
    assert (right["unpledged_pence"], last(funding, pool_id)["key"]) == (0, "receipt.2:BACS-7")
    again = funding.receipt(pool_id, council=ABERDEENSHIRE, amount_pence=25_000_00, bank_reference="BACS-7")
    assert again["receipt_id"] == right["receipt_id"]
    [told] = funding.recorded("transaction_reversed")
    assert told.data == {
        "pool_id": pool_id,
        "transaction_id": original["transaction_id"],
        "number": original["number"],
        "kind": "receipt",
        "amount_pence": 35_000_00,
        "effective_on": "2026-06-01",
        "reason": "It was wrong.",
        "about": [{"name": "bank_reference", "value": "BACS-7"}, {"name": "council", "value": ABERDEENSHIRE}],
    }
    assert funding.ledger_is_sound(pool_id)


def test_a_reference_like_the_key_of_another_one_is_its_own(funding: Funding, pool_id: str) -> None:
    funding.receipt(pool_id, bank_reference="BACS-7")
    reverse(funding, pool_id, last(funding, pool_id)["number"])
    funding.receipt(pool_id, bank_reference="2:BACS-7")
    funding.receipt(pool_id, bank_reference="BACS-7")
    keys = [each["key"] for each in funding.transactions(pool_id)[-2:]]
    assert keys == ["receipt:2:BACS-7", "receipt.2:BACS-7"]


def test_a_receipt_whose_money_is_promised_stays(funding: Funding, pool_id: str) -> None:
    funding.offer(pool_id, funding.candidate(tranches=(("alpha", 70_000_00),)), amount_pence=70_000_00)
    refusal = refused(reverse, funding, pool_id, last(funding, pool_id, "receipt")["number"])
    assert (refusal.code, "available holds £30,000 of the £40,000" in refusal.message) == ("money_has_moved_on", True)


def test_a_receipt_that_payments_have_cost_its_council_stays(funding: Funding, pool_id: str) -> None:
    """The pool could pay it from what others have left; that is theirs."""
    funding.paid_award(pool_id)
    funding.receipt(pool_id, council=EDINBURGH, amount_pence=50_000_00)
    before = funding.position(pool_id)
    fifes = [each for each in funding.transactions(pool_id) if each["about"].get("council") == FIFE][-1]
    refusal = refused(reverse, funding, pool_id, fifes["number"])
    assert (refusal.code, "Fife has £4,000 too little left" in refusal.message) == ("money_has_moved_on", True)
    assert funding.position(pool_id) == before


# --- a payment ------------------------------------------------------------------------------------------------------


def test_a_payment_is_taken_back_and_its_tranche_paid_again(funding: Funding, pool_id: str) -> None:
    award = funding.active_award(pool_id)
    funding.approved_drawdown(award)
    before = funding.position(pool_id)
    funding.pay(award, payment_reference="PAY-1")
    original = last(funding, pool_id)
    reverse(funding, pool_id, original["number"])
    assert is_mirror_of(last(funding, pool_id), original)
    assert sum(amounts(last(funding, pool_id), "attributions", "council").values()) == -10_000_00
    assert funding.position(pool_id) == before
    tranche = funding.call(TREASURER_ANN, "get_award", award_id=award["award_id"])["tranches"][0]
    assert (tranche["state"], tranche["payment_reference"], tranche["paid_on"]) == ("approved", None, None)
    funding.pay(award, payment_reference="PAY-1")
    tranche = funding.call(TREASURER_ANN, "get_award", award_id=award["award_id"])["tranches"][0]
    assert (tranche["state"], tranche["payment_reference"]) == ("paid", "PAY-1")
    assert last(funding, pool_id)["key"] == "payment.2:PAY-1"
    assert len(funding.recorded("tranche_paid")) == 2
    assert funding.ledger_is_sound(pool_id)


def test_a_payment_of_which_money_came_back_stays(funding: Funding, pool_id: str) -> None:
    award = funding.paid_award(pool_id)
    funding.carried_out("return_underspend", award, amount_pence=1_00)
    assert refusal_of(funding, pool_id, "pay") == "money_has_moved_on"


def test_a_payment_of_an_award_that_has_ended_stays(funding: Funding, pool_id: str) -> None:
    award = funding.paid_award(pool_id)
    funding.carried_out("terminate_award", award, reason="The supplier withdrew its product.")
    assert refusal_of(funding, pool_id, "pay") == "award_not_active"


# --- the others -----------------------------------------------------------------------------------------------------


def test_a_pledge_is_taken_back_and_agreed_anew(funding: Funding, pool_id: str) -> None:
    pledge = next(each for each in funding.transactions(pool_id) if each["key"] == f"pledge:2026-27:{ABERDEENSHIRE}")
    reverse(funding, pool_id, pledge["number"])
    assert "pledged" not in funding.position(pool_id)
    contributions = funding.call(
        TREASURER_ANN,
        "add_contribution",
        pool_id=pool_id,
        council=ABERDEENSHIRE,
        year="2026-27",
        amount_pence=20_000_00,
    )
    assert contributions["total_pence"] == 80_000_00
    assert funding.position(pool_id)["pledged"] == 20_000_00
    assert refused(reverse, funding, pool_id, pledge["number"] + 1).code == "money_has_moved_on"


def test_money_that_came_back_by_mistake_is_with_the_project_again(funding: Funding, pool_id: str) -> None:
    award = funding.paid_award(pool_id)
    back = {"amount_pence": 1_000_00, "bank_reference": "BACS-9"}
    before = funding.position(pool_id)
    funding.carried_out("return_underspend", award, **back)
    original = last(funding, pool_id)
    reverse(funding, pool_id, original["number"])
    assert is_mirror_of(last(funding, pool_id), original)
    assert funding.position(pool_id) == before
    assert funding.call(TREASURER_ANN, "get_award", award_id=award["award_id"])["returned_pence"] == 0
    funding.carried_out("return_underspend", award, **back | {"amount_pence": 100_00})
    assert funding.call(TREASURER_ANN, "get_award", award_id=award["award_id"])["returned_pence"] == 100_00
    assert last(funding, pool_id)["key"] == "receipt.2:BACS-9"
    assert funding.ledger_is_sound(pool_id)


def test_a_refund_that_did_not_arrive_is_in_the_pool_again(funding: Funding, pool_id: str) -> None:
    funding.call(TREASURER_ANN, "remove_member", pool_id=pool_id, council=FIFE, leaves_on="2026-05-31")
    before = funding.position(pool_id)
    funding.by_two_people("refund_leaver", pool_id, council=FIFE)
    reverse(funding, pool_id, last(funding, pool_id)["number"])
    assert funding.position(pool_id) == before
    funding.by_two_people("refund_leaver", pool_id, council=FIFE)
    assert funding.ledger_is_sound(pool_id)


@pytest.mark.parametrize("kind", ["reserve", "commit", "release", "cancel", "decommit", "reverse_receipt"])
def test_what_has_its_own_way_back_is_not_reversed(funding: Funding, pool_id: str, kind: str) -> None:
    funding.call(
        TREASURER_ANN, "set_contributions", pool_id=pool_id, year="2027-28", total_pence=90_000_00, scheme="equal"
    )
    funding.call(TREASURER_ANN, "remove_member", pool_id=pool_id, council=ABERDEENSHIRE, leaves_on="2026-12-31")
    funding.carried_out("terminate_award", funding.active_award(pool_id), reason="The supplier withdrew its product.")
    offer = funding.approved_offer(pool_id)
    funding.call(
        Principal("s95@lead.example", frozenset({"s95_officer"}), EDINBURGH),
        "decline_award",
        award_id=offer["award_id"],
        reason="No staff.",
    )
    reverse(funding, pool_id, last(funding, pool_id, "receipt")["number"])
    assert refusal_of(funding, pool_id, kind) == "not_reversible"


def test_it_is_taken_back_once_by_two_people(funding: Funding, pool_id: str, at: clock.FixedClock) -> None:
    number = last(funding, pool_id)["number"]
    both = Principal("pat@pool.example", frozenset({TREASURER, APPROVER}))
    asked = funding.call(both, "reverse_transaction", pool_id=pool_id, number=number, reason="It was wrong.")
    assert refused(funding.call, both, "approve_instruction", instruction_id=asked["instruction_id"]).code == (
        "two_people"
    )
    funding.call(APPROVER_BEN, "approve_instruction", instruction_id=asked["instruction_id"])
    again = {"pool_id": pool_id, "number": number, "reason": "Another reason."}
    assert refused(funding.call, TREASURER_ANN, "reverse_transaction", **again).code == "already_reversed"
    assert len(funding.recorded("transaction_reversed")) == 1


def test_the_day_is_not_before_the_original_nor_ahead(funding: Funding, pool_id: str) -> None:
    number = last(funding, pool_id)["number"]
    assert refused(reverse, funding, pool_id, number, effective_on="2026-05-28").code == "before_the_original"
    assert refused(reverse, funding, pool_id, number, effective_on="2026-06-02").code == "in_the_future"
    reverse(funding, pool_id, number, effective_on="2026-05-30")
    assert last(funding, pool_id)["effective_on"] == "2026-05-30"


def test_there_must_be_such_a_transaction(funding: Funding, pool_id: str) -> None:
    with pytest.raises(NotFound) as refusal:
        reverse(funding, pool_id, 1000)
    assert refusal.value.code == "no_such_transaction"


def test_a_milestone_reported_again_leaves_an_approved_tranche_as_it_is(funding: Funding, pool_id: str) -> None:
    award = funding.paid_award(pool_id)
    reverse(funding, pool_id, last(funding, pool_id)["number"])
    funding.receive(milestone_achieved(award, "alpha"))
    tranche = funding.call(TREASURER_ANN, "get_award", award_id=award["award_id"])["tranches"][0]
    assert tranche["state"] == "approved"
