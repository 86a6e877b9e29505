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
    String,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from services.funding.domain.awards import LIVE_AWARD_STATES, AwardState
from services.funding.domain.drawdowns import TrancheState
from services.funding.domain.receipts import ReceiptFlag
from shared import councils, periods
from shared.proposal_content import councils_of
from shared.storage.references import ReferenceCounterColumns
from shared.storage.roles import APPEND_ONLY
from shared.storage.types import Json, Pence, UtcDateTime

GSS_LENGTH = 9
YEAR_LENGTH = 7
SUBJECT_LENGTH = 128


def _one_of(states: Iterable[str], column: str = "state") -> str:
    return f"{column} IN ({', '.join(repr(str(state)) for state in states)})"


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


class Member(Base):
    """A council's membership of a pool, from ``joins_on``."""

    __tablename__ = "members"

    pool_id: Mapped[UUID] = mapped_column(ForeignKey("pools.id"), primary_key=True)
    council: Mapped[str] = mapped_column(String(GSS_LENGTH), primary_key=True)
    joins_on: Mapped[date]
    added_by: Mapped[str] = mapped_column(String(SUBJECT_LENGTH))
    added_at: Mapped[datetime]


class ContributionYear(Base):
    """What the members pay together for a financial year, and by which scheme they share it; set once."""

    __tablename__ = "contribution_years"

    pool_id: Mapped[UUID] = mapped_column(ForeignKey("pools.id"), primary_key=True)
    year: Mapped[str] = mapped_column(String(YEAR_LENGTH), primary_key=True)
    scheme: Mapped[str] = mapped_column(String(16))
    total_pence: Mapped[int] = mapped_column(Pence)
    set_by: Mapped[str] = mapped_column(String(SUBJECT_LENGTH))
    set_at: Mapped[datetime]

    shares: Mapped[list["Contribution"]] = relationship(order_by="Contribution.council")

    __table_args__ = (
        CheckConstraint("scheme IN ('equal', 'population', 'fixed')", name="scheme_known"),
        CheckConstraint("total_pence > 0", name="total_above_zero"),
    )


class Contribution(Base):
    """One council's share of a financial year."""

    __tablename__ = "contributions"

    pool_id: Mapped[UUID] = mapped_column(primary_key=True)
    year: Mapped[str] = mapped_column(String(YEAR_LENGTH), primary_key=True)
    council: Mapped[str] = mapped_column(String(GSS_LENGTH), primary_key=True)
    amount_pence: Mapped[int] = mapped_column(Pence)

    __table_args__ = (
        ForeignKeyConstraint(["pool_id", "year"], ["contribution_years.pool_id", "contribution_years.year"]),
        ForeignKeyConstraint(["pool_id", "council"], ["members.pool_id", "members.council"]),
        CheckConstraint("amount_pence >= 0", name="amount_not_below_zero"),
    )

    @property
    def name(self) -> str:
        """The council's name."""
        return councils.name_of(self.council)


class Receipt(Base):
    """A council's money that arrived, and how it stood to the pledge then.

    ``unpledged_pence`` is the part that went beyond what was pledged, ``still_owed_pence`` what it left unpaid of the
    year that it went towards.
    """

    __tablename__ = "receipts"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    pool_id: Mapped[UUID]
    council: Mapped[str] = mapped_column(String(GSS_LENGTH))
    amount_pence: Mapped[int] = mapped_column(Pence)
    unpledged_pence: Mapped[int] = mapped_column(Pence)
    still_owed_pence: Mapped[int] = mapped_column(Pence)
    flag: Mapped[str] = mapped_column(String(16))
    bank_reference: Mapped[str] = mapped_column(String(64))
    received_on: Mapped[date]
    recorded_by: Mapped[str] = mapped_column(String(SUBJECT_LENGTH))
    recorded_at: Mapped[datetime]

    __table_args__ = (
        ForeignKeyConstraint(["pool_id", "council"], ["members.pool_id", "members.council"]),
        UniqueConstraint("pool_id", "bank_reference"),
        CheckConstraint("amount_pence > 0", name="amount_above_zero"),
        CheckConstraint("unpledged_pence BETWEEN 0 AND amount_pence", name="unpledged_is_a_part"),
        CheckConstraint("still_owed_pence >= 0", name="still_owed_not_below_zero"),
        CheckConstraint("unpledged_pence = 0 OR still_owed_pence = 0", name="not_over_and_owed"),
        CheckConstraint(_one_of(ReceiptFlag, "flag"), name="flag_known"),
    )


# --- awards ---------------------------------------------------------------------------------------------------------


