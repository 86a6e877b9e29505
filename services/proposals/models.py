"""The tables of the proposals service."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, attribute_keyed_dict, mapped_column, relationship

from services.proposals.domain.lifecycle import Answer, AwardState, State
from services.proposals.domain.rounds import Criterion, RoundRules, Window
from shared.storage.references import ReferenceCounterColumns
from shared.storage.roles import APPEND_ONLY
from shared.storage.types import Json, Pence, UtcDateTime

NAMES = {
    "pk": "pk_%(table_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
}


def _one_of(column: str, values: type[State] | type[Answer] | type[AwardState]) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(repr(value.value) for value in values)})", name=column)


class Base(DeclarativeBase):
    """Base of the service's tables; constraints are named by rule, so that a migration can name them too."""

    metadata = MetaData(naming_convention=NAMES)


class ReferenceCounter(ReferenceCounterColumns, Base):
    """Counts rounds (``R``) and proposals (``P``)."""


class Member(Base):
    """A council is a member of a pool from a day on: copied from funding's ``member_joined``."""

    __tablename__ = "members"

    pool_id: Mapped[UUID] = mapped_column(primary_key=True)
    council: Mapped[str] = mapped_column(String(9), primary_key=True, index=True)
    joins_on: Mapped[date] = mapped_column(primary_key=True)


