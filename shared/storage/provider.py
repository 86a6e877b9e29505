"""Gives a nameko service its database."""

from nameko.extensions import DependencyProvider, SharedExtension
from sqlalchemy.exc import DBAPIError

from shared import config
from shared.messaging.broker import place_of
from shared.storage import migrate
from shared.storage.database import Database
from shared.waiting import wait_while


class DatabaseConnection(SharedExtension):
    """The container's one :class:`Database`; waits at start until it answers and has every migration."""

    database: Database

    def setup(self) -> None:
        settings = config.read(self.container.service_name, self.container.config)
        # One connection per worker, one for the relay's reads and one to spare.
        self.database = Database(settings.database_url, pool_size=settings.max_workers + 2)
        wait_while(settings.service, lambda: self._problem(settings))

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
