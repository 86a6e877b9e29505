"""The migrations of the audit trail's tables, called from every service's history. Never changed once released."""

import sqlalchemy as sa
from alembic import op

from shared.storage.types import BigId, Json, UtcDateTime

TABLES = ("audit", "audit_seals")


def create_tables_v1() -> None:
    """Create ``audit`` and ``audit_seals``, and have the database refuse to change what stands in them."""
    op.create_table(
        "audit",
        sa.Column("position", BigId, primary_key=True, autoincrement=True),
        sa.Column("recorded_at", UtcDateTime, nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("method", sa.String(128), nullable=False),
        sa.Column("outcome", sa.String(64), nullable=False),
        sa.Column("error", sa.String(32)),
        sa.Column("subject", sa.String(128)),
        sa.Column("council", sa.String(9)),
        sa.Column("roles", Json, nullable=False),
        sa.Column("token_id", sa.String(64)),
        sa.Column("objects", Json, nullable=False),
        sa.Column("request_hash", sa.LargeBinary(32), nullable=False),
    )
    op.create_table(
        "audit_seals",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("position", sa.BigInteger, nullable=False, unique=True),
        sa.Column("sealed_at", UtcDateTime, nullable=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
    )
    if op.get_bind().dialect.name == "postgresql":
        _guard_on_postgresql()
    else:
        _guard_on_sqlite()


def drop_tables_v1() -> None:
    """Undo :func:`create_tables_v1`."""
    for table in reversed(TABLES):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_is_append_only()")


def _guard_on_postgresql() -> None:
    op.execute(
        """
        CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
        END $$
        """
    )
    for table in TABLES:
        op.execute(
            f"""
            CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()
            """
        )


def _guard_on_sqlite() -> None:
    for table in TABLES:
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"""
                CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table}
                BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END
                """
            )
