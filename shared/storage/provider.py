"""Gives a nameko service its database."""

from typing import Any

import eventlet
import psycopg2
from nameko.extensions import DependencyProvider, SharedExtension
from sqlalchemy import Engine, event
from sqlalchemy.exc import DBAPIError

from shared import config
from shared.messaging.broker import place_of
from shared.storage import migrate
from shared.storage.database import CONNECT_TIMEOUT_S, Database
from shared.waiting import wait_while


class DatabaseConnection(SharedExtension):
    """The container's one :class:`Database`; waits at start until it answers and has every migration."""

    database: Database

    def setup(self) -> None:
        settings = config.read(self.container.service_name, self.container.config)
        # One connection per worker, one for the relay's reads, one for housekeeping and one to spare.
        self.database = Database(settings.database_url, pool_size=settings.max_workers + 3)
        if self.database.is_postgresql:
            _bound_connecting(self.database.engine)
        wait_while(settings.service, lambda: self._problem(settings))

    def _problem(self, settings: config.Settings) -> str | None:
        place = place_of(settings.database_url)
        try:
            self.database.check()
            if migrate.missing(settings.service, self.database.engine):
                return f"the database at {place} lacks migrations; run: commonweal-ops migrate {settings.service}"
        except DBAPIError as error:
            reason = str(error.orig).strip().partition("\n")[0] or type(error).__name__
            return f"the database at {place} does not answer: {reason}"
        return None

    def stop(self) -> None:
        self.database.close()


def _bound_connecting(engine: Engine) -> None:
    """Make a connection attempt end in time: libpq ignores its own limit when eventlet waits in its place."""

    @event.listens_for(engine, "do_connect")
    def _connect(dialect: Any, _: Any, arguments: Any, parameters: Any) -> Any:
        with eventlet.Timeout(CONNECT_TIMEOUT_S, psycopg2.OperationalError("the server did not answer in time")):
            return dialect.connect(*arguments, **parameters)


class Storage(DependencyProvider):
    """Injects the service's :class:`Database`."""

    connection = DatabaseConnection()

    def get_dependency(self, worker_ctx: object) -> Database:
        return self.connection.database
