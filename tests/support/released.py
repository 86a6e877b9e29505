"""Databases as a released version left them: their own tables' rows, recorded once and loaded wherever one is wanted.

Recorded from a programme that was played on the embedded databases of that version, with everything in it that it could
do. What is recorded is never changed: an upgrade must take it as it is.
"""

import json
from pathlib import Path
from typing import Any

from sqlalchemy import Boolean, Connection, Engine, MetaData, Table, inspect, select, text

from shared.storage import migrate

DIRECTORY = Path(__file__).parents[1] / "contract" / "databases"

#: Every service's, and none of a release's own.
_SHARED = {table for metadata in migrate.SHARED_METADATA for table in metadata.tables} | {"alembic_version"}

Rows = dict[str, list[dict[str, Any]]]


def recorded() -> list[Path]:
    """Return the recorded databases, each called ``<service>.<its last migration>.json``."""
    return sorted(DIRECTORY.glob("*.json"))


def record(service: str, engine: Engine) -> Path:
    """Record an SQLite database's rows, as they are stored."""
    with engine.connect() as connection:
        revision = connection.scalar(text("SELECT version_num FROM alembic_version"))
        names = [name for name in inspect(connection).get_table_names() if name not in _SHARED]
        rows = {
            name: [dict(row) for row in connection.execute(text(f"SELECT * FROM {name}")).mappings()]
            for name in sorted(names)
        }
    path = DIRECTORY / f"{service}.{revision}.json"
    path.write_text(json.dumps(rows, ensure_ascii=False, indent=1) + "\n")
    return path


def load(path: Path, engine: Engine) -> None:
    """Fill a database, migrated as far as the recorded one was."""
    rows: Rows = json.loads(path.read_text())
    with engine.begin() as connection:
        for table in _tables(connection).sorted_tables:
            if not rows.get(table.name):
                continue
            names = rows[table.name][0]
            statement = (
                f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join(f':{name}' for name in names)})"
            )
            connection.execute(text(statement), [_fitting(table, row) for row in rows[table.name]])


def rows_of(path: Path, engine: Engine) -> dict[str, list[str]]:
    """Return what a database holds of the tables and columns that were recorded, in a form that can be compared."""
    recorded_rows: Rows = json.loads(path.read_text())
    with engine.connect() as connection:
        tables = _tables(connection).tables
        return {
            name: sorted(
                repr(tuple(row)) for row in connection.execute(select(*(tables[name].c[column] for column in rows[0])))
            )
            for name, rows in recorded_rows.items()
            if rows
        }


def _tables(connection: Connection) -> MetaData:
    metadata = MetaData()
    metadata.reflect(connection)
    return metadata


def _fitting(table: Table, row: dict[str, Any]) -> dict[str, Any]:
    # SQLite has no truth values of its own.
    return {
        name: bool(value) if value is not None and isinstance(table.c[name].type, Boolean) else value
        for name, value in row.items()
    }
