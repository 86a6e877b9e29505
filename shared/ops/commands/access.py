"""``commonweal-ops access``: the broker's users, each with no more rights than it needs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
from nameko.exceptions import ConfigurationError

from shared import config, councils
from shared.messaging import broker, permissions
from shared.messaging.permissions import BrokerUser, Found, broker_users, differences, traits_of
from shared.messaging.rpc import methods_of
from shared.ops import options
from shared.ops.comparison import CannotAsk, tell
from shared.ops.credentials import Credentials, CredentialsError, hash_of, is_hash_of, new_password
from shared.ops.management import Management, ManagementError
from shared.ops.names import SERVICES, class_of

ADMINISTRATOR = "administrator"


def _known_councils(_: click.Context, __: click.Parameter, codes: tuple[str, ...]) -> tuple[str, ...]:
    for code in codes:
        if not councils.is_council(code):
            raise click.BadParameter(f"{code!r} is not the GSS code of a council, such as S12000036.")
    return codes


def _checked_prefix(_: click.Context, __: click.Parameter, prefix: str) -> str:
    try:
        return config.read_prefix({"BROKER_USER_PREFIX": prefix})
    except ConfigurationError as error:
        raise click.BadParameter(str(error)) from error


_amqp_uri = options.amqp_uri()
_councils = click.option(
    "--council",
    "codes",
    multiple=True,
    envvar="COMMONWEAL_COUNCILS",
    show_envvar=True,
    callback=_known_councils,
    metavar="GSS_CODE",
    help="A member council, such as S12000036; give each, in the variable with spaces between them.",
)
_prefix = click.option(
    "--prefix",
    envvar="COMMONWEAL_BROKER_USER_PREFIX",
    show_envvar=True,
    default="",
    callback=_checked_prefix,
    help="What the users' names begin with, as the services have it.",
)


def _credentials(*, required: bool) -> Callable[..., Any]:
    return click.option(
        "--credentials",
        "directory",
        type=click.Path(file_okay=False, path_type=Path),
        required=required,
        metavar="DIR",
        help="Where each user's AMQP URI is kept, in a file of its name.",
    )


@click.group()
def access() -> None:
    """The broker's users: services, member councils, the partnership's people, its internal systems, operators.

    Their names are one broker's, in whichever virtual host. All but "export" need a user with RabbitMQ's tag
    administrator in COMMONWEAL_AMQP_URI, whose virtual host is meant.
    """


@access.command()
@_amqp_uri
@options.management_url
@_councils
@_prefix
@_credentials(required=True)
@click.option("--rotate", multiple=True, metavar="USER", help="Give USER a new password; may be repeated.")
def apply(
    amqp_uri: str,
    management_url: str | None,
    codes: tuple[str, ...],
    prefix: str,
    directory: Path,
    rotate: tuple[str, ...],
) -> None:
    """Make every user, with its permissions and limits; users who are not named here are left as they are.

    A new user gets a password, and a file in DIR for COMMONWEAL_AMQP_URI_FILE. A file that is there keeps its password,
    and gives it to the broker; a user at the broker without a file keeps the one that it has.
    """
    wanted = _wanted(codes, prefix)
    unknown = sorted(set(rotate) - {user.name for user in wanted})
    if unknown:
        raise click.UsageError(f"There is to be no user {', '.join(unknown)}; commonweal-ops access show names them.")
    try:
        management = _administration(amqp_uri, management_url)
        if (asking := broker.user_of(amqp_uri)) in {user.name for user in wanted}:
            raise click.UsageError(f"{asking} would lose the tag {ADMINISTRATOR} to this; ask as another user.")
        credentials = Credentials(directory, amqp_uri)
        found = _found(management)
        for user in wanted:
            _apply(management, credentials, user, found, rotated=user.name in rotate)
    except (ManagementError, CredentialsError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{len(wanted)} users are as they should be")


@access.command()
@_amqp_uri
@options.management_url
@_councils
@_prefix
@click.option("--json", "as_json", is_flag=True, help="For a program.")
@click.pass_context
def show(
    context: click.Context,
    amqp_uri: str,
    management_url: str | None,
    codes: tuple[str, ...],
    prefix: str,
    as_json: bool,
) -> None:
    """Compare the broker's users with those that there should be: what is missing, different, left over.

    Changes nothing. The exit code is 0 when they are equal, 1 when they are not, 2 when the broker could not be asked.
    """
    wanted = _wanted(codes, prefix)
    try:
        management = _administration(amqp_uri, management_url)
        told = differences(wanted, _found(management))
    except ManagementError as error:
        raise CannotAsk(str(error)) from error
    equal = f"{len(wanted)} users: {', '.join(user.name for user in wanted)}"
    tell(context, management.vhost, told, as_json=as_json, equal=equal)


@access.command()
@_amqp_uri
@_councils
@_prefix
@_credentials(required=True)
def export(amqp_uri: str, codes: tuple[str, ...], prefix: str, directory: Path) -> None:
    """Print the users as RabbitMQ definitions, with salted hashes of their passwords; nobody is asked or changed.

    Passwords are those of the files in DIR, which are made where they are missing. "rabbitmqctl import_definitions" and
    the management API's POST /api/definitions take what is printed; the virtual host must exist.
    """
    wanted = _wanted(codes, prefix)
    try:
        credentials = Credentials(directory, amqp_uri)
        hashes = {user.name: hash_of(_password(credentials, user.name)) for user in wanted}
        vhost = Management(amqp_uri).vhost
    except (ManagementError, CredentialsError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(json.dumps(permissions.definitions(wanted, vhost, hashes), indent=2))


@access.command()
@_amqp_uri
@options.management_url
@click.argument("names", nargs=-1, required=True, metavar="USER...")
@_credentials(required=False)
def remove(amqp_uri: str, management_url: str | None, names: tuple[str, ...], directory: Path | None) -> None:
    """Take every right in the virtual host from each USER, and its file from DIR.

    A user who has no right in any other virtual host and no tag, or none but management, is deleted, which ends its
    connections.
    """
    try:
        management = _administration(amqp_uri, management_url)
        credentials = None if directory is None else Credentials(directory, amqp_uri)
        for name in names:
            click.echo(f"{name}: {_remove(management, name)}")
            if credentials is not None and credentials.forget(name):
                click.echo(f"{name}: {credentials.path_of(name)} is deleted")
    except (ManagementError, CredentialsError) as error:
        raise click.ClickException(str(error)) from error


def _wanted(codes: tuple[str, ...], prefix: str) -> list[BrokerUser]:
    methods = {
        service: {name: method.roles for name, method in methods_of(class_of(service)).items()} for service in SERVICES
    }
    return broker_users(methods, councils=codes, prefix=prefix)


def _administration(amqp_uri: str, management_url: str | None) -> Management:
    management = Management(amqp_uri, management_url)
    who = management.get("whoami")
    if ADMINISTRATOR not in who["tags"]:
        raise ManagementError(
            f"{who['name']} may not administer users: name one with RabbitMQ's tag administrator in COMMONWEAL_AMQP_URI"
        )
    return management


def _found(management: Management) -> Found:
    try:
        return Found(
            users=management.get("users"),
            permissions=management.get("vhosts/{vhost}/permissions"),
            topic_permissions=management.get("vhosts/{vhost}/topic-permissions"),
            limits=management.get("user-limits"),
        )
    except ManagementError as error:
        if error.status == 404:
            raise ManagementError(f"{management.url} has no virtual host {management.vhost!r}", 404) from error
        raise


def _apply(management: Management, credentials: Credentials, user: BrokerUser, found: Found, *, rotated: bool) -> None:
    there = next((each for each in found.users if each["name"] == user.name), None)
    traits = traits_of(user.name, found)
    path = credentials.path_of(user.name)
    password = credentials.password_of(user.name)
    if rotated or (password is None and there is None):
        password = new_password()
    # Before the broker knows it: a password that only the broker had would be nobody's.
    if password is not None:
        credentials.keep(user.name, password)

    name = quote(user.name, safe="")
    changed: list[str] = []
    password_hash = there["password_hash"] if there else ""
    if password is not None and not is_hash_of(password_hash, password):
        password_hash = hash_of(password)
        changed.append("password")
    if traits.get("tags") != sorted(user.tags):
        changed.append("tags")
    if changed:
        algorithm = there["hashing_algorithm"] if there and "password" not in changed else permissions.HASHING_ALGORITHM
        management.put(
            f"users/{name}",
            {"password_hash": password_hash, "hashing_algorithm": algorithm, "tags": ",".join(user.tags)},
        )
    for limit, value in user.limits.items():
        if traits.get(limit) != value:
            management.put(f"user-limits/{name}/{limit}", {"value": value})
            changed.append(limit)
    # Before the permissions: a user without a topic permission may use every routing key.
    for exchange, topic in user.topics.items():
        keys = {"write": topic.write, "read": topic.read}
        if traits.get(f"topics of {exchange}") != keys:
            management.put(f"topic-permissions/{{vhost}}/{name}", {"exchange": exchange, **keys})
            changed.append(f"topics of {exchange}")
    if any(traits.get(kind) != pattern for kind, pattern in user.permissions().items()):
        management.put(f"permissions/{{vhost}}/{name}", user.permissions())
        changed.append("permissions")

    if there is None:
        click.echo(f"made     {user.name}; its URI is in {path}")
    elif changed:
        click.echo(f"changed  {user.name}: {', '.join(changed)}" + (f"; its URI is in {path}" if rotated else ""))
    if password is None:
        click.echo(f"kept     {user.name} has its password, which is not in {path}; --rotate makes a new one")


def _password(credentials: Credentials, user: str) -> str:
    password = credentials.password_of(user)
    if password is None:
        password = new_password()
        credentials.keep(user, password)
    return password


def _remove(management: Management, name: str) -> str:
    quoted = quote(name, safe="")
    if management.get("whoami")["name"] == name:
        raise ManagementError(f"{name} is the user who asks; do it as another one")
    try:
        traits = traits_of(name, Found([management.get(f"users/{quoted}")], (), (), ()))
    except ManagementError as error:
        if error.status == 404:
            return "there is no such user"
        raise
    elsewhere = [each["vhost"] for each in management.get(f"users/{quoted}/permissions")]
    here = management.vhost in elsewhere
    elsewhere = sorted(set(elsewhere) - {management.vhost})
    if not elsewhere and set(traits["tags"]) <= {permissions.MANAGEMENT}:
        management.delete(f"users/{quoted}")
        return "deleted, and its connections are ended"
    if here:
        management.delete(f"permissions/{{vhost}}/{quoted}")
    # Behind the permissions: without topic permissions it could use every routing key. It may have none.
    try:
        management.delete(f"topic-permissions/{{vhost}}/{quoted}")
    except ManagementError as error:
        if error.status != 404:
            raise
    why = f"rights in {', '.join(elsewhere)}" if elsewhere else f"the tag {', '.join(traits['tags'])}"
    return (
        f"has no right here any more, and is kept for it has {why}; connections that it has here end with:"
        f" rabbitmqctl close_all_user_connections {name} removed"
    )
