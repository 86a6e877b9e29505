"""Lists by council and by word, each along an index; similar proposals by their words.

The councils of the proposals that are there are entered here. Their words are entered by the service as it starts
(services/proposals/entering.py): how a text is taken apart changes over time, and a migration does not.
"""

import sqlalchemy as sa
from alembic import op

from shared.storage.types import Json

revision = "0006"
down_revision = "0005"

_DECIDED = "state NOT IN ('draft', 'submitted', 'under_assessment', 'changes_requested', 'withdrawn')"
_HANDED_IN = "revision > 0"

#: What lists of proposals walk along: name, columns, which rows.
_WALKS = (
    ("ix_proposals_state_id", ["state", "id"], None),
    ("ix_proposals_round_id_id", ["round_id", "id"], None),
    ("ix_proposals_round_id_state_id", ["round_id", "state", "id"], None),
    ("ix_proposals_decided", ["id"], _DECIDED),
    ("ix_proposals_decided_in_round", ["round_id", "id"], _DECIDED),
    ("ix_proposals_handed_in", ["id"], _HANDED_IN),
    ("ix_proposals_handed_in_in_round", ["round_id", "id"], _HANDED_IN),
)
#: What these take the place of.
_SINGLE = (
    ("proposals", "round_id"),
    ("proposals", "state"),
    ("proposals", "lead_council"),
    ("participations", "council"),
)
_OF_COUNCIL = (
    ["council", "proposal_id"],
    ["council", "state", "proposal_id"],
    ["council", "round_id", "proposal_id"],
    ["council", "round_id", "state", "proposal_id"],
)


def upgrade() -> None:
    for name, columns, where in _WALKS:
        condition = None if where is None else sa.text(where)
        op.create_index(name, "proposals", columns, postgresql_where=condition, sqlite_where=condition)
    for table, column in _SINGLE:
        op.drop_index(f"ix_{table}_{column}", table)
    op.create_index("uq_proposals_id_state", "proposals", ["id", "state"], unique=True)
    _create_councils()
    _create_words()


def downgrade() -> None:
    for table in ("proposal_words", "proposal_wordings", "proposal_councils"):
        op.drop_table(table)
    op.drop_index("uq_proposals_id_state", "proposals")
    for table, column in _SINGLE:
        op.create_index(f"ix_{table}_{column}", table, [column])
    for name, _, _ in _WALKS:
        op.drop_index(name, "proposals")


def _create_councils() -> None:
    op.create_table(
        "proposal_councils",
        sa.Column("proposal_id", sa.Uuid, nullable=False),
        sa.Column("council", sa.String(9), nullable=False),
        sa.Column("round_id", sa.Uuid, nullable=False),
        sa.Column("state", sa.String(24), nullable=False),
        sa.PrimaryKeyConstraint("proposal_id", "council", name="pk_proposal_councils"),
        sa.ForeignKeyConstraint(
            ["proposal_id", "state"],
            ["proposals.id", "proposals.state"],
            name="fk_proposal_councils_proposal_id_state",
            onupdate="CASCADE",
        ),
    )
    op.execute(
        """
        INSERT INTO proposal_councils (proposal_id, council, round_id, state)
        SELECT id, lead_council, round_id, state FROM proposals
        UNION
        SELECT id, council, round_id, state FROM proposals
        JOIN participations ON participations.proposal_id = proposals.id
            AND participations.revision = proposals.revision
        """
    )
    for columns in _OF_COUNCIL:
        op.create_index(f"ix_proposal_councils_{'_'.join(columns)}", "proposal_councils", columns)


def _create_words() -> None:
    op.create_table(
        "proposal_wordings",
        sa.Column("proposal_id", sa.Uuid, nullable=False),
        sa.Column("analyser", sa.Integer, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("draft_version", sa.Integer, nullable=False),
        sa.Column("words", Json, nullable=False),
        sa.PrimaryKeyConstraint("proposal_id", name="pk_proposal_wordings"),
        sa.ForeignKeyConstraint(["proposal_id"], ["proposals.id"], name="fk_proposal_wordings_proposal_id"),
    )
    op.create_table(
        "proposal_words",
        sa.Column("word", sa.String(32), nullable=False),
        sa.Column("proposal_id", sa.Uuid, nullable=False),
        sa.Column("weight", sa.SmallInteger, nullable=False),
        sa.PrimaryKeyConstraint("word", "proposal_id", name="pk_proposal_words"),
        sa.ForeignKeyConstraint(["proposal_id"], ["proposals.id"], name="fk_proposal_words_proposal_id"),
    )
