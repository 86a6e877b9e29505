"""Whether two subjects are one person: where it takes two people, a name written in another way is not a second one."""

import unicodedata
from collections.abc import Iterable


def person(subject: str) -> str:
    """Return what all spellings of a subject have in common: letters' case, width and composition left aside."""
    # Folding can undo what composing did, hence both again.
    folded = unicodedata.normalize("NFKC", subject).casefold()
    return unicodedata.normalize("NFKC", folded).strip()


def is_among(subject: str, others: Iterable[str | None]) -> bool:
    """Tell whether a subject is one of several people; None among them is nobody."""
    return person(subject) in {person(other) for other in others if other is not None}
