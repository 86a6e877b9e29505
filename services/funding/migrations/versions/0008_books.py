"""The ledger is read by effective date."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_index("ix_ledger_transactions_pool_id_effective_on", "ledger_transactions", ["pool_id", "effective_on"])


def downgrade() -> None:
    op.drop_index("ix_ledger_transactions_pool_id_effective_on", "ledger_transactions")
