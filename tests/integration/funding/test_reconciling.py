"""A bank's statement held against the books, on each database."""

from typing import Any

import pytest

from shared.errors import Forbidden, Invalid, NotFound
from tests.support.funding import APPROVER_BEN, CDO_CLEO, EDINBURGH, FIFE, TREASURER_ANN, Funding, officer

STATEMENT = """\
Date,Reference,Details,Paid in,Paid out,Balance
29/05/2026,BACS 1,City of Edinburgh,"30,000.00",,30000.00
29/05/2026,BACS-2,Fife,"10,000.50",,40000.50
01/06/2026,PAY-1,Edinburgh drawdown,,"10,000.00",30000.50
01/06/2026,BACS-9,Aberdeenshire,5.00,,30005.50
01/06/2026,,Bank charges,,7.00,29998.50
"""


@pytest.fixture
def pool_id(funding: Funding) -> str:
    """A pool that has received from two councils, and paid one tranche."""
    pool_id = funding.pool(EDINBURGH, FIFE)
    funding.receipt(pool_id, amount_pence=30_000_00, bank_reference="BACS1")
    funding.receipt(pool_id, amount_pence=10_000_00, bank_reference="BACS-2", council=FIFE)
    funding.receipt(pool_id, amount_pence=5_00, bank_reference="BACS-8", received_on="2026-05-30")
    funding.receipt(pool_id, amount_pence=1, bank_reference="BACS-0", received_on="2026-05-01")
    award = funding.active_award(pool_id)
    funding.approved_drawdown(award)
    funding.call(
        TREASURER_ANN,
        "record_payment",
        award_id=award["award_id"],
        tranche="alpha",
        payment_reference="PAY-1",
        paid_on="2026-06-01",
    )
    return pool_id


def reconciled(funding: Funding, pool_id: str, statement: str = STATEMENT, **days: str) -> dict[str, Any]:
    return funding.call(TREASURER_ANN, "reconcile_bank_statement", pool_id=pool_id, statement=statement, **days)


def test_a_statement_is_held_against_the_books(funding: Funding, pool_id: str) -> None:
    found = reconciled(funding, pool_id)
    assert (found["starts_on"], found["ends_on"], found["agrees"]) == ("2026-05-29", "2026-06-01", False)
    pairs = [(pair["bank"]["line"], pair["recorded"]["reference"]) for pair in found["matched"]["items"]]
    assert pairs == [(2, "BACS1"), (4, "PAY-1")]
    [differing] = found["differing"]["items"]
    assert (differing["bank"]["amount_pence"], differing["recorded"]["amount_pence"]) == (10_000_50, 10_000_00)
    assert differing["differs"] == ["amount"]
    [missing_here] = found["missing_here"]["items"]
    [missing_there] = found["missing_there"]["items"]
    assert missing_here["bank"]["description"] == "Aberdeenshire"
    assert missing_here["perhaps"] == [missing_there]
    assert (missing_there["reference"], missing_there["kind"]) == ("BACS-8", "receipt")
    assert found["unreadable"] == [{"line": 6, "problems": ["It has no reference."]}]
    assert found["ignored_columns"] == ["Balance"]
    sums = {
        group: (found[group]["count"], found[group]["bank_pence"], found[group]["recorded_pence"])
        for group in ("matched", "differing", "missing_here", "missing_there", "duplicates")
    }
    assert sums == {
        "matched": (2, 20_000_00, 20_000_00),
        "differing": (1, 10_000_50, 10_000_00),
        "missing_here": (1, 5_00, 0),
        "missing_there": (1, 0, 5_00),
        "duplicates": (0, 0, 0),
    }
    assert (found["bank_pence"], found["recorded_pence"]) == (30_005_50, 30_005_00)


def test_a_statement_that_agrees_agrees_with_what_the_pool_holds(funding: Funding, pool_id: str) -> None:
    statement = (
        "date,reference,amount\n2026-05-01,BACS-0,0.01\n2026-05-29,BACS1,30000\n2026-05-29,BACS-2,10000\n"
        "2026-05-30,BACS-8,5\n2026-06-01,PAY-1,-10000\n"
    )
    found = reconciled(funding, pool_id, statement)
    assert found["agrees"] is True
    position = funding.call(TREASURER_ANN, "get_pool", pool_id=pool_id)["position"]
    assert found["recorded_pence"] == position["available_pence"] + position["committed_pence"]


def test_the_statement_may_cover_more_days_than_it_has_lines_for(funding: Funding, pool_id: str) -> None:
    found = reconciled(funding, pool_id, starts_on="2026-05-01", ends_on="2026-05-31")
    assert [each["reference"] for each in found["missing_there"]["items"]] == ["BACS-0", "BACS-8"]


def test_it_keeps_nothing_and_is_for_those_who_mind_the_money(funding: Funding, pool_id: str) -> None:
    before = funding.call(TREASURER_ANN, "list_transactions", pool_id=pool_id)
    for person in (TREASURER_ANN, APPROVER_BEN, CDO_CLEO):
        asked = {"pool_id": pool_id, "statement": STATEMENT}
        assert funding.call(person, "reconcile_bank_statement", **asked)["matched"]["count"] == 2
    assert funding.call(TREASURER_ANN, "list_transactions", pool_id=pool_id) == before
    with pytest.raises(Forbidden):
        funding.call(officer(EDINBURGH), "reconcile_bank_statement", pool_id=pool_id, statement=STATEMENT)
    with pytest.raises(NotFound):
        reconciled(funding, "01a20bd9-86db-7221-b66a-20344bc221af")


def test_all_that_is_wrong_with_the_file_is_told_at_once(funding: Funding, pool_id: str) -> None:
    with pytest.raises(Invalid) as refusal:
        reconciled(funding, pool_id, "Balance\n5.00\n")
    assert refusal.value.code == "not_a_bank_statement"
    assert refusal.value.fields["statement"][:2] == ["No column is named date.", "No column is named reference."]
    with pytest.raises(Invalid) as days:
        reconciled(funding, pool_id, starts_on="2026-06-02", ends_on="2026-06-01")
    assert days.value.fields == {"ends_on": ["Give the last day of the statement, 2026-06-02 or later."]}


def test_every_pool_is_its_own(funding: Funding, pool_id: str) -> None:
    other = funding.pool()
    assert reconciled(funding, other)["missing_here"]["count"] == 4


def test_a_leavers_refund_is_found_by_its_payment_reference(funding: Funding, pool_id: str) -> None:
    funding.call(TREASURER_ANN, "remove_member", pool_id=pool_id, council=FIFE, leaves_on="2026-05-31")
    refund = {"council": FIFE, "payment_reference": "REFUND-FIFE-1"}
    assert "to Fife by REFUND-FIFE-1: its part" in funding.by_two_people("refund_leaver", pool_id, **refund)["sentence"]
    amount_pence = -next(
        posting["amount_pence"]
        for posting in funding.transactions(pool_id)[-1]["postings"]
        if posting["account"] == "available"
    )
    paid_out = f"Date,Reference,Amount\n01/06/2026,refund fife 1,-{amount_pence // 100}.{amount_pence % 100:02d}\n"
    [matched] = reconciled(funding, pool_id, paid_out)["matched"]["items"]
    assert (matched["recorded"]["kind"], matched["recorded"]["amount_pence"]) == ("refund", -amount_pence)
