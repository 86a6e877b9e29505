"""Options that several commands of ``commonweal-ops`` take."""

import os
from typing import Any

import click
from nameko.exceptions import ConfigurationError

from shared import config
from shared.storage import database

PREFIX = "COMMONWEAL_"


def environment() -> dict[str, str]:
    """Return the ``COMMONWEAL_*`` variables by their keys in ``config.yml``."""
    return {name.removeprefix(PREFIX): value for name, value in os.environ.items() if name.startswith(PREFIX)}


class Secret(click.Option):
    """An option with a variable of its own or, as services take it, another one with ``_FILE`` that names a file."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Return the secret; refuse what a service would refuse."""
        try:
            return config.read_secret(environment(), str(self.envvar).removeprefix(PREFIX)) or None
        except ConfigurationError as error:
            raise click.UsageError(str(error), ctx) from error

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Name the variables too."""
        record = super().get_help_record(ctx)
        return record and (record[0], f"{record[1]} [env: {self.envvar} or {self.envvar}_FILE]")


def amqp_uri(**attributes: Any) -> Any:
    """``--amqp-uri``: the broker."""
    return click.option(
        "--amqp-uri", cls=Secret, envvar="COMMONWEAL_AMQP_URI", required=True, help="The broker.", **attributes
    )


management_url = click.option(
    "--management-url",
    envvar="COMMONWEAL_MANAGEMENT_URL",
    help="The broker's management API, such as http://broker:15672; by default RabbitMQ's own port on the same host.",
)


def _checked(_: click.Context, parameter: click.Parameter, database_url: str | None) -> str | None:
    if database_url is not None and (problem := database.problem_of(database_url)):
        raise click.BadParameter(f"it {problem}", param=parameter)
    return database_url


def _database_url(*, required: bool) -> Any:
    return click.option(
        "--database-url",
        cls=Secret,
        envvar="COMMONWEAL_DATABASE_URL",
        required=required,
        callback=_checked,
        help="SQLAlchemy URL of the database.",
    )


database_url = _database_url(required=True)
optional_database_url = _database_url(required=False)
