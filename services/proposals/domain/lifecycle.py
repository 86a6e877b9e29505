"""The life of a proposal: its states, and what may happen in which of them.

:data:`TRANSITIONS` is the one place that says what can be done to a proposal, from which states, where it leads, what
stands in its way and what is told of it. Handlers ask :func:`advance`; nothing else sets a state. The picture and the
table in the service's README are made of it, by ``make docs``.
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
from shared.security.principal import ASSESSOR, Principal


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


#: Assessments of one revision, at most: three for each of the 32 councils, and a few more.
MAX_ASSESSMENTS = 100

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


@dataclass(frozen=True, kw_only=True)
class Case:
    """A proposal as the guards see it.

    :param revision: the number of the revision last handed in; 0 before the first.
    :param draft_version: how often the draft was written, the first time included.
    :param answers: what each council that takes part said to the current revision.
    :param carried: the councils whose answer was carried to it from an earlier one.
    :param assessors: who has assessed the current revision.
    :param conflicted: who has declared a conflict of interest in the proposal.
    :param involved: who wrote the proposal, handed it in, or answered for a council, in any revision.
    :param councils_of: of which councils people have assessed a revision, this one or an earlier one.
    :param quorum: how many assessments a decision needs.
    :param content_hash: of the current revision; None before the first.
    :param wide_spread: whether the assessments that count are far apart.
    :param moderators: who has written a moderation note on the current revision.
    :param moderated: whether there is such a note on the very assessments that count.
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
    councils_of: Mapping[str, Collection[str]] = field(default_factory=dict)
    content_hash: str | None = None
    wide_spread: bool = False
    moderators: Collection[str] = frozenset()
    moderated: bool = False

    @property
    def all_confirmed(self) -> bool:
        """Whether every council stands behind the current revision."""
        return all(answer == Answer.CONFIRMED for answer in self.answers.values())

    @property
    def counted(self) -> frozenset[str]:
        """Whose assessments count: those of people who declared a conflict, even afterwards, are set aside."""
        return frozenset(self.assessors) - frozenset(self.conflicted)

    def interest_of(self, subject: str, council: str | None, name: str | None = None) -> str | None:
        """Return why somebody may neither assess the proposal nor decide on it, as a sentence; None for no reason.

        Whoever asks for money never approves it, whichever roles and tokens that person holds.

        :param name: what the sentence calls that person, when it is told to somebody else.
        """
        you, your_council = (name, f"The council of {name}") if name else ("You", "Your council")
        # Another token of the same person may name no council.
        if not self.answers.keys().isdisjoint({council, *self.councils_of.get(subject, ())}):
            return f"{your_council} takes part in {self.reference}, so somebody from elsewhere must do this."
        if subject in self.involved:
            return f"{you} wrote, handed in or confirmed {self.reference} for a council, so somebody else must do this."
        if subject in self.conflicted:
            return f"{you} declared a conflict of interest in {self.reference}, so somebody else must do this."
        return None


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What somebody brings along who wants to do something to a proposal.

    :param subject: the person.
    :param council: the person's council, if any.
    :param revision: the revision that the person looked at.
    :param draft_version: the version of the draft that the person looked at; None when the person does not say.
    :param eligibility: the rules of eligibility, worked out for what is to be submitted.
    :param assesses: whether the person may assess proposals as well.
    :param content_hash: of the content that the person looked at, if they say so.
    :param panel: who else sits on the panel, each with a council, if any.
    """

    subject: str
    council: str | None = None
    revision: int | None = None
    draft_version: int | None = None
    eligibility: Sequence[Rule] | None = None
    assesses: bool = False
    content_hash: str | None = None
    panel: Sequence[tuple[str, str | None]] = ()

    @classmethod
    def by(cls, principal: Principal, **rest: Any) -> Self:
        """Return the attempt of a caller."""
        return cls(subject=principal.subject, council=principal.council, assesses=principal.has(ASSESSOR), **rest)


#: The attempt of nobody in particular: what follows from something else, or was done in another service.
BY_ITSELF = Attempt(subject="proposals")

Guard = Callable[[Case, Attempt], None]


def _draft_is_current(case: Case, attempt: Attempt) -> None:
    """The caller has seen the draft as it stands."""
    if attempt.draft_version != case.draft_version:
        raise Conflict(
            "stale_draft",
            f"Somebody has changed the draft of {case.reference}: it is at version {case.draft_version} now. "
            "Read it again, then repeat your request with that number.",
            {"expected_revision": [f"The draft is at version {case.draft_version}."]},
        )


def _draft_is_current_if_told(case: Case, attempt: Attempt) -> None:
    """The caller has seen the draft as it stands, or does not say which one."""
    if attempt.draft_version is not None:
        _draft_is_current(case, attempt)


def _eligible(case: Case, attempt: Attempt) -> None:
    """Every rule of eligibility is met."""
    assert attempt.eligibility is not None, "eligibility must be worked out before a submission"
    unmet = [rule for rule in attempt.eligibility if not rule.met]
    if unmet:
        at_fault = {rule.rule: [rule.sentence] for rule in unmet}
        for rule in unmet:
            at_fault |= {f"content.{path}".rstrip("."): list(said) for path, said in rule.problems.items()}
        # Of what waits for something else the rule about that says enough.
        reasons = " ".join(rule.sentence for rule in unmet if rule.met is not None)
        raise Conflict("not_eligible", f"{case.reference} cannot be submitted: {reasons}", at_fault)


def _revision_is_current(case: Case, attempt: Attempt) -> None:
    """The caller has seen the current revision."""
    if attempt.revision != case.revision:
        raise Conflict(
            "stale_revision",
            f"{case.reference} is at revision {case.revision} now. Read that one, then repeat with its number.",
            {"revision": [f"The current revision is {case.revision}."]},
        )


def _answer_is_awaited(case: Case, attempt: Attempt) -> None:
    """The caller's council takes part and has not answered yet."""
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
    """Every council that takes part stands behind the revision."""
    if not case.all_confirmed:
        raise Conflict(
            "not_confirmed", f"Not every council has confirmed revision {case.revision} of {case.reference}."
        )


