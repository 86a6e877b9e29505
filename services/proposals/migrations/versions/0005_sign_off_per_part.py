"""A confirmation is carried to a new revision while the council's part stays what it was.

Revision ID: 0005
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

from shared.storage.types import Json

revision = "0005"
down_revision = "0004"

CARRIED = "carried_from IS NULL OR (answer = 'confirmed' AND carried_from BETWEEN 1 AND revision - 1)"


def upgrade() -> None:
    # One statement for both databases, because SQLite adds a constraint only along with its column.
    op.execute(
        "ALTER TABLE participations ADD COLUMN carried_from INTEGER "
        f"CONSTRAINT ck_participations_carried_from CHECK ({CARRIED})"
    )
    op.add_column("participations", sa.Column("asked_because", Json, nullable=False, server_default="[]"))


def downgrade() -> None:
    op.drop_column("participations", "asked_because")
    op.drop_column("participations", "carried_from")
