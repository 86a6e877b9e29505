"""What differs between two contents of a proposal, field by field, with a sentence for each difference."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from shared.councils import name_of
from shared.money import format_pounds

Content = Mapping[str, Any]
Path = tuple[str, ...]

ADDED, REMOVED, CHANGED = "added", "removed", "changed"

#: What tells the items of each list apart; of the first two, which are sets, the item itself does.
IDENTITY: Mapping[str, Path] = {
    "participants": (),
    "objectives": (),
    "costs": ("year", "category", "council"),
    "milestones": ("key",),
    "benefits": ("key",),
    "targets": ("period", "council"),
}
#: The fields of a content in the order in which people read them, each with what a sentence calls it.
FIELDS: Mapping[str, str] = {
    "title": "title",
    "lead_council": "lead council",
    "participants": "participant",
    "objectives": "objective",
    "problem": "problem",
    "user_need": "user need",
    "requested_pence": "amount requested",
    "match_funding_pence": "match funding",
    "costs": "cost",
    "milestones": "milestone",
    "benefits": "benefit",
}
_PLACES = list(FIELDS)
_NOTHING: Content = {name: [] for name in FIELDS if name in IDENTITY}
_LENGTH_OF_ITEM = 2


@dataclass(frozen=True)
class Change:
    """A difference between two contents.

    :param path: the field's name, then what tells the item apart, then the fields within it.
    :param before: the value, or the whole item, in the one content; None where it has none.
    :param after: the same in the other.
    :param contents: the one content and the other, from which the sentence takes titles.
    """

    path: Path
    before: Any
    after: Any
    contents: tuple[Content, Content] = field(repr=False)

    @property
    def dotted_path(self) -> str:
        """The path as people and programs write it; neither names nor keys contain a dot."""
        return ".".join(self.path)

    @property
    def kind(self) -> str:
        """Added, removed or changed."""
        if self.before is None:
            return ADDED
        return REMOVED if self.after is None else CHANGED

    @property
    def noun(self) -> str:
        """What it is a change of, or in."""
        if self.path[0] != "costs":
            return FIELDS[self.path[0]]
        council = council_of_cost(self.path)
        return f"cost of {name_of(council)}" if council else "common cost"

    @property
    def sentence(self) -> str:
        """The change as a sentence."""
        return self.about(self.noun)

    def about(self, noun: str) -> str:
        """Return the sentence with another noun, as one says it to somebody who has a part in it."""
        within = self.path[0] in ("milestones", "benefits") and len(self.path) > _LENGTH_OF_ITEM
        return f"{noun[0].upper()}{noun[1:]} {CHANGED if within else self.kind}{_detail(self)}."


def compare(before: Content, after: Content) -> list[Change]:
    """Return what must change in one content to make it the other, in the order of the fields and then of the paths.

    Items of lists are matched by what identifies them (:data:`IDENTITY`), so their order is no difference: two contents
    with different hashes may have none. Values are compared as they are written: "10" is not "10.0". An item that only
    one of them has is one change, however much is in it. A draft may lack whatever it does not say yet: a list that is
    not there is an empty one, and an item that lacks what tells it apart is known by its place.
    """
    contents = ({**_NOTHING, **before}, {**_NOTHING, **after})
    found = sorted(_differences((), *contents), key=lambda difference: order_of(difference[0]))
    return [Change(path, old, new, (before, after)) for path, old, new in found]


def order_of(path: Path) -> tuple[int, Path]:
    """Return what sorts changes by their paths. :raises ValueError: when it does not begin with a content's field."""
    return _PLACES.index(path[0]), path[1:]


def items_of(name: str, items: Sequence[Any]) -> dict[Path, Any]:
    """Return the items of a list by what tells them apart."""
    names = IDENTITY[name]
    if not names:
        return {(item,): item for item in items}
    return {_identity(item, place, names): item for place, item in enumerate(items)}


def _identity(item: Mapping[str, Any], place: int, names: Path) -> Path:
    if any(name not in item for name in names if (names, name) != (IDENTITY["costs"], "council")):
        return (f"#{place + 1}",)
    return tuple(item[name] for name in names if item.get(name) is not None)


