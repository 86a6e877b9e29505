"""Tables of the funding service. What must always hold stands here as constraints too."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    MetaData,
    ScalarSelect,
    String,
    Text,
    UniqueConstraint,
    Uuid,
    cast,
    func,
    select,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, column_property, mapped_column, relationship

from services.funding import ledger
from services.funding.domain.awards import ENDED_AWARD_STATES, LIVE_AWARD_STATES, WITH_PROJECT, AwardState
from services.funding.domain.drawdowns import TrancheState
from services.funding.domain.instructions import STANDING_INSTRUCTION_STATES, InstructionState
from services.funding.domain.receipts import ReceiptFlag
from shared import councils, periods
from shared.proposal_content import councils_of
from shared.storage.references import ReferenceCounterColumns
from shared.storage.roles import APPEND_ONLY
from shared.storage.types import Json, Pence, UtcDateTime

GSS_LENGTH = 9
YEAR_LENGTH = 7
SUBJECT_LENGTH = 128
#: The columns of an award that say what came back of it.
MONEY_BACK = "money_back"


def _one_of(states: Iterable[str], column: str = "state") -> str:
    return f"{column} IN ({', '.join(repr(str(state)) for state in states)})"


def _unless_reversed(table: str, *columns: str) -> Index:
    standing = text("reversed_at IS NULL")
    name = f"uq_{table}_{'_'.join(columns)}"
    return Index(name, *columns, unique=True, postgresql_where=standing, sqlite_where=standing)


class Base(DeclarativeBase):
    """Base of the service's tables; gives each constraint a name that migrations can rely on."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {UUID: Uuid, datetime: UtcDateTime}


# --- pools ----------------------------------------------------------------------------------------------------------


class Pool(Base):
    """Councils' money put together for whole financial years. ``version`` counts the events recorded about it."""

    __tablename__ = "pools"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    starts_on: Mapped[date]
    ends_on: Mapped[date]
    opened_by: Mapped[str] = mapped_column(String(SUBJECT_LENGTH))
    opened_at: Mapped[datetime]
    version: Mapped[int]

    members: Mapped[list["Member"]] = relationship()

    __table_args__ = (CheckConstraint("starts_on < ends_on", name="starts_before_it_ends"),)

    @property
    def years(self) -> list[str]:
        """The financial years that it is for."""
        return periods.years_between(self.starts_on, self.ends_on)

    @property
    def councils(self) -> list[str]:
        """The GSS codes of all that are or were members, in order."""
        return sorted({member.council for member in self.members})


class Member(Base):
    """A council's membership of a pool, from ``joins_on`` to ``leaves_on``, both included, or to the pool's end."""

    __tablename__ = "members"

    pool_id: Mapped[UUID] = mapped_column(ForeignKey("pools.id"), primary_key=True)
    council: Mapped[str] = mapped_column(String(GSS_LENGTH), primary_key=True)
    joins_on: Mapped[date] = mapped_column(primary_key=True)
    added_by: Mapped[str] = mapped_column(String(SUBJECT_LENGTH))
    added_at: Mapped[datetime]
    leaves_on: Mapped[date | None]
    removed_by: Mapped[str | None] = mapped_column(String(SUBJECT_LENGTH))
    removed_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("leaves_on >= joins_on", name="joins_before_it_leaves"),
        CheckConstraint(
            "(leaves_on IS NULL) = (removed_by IS NULL) AND (leaves_on IS NULL) = (removed_at IS NULL)",
            name="removed_by_somebody",
        ),
        Index(
            "uq_members_staying_pool_id_council",
            "pool_id",
            "council",
            unique=True,
            postgresql_where=text("leaves_on IS NULL"),
            sqlite_where=text("leaves_on IS NULL"),
        ),
    )


