"""Attempts at events are counted beside the inbox."""

from shared.messaging.migrations import downgrade_tables_v2, upgrade_tables_v2

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    upgrade_tables_v2()


def downgrade() -> None:
    downgrade_tables_v2()