def _disinterested(case: Case, attempt: Attempt) -> None:
    """The caller has no interest in the proposal."""
    interest = case.interest_of(attempt.subject, attempt.council)
    if interest is not None:
        raise Forbidden("conflict_of_interest", interest)


def _content_is_what_was_read(case: Case, attempt: Attempt) -> None:
    """The hash that the caller names, if any, is that of the revision."""
    if attempt.content_hash not in (None, case.content_hash):
        raise Conflict(
            "other_content",
            f"What you looked at is not revision {case.revision} of {case.reference}, whose content has the hash "
            f"{case.content_hash}. Read it with get_revision, then decide on what it says.",
            {"content_hash": [f"The content of revision {case.revision} has the hash {case.content_hash}."]},
        )


def _panel_is_disinterested(case: Case, attempt: Attempt) -> None:
    """Nobody on the panel has an interest in the proposal."""
    reasons = {
        f"panel.{place}": reason
        for place, (person, council) in enumerate(attempt.panel)
        if (reason := case.interest_of(person, council, name=person)) is not None
    }
    if reasons:
        raise Forbidden(
            "conflict_of_interest",
            "The panel decides without those who have an interest. " + " ".join(reasons.values()),
            {place: [reason] for place, reason in reasons.items()},
        )


def _not_declared_before(case: Case, attempt: Attempt) -> None:
    """The caller has not declared it before."""
    if attempt.subject in case.conflicted:
        raise Conflict("already_declared", f"You have already declared a conflict of interest in {case.reference}.")


def _not_assessed_before(case: Case, attempt: Attempt) -> None:
    """The caller has not assessed the revision before."""
    if attempt.subject in case.assessors:
        raise Conflict(
            "already_assessed",
            f"You have already assessed revision {case.revision} of {case.reference}; an assessment stands as given.",
        )


def _quorum_reached(case: Case, attempt: Attempt) -> None:
    """The quorum of assessments is reached."""
    if len(case.counted) < case.quorum:
        raise Conflict(
            "no_quorum",
            f"{case.reference} has {len(case.counted)} of the {case.quorum} assessments that a decision needs; "
            "ask the assessors for theirs first.",
        )