class ContributionYear(Base):
    """What the members pay together for a financial year, and by which scheme they share it; set once."""

    __tablename__ = "contribution_years"

    pool_id: Mapped[UUID] = mapped_column(ForeignKey("pools.id"), primary_key=True)
    year: Mapped[str] = mapped_column(String(YEAR_LENGTH), primary_key=True)
    scheme: Mapped[str] = mapped_column(String(16))
    total_pence: Mapped[int] = mapped_column(Pence)
    set_by: Mapped[str] = mapped_column(String(SUBJECT_LENGTH))
    set_at: Mapped[datetime]

    shares: Mapped[list["Contribution"]] = relationship(order_by="Contribution.council, Contribution.nth")

    __table_args__ = (
        CheckConstraint("scheme IN ('equal', 'population', 'fixed')", name="scheme_known"),
        CheckConstraint("total_pence > 0", name="total_above_zero"),
    )

    @property
    def pledged_pence(self) -> int:
        """What the members have pledged for it together, shares that were added or cancelled later included."""
        return sum(share.pledged_pence for share in self.shares)


class Contribution(Base):
    """One council's share of a financial year, and the part of it that was cancelled.

    ``nth`` counts the shares of the council in that year: there is another once the one before it is cancelled.
    """

    __tablename__ = "contributions"

    pool_id: Mapped[UUID] = mapped_column(primary_key=True)
    year: Mapped[str] = mapped_column(String(YEAR_LENGTH), primary_key=True)
    council: Mapped[str] = mapped_column(String(GSS_LENGTH), primary_key=True)
    nth: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    amount_pence: Mapped[int] = mapped_column(Pence)
    cancelled_pence: Mapped[int] = mapped_column(Pence)

    __table_args__ = (
        ForeignKeyConstraint(["pool_id", "year"], ["contribution_years.pool_id", "contribution_years.year"]),
        CheckConstraint("nth >= 1", name="nth_above_zero"),
        CheckConstraint("amount_pence >= 0", name="amount_not_below_zero"),
        CheckConstraint("cancelled_pence BETWEEN 0 AND amount_pence", name="cancelled_is_a_part"),
    )

    @property
    def pledged_pence(self) -> int:
        """What of it was not cancelled."""
        return self.amount_pence - self.cancelled_pence

    @property
    def name(self) -> str:
        """The council's name."""
        return councils.name_of(self.council)


class Receipt(Base):
    """A council's money that arrived, and how it stood to the pledge then.

    ``unpledged_pence`` is the part that went beyond what was pledged, ``still_owed_pence`` what it left unpaid of the
    year that it went towards. A bank reference counts once in a pool; once its receipt is reversed, it may be recorded
    again.
    """

    __tablename__ = "receipts"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    pool_id: Mapped[UUID] = mapped_column(ForeignKey("pools.id"))
    council: Mapped[str] = mapped_column(String(GSS_LENGTH))
    amount_pence: Mapped[int] = mapped_column(Pence)
    unpledged_pence: Mapped[int] = mapped_column(Pence)
    still_owed_pence: Mapped[int] = mapped_column(Pence)
    flag: Mapped[str] = mapped_column(String(16))
    bank_reference: Mapped[str] = mapped_column(String(64))
    received_on: Mapped[date]
    recorded_by: Mapped[str] = mapped_column(String(SUBJECT_LENGTH))
    recorded_at: Mapped[datetime]
    reversed_at: Mapped[datetime | None]

    __table_args__ = (
        _unless_reversed("receipts", "pool_id", "bank_reference"),
        CheckConstraint("amount_pence > 0", name="amount_above_zero"),
        CheckConstraint("unpledged_pence BETWEEN 0 AND amount_pence", name="unpledged_is_a_part"),
        CheckConstraint("still_owed_pence >= 0", name="still_owed_not_below_zero"),
        CheckConstraint("unpledged_pence = 0 OR still_owed_pence = 0", name="not_over_and_owed"),
        CheckConstraint(_one_of(ReceiptFlag, "flag"), name="flag_known"),
    )


class ClosedYear(Base):
    """A financial year whose figures are settled; ``number`` is that of the ledger's last transaction then.

    The database refuses to change or delete one.
    """

    __tablename__ = "closed_years"

    pool_id: Mapped[UUID] = mapped_column(ForeignKey("pools.id"), primary_key=True)
    year: Mapped[str] = mapped_column(String(YEAR_LENGTH), primary_key=True)
    number: Mapped[int]
    requested_by: Mapped[str] = mapped_column(String(SUBJECT_LENGTH))
    approved_by: Mapped[str] = mapped_column(String(SUBJECT_LENGTH))
    closed_at: Mapped[datetime]

    figures: Mapped[list["YearFigures"]] = relationship(order_by="YearFigures.council")

    __table_args__ = (
        CheckConstraint("number >= 0", name="number_not_below_zero"),
        CheckConstraint("approved_by <> requested_by", name="two_people"),
        {"info": APPEND_ONLY},
    )


