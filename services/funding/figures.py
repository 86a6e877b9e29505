"""What a span of days has brought each council, read from the ledger: for statements, and for years and their check.

What the figures mean is in :mod:`services.funding.domain.statements`.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import fields

from sqlalchemy.orm import Session

from services.funding import ledger, ledger_history
from services.funding.domain.statements import Figures, Span, figures_of, opening
from services.funding.ledger_history import Attributed, Books
from services.funding.models import ClosedYear


def of_span(
    session: Session,
    books: Books,
    span: Span,
    councils: Iterable[str],
    *,
    only: str | None = None,
    spent: Sequence[Attributed] | None = None,
) -> dict[str, Figures]:
    """Return the figures of some councils and of all others that have accounts, by GSS code in the order of the codes.

    :param only: the one council that is asked for, if not all are.
    :param spent: what projects cost them in the span, where that is read already.
    """
    found = {council: Figures() for council in councils} | _openings(session, books, span, only)
    moved = [(each.council, figures_of(each.move)) for each in ledger_history.council_moves(session, books, span, only)]
    if spent is None:
        spent = ledger_history.attributed(session, books, span, only)
    moved += [
        (part.council, Figures(spent_pence=part.spent_pence, returned_pence=part.returned_pence)) for part in spent
    ]
    for council, figures in moved:
        found[council] = found.get(council, Figures()) + figures
    return dict(sorted(found.items()))


def _openings(session: Session, books: Books, span: Span, only: str | None) -> dict[str, Figures]:
    if span.day_before is None:
        return {}
    balances = ledger_history.balances_as_at(session, books, span.day_before)
    cost: dict[str, int] = defaultdict(int)
    for part in ledger_history.attributed(session, books, Span(None, span.day_before), only):
        cost[part.council] += part.spent_pence - part.returned_pence
    councils = [only] if only else cost.keys() | ledger.councils_in(balances)
    return {council: opening(balances, cost[council], council) for council in councils}


def settled(closed: ClosedYear) -> dict[str, Figures]:
    """Return a closed year's figures of each council, by GSS code in the order of the codes."""
    names = [each.name for each in fields(Figures)]
    return {row.council: Figures(**{name: getattr(row, name) for name in names}) for row in closed.figures}
