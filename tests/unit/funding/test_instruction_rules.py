"""Instructions: whatever people try, in whatever order, one asks and another one approves, once."""

from dataclasses import dataclass
from datetime import datetime

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from services.funding.domain import instructions
from services.funding.domain.instructions import MAX_WAITING, InstructionState
from shared.errors import CommonwealError, Conflict, Forbidden
from shared.security.principal import APPROVER, TREASURER, Principal
from tests.support.funding import NOW

SUBJECTS = ("ann@pool.example", "ben@pool.example", "cat@pool.example")
PEOPLE = {subject: Principal(subject, frozenset({TREASURER, APPROVER})) for subject in SUBJECTS}
ANN, BEN = PEOPLE[SUBJECTS[0]], PEOPLE[SUBJECTS[1]]


@dataclass
class AnInstruction:
    """An instruction as the domain sees it, asked for by Ann."""

    reference: str = "I-2026-0001"
    state: str = InstructionState.REQUESTED
    requested_by: str = SUBJECTS[0]
    approved_by: str | None = None
    approved_at: datetime | None = None
    rejected_by: str | None = None
    rejected_at: datetime | None = None
    rejection_reason: str | None = None
    withdrawn_at: datetime | None = None
    result: dict[str, str] | None = None


def act(verb: str, instruction: AnInstruction, by: Principal) -> None:
    if verb == "approve":
        instructions.note_carried_out(instruction, by=by, at=NOW, result={})
    elif verb == "reject":
        instructions.reject_instruction(instruction, by=by, at=NOW, reason="No report.")
    else:
        instructions.withdraw_instruction(instruction, by=by, at=NOW)


def test_a_second_person_approves() -> None:
    instruction = AnInstruction()
    instructions.note_carried_out(instruction, by=BEN, at=NOW, result={"transaction_key": "return:1"})
    assert (instruction.state, instruction.approved_by, instruction.approved_at, instruction.result) == (
        InstructionState.CARRIED_OUT,
        BEN.subject,
        NOW,
        {"transaction_key": "return:1"},
    )


def test_whoever_asks_never_approves() -> None:
    with pytest.raises(Forbidden, match="You asked for this, so a second person must approve it") as refusal:
        instructions.check_approval(AnInstruction(), ANN)
    assert refusal.value.code == "two_people"


def test_nobody_else_withdraws() -> None:
    with pytest.raises(Forbidden, match="an approver can reject it") as refusal:
        act("withdraw", AnInstruction(), BEN)
    assert refusal.value.code == "not_yours"


@pytest.mark.parametrize("verb", ["approve", "reject", "withdraw"])
@pytest.mark.parametrize("state", [state for state in InstructionState if state != InstructionState.REQUESTED])
def test_what_is_answered_is_answered(verb: str, state: InstructionState) -> None:
    with pytest.raises(Conflict, match=f"I-2026-0001 is {state.replace('_', ' ')} already") as refusal:
        act(verb, AnInstruction(state=state), ANN if verb == "withdraw" else BEN)
    assert refusal.value.code == "instruction_answered"


def test_so_many_wait() -> None:
    instructions.check_room_for_another(MAX_WAITING - 1)
    with pytest.raises(Conflict) as refusal:
        instructions.check_room_for_another(MAX_WAITING)
    assert refusal.value.code == "too_many_waiting"


@given(st.lists(st.tuples(st.sampled_from(["approve", "reject", "withdraw"]), st.sampled_from(SUBJECTS)), max_size=8))
def test_nobody_is_both_people_and_the_first_answer_stays(attempts: list[tuple[str, str]]) -> None:
    instruction = AnInstruction()
    answers = []
    for verb, subject in attempts:
        try:
            act(verb, instruction, PEOPLE[subject])
        except CommonwealError:
            continue
        answers.append(verb)
        event(verb)
    assert len(answers) <= 1
    assert instruction.approved_by != instruction.requested_by
    assert (instruction.result is not None) == (instruction.state == InstructionState.CARRIED_OUT)