class YearFigures(Base):
    """What a closed financial year has brought a council (:class:`.statements.Figures`); the sums are the pool's.

    The database refuses to change or delete them.
    """

    __tablename__ = "year_figures"

    pool_id: Mapped[UUID] = mapped_column(primary_key=True)
    year: Mapped[str] = mapped_column(String(YEAR_LENGTH), primary_key=True)
    council: Mapped[str] = mapped_column(String(GSS_LENGTH), primary_key=True)
    opening_pence: Mapped[int] = mapped_column(Pence)
    received_pence: Mapped[int] = mapped_column(Pence)
    refunded_pence: Mapped[int] = mapped_column(Pence)
    spent_pence: Mapped[int] = mapped_column(Pence)
    returned_pence: Mapped[int] = mapped_column(Pence)
    closing_pence: Mapped[int] = mapped_column(Pence)
    outstanding_before_pence: Mapped[int] = mapped_column(Pence)
    pledged_pence: Mapped[int] = mapped_column(Pence)
    settled_pence: Mapped[int] = mapped_column(Pence)
    outstanding_pence: Mapped[int] = mapped_column(Pence)

    __table_args__ = (
        ForeignKeyConstraint(["pool_id", "year"], ["closed_years.pool_id", "closed_years.year"]),
        CheckConstraint(
            "opening_pence + received_pence - refunded_pence - spent_pence + returned_pence = closing_pence",
            name="closing_adds_up",
        ),
        CheckConstraint(
            "outstanding_before_pence + pledged_pence - settled_pence = outstanding_pence",
            name="outstanding_adds_up",
        ),
        {"info": APPEND_ONLY},
    )


# --- awards ---------------------------------------------------------------------------------------------------------


class Candidate(Base):
    """A proposal as its events tell of it: approved, withdrawn, or both, in whichever order they came.

    ``content`` is the canonical JSON of what the panel approved. ``parts`` says who handed it in, confirmed or decided
    on it; it is not known of a proposal whose approval came before this was kept.
    """

    __tablename__ = "candidates"

    proposal_id: Mapped[UUID] = mapped_column(primary_key=True)
    reference: Mapped[str] = mapped_column(String(32))
    revision: Mapped[int | None]
    content_hash: Mapped[str | None] = mapped_column(String(64))
    content: Mapped[dict[str, Any] | None] = mapped_column(Json)
    score: Mapped[str | None] = mapped_column(String(32))
    parts: Mapped[dict[str, str] | None] = mapped_column(Json)
    approved_at: Mapped[datetime | None]
    withdrawn_at: Mapped[datetime | None]

    councils: Mapped[list["CandidateCouncil"]] = relationship()

    __table_args__ = (
        CheckConstraint(
            "(approved_at IS NULL) = (content IS NULL) AND (approved_at IS NULL) = (revision IS NULL)"
            " AND (approved_at IS NULL) = (content_hash IS NULL) AND (approved_at IS NULL) = (score IS NULL)",
            name="approved_as_a_whole",
        ),
    )

    @property
    def approved_content(self) -> dict[str, Any]:
        """What the panel approved. :raises ValueError: when nothing is approved yet."""
        if self.content is None:
            raise ValueError(f"proposal {self.proposal_id} is not approved")
        return self.content

    @property
    def title(self) -> str:
        """The proposal's title."""
        return str(self.approved_content["title"])

    @property
    def lead_council(self) -> str:
        """The GSS code of the council that leads it."""
        return str(self.approved_content["lead_council"])

    @property
    def participants(self) -> list[str]:
        """The GSS codes of the other councils that take part."""
        return councils_of(self.approved_content)[1:]

    @property
    def requested_pence(self) -> int:
        """What it asks of the pool."""
        return int(self.approved_content["requested_pence"])


class CandidateCouncil(Base):
    """A council that takes part in a candidate, the lead among them: whose people may see it and its awards."""

    __tablename__ = "candidate_councils"

    proposal_id: Mapped[UUID] = mapped_column(ForeignKey("candidates.proposal_id"), primary_key=True)
    council: Mapped[str] = mapped_column(String(GSS_LENGTH), primary_key=True)


