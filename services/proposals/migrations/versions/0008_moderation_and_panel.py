"""Moderation notes; decisions keep the content's hash, the spread and the panel; a proposal keeps who rewrote it.

The columns stay empty in rows of before: what was decided is never rewritten, by a migration neither, and a service of
the version before, which knows nothing of them, can go on beside the new one.
"""

import sqlalchemy as sa
from alembic import op

from shared.storage.types import Json, UtcDateTime

revision = "0008"
down_revision = "0007"

OF_DECISIONS = (
    ("content_hash", sa.String(64)),
    ("spread", sa.String(6)),
    ("wide_spread", sa.Boolean),
    ("moderated", sa.Boolean),
    ("panel", Json),
)


def upgrade() -> None:
    op.create_table(
        "moderations",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("proposal_id", sa.Uuid, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("assessments", Json, nullable=False),
        sa.Column("moderated_at", UtcDateTime, nullable=False),
        sa.Column("moderated_by", sa.String(128), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_moderations"),
        sa.ForeignKeyConstraint(
            ["proposal_id", "revision"],
            ["revisions.proposal_id", "revisions.number"],
            name="fk_moderations_proposal_id_revision",
        ),
    )
    op.create_index("ix_moderations_proposal_id", "moderations", ["proposal_id"])
    _freeze("moderations")
    # Column by column, not in a batch: that would make the table anew on SQLite, without the triggers that freeze it.
    for name, kind in OF_DECISIONS:
        op.add_column("decisions", sa.Column(name, kind))
    op.add_column("proposals", sa.Column("rewritten_by", Json))


def downgrade() -> None:
    op.drop_column("proposals", "rewritten_by")
    for name, _ in reversed(OF_DECISIONS):
        op.drop_column("decisions", name)
    op.drop_table("moderations")


def _freeze(table: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            f"CREATE TRIGGER {table}_are_frozen BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
        return
    for change in ("update", "delete"):
        op.execute(
            f"CREATE TRIGGER {table}_refuse_{change} BEFORE {change} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, 'rows of {table} are never changed'); END"
        )
