"""An offer that nobody takes in time lapses."""

import sqlalchemy as sa
from alembic import op

from shared.storage.alterations import altering
from shared.storage.types import UtcDateTime

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("awards", sa.Column("lapsed_at", UtcDateTime))
    with altering(
        "awards",
        checks={
            "ck_awards_state_known": "state IN ('offered', 'active', 'declined', 'lapsed')",
            "ck_awards_answered_after_approval": "state IN ('offered', 'lapsed') OR approved_at IS NOT NULL",
        },
    ) as awards:
        awards.create_check_constraint(
            op.f("ck_awards_lapsed_means_lapsed"), sa.text("(state = 'lapsed') = (lapsed_at IS NOT NULL)")
        )


def downgrade() -> None:
    with altering("awards") as awards:
        awards.drop_constraint(op.f("ck_awards_lapsed_means_lapsed"), type_="check")
    # The older code has no word for it: what lapsed is called declined, and approved where nobody had done so.
    op.execute(
        "UPDATE awards SET state = 'declined', declined_by = 'the clock', declined_at = lapsed_at,"
        " decline_reason = 'It lapsed.', approved_by = COALESCE(approved_by, 'the clock'),"
        " approved_at = COALESCE(approved_at, lapsed_at) WHERE state = 'lapsed'"
    )
    with altering(
        "awards",
        checks={
            "ck_awards_state_known": "state IN ('offered', 'active', 'declined')",
            "ck_awards_answered_after_approval": "state = 'offered' OR approved_at IS NOT NULL",
        },
    ) as awards:
        awards.drop_column("lapsed_at")
