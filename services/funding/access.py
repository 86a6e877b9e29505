"""Which pools, awards and candidates a caller reaches; nobody is told of those that are not theirs to know of."""

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, exists, select, true
from sqlalchemy.orm import InstrumentedAttribute, Session

from services.funding import ledger
from services.funding.domain.awards import ENDED_AWARD_STATES, AwardState
from services.funding.models import (
    Award,
    Candidate,
    CandidateCouncil,
    Instruction,
    LedgerAccount,
    LedgerPosting,
    LedgerTransaction,
    Member,
    Pool,
    Receipt,
    Tranche,
)
from shared.errors import Conflict, NotFound
from shared.security.principal import APPROVER, CDO, COUNCIL_ROLES, OPERATOR, TREASURER, Principal
from shared.security.scope import Scope, enforces

#: Roles that see every pool and every award; others see what their own council takes part in.
STEWARDS = frozenset({TREASURER, APPROVER, CDO, OPERATOR})
READERS = STEWARDS | COUNCIL_ROLES

# Not a full FOR UPDATE: rows that refer to the locked one may still be inserted meanwhile, as a ledger transaction of
# the pool is, and its transaction need not wait in turn for one that waits for the ledger.
ROW_LOCK: dict[str, Any] = {"key_share": True}


def sees_everything(principal: Principal) -> bool:
    """Tell whether a caller sees every pool and award."""
    return principal.has(*STEWARDS)


def sees_sums_of(principal: Principal, council: str) -> bool:
    """Tell whether a caller sees what a council has pledged and paid."""
    return sees_everything(principal) or council == _own_council(principal)


@enforces(
    "pools",
    "Treasurer, approver, CDO and operator: every pool. A council's people: the pools of which their council is or was"
    " a member, with the sums of their own council; no other exists for them.",
)
def pools(principal: Principal) -> ColumnElement[bool]:
    """Return the condition that a pool meets when the caller may know of it."""
    if sees_everything(principal):
        return true()
    return exists(select(Member.council).where(Member.pool_id == Pool.id, Member.council == _own_council(principal)))


@enforces(
    "transactions",
    "Treasurer, approver, CDO and operator: the ledger of every pool. A council's people: of the pools of which their"
    " council is a member, the transactions that move its own accounts.",
)
def transactions(principal: Principal) -> ColumnElement[bool]:
    """Return the condition that a transaction, of a pool that the caller may know of, meets when it may be read."""
    if sees_everything(principal):
        return true()
    council = str(_own_council(principal))
    own_accounts = [ledger.council_account(council), ledger.pledged_account(council)]
    return LedgerTransaction.postings.any(LedgerPosting.account.has(LedgerAccount.name.in_(own_accounts)))


@enforces(
    "receipts",
    "Treasurer, approver, CDO and operator: every receipt. A council's people: of the pools of which their council is a"
    " member, its own receipts.",
)
def receipts(principal: Principal) -> ColumnElement[bool]:
    """Return the condition that a receipt, of a pool that the caller may know of, meets when it may be read."""
    return true() if sees_everything(principal) else Receipt.council == _own_council(principal)


@enforces(
    "candidates",
    "Treasurer, approver, CDO and operator: every approved proposal without an award that is offered, active or"
    " completed. A council's people: those in which their council takes part, and only by way of a pool of which it is"
    " a member.",
)
def candidates(principal: Principal) -> ColumnElement[bool]:
    """Return the condition that a candidate meets when the caller may know of it."""
    return _concerns(principal, Candidate.proposal_id)


@enforces(
    "awards",
    "Treasurer, approver, CDO and operator: every award. A council's people: the awards of proposals in which their"
    " council takes part; no other exists for them.",
)
def awards(principal: Principal) -> ColumnElement[bool]:
    """Return the condition that an award meets when the caller may know of it."""
    return _concerns(principal, Award.proposal_id)


@enforces(
    "instructions",
    "Treasurer, approver, CDO and operator: every instruction. A council's people: those about awards of proposals in"
    " which their council takes part; no other exists for them.",
)
def instructions(principal: Principal) -> ColumnElement[bool]:
    """Return the condition that an instruction meets when the caller may know of it."""
    if sees_everything(principal):
        return true()
    return exists(select(Award.id).where(Award.id == Instruction.award_id, awards(principal)))


