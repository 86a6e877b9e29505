"""Instructions that one person asks for and another approves; awards end; who had a part in a proposal."""

import sqlalchemy as sa
from alembic import op

from shared.storage.alterations import altering
from shared.storage.types import Json, UtcDateTime

revision = "0006"
down_revision = "0005"

_LIVE_BEFORE = "state IN ('offered', 'active')"
_LIVE = "state IN ('offered', 'active', 'completed')"
_WITH_PROJECT = "state IN ('active', 'completed', 'terminated')"
_STANDING = sa.text("state IN ('requested', 'carried_out')")


def upgrade() -> None:
    _create_instructions()
    op.add_column("candidates", sa.Column("parts", Json))
    _let_awards_end()
    _index_live_awards(_LIVE)


def downgrade() -> None:
    with altering("awards") as awards:
        awards.drop_constraint(op.f("ck_awards_completed_means_completed"), type_="check")
        awards.drop_constraint(op.f("ck_awards_terminated_means_terminated"), type_="check")
        awards.drop_constraint(op.f("ck_awards_active_means_accepted"), type_="check")
    with altering("tranches") as tranches:
        tranches.drop_constraint(op.f("ck_tranches_approved_by_somebody"), type_="check")
        tranches.drop_constraint(op.f("ck_tranches_locked_until_achieved"), type_="check")
    _forget_ends()
    _index_live_awards(_LIVE_BEFORE)
    with altering(
        "awards", checks={"ck_awards_state_known": "state IN ('offered', 'active', 'declined', 'lapsed')"}
    ) as (awards):
        awards.create_check_constraint(
            op.f("ck_awards_active_means_accepted"),
            sa.text("(state = 'active') = (project_id IS NOT NULL) AND (state = 'active') = (accepted_at IS NOT NULL)"),
        )
        awards.drop_column("termination_reason")
        awards.drop_column("terminated_at")
        awards.drop_column("completed_at")
    with altering(
        "tranches",
        checks={"ck_tranches_state_known": "state IN ('locked', 'claimable', 'requested', 'approved', 'paid')"},
    ) as tranches:
        tranches.create_check_constraint(
            op.f("ck_tranches_approved_by_somebody"),
            sa.text(
                "(state IN ('approved', 'paid')) = (approved_at IS NOT NULL)"
                " AND (approved_by IS NULL) = (approved_at IS NULL)"
            ),
        )
        tranches.create_check_constraint(
            op.f("ck_tranches_locked_until_achieved"), sa.text("(state = 'locked') = (achieved_on IS NULL)")
        )
    with altering("candidates") as candidates:
        candidates.drop_column("parts")
    op.drop_table("instructions")


def _forget_ends() -> None:
    """The older code knows no end of a project.

    One whose proposal got another award since is called declined. Another goes on, and what it was not paid is locked,
    which no money stands behind: its payment is refused.
    """
    op.execute(
        "UPDATE awards SET state = 'declined', declined_by = 'an end', declined_at = terminated_at,"
        " decline_reason = termination_reason, project_id = NULL, accepted_at = NULL, accepted_by = NULL"
        " WHERE state = 'terminated' AND EXISTS (SELECT 1 FROM awards AS later"
        f" WHERE later.proposal_id = awards.proposal_id AND later.{_LIVE})"
    )
    op.execute("UPDATE awards SET state = 'active' WHERE state IN ('completed', 'terminated')")
    op.execute(
        "UPDATE tranches SET state = 'locked', achieved_on = NULL, approved_by = NULL, approved_at = NULL"
        " WHERE state = 'cancelled'"
    )


def _let_awards_end() -> None:
    op.add_column("awards", sa.Column("completed_at", UtcDateTime))
    op.add_column("awards", sa.Column("terminated_at", UtcDateTime))
    op.add_column("awards", sa.Column("termination_reason", sa.Text))
    with altering(
        "awards",
        checks={
            "ck_awards_state_known": "state IN ('offered', 'active', 'declined', 'lapsed', 'completed', 'terminated')",
            "ck_awards_active_means_accepted": f"({_WITH_PROJECT}) = (project_id IS NOT NULL)"
            f" AND ({_WITH_PROJECT}) = (accepted_at IS NOT NULL)",
        },
    ) as awards:
        awards.create_check_constraint(
            op.f("ck_awards_completed_means_completed"),
            sa.text("(state = 'completed') = (completed_at IS NOT NULL)"),
        )
        awards.create_check_constraint(
            op.f("ck_awards_terminated_means_terminated"),
            sa.text(
                "(state = 'terminated') = (terminated_at IS NOT NULL)"
                " AND (state = 'terminated') = (termination_reason IS NOT NULL)"
            ),
        )
    with altering(
        "tranches",
        checks={
            "ck_tranches_state_known": "state IN ('locked', 'claimable', 'requested', 'approved', 'paid', 'cancelled')",
            "ck_tranches_approved_by_somebody": "(state = 'cancelled'"
            " OR (state IN ('approved', 'paid')) = (approved_at IS NOT NULL))"
            " AND (approved_by IS NULL) = (approved_at IS NULL)",
            "ck_tranches_locked_until_achieved": "state = 'cancelled' OR (state = 'locked') = (achieved_on IS NULL)",
        },
    ):
        pass


def _index_live_awards(live: str) -> None:
    op.drop_index("uq_awards_live_proposal_id", "awards")
    op.create_index(
        "uq_awards_live_proposal_id",
        "awards",
        ["proposal_id"],
        unique=True,
        postgresql_where=sa.text(live),
        sqlite_where=sa.text(live),
    )


def _create_instructions() -> None:
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
