"""The words that a proposal says, as they are looked up and compared: without their endings, each counted once.

Stems are those of the Snowball project's English stemmer, so that *payment* finds *payments*. Words that hold a
sentence together (*the*, *which*) say nothing of what it is about and are left out.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import snowballstemmer

#: Counted up when the same text would give other words or weights: the register is brought to it as a service starts.
ANALYSER = 1

#: What is looked at, and how much a word there says of what the proposal is about.
FIELDS: Mapping[str, int] = {"title": 3, "need": 2, "benefits": 2}
_BITS = {field: 1 << place for place, field in enumerate(FIELDS)}
_WEIGHTS = [sum(FIELDS[field] for field, bit in _BITS.items() if places & bit) for places in range(1 << len(FIELDS))]

#: The most words of one proposal: those of its title first, then of its benefits, its need and its problem.
MAX_WORDS = 250
MAX_WORD_LENGTH = 32
#: Of a word without an end no more is remembered: accents, which the stem is without, are letters of their own here.
_MAX_READ = 2 * MAX_WORD_LENGTH

_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_STOP_WORDS = frozenset(
    _WORD.findall(
        """
        a about above after again against all also am an and any are as at be because been before being below between
        both but by can cannot could did do does doing down during each either every few for from further get gets had
        has have having he her here hers him his how i if in into is it its itself just let may me might more most much
        must my neither no nor not of off on once one only or other others our ours out over own per rather same shall
        she should so some such than that the their theirs them themselves then there these they this those three
        through to too two under until up upon us very via was we were what when where which while who whom whose why
        will with within without would yet you your yours
        """
    )
)


class Word(NamedTuple):
    """A word of a proposal.

    :param places: the fields in which it stands, one bit each; :func:`fields_of` names them.
    :param written: a way in which it is written there.
    """

    places: int
    written: str

    @property
    def weight(self) -> int:
        """How much it says of what the proposal is about: the sum over the fields in which it stands."""
        return _WEIGHTS[self.places]


#: A proposal's words by stem.
Wording = Mapping[str, Word]


def fields_of(places: int) -> list[str]:
    """Name the fields of :attr:`Word.places`."""
    return [field for field, bit in _BITS.items() if places & bit]


def of_proposal(content: Mapping[str, Any]) -> dict[str, Word]:
    """Return the words of a proposal's title, of its need (with the problem behind it) and of its benefits' titles.

    :param content: as :class:`shared.proposal_content.ProposalContent` dumps it.
    """
    found: dict[str, Word] = {}
    for field, text in _texts(content):
        for stem, written in _stems_in(text):
            known = found.get(stem)
            if known is None:
                if len(found) == MAX_WORDS:
                    continue
                known = Word(0, written)
            spelling = known.written if known.written.islower() else min(known.written, written, key=_capitals)
            found[stem] = Word(known.places | _BITS[field], spelling)
    return found


def of_query(text: str) -> list[str]:
    """Return the stems of what somebody looks for, each once, in the order in which they stand."""
    return list(dict.fromkeys(stem for stem, _ in _stems_in(text)))


def _texts(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "title", content["title"]
    for benefit in content.get("benefits", ()):
        yield "benefits", benefit.get("title", "")
    yield "need", content.get("user_need", "")
    yield "need", content.get("problem", "")


def _capitals(written: str) -> int:
    return sum(letter.isupper() for letter in written)


def _stems_in(text: str) -> Iterable[tuple[str, str]]:
    for written in _WORD.findall(text):
        if stem := _stem(written[:_MAX_READ]):
            yield stem, written[:MAX_WORD_LENGTH]


@lru_cache(maxsize=20_000)
def _stem(written: str) -> str:
    """Return a word's stem; nothing for a stop word, and for a letter or digit on its own."""
    plain = unicodedata.normalize("NFKD", written).casefold().replace("\u2019", "'")
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter)).removesuffix("'s")
    plain = plain.replace("'", "")[:MAX_WORD_LENGTH]
    if len(plain) < 2 or plain in _STOP_WORDS:
        return ""
    return str(_stemmer.stemWord(plain))


_stemmer = snowballstemmer.stemmer("english")
