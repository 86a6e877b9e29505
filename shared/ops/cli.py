"""``commonweal-ops``: what an operator types."""

import os
import sys

import click
from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError

from shared.ops import options
from shared.ops.commands.access import access
from shared.ops.commands.audit import audit
from shared.ops.commands.dead_letters import dead_letters
from shared.ops.commands.prune import prune
from shared.ops.commands.tokens import keys, tokens
from shared.ops.commands.topology import topology
from shared.ops.names import SERVICES
from shared.storage import migrate as migrations

SERVICE = click.Choice(SERVICES)


@click.group(context_settings={"max_content_width": 120})
def main() -> None:
    """Deploy, upgrade and repair Commonweal's services.

    Each is configured by environment variables: COMMONWEAL_AMQP_URI, COMMONWEAL_DATABASE_URL ("{service}" in it stands
    for the service's name) and COMMONWEAL_TOKEN_KEYS.
    """


@main.command()
@click.argument("service", type=SERVICE)
def run(service: str) -> None:
    """Run SERVICE until it is told to stop: nameko's own command with the service's config.yml."""
    os.execv(sys.executable, [sys.executable, "-m", "shared.ops.serve", service])


@main.command()
@click.argument("services", type=SERVICE, nargs=-1, required=True)
@options.database_url
@click.option(
    "--grant-to",
    metavar="ROLE",
    envvar="COMMONWEAL_DATABASE_ROLE",
    show_envvar=True,
    help='The role that the service runs as, such as "{service}_app": it gets the least that works, and loses whatever'
    " it had beyond that.",
)
def migrate(services: tuple[str, ...], database_url: str, grant_to: str | None) -> None:
    """Bring the database of each of SERVICES to the version of its code.

    Connect as the role that owns the tables, or will. With --grant-to the service can run as another role, which can
    neither change nor delete what stands in the audit trail and the ledger.
    """
    for service in services:
        role = grant_to and grant_to.replace("{service}", service)
        try:
            migrations.upgrade(service, database_url.replace("{service}", service), grant_to=role)
        except (SQLAlchemyError, CommandError, ValueError) as error:
            reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
            raise click.ClickException(f"the database of {service} could not be migrated: {reason}") from error
        click.echo(f"{service}: migrated" + (f", granted to {role}" if role else ""))


for command in (topology, access, dead_letters, keys, tokens, audit, prune):
    main.add_command(command)