def _has_room(case: Case, attempt: Attempt) -> None:
    """The revision has fewer than a hundred assessments."""
    if len(case.assessors) >= MAX_ASSESSMENTS:
        raise Conflict(
            "enough_assessments",
            f"Revision {case.revision} of {case.reference} has {MAX_ASSESSMENTS} assessments and takes no more; the "
            "panel can decide on these.",
        )


def _has_not_moderated(case: Case, attempt: Attempt) -> None:
    """The caller has not moderated the revision."""
    if attempt.subject in case.moderators:
        raise Forbidden(
            "knows_the_scores",
            f"You moderated revision {case.revision} of {case.reference} and know what the others found, so somebody "
            "else must assess it.",
        )


def _own_scores_given(case: Case, attempt: Attempt) -> None:
    """The caller, if an assessor as well, has assessed the revision."""
    if attempt.assesses and attempt.subject not in case.assessors:
        raise Forbidden(
            "own_scores_first",
            f"You are an assessor as well: give your own scores of revision {case.revision} of {case.reference} first, "
            "or leave this to a chair who does not assess.",
        )


def _not_moderated_before(case: Case, attempt: Attempt) -> None:
    """These assessments have no moderation note yet."""
    if case.moderated:
        raise Conflict(
            "already_moderated",
            f"{case.reference} has a moderation note on these assessments; say what else there is to say in the "
            "decision's minute.",
        )


def _moderated_if_wide(case: Case, attempt: Attempt) -> None:
    """Assessments that are far apart have a moderation note."""
    if case.wide_spread and not case.moderated:
        raise Conflict(
            "moderation_needed",
            f"The assessments of {case.reference} are far apart. Read get_assessment_summary, talk to the assessors, "
            "and put into a note, with moderate, why the panel can decide on them; then repeat this.",
        )


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
    *(_revision_is_current, _content_is_what_was_read, _disinterested, _own_scores_given, _panel_is_disinterested),
    *(_quorum_reached, _moderated_if_wide),
)

_ROWS = (
    Transition(Action.EDIT, ("update_proposal",), (State.DRAFT, State.CHANGES_REQUESTED), guards=(_draft_is_current,)),
    Transition(
        Action.SUBMIT,
        ("submit_proposal",),
        (State.DRAFT, State.CHANGES_REQUESTED),
        State.SUBMITTED,
        guards=(_draft_is_current_if_told, _eligible),
        tells="proposal_submitted",
    ),
    Transition(
        Action.CONFIRM,
        ("confirm_participation",),
        (State.SUBMITTED,),
        guards=(_revision_is_current, _answer_is_awaited),
        tells="participation_confirmed",
    ),
    Transition(
        Action.DECLINE,
        ("decline_participation",),
        (State.SUBMITTED,),
        guards=(_revision_is_current, _answer_is_awaited),
        tells="participation_declined",
    ),
    Transition(Action.BEGIN_ASSESSMENT, (), (State.SUBMITTED,), State.UNDER_ASSESSMENT, guards=(_everybody_confirmed,)),
    Transition(
        Action.DECLARE_CONFLICT,
        ("declare_conflict",),
        (State.SUBMITTED, State.UNDER_ASSESSMENT, State.CHANGES_REQUESTED),
        guards=(_not_declared_before,),
        may_tell="proposal_assessed",
    ),
    Transition(
        Action.ASSESS,
        ("submit_assessment",),
        (State.UNDER_ASSESSMENT,),
        guards=(_revision_is_current, _disinterested, _not_assessed_before, _has_not_moderated, _has_room),
        may_tell="proposal_assessed",
    ),
    Transition(
        Action.MODERATE,
        ("moderate",),
        (State.UNDER_ASSESSMENT,),
        guards=(_revision_is_current, _disinterested, _own_scores_given, _quorum_reached, _not_moderated_before),
    ),
    Transition(
        Action.REQUEST_CHANGES,
        ("request_changes",),
        (State.SUBMITTED, State.UNDER_ASSESSMENT),
        State.CHANGES_REQUESTED,
        guards=(_disinterested,),
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


def content_hash(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a proposal's content, in hexadecimal.

    Hashed is its canonical JSON: keys sorted, no spaces, letters as they are, in UTF-8. For contents, which hold only
    texts and whole numbers below 2^53 under names in ASCII, that is the JSON Canonicalization Scheme (RFC 8785), so
    anybody who holds the content can work it out again.
    """
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
