"""How much two proposals have in common, and in which words.

The measure is the cosine of the two proposals' words, each weighted by the fields in which it stands and by how rare it
is among all proposals (tf-idf, as Salton's vector space model has it), in whole hundredths. The same texts give 100, no
shared word gives nothing, and neither the order of the words nor that of the two proposals makes a difference.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from services.proposals.domain import wording
from services.proposals.domain.wording import Word, Wording
from shared import councils

#: From this score on a proposal is told of. Pairs on both sides of it are in the tests.
THRESHOLD = 25
#: Proposals told of, words told of each, and words that its sentence names.
MAX_FOUND = 10
MAX_SHARED = 10
_MAX_NAMED = 4

#: Words of the trade, which most proposals use and which say little even while there are few proposals to tell that by:
#: they count as if half of this many proposals more had them.
_IMAGINED = 100
_EVERYDAY = frozenset(
    wording.of_query(
        """
        access area better benefit build business call change citizen contact council community cost customer day
        deliver department develop different digital easy effective efficient electronic find fewer fast good help
        improve increase information joint less local make manage many modern month need new number office officer
        online own paper people person phone process programme project provide public quick reduce report request
        resident save saving scotland scottish service share simple single staff support system take team technology
        time tool use user want way website week work year
        """
    )
)


@dataclass(frozen=True)
class Rarity:
    """How rare words are among proposals.

    :param proposals: how many proposals were looked at.
    :param containing: in how many of them each word is; one that is not named is in none.
    """

    proposals: int
    containing: Mapping[str, int]
    _known: dict[str, float] = field(default_factory=dict, init=False, repr=False, compare=False)

    def of(self, word: str) -> float:
        """Return a word's inverse document frequency, which is above zero even of a word that every proposal has."""
        known = self._known.get(word)
        if known is None:
            imagined = _IMAGINED / 2 if word in _EVERYDAY else 0
            known = math.log((self.proposals + _IMAGINED + 1) / (self.containing.get(word, 0) + imagined + 0.5))
            self._known[word] = known
        return known


@dataclass(frozen=True)
class SharedWord:
    """A word of both proposals, as the first one writes it, and the fields of either in which it stands."""

    word: str
    stands_in: Sequence[str]


@dataclass(frozen=True)
class Similarity:
    """What two proposals have in common.

    :param score: from 1, hardly anything, to 100, the same words in the same fields.
    :param shared: the words that count most, those that count most first.
    """

    score: int
    shared: Sequence[SharedWord]


def compare(ours: Wording, theirs: Wording, rarity: Rarity) -> Similarity | None:
    """Compare the words of two proposals; None when they share none that counts."""
    common = ours.keys() & theirs.keys()
    parts = {stem: ours[stem].weight * theirs[stem].weight * rarity.of(stem) ** 2 for stem in common}
    both = _length(ours, rarity) * _length(theirs, rarity)
    score = round(100 * math.fsum(parts.values()) / both) if parts else 0
    if score == 0:
        return None
    telling = sorted(common, key=lambda stem: (-parts[stem], stem))[:MAX_SHARED]
    return Similarity(
        score,
        [
            SharedWord(ours[stem].written, wording.fields_of(ours[stem].places | theirs[stem].places))
            for stem in telling
        ],
    )


def telling_words(ours: Wording, rarity: Rarity) -> dict[str, int]:
    """Return about how much each word of a proposal adds to a comparison by each weight that it has in the other one.

    The words come in the order of their rarity, the rarest first. The numbers are whole, to be added up quickly.
    """
    factors = {stem: 1 + round(word.weight * rarity.of(stem) ** 2) for stem, word in ours.items()}
    return dict(sorted(factors.items(), key=lambda item: (-rarity.of(item[0]), item[0])))


def sentence(found: Similarity, *, reference: str, title: str, lead_council: str, state: str) -> str:
    """Return why a proposal is told of, for people to read."""
    named = found.shared[:_MAX_NAMED]
    fields = [name for name in wording.FIELDS if any(name in shared.stands_in for shared in named)]
    return (
        f"Shares {_listed([shared.word for shared in named])} in {_listed(fields)} with {reference}, {title}"
        f" ({councils.name_of(lead_council)}, {state.replace('_', ' ')})."
    )


def _length(words: Mapping[str, Word], rarity: Rarity) -> float:
    # Exact before it is rounded, so that the order of the words cannot be seen in it.
    return math.sqrt(math.fsum((word.weight * rarity.of(stem)) ** 2 for stem, word in words.items()))


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