class Round(Base):
    """A call for proposals. Nothing but its closing ever changes."""

    __tablename__ = "rounds"
    __table_args__ = (
        CheckConstraint("closes_on >= opens_on", name="window"),
        CheckConstraint("min_participants BETWEEN 1 AND 32", name="min_participants"),
        CheckConstraint("quorum BETWEEN 1 AND 32", name="quorum"),
        CheckConstraint("ceiling_pence > 0", name="ceiling_pence"),
        CheckConstraint("(closed_at IS NULL) = (closed_by IS NULL)", name="closed"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    reference: Mapped[str] = mapped_column(String(16), unique=True)
    version: Mapped[int]
    title: Mapped[str] = mapped_column(String(200))
    opens_on: Mapped[date]
    closes_on: Mapped[date]
    criteria: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    min_participants: Mapped[int]
    quorum: Mapped[int]
    ceiling_pence: Mapped[int] = mapped_column(Pence)
    opened_at: Mapped[datetime] = mapped_column(UtcDateTime)
    opened_by: Mapped[str] = mapped_column(String(128))
    closed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    closed_by: Mapped[str | None] = mapped_column(String(128))

    @property
    def window(self) -> Window:
        """The days on which the round takes proposals."""
        return Window(self.reference, self.opens_on, self.closes_on, self.closed_at)

    @property
    def rules(self) -> RoundRules:
        """The rules that a proposal created now is pinned to."""
        return RoundRules(
            criteria=tuple(Criterion(**criterion) for criterion in self.criteria),
            min_participants=self.min_participants,
            quorum=self.quorum,
            ceiling_pence=self.ceiling_pence,
        )


class Proposal(Base):
    """A proposal: its draft, and the number of the revision that was last handed in (0 before the first).

    ``title``, ``participants`` and ``requested_pence`` are those of that revision, or of the draft before the first:
    what lists show without reading whole contents. A draft may not say yet what it asks for.
    """

    __tablename__ = "proposals"
    __table_args__ = (
        _one_of("state", State),
        CheckConstraint("version >= 0", name="version"),
        CheckConstraint("draft_version >= 1", name="draft_version"),
        CheckConstraint("requested_pence > 0", name="requested_pence"),
        CheckConstraint("revision >= 0", name="revision"),
        CheckConstraint("state <> 'draft' OR revision = 0", name="never_handed_in"),
        CheckConstraint("state IN ('draft', 'withdrawn') OR revision > 0", name="handed_in"),
        CheckConstraint("(state = 'withdrawn') = (withdrawn_at IS NOT NULL)", name="withdrawn"),
        CheckConstraint(
            "(withdrawn_at IS NULL) = (withdrawn_by IS NULL) AND (withdrawn_at IS NULL) = (withdrawal_reason IS NULL)",
            name="withdrawal",
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    reference: Mapped[str] = mapped_column(String(16), unique=True)
    version: Mapped[int]
    round_id: Mapped[UUID] = mapped_column(ForeignKey("rounds.id"), index=True)
    rules: Mapped[dict[str, Any]] = mapped_column(Json)
    state: Mapped[str] = mapped_column(String(24), index=True)
    lead_council: Mapped[str] = mapped_column(String(9), index=True)
    participants: Mapped[list[str]] = mapped_column(Json)
    title: Mapped[str] = mapped_column(String(200))
    requested_pence: Mapped[int | None] = mapped_column(Pence)
    draft: Mapped[dict[str, Any]] = mapped_column(Json, deferred=True)
    draft_version: Mapped[int]
    revision: Mapped[int]
    score: Mapped[str | None] = mapped_column(String(6))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_by: Mapped[str] = mapped_column(String(128))
    withdrawn_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    withdrawn_by: Mapped[str | None] = mapped_column(String(128))
    withdrawal_reason: Mapped[str | None] = mapped_column(Text)

    round: Mapped[Round] = relationship()
    revisions: Mapped[dict[int, "Revision"]] = relationship(
        back_populates="proposal", collection_class=attribute_keyed_dict("number")
    )
    conflicts: Mapped[list["ConflictOfInterest"]] = relationship()
    awards: Mapped[list["Award"]] = relationship(order_by="Award.id")

    @property
    def current(self) -> "Revision | None":
        """The revision that was last handed in, if any."""
        return self.revisions.get(self.revision)


class Revision(Base):
    """What was handed in: content, its hash, the rules that it is held to. The database refuses to change it."""

    __tablename__ = "revisions"
    __table_args__ = (CheckConstraint("number >= 1", name="number"), {"info": APPEND_ONLY})

    proposal_id: Mapped[UUID] = mapped_column(ForeignKey("proposals.id"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    content: Mapped[dict[str, Any]] = mapped_column(Json, deferred=True)
    content_hash: Mapped[str] = mapped_column(String(64))
    rules: Mapped[dict[str, Any]] = mapped_column(Json)
    submitted_at: Mapped[datetime] = mapped_column(UtcDateTime)
    submitted_by: Mapped[str] = mapped_column(String(128))

    proposal: Mapped[Proposal] = relationship(back_populates="revisions")
    participations: Mapped[list["Participation"]] = relationship(order_by="Participation.position")
    assessments: Mapped[list["Assessment"]] = relationship(order_by="Assessment.id")
    change_request: Mapped["ChangeRequest | None"] = relationship()
    decision: Mapped["Decision | None"] = relationship()


def _of_revision() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["proposal_id", "revision"], ["revisions.proposal_id", "revisions.number"])


class Participation(Base):
    """A council that takes part in a revision, and what its sponsor says to that. The lead council comes first."""

    __tablename__ = "participations"
    __table_args__ = (
        _of_revision(),
        _one_of("answer", Answer),
        CheckConstraint(
            "(answer = 'awaited') = (answered_at IS NULL) AND (answered_at IS NULL) = (answered_by IS NULL)",
            name="answered",
        ),
        CheckConstraint("(answer = 'declined') = (reason IS NOT NULL)", name="reason"),
    )

    proposal_id: Mapped[UUID] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    council: Mapped[str] = mapped_column(String(9), primary_key=True, index=True)
    position: Mapped[int]
    answer: Mapped[str] = mapped_column(String(16))
    answered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    answered_by: Mapped[str | None] = mapped_column(String(128))
    reason: Mapped[str | None] = mapped_column(Text)


class ConflictOfInterest(Base):
    """Somebody declared an interest in a proposal and neither assesses nor decides it from then on."""

    __tablename__ = "conflicts_of_interest"

    proposal_id: Mapped[UUID] = mapped_column(ForeignKey("proposals.id"), primary_key=True)
    person: Mapped[str] = mapped_column(String(128), primary_key=True)
    reason: Mapped[str] = mapped_column(Text)
    declared_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Assessment(Base):
    """An assessor's scores of a revision, with a justification each. The database refuses to change it."""

    __tablename__ = "assessments"
    __table_args__ = (_of_revision(), UniqueConstraint("proposal_id", "revision", "assessor"), {"info": APPEND_ONLY})

    id: Mapped[UUID] = mapped_column(primary_key=True)
    proposal_id: Mapped[UUID]
    revision: Mapped[int]
    assessor: Mapped[str] = mapped_column(String(128))
    council: Mapped[str | None] = mapped_column(String(9))
    scores: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    submitted_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ChangeRequest(Base):
    """The panel sent a revision back."""

    __tablename__ = "change_requests"
    __table_args__ = (_of_revision(),)

    proposal_id: Mapped[UUID] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    reason: Mapped[str] = mapped_column(Text)
    requested_at: Mapped[datetime] = mapped_column(UtcDateTime)
    requested_by: Mapped[str] = mapped_column(String(128))


class Decision(Base):
    """What the panel determined, on which revision and score. The database refuses to change it."""

    __tablename__ = "decisions"
    __table_args__ = (
        _of_revision(),
        CheckConstraint("outcome IN ('approved', 'rejected')", name="outcome"),
        {"info": APPEND_ONLY},
    )

    proposal_id: Mapped[UUID] = mapped_column(primary_key=True)
    revision: Mapped[int]
    outcome: Mapped[str] = mapped_column(String(16))
    score: Mapped[str] = mapped_column(String(6))
    minute: Mapped[str] = mapped_column(Text)
    decided_at: Mapped[datetime] = mapped_column(UtcDateTime)
    decided_by: Mapped[str] = mapped_column(String(128))


class Award(Base):
    """An award that the proposal was offered: copied from funding's events, in whatever order they arrive."""

    __tablename__ = "awards"
    __table_args__ = (
        _one_of("state", AwardState),
        CheckConstraint("(state = 'funded') = (project_id IS NOT NULL)", name="project"),
        CheckConstraint("(state = 'declined') = (reason IS NOT NULL)", name="reason"),
        CheckConstraint("amount_pence > 0", name="amount_pence"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    proposal_id: Mapped[UUID] = mapped_column(ForeignKey("proposals.id"), index=True)
    state: Mapped[str] = mapped_column(String(16))
    amount_pence: Mapped[int | None] = mapped_column(Pence)
    expires_on: Mapped[date | None]
    project_id: Mapped[UUID | None] = mapped_column(unique=True)
    reason: Mapped[str | None] = mapped_column(Text)
