"""Where a proposal stands, and what a council says to a revision of it."""

from enum import StrEnum


class State(StrEnum):
    """Where a proposal stands. The last four mirror what became of its award."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    UNDER_ASSESSMENT = "under_assessment"
    CHANGES_REQUESTED = "changes_requested"
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    FUNDED = "funded"
    NOT_FUNDED = "not_funded"
    COMPLETED = "completed"
    TERMINATED = "terminated"


#: The lead council may work on the draft.
EDITABLE = frozenset({State.DRAFT, State.CHANGES_REQUESTED})
#: Handed in, and the panel has still to decide.
UNDECIDED = frozenset({State.SUBMITTED, State.UNDER_ASSESSMENT, State.CHANGES_REQUESTED})
#: Approved, and whatever became of that; which of them is worked out from the proposal's awards.
ONCE_APPROVED = frozenset({State.APPROVED, State.FUNDED, State.NOT_FUNDED, State.COMPLETED, State.TERMINATED})
#: The panel has decided: everybody may read the proposal.
DECIDED = ONCE_APPROVED | {State.REJECTED}


class Answer(StrEnum):
    """What a council says to a revision in which it takes part."""

    AWAITED = "awaited"
    CONFIRMED = "confirmed"
    DECLINED = "declined"