def _differences(path: Path, before: Any, after: Any) -> Iterator[tuple[Path, Any, Any]]:
    if before == after:
        return
    if isinstance(before, list):
        before, after = items_of(path[-1], before), items_of(path[-1], after)
    elif isinstance(before, Mapping):
        before, after = ({(name,): value for name, value in each.items()} for each in (before, after))
    else:
        yield path, before, after
        return
    for step in before.keys() | after.keys():
        if step in before and step in after:
            yield from _differences((*path, *step), before[step], after[step])
        else:
            yield (*path, *step), before.get(step), after.get(step)


# --- sentences ---


def council_of_cost(path: Path) -> str | None:
    """Return the council that the cost line at a path falls on; None for the project as a whole."""
    return path[3] if len(path) > 3 and path[3] != "amount_pence" else None


def _detail(change: Change) -> str:
    """Return which one changed and how, as the end of a sentence."""
    name, *steps = change.path
    old, new = change.before, change.after
    match name:
        case "costs":
            if steps[0].startswith("#"):
                return f": {steps[0]}{_within(steps[1:], old, new, None, None)}"
            return f": {steps[1]} in {steps[0]}{_moved(_amount(old), _amount(new))}"
        case "milestones" | "benefits":
            was, is_now = (_item(content.get(name, ()), steps[0]) for content in change.contents)
            named = was if is_now is None else is_now
            return f": “{named.get('title', steps[0])}”{_within(steps[1:], old, new, was, is_now)}"
        case "problem" | "user_need":
            return ""
        case "participants" | "objectives":
            return f": {_shown(name, old or new)}"
        case _:
            return _moved(_shown(name, old), _shown(name, new))


def _within(steps: Sequence[str], old: Any, new: Any, was: Any, is_now: Any) -> str:
    """Return what changed within a milestone or a benefit; nothing when all of it came or went."""
    if not steps:
        return ""
    if steps[0] == "targets" and len(steps) > 1 and not steps[1].startswith("#"):
        name, field = f"target of {name_of(steps[2])} for {steps[1]}", "value"
        old, new = (target.get("value") if isinstance(target, Mapping) else target for target in (old, new))
    else:
        name, field = " ".join(_NAMES.get(step, step.replace("_", " ")) for step in steps), steps[-1]
    shown = _shown(field, old, was), _shown(field, new, is_now)
    if None in shown:
        return f", {name} {ADDED if old is None else REMOVED}{_moved(*shown)}"
    return f", {name}{_moved(*shown)}"


_NAMES = {
    "due_on": "due date",
    "on": "date",
    "tranche_pence": "tranche",
    "owner_council": "owner",
    "deadweight_percent": "deadweight",
    "attribution_percent": "attribution",
    "optimism_bias_percent": "optimism bias",
}


def _item(items: Sequence[Mapping[str, Any]], key: str) -> Any:
    return next((item for place, item in enumerate(items, start=1) if item.get("key", f"#{place}") == key), None)


def _amount(cost: Any) -> str | None:
    return _shown("amount_pence", cost.get("amount_pence") if isinstance(cost, Mapping) else cost)


def _moved(old: str | None, new: str | None) -> str:
    """Return what came in the place of what; of something that only one side has, that."""
    if old is None or new is None:
        return f", {new or old}" if new or old else ""
    return f" from {old} to {new}"


def _shown(field: str, value: Any, item: Mapping[str, Any] | None = None) -> str | None:
    """Return a value as people write it. :param item: the benefit that a measured value belongs to."""
    if value is None or isinstance(value, Mapping | list):
        return None
    if field.endswith("_pence"):
        return format_pounds(value)
    if field.endswith("_percent"):
        return f"{value}%"
    if field == "value" and item is not None:
        return _measured(value, item)
    if field in ("lead_council", "participants", "owner_council"):
        return name_of(value)
    if field in ("title", "unit", "source"):
        return f"“{value}”"
    return str(value).replace("_", " ")


def _measured(value: str, benefit: Mapping[str, Any]) -> str:
    if benefit.get("measure") == "currency":
        pence = Decimal(value) * 100
        return format_pounds(int(pence)) if pence == int(pence) else f"£{value}"
    return f"{value}%" if benefit.get("measure") == "percentage" else f"{value} {benefit.get('unit', '')}".strip()
