"""Lists in pages: ``limit`` and ``cursor`` in, ``items`` and ``next_cursor`` out; keyset, never OFFSET."""

from collections.abc import Sequence
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
    place = place_of(request)
    if place is not None:
        statement = statement.where(by < place if newest_first else by > place)
    statement = statement.order_by(by.desc() if newest_first else by).limit(request.limit + 1)
    return page_of(list(session.scalars(statement)), request, key=by.key or "id")


def place_of(request: Command) -> UUID | None:
    """Return the id after which a page begins; None for the first page.

    :raises Invalid: for a cursor that no list handed out.
    """
    if request.cursor is None:
        return None
    try:
        return UUID(request.cursor)
    except ValueError as error:
        sentence = "Pass the next_cursor of the page before, or leave the cursor out to begin."
        raise Invalid("bad_cursor", sentence, {"cursor": [sentence]}) from error


def page_of(found: Sequence[Any], request: Command, *, key: str = "id") -> dict[str, Any]:
    """Return a page as :func:`page` does.

    :param found: its items, and one more where the list goes on.
    :param key: the attribute that orders the list.
    """
    items = list(found[: request.limit])
    return {"items": items, "next_cursor": str(getattr(items[-1], key)) if len(found) > request.limit else None}
