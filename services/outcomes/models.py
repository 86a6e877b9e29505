"""The tables of outcomes: a table per notion of IATI's results model, and the plan that holds them together.

plan -> results -> their indicator (with its baseline) -> periods per council (with their target) -> reports (actuals).

Measured values and percentages are decimal strings as they were given: they are computed with exactly, in Python, and
``12.50`` stays ``12.50``.
"""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Date,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from services.outcomes import domain
from shared.ids import new_id
from shared.storage.roles import KEPT
from shared.storage.types import Pence, UtcDateTime

#: Letters of the longest decimal string: a sign, 15 digits, a point, 6 digits.
DECIMAL_LENGTH = 23
SUBJECT_LENGTH = 128

NAMING_CONVENTION = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}

_NO_DECISION = text("decision IS NULL")
_CERTIFIED = text("decision = 'certified'")


class Base(DeclarativeBase):
    """Every table of the service."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map = {UUID: Uuid, date: Date, datetime: UtcDateTime}


class Plan(Base):
    """The tracking plan of a funded project, and the aggregate of this service: whoever changes anything of a plan
    locks its row first, and ``version`` counts the events recorded about it.
    """

    __tablename__ = "plans"
    __table_args__ = (
        UniqueConstraint("project_id"),
        CheckConstraint("amount_pence > 0", name="amount"),
        CheckConstraint("state IN ('active', 'closed')", name="state"),
        CheckConstraint("first_due_on <= last_due_on", name="span"),
        CheckConstraint("version >= 1", name="version"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    project_id: Mapped[UUID]
    award_id: Mapped[UUID]
    pool_id: Mapped[UUID]
    proposal_id: Mapped[UUID]
    proposal_reference: Mapped[str] = mapped_column(String(32))
    #: Which frozen revision of the proposal the plan was made from.
    revision: Mapped[int] = mapped_column(Integer)
    content_hash: Mapped[str] = mapped_column(String(64))
    title: Mapped[str] = mapped_column(String(200))
    lead_council: Mapped[str] = mapped_column(String(9))
    amount_pence: Mapped[int] = mapped_column(Pence)
    state: Mapped[str] = mapped_column(String(16), default=domain.ACTIVE)
    starts_on: Mapped[date]
    first_due_on: Mapped[date]
    last_due_on: Mapped[date]
    created_at: Mapped[datetime]
    version: Mapped[int] = mapped_column(Integer, default=1)

    councils: Mapped[list["PlanCouncil"]] = relationship(order_by="PlanCouncil.position")
    milestones: Mapped[list["Milestone"]] = relationship(order_by="Milestone.position")
    results: Mapped[list["Result"]] = relationship(order_by="Result.position", back_populates="plan")


class PlanCouncil(Base):
    """A council that takes part in a project; the lead stands first."""

    __tablename__ = "plan_councils"

    plan_id: Mapped[UUID] = mapped_column(ForeignKey("plans.id"), primary_key=True)
    council: Mapped[str] = mapped_column(String(9), primary_key=True, index=True)
    position: Mapped[int] = mapped_column(Integer)


class Milestone(Base):
    """A step that the project can show, once it is achieved with its evidence."""

    __tablename__ = "milestones"
    __table_args__ = (
        UniqueConstraint("plan_id", "key"),
        CheckConstraint("tranche_pence >= 0", name="tranche"),
        CheckConstraint(
            "(achieved_on IS NULL) = (evidence IS NULL) AND (achieved_on IS NULL) = (achieved_by IS NULL)"
            " AND (achieved_on IS NULL) = (achieved_at IS NULL)",
            name="achieved_with_evidence",
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    plan_id: Mapped[UUID] = mapped_column(ForeignKey("plans.id"))
    position: Mapped[int] = mapped_column(Integer)
    key: Mapped[str] = mapped_column(String(64))
    title: Mapped[str] = mapped_column(String(200))
    due_on: Mapped[date]
    tranche_pence: Mapped[int] = mapped_column(Pence)
    achieved_on: Mapped[date | None]
    achieved_by: Mapped[str | None] = mapped_column(String(SUBJECT_LENGTH))
    achieved_at: Mapped[datetime | None]
    evidence: Mapped[str | None] = mapped_column(Text)


class Result(Base):
    """What the project means to bring about: a benefit's key, title and kind."""

    __tablename__ = "results"
    __table_args__ = (
        UniqueConstraint("plan_id", "key"),
        CheckConstraint(
            "kind IN ('cashable_saving', 'non_cashable_saving', 'citizen_outcome', 'capability')", name="kind"
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    plan_id: Mapped[UUID] = mapped_column(ForeignKey("plans.id"))
    position: Mapped[int] = mapped_column(Integer)
    key: Mapped[str] = mapped_column(String(64))
    title: Mapped[str] = mapped_column(String(200))
    kind: Mapped[str] = mapped_column(String(32))

    plan: Mapped[Plan] = relationship(back_populates="results")
    indicator: Mapped["Indicator"] = relationship(back_populates="result")


class Indicator(Base):
    """How a result is measured, from which baseline, by whom, and how much of it is the project's own doing.

    IATI lets a result have several indicators. A benefit has one measure, so here it is exactly one.
    """

    __tablename__ = "indicators"
    __table_args__ = (
        UniqueConstraint("result_id"),
        CheckConstraint("measure IN ('count', 'percentage', 'currency', 'score')", name="measure"),
        CheckConstraint("direction IN ('increase', 'decrease', 'range')", name="direction"),
        CheckConstraint("frequency IN ('monthly', 'quarterly', 'annual')", name="frequency"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    result_id: Mapped[UUID] = mapped_column(ForeignKey("results.id"))
    measure: Mapped[str] = mapped_column(String(16))
    unit: Mapped[str] = mapped_column(String(40))
    direction: Mapped[str] = mapped_column(String(16))
    frequency: Mapped[str] = mapped_column(String(16))
    baseline_value: Mapped[str] = mapped_column(String(DECIMAL_LENGTH))
    baseline_on: Mapped[date]
    baseline_source: Mapped[str] = mapped_column(String(200))
    owner_council: Mapped[str] = mapped_column(String(9))
    deadweight_percent: Mapped[str] = mapped_column(String(DECIMAL_LENGTH))
    attribution_percent: Mapped[str] = mapped_column(String(DECIMAL_LENGTH))
    optimism_bias_percent: Mapped[str] = mapped_column(String(DECIMAL_LENGTH))

    result: Mapped[Result] = relationship(back_populates="indicator")
    periods: Mapped[list["Period"]] = relationship(
        order_by="Period.starts_on, Period.council", back_populates="indicator"
    )


class Period(Base):
    """A reporting period of one indicator and one council. ``state`` is the stored one, see :mod:`.domain`."""

    __tablename__ = "periods"
    __table_args__ = (
        UniqueConstraint("indicator_id", "council", "period"),
        CheckConstraint("state IN ('pending', 'reported', 'certified', 'returned')", name="state"),
        CheckConstraint("starts_on <= ends_on AND ends_on < due_on", name="dates"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    indicator_id: Mapped[UUID] = mapped_column(ForeignKey("indicators.id"))
    council: Mapped[str] = mapped_column(String(9), index=True)
    period: Mapped[str] = mapped_column(String(10))
    starts_on: Mapped[date]
    ends_on: Mapped[date]
    due_on: Mapped[date]
    target: Mapped[str] = mapped_column(String(DECIMAL_LENGTH))
    state: Mapped[str] = mapped_column(String(16), default=domain.PENDING)

    indicator: Mapped[Indicator] = relationship(back_populates="periods")
    reports: Mapped[list["Report"]] = relationship(order_by="Report.number")


class Report(Base):
    """What somebody reported for a period, and what became of it.

    Reports are only ever added. Triggers of the database (migration 0001) refuse to delete one, to alter what it says,
    and to touch its decision once there is one. At most one report of a period awaits a decision, at most one is
    certified, and whoever decides on it is not who made it.
    """

    __tablename__ = "reports"
    __table_args__ = (
        UniqueConstraint("period_id", "number"),
        Index(
            "uq_reports_undecided", "period_id", unique=True, postgresql_where=_NO_DECISION, sqlite_where=_NO_DECISION
        ),
        Index("uq_reports_certified", "period_id", unique=True, postgresql_where=_CERTIFIED, sqlite_where=_CERTIFIED),
        CheckConstraint("(numerator IS NULL) = (denominator IS NULL)", name="ratio"),
        CheckConstraint("decision IN ('certified', 'returned')", name="decision"),
        CheckConstraint(
            "(decision IS NULL) = (decided_by IS NULL) AND (decision IS NULL) = (decided_at IS NULL)", name="decided"
        ),
        CheckConstraint(
            "CASE WHEN decision = 'returned' THEN reason IS NOT NULL ELSE reason IS NULL END", name="reason"
        ),
        CheckConstraint("decided_by <> reported_by", name="two_people"),
        {"info": KEPT},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    period_id: Mapped[UUID] = mapped_column(ForeignKey("periods.id"))
    #: Counts the reports of a period from 1.
    number: Mapped[int] = mapped_column(Integer)
    value: Mapped[str] = mapped_column(String(DECIMAL_LENGTH))
    numerator: Mapped[str | None] = mapped_column(String(DECIMAL_LENGTH))
    denominator: Mapped[str | None] = mapped_column(String(DECIMAL_LENGTH))
    narrative: Mapped[str | None] = mapped_column(Text)
    reported_by: Mapped[str] = mapped_column(String(SUBJECT_LENGTH))
    reported_at: Mapped[datetime]
    decision: Mapped[str | None] = mapped_column(String(16))
    decided_by: Mapped[str | None] = mapped_column(String(SUBJECT_LENGTH))
    decided_at: Mapped[datetime | None]
    reason: Mapped[str | None] = mapped_column(Text)
