"""The migrations make the tables that the models describe, on both databases, and can be taken back."""

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from services.outcomes.models import Base
from shared.storage import migrate
from tests.integration.conftest import OpenDatabase


def test_the_migrated_database_is_the_models(open_database: OpenDatabase) -> None:
    database = open_database("outcomes")
    assert not migrate.missing("outcomes", database.engine)
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        difference = compare_metadata(context, [Base.metadata, *migrate.SHARED_METADATA])
    assert difference == []


def test_constraints_have_the_names_that_the_models_give_them(open_database: OpenDatabase) -> None:
    inspector = inspect(open_database("outcomes").engine)
    for table in Base.metadata.sorted_tables:
        described = {str(constraint.name) for constraint in table.constraints}
        found = {
            constraint["name"]
            for constraints in (
                inspector.get_check_constraints(table.name),
                inspector.get_foreign_keys(table.name),
                inspector.get_unique_constraints(table.name),
                [inspector.get_pk_constraint(table.name)],
            )
            for constraint in constraints
        }
        assert found == described


def test_the_migrations_can_be_taken_back_and_run_again(open_database: OpenDatabase) -> None:
    database = open_database("outcomes")
    url = database.url.render_as_string(hide_password=False)
    database.close()
    config = Config()
    config.set_main_option("script_location", "services.outcomes:migrations")
    config.set_main_option("path_separator", "os")
    config.set_main_option("sqlalchemy.url", url)
    command.downgrade(config, "base")
    assert inspect(database.engine).get_table_names() == ["alembic_version"]
    with database.engine.connect() as connection:
        if database.is_postgresql:
            functions = text("SELECT count(*) FROM pg_proc WHERE proname = 'refuse_to_change_a_report'")
            assert connection.scalar(functions) == 0
    migrate.upgrade("outcomes", url)
    assert not migrate.missing("outcomes", database.engine)
