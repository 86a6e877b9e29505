"""Waiting for a condition with a deadline: how the tests and their servers wait, never for a time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], *, what: str, deadline_s: float = 60, every_s: float = 0.05) -> T:
    """Asks for a condition again and again until it holds.

    Args:
        condition: returns something true once it holds.
        what: what is waited for; it ends the sentence "waited 60 s in vain for ...".
        deadline_s: seconds after which to give up.
        every_s: seconds between two questions.

    Returns:
        The condition's first true value.

    Raises:
        TimeoutError: the deadline passed.
    """
    gives_up_at = time.monotonic() + deadline_s
    while not (value := condition()):
        if time.monotonic() > gives_up_at:
            raise TimeoutError(f"waited {deadline_s:g} s in vain for {what}")
        time.sleep(every_s)
    return value
