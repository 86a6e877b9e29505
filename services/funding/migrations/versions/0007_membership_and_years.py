"""Councils leave and join again, financial years are closed, and receipts, payments and pledges can be taken back."""

from collections.abc import Mapping

import sqlalchemy as sa
from alembic import op

from shared.storage.alterations import altering
from shared.storage.types import Pence, UtcDateTime

revision = "0007"
down_revision = "0006"

_APPEND_ONLY_TABLES = ("closed_years", "year_figures")
_FIGURES = (
    "opening_pence",
    "received_pence",
    "refunded_pence",
    "spent_pence",
    "returned_pence",
    "closing_pence",
    "outstanding_before_pence",
    "pledged_pence",
    "settled_pence",
    "outstanding_pence",
)
#: What is unique among those that are not reversed, by the name of the index.
_UNLESS_REVERSED: Mapping[str, tuple[str, list[str]]] = {
    "uq_receipts_pool_id_bank_reference": ("receipts", ["pool_id", "bank_reference"]),
    "uq_payments_pool_id_payment_reference": ("payments", ["pool_id", "payment_reference"]),
    "uq_payments_award_id_tranche": ("payments", ["award_id", "tranche"]),
}


def upgrade() -> None:
    _let_contributions_be_cancelled()
    _let_records_be_reversed()
    _let_members_leave()
    op.add_column("ledger_heads", sa.Column("closed_through", sa.Date))
    _let_contributors_be_refunded()
    _create_closed_years()


def downgrade() -> None:
    for table in reversed(_APPEND_ONLY_TABLES):
        op.drop_table(table)
    with altering("ledger_contributors") as contributors:
        contributors.drop_constraint(op.f("ck_ledger_contributors_refunded_not_below_zero"), type_="check")
        contributors.drop_column("refunded_pence")
    with altering("ledger_heads") as heads:
        heads.drop_column("closed_through")
    # What the version before cannot tell apart: it knows one membership, one share and one standing record.
    op.execute(
        "DELETE FROM members WHERE EXISTS (SELECT 1 FROM members AS earlier WHERE earlier.pool_id = members.pool_id"
        " AND earlier.council = members.council AND earlier.joins_on < members.joins_on)"
    )
    op.execute("DELETE FROM contributions WHERE nth > 1")
    for name, (table, _) in _UNLESS_REVERSED.items():
        op.drop_index(name, table)
    for table in ("receipts", "payments"):
        reversed_at = sa.column("reversed_at", UtcDateTime)
        op.execute(sa.delete(sa.table(table, reversed_at)).where(reversed_at.is_not(None)))
    op.drop_index("uq_members_staying_pool_id_council", "members")
    with altering("members") as members:
        members.drop_constraint(op.f("ck_members_removed_by_somebody"), type_="check")
        members.drop_constraint(op.f("ck_members_joins_before_it_leaves"), type_="check")
        members.drop_constraint("pk_members", type_="primary")
        members.create_primary_key("pk_members", ["pool_id", "council"])
        for column in ("leaves_on", "removed_by", "removed_at"):
            members.drop_column(column)
    with altering("receipts") as receipts:
        receipts.drop_column("reversed_at")
        receipts.drop_constraint("fk_receipts_pool_id", type_="foreignkey")
        receipts.create_foreign_key(
            "fk_receipts_pool_id_council", "members", ["pool_id", "council"], ["pool_id", "council"]
        )
        receipts.create_unique_constraint("uq_receipts_pool_id_bank_reference", ["pool_id", "bank_reference"])
    with altering("payments") as payments:
        payments.drop_column("reversed_at")
        payments.create_unique_constraint("uq_payments_pool_id_payment_reference", ["pool_id", "payment_reference"])
        payments.create_unique_constraint("uq_payments_award_id_tranche", ["award_id", "tranche"])
    with altering("contributions") as contributions:
        contributions.drop_constraint(op.f("ck_contributions_cancelled_is_a_part"), type_="check")
        contributions.drop_constraint(op.f("ck_contributions_nth_above_zero"), type_="check")
        contributions.drop_constraint("pk_contributions", type_="primary")
        contributions.create_primary_key("pk_contributions", ["pool_id", "year", "council"])
        contributions.drop_column("nth")
        contributions.drop_column("cancelled_pence")
        contributions.create_foreign_key(
            "fk_contributions_pool_id_council", "members", ["pool_id", "council"], ["pool_id", "council"]
        )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION year_is_closed()")


def _let_contributions_be_cancelled() -> None:
    op.add_column("contributions", sa.Column("nth", sa.Integer))
    op.add_column("contributions", sa.Column("cancelled_pence", Pence))
    op.execute("UPDATE contributions SET nth = 1, cancelled_pence = 0")
    with altering("contributions") as contributions:
        contributions.drop_constraint("fk_contributions_pool_id_council", type_="foreignkey")
        contributions.drop_constraint("pk_contributions", type_="primary")
        contributions.alter_column("nth", existing_type=sa.Integer, nullable=False)
        contributions.alter_column("cancelled_pence", existing_type=Pence, nullable=False)
        contributions.create_primary_key("pk_contributions", ["pool_id", "year", "council", "nth"])
        contributions.create_check_constraint(op.f("ck_contributions_nth_above_zero"), sa.text("nth >= 1"))
        contributions.create_check_constraint(
            op.f("ck_contributions_cancelled_is_a_part"), sa.text("cancelled_pence BETWEEN 0 AND amount_pence")
        )


