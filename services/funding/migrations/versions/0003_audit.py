"""Writes and refusals leave an audit row, bound into a chain."""

from shared.audit.migrations import create_tables_v1, drop_tables_v1

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    create_tables_v1()


def downgrade() -> None:
    drop_tables_v1()
