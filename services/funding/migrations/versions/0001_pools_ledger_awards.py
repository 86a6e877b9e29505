"""Pools with their ledger, candidates, awards and drawdowns."""

import sqlalchemy as sa
from alembic import op

from shared.messaging.migrations import create_tables_v1, drop_tables_v1
from shared.storage.types import Json, Pence, UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

APPEND_ONLY_TABLES = ("ledger_transactions", "ledger_postings")


def upgrade() -> None:
    create_tables_v1()
    _create_pools()
    _create_awards()
    _create_ledger()
    if op.get_bind().dialect.name == "postgresql":
        _guard_ledger_on_postgresql()
    else:
        _guard_ledger_on_sqlite()


def downgrade() -> None:
    for table in (
        "ledger_postings",
        "ledger_transactions",
        "ledger_accounts",
        "payments",
        "tranches",
        "reference_counters",
        "awards",
        "candidate_councils",
        "candidates",
        "receipts",
        "contributions",
        "contribution_years",
        "members",
        "pools",
    ):
        op.drop_table(table)
    drop_tables_v1()
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION ledger_is_append_only()")
        op.execute("DROP FUNCTION ledger_transaction_balances()")


def _create_pools() -> None:
    op.create_table(
        "pools",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("starts_on", sa.Date, nullable=False),
        sa.Column("ends_on", sa.Date, nullable=False),
        sa.Column("opened_by", sa.String(128), nullable=False),
        sa.Column("opened_at", UtcDateTime, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_pools"),
        sa.CheckConstraint("starts_on < ends_on", name="ck_pools_starts_before_it_ends"),
    )
    op.create_table(
        "members",
        sa.Column("pool_id", sa.Uuid, nullable=False),
        sa.Column("council", sa.String(9), nullable=False),
        sa.Column("joins_on", sa.Date, nullable=False),
        sa.Column("added_by", sa.String(128), nullable=False),
        sa.Column("added_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("pool_id", "council", name="pk_members"),
        sa.ForeignKeyConstraint(["pool_id"], ["pools.id"], name="fk_members_pool_id"),
    )
    op.create_table(
        "contribution_years",
        sa.Column("pool_id", sa.Uuid, nullable=False),
        sa.Column("year", sa.String(7), nullable=False),
        sa.Column("scheme", sa.String(16), nullable=False),
        sa.Column("total_pence", Pence, nullable=False),
        sa.Column("set_by", sa.String(128), nullable=False),
        sa.Column("set_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("pool_id", "year", name="pk_contribution_years"),
        sa.ForeignKeyConstraint(["pool_id"], ["pools.id"], name="fk_contribution_years_pool_id"),
        sa.CheckConstraint("scheme IN ('equal', 'population', 'fixed')", name="ck_contribution_years_scheme_known"),
        sa.CheckConstraint("total_pence > 0", name="ck_contribution_years_total_above_zero"),
    )
    op.create_table(
        "contributions",
        sa.Column("pool_id", sa.Uuid, nullable=False),
        sa.Column("year", sa.String(7), nullable=False),
        sa.Column("council", sa.String(9), nullable=False),
        sa.Column("amount_pence", Pence, nullable=False),
        sa.PrimaryKeyConstraint("pool_id", "year", "council", name="pk_contributions"),
        sa.ForeignKeyConstraint(
            ["pool_id", "year"],
            ["contribution_years.pool_id", "contribution_years.year"],
            name="fk_contributions_pool_id_year",
        ),
        sa.ForeignKeyConstraint(
            ["pool_id", "council"], ["members.pool_id", "members.council"], name="fk_contributions_pool_id_council"
        ),
        sa.CheckConstraint("amount_pence >= 0", name="ck_contributions_amount_not_below_zero"),
    )
    op.create_table(
        "receipts",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("pool_id", sa.Uuid, nullable=False),
        sa.Column("council", sa.String(9), nullable=False),
        sa.Column("amount_pence", Pence, nullable=False),
        sa.Column("unpledged_pence", Pence, nullable=False),
        sa.Column("bank_reference", sa.String(64), nullable=False),
        sa.Column("received_on", sa.Date, nullable=False),
        sa.Column("recorded_by", sa.String(128), nullable=False),
        sa.Column("recorded_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_receipts"),
        sa.ForeignKeyConstraint(
            ["pool_id", "council"], ["members.pool_id", "members.council"], name="fk_receipts_pool_id_council"
        ),
        sa.UniqueConstraint("pool_id", "bank_reference", name="uq_receipts_pool_id_bank_reference"),
        sa.CheckConstraint("amount_pence > 0", name="ck_receipts_amount_above_zero"),
        sa.CheckConstraint("unpledged_pence BETWEEN 0 AND amount_pence", name="ck_receipts_unpledged_is_a_part"),
    )


def _create_awards() -> None:
    op.create_table(
        "candidates",
        sa.Column("proposal_id", sa.Uuid, nullable=False),
        sa.Column("reference", sa.String(32), nullable=False),
        sa.Column("revision", sa.Integer),
        sa.Column("content_hash", sa.String(64)),
        sa.Column("content", Json),
        sa.Column("score", sa.String(32)),
        sa.Column("approved_at", UtcDateTime),
        sa.Column("withdrawn_at", UtcDateTime),
        sa.PrimaryKeyConstraint("proposal_id", name="pk_candidates"),
        sa.CheckConstraint(
            "(approved_at IS NULL) = (content IS NULL) AND (approved_at IS NULL) = (revision IS NULL)"
            " AND (approved_at IS NULL) = (content_hash IS NULL) AND (approved_at IS NULL) = (score IS NULL)",
            name="ck_candidates_approved_as_a_whole",
        ),
    )
    op.create_table(
        "candidate_councils",
        sa.Column("proposal_id", sa.Uuid, nullable=False),
        sa.Column("council", sa.String(9), nullable=False),
        sa.PrimaryKeyConstraint("proposal_id", "council", name="pk_candidate_councils"),
        sa.ForeignKeyConstraint(["proposal_id"], ["candidates.proposal_id"], name="fk_candidate_councils_proposal_id"),
    )
    op.create_table(
        "awards",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("reference", sa.String(32), nullable=False),
        sa.Column("pool_id", sa.Uuid, nullable=False),
        sa.Column("proposal_id", sa.Uuid, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("amount_pence", Pence, nullable=False),
        sa.Column("expires_on", sa.Date, nullable=False),
        sa.Column("offered_by", sa.String(128), nullable=False),
        sa.Column("offered_at", UtcDateTime, nullable=False),
        sa.Column("approved_by", sa.String(128)),
        sa.Column("approved_at", UtcDateTime),
        sa.Column("accepted_by", sa.String(128)),
        sa.Column("accepted_at", UtcDateTime),
        sa.Column("declined_by", sa.String(128)),
        sa.Column("declined_at", UtcDateTime),
        sa.Column("decline_reason", sa.Text),
        sa.Column("project_id", sa.Uuid),
        sa.Column("version", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_awards"),
        sa.ForeignKeyConstraint(["pool_id"], ["pools.id"], name="fk_awards_pool_id"),
        sa.ForeignKeyConstraint(["proposal_id"], ["candidates.proposal_id"], name="fk_awards_proposal_id"),
        sa.UniqueConstraint("reference", name="uq_awards_reference"),
        sa.UniqueConstraint("project_id", name="uq_awards_project_id"),
        sa.CheckConstraint("state IN ('offered', 'active', 'declined')", name="ck_awards_state_known"),
        sa.CheckConstraint("amount_pence > 0", name="ck_awards_amount_above_zero"),
        sa.CheckConstraint("(approved_by IS NULL) = (approved_at IS NULL)", name="ck_awards_approved_by_somebody"),
        sa.CheckConstraint("approved_by <> offered_by", name="ck_awards_two_people"),
        sa.CheckConstraint("state = 'offered' OR approved_at IS NOT NULL", name="ck_awards_answered_after_approval"),
        sa.CheckConstraint(
            "(state = 'active') = (project_id IS NOT NULL) AND (state = 'active') = (accepted_at IS NOT NULL)",
            name="ck_awards_active_means_accepted",
        ),
        sa.CheckConstraint(
            "(state = 'declined') = (declined_at IS NOT NULL)", name="ck_awards_declined_means_declined"
        ),
    )
    op.create_index("ix_awards_pool_id", "awards", ["pool_id"])
    live = sa.text("state IN ('offered', 'active')")
    op.create_index(
        "uq_awards_live_proposal_id",
        "awards",
        ["proposal_id"],
        unique=True,
        postgresql_where=live,
        sqlite_where=live,
    )
    op.create_table(
        "reference_counters",
        sa.Column("kind", sa.String(2), nullable=False),
        sa.Column("year", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("last_number", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("kind", "year", name="pk_reference_counters"),
        sa.CheckConstraint("last_number > 0", name="ck_reference_counters_last_number"),
    )
    op.create_table(
        "tranches",
        sa.Column("award_id", sa.Uuid, nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("due_on", sa.Date, nullable=False),
        sa.Column("amount_pence", Pence, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("achieved_on", sa.Date),
        sa.Column("evidence", sa.Text),
        sa.Column("requested_by", sa.String(128)),
        sa.Column("requested_at", UtcDateTime),
        sa.Column("approved_by", sa.String(128)),
        sa.Column("approved_at", UtcDateTime),
        sa.Column("rejected_by", sa.String(128)),
        sa.Column("rejected_at", UtcDateTime),
        sa.Column("rejection_reason", sa.Text),
        sa.PrimaryKeyConstraint("award_id", "key", name="pk_tranches"),
        sa.ForeignKeyConstraint(["award_id"], ["awards.id"], name="fk_tranches_award_id"),
        sa.CheckConstraint(
            "state IN ('locked', 'claimable', 'requested', 'approved', 'paid')", name="ck_tranches_state_known"
        ),
        sa.CheckConstraint("amount_pence > 0", name="ck_tranches_amount_above_zero"),
        sa.CheckConstraint("approved_by <> requested_by", name="ck_tranches_two_people"),
        sa.CheckConstraint(
            "(state IN ('approved', 'paid')) = (approved_at IS NOT NULL)"
            " AND (approved_by IS NULL) = (approved_at IS NULL)",
            name="ck_tranches_approved_by_somebody",
        ),
        sa.CheckConstraint("(state = 'locked') = (achieved_on IS NULL)", name="ck_tranches_locked_until_achieved"),
    )
    op.create_table(
        "payments",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("pool_id", sa.Uuid, nullable=False),
        sa.Column("award_id", sa.Uuid, nullable=False),
        sa.Column("tranche", sa.String(64), nullable=False),
        sa.Column("amount_pence", Pence, nullable=False),
        sa.Column("payment_reference", sa.String(64), nullable=False),
        sa.Column("paid_on", sa.Date, nullable=False),
        sa.Column("recorded_by", sa.String(128), nullable=False),
        sa.Column("recorded_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_payments"),
        sa.ForeignKeyConstraint(["pool_id"], ["pools.id"], name="fk_payments_pool_id"),
        sa.ForeignKeyConstraint(
            ["award_id", "tranche"], ["tranches.award_id", "tranches.key"], name="fk_payments_award_id_tranche"
        ),
        sa.UniqueConstraint("pool_id", "payment_reference", name="uq_payments_pool_id_payment_reference"),
        sa.UniqueConstraint("award_id", "tranche", name="uq_payments_award_id_tranche"),
        sa.CheckConstraint("amount_pence > 0", name="ck_payments_amount_above_zero"),
    )


def _create_ledger() -> None:
    op.create_table(
        "ledger_accounts",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("pool_id", sa.Uuid, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("may_go_below_zero", sa.Boolean, nullable=False),
        sa.Column("balance_pence", Pence, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ledger_accounts"),
        sa.ForeignKeyConstraint(["pool_id"], ["pools.id"], name="fk_ledger_accounts_pool_id"),
        sa.UniqueConstraint("pool_id", "name", name="uq_ledger_accounts_pool_id_name"),
        sa.CheckConstraint("may_go_below_zero OR balance_pence >= 0", name="ck_ledger_accounts_never_overdrawn"),
    )
    op.create_table(
        "ledger_transactions",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("pool_id", sa.Uuid, nullable=False),
        sa.Column("key", sa.String(128), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("effective_on", sa.Date, nullable=False),
        sa.Column("recorded_at", UtcDateTime, nullable=False),
        sa.Column("author", sa.String(128), nullable=False),
        sa.Column("approver", sa.String(128)),
        sa.Column("about", Json, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ledger_transactions"),
        sa.ForeignKeyConstraint(["pool_id"], ["pools.id"], name="fk_ledger_transactions_pool_id"),
        sa.UniqueConstraint("pool_id", "key", name="uq_ledger_transactions_pool_id_key"),
        sa.CheckConstraint("approver <> author", name="ck_ledger_transactions_two_people"),
    )
    op.create_table(
        "ledger_postings",
        sa.Column("transaction_id", sa.Uuid, nullable=False),
        sa.Column("account_id", sa.Uuid, nullable=False),
        sa.Column("amount_pence", Pence, nullable=False),
        sa.PrimaryKeyConstraint("transaction_id", "account_id", name="pk_ledger_postings"),
        sa.ForeignKeyConstraint(
            ["transaction_id"], ["ledger_transactions.id"], name="fk_ledger_postings_transaction_id"
        ),
        sa.ForeignKeyConstraint(["account_id"], ["ledger_accounts.id"], name="fk_ledger_postings_account_id"),
        sa.CheckConstraint("amount_pence <> 0", name="ck_ledger_postings_amount_not_zero"),
    )
    op.create_index("ix_ledger_postings_account_id", "ledger_postings", ["account_id"])


def _guard_ledger_on_postgresql() -> None:
    op.execute(
        """
        CREATE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% is append-only: correct the ledger with another transaction', TG_TABLE_NAME
                USING ERRCODE = 'restrict_violation';
        END $$
        """
    )
    for table in APPEND_ONLY_TABLES:
        op.execute(
            f"""
            CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only()
            """
        )
    # The service checks the balance before it writes. This catches whoever writes past it, at the commit, because a
    # transaction's postings come one by one.
    op.execute(
        """
        CREATE FUNCTION ledger_transaction_balances() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF (SELECT sum(amount_pence) FROM ledger_postings WHERE transaction_id = NEW.transaction_id) <> 0 THEN
                RAISE EXCEPTION 'ledger transaction % does not balance', NEW.transaction_id
                    USING ERRCODE = 'check_violation';
            END IF;
            RETURN NULL;
        END $$
        """
    )
    op.execute(
        """
        CREATE CONSTRAINT TRIGGER ledger_postings_balance AFTER INSERT ON ledger_postings
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_transaction_balances()
        """
    )


def _guard_ledger_on_sqlite() -> None:
    for table in APPEND_ONLY_TABLES:
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"""
                CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table}
                BEGIN
                    SELECT RAISE(ABORT, '{table} is append-only: correct the ledger with another transaction');
                END
                """
            )
