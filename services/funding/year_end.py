"""What a financial year has brought a pool, council by council, in plain Python (design, section 7).

A movement belongs to the year of its effective date; what is dated before the pool's first year belongs to that. For
each council, and so for the pool, whose figures are the sums of its councils':

- unspent at the end = unspent at the start + received - paid + returned - refunded. That is carried forward.
- owed at the end = owed at the start + pledged - received + what was received beyond what was pledged.

Pledged is what was agreed in the year, for whichever year, less what was cancelled. A reversal counts in the year of
its own date, with the other sign, where its original would: so a figure may be below zero.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields

from services.funding.ledger import CANCEL, PAY, PLEDGE, REFUND


@dataclass(frozen=True, kw_only=True)
class Figures:
    """A financial year's figures of a council, or of the pool, in pence.

    :param opening_pence: what was unspent of all that was paid in, at the start.
    :param received_pence: what arrived.
    :param paid_pence: what payments to projects have cost.
    :param returned_pence: what came back from projects.
    :param refunded_pence: what went back to a leaver.
    :param carried_forward_pence: what is unspent at the end.
    :param owed_at_start_pence: what was pledged and not received, at the start.
    :param pledged_pence: what was pledged, less what was cancelled.
    :param unpledged_pence: the part of what arrived that went beyond what was pledged.
    :param owed_at_end_pence: what is pledged and not received, at the end.
    """

    opening_pence: int = 0
    received_pence: int = 0
    paid_pence: int = 0
    returned_pence: int = 0
    refunded_pence: int = 0
    carried_forward_pence: int = 0
    owed_at_start_pence: int = 0
    pledged_pence: int = 0
    unpledged_pence: int = 0
    owed_at_end_pence: int = 0

    def __add__(self, other: "Figures") -> "Figures":
        return Figures(**{name: pence + getattr(other, name) for name, pence in asdict(self).items()})


NAMES = tuple(field.name for field in fields(Figures))


@dataclass(frozen=True)
class Movement:
    """What transactions of one kind have changed for a council in the year, in pence.

    :param kind: the flow; that of its original for a reversal.
    :param outside_pence: the change of the council's own account.
    :param pledged_pence: the change of its pledged account.
    :param attributed_pence: what was attributed to it.
    """

    kind: str
    council: str
    outside_pence: int = 0
    pledged_pence: int = 0
    attributed_pence: int = 0


def figures(before: Mapping[str, Figures], movements: Iterable[Movement]) -> dict[str, Figures]:
    """Return the year's figures of each council, by GSS code in the order of the codes.

    :param before: those of the year before, by GSS code; empty for the pool's first year.
    :param movements: all that moved in the year.
    """
    after = {
        council: Figures(
            opening_pence=last.carried_forward_pence,
            carried_forward_pence=last.carried_forward_pence,
            owed_at_start_pence=last.owed_at_end_pence,
            owed_at_end_pence=last.owed_at_end_pence,
        )
        for council, last in before.items()
    }
    for movement in movements:
        after[movement.council] = after.get(movement.council, Figures()) + _effect_of(movement)
    return dict(sorted(after.items()))


def total(of_councils: Mapping[str, Figures]) -> Figures:
    """Return the pool's figures: the sums of its councils'."""
    return sum(of_councils.values(), Figures())


def _effect_of(movement: Movement) -> Figures:
    paid_in_pence = -movement.outside_pence - movement.pledged_pence
    is_refund = movement.kind == REFUND
    is_payment = movement.kind == PAY
    is_pledge = movement.kind in (PLEDGE, CANCEL)
    return Figures(
        received_pence=0 if is_refund else paid_in_pence,
        refunded_pence=-paid_in_pence if is_refund else 0,
        paid_pence=movement.attributed_pence if is_payment else 0,
        returned_pence=0 if is_payment else -movement.attributed_pence,
        carried_forward_pence=paid_in_pence - movement.attributed_pence,
        pledged_pence=movement.pledged_pence if is_pledge else 0,
        unpledged_pence=0 if is_refund or is_pledge else -movement.outside_pence,
        owed_at_end_pence=movement.pledged_pence,
    )