class Award(Base):
    """A sum offered to a proposal's lead council, and the project that its acceptance makes.

    ``version`` counts the events recorded about it.
    """

    __tablename__ = "awards"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    reference: Mapped[str] = mapped_column(String(32), unique=True)
    pool_id: Mapped[UUID] = mapped_column(ForeignKey("pools.id"), index=True)
    proposal_id: Mapped[UUID] = mapped_column(ForeignKey("candidates.proposal_id"))
    state: Mapped[str] = mapped_column(String(16))
    amount_pence: Mapped[int] = mapped_column(Pence)
    expires_on: Mapped[date]
    offered_by: Mapped[str] = mapped_column(String(SUBJECT_LENGTH))
    offered_at: Mapped[datetime]
    approved_by: Mapped[str | None] = mapped_column(String(SUBJECT_LENGTH))
    approved_at: Mapped[datetime | None]
    accepted_by: Mapped[str | None] = mapped_column(String(SUBJECT_LENGTH))
    accepted_at: Mapped[datetime | None]
    declined_by: Mapped[str | None] = mapped_column(String(SUBJECT_LENGTH))
    declined_at: Mapped[datetime | None]
    decline_reason: Mapped[str | None] = mapped_column(Text)
    lapsed_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    terminated_at: Mapped[datetime | None]
    termination_reason: Mapped[str | None] = mapped_column(Text)
    project_id: Mapped[UUID | None] = mapped_column(unique=True)
    version: Mapped[int]

    candidate: Mapped[Candidate] = relationship()
    instructions: Mapped[list["Instruction"]] = relationship(
        primaryjoin=lambda: (Instruction.award_id == Award.id) & Instruction.state.in_(STANDING_INSTRUCTION_STATES),
        order_by="Instruction.id",
        viewonly=True,
    )
    tranches: Mapped[list["Tranche"]] = relationship(order_by="Tranche.position")

    __table_args__ = (
        CheckConstraint(_one_of(AwardState), name="state_known"),
        CheckConstraint("amount_pence > 0", name="amount_above_zero"),
        CheckConstraint("(approved_by IS NULL) = (approved_at IS NULL)", name="approved_by_somebody"),
        CheckConstraint("approved_by <> offered_by", name="two_people"),
        CheckConstraint("state IN ('offered', 'lapsed') OR approved_at IS NOT NULL", name="answered_after_approval"),
        CheckConstraint(
            f"({_one_of(WITH_PROJECT)}) = (project_id IS NOT NULL)"
            f" AND ({_one_of(WITH_PROJECT)}) = (accepted_at IS NOT NULL)",
            name="active_means_accepted",
        ),
        CheckConstraint("(state = 'declined') = (declined_at IS NOT NULL)", name="declined_means_declined"),
        CheckConstraint("(state = 'lapsed') = (lapsed_at IS NOT NULL)", name="lapsed_means_lapsed"),
        CheckConstraint("(state = 'completed') = (completed_at IS NOT NULL)", name="completed_means_completed"),
        CheckConstraint(
            "(state = 'terminated') = (terminated_at IS NOT NULL)"
            " AND (state = 'terminated') = (termination_reason IS NOT NULL)",
            name="terminated_means_terminated",
        ),
        Index(
            "uq_awards_live_proposal_id",
            "proposal_id",
            unique=True,
            postgresql_where=text(_one_of(LIVE_AWARD_STATES)),
            sqlite_where=text(_one_of(LIVE_AWARD_STATES)),
        ),
    )

    @property
    def lead_council(self) -> str:
        """The GSS code of the council that leads the proposal."""
        return self.candidate.lead_council

    @property
    def parts(self) -> dict[str, str]:
        """Who handed in, confirmed or decided on the proposal: each person's part."""
        return self.candidate.parts or {}

    @property
    def funded_project_id(self) -> UUID:
        """The project that its acceptance made. :raises ValueError: when nobody has accepted it."""
        if self.project_id is None:
            raise ValueError(f"award {self.id} is not accepted")
        return self.project_id

    @property
    def paid_pence(self) -> int:
        """What has been paid of it, whatever came back since."""
        return sum(tranche.amount_pence for tranche in self.tranches if tranche.state == TrancheState.PAID)

    @property
    def committed_pence(self) -> int:
        """What is promised to its project and not paid."""
        return self.amount_pence - self.paid_pence if self.state == AwardState.ACTIVE else 0

    @property
    def released_pence(self) -> int:
        """What it has not been paid and, since it has ended, never is."""
        return self.amount_pence - self.paid_pence if self.state in ENDED_AWARD_STATES else 0

    @property
    def instruction_references(self) -> list[str]:
        """The references of what was asked for about it and waits or was carried out, in order."""
        return [instruction.reference for instruction in self.instructions]


