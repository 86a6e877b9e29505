"""The life of a proposal: its states, and what may happen in which of them.

:data:`TRANSITIONS` is the one place that says what can be done to a proposal, from which states, where it leads and
what stands in its way. Handlers ask :func:`advance`; nothing else sets a state.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from services.proposals.domain.eligibility import Rule
from shared import councils
from shared.errors import Conflict, Forbidden
from shared.security.principal import Principal


class State(StrEnum):
    """Where a proposal stands. The last two mirror what became of its award."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    UNDER_ASSESSMENT = "under_assessment"
    CHANGES_REQUESTED = "changes_requested"
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    FUNDED = "funded"
    NOT_FUNDED = "not_funded"


#: The lead council may work on the draft.
EDITABLE = frozenset({State.DRAFT, State.CHANGES_REQUESTED})
#: Handed in, and the panel has still to decide.
UNDECIDED = frozenset({State.SUBMITTED, State.UNDER_ASSESSMENT, State.CHANGES_REQUESTED})
#: The panel has decided: everybody may read the proposal.
DECIDED = frozenset({State.APPROVED, State.REJECTED, State.FUNDED, State.NOT_FUNDED})


class Answer(StrEnum):
    """What a council says to a revision in which it takes part."""

    AWAITED = "awaited"
    CONFIRMED = "confirmed"
    DECLINED = "declined"


class AwardState(StrEnum):
    """What became of an offer of money."""

    OFFERED = "offered"
    DECLINED = "declined"
    FUNDED = "funded"


class Action(StrEnum):
    """What can be done to a proposal; the last three are news from funding."""

    EDIT = "edit"
    SUBMIT = "submit"
    CONFIRM = "confirm"
    DECLINE = "decline"
    BEGIN_ASSESSMENT = "begin_assessment"
    DECLARE_CONFLICT = "declare_conflict"
    ASSESS = "assess"
    REQUEST_CHANGES = "request_changes"
    APPROVE = "approve"
    REJECT = "reject"
    WITHDRAW = "withdraw"
    NOTE_OFFER = "note_offer"
    NOTE_DECLINE = "note_decline"
    NOTE_FUNDING = "note_funding"


