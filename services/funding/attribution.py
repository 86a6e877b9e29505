"""Whose pound it is: what a project costs each council, to the penny, in plain Python (design, section 7).

A payment is attributed to the contributing councils pro rata to what each has paid in; a leaver's refund does not lower
its part in what had been promised before (:mod:`services.funding.leaving`). No council pays for more than it
has left of that: where its part would exceed it, as after a late joiner's first receipt, the excess is spread over the
others by the same rule. What comes back is given back pro rata to what each council has in the project. Pennies that an
exact part would cut go to the largest remainders, equal ones in the order of the GSS codes.
"""

from collections.abc import Mapping

from shared.money import split_by_largest_remainder


def of_payment(amount_pence: int, paid_in: Mapping[str, int], left: Mapping[str, int]) -> dict[str, int]:
    """Return what a payment costs each council, in pence, by GSS code; councils that it costs nothing are left out.

    :param amount_pence: what is paid, above zero.
    :param paid_in: what each council has paid into the pool.
    :param left: what each has left of it: less refunds, less what payments have cost it, with what came back.
    :raises ValueError: when the councils have less left than is paid; a fault in the ledger, never a caller's.
    """
    if amount_pence > sum(left.values()):
        raise ValueError(f"{amount_pence} pence are paid and the councils have {sum(left.values())} left")
    parts: dict[str, int] = {}
    open_to = sorted(council for council, pence in left.items() if pence > 0)
    while amount_pence:
        weights = [paid_in[council] for council in open_to]
        tried = dict(zip(open_to, split_by_largest_remainder(amount_pence, weights), strict=True))
        exhausted = [council for council in open_to if tried[council] > left[council]]
        for council in exhausted or open_to:
            parts[council] = min(tried[council], left[council])
            amount_pence -= parts[council]
        open_to = [council for council in open_to if council not in exhausted]
    return {council: pence for council, pence in sorted(parts.items()) if pence}


def of_return(amount_pence: int, in_project: Mapping[str, int]) -> dict[str, int]:
    """Return what each council gets back of a project, in pence, as amounts below zero.

    :param amount_pence: what comes back, above zero.
    :param in_project: what the project has cost each council so far.
    :raises ValueError: when more comes back than was paid; a fault in the ledger, never a caller's.
    """
    if amount_pence > sum(in_project.values()):
        raise ValueError(f"{amount_pence} pence come back and {sum(in_project.values())} were paid")
    back = of_payment(amount_pence, in_project, in_project)
    return {council: -pence for council, pence in back.items()}
