"""Rounds: the window in which proposals are handed in, and the rules that they are held to."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Self

from shared.errors import Conflict, Invalid

WHOLE_PERCENT = 100


class RoundState(StrEnum):
    """Where a round stands; worked out from its window, the moment and what is left to decide, never stored."""

    PLANNED = "planned"
    OPEN = "open"
    CLOSED = "closed"
    DECIDED = "decided"


@dataclass(frozen=True)
class Window:
    """The days on which a round takes proposals; days are days in UTC.

    :param reference: the round's reference, for sentences.
    :param opens_on: the first day.
    :param closes_on: the last day, included.
    :param closed_at: when somebody closed the round; None while nobody did.
    """

    reference: str
    opens_on: date
    closes_on: date
    closed_at: datetime | None = None

    def has_begun(self, at: datetime) -> bool:
        """Tell whether the first day has come."""
        return at.date() >= self.opens_on

    def has_closed(self, at: datetime) -> bool:
        """Tell whether the last day is over or somebody closed the round before."""
        return at.date() > self.closes_on or (self.closed_at is not None and at >= self.closed_at)

    def is_open(self, at: datetime) -> bool:
        """Tell whether proposals can be handed in."""
        return self.has_begun(at) and not self.has_closed(at)

    @property
    def last_day(self) -> date:
        """The last day on which the round takes, or took, proposals."""
        return self.closes_on if self.closed_at is None else min(self.closes_on, self.closed_at.date())

    def state(self, at: datetime, *, undecided: bool) -> RoundState:
        """Return where the round stands.

        :param undecided: whether a proposal that was handed in still waits for its decision.
        """
        if self.has_closed(at):
            return RoundState.CLOSED if undecided else RoundState.DECIDED
        return RoundState.OPEN if self.has_begun(at) else RoundState.PLANNED


@dataclass(frozen=True)
class Criterion:
    """What assessors score, and its weight in whole percent."""

    key: str
    title: str
    weight: int


@dataclass(frozen=True)
class RoundRules:
    """The rules of a round. A proposal keeps those that it was created under, whatever later rounds ask for.

    :param criteria: their weights add up to 100.
    :param min_participants: how many councils must take part, the lead council counted.
    :param quorum: how many assessments a decision needs.
    :param ceiling_pence: the most that one proposal may ask for.
    """

    criteria: tuple[Criterion, ...]
    min_participants: int
    quorum: int
    ceiling_pence: int

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read the rules from the form that :meth:`as_json` gives."""
        return cls(
            criteria=tuple(Criterion(**criterion) for criterion in stored["criteria"]),
            min_participants=stored["min_participants"],
            quorum=stored["quorum"],
            ceiling_pence=stored["ceiling_pence"],
        )

    def as_json(self) -> dict[str, Any]:
        """Return the rules as JSON: the form in which they are pinned to a proposal."""
        return {**asdict(self), "criteria": [asdict(criterion) for criterion in self.criteria]}


def check_window(opens_on: date, closes_on: date, today: date) -> None:
    """Check the window of a new round. :raises Invalid: when it is upside down or already over."""
    if closes_on < opens_on:
        sentence = f"The last day cannot be before the first; choose {opens_on} or later."
    elif closes_on < today:
        sentence = f"This window is already over; choose {today} or later."
    else:
        return
    raise Invalid("bad_window", sentence, {"closes_on": [sentence]})


def check_criteria(criteria: Sequence[Criterion]) -> None:
    """Check the criteria of a new round. :raises Invalid: when a key repeats or the weights do not make 100 percent."""
    keys = [criterion.key for criterion in criteria]
    repeated = sorted({key for key in keys if keys.count(key) > 1})
    total = sum(criterion.weight for criterion in criteria)
    if repeated:
        sentence = f"Each criterion needs a key of its own; {', '.join(repeated)} is given twice."
    elif total != WHOLE_PERCENT:
        sentence = f"The weights add up to {total}; make them add up to {WHOLE_PERCENT} percent."
    else:
        return
    raise Invalid("bad_criteria", sentence, {"criteria": [sentence]})


def check_closing(window: Window, at: datetime) -> None:
    """Check that a round can be closed by hand.

    A round whose last day is over can be, once: that puts the closing on record and tells other services of it.

    :raises Conflict: when it has not begun, or was closed by hand before.
    """
    if window.closed_at is not None:
        raise Conflict("round_closed", f"{window.reference} was closed on {window.closed_at.date()} already.")
    if not window.has_begun(at):
        raise Conflict(
            "round_not_open", f"{window.reference} opens on {window.opens_on}; it can be closed from then on."
        )


def check_takes_drafts(window: Window, at: datetime) -> None:
    """Check that a proposal can be drafted for a round. :raises Conflict: when the round has closed."""
    if window.has_closed(at):
        raise Conflict(
            "round_closed", f"{window.reference} closed on {window.last_day}; choose a round that is planned or open."
        )
