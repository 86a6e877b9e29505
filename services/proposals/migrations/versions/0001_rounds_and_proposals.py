"""Rounds, proposals with their revisions and all that belongs to one, copies of funding's facts.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

from shared.messaging.migrations import create_tables_v1, drop_tables_v1
from shared.storage.types import Json, Pence, UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

#: What is decided on, and what was decided, is never rewritten: not by a fault of ours either.
FROZEN = ("revisions", "assessments", "decisions")


def upgrade() -> None:
    create_tables_v1()
    _create_rounds()
    _create_proposals()
    _create_parts_of_a_revision()
    _create_copies_of_funding()
    _freeze()


def downgrade() -> None:
    for table in (
        *("awards", "members", "decisions", "change_requests", "assessments", "conflicts_of_interest"),
        *("participations", "revisions", "proposals", "rounds", "reference_counters"),
    ):
        op.drop_table(table)
    drop_tables_v1()
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_change()")


def _create_rounds() -> None:
    op.create_table(
        "reference_counters",
        sa.Column("kind", sa.String(2), nullable=False),
        sa.Column("year", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("last_number", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("kind", "year", name="pk_reference_counters"),
        sa.CheckConstraint("last_number > 0", name="ck_reference_counters_last_number"),
    )
    op.create_table(
        "rounds",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("reference", sa.String(16), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("opens_on", sa.Date, nullable=False),
        sa.Column("closes_on", sa.Date, nullable=False),
        sa.Column("criteria", Json, nullable=False),
        sa.Column("min_participants", sa.Integer, nullable=False),
        sa.Column("quorum", sa.Integer, nullable=False),
        sa.Column("ceiling_pence", Pence, nullable=False),
        sa.Column("opened_at", UtcDateTime, nullable=False),
        sa.Column("opened_by", sa.String(128), nullable=False),
        sa.Column("closed_at", UtcDateTime),
        sa.Column("closed_by", sa.String(128)),
        sa.PrimaryKeyConstraint("id", name="pk_rounds"),
        sa.UniqueConstraint("reference", name="uq_rounds_reference"),
        sa.CheckConstraint("closes_on >= opens_on", name="ck_rounds_window"),
        sa.CheckConstraint("min_participants BETWEEN 1 AND 32", name="ck_rounds_min_participants"),
        sa.CheckConstraint("quorum BETWEEN 1 AND 32", name="ck_rounds_quorum"),
        sa.CheckConstraint("ceiling_pence > 0", name="ck_rounds_ceiling_pence"),
        sa.CheckConstraint("(closed_at IS NULL) = (closed_by IS NULL)", name="ck_rounds_closed"),
    )


def _create_proposals() -> None:
    op.create_table(
        "proposals",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("reference", sa.String(16), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("round_id", sa.Uuid, nullable=False),
        sa.Column("rules", Json, nullable=False),
        sa.Column("state", sa.String(24), nullable=False),
        sa.Column("lead_council", sa.String(9), nullable=False),
        sa.Column("participants", Json, nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("requested_pence", Pence, nullable=False),
        sa.Column("draft", Json, nullable=False),
        sa.Column("draft_version", sa.Integer, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("score", sa.String(6)),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("created_by", sa.String(128), nullable=False),
        sa.Column("withdrawn_at", UtcDateTime),
        sa.Column("withdrawn_by", sa.String(128)),
        sa.Column("withdrawal_reason", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_proposals"),
        sa.UniqueConstraint("reference", name="uq_proposals_reference"),
        sa.ForeignKeyConstraint(["round_id"], ["rounds.id"], name="fk_proposals_round_id"),
        sa.CheckConstraint(
            "state IN ('draft', 'submitted', 'under_assessment', 'changes_requested', 'approved', 'rejected', "
            "'withdrawn', 'funded', 'not_funded')",
            name="ck_proposals_state",
        ),
        sa.CheckConstraint("version >= 0", name="ck_proposals_version"),
        sa.CheckConstraint("draft_version >= 1", name="ck_proposals_draft_version"),
        sa.CheckConstraint("requested_pence > 0", name="ck_proposals_requested_pence"),
        sa.CheckConstraint("revision >= 0", name="ck_proposals_revision"),
        sa.CheckConstraint("state <> 'draft' OR revision = 0", name="ck_proposals_never_handed_in"),
        sa.CheckConstraint("state IN ('draft', 'withdrawn') OR revision > 0", name="ck_proposals_handed_in"),
        sa.CheckConstraint("(state = 'withdrawn') = (withdrawn_at IS NOT NULL)", name="ck_proposals_withdrawn"),
        sa.CheckConstraint(
            "(withdrawn_at IS NULL) = (withdrawn_by IS NULL) AND (withdrawn_at IS NULL) = (withdrawal_reason IS NULL)",
            name="ck_proposals_withdrawal",
        ),
    )
    for column in ("round_id", "state", "lead_council"):
        op.create_index(f"ix_proposals_{column}", "proposals", [column])
    op.create_table(
        "conflicts_of_interest",
        sa.Column("proposal_id", sa.Uuid, nullable=False),
        sa.Column("person", sa.String(128), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("declared_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("proposal_id", "person", name="pk_conflicts_of_interest"),
        sa.ForeignKeyConstraint(["proposal_id"], ["proposals.id"], name="fk_conflicts_of_interest_proposal_id"),
    )
    op.create_table(
        "revisions",
        sa.Column("proposal_id", sa.Uuid, nullable=False),
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("content", Json, nullable=False),
        sa.Column("content_hash", sa.String(64), nullable=False),
        sa.Column("rules", Json, nullable=False),
        sa.Column("submitted_at", UtcDateTime, nullable=False),
        sa.Column("submitted_by", sa.String(128), nullable=False),
        sa.PrimaryKeyConstraint("proposal_id", "number", name="pk_revisions"),
        sa.ForeignKeyConstraint(["proposal_id"], ["proposals.id"], name="fk_revisions_proposal_id"),
        sa.CheckConstraint("number >= 1", name="ck_revisions_number"),
    )


def _of_revision(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["proposal_id", "revision"],
        ["revisions.proposal_id", "revisions.number"],
        name=f"fk_{table}_proposal_id_revision",
    )


def _create_parts_of_a_revision() -> None:
    op.create_table(
        "participations",
        sa.Column("proposal_id", sa.Uuid, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("council", sa.String(9), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("answer", sa.String(16), nullable=False),
        sa.Column("answered_at", UtcDateTime),
        sa.Column("answered_by", sa.String(128)),
        sa.Column("reason", sa.Text),
        sa.PrimaryKeyConstraint("proposal_id", "revision", "council", name="pk_participations"),
        _of_revision("participations"),
        sa.CheckConstraint("answer IN ('awaited', 'confirmed', 'declined')", name="ck_participations_answer"),
        sa.CheckConstraint(
            "(answer = 'awaited') = (answered_at IS NULL) AND (answered_at IS NULL) = (answered_by IS NULL)",
            name="ck_participations_answered",
        ),
        sa.CheckConstraint("(answer = 'declined') = (reason IS NOT NULL)", name="ck_participations_reason"),
    )
    op.create_index("ix_participations_council", "participations", ["council"])
    op.create_table(
        "assessments",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("proposal_id", sa.Uuid, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("assessor", sa.String(128), nullable=False),
        sa.Column("council", sa.String(9)),
        sa.Column("scores", Json, nullable=False),
        sa.Column("submitted_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_assessments"),
        _of_revision("assessments"),
        sa.UniqueConstraint("proposal_id", "revision", "assessor", name="uq_assessments_proposal_id_revision_assessor"),
    )
    op.create_table(
        "change_requests",
        sa.Column("proposal_id", sa.Uuid, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("requested_at", UtcDateTime, nullable=False),
        sa.Column("requested_by", sa.String(128), nullable=False),
        sa.PrimaryKeyConstraint("proposal_id", "revision", name="pk_change_requests"),
        _of_revision("change_requests"),
    )
    op.create_table(
        "decisions",
        sa.Column("proposal_id", sa.Uuid, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("score", sa.String(6), nullable=False),
        sa.Column("minute", sa.Text, nullable=False),
        sa.Column("decided_at", UtcDateTime, nullable=False),
        sa.Column("decided_by", sa.String(128), nullable=False),
        sa.PrimaryKeyConstraint("proposal_id", name="pk_decisions"),
        _of_revision("decisions"),
        sa.CheckConstraint("outcome IN ('approved', 'rejected')", name="ck_decisions_outcome"),
    )


def _create_copies_of_funding() -> None:
    op.create_table(
        "members",
        sa.Column("pool_id", sa.Uuid, nullable=False),
        sa.Column("council", sa.String(9), nullable=False),
        sa.Column("joins_on", sa.Date, nullable=False),
        sa.PrimaryKeyConstraint("pool_id", "council", "joins_on", name="pk_members"),
    )
    op.create_index("ix_members_council", "members", ["council"])
    op.create_table(
        "awards",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("proposal_id", sa.Uuid, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("amount_pence", Pence),
        sa.Column("expires_on", sa.Date),
        sa.Column("project_id", sa.Uuid),
        sa.Column("reason", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_awards"),
        sa.ForeignKeyConstraint(["proposal_id"], ["proposals.id"], name="fk_awards_proposal_id"),
        sa.UniqueConstraint("project_id", name="uq_awards_project_id"),
        sa.CheckConstraint("state IN ('offered', 'declined', 'funded')", name="ck_awards_state"),
        sa.CheckConstraint("(state = 'funded') = (project_id IS NOT NULL)", name="ck_awards_project"),
        sa.CheckConstraint("(state = 'declined') = (reason IS NOT NULL)", name="ck_awards_reason"),
        sa.CheckConstraint("amount_pence > 0", name="ck_awards_amount_pence"),
    )
    op.create_index("ix_awards_proposal_id", "awards", ["proposal_id"])


def _freeze() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            """
            CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                RAISE EXCEPTION 'rows of % are never changed', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
            END $$
            """
        )
        for table in FROZEN:
            op.execute(
                f"CREATE TRIGGER {table}_are_frozen BEFORE UPDATE OR DELETE ON {table} "
                "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
            )
        return
    for table in FROZEN:
        for change in ("update", "delete"):
            op.execute(
                f"CREATE TRIGGER {table}_refuse_{change} BEFORE {change} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, 'rows of {table} are never changed'); END"
            )
