"""``docs/proposal-life.md``: the states of a proposal and what leads from one to another."""

from collections.abc import Iterator

from docs.generate.field_text import table
from docs.generate.rpc import COLUMNS
from services.proposals.domain.guards import Guard
from services.proposals.domain.lifecycle import INSTEAD, TRANSITIONS, Transition
from services.proposals.domain.states import State
from services.proposals.service import ProposalsService
from shared.messaging.rpc import methods_of

HEADER = "<!-- Written by `make docs` from services/proposals/domain/lifecycle.py; change that. -->\n\n"

INTRODUCTION = """\
# The life of a proposal

Every step that a proposal can take, from a table in `services/proposals/domain/lifecycle.py`; nothing else sets a
state. What is not here is refused with the code `wrong_state`, and changes nothing.
`tests/unit/proposals/test_lifecycle.py` walks the table at random, `tests/integration/proposals/test_life.py` the
service itself.
"""

AWARDS = """\
What becomes of an approved proposal is worked out from funding's events. They may overtake one another: then a step
leads to its state from each of {states}, and what is heard late of an award that has got further changes nothing.
"""


def text() -> str:
    """Return the document as Markdown."""
    mirrored = {state for row in TRANSITIONS.values() if row.overtaking for state in row.moves}
    return HEADER + "\n".join(
        [
            INTRODUCTION,
            "```mermaid\nstateDiagram-v2\n    [*] --> draft",
            *_arrows(),
            "```\n",
            "## Each step\n",
            table(("step", "by", "from", "to", "only if", "tells"), map(_row, TRANSITIONS.values())),
            "\n" + AWARDS.format(states=_listed(state for state in State if state in mirrored)),
            "## What to do instead\n",
            *_instead(),
            "",
        ]
    )


def _arrows() -> Iterator[str]:
    places = {state: place for place, state in enumerate(State)}
    steps = [
        (source, row.target, row.action)
        for row in TRANSITIONS.values()
        for source in row.sources
        if row.target not in (None, source)
    ]
    steps.sort(key=lambda step: places[step[0]])
    return (f"    {source} --> {target} : {action}" for source, target, action in steps)


def _row(row: Transition) -> tuple[str, ...]:
    told = f"`{row.tells}`" if row.tells else f"`{row.may_tell}`, where that is news" if row.may_tell else ""
    return (
        f"`{row.action}`",
        "<br/>".join(map(_by, row.by)) or "itself",
        _listed(row.sources),
        f"`{row.target}`" if row.target else "stays",
        "<br/>".join(map(_condition, row.guards)),
        told,
    )


def _by(name: str) -> str:
    method = methods_of(ProposalsService).get(name)
    if method is None:
        return f"[`{name}`](events.md#{name}-1) of funding"
    roles = ", ".join(role for role in COLUMNS if role in method.roles)
    return f"[`{name}`](rpc.md#proposals-{name}) ({roles})"


def _condition(guard: Guard) -> str:
    assert guard.__doc__, f"{guard.__name__} must say what it asks"
    return guard.__doc__.rstrip(".")


def _listed(states: Iterator[State] | tuple[State, ...]) -> str:
    return ", ".join(f"`{state}`" for state in states)


def _instead() -> Iterator[str]:
    for actions, states, sentence in INSTEAD:
        yield f"- {', '.join(f'`{action}`' for action in actions)} of what is {_listed(states)}: {sentence}"
