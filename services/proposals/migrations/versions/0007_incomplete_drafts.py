"""A draft may not say yet what it asks for."""

from alembic import op

from shared.storage.alterations import altering
from shared.storage.types import Pence

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    _let_be_null(True)


def downgrade() -> None:
    # Such a draft cannot be kept without a sum; a penny is the least that there may be, and its content is as it was.
    op.execute("UPDATE proposals SET requested_pence = 1 WHERE requested_pence IS NULL")
    _let_be_null(False)


def _let_be_null(nullable: bool) -> None:
    with altering("proposals") as proposals:
        proposals.alter_column("requested_pence", existing_type=Pence, nullable=nullable)
