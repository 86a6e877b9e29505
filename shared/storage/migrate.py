"""Brings a service's database to the version of its code, by the service's own alembic history."""

from importlib import import_module

from alembic import command, context
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, MetaData, Table, create_engine, make_url, pool

from shared.audit import tables as audit_tables
from shared.messaging import tables as messaging_tables
from shared.storage import roles

#: What every service has beside its own tables.
SHARED_METADATA = (messaging_tables.metadata, audit_tables.metadata)

# Two operators who migrate at once wait for each other; any number does, as long as nobody else uses it.
_MIGRATION_LOCK = 0x436F6D6D6F6E


def upgrade(service: str, url: str, revision: str = "head", *, grant_to: str | None = None) -> None:
    """Run every migration of a service that the database has not had.

    :param service: the service's short name, such as ``proposals``.
    :param url: the database's SQLAlchemy URL.
    :param revision: how far to go; the newest unless it says otherwise.
    :param grant_to: the service's own role, which is granted what it needs in the migrations' transaction.
    :raises shared.storage.roles.RoleRefused: when it cannot be that; nothing is migrated then.
    """
    if grant_to is not None and make_url(url).get_backend_name() != "postgresql":
        raise roles.RoleRefused("SQLite has no roles that anything could be granted to; leave the role out")
    config = _config(service, url)
    config.attributes["grant_to"] = grant_to
    command.upgrade(config, revision)


def tables_of(service: str) -> list[Table]:
    """Return every table of a service that its code knows: its own, and those that every service has."""
    return _with_shared(import_module(f"services.{service}.models").Base.metadata)


def missing(service: str, engine: Engine) -> bool:
    """Tell whether the database lacks a migration that the service's code knows."""
    script = ScriptDirectory.from_config(_config(service, ""))
    known = {revision.revision for revision in script.walk_revisions()}
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    # A revision that this code does not know is a newer one's: the old code must be able to start beside it.
    return current is None or (current in known and current != script.get_current_head())


def run_from_env(metadata: MetaData) -> None:
    """Run the migrations; the whole of every service's ``migrations/env.py``.

    :param metadata: the service's own tables; those that every service has are added here.
    """
    engine = create_engine(context.config.get_main_option("sqlalchemy.url") or "", poolclass=pool.NullPool)
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=[metadata, *SHARED_METADATA],
            render_as_batch=connection.dialect.name == "sqlite",
        )
        with context.begin_transaction():
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
            context.run_migrations()
            if role := context.config.attributes.get("grant_to"):
                roles.grant(connection, role, _with_shared(metadata))


def _with_shared(metadata: MetaData) -> list[Table]:
    return [table for each in (metadata, *SHARED_METADATA) for table in each.tables.values()]


def _config(service: str, url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", f"services.{service}:migrations")
    config.set_main_option("path_separator", "os")
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config
