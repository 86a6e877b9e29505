"""Gives a nameko service its database."""

import logging
import os
import time
from typing import Any

import eventlet
import psycopg2
import psycopg2.extensions
from eventlet.hubs import trampoline
from nameko.extensions import DependencyProvider, SharedExtension
from sqlalchemy import Engine, event
from sqlalchemy.exc import DBAPIError

from shared import config
from shared.messaging.broker import place_of
from shared.storage import migrate, roles
from shared.storage.database import CONNECT_TIMEOUT_S, STATEMENT_TIMEOUT_MS, Database, sqlstate_of
from shared.waiting import wait_while

_log = logging.getLogger(__name__)

_INSUFFICIENT_PRIVILEGE = "42501"
#: How long a statement may go unanswered. The server's own limit comes first, unless it is gone without a word.
ANSWER_TIMEOUT_S = STATEMENT_TIMEOUT_MS / 1000 + 5


class DatabaseConnection(SharedExtension):
    """The container's one :class:`Database`; waits at start until it answers and has every migration."""

    database: Database
    _role: roles.Findings | None = None

    def setup(self) -> None:
        settings = config.read(self.container.service_name, self.container.config)
        # One connection per worker, one each for the relay, the audit's sealer, housekeeping and whoever watches the
        # clock, and one to spare.
        self.database = Database(settings.database_url, pool_size=settings.max_workers + 5)
        if self.database.is_postgresql:
            _bound_connecting(self.database.engine)
            psycopg2.extensions.set_wait_callback(_wait_for_answer)
        wait_while(settings.service, lambda: self._problem(settings))
        if self._role is not None:
            _judge(settings, self._role)

    def _problem(self, settings: config.Settings) -> str | None:
        place = place_of(settings.database_url)
        try:
            self.database.check()
            if migrate.missing(settings.service, self.database.engine):
                return f"the database at {place} lacks migrations; run: commonweal-ops migrate {settings.service}"
            if self.database.is_postgresql:
                with self.database.engine.connect() as connection:
                    self._role = roles.look(connection, migrate.tables_of(settings.service))
        except DBAPIError as error:
            if sqlstate_of(error) == _INSUFFICIENT_PRIVILEGE:
                return (
                    f"the role may not even read which migrations the database at {place} has; run:"
                    f" commonweal-ops migrate {settings.service} --grant-to ROLE ({roles.RUNBOOK})"
                )
            reason = str(error.orig).strip().partition("\n")[0] or type(error).__name__
            return f"the database at {place} does not answer: {reason}"
        return None

    def stop(self) -> None:
        self.database.close()


def _judge(settings: config.Settings, found: roles.Findings) -> None:
    if found.lacking:
        _log.warning(
            "%s runs as the database's role %s, which lacks %s; run: commonweal-ops migrate %s --grant-to %s",
            *(settings.service, found.role, found.lacking, settings.service, found.role),
        )
    if not found.excess:
        return
    sentence = f"the database's role {found.role} {found.excess}: give the service one of its own ({roles.RUNBOOK})"
    if settings.require_least_privilege:
        _log.error("%s cannot start: COMMONWEAL_REQUIRE_LEAST_PRIVILEGE is set, and %s", settings.service, sentence)
        logging.shutdown()
        # As an error it would be a page of tracebacks, one of each greenlet that waits for this one.
        os._exit(1)
    _log.warning("%s may do more in its database than it needs: %s", settings.service, sentence)


def _bound_connecting(engine: Engine) -> None:
    """Make a connection attempt end in time: libpq ignores its own limit when eventlet waits in its place."""

    @event.listens_for(engine, "do_connect")
    def _connect(dialect: Any, _: Any, arguments: Any, parameters: Any) -> Any:
        with eventlet.Timeout(CONNECT_TIMEOUT_S, psycopg2.OperationalError("the server did not answer in time")):
            return dialect.connect(*arguments, **parameters)


def _wait_for_answer(connection: Any) -> None:
    """Wait as eventlet's own callback does, but not for ever; psycopg2 gives a connection up on which this raises."""
    gives_up_at = time.monotonic() + ANSWER_TIMEOUT_S
    while (state := connection.poll()) != psycopg2.extensions.POLL_OK:
        trampoline(
            connection.fileno(),
            read=state == psycopg2.extensions.POLL_READ,
            write=state == psycopg2.extensions.POLL_WRITE,
            timeout=max(gives_up_at - time.monotonic(), 0.001),
            timeout_exc=psycopg2.OperationalError("the server did not answer in time"),
        )


class Storage(DependencyProvider):
    """Injects the service's :class:`Database`."""

    connection = DatabaseConnection()

    def get_dependency(self, worker_ctx: object) -> Database:
        return self.connection.database
