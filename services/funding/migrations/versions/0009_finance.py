"""Receipts keep how they stood to the pledge: what they left unpaid, and a flag."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from alembic import op

from services.funding import ledger
from services.funding.domain import receipts as rules
from shared.storage.alterations import altering
from shared.storage.types import Json, Pence

revision = "0009"
down_revision = "0008"

_receipts = sa.table(
    "receipts",
    sa.column("pool_id", sa.Uuid),
    sa.column("bank_reference", sa.String),
    sa.column("amount_pence", Pence),
    sa.column("unpledged_pence", Pence),
    sa.column("still_owed_pence", Pence),
    sa.column("flag", sa.String),
)
_transactions = sa.table(
    "ledger_transactions",
    sa.column("id", sa.Uuid),
    sa.column("pool_id", sa.Uuid),
    sa.column("number", sa.Integer),
    sa.column("kind", sa.String),
    sa.column("about", Json),
)
_postings = sa.table(
    "ledger_postings",
    sa.column("transaction_id", sa.Uuid),
    sa.column("account_id", sa.Uuid),
    sa.column("amount_pence", Pence),
)
_accounts = sa.table("ledger_accounts", sa.column("id", sa.Uuid), sa.column("name", sa.String))

_CHECKS = {
    "ck_receipts_still_owed_not_below_zero": "still_owed_pence >= 0",
    "ck_receipts_not_over_and_owed": "unpledged_pence = 0 OR still_owed_pence = 0",
    "ck_receipts_flag_known": "flag IN ('exact', 'partial', 'over', 'unpledged')",
}


def upgrade() -> None:
    op.add_column("receipts", sa.Column("still_owed_pence", Pence))
    op.add_column("receipts", sa.Column("flag", sa.String(16)))
    connection = op.get_bind()
    owed = dict(_still_owed(connection))
    for pool_id, bank_reference, amount_pence, unpledged_pence in connection.execute(
        sa.select(
            _receipts.c.pool_id, _receipts.c.bank_reference, _receipts.c.amount_pence, _receipts.c.unpledged_pence
        )
    ).all():
        left_pence = owed.get((pool_id, bank_reference), 0)
        flag = rules.flag_of(amount_pence=amount_pence, unpledged_pence=unpledged_pence, still_owed_pence=left_pence)
        connection.execute(
            sa.update(_receipts)
            .where(_receipts.c.pool_id == pool_id, _receipts.c.bank_reference == bank_reference)
            .values(still_owed_pence=left_pence, flag=str(flag))
        )
    with altering("receipts") as receipts:
        receipts.alter_column("still_owed_pence", existing_type=Pence, nullable=False)
        receipts.alter_column("flag", existing_type=sa.String(16), nullable=False)
        for name, condition in _CHECKS.items():
            receipts.create_check_constraint(op.f(name), sa.text(condition))


def downgrade() -> None:
    with altering("receipts") as receipts:
        for name in _CHECKS:
            receipts.drop_constraint(op.f(name), type_="check")
        receipts.drop_column("flag")
        receipts.drop_column("still_owed_pence")


def _still_owed(connection: sa.Connection) -> Iterator[tuple[tuple[UUID, str], int]]:
    """Work out from the ledger what each receipt that settled a pledge left unpaid of its year."""
    pledges: dict[Any, dict[str, int]] = defaultdict(dict)
    outstanding_pence: dict[Any, int] = defaultdict(int)
    movements = connection.execute(
        sa.select(
            _transactions.c.pool_id,
            _transactions.c.kind,
            _transactions.c.about,
            _accounts.c.name,
            _postings.c.amount_pence,
        )
        .join_from(_transactions, _postings, _postings.c.transaction_id == _transactions.c.id)
        .join(_accounts, _accounts.c.id == _postings.c.account_id)
        .where(_accounts.c.name.like(f"{ledger.PLEDGED}:%"))
        .order_by(_transactions.c.pool_id, _transactions.c.number)
    )
    for pool_id, kind, about, account, amount_pence in movements.all():
        owner = (pool_id, account)
        if kind == "pledge":
            pledges[owner][about["year"]] = amount_pence
        elif kind == "receipt":
            left_pence = rules.still_owed(pledges[owner], outstanding_pence[owner], -amount_pence)
            yield (pool_id, about["bank_reference"]), left_pence
        outstanding_pence[owner] += amount_pence
