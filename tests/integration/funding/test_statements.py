"""Statements of account on each database: what they tell, to whom, and that the councils' add up to the pool's."""

import csv
import io
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid5

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from services.funding import ledger, ledger_history, ledger_store
from services.funding.ledger import Posting, Transaction
from services.funding.models import Pool
from shared import ids
from shared.errors import Conflict, Forbidden, Invalid, NotFound
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
    proposer,
)


def statement(funding: Funding, pool_id: str, council: str, **more: Any) -> dict[str, Any]:
    return funding.call(TREASURER_ANN, "council_statement", pool_id=pool_id, council=council, **more)


def pay(funding: Funding, award: dict[str, Any], reference: str = "PAY-1", tranche: str = "alpha") -> None:
    funding.approved_drawdown(award, tranche)
    funding.call(
        TREASURER_ANN,
        "record_payment",
        award_id=award["award_id"],
        tranche=tranche,
        payment_reference=reference,
        paid_on="2026-06-01",
    )


@pytest.fixture
def paid(funding: Funding) -> tuple[str, dict[str, Any]]:
    """A pool of Edinburgh and Fife that has paid 10,000 pounds, and the award it was paid on."""
    pool_id = funding.pool(EDINBURGH, FIFE)
    funding.call(
        TREASURER_ANN, "set_contributions", pool_id=pool_id, year="2026-27", total_pence=40_000_00, scheme="equal"
    )
    funding.receipt(pool_id, amount_pence=30_000_00, bank_reference="BACS-1")
    funding.receipt(pool_id, amount_pence=10_000_00, bank_reference="BACS-2", council=FIFE)
    award = funding.active_award(pool_id)
    pay(funding, award)
    return pool_id, award


def test_a_councils_statement_tells_where_its_money_came_from_and_went(
    funding: Funding, paid: tuple[str, dict[str, Any]]
) -> None:
    pool_id, award = paid
    found = statement(funding, pool_id, EDINBURGH, year="2026-27")
    print(found)
    assert found["figures"] == {
        "opening_pence": 0,
        "received_pence": 30_000_00,
        "refunded_pence": 0,
        "spent_pence": 7_500_00,
        "returned_pence": 0,
        "closing_pence": 22_500_00,
        "outstanding_before_pence": 0,
        "pledged_pence": 20_000_00,
        "settled_pence": 20_000_00,
        "outstanding_pence": 0,
    }
