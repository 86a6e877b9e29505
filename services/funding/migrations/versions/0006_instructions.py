"""Instructions: one person asks for a step that moves money, another one approves it."""

import sqlalchemy as sa
from alembic import op

from shared.storage.types import Json, UtcDateTime

revision = "0006"
down_revision = "0005"

_STANDING = sa.text("state IN ('requested', 'carried_out')")


def upgrade() -> None:
    op.create_table(
        "instructions",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("reference", sa.String(32), nullable=False),
        sa.Column("pool_id", sa.Uuid, nullable=False),
        sa.Column("award_id", sa.Uuid),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("key", sa.String(200)),
        sa.Column("arguments", Json, nullable=False),
        sa.Column("sentence", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("requested_by", sa.String(128), nullable=False),
        sa.Column("requested_at", UtcDateTime, nullable=False),
        sa.Column("approved_by", sa.String(128)),
        sa.Column("approved_at", UtcDateTime),
        sa.Column("rejected_by", sa.String(128)),
        sa.Column("rejected_at", UtcDateTime),
        sa.Column("rejection_reason", sa.Text),
        sa.Column("withdrawn_at", UtcDateTime),
        sa.Column("result", Json),
        sa.PrimaryKeyConstraint("id", name="pk_instructions"),
        sa.UniqueConstraint("reference", name="uq_instructions_reference"),
        sa.ForeignKeyConstraint(["pool_id"], ["pools.id"], name="fk_instructions_pool_id"),
        sa.ForeignKeyConstraint(["award_id"], ["awards.id"], name="fk_instructions_award_id"),
        sa.CheckConstraint(
            "state IN ('requested', 'carried_out', 'rejected', 'withdrawn')", name="ck_instructions_state_known"
        ),
        sa.CheckConstraint("approved_by <> requested_by", name="ck_instructions_two_people"),
        sa.CheckConstraint(
            "(state = 'carried_out') = (approved_by IS NOT NULL)"
            " AND (state = 'carried_out') = (approved_at IS NOT NULL)"
            " AND (state = 'carried_out') = (result IS NOT NULL)",
            name="ck_instructions_carried_out_means_approved",
        ),
        sa.CheckConstraint(
            "(state = 'rejected') = (rejected_by IS NOT NULL) AND (state = 'rejected') = (rejected_at IS NOT NULL)"
            " AND (state = 'rejected') = (rejection_reason IS NOT NULL)",
            name="ck_instructions_rejected_by_somebody",
        ),
        sa.CheckConstraint(
            "(state = 'withdrawn') = (withdrawn_at IS NOT NULL)", name="ck_instructions_withdrawn_means_withdrawn"
        ),
    )
    op.create_index("ix_instructions_pool_id", "instructions", ["pool_id"])
    op.create_index("ix_instructions_award_id", "instructions", ["award_id"])
    op.create_index(
        "uq_instructions_standing_pool_id_key",
        "instructions",
        ["pool_id", "key"],
        unique=True,
        postgresql_where=_STANDING,
        sqlite_where=_STANDING,
    )


def downgrade() -> None:
    op.drop_table("instructions")
