"""The migrations of messaging's own tables, called from every service's history. Never changed once released."""

import sqlalchemy as sa
from alembic import op

from shared.storage.types import BigId, Json, UtcDateTime


def create_tables_v1() -> None:
    """Create ``outbox``, ``inbox`` and ``idempotency_keys`` as of version 0.1."""
    op.create_table(
        "outbox",
        sa.Column("position", BigId, primary_key=True, autoincrement=True),
        sa.Column("event_id", sa.Uuid, nullable=False, unique=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("data", Json, nullable=False),
        sa.Column("traceparent", sa.String(55)),
        sa.Column("recorded_at", UtcDateTime, nullable=False),
        sa.Column("published_at", UtcDateTime),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("next_attempt_at", UtcDateTime),
        sa.Column("last_error", sa.Text),
    )
    unpublished = sa.text("published_at IS NULL")
    op.create_index("ix_outbox_pending", "outbox", ["position"], postgresql_where=unpublished, sqlite_where=unpublished)
    op.create_table(
        "inbox",
        sa.Column("source", sa.String(64), primary_key=True),
        sa.Column("event_id", sa.String(128), primary_key=True),
        sa.Column("type", sa.String(128), nullable=False),
        sa.Column("processed_at", UtcDateTime, nullable=False, index=True),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("subject", sa.String(128), primary_key=True),
        sa.Column("key", sa.String(128), primary_key=True),
        sa.Column("method", sa.String(64), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("answer", Json, nullable=False),
        sa.Column("recorded_at", UtcDateTime, nullable=False, index=True),
    )


def drop_tables_v1() -> None:
    """Undo :func:`create_tables_v1`."""
    for table in ("idempotency_keys", "inbox", "outbox"):
        op.drop_table(table)


def upgrade_tables_v2() -> None:
    """Count the attempts at events, and find the outbox rows that wait for another try without reading the rest."""
    op.create_table(
        "inbox_attempts",
        sa.Column("source", sa.String(64), primary_key=True),
        sa.Column("event_id", sa.String(128), primary_key=True),
        sa.Column("type", sa.String(128), nullable=False),
        sa.Column("failed", sa.Integer, nullable=False),
        sa.Column("unfinished", sa.Integer, nullable=False),
        sa.Column("last_error", sa.Text),
        sa.Column("last_at", UtcDateTime, nullable=False, index=True),
    )
    waiting = sa.text("published_at IS NULL AND next_attempt_at IS NOT NULL")
    op.create_index("ix_outbox_waiting", "outbox", ["subject"], postgresql_where=waiting, sqlite_where=waiting)


def downgrade_tables_v2() -> None:
    """Undo :func:`upgrade_tables_v2`."""
    op.drop_index("ix_outbox_waiting", "outbox")
    op.drop_table("inbox_attempts")
