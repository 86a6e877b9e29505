"""A wait that a commit ends: none is missed, none is held up."""

import threading
from collections.abc import Iterator

import pytest

from shared.messaging.wakeup import Wakeup

LONG_S = 60.0


@pytest.fixture
def wakeup() -> Iterator[Wakeup]:
    made = Wakeup()
    yield made
    made.close()


def test_nobody_ends_it(wakeup: Wakeup) -> None:
    assert not wakeup.wait(0)


def test_what_was_set_before_the_wait_ends_it_once(wakeup: Wakeup) -> None:
    wakeup.set()
    assert wakeup.wait(LONG_S)
    assert not wakeup.wait(0)


def test_a_wait_that_goes_on_is_ended(wakeup: Wakeup) -> None:
    answers: list[bool] = []
    waiting = threading.Thread(target=lambda: answers.append(wakeup.wait(LONG_S)))
    waiting.start()
    wakeup.set()
    waiting.join(LONG_S / 2)
    assert answers == [True]


def test_however_many_commit_nobody_is_held_up(wakeup: Wakeup) -> None:
    # A pipe takes 65,536 bytes; a byte each would stop here for ever.
    for _ in range(100_000):
        wakeup.set()
    assert wakeup.wait(LONG_S)
    assert not wakeup.wait(0)
    wakeup.set()
    assert wakeup.wait(LONG_S)


def test_after_the_end_a_commit_still_goes_through() -> None:
    wakeup = Wakeup()
    wakeup.close()
    wakeup.set()
