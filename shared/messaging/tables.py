"""The tables that messaging keeps in every service's database: outbox, inbox, attempts, idempotency keys."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, String, Table, Text, Uuid, and_

from shared.storage.types import BigId, Json, UtcDateTime

metadata = MetaData()

#: Events that are committed and not yet (or already) published; the relay reads them in the order of ``position``.
outbox = Table(
    "outbox",
    metadata,
    Column("position", BigId, primary_key=True, autoincrement=True),
    Column("event_id", Uuid, nullable=False, unique=True),
    Column("name", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("subject", String(64), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("data", Json, nullable=False),
    Column("traceparent", String(55)),
    Column("recorded_at", UtcDateTime, nullable=False),
    Column("published_at", UtcDateTime),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_attempt_at", UtcDateTime),
    Column("last_error", Text),
)
Index(
    "ix_outbox_pending",
    outbox.c.position,
    postgresql_where=outbox.c.published_at.is_(None),
    sqlite_where=outbox.c.published_at.is_(None),
)
#: The rows that wait for another try: few, and asked for with every batch.
Index(
    "ix_outbox_waiting",
    outbox.c.subject,
    postgresql_where=and_(outbox.c.published_at.is_(None), outbox.c.next_attempt_at.is_not(None)),
    sqlite_where=and_(outbox.c.published_at.is_(None), outbox.c.next_attempt_at.is_not(None)),
)

#: Receipts: an event that stands here had its effect. Kept longer than any replay can reach back.
inbox = Table(
    "inbox",
    metadata,
    Column("source", String(64), primary_key=True),
    Column("event_id", String(128), primary_key=True),
    Column("type", String(128), nullable=False),
    Column("processed_at", UtcDateTime, nullable=False, index=True),
)

#: Attempts at events that have no receipt yet; see :mod:`shared.messaging.attempts`.
inbox_attempts = Table(
    "inbox_attempts",
    metadata,
    Column("source", String(64), primary_key=True),
    Column("event_id", String(128), primary_key=True),
    Column("type", String(128), nullable=False),
    Column("failed", Integer, nullable=False),
    Column("unfinished", Integer, nullable=False),
    Column("last_error", Text),
    Column("last_at", UtcDateTime, nullable=False, index=True),
)

#: First answers to writes that came with an idempotency key.
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("subject", String(128), primary_key=True),
    Column("key", String(128), primary_key=True),
    Column("method", String(64), nullable=False),
    Column("request_hash", LargeBinary(32), nullable=False),
    Column("answer", Json, nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False, index=True),
)