class Candidate(Base):
    """A proposal as its events tell of it: approved, withdrawn, or both, in whichever order they came.

    ``content`` is the canonical JSON of what the panel approved.
    """

    __tablename__ = "candidates"

    proposal_id: Mapped[UUID] = mapped_column(primary_key=True)
    reference: Mapped[str] = mapped_column(String(32))
    revision: Mapped[int | None]
    content_hash: Mapped[str | None] = mapped_column(String(64))
    content: Mapped[dict[str, Any] | None] = mapped_column(Json)
    score: Mapped[str | None] = mapped_column(String(32))
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
    project_id: Mapped[UUID | None] = mapped_column(unique=True)
    version: Mapped[int]

    candidate: Mapped[Candidate] = relationship()
    tranches: Mapped[list["Tranche"]] = relationship(order_by="Tranche.position")

    __table_args__ = (
        CheckConstraint(_one_of(AwardState), name="state_known"),
        CheckConstraint("amount_pence > 0", name="amount_above_zero"),
        CheckConstraint("(approved_by IS NULL) = (approved_at IS NULL)", name="approved_by_somebody"),
        CheckConstraint("approved_by <> offered_by", name="two_people"),
        CheckConstraint("state IN ('offered', 'lapsed') OR approved_at IS NOT NULL", name="answered_after_approval"),
        CheckConstraint(
            "(state = 'active') = (project_id IS NOT NULL) AND (state = 'active') = (accepted_at IS NOT NULL)",
            name="active_means_accepted",
        ),
        CheckConstraint("(state = 'declined') = (declined_at IS NOT NULL)", name="declined_means_declined"),
        CheckConstraint("(state = 'lapsed') = (lapsed_at IS NOT NULL)", name="lapsed_means_lapsed"),
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
    def funded_project_id(self) -> UUID:
        """The project that its acceptance made. :raises ValueError: when nobody has accepted it."""
        if self.project_id is None:
            raise ValueError(f"award {self.id} is not accepted")
        return self.project_id

    @property
    def paid_pence(self) -> int:
        """What has been paid of it."""
        return sum(tranche.amount_pence for tranche in self.tranches if tranche.state == TrancheState.PAID)


class ReferenceCounter(ReferenceCounterColumns, Base):
    """Counts awards (``A``)."""


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

    payment: Mapped["Payment | None"] = relationship(back_populates="drawdown")

    __table_args__ = (
        CheckConstraint(_one_of(TrancheState), name="state_known"),
        CheckConstraint("amount_pence > 0", name="amount_above_zero"),
        CheckConstraint("approved_by <> requested_by", name="two_people"),
        CheckConstraint(
            "(state IN ('approved', 'paid')) = (approved_at IS NOT NULL)"
            " AND (approved_by IS NULL) = (approved_at IS NULL)",
            name="approved_by_somebody",
        ),
        CheckConstraint("(state = 'locked') = (achieved_on IS NULL)", name="locked_until_achieved"),
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
    """A tranche that left the pool for the lead council, always whole."""

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

    drawdown: Mapped[Tranche] = relationship(back_populates="payment")

    __table_args__ = (
        ForeignKeyConstraint(["award_id", "tranche"], ["tranches.award_id", "tranches.key"]),
        UniqueConstraint("pool_id", "payment_reference"),
        UniqueConstraint("award_id", "tranche"),
        CheckConstraint("amount_pence > 0", name="amount_above_zero"),
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
    """Where the chain of a pool's ledger ends. Its row makes the writers of one pool take turns."""

    __tablename__ = "ledger_heads"

    pool_id: Mapped[UUID] = mapped_column(ForeignKey("pools.id"), primary_key=True)
    number: Mapped[int]
    hash: Mapped[bytes] = mapped_column(LargeBinary(32))

    __table_args__ = (CheckConstraint("number >= 0", name="number_not_below_zero"),)


class LedgerContributor(Base):
    """What payments have cost a council, less what came back: the sum of its attributions, kept in step."""

    __tablename__ = "ledger_contributors"

    pool_id: Mapped[UUID] = mapped_column(ForeignKey("pools.id"), primary_key=True)
    council: Mapped[str] = mapped_column(String(GSS_LENGTH), primary_key=True)
    attributed_pence: Mapped[int] = mapped_column(Pence)

    __table_args__ = (CheckConstraint("attributed_pence >= 0", name="attributed_not_below_zero"),)


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

    postings: Mapped[list["LedgerPosting"]] = relationship(viewonly=True)
    attributions: Mapped[list["LedgerAttribution"]] = relationship(viewonly=True, order_by="LedgerAttribution.council")

    __table_args__ = (
        UniqueConstraint("pool_id", "key"),
        UniqueConstraint("pool_id", "number"),
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
