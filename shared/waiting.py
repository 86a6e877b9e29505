"""Waiting at start for what a service needs, saying what it waits for and what to do about it."""

import logging
import time
from collections.abc import Callable

_log = logging.getLogger(__name__)

INTERVAL_S = 1.0
REMIND_EVERY = 10


def wait_while(service: str, problem: Callable[[], str | None]) -> None:
    """Ask once a second until there is no problem; log the problem at first and then every ten seconds.

    :param service: who is waiting.
    :param problem: returns a sentence, or None when there is nothing to wait for.
    """
    waits = 0
    while sentence := problem():
        if waits % REMIND_EVERY == 0:
            _log.warning("%s is waiting: %s", service, sentence)
        waits += 1
        time.sleep(INTERVAL_S)