class ReferenceCounter(ReferenceCounterColumns, Base):
    """Counts awards (``A``) and instructions (``I``)."""


class Tranche(Base):
    """A part of an active award, named by its milestone's key, and its drawdown.

    The rejection is the last one; it stays when the tranche is requested again.
    """

    __tablename__ = "tranches"

    award_id: Mapped[UUID] = mapped_column(ForeignKey("awards.id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    position: Mapped[int]
    title: Mapped[str] = mapped_column(String(200))
    due_on: Mapped[date]
    amount_pence: Mapped[int] = mapped_column(Pence)
    state: Mapped[str] = mapped_column(String(16))
    achieved_on: Mapped[date | None]
    evidence: Mapped[str | None] = mapped_column(Text)
    requested_by: Mapped[str | None] = mapped_column(String(SUBJECT_LENGTH))
    requested_at: Mapped[datetime | None]
    approved_by: Mapped[str | None] = mapped_column(String(SUBJECT_LENGTH))
    approved_at: Mapped[datetime | None]
    rejected_by: Mapped[str | None] = mapped_column(String(SUBJECT_LENGTH))
    rejected_at: Mapped[datetime | None]
    rejection_reason: Mapped[str | None] = mapped_column(Text)

    payment: Mapped["Payment | None"] = relationship(
        back_populates="drawdown",
        primaryjoin="and_(Payment.award_id == Tranche.award_id, Payment.tranche == Tranche.key,"
        " Payment.reversed_at.is_(None))",
    )

    __table_args__ = (
        CheckConstraint(_one_of(TrancheState), name="state_known"),
        CheckConstraint("amount_pence > 0", name="amount_above_zero"),
        CheckConstraint("approved_by <> requested_by", name="two_people"),
        CheckConstraint(
            "(state = 'cancelled' OR (state IN ('approved', 'paid')) = (approved_at IS NOT NULL))"
            " AND (approved_by IS NULL) = (approved_at IS NULL)",
            name="approved_by_somebody",
        ),
        CheckConstraint(
            "state = 'cancelled' OR (state = 'locked') = (achieved_on IS NULL)", name="locked_until_achieved"
        ),
    )

    @property
    def payment_reference(self) -> str | None:
        """The reference of its payment, once paid."""
        return self.payment.payment_reference if self.payment else None

    @property
    def paid_on(self) -> date | None:
        """The day of its payment, once paid."""
        return self.payment.paid_on if self.payment else None


class Payment(Base):
    """A tranche that left the pool for the lead council, always whole; once reversed it may be paid again."""

    __tablename__ = "payments"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    pool_id: Mapped[UUID] = mapped_column(ForeignKey("pools.id"))
    award_id: Mapped[UUID]
    tranche: Mapped[str] = mapped_column(String(64))
    amount_pence: Mapped[int] = mapped_column(Pence)
    payment_reference: Mapped[str] = mapped_column(String(64))
    paid_on: Mapped[date]
    recorded_by: Mapped[str] = mapped_column(String(SUBJECT_LENGTH))
    recorded_at: Mapped[datetime]
    reversed_at: Mapped[datetime | None]

    drawdown: Mapped[Tranche] = relationship(back_populates="payment")

    __table_args__ = (
        ForeignKeyConstraint(["award_id", "tranche"], ["tranches.award_id", "tranches.key"]),
        _unless_reversed("payments", "pool_id", "payment_reference"),
        _unless_reversed("payments", "award_id", "tranche"),
        CheckConstraint("amount_pence > 0", name="amount_above_zero"),
    )


class Instruction(Base):
    """A step that one person asks for and another one approves, which carries it out.

    ``arguments`` is what was asked for, as the schema of the method ``kind`` writes it, ``sentence`` what it does, and
    ``result`` the ids and references of what it made. ``key`` names what is asked for only once.
    """

    __tablename__ = "instructions"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    reference: Mapped[str] = mapped_column(String(32), unique=True)
    pool_id: Mapped[UUID] = mapped_column(ForeignKey("pools.id"), index=True)
    award_id: Mapped[UUID | None] = mapped_column(ForeignKey("awards.id"), index=True)
    kind: Mapped[str] = mapped_column(String(32))
    key: Mapped[str | None] = mapped_column(String(200))
    arguments: Mapped[dict[str, Any]] = mapped_column(Json)
    sentence: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16))
    requested_by: Mapped[str] = mapped_column(String(SUBJECT_LENGTH))
    requested_at: Mapped[datetime]
    approved_by: Mapped[str | None] = mapped_column(String(SUBJECT_LENGTH))
    approved_at: Mapped[datetime | None]
    rejected_by: Mapped[str | None] = mapped_column(String(SUBJECT_LENGTH))
    rejected_at: Mapped[datetime | None]
    rejection_reason: Mapped[str | None] = mapped_column(Text)
    withdrawn_at: Mapped[datetime | None]
    result: Mapped[dict[str, str] | None] = mapped_column(Json)

    __table_args__ = (
        CheckConstraint(_one_of(InstructionState), name="state_known"),
        CheckConstraint("approved_by <> requested_by", name="two_people"),
        CheckConstraint(
            "(state = 'carried_out') = (approved_by IS NOT NULL)"
            " AND (state = 'carried_out') = (approved_at IS NOT NULL)"
            " AND (state = 'carried_out') = (result IS NOT NULL)",
            name="carried_out_means_approved",
        ),
        CheckConstraint(
            "(state = 'rejected') = (rejected_by IS NOT NULL) AND (state = 'rejected') = (rejected_at IS NOT NULL)"
            " AND (state = 'rejected') = (rejection_reason IS NOT NULL)",
            name="rejected_by_somebody",
        ),
        CheckConstraint("(state = 'withdrawn') = (withdrawn_at IS NOT NULL)", name="withdrawn_means_withdrawn"),
        Index(
            "uq_instructions_standing_pool_id_key",
            "pool_id",
            "key",
            unique=True,
            postgresql_where=text(_one_of(STANDING_INSTRUCTION_STATES)),
            sqlite_where=text(_one_of(STANDING_INSTRUCTION_STATES)),
        ),
    )