def _let_records_be_reversed() -> None:
    with altering("receipts") as receipts:
        receipts.add_column(sa.Column("reversed_at", UtcDateTime))
        receipts.drop_constraint("fk_receipts_pool_id_council", type_="foreignkey")
        receipts.create_foreign_key("fk_receipts_pool_id", "pools", ["pool_id"], ["id"])
        receipts.drop_constraint("uq_receipts_pool_id_bank_reference", type_="unique")
    with altering("payments") as payments:
        payments.add_column(sa.Column("reversed_at", UtcDateTime))
        payments.drop_constraint("uq_payments_pool_id_payment_reference", type_="unique")
        payments.drop_constraint("uq_payments_award_id_tranche", type_="unique")
    standing = sa.text("reversed_at IS NULL")
    for name, (table, columns) in _UNLESS_REVERSED.items():
        op.create_index(name, table, columns, unique=True, postgresql_where=standing, sqlite_where=standing)


def _let_members_leave() -> None:
    with altering("members") as members:
        members.add_column(sa.Column("leaves_on", sa.Date))
        members.add_column(sa.Column("removed_by", sa.String(128)))
        members.add_column(sa.Column("removed_at", UtcDateTime))
        members.drop_constraint("pk_members", type_="primary")
        members.create_primary_key("pk_members", ["pool_id", "council", "joins_on"])
        members.create_check_constraint(op.f("ck_members_joins_before_it_leaves"), sa.text("leaves_on >= joins_on"))
        members.create_check_constraint(
            op.f("ck_members_removed_by_somebody"),
            sa.text("(leaves_on IS NULL) = (removed_by IS NULL) AND (leaves_on IS NULL) = (removed_at IS NULL)"),
        )
    staying = sa.text("leaves_on IS NULL")
    op.create_index(
        "uq_members_staying_pool_id_council",
        "members",
        ["pool_id", "council"],
        unique=True,
        postgresql_where=staying,
        sqlite_where=staying,
    )


def _let_contributors_be_refunded() -> None:
    op.add_column("ledger_contributors", sa.Column("refunded_pence", Pence))
    op.execute("UPDATE ledger_contributors SET refunded_pence = 0")
    with altering("ledger_contributors") as contributors:
        contributors.alter_column("refunded_pence", existing_type=Pence, nullable=False)
        contributors.create_check_constraint(
            op.f("ck_ledger_contributors_refunded_not_below_zero"), sa.text("refunded_pence >= 0")
        )


def _create_closed_years() -> None:
    op.create_table(
        "closed_years",
        sa.Column("pool_id", sa.Uuid, nullable=False),
        sa.Column("year", sa.String(7), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("requested_by", sa.String(128), nullable=False),
        sa.Column("approved_by", sa.String(128), nullable=False),
        sa.Column("closed_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("pool_id", "year", name="pk_closed_years"),
        sa.ForeignKeyConstraint(["pool_id"], ["pools.id"], name="fk_closed_years_pool_id"),
        sa.CheckConstraint("number >= 0", name="ck_closed_years_number_not_below_zero"),
        sa.CheckConstraint("approved_by <> requested_by", name="ck_closed_years_two_people"),
    )
    op.create_table(
        "year_figures",
        sa.Column("pool_id", sa.Uuid, nullable=False),
        sa.Column("year", sa.String(7), nullable=False),
        sa.Column("council", sa.String(9), nullable=False),
        *(sa.Column(name, Pence, nullable=False) for name in _FIGURES),
        sa.PrimaryKeyConstraint("pool_id", "year", "council", name="pk_year_figures"),
        sa.ForeignKeyConstraint(
            ["pool_id", "year"], ["closed_years.pool_id", "closed_years.year"], name="fk_year_figures_pool_id_year"
        ),
        sa.CheckConstraint(
            "opening_pence + received_pence - refunded_pence - spent_pence + returned_pence = closing_pence",
            name="ck_year_figures_closing_adds_up",
        ),
        sa.CheckConstraint(
            "outstanding_before_pence + pledged_pence - settled_pence = outstanding_pence",
            name="ck_year_figures_outstanding_adds_up",
        ),
    )
    if op.get_bind().dialect.name == "postgresql":
        _guard_on_postgresql()
    else:
        _guard_on_sqlite()


def _guard_on_postgresql() -> None:
    op.execute(
        """
        CREATE FUNCTION year_is_closed() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% is append-only: a closed year stays as it is', TG_TABLE_NAME
                USING ERRCODE = 'restrict_violation';
        END $$
        """
    )
    for table in _APPEND_ONLY_TABLES:
        op.execute(
            f"""
            CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION year_is_closed()
            """
        )


def _guard_on_sqlite() -> None:
    for table in _APPEND_ONLY_TABLES:
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"""
                CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table}
                BEGIN
                    SELECT RAISE(ABORT, '{table} is append-only: a closed year stays as it is');
                END
                """
            )
