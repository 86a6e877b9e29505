"""Brings the register up to date as the service starts."""

import logging
import threading
import time
from functools import partial
from uuid import UUID

from nameko.extensions import DependencyProvider

from services.proposals import register
from shared.storage.provider import DatabaseConnection

_log = logging.getLogger(__name__)

#: After a batch it rests this many times as long as the batch took: the database is the service's first.
REST_RATIO = 2
BACKOFF_S, MAX_BACKOFF_S = 1.0, 60.0


class Entering(DependencyProvider):
    """Enters, in small transactions, the proposals that are not in the register as this version would enter them.

    Those are the ones from before the register, from another version's analysis of the words, and from an older version
    of the service that went on for a while beside this database. Processes that start together share the work.
    """

    connection = DatabaseConnection()

    def setup(self) -> None:
        self._stopping = threading.Event()

    def start(self) -> None:
        self._thread = self.container.spawn_managed_thread(self._run, identifier="register")

    def stop(self) -> None:
        """End after the batch that is being entered; the rest is entered at the next start."""
        self._stopping.set()
        self._thread.wait()

    def _run(self) -> None:
        done: UUID | None = None
        backoff_s = BACKOFF_S
        entered = 0
        while not self._stopping.is_set():
            started = time.monotonic()
            try:
                batch = self.connection.database.run(partial(register.enter_stale, after=done))
            except Exception as error:
                _log.warning("the register waits %.0f s to be brought up to date: %s", backoff_s, error)
                self._stopping.wait(backoff_s)
                backoff_s = min(backoff_s * 2, MAX_BACKOFF_S)
                continue
            backoff_s = BACKOFF_S
            if batch is None:
                break
            done, entered = batch.upto, entered + batch.entered
            self._stopping.wait(REST_RATIO * (time.monotonic() - started))
        if entered:
            _log.info("%d proposals were entered into the register", entered)
