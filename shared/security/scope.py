"""Which rows a method reaches for its caller: the sentence that readers are told, and with it the rule that is run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Scope:
    """The rows that a method reaches for its caller.

    :param name: words joined by underscores; no two scopes of a service share it.
    :param sentence: which rows these are, for whom, and how all others are refused; for the reference.
    """

    name: str
    sentence: str

    def __post_init__(self) -> None:
        if not self.name or not self.sentence:
            raise ValueError("a scope has a name, and a sentence that says which rows it is")


@dataclass(frozen=True)
class EnforcedScope(Scope, Generic[P, R]):
    """A scope and the rule that enforces it; handlers call the scope itself.

    :param rule: returns a condition or the row in reach, or raises the refusal.
    """

    rule: Callable[P, R]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.rule(*args, **kwargs)


def enforces(name: str, sentence: str) -> Callable[[Callable[P, R]], EnforcedScope[P, R]]:
    """Make a scope of the function that enforces it. See :class:`Scope` for the arguments."""
    return lambda rule: EnforcedScope(name, sentence, rule)


#: For what belongs to no council.
EVERY_ROW = Scope("every_row", "Every row, for everybody who has one of the roles.")
