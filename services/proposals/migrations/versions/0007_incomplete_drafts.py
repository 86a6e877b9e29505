"""A draft may not say yet what it asks for."""

import sqlalchemy as sa
from alembic import op

from shared.storage.types import Pence

revision = "0007"
down_revision = "0003"


def upgrade() -> None:
    _let_be_null(True)


def downgrade() -> None:
    # Such a draft cannot be kept without a sum; a penny is the least that there may be, and its content is as it was.
    op.execute("UPDATE proposals SET requested_pence = 1 WHERE requested_pence IS NULL")
    _let_be_null(False)


def _let_be_null(nullable: bool) -> None:
    # SQLite makes the table anew, and alembic would leave its checks behind.
    found = sa.inspect(op.get_bind()).get_check_constraints("proposals")
    checks = tuple(sa.CheckConstraint(check["sqltext"], name=check["name"]) for check in found)
    with op.batch_alter_table("proposals", table_args=checks) as table:
        table.alter_column("requested_pence", existing_type=Pence, nullable=nullable)
