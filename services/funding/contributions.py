"""Reads what councils have pledged: their shares of financial years, less what was cancelled.

The ledger's pledges and cancellations come to the same, and are not looked through for it: a receipt asks this, and a
pool may have very many.
"""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.funding.models import Contribution


def shares(session: Session, pool_id: UUID, council: str | None = None) -> Sequence[Contribution]:
    """Return the shares of a pool's councils, or of one, those that were cancelled too."""
    statement = select(Contribution).where(Contribution.pool_id == pool_id)
    if council is not None:
        statement = statement.where(Contribution.council == council)
    return session.scalars(statement).all()


def pledged_by_year(session: Session, pool_id: UUID, council: str | None = None) -> dict[str, dict[str, int]]:
    """Return what each council, or one, has pledged for each financial year, in pence by GSS code, then by year."""
    pledged: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for share in shares(session, pool_id, council):
        pledged[share.council][share.year] += share.pledged_pence
    return pledged
