"""Sign-off: which councils a new revision asks, whose confirmation it keeps, and why.

A council's *part* in a content is what its sponsor stands behind:

- its participation: that it takes part, and whether it leads;
- its cost: the cost lines that name it, and what names nobody and so concerns everybody: common cost lines, the amount
  requested, match funding;
- its benefits: of those that it owns, everything; of those in which it has targets, all but the targets of others.

A sponsor's confirmation is kept, carried from the revision in which it was given, when the council's part is what it
was there. Compared is with that revision, not with the last one: a part that was changed and changed back is the one
that somebody confirmed, and a council that said nothing in between has not taken that back. What ends a confirmation is
a later answer of the same council, or a revision in which it takes no part.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from services.proposals.domain.comparison import Change, Content, Path, compare, council_of_cost, items_of
from services.proposals.domain.eligibility import taking_part
from services.proposals.domain.states import Answer

#: Reasons that one council is given; whoever wants to see more compares the revisions.
MAX_REASONS = 10

NOBODY: frozenset[str] = frozenset()
_NOUNS = {"costs": "cost", "benefits": "benefit"}


@dataclass(frozen=True)
class Word:
    """What a council said to a revision. :param carried_from: the revision in which it was said; None for this one."""

    answer: str
    carried_from: int | None = None


@dataclass(frozen=True)
class Request:
    """What a new revision means for a council that takes part and does not lead.

    :param carried_from: the revision whose confirmation is kept; None when the council is asked.
    :param because: why it is asked, as sentences; empty for a kept confirmation and in a first revision.
    """

    council: str
    carried_from: int | None = None
    because: tuple[str, ...] = ()


#: What each council that took part said to each revision so far, by the revision's number.
History = Mapping[int, Mapping[str, Word]]


class Parts:
    """Whose part each field of a content is."""

    def __init__(self, content: Content) -> None:
        self._lead = content["lead_council"]
        self._everybody = frozenset(taking_part(content))
        benefits = items_of("benefits", content.get("benefits", ()))
        self._owners = {
            key: frozenset({benefit["owner_council"]})
            for (key,), benefit in benefits.items()
            if "owner_council" in benefit
        }
        self._with_targets = {
            key: frozenset(target["council"] for target in benefit.get("targets", ()) if "council" in target)
            for (key,), benefit in benefits.items()
        }

    def of(self, path: Path) -> frozenset[str]:
        """Return the councils whose part the field at a path is."""
        match path:
            case ("lead_council",):
                return frozenset({self._lead})
            case ("participants", council):
                return frozenset({council})
            case ("requested_pence" | "match_funding_pence",):
                return self._everybody
            case ("costs", *_):
                falls_on = council_of_cost(path)
                return frozenset({falls_on}) if falls_on else self._everybody
            case ("benefits", key, "targets", _, council, *_):
                return self._owners.get(key, NOBODY) | {council}
            case ("benefits", key, *_):
                return self._owners.get(key, NOBODY) | self._with_targets.get(key, NOBODY)
            case _:
                return NOBODY


def councils_of(change: Change, before: Parts, after: Parts) -> frozenset[str]:
    """Return the councils whose part a change touches. A part is unchanged when no change touches it."""
    return before.of(change.path) | after.of(change.path)


def confirmed_in(council: str, history: History) -> int | None:
    """Return the revision in which a council gave the confirmation that still counts for it; None when none does."""
    for number in sorted(history, reverse=True):
        word = history[number].get(council)
        if word is None or word.answer == Answer.DECLINED:
            return None
        if word.answer == Answer.CONFIRMED:
            return word.carried_from or number
    return None


def requests(content: Content, history: History, content_of: Callable[[int], Content]) -> list[Request]:
    """Return what a new revision means for each council that takes part, but the lead, which confirms by handing in.

    :param content: what is handed in.
    :param content_of: returns the content of an earlier revision.
    """

    @cache
    def changes_since(number: int) -> dict[str, list[Change]]:
        old = content_of(number)
        before, after = Parts(old), Parts(content)
        touching: dict[str, list[Change]] = {}
        for change in compare(old, content):
            for council in councils_of(change, before, after):
                touching.setdefault(council, []).append(change)
        return touching

    def request(council: str) -> Request:
        number = confirmed_in(council, history)
        if number is None:
            return Request(council, because=_why_nothing_counts(council, history))
        changes = changes_since(number).get(council)
        if changes is None:
            return Request(council, carried_from=number)
        since = [] if number == max(history) else [f"It confirmed revision {number}; its part has changed since then."]
        return Request(council, because=(*since, *_some_of(changes, council, MAX_REASONS - len(since))))

    return [request(council) for council in taking_part(content)[1:]]


def _why_nothing_counts(council: str, history: History) -> tuple[str, ...]:
    if not history:
        return ()
    last = max(history)
    word = history[last].get(council)
    if word is None:
        return (f"It did not take part in revision {last}.",)
    if word.answer == Answer.DECLINED:
        return (f"It declined revision {last}.",)
    return (f"It has not answered revision {last}.",)


def _to(council: str, change: Change) -> str:
    """Return a change as one says it to a council whose part it touches."""
    field = change.path[0]
    own = field == "benefits" or council in change.path
    return change.about(f"its {_NOUNS.get(field, change.noun)}" if own else f"the {change.noun}")


def _some_of(changes: Sequence[Change], council: str, most: int) -> list[str]:
    told = changes if len(changes) <= most else changes[: most - 1]
    reasons = [_to(council, change) for change in told]
    if len(told) < len(changes):
        reasons.append(f"{len(changes) - len(told)} more changes touch its part; compare_revisions lists them.")
    return reasons
