"""Whom a command calls, and as whom: options, or the environment variables that the services have too."""

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from commonweal.cli.screen import Unusable
from commonweal.client import DEFAULT_TIMEOUT_S, Client
from commonweal.errors import CommonwealError

MAX_SECRET_BYTES = 65_536


Connect = Callable[[], AbstractContextManager[Client]]


def calls_services(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a connection to a command, whose first argument makes a client, to be used in a ``with``.

    Within it whatever a call ends with instead of an answer ends the command, with its sentence.
    """

    @click.option(
        "--amqp-uri", metavar="URI", help="The broker. [env: COMMONWEAL_AMQP_URI or COMMONWEAL_AMQP_URI_FILE]"
    )
    @click.option(
        "--token-file",
        metavar="PATH",
        type=click.Path(path_type=Path),
        help="A file with your token. [env: COMMONWEAL_TOKEN or COMMONWEAL_TOKEN_FILE]",
    )
    @click.option(
        "--timeout",
        "timeout_s",
        type=click.FloatRange(min=0.1, max=600),
        default=DEFAULT_TIMEOUT_S,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait for each answer.",
    )
    @functools.wraps(command)
    def with_connection(amqp_uri: str | None, token_file: Path | None, timeout_s: float, **options: Any) -> Any:
        return command(functools.partial(_connected, amqp_uri, token_file, timeout_s), **options)

    return with_connection


@contextmanager
def _connected(amqp_uri: str | None, token_file: Path | None, timeout_s: float) -> Iterator[Client]:
    amqp_uri = amqp_uri or _secret("AMQP_URI")
    if not amqp_uri:
        raise Unusable("Name the broker: --amqp-uri, COMMONWEAL_AMQP_URI or COMMONWEAL_AMQP_URI_FILE.")
    token = _read("--token-file", token_file) if token_file else _secret("TOKEN")
    if not token:
        raise Unusable("Name your token: --token-file, COMMONWEAL_TOKEN or COMMONWEAL_TOKEN_FILE.")
    try:
        client = Client(amqp_uri, token, timeout_s=timeout_s)
    except ValueError as error:
        raise Unusable(str(error)) from error
    try:
        yield client
    except CommonwealError as error:
        raise Unusable(_sentence(error)) from error
    finally:
        # The answer is there, or the reason why there is none: how the farewell goes changes neither.
        with suppress(Exception):
            client.close()


def _sentence(error: CommonwealError) -> str:
    places = "; ".join(f"{path}: {' '.join(map(str, said))}" for path, said in list(error.fields.items())[:5])
    return f"{error.message} {places}".strip()


def _secret(key: str) -> str:
    """Return a secret from its variable or from the file that the variable with ``_FILE`` names; empty when neither."""
    value, path = (os.environ.get(f"COMMONWEAL_{name}", "").strip() for name in (key, f"{key}_FILE"))
    if value and path:
        raise Unusable(f"Set COMMONWEAL_{key} or COMMONWEAL_{key}_FILE, not both.")
    return _read(f"COMMONWEAL_{key}_FILE", Path(path)) if path else value


def _read(name: str, path: Path) -> str:
    try:
        with path.open("rb") as stream:
            secret = stream.read(MAX_SECRET_BYTES).decode().strip()
    except OSError as error:
        raise Unusable(f"{name} names {path}, which cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise Unusable(f"{name} names {path}, which is not text.") from error
    if not secret:
        raise Unusable(f"{name} names {path}, which is empty.")
    return secret
