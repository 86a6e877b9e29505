"""Finds pools and awards for a caller, and tells nobody of those that are not theirs to know of."""

from uuid import UUID

from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from services.funding.domain import AwardState
from services.funding.models import Award, CandidateCouncil, Member, Pool, Tranche
from shared.errors import Conflict, NotFound
from shared.security.principal import APPROVER, CDO, OPERATOR, TREASURER, Principal

#: Roles that see every pool and every award; others see what their own council takes part in.
STEWARDS = frozenset({TREASURER, APPROVER, CDO, OPERATOR})

# Not a full FOR UPDATE: rows that refer to the locked one may still be inserted meanwhile, as a ledger transaction of
# the pool is, and its transaction need not wait in turn for one that waits for the ledger.
ROW_LOCK = {"key_share": True}


def sees_everything(principal: Principal) -> bool:
    """Tell whether a caller sees every pool and award."""
    return principal.has(*STEWARDS)


def pool(session: Session, principal: Principal, pool_id: UUID, *, lock: bool = False) -> Pool:
    """Return a pool.

    :param lock: hold its row until the transaction ends; taken after an award's row and before the ledger's accounts.
    :raises NotFound: when there is none, or the caller's council is not a member.
    """
    found = session.get(Pool, pool_id, populate_existing=lock, with_for_update=ROW_LOCK if lock else None)
    if found is None or not (sees_everything(principal) or _is_member(session, found, principal.council)):
        raise NotFound("no_such_pool", "There is no pool with this pool_id that you may see; check the id.")
    return found


def award(session: Session, principal: Principal, award_id: UUID, *, lock: bool = False) -> Award:
    """Return an award.

    :param lock: hold its row until the transaction ends; taken before every other.
    :raises NotFound: when there is none, or the caller's council takes no part in its proposal.
    """
    found = locked_award(session, award_id) if lock else session.get(Award, award_id)
    if found is None or not (sees_everything(principal) or _takes_part(session, found, principal.council)):
        raise NotFound("no_such_award", "There is no award with this award_id that you may see; check the id.")
    return found


def locked_award(session: Session, award_id: UUID) -> Award | None:
    """Return an award, if there is one, and hold its row until the transaction ends."""
    return session.get(Award, award_id, populate_existing=True, with_for_update=ROW_LOCK)


def tranche(award: Award, key: str) -> Tranche:
    """Return a tranche of an active award.

    :raises Conflict: when the award is not active.
    :raises NotFound: when no milestone of that key carries money.
    """
    if award.state != AwardState.ACTIVE:
        raise Conflict("award_not_active", f"This award is {award.state}; tranches begin with its acceptance.")
    for found in award.tranches:
        if found.key == key:
            return found
    keys = ", ".join(found.key for found in award.tranches)
    raise NotFound("no_such_tranche", f"This award has no tranche {key}; it has {keys}.")


def with_council(proposal_id: InstrumentedAttribute[UUID], council: str | None) -> ColumnElement[bool]:
    """Return the condition that a council takes part in the proposal that a column names."""
    return exists(
        select(CandidateCouncil.council).where(
            CandidateCouncil.proposal_id == proposal_id, CandidateCouncil.council == council
        )
    )


def _is_member(session: Session, pool: Pool, council: str | None) -> bool:
    return council is not None and session.get(Member, (pool.id, council)) is not None


def _takes_part(session: Session, award: Award, council: str | None) -> bool:
    return council is not None and session.get(CandidateCouncil, (award.proposal_id, council)) is not None
