"""Inserts that know ``ON CONFLICT``, for rows that several transactions may want to make at once."""

from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session


def insert_into(session: Session, table: type[Any] | Table) -> postgresql.Insert | sqlite.Insert:
    """Return the session's own kind of INSERT, which has ``on_conflict_do_nothing`` and ``on_conflict_do_update``.

    While another transaction is inserting the same row, either waits for it to end. Pass several rows in one order
    always, so that two transactions never wait for each other.
    """
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    return dialect.insert(table)
