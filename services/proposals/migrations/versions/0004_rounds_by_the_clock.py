"""Rounds begin and end by the clock, and every change of one is kept.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

from shared.storage.types import Json, UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("rounds", sa.Column("told_open_at", UtcDateTime))
    # Until now a round was told to be open when it was announced, whenever its window begins: not a second time.
    op.execute("UPDATE rounds SET told_open_at = opened_at")
    op.create_table(
        "round_changes",
        sa.Column("round_id", sa.Uuid, nullable=False),
        sa.Column("version", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("before", Json, nullable=False),
        sa.Column("after", Json, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("changed_at", UtcDateTime, nullable=False),
        sa.Column("changed_by", sa.String(128), nullable=False),
        sa.PrimaryKeyConstraint("round_id", "version", name="pk_round_changes"),
        sa.ForeignKeyConstraint(["round_id"], ["rounds.id"], name="fk_round_changes_round_id"),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE TRIGGER round_changes_are_frozen BEFORE UPDATE OR DELETE ON round_changes "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
        return
    for change in ("update", "delete"):
        op.execute(
            f"CREATE TRIGGER round_changes_refuse_{change} BEFORE {change} ON round_changes "
            "BEGIN SELECT RAISE(ABORT, 'rows of round_changes are never changed'); END"
        )


def downgrade() -> None:
    op.drop_table("round_changes")
    op.drop_column("rounds", "told_open_at")
