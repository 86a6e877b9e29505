"""The migrations make exactly the tables that the models describe, and can be taken back."""

from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeGuard

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, Constraint, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from services.proposals.models import Base
from shared.clock import FixedClock
from shared.storage import migrate
from shared.storage.database import Database
from tests.integration.conftest import OpenDatabase
from tests.support.proposals import EDINBURGH, Programme, cdo, chair, proposer


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


def _url(database: Database) -> str:
    return database.url.render_as_string(hide_password=False)


def _downgrade(database: Database, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", "services.proposals:migrations")
    config.set_main_option("path_separator", "os")
    config.set_main_option("sqlalchemy.url", _url(database).replace("%", "%%"))
    command.downgrade(config, revision)


def test_it_can_be_taken_back_and_done_again(open_database: OpenDatabase) -> None:
    database = open_database("proposals")
    _downgrade(database, "base")
    assert inspect(database.engine).get_table_names() == ["alembic_version"]
    migrate.upgrade("proposals", _url(database))
    assert inspect(database.engine).has_table("proposals")


def test_drafts_outlive_the_migration_that_lets_them_be_incomplete(programme: Programme) -> None:
    proposals = [programme.draft(), programme.under_assessment()]
    least = {"title": "Payments", "lead_council": EDINBURGH}
    request = {"round_id": programme.open_round(), "content": least}
    proposals.append(programme.call("create_proposal", proposer(), **request)["proposal_id"])
    shown = [programme.seen(proposal_id) for proposal_id in proposals]
    _downgrade(programme.database, "0006")
    with pytest.raises(DBAPIError, match="requested_pence"):
        programme.database.run(partial(_execute, "UPDATE proposals SET requested_pence = NULL"))
    migrate.upgrade("proposals", _url(programme.database))
    assert [programme.seen(proposal_id) for proposal_id in proposals] == shown
    created = programme.call("create_proposal", proposer(), **request)
    assert created["content"] == least
    with pytest.raises(DBAPIError, match="ck_proposals_requested_pence"):
        programme.database.run(partial(_execute, "UPDATE proposals SET requested_pence = 0"))


def test_answers_from_before_they_were_carried_stay_what_they_are(programme: Programme) -> None:
    proposal_id = programme.under_assessment()
    before = programme.seen(proposal_id)
    _downgrade(programme.database, "0003")
    migrate.upgrade("proposals", _url(programme.database))
    assert programme.seen(proposal_id) == before
    assert {(each["state"], each["carried_from"]) for each in before["confirmations"]} == {("confirmed", None)}
    with pytest.raises(DBAPIError, match="ck_participations_carried_from"):
        programme.database.run(partial(_execute, "UPDATE participations SET carried_from = revision"))


def test_a_round_that_was_told_to_be_open_when_it_was_announced_is_not_told_again(
    programme: Programme, today: FixedClock
) -> None:
    for opens_on in ("2026-09-01", "2026-11-01"):
        programme.open_round(opens_on=opens_on)
    _downgrade(programme.database, "0003")
    migrate.upgrade("proposals", _url(programme.database))
    today.at = datetime(2026, 12, 1, tzinfo=UTC)
    programme.tick()
    # That of the second was told by nobody here: before the migration its announcement would have been.
    assert [event.name for event in programme.told()] == ["round_opened", "round_closed", "round_closed"]


def test_changes_of_rounds_can_be_taken_back_with_the_migration(programme: Programme) -> None:
    request = {"round_id": programme.open_round(), "expected_version": 1, "reason": "Too few assessors.", "quorum": 1}
    programme.call("change_round", cdo(), **request)
    _downgrade(programme.database, "0003")
    migrate.upgrade("proposals", _url(programme.database))
    [found] = programme.call("list_rounds", cdo())["items"]
    assert (found["quorum"], found["version"]) == (1, 2)


def test_what_was_decided_on_is_never_rewritten(programme: Programme) -> None:
    proposal_id = programme.assessed()
    programme.call("moderate", chair(), proposal_id=proposal_id, revision=1, note="Both are sure of it.")
    programme.call("determine", chair(), proposal_id=proposal_id, revision=1, outcome="approved", minute="Agreed.")
    _check_frozen(programme.database, "revisions", "assessments", "moderations", "decisions")


def test_a_decision_of_before_stays_as_it_was_and_the_next_is_made(programme: Programme) -> None:
    """Its rows are frozen already when the columns for the hash, the spread and the panel are added."""
    decided, waiting = programme.decided(), programme.assessed()
    before = programme.seen(decided)["decision"]
    _downgrade(programme.database, "0007")
    assert "panel" not in {column["name"] for column in inspect(programme.database.engine).get_columns("decisions")}
    _check_frozen(programme.database, "revisions", "assessments", "decisions")
    migrate.upgrade("proposals", _url(programme.database))
    _check_frozen(programme.database, "revisions", "assessments", "decisions")

    not_kept = dict.fromkeys(("spread", "wide_spread", "moderated", "panel"))
    for who in (cdo(), proposer()):
        assert programme.seen(decided, who)["decision"] == before | not_kept
    assert programme.seen(decided)["spread"] is None
    note = {"proposal_id": waiting, "revision": 1, "note": "Both are sure of it."}
    programme.call("moderate", chair(), **note)
    made = programme.call("determine", chair(), proposal_id=waiting, revision=1, outcome="approved", minute="Agreed.")
    assert made["decision"]["panel"] == [{"person": chair().subject, "council": None}]
    _check_frozen(programme.database, "moderations", "decisions")


def _check_frozen(database: Database, *tables: str) -> None:
    for table in tables:
        for change in (f"DELETE FROM {table}", f"UPDATE {table} SET proposal_id = proposal_id"):
            with pytest.raises(DBAPIError, match=f"rows of {table} are never changed"):
                database.run(partial(_execute, change))


def _execute(statement: str, session: Session) -> None:
    session.execute(text(statement))
