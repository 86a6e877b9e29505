"""The ledger's transactions are numbered and bound into a chain, and what projects cost is attributed to councils."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import sqlalchemy as sa
from alembic import op

from services.funding import attribution, ledger, ledger_chain
from shared.storage.alterations import altering
from shared.storage.types import Json, Pence, UtcDateTime

revision = "0005"
down_revision = "0004"

_transactions = sa.table(
    "ledger_transactions",
    sa.column("id", sa.Uuid),
    sa.column("pool_id", sa.Uuid),
    sa.column("number", sa.Integer),
    sa.column("hash", sa.LargeBinary),
    sa.column("key", sa.String),
    sa.column("kind", sa.String),
    sa.column("effective_on", sa.Date),
    sa.column("recorded_at", UtcDateTime),
    sa.column("author", sa.String),
    sa.column("approver", sa.String),
    sa.column("about", Json),
)
_postings = sa.table(
    "ledger_postings",
    sa.column("transaction_id", sa.Uuid),
    sa.column("account_id", sa.Uuid),
    sa.column("amount_pence", Pence),
)
_accounts = sa.table(
    "ledger_accounts", sa.column("id", sa.Uuid), sa.column("pool_id", sa.Uuid), sa.column("name", sa.String)
)
_heads = sa.table(
    "ledger_heads", sa.column("pool_id", sa.Uuid), sa.column("number", sa.Integer), sa.column("hash", sa.LargeBinary)
)
_contributors = sa.table(
    "ledger_contributors",
    sa.column("pool_id", sa.Uuid),
    sa.column("council", sa.String),
    sa.column("attributed_pence", Pence),
)
_attributions = sa.table(
    "ledger_attributions",
    sa.column("transaction_id", sa.Uuid),
    sa.column("council", sa.String),
    sa.column("project_id", sa.Uuid),
    sa.column("amount_pence", Pence),
)


def upgrade() -> None:
    _create_tables()
    op.add_column("ledger_transactions", sa.Column("number", sa.Integer))
    op.add_column("ledger_transactions", sa.Column("hash", sa.LargeBinary(32)))
    with _unguarded("ledger_transactions"):
        for pool_id in op.get_bind().execute(sa.select(_transactions.c.pool_id).distinct()).scalars().all():
            _bind(pool_id)
    with altering("ledger_transactions") as transactions:
        transactions.alter_column("number", existing_type=sa.Integer, nullable=False)
        transactions.alter_column("hash", existing_type=sa.LargeBinary(32), nullable=False)
        transactions.create_check_constraint(op.f("ck_ledger_transactions_number_above_zero"), sa.text("number >= 1"))
        transactions.create_unique_constraint(op.f("uq_ledger_transactions_pool_id_number"), ["pool_id", "number"])
    _guard()


def downgrade() -> None:
    for table in ("ledger_attributions", "ledger_contributors", "ledger_heads"):
        op.drop_table(table)
    with altering("ledger_transactions") as transactions:
        transactions.drop_constraint(op.f("ck_ledger_transactions_number_above_zero"), type_="check")
        transactions.drop_constraint(op.f("uq_ledger_transactions_pool_id_number"), type_="unique")
        transactions.drop_column("hash")
        transactions.drop_column("number")


def _create_tables() -> None:
    op.create_table(
        "ledger_heads",
        sa.Column("pool_id", sa.Uuid, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("pool_id", name="pk_ledger_heads"),
        sa.ForeignKeyConstraint(["pool_id"], ["pools.id"], name="fk_ledger_heads_pool_id"),
        sa.CheckConstraint("number >= 0", name="ck_ledger_heads_number_not_below_zero"),
    )
    op.create_table(
        "ledger_contributors",
        sa.Column("pool_id", sa.Uuid, nullable=False),
        sa.Column("council", sa.String(9), nullable=False),
        sa.Column("attributed_pence", Pence, nullable=False),
        sa.PrimaryKeyConstraint("pool_id", "council", name="pk_ledger_contributors"),
        sa.ForeignKeyConstraint(["pool_id"], ["pools.id"], name="fk_ledger_contributors_pool_id"),
        sa.CheckConstraint("attributed_pence >= 0", name="ck_ledger_contributors_attributed_not_below_zero"),
    )
    op.create_table(
        "ledger_attributions",
        sa.Column("transaction_id", sa.Uuid, nullable=False),
        sa.Column("council", sa.String(9), nullable=False),
        sa.Column("project_id", sa.Uuid, nullable=False),
        sa.Column("amount_pence", Pence, nullable=False),
        sa.PrimaryKeyConstraint("transaction_id", "council", name="pk_ledger_attributions"),
        sa.ForeignKeyConstraint(
            ["transaction_id"], ["ledger_transactions.id"], name="fk_ledger_attributions_transaction_id"
        ),
        sa.CheckConstraint("amount_pence <> 0", name="ck_ledger_attributions_amount_not_zero"),
    )
    op.create_index("ix_ledger_attributions_project_id", "ledger_attributions", ["project_id"])


def _guard() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            """
            CREATE TRIGGER ledger_attributions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_attributions
            FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only()
            """
        )
        return
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"""
            CREATE TRIGGER ledger_attributions_no_{change.lower()} BEFORE {change} ON ledger_attributions
            BEGIN
                SELECT RAISE(ABORT, 'ledger_attributions is append-only: correct the ledger with another transaction');
            END
            """
        )


@contextmanager
def _unguarded(table: str) -> Iterator[None]:
    """Let rows that are never changed get what they lacked, this once."""
    bind = op.get_bind()
    if bind.dialect.name == "postgresql":
        op.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        yield
        op.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
        return
    found = sa.text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :table")
    triggers = bind.execute(found, {"table": table}).all()
    for name, _ in triggers:
        op.execute(f"DROP TRIGGER {name}")
    yield
    for _, created in triggers:
        op.execute(created)


def _bind(pool_id: UUID) -> None:
    """Number a pool's transactions in the order in which they were recorded; the councils' parts follow from that."""
    bind = op.get_bind()
    postings: dict[UUID, dict[str, int]] = defaultdict(dict)
    rows = bind.execute(
        sa.select(_postings.c.transaction_id, _accounts.c.name, _postings.c.amount_pence)
        .join(_accounts, _accounts.c.id == _postings.c.account_id)
        .where(_accounts.c.pool_id == pool_id)
    )
    for transaction_id, account, amount_pence in rows:
        postings[transaction_id][account] = amount_pence
    head = ledger_chain.beginning(pool_id)
    balances: dict[str, int] = defaultdict(int)
    spent: dict[str, int] = defaultdict(int)
    in_order = sa.select(_transactions).where(_transactions.c.pool_id == pool_id)
    for row in bind.execute(in_order.order_by(_transactions.c.recorded_at, _transactions.c.id)).all():
        for account, amount_pence in postings[row.id].items():
            balances[account] += amount_pence
        parts = _attribute(row.id, postings[row.id], balances, spent)
        head = ledger_chain.extend(
            head,
            ledger_chain.Entry(
                id=row.id,
                key=row.key,
                kind=row.kind,
                effective_on=row.effective_on,
                recorded_at=row.recorded_at,
                author=row.author,
                approver=row.approver,
                about=row.about,
                postings=postings[row.id],
                attribution=parts,
            ),
        )
        bind.execute(
            sa.update(_transactions).where(_transactions.c.id == row.id).values(number=head.number, hash=head.hash)
        )
    bind.execute(sa.insert(_heads).values(pool_id=pool_id, number=head.number, hash=head.hash))
    for council, amount_pence in spent.items():
        bind.execute(sa.insert(_contributors).values(pool_id=pool_id, council=council, attributed_pence=amount_pence))


def _attribute(
    transaction_id: UUID, postings: dict[str, int], balances: dict[str, int], spent: dict[str, int]
) -> dict[str, int]:
    """Attribute a payment, as this version would have; until then nothing came back from a project."""
    paid = {account: pence for account, pence in postings.items() if ledger.kind_of(account) == ledger.PAID}
    parts: dict[str, int] = {}
    for account, amount_pence in paid.items():
        paid_in = {council: ledger.received_from(balances, council) for council in ledger.councils_in(balances)}
        left = {council: pence - spent[council] for council, pence in paid_in.items()}
        parts = attribution.of_payment(amount_pence, paid_in, left)
        for council, pence in parts.items():
            spent[council] += pence
            op.get_bind().execute(
                sa.insert(_attributions).values(
                    transaction_id=transaction_id,
                    council=council,
                    project_id=UUID(account.partition(":")[2]),
                    amount_pence=pence,
                )
            )
    return parts
