"""The tables of the proposals service."""

from collections.abc import Iterable
from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, attribute_keyed_dict, mapped_column, relationship

from services.proposals.domain.awards import WITH_PROJECT, WITH_REASON, AwardState
from services.proposals.domain.rounds import TERMS, Criterion, RoundRules, Window
from services.proposals.domain.states import DECIDED, Answer, State
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


def _among(column: str, values: Iterable[StrEnum]) -> str:
    return f"{column} IN ({', '.join(repr(value.value) for value in values)})"


def _one_of(column: str, values: Iterable[StrEnum]) -> CheckConstraint:
    return CheckConstraint(_among(column, values), name=column)


#: What an index of decided, or of handed in, proposals has: the same words in a query make the database use it.
IS_DECIDED = f"state NOT IN ({', '.join(repr(state.value) for state in State if state not in DECIDED)})"
IS_HANDED_IN = "revision > 0"


def _of_those(name: str, *columns: str, where: str) -> Index:
    return Index(f"ix_proposals_{name}", *columns, postgresql_where=text(where), sqlite_where=text(where))


class Base(DeclarativeBase):
    """Base of the service's tables; constraints are named by rule, so that a migration can name them too."""

    metadata = MetaData(naming_convention=NAMES)


class ReferenceCounter(ReferenceCounterColumns, Base):
    """Counts rounds (``R``) and proposals (``P``)."""


class Member(Base):
    """A council is a member of a pool from one day to another, both included, or without an end.

    Copied from funding's ``member_joined`` and ``member_left``.
    """

    __tablename__ = "members"

    pool_id: Mapped[UUID] = mapped_column(primary_key=True)
    council: Mapped[str] = mapped_column(String(9), primary_key=True, index=True)
    joins_on: Mapped[date] = mapped_column(primary_key=True)
    leaves_on: Mapped[date | None]


class Round(Base):
    """A call for proposals. Each change of its terms is kept as a :class:`RoundChange`.

    ``told_open_at`` says when ``round_opened`` was told: the window's first day has come then. Nothing else depends on
    it, nor on who or what closed the round: whether it takes proposals is worked out from its :attr:`window`.
    """

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
    told_open_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    @property
    def terms(self) -> dict[str, Any]:
        """What the round was announced with, or changed to since."""
        return {term: getattr(self, term) for term in TERMS}

    @property
    def window(self) -> Window:
        """The days on which the round takes proposals."""
        return Window(self.reference, self.opens_on, self.closes_on, self.closed_at)

    @property
    def rules(self) -> RoundRules:
        """The rules that a proposal is pinned to that is first handed in now."""
        return RoundRules(
            criteria=tuple(Criterion(**criterion) for criterion in self.criteria),
            min_participants=self.min_participants,
            quorum=self.quorum,
            ceiling_pence=self.ceiling_pence,
        )