# --- the ledger -----------------------------------------------------------------------------------------------------


class LedgerAccount(Base):
    """An account of a pool. ``balance_pence`` is the sum of its postings, kept in step under the row's lock."""

    __tablename__ = "ledger_accounts"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    pool_id: Mapped[UUID] = mapped_column(ForeignKey("pools.id"))
    name: Mapped[str] = mapped_column(String(64))
    may_go_below_zero: Mapped[bool]
    balance_pence: Mapped[int] = mapped_column(Pence)

    __table_args__ = (
        UniqueConstraint("pool_id", "name"),
        CheckConstraint("may_go_below_zero OR balance_pence >= 0", name="never_overdrawn"),
    )


class LedgerHead(Base):
    """Where the chain of a pool's ledger ends. Its row makes the writers of one pool take turns.

    ``closed_through`` is the last day of the last financial year that is closed; nothing is posted up to it.
    """

    __tablename__ = "ledger_heads"

    pool_id: Mapped[UUID] = mapped_column(ForeignKey("pools.id"), primary_key=True)
    number: Mapped[int]
    hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    closed_through: Mapped[date | None]

    __table_args__ = (CheckConstraint("number >= 0", name="number_not_below_zero"),)


class LedgerContributor(Base):
    """What payments have cost a council, less what came back: the sum of its attributions, kept in step.

    ``refunded_pence`` is what it was refunded since it last left: it has less left by that, and pays for projects as
    before.
    """

    __tablename__ = "ledger_contributors"

    pool_id: Mapped[UUID] = mapped_column(ForeignKey("pools.id"), primary_key=True)
    council: Mapped[str] = mapped_column(String(GSS_LENGTH), primary_key=True)
    attributed_pence: Mapped[int] = mapped_column(Pence)
    refunded_pence: Mapped[int] = mapped_column(Pence)

    __table_args__ = (
        CheckConstraint("attributed_pence >= 0", name="attributed_not_below_zero"),
        CheckConstraint("refunded_pence >= 0", name="refunded_not_below_zero"),
    )


