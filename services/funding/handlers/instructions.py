"""Instructions: asked for by one person, carried out by the approval of another.

What is asked for is checked at the request and again, with everything locked, at the approval. One that can no longer
be carried out is refused then, with the reason, and goes on waiting: to be approved later, rejected or withdrawn.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from services.funding import access
from services.funding.domain import instructions as rules
from services.funding.domain.instructions import STANDING_INSTRUCTION_STATES, InstructionState
from services.funding.handlers import endings, membership, reversals, years
from services.funding.handlers.plans import Approval, Kind, Subject
from services.funding.models import Instruction, ReferenceCounter
from shared import clock, ids
from shared.errors import Conflict
from shared.fields import Command
from shared.security.principal import Principal
from shared.storage.paging import page
from shared.storage.references import next_reference

#: What may be asked for, by the name of the method that asks.
KINDS: dict[str, Kind] = {**endings.KINDS, **membership.KINDS, **reversals.KINDS, **years.KINDS}


def request(session: Session, principal: Principal, kind: str, command: Command) -> Instruction:
    """Ask for an instruction; the same again, where that cannot be meant twice, is the first one."""
    its = KINDS[kind]
    subject = its.lock(session, principal, command)
    key = its.key(command)
    first = _standing(session, subject, key)
    if first is not None and _is_the_same(its, first, kind, command):
        return first
    plan = its.plan(session, subject, command)
    if first is not None:
        raise Conflict(
            "already_requested",
            f"{first.reference} asks for this already, with other facts: {first.sentence} Withdraw or reject it first.",
        )
    rules.check_room_for_another(_waiting(session, subject))
    instruction = Instruction(
        id=ids.new_id(),
        pool_id=subject.pool.id,
        award_id=subject.award.id if subject.award else None,
        kind=kind,
        key=key,
        arguments=its.schema().dump(command),
        sentence=plan.sentence,
        state=InstructionState.REQUESTED,
        requested_by=principal.subject,
        requested_at=clock.now(),
        reference=next_reference(session, ReferenceCounter, "I", clock.today().year),
    )
    session.add(instruction)
    return instruction


def approve_instruction(session: Session, principal: Principal, command: Command) -> Instruction:
    """Carry an instruction out, as the second person."""
    instruction = access.instruction(session, principal, command.instruction_id, lock=True)
    rules.check_approval(instruction, principal)
    kind = KINDS[instruction.kind]
    asked: Command = kind.schema().load(instruction.arguments)
    plan = kind.plan(session, kind.lock(session, principal, asked), asked)
    if plan.sentence != instruction.sentence:
        raise Conflict(
            "instruction_outdated",
            f"Things have changed since this was asked for. Now it would mean: {plan.sentence} Have it withdrawn, or"
            " reject it, and ask again.",
        )
    at = clock.now()
    result = plan.carry_out(Approval(instruction.id, instruction.requested_by, principal.subject, at))
    rules.note_carried_out(instruction, by=principal, at=at, result=result)
    return instruction


def reject_instruction(session: Session, principal: Principal, command: Command) -> Instruction:
    """Turn an instruction down."""
    instruction = access.instruction(session, principal, command.instruction_id, lock=True)
    rules.reject_instruction(instruction, by=principal, at=clock.now(), reason=command.reason)
    return instruction


def withdraw_instruction(session: Session, principal: Principal, command: Command) -> Instruction:
    """Take one's own instruction back."""
    instruction = access.instruction(session, principal, command.instruction_id, lock=True)
    rules.withdraw_instruction(instruction, by=principal, at=clock.now())
    return instruction


def get_instruction(session: Session, principal: Principal, command: Command) -> Instruction:
    """Return an instruction."""
    return access.instruction(session, principal, command.instruction_id)


def list_instructions(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Return a page of a pool's instructions, oldest first; a council sees those about awards that concern it."""
    pool = access.pool(session, principal, command.pool_id)
    statement = select(Instruction).where(Instruction.pool_id == pool.id, access.instructions(principal))
    if command.award_id is not None:
        statement = statement.where(Instruction.award_id == command.award_id)
    if command.state is not None:
        statement = statement.where(Instruction.state == command.state)
    return page(session, statement, by=Instruction.id, request=command)


def _standing(session: Session, subject: Subject, key: str | None) -> Instruction | None:
    """Return the instruction that has a key, if one does. What it is about is locked, so that no other gets it now."""
    if key is None:
        return None
    return session.scalar(
        select(Instruction).where(
            Instruction.pool_id == subject.pool.id,
            Instruction.key == key,
            Instruction.state.in_(STANDING_INSTRUCTION_STATES),
        )
    )


def _is_the_same(its: Kind, first: Instruction, kind: str, command: Command) -> bool:
    # What the caller left open was settled when it was first asked for.
    given = {name: value for name, value in its.schema().dump(command).items() if value is not None}
    return first.kind == kind and given.items() <= first.arguments.items()


def _waiting(session: Session, subject: Subject) -> int:
    award_id: UUID | None = subject.award.id if subject.award else None
    about = Instruction.award_id.is_(None) if award_id is None else Instruction.award_id == award_id
    return int(
        session.scalar(
            select(func.count()).where(
                Instruction.pool_id == subject.pool.id, about, Instruction.state == InstructionState.REQUESTED
            )
        )
        or 0
    )
