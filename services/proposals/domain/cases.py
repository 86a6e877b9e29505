"""What the guards look at: a proposal as it stands, and what somebody brings along who wants to do something to it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from services.proposals.domain.eligibility import Rule
from services.proposals.domain.states import Answer, State
from shared.security.principal import ASSESSOR, Principal


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