class LedgerTransaction(Base):
    """Postings that happened together. The database refuses to change or delete one.

    ``number`` counts the transactions of a pool without a gap; ``hash`` binds each to all before it.
    """

    __tablename__ = "ledger_transactions"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    pool_id: Mapped[UUID] = mapped_column(ForeignKey("pools.id"))
    number: Mapped[int]
    hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    key: Mapped[str] = mapped_column(String(128))
    kind: Mapped[str] = mapped_column(String(32))
    effective_on: Mapped[date]
    recorded_at: Mapped[datetime]
    author: Mapped[str] = mapped_column(String(SUBJECT_LENGTH))
    approver: Mapped[str | None] = mapped_column(String(SUBJECT_LENGTH))
    about: Mapped[dict[str, str]] = mapped_column(Json)

    # From where to where, and always in the same order: what was shown once is shown alike for ever.
    postings: Mapped[list["LedgerPosting"]] = relationship(
        viewonly=True, order_by="LedgerPosting.amount_pence, LedgerPosting.account_id"
    )
    attributions: Mapped[list["LedgerAttribution"]] = relationship(viewonly=True, order_by="LedgerAttribution.council")

    __table_args__ = (
        UniqueConstraint("pool_id", "key"),
        UniqueConstraint("pool_id", "number"),
        Index(None, "pool_id", "effective_on"),
        CheckConstraint("number >= 1", name="number_above_zero"),
        CheckConstraint("approver <> author", name="two_people"),
        {"info": APPEND_ONLY},
    )

    @property
    def hash_in_hex(self) -> str:
        """The hash as people compare it."""
        return self.hash.hex()


class LedgerPosting(Base):
    """What a transaction adds to an account's balance. The database refuses to change or delete one."""

    __tablename__ = "ledger_postings"

    transaction_id: Mapped[UUID] = mapped_column(ForeignKey("ledger_transactions.id"), primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("ledger_accounts.id"), primary_key=True, index=True)
    amount_pence: Mapped[int] = mapped_column(Pence)

    account: Mapped[LedgerAccount] = relationship(viewonly=True)

    __table_args__ = (CheckConstraint("amount_pence <> 0", name="amount_not_zero"), {"info": APPEND_ONLY})


class LedgerAttribution(Base):
    """What a transaction that changes a project's ``paid`` account costs a council, or gives back below zero.

    The attributions of a transaction add up to that posting. The database refuses to change or delete one.
    """

    __tablename__ = "ledger_attributions"

    transaction_id: Mapped[UUID] = mapped_column(ForeignKey("ledger_transactions.id"), primary_key=True)
    council: Mapped[str] = mapped_column(String(GSS_LENGTH), primary_key=True)
    project_id: Mapped[UUID] = mapped_column(index=True)
    amount_pence: Mapped[int] = mapped_column(Pence)

    __table_args__ = (CheckConstraint("amount_pence <> 0", name="amount_not_zero"), {"info": APPEND_ONLY})


def _come_back_of(award: type[Award], kind: str) -> ScalarSelect[int]:
    """Select what came back of an award by a flow, less what was reversed of that, in pence.

    Its attribution tells, which is found by the project.
    """
    return (
        select(cast(func.coalesce(-func.sum(LedgerAttribution.amount_pence), 0), Pence))
        .join(LedgerTransaction, LedgerTransaction.id == LedgerAttribution.transaction_id)
        .where(
            LedgerAttribution.project_id == award.project_id,
            LedgerTransaction.kind.in_([kind, ledger.reversal_of(kind)]),
        )
        .correlate(award)
        .scalar_subquery()
    )


# Read only where an award is shown: locking one need not add up what came back of it.
Award.returned_pence = column_property(_come_back_of(Award, ledger.RETURN), deferred=True, group=MONEY_BACK)
Award.clawed_back_pence = column_property(_come_back_of(Award, ledger.CLAW_BACK), deferred=True, group=MONEY_BACK)
