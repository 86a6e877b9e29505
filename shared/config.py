"""A service's configuration: read once, checked whole, every mistake named at once.

A service is configured by environment variables, through its ``config.yml`` (nameko's format):

=================================  ===================  ==========================================================
variable                           key in config.yml    meaning
=================================  ===================  ==========================================================
``COMMONWEAL_AMQP_URI``            ``AMQP_URI``         the broker, such as ``amqp://user:password@host:5672/vhost``
``COMMONWEAL_DATABASE_URL``        ``DATABASE_URL``     the service's database, an SQLAlchemy URL; ``{service}`` in
                                                        it stands for the service's name
``COMMONWEAL_TOKEN_KEYS``          ``TOKEN_KEYS``       file of the public keys that tokens are checked with (JWKS)
``COMMONWEAL_MAX_WORKERS``         ``max_workers``      calls and events handled at once, 10 unless set
``COMMONWEAL_RETRY_DELAYS_MS``     ``RETRY_DELAYS_MS``  waits before an event is tried again, comma-separated
``COMMONWEAL_REHEARSAL_CLOCK``     ``REHEARSAL_CLOCK``  file that shifts the clock, for rehearsals only
=================================  ===================  ==========================================================
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nameko.exceptions import ConfigurationError
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from shared.security.tokens import Verifier

#: Waits before an event whose handler failed is tried again; the last one repeats.
DEFAULT_RETRY_DELAYS_MS = (1_000, 5_000, 30_000, 120_000, 600_000)
DEFAULT_MAX_WORKERS = 10


@dataclass(frozen=True)
class Settings:
    """The checked configuration of one service. Its ``repr`` shows no secret."""

    service: str
    amqp_uri: str
    database_url: str
    token_keys: Path
    max_workers: int = DEFAULT_MAX_WORKERS
    retry_delays_ms: tuple[int, ...] = DEFAULT_RETRY_DELAYS_MS
    rehearsal_clock: Path | None = None

    def __repr__(self) -> str:
        return f"<Settings of {self.service}>"

    @property
    def is_embedded(self) -> bool:
        """Whether the broker lives in this process."""
        return self.amqp_uri.startswith("embedded:")


def read(service: str, config: Mapping[str, Any]) -> Settings:
    """Check a service's nameko configuration.

    :param service: the service's short name.
    :param config: what ``config.yml`` became, environment variables filled in.
    :raises ConfigurationError: with one line per mistake and what to set instead.
    """
    problems: list[str] = []

    def text(key: str) -> str:
        value = str(config.get(key) or "").strip()
        if not value:
            problems.append(f"COMMONWEAL_{key} is not set; see the table in README.md.")
        return value

    amqp_uri = text("AMQP_URI")
    if amqp_uri and amqp_uri.partition(":")[0] not in ("amqp", "amqps", "embedded"):
        problems.append("COMMONWEAL_AMQP_URI must begin with amqp:// or amqps://.")
    database_url = text("DATABASE_URL").replace("{service}", service)
    if database_url:
        problems.extend(_problems_of_url(database_url))
    token_keys = Path(text("TOKEN_KEYS"))
    if config.get("TOKEN_KEYS"):
        problems.extend(_problems_of_keys(token_keys))
    max_workers = whole_numbers(config.get("max_workers") or DEFAULT_MAX_WORKERS)
    if len(max_workers) != 1:
        problems.append("COMMONWEAL_MAX_WORKERS must be one whole number above zero.")
    delays_ms = whole_numbers(config.get("RETRY_DELAYS_MS") or ",".join(map(str, DEFAULT_RETRY_DELAYS_MS)))
    if not delays_ms:
        problems.append("COMMONWEAL_RETRY_DELAYS_MS must be whole numbers of milliseconds, such as 1000,5000.")
    if problems:
        raise ConfigurationError(f"{service} cannot start:\n  " + "\n  ".join(problems))
    rehearsal_clock = config.get("REHEARSAL_CLOCK")
    return Settings(
        service=service,
        amqp_uri=amqp_uri,
        database_url=database_url,
        token_keys=token_keys,
        max_workers=max_workers[0],
        retry_delays_ms=delays_ms,
        rehearsal_clock=Path(rehearsal_clock) if rehearsal_clock else None,
    )


def _problems_of_keys(token_keys: Path) -> list[str]:
    try:
        Verifier.read(token_keys)
    except OSError:
        return [f"COMMONWEAL_TOKEN_KEYS names {token_keys}, which cannot be read; commonweal-ops keys new makes one."]
    except ValueError as error:
        return [f"COMMONWEAL_TOKEN_KEYS names {token_keys}, which is not a JWKS file of public keys: {error}."]
    return []


def _problems_of_url(database_url: str) -> list[str]:
    try:
        backend = make_url(database_url).drivername
    except (ArgumentError, ValueError):
        backend = ""
    if backend in ("postgresql", "postgresql+psycopg2", "sqlite"):
        return []
    return ["COMMONWEAL_DATABASE_URL must look like postgresql+psycopg2://user:password@host:5432/database."]


def whole_numbers(value: Any) -> tuple[int, ...]:
    """Return the comma-separated numbers above zero of a text; none when it holds anything else."""
    parts = str(value).split(",")
    if not all(part.strip().isdecimal() and part.isascii() and int(part) > 0 for part in parts):
        return ()
    return tuple(int(part) for part in parts)
