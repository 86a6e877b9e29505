"""Idempotency keys: a write sent again with its key gets the first answer and does nothing."""

import hashlib
import json
from typing import Any

from marshmallow import fields, validate
from sqlalchemy import select
from sqlalchemy.orm import Session

from shared import clock
from shared.errors import Conflict
from shared.messaging.tables import idempotency_keys
from shared.storage.upsert import insert_into

#: The field that every write takes beside its own.
KEY_FIELD = "idempotency_key"


class IdempotencyKey(fields.String):
    """A caller's own name for one write: 8 to 128 printable ASCII characters, such as a UUID."""

    def __init__(self) -> None:
        super().__init__(
            load_default=None,
            allow_none=True,
            validate=validate.Regexp(
                r"^[!-~]{8,128}\Z", error="Use 8 to 128 letters, digits or signs without spaces; a UUID is right."
            ),
        )


class Slot:
    """The place of one key: claimed at the start of a transaction, filled at its end.

    :param subject: the caller; keys of different callers have nothing to do with each other.
    """

    def __init__(self, session: Session, *, subject: str, key: str, method: str, request: dict[str, Any]) -> None:
        self.session = session
        self.subject = subject
        self.key = key
        self.method = method
        canonical = json.dumps([method, request], sort_keys=True, separators=(",", ":"))
        self.request_hash = hashlib.sha256(canonical.encode()).digest()

    def claim(self) -> bool:
        """Take the place; False when a committed write had it before, whose answer is then :meth:`first_answer`.

        While another transaction holds the same key this waits for it to end.
        """
        claim = (
            insert_into(self.session, idempotency_keys)
            .values(
                subject=self.subject,
                key=self.key,
                method=self.method,
                request_hash=self.request_hash,
                answer={},
                recorded_at=clock.now(),
            )
            .on_conflict_do_nothing()
        )
        return self.session.execute(claim.returning(idempotency_keys.c.key)).first() is not None

    def first_answer(self) -> Any:
        """Return what the first write was answered.

        :raises Conflict: when that write asked for something else.
        """
        table = idempotency_keys
        row = self.session.execute(
            select(table.c.request_hash, table.c.answer).where(table.c.subject == self.subject, table.c.key == self.key)
        ).one()
        if row.request_hash != self.request_hash:
            raise Conflict(
                "idempotency_key_reused",
                "This idempotency key came with another request before. Use a new key for a new request.",
                {KEY_FIELD: ["Already used for another request."]},
            )
        return row.answer

    def fill(self, answer: Any) -> None:
        """Keep the answer for the next time."""
        table = idempotency_keys
        self.session.execute(
            table.update().where(table.c.subject == self.subject, table.c.key == self.key).values(answer=answer)
        )
