"""Changes to tables with rows in them, that migrations make alike on PostgreSQL and on SQLite."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op
from alembic.operations import BatchOperations


@contextmanager
def altering(table: str, *, checks: Mapping[str, str] | None = None) -> Iterator[BatchOperations]:
    """Alter a table by alembic's batch: SQLite cannot in place, so there the table is made anew and its rows copied.

    Its triggers would not outlive that; here they do.

    :param checks: CHECK constraints by name, each with its condition, in place of those of the same name.
    """
    triggers = _triggers_of(table) if op.get_bind().dialect.name == "sqlite" else []
    with op.batch_alter_table(table) as batch:
        for name, condition in (checks or {}).items():
            batch.drop_constraint(op.f(name), type_="check")
            batch.create_check_constraint(op.f(name), sa.text(condition))
        yield batch
    for trigger in triggers:
        op.execute(trigger)


def _triggers_of(table: str) -> list[str]:
    created = sa.text("SELECT sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :table")
    return list(op.get_bind().execute(created, {"table": table}).scalars())
