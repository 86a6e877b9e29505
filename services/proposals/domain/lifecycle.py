"""The life of a proposal: what may happen to it in which of its states.

:data:`TRANSITIONS` is the one place that says what can be done to a proposal, from which states, where it leads, what
stands in its way and what is told of it. Handlers ask :func:`advance`; nothing else sets a state. The picture and the
table in docs/proposal-life.md are made of it, by ``make docs``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from services.proposals.domain import guards
from services.proposals.domain.cases import Attempt, Case
from services.proposals.domain.guards import Guard
from services.proposals.domain.states import ONCE_APPROVED, State
from shared.errors import Conflict


class Action(StrEnum):
    """What can be done to a proposal; the last five are news from funding."""

    EDIT = "edit"
    SUBMIT = "submit"
    CONFIRM = "confirm"
    DECLINE = "decline"
    BEGIN_ASSESSMENT = "begin_assessment"
    DECLARE_CONFLICT = "declare_conflict"
    ASSESS = "assess"
    MODERATE = "moderate"
    REQUEST_CHANGES = "request_changes"
    APPROVE = "approve"
    REJECT = "reject"
    WITHDRAW = "withdraw"
    NOTE_OFFER = "note_offer"
    NOTE_REFUSAL = "note_refusal"
    NOTE_FUNDING = "note_funding"
    NOTE_COMPLETION = "note_completion"
    NOTE_TERMINATION = "note_termination"


@dataclass(frozen=True)
class Transition:
    """One row of the table: an action, from which states it leads where, and under which conditions.

    :param action: what is done; one row each.
    :param by: the calls by which it is done, or the events of funding; none for what follows by itself.
    :param sources: the states in which it can be done.
    :param target: the state that it leads to; None when the proposal stays where it is.
    :param guards: what else must hold, asked in this order; the first that does not raises its error.
    :param tells: the event that is told of it each time.
    :param may_tell: the event that is told of it where that is news.
    :param overtaking: the states from which it leads there as well when funding's events overtake one another.
    """

    action: Action
    by: tuple[str, ...]
    sources: tuple[State, ...]
    target: State | None = None
    guards: tuple[Guard, ...] = ()
    tells: str | None = None
    may_tell: str | None = None
    overtaking: tuple[State, ...] = ()

    @property
    def moves(self) -> dict[State, State]:
        """From which states it leads where."""
        return {source: self.target or source for source in (*self.sources, *self.overtaking)}


def _heard_of(action: Action, news: tuple[str, ...], sources: tuple[State, ...], target: State) -> Transition:
    """What became of an award is heard in whatever order: it leads to its state from all that come of an approval."""
    late = tuple(state for state in State if state in ONCE_APPROVED and state not in sources)
    return Transition(action, news, sources, target, overtaking=late)


_DECIDING: tuple[Guard, ...] = (
    guards.revision_is_current,
    guards.content_is_what_was_read,
    guards.disinterested,
    guards.own_scores_given,
    guards.panel_is_disinterested,
    guards.quorum_reached,
    guards.moderated_if_wide,
)

_ROWS = (
    Transition(
        Action.EDIT, ("update_proposal",), (State.DRAFT, State.CHANGES_REQUESTED), guards=(guards.draft_is_current,)
    ),
    Transition(
        Action.SUBMIT,
        ("submit_proposal",),
        (State.DRAFT, State.CHANGES_REQUESTED),
        State.SUBMITTED,
        guards=(guards.draft_is_current_if_told, guards.eligible),
        tells="proposal_submitted",
    ),
    Transition(
        Action.CONFIRM,
        ("confirm_participation",),
        (State.SUBMITTED,),
        guards=(guards.revision_is_current, guards.answer_is_awaited),
        tells="participation_confirmed",
    ),
    Transition(
        Action.DECLINE,
        ("decline_participation",),
        (State.SUBMITTED,),
        guards=(guards.revision_is_current, guards.answer_is_awaited),
        tells="participation_declined",
    ),
    Transition(
        Action.BEGIN_ASSESSMENT, (), (State.SUBMITTED,), State.UNDER_ASSESSMENT, guards=(guards.everybody_confirmed,)
    ),
    Transition(
        Action.DECLARE_CONFLICT,
        ("declare_conflict",),
        (State.SUBMITTED, State.UNDER_ASSESSMENT, State.CHANGES_REQUESTED),
        guards=(guards.not_declared_before,),
        may_tell="proposal_assessed",
    ),
    Transition(
        Action.ASSESS,
        ("submit_assessment",),
        (State.UNDER_ASSESSMENT,),
        guards=(
            guards.revision_is_current,
            guards.disinterested,
            guards.not_assessed_before,
            guards.has_not_moderated,
            guards.has_room,
        ),
        may_tell="proposal_assessed",
    ),
    Transition(
        Action.MODERATE,
        ("moderate",),
        (State.UNDER_ASSESSMENT,),
        guards=(
            guards.revision_is_current,
            guards.disinterested,
            guards.own_scores_given,
            guards.quorum_reached,
            guards.not_moderated_before,
        ),
    ),
    Transition(
        Action.REQUEST_CHANGES,
        ("request_changes",),
        (State.SUBMITTED, State.UNDER_ASSESSMENT),
        State.CHANGES_REQUESTED,
        guards=(guards.disinterested,),
        tells="changes_requested",
    ),
    Transition(
        Action.APPROVE,
        ("determine",),
        (State.UNDER_ASSESSMENT,),
        State.APPROVED,
        guards=_DECIDING,
        tells="proposal_approved",
    ),
    Transition(
        Action.REJECT,
        ("determine",),
        (State.UNDER_ASSESSMENT,),
        State.REJECTED,
        guards=_DECIDING,
        tells="proposal_rejected",
    ),
    Transition(
        Action.WITHDRAW,
        ("withdraw_proposal",),
        (State.DRAFT, State.SUBMITTED, State.UNDER_ASSESSMENT, State.CHANGES_REQUESTED),
        State.WITHDRAWN,
        tells="proposal_withdrawn",
    ),
    # Funding may offer again after an award came to nothing, which puts the proposal back among the approved.
    _heard_of(
        Action.NOTE_OFFER,
        ("award_offered",),
        (State.APPROVED, State.NOT_FUNDED, State.TERMINATED),
        State.APPROVED,
    ),
    _heard_of(Action.NOTE_REFUSAL, ("award_declined", "award_lapsed"), (State.APPROVED,), State.NOT_FUNDED),
    _heard_of(Action.NOTE_FUNDING, ("project_funded",), (State.APPROVED,), State.FUNDED),
    _heard_of(Action.NOTE_COMPLETION, ("project_completed",), (State.FUNDED,), State.COMPLETED),
    _heard_of(Action.NOTE_TERMINATION, ("award_terminated",), (State.FUNDED,), State.TERMINATED),
)

#: The table: each action's row.
TRANSITIONS: Mapping[Action, Transition] = {row.action: row for row in _ROWS}

_PANELS = (Action.ASSESS, Action.MODERATE, Action.APPROVE, Action.REJECT)
_SPONSORS = (Action.CONFIRM, Action.DECLINE)

#: What to do instead of what cannot be done in a state.
INSTEAD: tuple[tuple[tuple[Action, ...], tuple[State, ...], str], ...] = (
    (
        (Action.EDIT, Action.SUBMIT),
        (State.SUBMITTED, State.UNDER_ASSESSMENT),
        "It is with the panel: ask the chair to request changes, which opens the draft again.",
    ),
    (_PANELS, (State.SUBMITTED,), "Not every council has confirmed it yet; ask their sponsors first."),
    (
        _SPONSORS,
        (State.UNDER_ASSESSMENT,),
        "Every council has confirmed it; one that cannot keep its word asks the lead council to withdraw it, or the"
        " chair to request changes.",
    ),
    (
        (*_SPONSORS, *_PANELS, Action.REQUEST_CHANGES),
        (State.CHANGES_REQUESTED,),
        "Its lead council has still to hand in the changes that the panel asked for.",
    ),
    (
        (Action.WITHDRAW,),
        (State.APPROVED, State.NOT_FUNDED),
        "What is approved is given up through funding: the lead council's Section 95 officer declines the award, or"
        " asks the pool's treasurer to offer none.",
    ),
    (
        (Action.WITHDRAW,),
        (State.FUNDED,),
        "What is funded is ended through funding: ask the pool's treasurer to terminate the award.",
    ),
)


def advance(case: Case, action: Action, attempt: Attempt) -> State:
    """Return the state in which an action leaves a proposal.

    :raises Conflict: when the proposal's state or a guard forbids the action now.
    :raises Forbidden: when a guard forbids it to this person.
    """
    transition = TRANSITIONS[action]
    if case.state not in transition.moves:
        raise _wrong_state(case, action)
    for guard in transition.guards:
        guard(case, attempt)
    return transition.moves[case.state]


def _wrong_state(case: Case, action: Action) -> Conflict:
    possible = " or ".join(state for state in State if state in TRANSITIONS[action].moves)
    sentences = [f"{case.reference} is in the state {case.state}; this needs {possible}."]
    sentences += [instead for actions, states, instead in INSTEAD if action in actions and case.state in states]
    return Conflict("wrong_state", " ".join(sentences))
