"""``commonweal-ops``: what an operator types."""

import json
import os
import sys
from datetime import timedelta
from pathlib import Path

import click
from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError

from shared import config
from shared.messaging import broker
from shared.messaging.topology import topology as make_topology
from shared.ops.names import SERVICES
from shared.security.principal import ROLES
from shared.security.tokens import SigningKey
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
@click.option("--database-url", envvar="COMMONWEAL_DATABASE_URL", required=True, help="SQLAlchemy URL of the database.")
def migrate(services: tuple[str, ...], database_url: str) -> None:
    """Bring the database of each of SERVICES to the version of its code."""
    for service in services:
        try:
            migrations.upgrade(service, database_url.replace("{service}", service))
        except (SQLAlchemyError, CommandError, ValueError) as error:
            reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
            raise click.ClickException(f"the database of {service} could not be migrated: {reason}") from error
        click.echo(f"{service}: migrated")


@main.group()
def topology() -> None:
    """The broker's exchanges and queues."""


@topology.command()
@click.option("--amqp-uri", envvar="COMMONWEAL_AMQP_URI", required=True, help="The broker.")
@click.option("--retry-delays-ms", envvar="COMMONWEAL_RETRY_DELAYS_MS", help="As the services have it.")
def apply(amqp_uri: str, retry_delays_ms: str | None) -> None:
    """Declare every exchange, queue and binding of the catalogue; what exists is left as it is."""
    delays_ms = config.whole_numbers(retry_delays_ms) if retry_delays_ms else config.DEFAULT_RETRY_DELAYS_MS
    if not delays_ms:
        raise click.ClickException("COMMONWEAL_RETRY_DELAYS_MS must be whole numbers, such as 1000,5000.")
    wanted = make_topology(delays_ms)
    try:
        with broker.connect(amqp_uri) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0)
            wanted.apply(connection)
    except Exception as error:
        raise click.ClickException(
            f"the topology could not be declared at {broker.place_of(amqp_uri)}: {error}"
        ) from error
    click.echo(
        f"declared {len(wanted.exchanges)} exchanges, {len(wanted.queues)} queues, {len(wanted.bindings)} bindings"
    )


@main.group()
def keys() -> None:
    """The keys that tokens are signed and checked with."""


@keys.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
def new(directory: Path) -> None:
    """Make a key in DIRECTORY: the private half in KEY_ID.pem, the public half added to keys.json for the services."""
    directory.mkdir(parents=True, exist_ok=True)
    public = directory / "keys.json"
    try:
        known = [*json.loads(public.read_text())["keys"]] if public.exists() else []
    except (ValueError, KeyError, TypeError) as error:
        raise click.ClickException(f"{public} is not a JWKS file; move it away first") from error
    key = SigningKey.new()
    private = directory / f"{key.key_id}.pem"
    with open(os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(key.private_pem())
    replacement = public.with_suffix(".new")
    replacement.write_text(json.dumps({"keys": [*known, key.public_jwk()]}, indent=2) + "\n")
    os.replace(replacement, public)
    click.echo(f"private key, for whoever issues tokens: {private}")
    click.echo(f"public keys, for COMMONWEAL_TOKEN_KEYS: {public}")


@main.group()
def tokens() -> None:
    """The tokens that callers identify themselves with."""


@tokens.command()
@click.argument("subject")
@click.option("--key", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True, help="Private key.")
@click.option("--role", "roles", type=click.Choice(sorted(ROLES)), multiple=True, required=True)
@click.option("--council", help="GSS code of the caller's council, such as S12000036.")
@click.option(
    "--hours", type=click.IntRange(1, 24 * 366), default=12, show_default=True, help="How long it is good for."
)
def issue(subject: str, key: Path, roles: tuple[str, ...], council: str | None, hours: int) -> None:
    """Sign a token for SUBJECT, such as an e-mail address, and print it."""
    try:
        token = SigningKey.read(key).issue(subject, roles, council=council, lifetime=timedelta(hours=hours))
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    click.echo(token)