#: Enforced by :func:`.domain.awards.accept_award` and its like, on what :func:`award` finds.
LED_AWARDS = Scope(
    "led_awards",
    "The awards of proposals that the caller's council leads. One in which it only takes part is refused as"
    " `Forbidden`; no other exists for the caller.",
)


def pool(session: Session, principal: Principal, pool_id: UUID, *, lock: bool = False) -> Pool:
    """Return a pool in :data:`pools`.

    :param lock: hold its row until the transaction ends; taken after an award's row and before the ledger's accounts.
    :raises NotFound: when there is none, or none for this caller.
    """
    statement = select(Pool).where(Pool.id == pool_id, pools(principal))
    if lock:
        statement = statement.with_for_update(**ROW_LOCK).execution_options(populate_existing=True)
    found = session.scalar(statement)
    if found is None:
        raise NotFound("no_such_pool", "There is no pool with this pool_id that you may see; check the id.")
    return found


@enforces(
    "statements",
    "Treasurer, approver, CDO and operator: the statement of every council in every pool. A council's people: that of"
    " their own council alone; no other exists for them.",
)
def statement(session: Session, principal: Principal, pool_id: UUID, council: str) -> Pool:
    """Return the pool of a council's statement.

    :raises NotFound: when the council never was a member, or the statement is none for this caller.
    """
    found = pool(session, principal, pool_id)
    was_member = select(Member.council).where(Member.pool_id == pool_id, Member.council == council).limit(1)
    if not sees_sums_of(principal, council) or session.scalar(was_member) is None:
        sentence = "There is no statement of this council that you may see; name a council of the pool."
        raise NotFound("no_such_statement", sentence)
    return found


def award(session: Session, principal: Principal, award_id: UUID, *, lock: bool = False) -> Award:
    """Return an award in :data:`awards`.

    :param lock: hold its row until the transaction ends; taken before every other.
    :raises NotFound: when there is none, or none for this caller.
    """
    statement = select(Award).where(Award.id == award_id, awards(principal))
    if lock:
        statement = statement.with_for_update(**ROW_LOCK).execution_options(populate_existing=True)
    found = session.scalar(statement)
    if found is None:
        raise NotFound("no_such_award", "There is no award with this award_id that you may see; check the id.")
    return found


def locked_pool(session: Session, pool_id: UUID) -> Pool | None:
    """Return a pool, if there is one, and hold its row until the transaction ends."""
    return session.get(Pool, pool_id, populate_existing=True, with_for_update=ROW_LOCK)


def locked_award(session: Session, award_id: UUID) -> Award | None:
    """Return an award, if there is one, and hold its row until the transaction ends."""
    return session.get(Award, award_id, populate_existing=True, with_for_update=ROW_LOCK)


def instruction(session: Session, principal: Principal, instruction_id: UUID, *, lock: bool = False) -> Instruction:
    """Return an instruction in :data:`instructions`.

    :param lock: hold its row until the transaction ends; taken before every other.
    :raises NotFound: when there is none, or none for this caller.
    """
    statement = select(Instruction).where(Instruction.id == instruction_id, instructions(principal))
    if lock:
        statement = statement.with_for_update(**ROW_LOCK).execution_options(populate_existing=True)
    found = session.scalar(statement)
    if found is None:
        raise NotFound(
            "no_such_instruction", "There is no instruction with this instruction_id that you may see; check the id."
        )
    return found


def tranche(award: Award, key: str) -> Tranche:
    """Return a tranche of an active award.

    :raises Conflict: ``award_not_active``.
    :raises NotFound: when no milestone of that key carries money.
    """
    if award.state in ENDED_AWARD_STATES:
        raise Conflict("award_not_active", f"This award is {award.state}; nothing more of it is drawn down or paid.")
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


def _concerns(principal: Principal, proposal_id: InstrumentedAttribute[UUID]) -> ColumnElement[bool]:
    return true() if sees_everything(principal) else with_council(proposal_id, _own_council(principal))


def _own_council(principal: Principal) -> str | None:
    # Others, such as assessors, may have a council too, and no right in it.
    return principal.council if principal.has(*COUNCIL_ROLES) else None
