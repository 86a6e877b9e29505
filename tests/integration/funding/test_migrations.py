"""The migrations make the tables that the models describe, and can be taken back."""

from datetime import UTC, datetime
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint, inspect

from services.funding.models import Base
from shared import clock
from shared.storage import migrate
from shared.storage.database import Database
from tests.integration.conftest import OpenDatabase
from tests.support.funding import EDINBURGH, FIFE, NOW, TREASURER_ANN, Funding


def test_the_migrated_database_is_what_the_models_describe(open_database: OpenDatabase) -> None:
    database = open_database("funding")
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, [Base.metadata, *migrate.SHARED_METADATA]) == []  # type: ignore[arg-type]


def test_every_check_of_the_models_is_in_the_database(open_database: OpenDatabase) -> None:
    inspector = inspect(open_database("funding").engine)
    for table in Base.metadata.sorted_tables:
        wanted = {check.name for check in table.constraints if isinstance(check, CheckConstraint)}
        assert wanted == {check["name"] for check in inspector.get_check_constraints(table.name)}


def test_going_back_leaves_nothing(open_database: OpenDatabase) -> None:
    database = open_database("funding")
    command.downgrade(_config(database), "base")
    assert inspect(database.engine).get_table_names() == ["alembic_version"]
    assert _functions(database) == []


def test_receipts_of_before_are_flagged_as_they_would_have_been(open_database: OpenDatabase) -> None:
    funding = Funding(open_database("funding"))
    with clock.using(clock.FixedClock(NOW)):
        pool_id = funding.pool(EDINBURGH, FIFE)
        for total_pence, year in ((200_00, "2026-27"), (300_00, "2027-28")):
            shares = {"pool_id": pool_id, "year": year, "total_pence": total_pence, "scheme": "equal"}
            funding.receipt(pool_id, council=FIFE, amount_pence=30_00)
            funding.call(TREASURER_ANN, "set_contributions", **shares)
        for council, amount_pence in ((EDINBURGH, 60_00), (FIFE, 100_00), (EDINBURGH, 190_00), (FIFE, 200_00)):
            funding.receipt(pool_id, council=council, amount_pence=amount_pence)
        funding.receipt(pool_id)

        def flagged() -> list[dict[str, Any]]:
            receipts: list[dict[str, Any]] = funding.call(TREASURER_ANN, "list_receipts", pool_id=pool_id)["items"]
            return receipts

        before = flagged()
        assert [(receipt["flag"], receipt["still_owed_pence"]) for receipt in before] == [
            ("unpledged", 0),
            ("partial", 70_00),
            ("partial", 40_00),
            ("partial", 120_00),
            ("exact", 0),
            ("over", 0),
            ("unpledged", 0),
        ]
        config = _config(funding.database)
        command.downgrade(config, str(ScriptDirectory.from_config(config).get_revision("0009").down_revision))
        command.upgrade(config, "head")
        assert flagged() == before


def test_what_has_ended_goes_there_and_back(funding: Funding) -> None:
    pool_id = funding.funded_pool()
    completed, terminated, taken_up = (funding.paid_award(pool_id) for _ in range(3))
    funding.carried_out("complete_project", completed)
    funding.carried_out("return_underspend", completed, amount_pence=1_00)
    for award in (terminated, taken_up):
        funding.approved_drawdown(award, "live")
        funding.carried_out("terminate_award", award, reason="The supplier withdrew its product.")
    again = funding.offer(pool_id, taken_up["proposal_id"])
    config = _config(funding.database)
    command.downgrade(config, "0005")
    command.upgrade(config, "head")
    listed = funding.call(TREASURER_ANN, "list_awards", pool_id=pool_id)["items"]
    states = {award["award_id"]: award["state"] for award in listed}
    assert states == {
        completed["award_id"]: "active",
        terminated["award_id"]: "active",
        taken_up["award_id"]: "declined",
        again["award_id"]: "offered",
    }
    assert [tranche["state"] for tranche in listed[1]["tranches"]] == ["paid", "locked"]
    assert funding.ledger_is_sound(pool_id)


def test_what_was_taken_back_and_who_left_goes_there_and_back(funding: Funding, at: clock.FixedClock) -> None:
    pool_id = funding.pool()
    share = {"pool_id": pool_id, "year": "2026-27"}
    funding.call(TREASURER_ANN, "set_contributions", **share, total_pence=90_000_00, scheme="equal")
    for _ in range(2):
        funding.receipt(pool_id, bank_reference="BACS-7", amount_pence=50_000_00)
        number = funding.transactions(pool_id)[-1]["number"]
        funding.by_two_people("reverse_transaction", pool_id, number=number, reason="It was wrong.")
    funding.receipt(pool_id, bank_reference="BACS-7", amount_pence=50_000_00)
    award = funding.paid_award(pool_id)
    funding.by_two_people(
        "reverse_transaction", pool_id, number=funding.transactions(pool_id)[-1]["number"], reason="It was wrong."
    )
    funding.pay(award)
    funding.call(TREASURER_ANN, "remove_member", pool_id=pool_id, council=FIFE, leaves_on="2026-05-31")
    funding.call(TREASURER_ANN, "add_member", pool_id=pool_id, council=FIFE, joins_on="2026-06-01")
    at.at = datetime(2027, 4, 1, 9, tzinfo=UTC)
    funding.by_two_people("close_year", pool_id, year="2026-27")
    before = funding.position(pool_id)
    config = _config(funding.database)
    command.downgrade(config, "0006")
    command.upgrade(config, "head")
    assert funding.position(pool_id) == before
    assert funding.ledger_is_sound(pool_id)
    again = funding.receipt(pool_id, bank_reference="BACS-7", amount_pence=50_000_00)
    assert len(funding.transactions(pool_id)) == funding.transactions(pool_id)[-1]["number"]
    assert again["unpledged_pence"] == 20_000_00


def _config(database: Database) -> Config:
    config = Config()
    config.set_main_option("script_location", "services.funding:migrations")
    config.set_main_option("path_separator", "os")
    config.set_main_option("sqlalchemy.url", database.url.render_as_string(hide_password=False).replace("%", "%%"))
    return config


def _functions(database: Database) -> list[Any]:
    if not database.is_postgresql:
        return []
    with database.engine.connect() as connection:
        names = "SELECT proname FROM pg_proc JOIN pg_namespace n ON n.oid = pronamespace WHERE nspname = 'public'"
        return list(connection.exec_driver_sql(names).scalars())
