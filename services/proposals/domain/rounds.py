"""Rounds: the window in which proposals are handed in, and the rules that they are held to."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Any, Self

from shared.errors import Conflict, FieldErrors, Invalid

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
    :param closed_at: when somebody closed the round, or the clock did; None while nobody did.
    """

    reference: str
    opens_on: date
    closes_on: date
    closed_at: datetime | None = None

    @property
    def closes_at(self) -> datetime:
        """The moment from which the round takes, or took, no more: the end of its last day unless it was closed before.

        A closing that was put on record later does not move it.
        """
        end = end_of(self.closes_on)
        return end if self.closed_at is None else min(end, self.closed_at)

    def has_begun(self, at: datetime) -> bool:
        """Tell whether the first day has come."""
        return at.date() >= self.opens_on

    def has_closed(self, at: datetime) -> bool:
        """Tell whether the last day is over, or the round is on record as closed.

        What is on record counts whatever the moment is: the clock of who asks may be behind that of who closed it.
        """
        return self.closed_at is not None or at >= self.closes_at

    def is_open(self, at: datetime) -> bool:
        """Tell whether proposals can be handed in."""
        return self.has_begun(at) and not self.has_closed(at)

    def state(self, at: datetime, *, undecided: bool) -> RoundState:
        """Return where the round stands.

        :param undecided: whether a proposal that was handed in still waits for its decision.
        """
        if self.has_closed(at):
            return RoundState.CLOSED if undecided else RoundState.DECIDED
        return RoundState.OPEN if self.has_begun(at) else RoundState.PLANNED

    @property
    def opening(self) -> str:
        """When the round begins to take proposals, in words."""
        return f"{in_words(self.opens_on)} at 00:00 UTC"

    @property
    def closing(self) -> str:
        """When the round stops, or stopped, taking proposals, in words.

        The end of a day is 24:00 of that day (ISO 8601): the start of the next one reads as if that were the last.
        """
        moment = self.closes_at
        if moment == end_of(self.closes_on):
            return f"{in_words(self.closes_on)} at 24:00 UTC"
        return f"{in_words(moment.date())} at {moment:%H:%M:%S} UTC"


def end_of(day: date) -> datetime:
    """Return the moment at which a day is over, in UTC."""
    if day == date.max:
        return datetime.max.replace(tzinfo=UTC)
    return datetime.combine(day + timedelta(days=1), time(), UTC)


def in_words(day: date) -> str:
    """Return a day as people write it: 30 November 2026."""
    return f"{day.day} {day:%B %Y}"


@dataclass(frozen=True)
class Criterion:
    """What assessors score, and its weight in whole percent."""

    key: str
    title: str
    weight: int


@dataclass(frozen=True)
class RoundRules:
    """The rules of a round. A proposal keeps those that it was first handed in under, however the round changes.

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


#: What a round is announced with, and the only things about it that can be changed.
TERMS = ("title", "opens_on", "closes_on", "criteria", "min_participants", "quorum", "ceiling_pence")

#: Which terms can be changed while a round stands where: once it has begun so has its first day, and once it has closed
#: everybody has been held to what it said.
CHANGEABLE: Mapping[RoundState, Collection[str]] = {
    RoundState.PLANNED: TERMS,
    RoundState.OPEN: tuple(term for term in TERMS if term != "opens_on"),
    RoundState.CLOSED: (),
    RoundState.DECIDED: (),
}


def problems_of(terms: Mapping[str, Any], today: date) -> dict[str, list[str]]:
    """Return what is wrong with the terms of a round as a whole, all of it, by the term at fault.

    :param terms: some of :data:`TERMS`, each sound in itself; what is left out is not looked at.
    :param today: the day on which they are to hold.
    """
    problems: dict[str, list[str]] = {}
    opens_on, closes_on = terms.get("opens_on"), terms.get("closes_on")
    if closes_on is not None and closes_on < today:
        problems["closes_on"] = [f"This window is already over; choose {today} or later."]
    if opens_on is not None and closes_on is not None and closes_on < opens_on:
        sentence = f"The last day cannot be before the first; choose {opens_on} or later."
        problems.setdefault("closes_on", []).append(sentence)
    if terms.get("criteria"):
        problems["criteria"] = _problems_of_criteria(terms["criteria"])
    return {term: sentences for term, sentences in problems.items() if sentences}


def _problems_of_criteria(criteria: Collection[Mapping[str, Any]]) -> list[str]:
    sentences = []
    keys = [criterion["key"] for criterion in criteria]
    if repeated := sorted({key for key in keys if keys.count(key) > 1}):
        sentences.append(f"Each criterion needs a key of its own; given more than once: {', '.join(repeated)}.")
    if (total := sum(criterion["weight"] for criterion in criteria)) != WHOLE_PERCENT:
        sentences.append(f"The weights add up to {total}; make them add up to {WHOLE_PERCENT} percent.")
    return sentences


def check_terms(terms: Mapping[str, Any], today: date) -> None:
    """Check the terms of a new round. :raises Invalid: with everything that is wrong with them, term by term."""
    if problems := problems_of(terms, today):
        raise Invalid("bad_terms", _corrections(problems), problems)


def as_json(terms: Mapping[str, Any]) -> dict[str, Any]:
    """Return some of :data:`TERMS` as JSON, which :func:`from_json` reads."""
    return {term: value.isoformat() if isinstance(value, date) else value for term, value in terms.items()}


def from_json(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return what :func:`as_json` was given."""
    return {term: date.fromisoformat(value) if term.endswith("_on") else value for term, value in stored.items()}


