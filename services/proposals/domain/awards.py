"""What became of a proposal's awards, put together from funding's events in whatever order they arrive."""

from collections.abc import Collection, Mapping
from enum import StrEnum

from services.proposals.domain.lifecycle import Action
from shared.errors import Conflict


class AwardState(StrEnum):
    """Where an award stands, as far as has been heard."""

    OFFERED = "offered"
    DECLINED = "declined"
    LAPSED = "lapsed"
    FUNDED = "funded"
    COMPLETED = "completed"
    TERMINATED = "terminated"


#: The state that an award comes from; an offer comes first.
BEFORE: Mapping[AwardState, AwardState] = {
    AwardState.DECLINED: AwardState.OFFERED,
    AwardState.LAPSED: AwardState.OFFERED,
    AwardState.FUNDED: AwardState.OFFERED,
    AwardState.COMPLETED: AwardState.FUNDED,
    AwardState.TERMINATED: AwardState.FUNDED,
}
#: States in which the award has a project.
WITH_PROJECT = (AwardState.FUNDED, AwardState.COMPLETED, AwardState.TERMINATED)
#: States that come with a reason.
WITH_REASON = (AwardState.DECLINED, AwardState.TERMINATED)

#: Which state speaks for a proposal with several awards, the first of these that any of them is in; and its meaning.
NEWS: Mapping[AwardState, Action] = {
    AwardState.FUNDED: Action.NOTE_FUNDING,
    AwardState.OFFERED: Action.NOTE_OFFER,
    AwardState.COMPLETED: Action.NOTE_COMPLETION,
    AwardState.TERMINATED: Action.NOTE_TERMINATION,
    AwardState.DECLINED: Action.NOTE_REFUSAL,
    AwardState.LAPSED: Action.NOTE_REFUSAL,
}


def _way_to(state: AwardState) -> set[AwardState]:
    """Return a state and all that an award has been in before it."""
    way = {state}
    while state in BEFORE:
        state = BEFORE[state]
        way.add(state)
    return way


def further(award_id: object, known: AwardState, heard: AwardState) -> AwardState:
    """Return where an award stands that is known to be in one state and is now heard to be in another.

    :raises Conflict: when it cannot have been in both, such as declined and funded; somebody has to look at that.
    """
    if heard in _way_to(known):
        return known
    if known in _way_to(heard):
        return heard
    raise Conflict("award_contradicted", f"Award {award_id} is {known} here and cannot be {heard} as well.")


def outcome_of(awards: Collection[str]) -> AwardState:
    """Return which of its awards' states speaks for a proposal: that of a running project, else of an offer, and so on.

    Because it looks at all of them, the order in which funding's events arrive makes no difference.

    :param awards: the :class:`AwardState` of every award that the proposal was offered; at least one.
    """
    return next(state for state in NEWS if state in awards)
