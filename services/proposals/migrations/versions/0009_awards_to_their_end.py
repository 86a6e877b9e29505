"""Members leave; an award lapses, its project is completed or terminated; so are proposals."""

import sqlalchemy as sa
from alembic import op

from shared.storage.alterations import altering

revision = "0009"
down_revision = "0008"

_BEFORE = "'draft', 'submitted', 'under_assessment', 'changes_requested', 'approved', 'rejected', 'withdrawn', 'funded'"


def upgrade() -> None:
    op.add_column("members", sa.Column("leaves_on", sa.Date))
    with altering(
        "proposals", checks={"ck_proposals_state": f"state IN ({_BEFORE}, 'not_funded', 'completed', 'terminated')"}
    ):
        pass
    with altering(
        "awards",
        checks={
            "ck_awards_state": "state IN ('offered', 'declined', 'lapsed', 'funded', 'completed', 'terminated')",
            "ck_awards_project": "(state IN ('funded', 'completed', 'terminated')) = (project_id IS NOT NULL)",
            "ck_awards_reason": "(state IN ('declined', 'terminated')) = (reason IS NOT NULL)",
        },
    ):
        pass


def downgrade() -> None:
    # What the older code has no word for is called what comes nearest.
    op.execute("UPDATE proposals SET state = 'funded' WHERE state IN ('completed', 'terminated')")
    op.execute("UPDATE awards SET state = 'funded', reason = NULL WHERE state IN ('completed', 'terminated')")
    op.execute("UPDATE awards SET state = 'declined', reason = 'It lapsed.' WHERE state = 'lapsed'")
    with altering(
        "awards",
        checks={
            "ck_awards_state": "state IN ('offered', 'declined', 'funded')",
            "ck_awards_project": "(state = 'funded') = (project_id IS NOT NULL)",
            "ck_awards_reason": "(state = 'declined') = (reason IS NOT NULL)",
        },
    ):
        pass
    with altering("proposals", checks={"ck_proposals_state": f"state IN ({_BEFORE}, 'not_funded')"}):
        pass
    with altering("members") as members:
        members.drop_column("leaves_on")