@dataclass(frozen=True, kw_only=True)
class Case:
    """A proposal as the guards see it.

    :param revision: the number of the revision last handed in; 0 before the first.
    :param draft_version: how often the draft was written, the first time included.
    :param answers: what each council that takes part said to the current revision.
    :param carried: the councils whose answer was carried to it from an earlier one.
    :param assessors: who has assessed the current revision.
    :param conflicted: who has declared a conflict of interest in the proposal.
    :param involved: who wrote the proposal, handed a revision in, or answered one for a council.
    :param quorum: how many assessments a decision needs.
    """

    reference: str
    state: State
    revision: int
    draft_version: int
    quorum: int
    answers: Mapping[str, str] = field(default_factory=dict)
    carried: Collection[str] = frozenset()
    assessors: Collection[str] = frozenset()
    conflicted: Collection[str] = frozenset()
    involved: Collection[str] = frozenset()

    @property
    def all_confirmed(self) -> bool:
        """Whether every council stands behind the current revision."""
        return all(answer == Answer.CONFIRMED for answer in self.answers.values())

    @property
    def counted(self) -> frozenset[str]:
        """Whose assessments count: those of people who declared a conflict, even afterwards, are set aside."""
        return frozenset(self.assessors) - frozenset(self.conflicted)

    def interest_of(self, subject: str, council: str | None) -> str | None:
        """Return why somebody may neither assess the proposal nor decide on it, as a sentence; None for no reason.

        Whoever asks for money never approves it, whichever roles and tokens that person holds.
        """
        if council in self.answers:
            return f"Your council takes part in {self.reference}, so somebody from elsewhere must do this."
        if subject in self.involved:
            return f"You wrote, handed in or confirmed {self.reference} for a council, so somebody else must do this."
        if subject in self.conflicted:
            return f"You declared a conflict of interest in {self.reference}, so somebody else must do this."
        return None


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What somebody brings along who wants to do something to a proposal.

    :param subject: the person.
    :param council: the person's council, if any.
    :param revision: the revision that the person looked at.
    :param draft_version: the version of the draft that the person looked at; None when the person does not say.
    :param eligibility: the rules of eligibility, worked out for what is to be submitted.
    """

    subject: str
    council: str | None = None
    revision: int | None = None
    draft_version: int | None = None
    eligibility: Sequence[Rule] | None = None

    @classmethod
    def by(cls, principal: Principal, **rest: Any) -> Self:
        """Return the attempt of a caller."""
        return cls(subject=principal.subject, council=principal.council, **rest)


#: The attempt of nobody in particular: what follows from something else, or was done in another service.
BY_ITSELF = Attempt(subject="proposals")

Guard = Callable[[Case, Attempt], None]


def _draft_is_current(case: Case, attempt: Attempt) -> None:
    if attempt.draft_version != case.draft_version:
        raise Conflict(
            "stale_draft",
            f"Somebody has changed the draft of {case.reference}: it is at version {case.draft_version} now. "
            "Read it again, then repeat your request with that number.",
            {"expected_revision": [f"The draft is at version {case.draft_version}."]},
        )


def _draft_is_current_if_told(case: Case, attempt: Attempt) -> None:
    """The caller has seen the draft as it stands, or does not say which one they have seen."""
    if attempt.draft_version is not None:
        _draft_is_current(case, attempt)


def _eligible(case: Case, attempt: Attempt) -> None:
    assert attempt.eligibility is not None, "eligibility must be worked out before a submission"
    unmet = [rule for rule in attempt.eligibility if not rule.met]
    if unmet:
        raise Conflict(
            "not_eligible",
            f"{case.reference} cannot be submitted: " + " ".join(rule.sentence for rule in unmet),
            {rule.rule: [rule.sentence] for rule in unmet},
        )


def _revision_is_current(case: Case, attempt: Attempt) -> None:
    if attempt.revision != case.revision:
        raise Conflict(
            "stale_revision",
            f"{case.reference} is at revision {case.revision} now. Read that one, then repeat with its number.",
            {"revision": [f"The current revision is {case.revision}."]},
        )


def _answer_is_awaited(case: Case, attempt: Attempt) -> None:
    answer = case.answers.get(attempt.council or "")
    if answer is None:
        raise Forbidden("not_a_participant", f"Your council does not take part in {case.reference}.")
    # A carried answer was given to an earlier revision, so it keeps nobody from answering this one.
    if answer != Answer.AWAITED and attempt.council not in case.carried:
        raise Conflict(
            "already_answered",
            f"{councils.name_of(attempt.council or '')} has already {answer} revision {case.revision} of "
            f"{case.reference}; the answer stands until there is a new revision.",
        )


def _everybody_confirmed(case: Case, attempt: Attempt) -> None:
    if not case.all_confirmed:
        raise Conflict(
            "not_confirmed", f"Not every council has confirmed revision {case.revision} of {case.reference}."
        )


def _disinterested(case: Case, attempt: Attempt) -> None:
    interest = case.interest_of(attempt.subject, attempt.council)
    if interest is not None:
        raise Forbidden("conflict_of_interest", interest)


def _not_declared_before(case: Case, attempt: Attempt) -> None:
    if attempt.subject in case.conflicted:
        raise Conflict("already_declared", f"You have already declared a conflict of interest in {case.reference}.")


def _not_assessed_before(case: Case, attempt: Attempt) -> None:
    if attempt.subject in case.assessors:
        raise Conflict(
            "already_assessed",
            f"You have already assessed revision {case.revision} of {case.reference}; an assessment stands as given.",
        )


def _quorum_reached(case: Case, attempt: Attempt) -> None:
    if len(case.counted) < case.quorum:
        raise Conflict(
            "no_quorum",
            f"{case.reference} has {len(case.counted)} of the {case.quorum} assessments that a decision needs; "
            "ask the assessors for theirs first.",
        )


@dataclass(frozen=True)
class Transition:
    """An action, as a rule of the state machine.

    :param moves: from which states, and where each leads.
    :param guards: what else must hold, asked in this order; the first that does not raises its error.
    """

    moves: Mapping[State, State]
    guards: tuple[Guard, ...] = ()


def _stays_in(*states: State) -> dict[State, State]:
    return {state: state for state in states}


def _leads_to(target: State, *sources: State) -> dict[State, State]:
    return dict.fromkeys(sources, target)


TRANSITIONS: Mapping[Action, Transition] = {
    Action.EDIT: Transition(_stays_in(State.DRAFT, State.CHANGES_REQUESTED), (_draft_is_current,)),
    Action.SUBMIT: Transition(
        _leads_to(State.SUBMITTED, State.DRAFT, State.CHANGES_REQUESTED), (_draft_is_current_if_told, _eligible)
    ),
    Action.CONFIRM: Transition(_stays_in(State.SUBMITTED), (_revision_is_current, _answer_is_awaited)),
    Action.DECLINE: Transition(_stays_in(State.SUBMITTED), (_revision_is_current, _answer_is_awaited)),
    Action.BEGIN_ASSESSMENT: Transition(_leads_to(State.UNDER_ASSESSMENT, State.SUBMITTED), (_everybody_confirmed,)),
    Action.DECLARE_CONFLICT: Transition(
        _stays_in(State.SUBMITTED, State.UNDER_ASSESSMENT, State.CHANGES_REQUESTED), (_not_declared_before,)
    ),
    Action.ASSESS: Transition(
        _stays_in(State.UNDER_ASSESSMENT), (_revision_is_current, _disinterested, _not_assessed_before)
    ),
    Action.REQUEST_CHANGES: Transition(
        _leads_to(State.CHANGES_REQUESTED, State.SUBMITTED, State.UNDER_ASSESSMENT), (_disinterested,)
    ),
    Action.APPROVE: Transition(
        _leads_to(State.APPROVED, State.UNDER_ASSESSMENT), (_revision_is_current, _disinterested, _quorum_reached)
    ),
    Action.REJECT: Transition(
        _leads_to(State.REJECTED, State.UNDER_ASSESSMENT), (_revision_is_current, _disinterested, _quorum_reached)
    ),
    Action.WITHDRAW: Transition(
        _leads_to(State.WITHDRAWN, State.DRAFT, State.SUBMITTED, State.UNDER_ASSESSMENT, State.CHANGES_REQUESTED)
    ),
    # Funding may offer again after an award was declined, which puts the proposal back among the approved.
    Action.NOTE_OFFER: Transition(_leads_to(State.APPROVED, State.APPROVED, State.NOT_FUNDED)),
    Action.NOTE_DECLINE: Transition(_leads_to(State.NOT_FUNDED, State.APPROVED, State.NOT_FUNDED)),
    Action.NOTE_FUNDING: Transition(_leads_to(State.FUNDED, State.APPROVED, State.NOT_FUNDED, State.FUNDED)),
}


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
    return Conflict("wrong_state", f"{case.reference} is in the state {case.state}; this needs {possible}.")


#: What an award's state means for its proposal.
NEWS: Mapping[AwardState, Action] = {
    AwardState.OFFERED: Action.NOTE_OFFER,
    AwardState.DECLINED: Action.NOTE_DECLINE,
    AwardState.FUNDED: Action.NOTE_FUNDING,
}


def outcome_of(awards: Collection[str]) -> AwardState:
    """Return which of its awards' states speaks for a proposal: funded, else an offer that stands, else a refusal.

    Because it looks at all of them, the order in which funding's events arrive makes no difference.

    :param awards: the :class:`AwardState` of every award that the proposal was offered; at least one.
    """
    if AwardState.FUNDED in awards:
        return AwardState.FUNDED
    return AwardState.OFFERED if AwardState.OFFERED in awards else AwardState.DECLINED


def content_hash(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a proposal's content, in hexadecimal.

    Hashed is its canonical JSON: keys sorted, no spaces, letters as they are, in UTF-8. For contents, which hold only
    texts and whole numbers below 2^53 under names in ASCII, that is the JSON Canonicalization Scheme (RFC 8785), so
    anybody who holds the content can work it out again.
    """
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
