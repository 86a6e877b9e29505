"""The tables of the audit trail, in every service's database. Rows are added to both and never changed."""

from sqlalchemy import BigInteger, Column, LargeBinary, MetaData, String, Table

from shared.storage.roles import APPEND_ONLY
from shared.storage.types import BigId, Json, UtcDateTime

metadata = MetaData()

#: A row for each write, each refusal and all that the clock brought, added in the transaction that it tells of.
audit = Table(
    "audit",
    metadata,
    Column("position", BigId, primary_key=True, autoincrement=True),
    Column("recorded_at", UtcDateTime, nullable=False),
    Column("kind", String(8), nullable=False),
    Column("method", String(128), nullable=False),
    Column("outcome", String(64), nullable=False),
    Column("error", String(32)),
    Column("subject", String(128)),
    Column("council", String(9)),
    Column("roles", Json, nullable=False),
    Column("token_id", String(64)),
    Column("objects", Json, nullable=False),
    Column("request_hash", LargeBinary(32), nullable=False),
    info=APPEND_ONLY,
)

#: The chain: numbered without a gap, each hash binds one row of ``audit`` to all before it.
audit_seals = Table(
    "audit_seals",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("position", BigInteger, nullable=False, unique=True),
    Column("sealed_at", UtcDateTime, nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    info=APPEND_ONLY,
)
