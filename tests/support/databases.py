"""Migrated databases for tests: lent, emptied and lent again, because making one takes longer than most tests."""

import shutil
from collections import defaultdict
from pathlib import Path

from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from shared.storage import migrate
from tests.support.servers import PostgresServer

# What a test may have changed beside rows: tables, constraints, triggers and whether they are on, functions.
_SCHEMA = text(
    """
    SELECT md5(string_agg(line, ';' ORDER BY line)) FROM (
        SELECT 'class ' || relname AS line FROM pg_class WHERE relnamespace = 'public'::regnamespace
        UNION ALL SELECT 'constraint ' || conname || convalidated::text FROM pg_constraint
            WHERE connamespace = 'public'::regnamespace
        UNION ALL SELECT 'trigger ' || tgname::text || tgenabled::text FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL SELECT 'function ' || proname || md5(prosrc) FROM pg_proc
            WHERE pronamespace = 'public'::regnamespace
        UNION ALL SELECT 'revision ' || version_num FROM alembic_version
    ) AS lines
    """
)
# Guards against change are triggers, and foreign keys too; neither fires for a session that replicates.
_EMPTY = text(
    """
    DO $$ DECLARE name text; BEGIN
        SET LOCAL session_replication_role = replica;
        FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'
        LOOP EXECUTE format('DELETE FROM %I', name); END LOOP;
    END $$
    """
)


class PostgresDatabases:
    """The databases of a test run on one PostgreSQL."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._schemas: dict[str, str] = {}
        self._free: dict[str, list[str]] = defaultdict(list)
        self._all: list[str] = []

    def lend(self, service: str) -> str:
        """Return the URL of a migrated database of a service without any rows; nobody else has it meanwhile."""
        if self._free[service]:
            return self._free[service].pop()
        url = self._server.create_database()
        self._all.append(url)
        migrate.upgrade(service, url)
        self._schemas.setdefault(service, self._schema_of(url))
        return url

    def take_back(self, service: str, url: str) -> None:
        """Empty a database that was lent, or drop it when its schema is not what it was."""
        try:
            intact = self._schema_of(url) == self._schemas[service] and self._empty(url)
        except DBAPIError:
            intact = False
        if intact:
            self._free[service].append(url)
        else:
            self._server.drop_database(url)
            self._all.remove(url)

    def close(self) -> None:
        """Drop them all."""
        for url in self._all:
            self._server.drop_database(url)

    @staticmethod
    def _schema_of(url: str) -> str:
        with create_engine(url, poolclass=NullPool).connect() as connection:
            return str(connection.scalar(_SCHEMA))

    @staticmethod
    def _empty(url: str) -> bool:
        with create_engine(url, poolclass=NullPool).begin() as connection:
            connection.execute(_EMPTY)
        return True


class SqliteDatabases:
    """Copies of a migrated file per service."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def copy(self, service: str, to: Path) -> str:
        """Copy a service's migrated, empty database; returns the copy's URL."""
        template = self._directory / f"{service}.db"
        if not template.exists():
            migrate.upgrade(service, f"sqlite:///{template}")
        shutil.copyfile(template, to)
        return f"sqlite:///{to}"
