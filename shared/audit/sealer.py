"""Binds the rows of the audit trail into its chain, in the background: writers never wait for the chain's end.

One process seals a database at a time. Rows become visible in another order than that of their positions, because a
position is handed out before its transaction commits. So each pass looks for unsealed rows among the last
:data:`WINDOW` positions, and a sweep now and then further back: at the start everywhere, later as far as the sweep
before the last one saw, which no transaction outlasts.
"""

import logging
import threading
import time
from typing import Any

from nameko.extensions import DependencyProvider
from sqlalchemy import func, insert, select

from shared import clock, config
from shared.audit import chain
from shared.audit.tables import audit, audit_seals
from shared.storage.own_connection import OwnConnection, take_turns
from shared.storage.provider import DatabaseConnection

_log = logging.getLogger(__name__)

BATCH_SIZE = 500
WINDOW = 5_000
INTERVAL_S = 0.5
SWEEP_INTERVAL_S = 600.0
#: A head is logged after so many seals or so long, whichever comes first, so that it stands where logs are kept too.
HEAD_SEALS = 1_000
HEAD_INTERVAL_S = 600.0
SILENCE_TIMEOUT_S = 40

#: The PostgreSQL advisory lock that the one active sealer of a database holds.
SEALING_LOCK = 0x7365616C7321


class Sealer:
    """Seals one audit trail.

    :param service: whose trail it is.
    :param turn: a connection that holds :data:`SEALING_LOCK`.
    """

    def __init__(self, service: str, turn: OwnConnection) -> None:
        self._turn = turn
        with turn.transaction() as connection:
            last = connection.execute(
                select(audit_seals.c.number, audit_seals.c.hash).order_by(audit_seals.c.number.desc()).limit(1)
            ).first()
        self.head = chain.beginning(service) if last is None else chain.Head(last.number, bytes(last.hash))
        # Everything is swept at first, and then what was not yet there at the sweep before the last.
        self._sweep_after = 0
        self._swept_to = 0
        self._sweeping = True
        self._swept_at = time.monotonic()

    def seal(self) -> int:
        """Seal up to :data:`BATCH_SIZE` rows in the order of their positions; returns how many there were.

        :raises sqlalchemy.exc.DBAPIError: when the database fails; the sealer is of no more use then.
        """
        if time.monotonic() - self._swept_at > SWEEP_INTERVAL_S:
            self._sweeping = True
        with self._turn.transaction() as connection:
            highest = connection.scalar(select(func.max(audit.c.position))) or 0
            after = self._sweep_after if self._sweeping else highest - WINDOW
            rows = connection.execute(
                select(audit)
                .outerjoin(audit_seals, audit_seals.c.position == audit.c.position)
                .where(audit.c.position > after, audit_seals.c.position.is_(None))
                .order_by(audit.c.position)
                .limit(BATCH_SIZE)
            ).all()
            head = self.head
            sealed_at = clock.now()
            seals: list[dict[str, Any]] = []
            for row in rows:
                head = chain.seal(head, row._asdict(), sealed_at)
                seals.append(
                    {"number": head.number, "position": row.position, "sealed_at": sealed_at, "hash": head.hash}
                )
            if seals:
                connection.execute(insert(audit_seals), seals)
        self.head = head
        if self._sweeping and len(rows) < BATCH_SIZE:
            self._sweep_after, self._swept_to = self._swept_to, highest
            self._sweeping, self._swept_at = False, time.monotonic()
        return len(rows)


class Sealing(DependencyProvider):
    """Runs the sealer of the service's audit trail, in one of its processes at a time."""

    connection = DatabaseConnection()

    def setup(self) -> None:
        self._stopping = threading.Event()

    def start(self) -> None:
        self._settings = config.read(self.container.service_name, self.container.config)
        self._thread = self.container.spawn_managed_thread(self._run, identifier="audit sealer")

    def stop(self) -> None:
        """End; what is not sealed yet is sealed at the next start."""
        self._stopping.set()
        self._thread.wait()

    def _run(self) -> None:
        take_turns(
            self.connection.database,
            SEALING_LOCK,
            self._seal,
            self._stopping,
            name="the audit trail",
            interval_s=INTERVAL_S,
            silence_timeout_s=SILENCE_TIMEOUT_S,
        )

    def _seal(self, turn: OwnConnection) -> None:
        sealer = Sealer(self._settings.service, turn)
        told, told_at = sealer.head, time.monotonic()
        while not self._stopping.is_set():
            if sealer.seal() < BATCH_SIZE:
                self._stopping.wait(INTERVAL_S)
            news = sealer.head.number - told.number
            if news >= HEAD_SEALS or (news and time.monotonic() - told_at > HEAD_INTERVAL_S):
                told, told_at = sealer.head, time.monotonic()
                _log.info("the audit trail of %s is sealed up to %s", self._settings.service, told)
        if sealer.head != told:
            _log.info("the audit trail of %s is sealed up to %s", self._settings.service, sealer.head)
