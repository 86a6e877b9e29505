"""Lists in pages: ``limit`` and ``cursor`` in, ``items`` and ``next_cursor`` out; keyset, never OFFSET."""

from typing import Any
from uuid import UUID

from marshmallow import fields
from sqlalchemy import ColumnElement, Select
from sqlalchemy.orm import InstrumentedAttribute, Session

from shared.errors import Invalid
from shared.fields import Command, CommandSchema, WholeNumber

MAX_LIMIT = 100


class PageRequest(CommandSchema):
    """What every list takes: at most ``limit`` items, after the place that ``cursor`` names."""

    limit = WholeNumber(minimum=1, maximum=MAX_LIMIT, load_default=MAX_LIMIT)
    cursor = fields.String(load_default=None, allow_none=True)


def page(
    session: Session,
    statement: Select[Any],
    *,
    by: InstrumentedAttribute[UUID] | ColumnElement[UUID],
    request: Command,
    newest_first: bool = False,
) -> dict[str, Any]:
    """Return one page of a list of entities.

    :param statement: selects one entity per row, filtered, without order.
    :param by: the column that orders the list: a UUIDv7, hence the order in which the rows were made.
    :param request: a loaded :class:`PageRequest`.
    :returns: ``{"items": [entity, ...], "next_cursor": str or None}``.
    :raises Invalid: for a cursor that no list handed out.
    """
    if request.cursor is not None:
        try:
            place = UUID(request.cursor)
        except ValueError as error:
            sentence = "Pass the next_cursor of the page before, or leave the cursor out to begin."
            raise Invalid("bad_cursor", sentence, {"cursor": [sentence]}) from error
        statement = statement.where(by < place if newest_first else by > place)
    statement = statement.order_by(by.desc() if newest_first else by).limit(request.limit + 1)
    items = list(session.scalars(statement))
    more = len(items) > request.limit
    items = items[: request.limit]
    return {"items": items, "next_cursor": str(getattr(items[-1], by.key or "id")) if more else None}
