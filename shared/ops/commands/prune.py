"""``commonweal-ops prune``: a round of housekeeping now."""

import click
from nameko.exceptions import ConfigurationError
from sqlalchemy.exc import SQLAlchemyError

from shared import config
from shared.messaging.housekeeping import Housekeeper
from shared.ops import options
from shared.ops.names import SERVICES
from shared.storage import migrate
from shared.storage.database import Database


@click.command()
@click.argument("services", type=click.Choice(SERVICES), nargs=-1, required=True)
@options.database_url
@click.option("--dry-run", is_flag=True, help="Only count what would be deleted.")
def prune(services: tuple[str, ...], database_url: str, dry_run: bool) -> None:
    """Delete what SERVICES have kept long enough, as they do by themselves now and then.

    That is published events, receipts and idempotency keys that are older than COMMONWEAL_KEEP_OUTBOX_DAYS,
    COMMONWEAL_KEEP_INBOX_DAYS and COMMONWEAL_KEEP_IDEMPOTENCY_KEYS_DAYS allow; set them as the services have them. An
    event that is not published stays, however old it is.
    """
    try:
        retention = config.read_retention(options.environment())
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from error
    for service in services:
        try:
            click.echo(_prune(service, database_url.replace("{service}", service), retention, dry_run=dry_run))
        except (SQLAlchemyError, ValueError) as error:
            reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
            raise click.ClickException(f"the database of {service} could not be pruned: {reason}") from error


def _prune(service: str, database_url: str, retention: config.Retention, *, dry_run: bool) -> str:
    database = Database(database_url)
    try:
        if migrate.missing(service, database.engine):
            raise click.ClickException(
                f"the database of {service} lacks migrations; run: commonweal-ops migrate {service}"
            )
        housekeeper = Housekeeper(database, retention)
        if dry_run:
            return f"{service}: would delete: {housekeeper.count()}"
        pruned = housekeeper.prune()
        if pruned is None:
            raise click.ClickException(f"{service} is being pruned by another process just now; try again later")
        return f"{service}: deleted: {pruned}"
    finally:
        database.close()
