"""``commonweal-ops keys`` and ``commonweal-ops tokens``: who signs, and who is who."""

import dataclasses
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import jwt

from shared.ops.key_directory import ABSENT, Entry, KeyDirectory
from shared.ops.letter_text import safe
from shared.ops.token_text import Look
from shared.security.principal import ROLES
from shared.security.tokens import AUDIENCE, MAX_LIFETIME, SigningKey

#: Longer than any token that a service looks at, so that one that is too long can still be looked at here.
MAX_READ_BYTES = 65_536

NOT_ACCEPTED, UNREADABLE = 1, 2

_DIRECTORY = click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
_AUDIENCE = click.option(
    "--audience",
    envvar="COMMONWEAL_TOKEN_AUDIENCE",
    default=AUDIENCE,
    show_default=True,
    help="Which deployment it is for; services are told by COMMONWEAL_TOKEN_AUDIENCE.",
)


@contextmanager
def _sentences() -> Iterator[None]:
    """Tell what went wrong in a sentence."""
    try:
        yield
    except OSError as error:
        raise click.ClickException(f"{error.filename or 'a file'}: {error.strerror or error}") from error
    except ValueError as error:
        raise click.ClickException(str(error)) from error


@click.group()
def keys() -> None:
    """The keys that tokens are signed and checked with: docs/runbooks/keys.md says when to do what."""


@keys.command()
@_DIRECTORY
def new(directory: Path) -> None:
    """Make a key in DIRECTORY: the private half in KEY_ID.pem, the public half added to keys.json for the services."""
    with _sentences():
        made = KeyDirectory(directory)
        key = made.add()
    click.echo(f"private key, for whoever issues tokens: {made.private(key.key_id)}")
    click.echo(f"public keys, for COMMONWEAL_TOKEN_KEYS: {made.public}")


@keys.command("list")
@_DIRECTORY
@click.option("--json", "as_json", is_flag=True, help="A JSON object on each line, for programs.")
def list_(directory: Path, as_json: bool) -> None:
    """List the keys in DIRECTORY: those that services accept, then the retired.

    On each line, apart by tabs: id, whether it is accepted, when it was made, where its private half is, and its
    fingerprint (RFC 7638).
    """
    with _sentences():
        entries = KeyDirectory(directory).entries()
    for entry in entries:
        click.echo(json.dumps(dataclasses.asdict(entry)) if as_json else _line(entry))
    if not entries and not as_json:
        click.echo(f"no keys in {directory}; commonweal-ops keys new makes one", err=True)


def _line(entry: Entry) -> str:
    if entry.is_accepted:
        standing = "accepted"
    elif entry.thumbprint is None:
        standing = "unknown to services"
    else:
        standing = f"retired {entry.retired_at or 'some time ago'}"
    private = "no private half" if entry.private_half == ABSENT else f"private half {entry.private_half}"
    cells = (entry.key_id, standing, f"made {entry.made_at or '-'}", private, entry.thumbprint or "-")
    return "\t".join(map(safe, cells))


@keys.command()
@_DIRECTORY
@click.argument("key_id")
@click.option("--even-the-last", is_flag=True, help="Retire the last key: services refuse every token from then on.")
@click.option("--delete-private-key", is_flag=True, help="Delete KEY_ID.pem too.")
def retire(directory: Path, key_id: str, even_the_last: bool, delete_private_key: bool) -> None:
    """Retire KEY_ID: take its public half from DIRECTORY's keys.json, so that services refuse its tokens.

    The public half is kept in retired-keys.json, so that old tokens can be inspected.
    """
    keys_ = KeyDirectory(directory)
    with _sentences():
        keys_.retire(key_id, even_the_last=even_the_last, delete_private=delete_private_key)
    click.echo(f"{key_id} is retired: services refuse its tokens within a second of reading {keys_.public}")
    private = keys_.private(key_id)
    if delete_private_key:
        click.echo("its private half is deleted here; delete every copy of it too")
    elif private.exists():
        click.echo(f"nothing needs its private half any more; delete it and every copy of it: {private}")


