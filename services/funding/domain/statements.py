"""What a year, or any span of days, has brought a council and the pool: the figures and the lines of its statement.

A financial year's figures are those of its statement, and closing the year settles them: what it closes with is carried
forward and opens the next. What is dated before the pool's first day is in the first year's opening. What a transaction
is to a council follows from what it does to the accounts:

=========== =================================================================================================
line        what it is
=========== =================================================================================================
received    ``council`` and ``pledged`` fall together: money came in from the council
refunded    they rise together: money went back to the council
spent       the council's part of what a project was paid: an attribution above zero
returned    its part of what came back from a project: an attribution below zero
pledged     ``pledged`` changes by other than what a receipt settles: a share was agreed, or cancelled
=========== =================================================================================================

A reversal corrects what was written, and moves no money: it is what its original was, with the other sign. A receipt
that was recorded wrongly, reversed and recorded again was received once, and nothing was refunded. In a later year than
its original's, a reversal may bring a figure below zero.

The postings of a transaction add up to zero and its attributions to what it adds to ``paid``. So the balances of the
councils add up to what is available, reserved and committed, after every transaction and to the penny.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import date, timedelta
from enum import StrEnum

from services.funding import ledger
from shared import periods


class Line(StrEnum):
    """What a line of a statement is."""

    PLEDGED = "pledged"
    RECEIVED = "received"
    REFUNDED = "refunded"
    SPENT = "spent"
    RETURNED = "returned"


@dataclass(frozen=True)
class Span:
    """The days of a statement, both included; None where it has no bound."""

    starts_on: date | None = None
    ends_on: date | None = None

    @property
    def day_before(self) -> date | None:
        """The day at the end of which the opening balances stand; None when everything is in the statement."""
        return self.starts_on and self.starts_on - timedelta(days=1)


def span_of(year: str | None) -> Span:
    """Return the days of a financial year, or of the whole pool when there is none."""
    if year is None:
        return Span()
    period = periods.parse_year(year)
    return Span(period.starts_on, period.ends_on)


@dataclass(frozen=True)
class Move:
    """What a transaction does to a council's money in the pool, and to what it has pledged and not yet paid.

    :param line: what it is; of a reversal, what its original is.
    :param amount_pence: what it adds to the council's money in the pool; below zero what it takes.
    :param pledge_pence: what it adds to what is still to come; below zero what is settled or cancelled.
    """

    line: Line
    amount_pence: int
    pledge_pence: int

    def __neg__(self) -> "Move":
        """Return what takes this back."""
        return Move(self.line, -self.amount_pence, -self.pledge_pence)


def move_of_accounts(council_pence: int, pledged_pence: int, *, is_reversal: bool) -> Move:
    """Return what a transaction is to a council by what it adds to the council's two accounts.

    :param council_pence: what it adds to ``council:<gss>``, the world outside.
    :param pledged_pence: what it adds to ``pledged:<gss>``.
    """
    if is_reversal:
        return -move_of_accounts(-council_pence, -pledged_pence, is_reversal=False)
    came_in_pence = -(council_pence + pledged_pence)
    if came_in_pence == 0:
        return Move(Line.PLEDGED, 0, pledged_pence)
    return Move(Line.RECEIVED if came_in_pence > 0 else Line.REFUNDED, came_in_pence, pledged_pence)


def move_of_attribution(attributed_pence: int, *, is_reversal: bool) -> Move:
    """Return what a transaction is to a council by what a project's payment costs it, or gives back below zero."""
    if is_reversal:
        return -move_of_attribution(-attributed_pence, is_reversal=False)
    return Move(Line.SPENT if attributed_pence > 0 else Line.RETURNED, -attributed_pence, 0)


def _settled(move: Move) -> int:
    """Return how much of a pledge money settled, in pence; below zero, how much is owed again."""
    if move.amount_pence > 0:
        return min(move.amount_pence, max(0, -move.pledge_pence))
    return max(move.amount_pence, min(0, -move.pledge_pence))


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a span of days has brought, in pence. Each may be below zero where it counts reversals of what was before.

    :param opening_pence: the money in the pool when it begins: what was carried forward.
    :param received_pence: what came in.
    :param refunded_pence: what went back.
    :param spent_pence: the part of what projects were paid.
    :param returned_pence: the part of what came back from projects.
    :param outstanding_before_pence: pledged and not yet received when it begins; below zero when money came before
        the day on which it was pledged.
    :param pledged_pence: what was agreed, for whichever year, less what was cancelled.
    :param settled_pence: the part of what was received that settles pledges.
    """

    opening_pence: int = 0
    received_pence: int = 0
    refunded_pence: int = 0
    spent_pence: int = 0
    returned_pence: int = 0
    outstanding_before_pence: int = 0
    pledged_pence: int = 0
    settled_pence: int = 0

    @property
    def closing_pence(self) -> int:
        """The money in the pool when it ends, which is carried forward."""
        came = self.received_pence + self.returned_pence
        return self.opening_pence + came - self.refunded_pence - self.spent_pence

    @property
    def outstanding_pence(self) -> int:
        """Pledged and not yet received when it ends."""
        return self.outstanding_before_pence + self.pledged_pence - self.settled_pence

    def __add__(self, other: "Figures") -> "Figures":
        """Return the two together."""
        return Figures(**{each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(Figures)})

    def by_name(self) -> dict[str, int]:
        """Return all of them, in pence by name, with what they come to in the end."""
        return {name: getattr(self, name) for name in NAMES}


#: The names of all figures, in the order in which they are read.
NAMES = (
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


def figures_of(move: Move) -> Figures:
    """Return what a move adds to a statement."""
    settled_pence = _settled(move)
    return Figures(
        received_pence=move.amount_pence if move.line == Line.RECEIVED else 0,
        refunded_pence=-move.amount_pence if move.line == Line.REFUNDED else 0,
        spent_pence=-move.amount_pence if move.line == Line.SPENT else 0,
        returned_pence=move.amount_pence if move.line == Line.RETURNED else 0,
        pledged_pence=move.pledge_pence + settled_pence,
        settled_pence=settled_pence,
    )


def total(parts: Iterable[Figures]) -> Figures:
    """Return several statements as one."""
    return sum(parts, Figures())


def opening(balances: Mapping[str, int], attributed_pence: int, council: str) -> Figures:
    """Return how a council's statement begins.

    :param balances: the balance in pence of the pool's accounts by name, on the evening before.
    :param attributed_pence: what projects had cost the council by then.
    """
    return Figures(
        opening_pence=ledger.received_from(balances, council) - attributed_pence,
        outstanding_before_pence=ledger.outstanding_from(balances, council),
    )
