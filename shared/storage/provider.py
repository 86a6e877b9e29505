"""Gives a nameko service its database."""

import logging
import time

from nameko.extensions import DependencyProvider, SharedExtension
from sqlalchemy.exc import DBAPIError

from shared import config
from shared.messaging.broker import place_of
from shared.storage import migrate
from shared.storage.database import Database

_log = logging.getLogger(__name__)

RETRY_INTERVAL_S = 1.0
REMIND_EVERY = 10


class DatabaseConnection(SharedExtension):
    """The container's one :class:`Database`; waits at start until it answers and has every migration."""

    database: Database

    def setup(self) -> None:
        settings = config.read(self.container.service_name, self.container.config)
        # One connection per worker, one for the relay's reads and one to spare.
        self.database = Database(settings.database_url, pool_size=settings.max_workers + 2)
        waits = 0
        while problem := self._problem(settings):
            if waits % REMIND_EVERY == 0:
                _log.warning("%s is waiting: %s", settings.service, problem)
            waits += 1
            time.sleep(RETRY_INTERVAL_S)

    def _problem(self, settings: config.Settings) -> str | None:
        place = place_of(settings.database_url)
        try:
            self.database.check()
            if migrate.missing(settings.service, self.database.engine):
                return f"the database at {place} lacks migrations; run: commonweal-ops migrate {settings.service}"
        except DBAPIError as error:
            return f"the database at {place} does not answer: {str(error.orig).strip().splitlines()[0]}"
        return None

    def stop(self) -> None:
        self.database.close()


class Storage(DependencyProvider):
    """Injects the service's :class:`Database`."""

    connection = DatabaseConnection()

    def get_dependency(self, worker_ctx: object) -> Database:
        return self.connection.database
