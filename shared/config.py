"""A service's configuration: read once, checked whole, every mistake named at once.

A service is configured by environment variables, through its ``config.yml`` (nameko's format), where the key is the
variable's name without ``COMMONWEAL_``; that of the workers is nameko's own, ``max_workers``:

=========================================  ============================================================================
variable                                   meaning
=========================================  ============================================================================
``COMMONWEAL_AMQP_URI``                    the broker, such as ``amqp://user:password@host:5672/vhost``; of a cluster
                                           several, separated by ``;``, tried in turn
``COMMONWEAL_DATABASE_URL``                the service's database, an SQLAlchemy URL; ``{service}`` in it stands for
                                           the service's name
``COMMONWEAL_TOKEN_KEYS``                  file of the public keys that tokens are checked with (JWKS)
``COMMONWEAL_MAX_WORKERS``                 calls and events handled at once, 10 unless set
``COMMONWEAL_RETRY_DELAYS_MS``             waits before an event is tried again, comma-separated
``COMMONWEAL_HEARTBEAT_S``                 seconds between heartbeats on connections to the broker, 30 unless set; one
                                           that is silent for twice as long is given up
``COMMONWEAL_KEEP_OUTBOX_DAYS``            how long an event stays once it is published, 30 unless set
``COMMONWEAL_KEEP_INBOX_DAYS``             how long the receipt of an event stays, 400 unless set; keep it longer than
                                           any replay can reach back
``COMMONWEAL_KEEP_IDEMPOTENCY_KEYS_DAYS``  how long the answer to a write with an idempotency key stays, 30 unless set
``COMMONWEAL_HOUSEKEEPING_INTERVAL_S``     seconds between two rounds that delete what was kept long enough, 600 unless
                                           set
``COMMONWEAL_REHEARSAL_CLOCK``             file that shifts the clock, for rehearsals only
=========================================  ============================================================================
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nameko.exceptions import ConfigurationError
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from shared.messaging import broker, embedded
from shared.security.tokens import Verifier

#: Waits before an event whose handler failed is tried again; the last one repeats.
DEFAULT_RETRY_DELAYS_MS = (1_000, 5_000, 30_000, 120_000, 600_000)
DEFAULT_MAX_WORKERS = 10
DEFAULT_HEARTBEAT_S = 30
MAX_HEARTBEAT_S = 600
DEFAULT_HOUSEKEEPING_INTERVAL_S = 600
#: A hundred years: more is a slip of the finger, and no date reaches back for ever.
MAX_KEEP_DAYS = 36_525
MAX_HOUSEKEEPING_INTERVAL_S = 86_400


@dataclass(frozen=True)
class Retention:
    """How long a service keeps what messaging has written, in days.

    :param outbox_days: an event, from its publishing; one that is not published stays.
    :param inbox_days: a receipt, from the event's effect.
    :param idempotency_keys_days: the answer to a write that came with a key.
    """

    outbox_days: int = 30
    inbox_days: int = 400
    idempotency_keys_days: int = 30


@dataclass(frozen=True)
class Settings:
    """The checked configuration of one service. Its ``repr`` shows no secret."""

    service: str
    amqp_uri: str
    database_url: str
    token_keys: Path
    max_workers: int = DEFAULT_MAX_WORKERS
    retry_delays_ms: tuple[int, ...] = DEFAULT_RETRY_DELAYS_MS
    heartbeat_s: int = DEFAULT_HEARTBEAT_S
    retention: Retention = Retention()
    housekeeping_interval_s: int = DEFAULT_HOUSEKEEPING_INTERVAL_S
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
    if amqp_uri and not amqp_uri.startswith(embedded.URI) and (problem := broker.problem_of(amqp_uri)):
        problems.append(f"COMMONWEAL_AMQP_URI {problem}")
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
    heartbeat_s = _whole_number(config, "HEARTBEAT_S", DEFAULT_HEARTBEAT_S, MAX_HEARTBEAT_S, problems)
    retention = _retention(config, problems)
    interval_s = _whole_number(
        config, "HOUSEKEEPING_INTERVAL_S", DEFAULT_HOUSEKEEPING_INTERVAL_S, MAX_HOUSEKEEPING_INTERVAL_S, problems
    )
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
        heartbeat_s=heartbeat_s,
        retention=retention,
        housekeeping_interval_s=interval_s,
        rehearsal_clock=Path(rehearsal_clock) if rehearsal_clock else None,
    )


def read_retention(config: Mapping[str, Any]) -> Retention:
    """Check how long things are kept, for a program that needs to know nothing else.

    :param config: values by their keys in ``config.yml``; an absent or empty one has its default.
    :raises ConfigurationError: with one line per mistake and what to set instead.
    """
    problems: list[str] = []
    retention = _retention(config, problems)
    if problems:
        raise ConfigurationError("\n".join(problems))
    return retention


def _retention(config: Mapping[str, Any], problems: list[str]) -> Retention:
    def days(key: str, default: int) -> int:
        return _whole_number(config, key, default, MAX_KEEP_DAYS, problems)

    mistakes = len(problems)
    retention = Retention(
        outbox_days=days("KEEP_OUTBOX_DAYS", Retention.outbox_days),
        inbox_days=days("KEEP_INBOX_DAYS", Retention.inbox_days),
        idempotency_keys_days=days("KEEP_IDEMPOTENCY_KEYS_DAYS", Retention.idempotency_keys_days),
    )
    if len(problems) == mistakes and retention.inbox_days < retention.outbox_days:
        problems.append(
            f"COMMONWEAL_KEEP_INBOX_DAYS ({retention.inbox_days}) must not be smaller than COMMONWEAL_KEEP_OUTBOX_DAYS"
            f" ({retention.outbox_days}): an event that can still be sent again would find no receipt and have its"
            " effect twice."
        )
    return retention


def _whole_number(config: Mapping[str, Any], key: str, default: int, most: int, problems: list[str]) -> int:
    numbers = whole_numbers(config.get(key) or default)
    if len(numbers) == 1 and numbers[0] <= most:
        return numbers[0]
    problems.append(f"COMMONWEAL_{key} must be one whole number from 1 to {most}, such as {default}.")
    return default


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