@click.group()
def tokens() -> None:
    """The tokens that callers identify themselves with."""


@tokens.command()
@click.argument("subject")
@click.option("--key", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True, help="Private key.")
@click.option("--role", "roles", type=click.Choice(sorted(ROLES)), multiple=True, required=True)
@click.option("--council", help="GSS code of the caller's council, such as S12000036.")
@click.option(
    "--hours",
    type=click.IntRange(1, 24 * MAX_LIFETIME.days),
    default=12,
    show_default=True,
    help="How long it is good for.",
)
@click.option(
    "--not-before",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]),
    help="When it begins to be good, in UTC; now unless given. The hours count from then.",
)
@_AUDIENCE
def issue(
    subject: str,
    key: Path,
    roles: tuple[str, ...],
    council: str | None,
    hours: int,
    not_before: datetime | None,
    audience: str,
) -> None:
    """Sign a token for SUBJECT, such as an e-mail address, and print it.

    A person has one name in all their tokens, whatever their roles: two names are two people, and could approve what
    the other asked for. Capitals are written small. An internal system has the role system alone.
    """
    with _sentences():
        token = SigningKey.read(key).issue(
            subject,
            roles,
            council=council,
            lifetime=timedelta(hours=hours),
            not_before=not_before and not_before.replace(tzinfo=UTC),
            audience=audience,
        )
    click.echo(token)


@tokens.command()
@click.argument("file", required=False)
@click.option(
    "--keys",
    "keys_file",
    envvar="COMMONWEAL_TOKEN_KEYS",
    type=click.Path(path_type=Path),
    help="Public keys to check it with, as a service would.  [env: COMMONWEAL_TOKEN_KEYS]",
)
@_AUDIENCE
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
def inspect(file: str | None, keys_file: Path | None, audience: str, as_json: bool) -> None:
    """Show what the token in FILE says, or the one on standard input; with --keys, whether a service would accept it.

    Never write a token itself on a command line: others see it there, and the shell keeps it.

    Ends with 0 for a token that would be accepted (or was not checked, without --keys), 1 for one that would be
    refused, 2 for what cannot be read.
    """
    token = _read(file)
    try:
        look = Look.at(token, keys_file, audience)
    except (jwt.PyJWTError, RecursionError) as error:
        click.echo(f"Error: this is not a token: {safe(error)}", err=True)
        sys.exit(UNREADABLE)
    except OSError as error:
        raise click.UsageError(f"the keys in {keys_file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise click.UsageError(f"the keys in {keys_file} cannot be used: {error}") from error
    if as_json:
        click.echo(json.dumps(look.as_json()))
    else:
        for line in look.lines():
            click.echo(line)
    if look.is_accepted is False:
        sys.exit(NOT_ACCEPTED)


def _read(file: str | None) -> str:
    if file is not None and file.count(".") == 2 and file.startswith("ey"):
        raise click.UsageError(
            "this looks like the token itself. Others can see it on a command line; give the file that holds it, or"
            " send it to standard input. Count it as leaked if others use this machine."
        )
    if file in (None, "-") and sys.stdin.isatty():
        return str(click.prompt("Token (it is not shown)", hide_input=True, err=True)).strip()
    try:
        if file in (None, "-"):
            content = sys.stdin.buffer.read(MAX_READ_BYTES + 1)
        else:
            with Path(str(file)).open("rb") as opened:
                content = opened.read(MAX_READ_BYTES + 1)
    except OSError as error:
        raise click.UsageError(f"{file}: {error.strerror}") from error
    if len(content) > MAX_READ_BYTES:
        raise click.UsageError(f"it has more than {MAX_READ_BYTES:,} bytes, so it is no token")
    return content.decode(errors="replace").strip()
