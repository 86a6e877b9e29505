"""Ends the relay's wait: a commit in this process, or the word of another process, brought by the database."""

import os
import select
from typing import Any

from sqlalchemy import Connection

#: The PostgreSQL notification channel on which a process tells the one that leads of its commits.
CHANNEL = "commonweal_outbox"


class Wakeup:
    """A wait that anybody may end: with :meth:`set`, or by a notification on a database connection that listens.

    One pipe and one ``select``, so that a single thread waits for both.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        self._is_set = False

    def set(self) -> None:
        """End the wait that is going on, or the next one; returns at once."""
        # A byte a wait is enough; more would fill the pipe, and writing to a full one would hold up whoever commits.
        if not self._is_set:
            self._is_set = True
            os.write(self._writer, b"\0")

    def wait(self, timeout_s: float, listening: Connection | None = None) -> bool:
        """Wait until somebody ends it or the time is over; tells whether somebody did.

        :param listening: a PostgreSQL connection outside any transaction whose notifications end the wait as well. So
            does its end, of which the next query tells.
        """
        driver: Any = listening.connection.driver_connection if listening is not None else None
        if driver is not None and _notified(driver):
            return True
        sources = [self._reader] if driver is None else [self._reader, driver.fileno()]
        ready, _, _ = select.select(sources, [], [], timeout_s)
        if self._reader in ready:
            # Before the read: what is set from now on writes a byte of its own.
            self._is_set = False
            os.read(self._reader, 4096)
        notified = False
        if driver is not None and driver.fileno() in ready:
            driver.poll()
            notified = _notified(driver)
        return notified or self._reader in ready

    def close(self) -> None:
        """Give the pipe back; :meth:`set` does nothing from now on."""
        self._is_set = True
        os.close(self._reader)
        os.close(self._writer)


def listen(connection: Connection) -> None:
    """Have other processes' words come to a connection from now on."""
    with connection.begin():
        connection.exec_driver_sql(f"LISTEN {CHANNEL}")


def tell(connection: Connection) -> None:
    """Tell the process that listens that there is something to publish."""
    with connection.begin():
        connection.exec_driver_sql(f"NOTIFY {CHANNEL}")


def _notified(driver: Any) -> bool:
    # A notification may also come in with the answer to a query.
    came = bool(driver.notifies)
    driver.notifies.clear()
    return came