class RoundChange(Base):
    """A change of a round's terms: what they were before and after. The database refuses to change it."""

    __tablename__ = "round_changes"
    __table_args__ = ({"info": APPEND_ONLY},)

    round_id: Mapped[UUID] = mapped_column(ForeignKey("rounds.id"), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    before: Mapped[dict[str, Any]] = mapped_column(Json)
    after: Mapped[dict[str, Any]] = mapped_column(Json)
    reason: Mapped[str] = mapped_column(Text)
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    changed_by: Mapped[str] = mapped_column(String(128))


class Proposal(Base):
    """A proposal: its draft, and the number of the revision that was last handed in (0 before the first).

    ``title``, ``participants`` and ``requested_pence`` are those of that revision, or of the draft before the first:
    what lists show without reading whole contents. A draft may not say yet what it asks for.

    ``pinned_rules`` are the rules of its round when it was first handed in, whatever the round asks for since. Before
    that they mean nothing: a draft follows its round, and :attr:`rules` says what it is held to.
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
        # Lists walk these in the order of the ids, whoever asks and however many proposals there are.
        Index(None, "state", "id"),
        Index(None, "round_id", "id"),
        Index(None, "round_id", "state", "id"),
        _of_those("decided", "id", where=IS_DECIDED),
        _of_those("decided_in_round", "round_id", "id", where=IS_DECIDED),
        _of_those("handed_in", "id", where=IS_HANDED_IN),
        _of_those("handed_in_in_round", "round_id", "id", where=IS_HANDED_IN),
        Index("uq_proposals_id_state", "id", "state", unique=True),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    reference: Mapped[str] = mapped_column(String(16), unique=True)
    version: Mapped[int]
    round_id: Mapped[UUID] = mapped_column(ForeignKey("rounds.id"))
    pinned_rules: Mapped[dict[str, Any]] = mapped_column("rules", Json)
    state: Mapped[str] = mapped_column(String(24))
    lead_council: Mapped[str] = mapped_column(String(9))
    participants: Mapped[list[str]] = mapped_column(Json)
    title: Mapped[str] = mapped_column(String(200))
    requested_pence: Mapped[int | None] = mapped_column(Pence)
    draft: Mapped[dict[str, Any]] = mapped_column(Json, deferred=True)
    draft_version: Mapped[int]
    revision: Mapped[int]
    score: Mapped[str | None] = mapped_column(String(6))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_by: Mapped[str] = mapped_column(String(128))
    #: Who has written the draft since; None for nobody, and where it was not kept.
    rewritten_by: Mapped[list[str] | None] = mapped_column(Json)
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
    def rules(self) -> dict[str, Any]:
        """The rules that the proposal is held to, as JSON."""
        return self.round.rules.as_json() if self.revision == 0 else self.pinned_rules

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
    # Who had a part in any revision matters to each decision: all revisions' at once, however many there are.
    participations: Mapped[list["Participation"]] = relationship(order_by="Participation.position", lazy="selectin")
    assessments: Mapped[list["Assessment"]] = relationship(order_by="Assessment.id", lazy="selectin")
    moderations: Mapped[list["Moderation"]] = relationship(order_by="Moderation.id")
    change_request: Mapped["ChangeRequest | None"] = relationship(lazy="joined")
    decision: Mapped["Decision | None"] = relationship(lazy="joined")

    def participation_of(self, council: str | None) -> "Participation":
        """Return what a council that takes part says to the revision."""
        return next(part for part in self.participations if part.council == council)


def _of_revision() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["proposal_id", "revision"], ["revisions.proposal_id", "revisions.number"])


class Participation(Base):
    """A council that takes part in a revision, and what its sponsor says to that. The lead council comes first.

    A confirmation that was carried from an earlier revision names that one, and whoever gave it there and when.
    """

    __tablename__ = "participations"
    __table_args__ = (
        _of_revision(),
        _one_of("answer", Answer),
        CheckConstraint(
            "(answer = 'awaited') = (answered_at IS NULL) AND (answered_at IS NULL) = (answered_by IS NULL)",
            name="answered",
        ),
        CheckConstraint("(answer = 'declined') = (reason IS NOT NULL)", name="reason"),
        CheckConstraint(
            "carried_from IS NULL OR (answer = 'confirmed' AND carried_from BETWEEN 1 AND revision - 1)",
            name="carried_from",
        ),
    )

    proposal_id: Mapped[UUID] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    council: Mapped[str] = mapped_column(String(9), primary_key=True)
    position: Mapped[int]
    answer: Mapped[str] = mapped_column(String(16))
    answered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    answered_by: Mapped[str | None] = mapped_column(String(128))
    reason: Mapped[str | None] = mapped_column(Text)
    carried_from: Mapped[int | None]
    asked_because: Mapped[list[str]] = mapped_column(Json, server_default="[]")


class ProposalCouncil(Base):
    """A council that leads a proposal or takes part in its current revision: by what lists find a council's proposals.

    ``state`` is the proposal's; the database itself carries every change of it over.
    """

    __tablename__ = "proposal_councils"
    __table_args__ = (
        ForeignKeyConstraint(["proposal_id", "state"], ["proposals.id", "proposals.state"], onupdate="CASCADE"),
        Index(None, "council", "proposal_id"),
        Index(None, "council", "state", "proposal_id"),
        Index(None, "council", "round_id", "proposal_id"),
        Index(None, "council", "round_id", "state", "proposal_id"),
    )

    proposal_id: Mapped[UUID] = mapped_column(primary_key=True)
    council: Mapped[str] = mapped_column(String(9), primary_key=True)
    round_id: Mapped[UUID]
    state: Mapped[str] = mapped_column(String(24))


class ProposalWording(Base):
    """The words of a proposal by stem: of the revision that was last handed in, or of the draft before the first.

    ``draft_version`` is that of the draft, and 0 once there is a revision.
    """

    __tablename__ = "proposal_wordings"

    proposal_id: Mapped[UUID] = mapped_column(ForeignKey("proposals.id"), primary_key=True)
    analyser: Mapped[int]
    revision: Mapped[int]
    draft_version: Mapped[int]
    words: Mapped[dict[str, Any]] = mapped_column(Json)


class ProposalWord(Base):
    """A word of a proposal, to be found by it; the same as in :class:`ProposalWording`."""

    __tablename__ = "proposal_words"

    word: Mapped[str] = mapped_column(String(32), primary_key=True)
    proposal_id: Mapped[UUID] = mapped_column(ForeignKey("proposals.id"), primary_key=True)
    weight: Mapped[int] = mapped_column(SmallInteger)


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


class Moderation(Base):
    """The panel's note on why assessments are far apart, or on them at all. The database refuses to change it.

    ``assessments`` are the ids of those that counted then, in order: the note is on these and no others.
    """

    __tablename__ = "moderations"
    __table_args__ = (_of_revision(), {"info": APPEND_ONLY})

    id: Mapped[UUID] = mapped_column(primary_key=True)
    proposal_id: Mapped[UUID] = mapped_column(index=True)
    revision: Mapped[int]
    note: Mapped[str] = mapped_column(Text)
    assessments: Mapped[list[str]] = mapped_column(Json)
    moderated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    moderated_by: Mapped[str] = mapped_column(String(128))


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
    """What the panel determined, on which revision and score, and who sat. The database refuses to change it.

    What stands last is None where a version decided that did not keep it; the revision's own hash is frozen as well.
    """

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
    content_hash: Mapped[str | None] = mapped_column(String(64))
    spread: Mapped[str | None] = mapped_column(String(6))
    wide_spread: Mapped[bool | None]
    moderated: Mapped[bool | None]
    panel: Mapped[list[dict[str, Any]] | None] = mapped_column(Json)


class Award(Base):
    """An award that the proposal was offered: copied from funding's events, in whatever order they arrive."""

    __tablename__ = "awards"
    __table_args__ = (
        _one_of("state", AwardState),
        CheckConstraint(f"({_among('state', WITH_PROJECT)}) = (project_id IS NOT NULL)", name="project"),
        CheckConstraint(f"({_among('state', WITH_REASON)}) = (reason IS NOT NULL)", name="reason"),
        CheckConstraint("amount_pence > 0", name="amount_pence"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    proposal_id: Mapped[UUID] = mapped_column(ForeignKey("proposals.id"), index=True)
    state: Mapped[str] = mapped_column(String(16))
    amount_pence: Mapped[int | None] = mapped_column(Pence)
    expires_on: Mapped[date | None]
    project_id: Mapped[UUID | None] = mapped_column(unique=True)
    reason: Mapped[str | None] = mapped_column(Text)
