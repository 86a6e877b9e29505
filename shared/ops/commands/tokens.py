"""``commonweal-ops keys`` and ``commonweal-ops tokens``: who signs, and who is who."""

import json
import os
from datetime import timedelta
from pathlib import Path

import click

from shared.security.principal import ROLES
from shared.security.tokens import SigningKey


@click.group()
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


@click.group()
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
