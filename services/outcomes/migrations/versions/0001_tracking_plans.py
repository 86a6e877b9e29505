"""Tracking plans: results, indicators, periods, reports, milestones.

A migration stands by itself: it names types, lengths and states in full, and imports nothing that the code may change.
"""

import sqlalchemy as sa
from alembic import op

from shared.messaging.migrations import create_tables_v1, drop_tables_v1
from shared.storage.types import UtcDateTime

revision = "0001"
down_revision = None

_DECIMAL = sa.String(23)
_COUNCIL = sa.String(9)
_SUBJECT = sa.String(128)

# A report is kept as it was made and decided on once. The database holds to that whatever the code does.
_KEPT = ("id", "period_id", "number", "value", "numerator", "denominator", "narrative", "reported_by", "reported_at")


def upgrade() -> None:
    create_tables_v1()
    _create_plans()
    _create_milestones()
    _create_indicators()
    _create_periods()
    _create_reports()
    _protect_reports()


def downgrade() -> None:
    op.drop_table("reports")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_to_change_a_report()")
    for table in ("periods", "indicators", "results", "milestones", "plan_councils", "plans"):
        op.drop_table(table)
    drop_tables_v1()


def _create_plans() -> None:
    op.create_table(
        "plans",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("project_id", sa.Uuid, nullable=False),
        sa.Column("award_id", sa.Uuid, nullable=False),
        sa.Column("pool_id", sa.Uuid, nullable=False),
        sa.Column("proposal_id", sa.Uuid, nullable=False),
        sa.Column("proposal_reference", sa.String(32), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("content_hash", sa.String(64), nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("lead_council", _COUNCIL, nullable=False),
        sa.Column("amount_pence", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("starts_on", sa.Date, nullable=False),
        sa.Column("first_due_on", sa.Date, nullable=False),
        sa.Column("last_due_on", sa.Date, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_plans"),
        sa.UniqueConstraint("project_id", name="uq_plans_project_id"),
        sa.CheckConstraint("amount_pence > 0", name="ck_plans_amount"),
        sa.CheckConstraint("state IN ('active', 'closed')", name="ck_plans_state"),
        sa.CheckConstraint("first_due_on <= last_due_on", name="ck_plans_span"),
        sa.CheckConstraint("version >= 1", name="ck_plans_version"),
    )
    op.create_table(
        "plan_councils",
        sa.Column("plan_id", sa.Uuid, nullable=False),
        sa.Column("council", _COUNCIL, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("plan_id", "council", name="pk_plan_councils"),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name="fk_plan_councils_plan_id"),
    )
    op.create_index("ix_plan_councils_council", "plan_councils", ["council"])


def _create_milestones() -> None:
    op.create_table(
        "milestones",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("plan_id", sa.Uuid, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("due_on", sa.Date, nullable=False),
        sa.Column("tranche_pence", sa.BigInteger, nullable=False),
        sa.Column("achieved_on", sa.Date),
        sa.Column("achieved_by", _SUBJECT),
        sa.Column("achieved_at", UtcDateTime),
        sa.Column("evidence", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_milestones"),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name="fk_milestones_plan_id"),
        sa.UniqueConstraint("plan_id", "key", name="uq_milestones_plan_id_key"),
        sa.CheckConstraint("tranche_pence >= 0", name="ck_milestones_tranche"),
        sa.CheckConstraint(
            "(achieved_on IS NULL) = (evidence IS NULL) AND (achieved_on IS NULL) = (achieved_by IS NULL)"
            " AND (achieved_on IS NULL) = (achieved_at IS NULL)",
            name="ck_milestones_achieved_with_evidence",
        ),
    )


def _create_indicators() -> None:
    op.create_table(
        "results",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("plan_id", sa.Uuid, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_results"),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name="fk_results_plan_id"),
        sa.UniqueConstraint("plan_id", "key", name="uq_results_plan_id_key"),
        sa.CheckConstraint(
            "kind IN ('cashable_saving', 'non_cashable_saving', 'citizen_outcome', 'capability')",
            name="ck_results_kind",
        ),
    )
    op.create_table(
        "indicators",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("result_id", sa.Uuid, nullable=False),
        sa.Column("measure", sa.String(16), nullable=False),
        sa.Column("unit", sa.String(40), nullable=False),
        sa.Column("direction", sa.String(16), nullable=False),
        sa.Column("frequency", sa.String(16), nullable=False),
        sa.Column("baseline_value", _DECIMAL, nullable=False),
        sa.Column("baseline_on", sa.Date, nullable=False),
        sa.Column("baseline_source", sa.String(200), nullable=False),
        sa.Column("owner_council", _COUNCIL, nullable=False),
        sa.Column("deadweight_percent", _DECIMAL, nullable=False),
        sa.Column("attribution_percent", _DECIMAL, nullable=False),
        sa.Column("optimism_bias_percent", _DECIMAL, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_indicators"),
        sa.ForeignKeyConstraint(["result_id"], ["results.id"], name="fk_indicators_result_id"),
        sa.UniqueConstraint("result_id", name="uq_indicators_result_id"),
        sa.CheckConstraint("measure IN ('count', 'percentage', 'currency', 'score')", name="ck_indicators_measure"),
        sa.CheckConstraint("direction IN ('increase', 'decrease', 'range')", name="ck_indicators_direction"),
        sa.CheckConstraint("frequency IN ('monthly', 'quarterly', 'annual')", name="ck_indicators_frequency"),
    )


def _create_periods() -> None:
    op.create_table(
        "periods",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("indicator_id", sa.Uuid, nullable=False),
        sa.Column("council", _COUNCIL, nullable=False),
        sa.Column("period", sa.String(10), nullable=False),
        sa.Column("starts_on", sa.Date, nullable=False),
        sa.Column("ends_on", sa.Date, nullable=False),
        sa.Column("due_on", sa.Date, nullable=False),
        sa.Column("target", _DECIMAL, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_periods"),
        sa.ForeignKeyConstraint(["indicator_id"], ["indicators.id"], name="fk_periods_indicator_id"),
        sa.UniqueConstraint("indicator_id", "council", "period", name="uq_periods_indicator_id_council_period"),
        sa.CheckConstraint("state IN ('pending', 'reported', 'certified', 'returned')", name="ck_periods_state"),
        sa.CheckConstraint("starts_on <= ends_on AND ends_on < due_on", name="ck_periods_dates"),
    )
    op.create_index("ix_periods_council", "periods", ["council"])


def _create_reports() -> None:
    op.create_table(
        "reports",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("period_id", sa.Uuid, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("value", _DECIMAL, nullable=False),
        sa.Column("numerator", _DECIMAL),
        sa.Column("denominator", _DECIMAL),
        sa.Column("narrative", sa.Text),
        sa.Column("reported_by", _SUBJECT, nullable=False),
        sa.Column("reported_at", UtcDateTime, nullable=False),
        sa.Column("decision", sa.String(16)),
        sa.Column("decided_by", _SUBJECT),
        sa.Column("decided_at", UtcDateTime),
        sa.Column("reason", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_reports"),
        sa.ForeignKeyConstraint(["period_id"], ["periods.id"], name="fk_reports_period_id"),
        sa.UniqueConstraint("period_id", "number", name="uq_reports_period_id_number"),
        sa.CheckConstraint("(numerator IS NULL) = (denominator IS NULL)", name="ck_reports_ratio"),
        sa.CheckConstraint("decision IN ('certified', 'returned')", name="ck_reports_decision"),
        sa.CheckConstraint(
            "(decision IS NULL) = (decided_by IS NULL) AND (decision IS NULL) = (decided_at IS NULL)",
            name="ck_reports_decided",
        ),
        sa.CheckConstraint(
            "CASE WHEN decision = 'returned' THEN reason IS NOT NULL ELSE reason IS NULL END", name="ck_reports_reason"
        ),
        sa.CheckConstraint("decided_by <> reported_by", name="ck_reports_two_people"),
    )
    _create_index_of_one_report("uq_reports_undecided", "decision IS NULL")
    _create_index_of_one_report("uq_reports_certified", "decision = 'certified'")


def _create_index_of_one_report(name: str, condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, "reports", ["period_id"], unique=True, postgresql_where=where, sqlite_where=where)


def _protect_reports() -> None:
    if op.get_bind().dialect.name == "postgresql":
        _protect_reports_on_postgresql()
    else:
        _protect_reports_on_sqlite()


def _protect_reports_on_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION refuse_to_change_a_report() RETURNS trigger LANGUAGE plpgsql AS $$"
        " BEGIN RAISE EXCEPTION 'a report is kept as it was made and decided on once'"
        " USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    changed = " OR ".join(f"NEW.{column} IS DISTINCT FROM OLD.{column}" for column in _KEPT)
    op.execute(
        "CREATE TRIGGER reports_are_decided_once BEFORE UPDATE ON reports FOR EACH ROW"
        f" WHEN (OLD.decision IS NOT NULL OR {changed}) EXECUTE FUNCTION refuse_to_change_a_report()"
    )
    op.execute(
        "CREATE TRIGGER reports_are_kept BEFORE DELETE OR TRUNCATE ON reports"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_a_report()"
    )


def _protect_reports_on_sqlite() -> None:
    refuse = "BEGIN SELECT RAISE(ABORT, 'a report is kept as it was made and decided on once'); END"
    changed = " OR ".join(f"NEW.{column} IS NOT OLD.{column}" for column in _KEPT)
    op.execute(
        "CREATE TRIGGER reports_are_decided_once BEFORE UPDATE ON reports FOR EACH ROW"
        f" WHEN OLD.decision IS NOT NULL OR {changed} {refuse}"
    )
    op.execute(f"CREATE TRIGGER reports_are_kept BEFORE DELETE ON reports FOR EACH ROW {refuse}")