def changes_in(before: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the wanted terms that differ from what a round has.

    :raises Invalid: when none does.
    """
    changes = {term: value for term, value in wanted.items() if value != before[term]}
    if not changes:
        sentence = f"Give at least one of {', '.join(TERMS)} that differs from what the round has."
        raise Invalid("nothing_changes", sentence)
    return changes


def check_change(window: Window, before: Mapping[str, Any], changes: Mapping[str, Any], at: datetime) -> None:
    """Check the new terms of a round: :data:`CHANGEABLE` says which may change, and all together must be sound.

    A last day may move either way, and not into the past: whoever was told that a round is open today can rely on that.

    :param window: of the round as it was, which has not closed.
    :param before: the round's :data:`TERMS`.
    :param changes: those of them that change, with their new values.
    :raises Conflict: when the round has begun, and its first day is to change.
    :raises Invalid: when the terms make no sense.
    """
    problems = problems_of({**before, **changes}, at.date())
    changeable = CHANGEABLE[window.state(at, undecided=True)]
    fixed = [term for term in changes if term not in changeable]
    for term in fixed:
        problems[term] = [f"{window.reference} has begun, so this stays {before[term]}; leave it out."]
    if problems:
        raise (Conflict if fixed else Invalid)("bad_terms", _corrections(problems), problems)


def _corrections(problems: FieldErrors) -> str:
    return (
        f"Correct the round's {', '.join(sorted(problems))}: {' '.join(' '.join(each) for each in problems.values())}"
    )


def check_changeable(window: Window, current: int, expected: int, at: datetime) -> None:
    """Check that a round can be changed at all, and that the change starts from what it is now.

    :param current: the round's version.
    :param expected: the version that the change starts from.
    :raises Conflict: when the round has closed, or has changed since.
    """
    if not CHANGEABLE[window.state(at, undecided=True)]:
        raise Conflict(
            "round_closed",
            f"{window.reference} closed on {window.closing} and stays as it was; announce another round with open_round"
            " for what it should have taken.",
            {"round_id": [f"Closed on {window.closing}."]},
        )
    if expected != current:
        raise Conflict(
            "stale_round",
            f"{window.reference} has changed since you read it: it is at version {current} now. Read it again, then"
            " repeat your change with that number.",
            {"expected_version": [f"The round is at version {current}."]},
        )


def check_closing(window: Window, at: datetime) -> None:
    """Check that a round can be closed by hand: early, or once its last day is over, before the clock does it.

    :raises Conflict: when it has not begun, or was closed before.
    """
    if window.closed_at is not None:
        raise Conflict("round_closed", f"{window.reference} was closed on {window.closing} already.")
    if not window.has_begun(at):
        raise Conflict(
            "round_not_open", f"{window.reference} opens on {window.opening}; it can be closed from then on."
        )


def check_takes_drafts(window: Window, at: datetime) -> None:
    """Check that a proposal can be drafted for a round. :raises Conflict: when the round has closed."""
    if window.has_closed(at):
        raise Conflict(
            "round_closed",
            f"{window.reference} closed on {window.closing}; choose a round that is planned or open.",
            {"round_id": [f"Closed on {window.closing}."]},
        )
