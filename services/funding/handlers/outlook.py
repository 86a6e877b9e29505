"""A pool beside its present: as it stood on a day, and what is foreseen of it."""

from datetime import date
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from services.funding import access, contributions, ledger, ledger_history, ledger_store
from services.funding.domain import projection
from services.funding.domain.awards import AwardState, tranches_of
from services.funding.domain.drawdowns import TrancheState
from services.funding.domain.projection import Due
from services.funding.models import Award, Candidate, Pool, Tranche
from shared import clock
from shared.security.principal import Principal


def as_at(session: Session, principal: Principal, pool: Pool, day: date) -> dict[str, Any]:
    """Return how a pool stood at the end of a day, by effective date and all that is recorded by now."""
    books = ledger_history.books(session, pool.id)
    balances = ledger_history.balances_as_at(session, books, day)
    members = []
    for council in pool.councils:
        shown = access.sees_sums_of(principal, council)
        members.append(
            {
                "council": council,
                "pledged_pence": ledger.outstanding_from(balances, council) if shown else None,
                "received_pence": ledger.received_from(balances, council) if shown else None,
            }
        )
    return {"on": day, "position": ledger.position(balances), "members": members}


def projected(session: Session, pool: Pool) -> list[projection.Projection]:
    """Return what is foreseen of a pool's money: its pledges, the tranches of accepted awards, and what is on offer."""
    unpaid = (
        select(Award.project_id, Tranche.due_on, func.sum(Tranche.amount_pence))
        .join(Tranche, Tranche.award_id == Award.id)
        .where(Award.pool_id == pool.id, Tranche.state.not_in((TrancheState.PAID, TrancheState.CANCELLED)))
        .group_by(Award.project_id, Tranche.due_on)
    )
    offered = select(Candidate).join(Award).where(Award.pool_id == pool.id, Award.state == AwardState.OFFERED)
    return projection.project(
        ledger_store.balances(session, pool.id),
        pledges=contributions.pledged_by_year(session, pool.id),
        tranches=[
            Due(ledger.committed_account(project_id), due_on, int(pence))
            for project_id, due_on, pence in session.execute(unpaid)
            if project_id is not None
        ],
        offers=[
            Due(ledger.reserved_account(candidate.proposal_id), tranche.due_on, tranche.amount_pence)
            for candidate in session.scalars(offered)
            for tranche in tranches_of(candidate.approved_content)
        ],
        years=pool.years,
        today=clock.today(),
    )
