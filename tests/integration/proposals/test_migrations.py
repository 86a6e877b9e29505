"""The migrations make exactly the tables that the models describe, and can be taken back."""

from functools import partial
from typing import Any, TypeGuard

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint, Constraint, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from services.proposals.models import Base
from shared.storage import migrate
from shared.storage.database import Database
from tests.integration.conftest import OpenDatabase
from tests.support.proposals import EDINBURGH, Programme, proposer


def test_the_migrated_database_is_the_one_that_the_models_describe(open_database: OpenDatabase) -> None:
    database = open_database("proposals")
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        described: Any = [Base.metadata, *migrate.SHARED_METADATA]  # alembic takes several; its annotation names one
        assert compare_metadata(context, described) == []


def test_every_check_of_the_models_is_in_the_database(open_database: OpenDatabase) -> None:
    database = open_database("proposals")
    inspector = inspect(database.engine)
    for table in Base.metadata.sorted_tables:
        described = {str(check.name): str(check.sqltext) for check in table.constraints if _is_check(check)}
        found = {str(check["name"]): check["sqltext"] for check in inspector.get_check_constraints(table.name)}
        assert found.keys() == described.keys(), table.name
        if not database.is_postgresql:  # which rewrites the conditions in its own way
            assert found == described, table.name


def _is_check(constraint: Constraint) -> TypeGuard[CheckConstraint]:
    return isinstance(constraint, CheckConstraint)


def test_it_can_be_taken_back_and_done_again(open_database: OpenDatabase) -> None:
    database = open_database("proposals")
    url, config = _history_of(database)
    command.downgrade(config, "base")
    assert inspect(database.engine).get_table_names() == ["alembic_version"]
    migrate.upgrade("proposals", url)
    assert inspect(database.engine).has_table("proposals")


def _history_of(database: Database) -> tuple[str, Config]:
    url = database.url.render_as_string(hide_password=False)
    config = Config()
    config.set_main_option("script_location", "services.proposals:migrations")
    config.set_main_option("path_separator", "os")
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return url, config


def test_drafts_outlive_the_migration_that_lets_them_be_incomplete(programme: Programme) -> None:
    proposals = [programme.draft(), programme.decided()]
    least = {"title": "Payments", "lead_council": EDINBURGH}
    request = {"round_id": programme.open_round(), "content": least}
    proposals.append(programme.call("create_proposal", proposer(), **request)["proposal_id"])
    shown = [programme.seen(proposal_id) for proposal_id in proposals]
    url, config = _history_of(programme.database)
    revision = ScriptDirectory.from_config(config).get_revision("0007")
    command.downgrade(config, str(revision.down_revision))
    with pytest.raises(DBAPIError, match="requested_pence"):
        programme.database.run(partial(_execute, "UPDATE proposals SET requested_pence = NULL"))
    migrate.upgrade("proposals", url)
    assert [programme.seen(proposal_id) for proposal_id in proposals] == shown
    created = programme.call("create_proposal", proposer(), **request)
    assert created["content"] == least
    with pytest.raises(DBAPIError, match="ck_proposals_requested_pence"):
        programme.database.run(partial(_execute, "UPDATE proposals SET requested_pence = 0"))


def test_what_was_decided_on_is_never_rewritten(programme: Programme) -> None:
    programme.decided()
    for table in ("revisions", "assessments", "decisions"):
        for change in (f"DELETE FROM {table}", f"UPDATE {table} SET proposal_id = proposal_id"):
            with pytest.raises(DBAPIError, match=f"rows of {table} are never changed"):
                programme.database.run(partial(_execute, change))


def _execute(statement: str, session: Session) -> None:
    session.execute(text(statement))
