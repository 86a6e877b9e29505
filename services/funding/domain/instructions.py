"""Instructions: one person asks for a step that moves money or ends an award, another one lets it happen."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from services.funding.domain.people import check_two_people
from shared.errors import Conflict, Forbidden
from shared.security.principal import Principal

#: So many may wait for an answer at a time: those about one award, and those about the pool itself.
MAX_WAITING = 20


class InstructionState(StrEnum):
    """Where an instruction stands. Nothing moves before it is carried out, which its approval does."""

    REQUESTED = "requested"
    CARRIED_OUT = "carried_out"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


#: What is asked for in these states need not be asked for again.
STANDING_INSTRUCTION_STATES = (InstructionState.REQUESTED, InstructionState.CARRIED_OUT)


class InstructionFacts(Protocol):
    """An instruction, as its rules see it."""

    reference: str
    state: str
    requested_by: str
    approved_by: str | None
    approved_at: datetime | None
    rejected_by: str | None
    rejected_at: datetime | None
    rejection_reason: str | None
    withdrawn_at: datetime | None
    result: dict[str, str] | None


def check_room_for_another(waiting: int) -> None:
    """Refuse a request when too many wait already. :raises Conflict: ``too_many_waiting``."""
    if waiting >= MAX_WAITING:
        raise Conflict(
            "too_many_waiting",
            f"{waiting} instructions wait for an approver here; have them approved, rejected or withdrawn first.",
        )


def check_approval(instruction: InstructionFacts, by: Principal) -> None:
    """Refuse that somebody lets it happen.

    :raises Forbidden: ``two_people`` for whoever asked for it.
    :raises Conflict: ``instruction_answered`` when it waits no longer.
    """
    _check_waits(instruction)
    check_two_people(instruction.requested_by, by, "asked for this", "approve it")


def note_carried_out(instruction: InstructionFacts, *, by: Principal, at: datetime, result: Mapping[str, str]) -> None:
    """Note that it happened, by the approval of a second person; raises as :func:`check_approval`.

    :param result: the ids and references of what it made, by name.
    """
    check_approval(instruction, by)
    instruction.result = dict(result)
    instruction.state = InstructionState.CARRIED_OUT
    instruction.approved_by, instruction.approved_at = by.subject, at


def reject_instruction(instruction: InstructionFacts, *, by: Principal, at: datetime, reason: str) -> None:
    """Turn it down: nothing happens. :raises Conflict: ``instruction_answered`` when it waits no longer."""
    _check_waits(instruction)
    instruction.state = InstructionState.REJECTED
    instruction.rejected_by, instruction.rejected_at, instruction.rejection_reason = by.subject, at, reason


def withdraw_instruction(instruction: InstructionFacts, *, by: Principal, at: datetime) -> None:
    """Take it back: nothing happens.

    :raises Forbidden: ``not_yours`` for anybody but whoever asked for it.
    :raises Conflict: ``instruction_answered`` when it waits no longer.
    """
    if instruction.requested_by != by.subject:
        raise Forbidden("not_yours", "Only whoever asked for this may withdraw it; an approver can reject it.")
    _check_waits(instruction)
    instruction.state, instruction.withdrawn_at = InstructionState.WITHDRAWN, at


def _check_waits(instruction: InstructionFacts) -> None:
    if instruction.state != InstructionState.REQUESTED:
        how = instruction.state.replace("_", " ")
        raise Conflict("instruction_answered", f"{instruction.reference} is {how} already; it waits for nobody.")
