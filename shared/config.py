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
``COMMONWEAL_AMQP_URI_FILE``               a file that holds the broker's URI, in place of the variable
``COMMONWEAL_DATABASE_URL_FILE``           a file that holds the database's URL, in place of the variable
``COMMONWEAL_BROKER_USER_PREFIX``          what the names of broker users begin with; nothing unless set
``COMMONWEAL_PUBLISHERS``                  who publishes whose events, where a broker user has another name than the
                                           prefix and its service's, such as ``funding=cw-money,operator=ops``;
                                           ``any``: do not check, because everybody shares one broker user
``COMMONWEAL_REQUIRE_TLS``                 ``yes``: refuse to start unless broker and database are encrypted and their
                                           certificates checked; ``no`` unless set
``COMMONWEAL_REQUIRE_LEAST_PRIVILEGE``     ``yes``: refuse to start as a database role that may do more than the service
                                           needs; ``no`` unless set: warn
``COMMONWEAL_TOKEN_KEYS``                  file of the public keys that tokens are checked with (JWKS); it is followed
``COMMONWEAL_TOKEN_AUDIENCE``              which deployment tokens must be for, ``commonweal`` unless set
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

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nameko.exceptions import ConfigurationError
from sqlalchemy import make_url

from shared.messaging import broker, embedded
from shared.messaging.publishers import PARTIES, Publishers
from shared.security.tokens import AUDIENCE, Verifier, problem_of_audience
from shared.storage.database import problem_of

#: Waits before an event whose handler failed is tried again; the last one repeats.
DEFAULT_RETRY_DELAYS_MS = (1_000, 5_000, 30_000, 120_000, 600_000)
DEFAULT_MAX_WORKERS = 10
DEFAULT_HEARTBEAT_S = 30
MAX_HEARTBEAT_S = 600
DEFAULT_HOUSEKEEPING_INTERVAL_S = 600
#: A hundred years: more is a slip of the finger, and no date reaches back for ever.
MAX_KEEP_DAYS = 36_525
MAX_HOUSEKEEPING_INTERVAL_S = 86_400
#: RabbitMQ's own limit, and that of a message's ``user_id``.
MAX_USER_LENGTH = 255
#: Nothing that would have to be written otherwise in a URI, a file's name or a regular expression.
_USER_PREFIX = re.compile(r"[A-Za-z0-9_-]{0,32}")


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
    publishers: Publishers
    token_audience: str = AUDIENCE
    require_least_privilege: bool = False
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

    def secret(key: str) -> str:
        try:
            value = read_secret(config, key)
        except ConfigurationError as error:
            problems.append(str(error))
            return ""
        if not value:
            problems.append(f"COMMONWEAL_{key} is not set, nor COMMONWEAL_{key}_FILE; see the table in README.md.")
        return value

    amqp_uri = secret("AMQP_URI")
    is_embedded = amqp_uri.startswith(embedded.URI)
    if amqp_uri and not is_embedded:
        problems.extend(f"COMMONWEAL_AMQP_URI {problem}" for problem in _problems_of_broker(amqp_uri))
    database_url = secret("DATABASE_URL").replace("{service}", service)
    if database_url and (problem := problem_of(database_url)):
        problems.append(f"COMMONWEAL_DATABASE_URL {problem}")
    publishers = _publishers(config, "" if problems else amqp_uri, problems)
    if _yes_or_no(config, "REQUIRE_TLS", problems) and not problems and not is_embedded:
        problems.extend(_problems_of_encryption(amqp_uri, database_url))
    require_least_privilege = _yes_or_no(config, "REQUIRE_LEAST_PRIVILEGE", problems)
    if require_least_privilege and database_url.startswith("sqlite"):
        problems.append(
            "COMMONWEAL_REQUIRE_LEAST_PRIVILEGE is set: COMMONWEAL_DATABASE_URL must name a PostgreSQL; SQLite has no"
            " roles."
        )
    token_keys = Path(str(config.get("TOKEN_KEYS") or "").strip())
    if not config.get("TOKEN_KEYS"):
        problems.append("COMMONWEAL_TOKEN_KEYS is not set; see the table in README.md.")
    if config.get("TOKEN_KEYS"):
        problems.extend(_problems_of_keys(token_keys))
    token_audience = str(config.get("TOKEN_AUDIENCE") or AUDIENCE).strip()
    if problem := problem_of_audience(token_audience):
        problems.append(f"COMMONWEAL_TOKEN_AUDIENCE is not a name: {problem}.")
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
        publishers=publishers,
        token_audience=token_audience,
        require_least_privilege=require_least_privilege,
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


def read_secret(config: Mapping[str, Any], key: str) -> str:
    """Return a secret, from its own key or from the file that ``KEY_FILE`` names; empty when neither is set.

    :param config: values by their keys in ``config.yml``.
    :raises ConfigurationError: when both are set, or the file cannot be read; nothing of a secret is in it.
    """
    value, path = (str(config.get(name) or "").strip() for name in (key, f"{key}_FILE"))
    if not path:
        return value
    if value:
        raise ConfigurationError(f"Set COMMONWEAL_{key} or COMMONWEAL_{key}_FILE, not both.")
    try:
        value = Path(path).read_text().strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigurationError(f"COMMONWEAL_{key}_FILE names {path}, which cannot be read: {reason}.") from error
    if not value:
        raise ConfigurationError(f"COMMONWEAL_{key}_FILE names {path}, which is empty.")
    return value


def read_prefix(config: Mapping[str, Any]) -> str:
    """Return what the names of broker users begin with.

    :param config: values by their keys in ``config.yml``.
    :raises ConfigurationError: saying what to set instead.
    """
    prefix = str(config.get("BROKER_USER_PREFIX") or "").strip()
    if not _USER_PREFIX.fullmatch(prefix):
        raise ConfigurationError(
            "COMMONWEAL_BROKER_USER_PREFIX may have letters, digits, - and _, at most 32 of them, such as prod-."
        )
    return prefix


def _publishers(config: Mapping[str, Any], amqp_uri: str, problems: list[str]) -> Publishers:
    own = broker.user_of(amqp_uri) if amqp_uri else ""
    told = str(config.get("PUBLISHERS") or "").strip()
    try:
        prefix = read_prefix(config)
    except ConfigurationError as error:
        problems.append(str(error))
        prefix = ""
    if own is None or told == "any":
        return Publishers(own or "", is_checked=False, prefix=prefix)
    users = {}
    for part in filter(None, map(str.strip, told.split(","))):
        party, _, user = map(str.strip, part.partition("="))
        if party not in PARTIES or party in users or not user or len(user) > MAX_USER_LENGTH:
            problems.append(
                "COMMONWEAL_PUBLISHERS must be any, or names of broker users such as funding=cw-money,operator=ops,"
                f" each once, of {', '.join(PARTIES)}."
            )
            break
        users[party] = user
    return Publishers(own, users=users, prefix=prefix)


def _yes_or_no(config: Mapping[str, Any], key: str, problems: list[str], default: str = "no") -> bool:
    value = str(config.get(key) or default).strip().lower()
    if value not in ("yes", "no"):
        problems.append(f"COMMONWEAL_{key} must be yes or no.")
    return value == "yes"


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


def _problems_of_broker(amqp_uri: str) -> list[str]:
    if problem := broker.problem_of(amqp_uri):
        return [problem]
    if not all((parts := urlsplit(uri)).username and parts.password for uri in broker.nodes_of(amqp_uri)):
        # Without them a connection would be tried as the broker's own default user, whose password everybody knows.
        return ["must name a user and a password: amqp://user:password@host:5672/vhost."]
    return []


def _problems_of_encryption(amqp_uri: str, database_url: str) -> list[str]:
    problems = []
    if not broker.is_encrypted(amqp_uri):
        problems.append("COMMONWEAL_REQUIRE_TLS is set: COMMONWEAL_AMQP_URI must begin with amqps://, each of several.")
    if make_url(database_url).query.get("sslmode") != "verify-full":
        problems.append(
            "COMMONWEAL_REQUIRE_TLS is set: COMMONWEAL_DATABASE_URL must end with ?sslmode=verify-full, and name the"
            " authorities with &sslrootcert=..."
        )
    return problems


def whole_numbers(value: Any) -> tuple[int, ...]:
    """Return the comma-separated numbers above zero of a text; none when it holds anything else."""
    parts = str(value).split(",")
    if not all(part.strip().isdecimal() and part.isascii() and int(part) > 0 for part in parts):
        return ()
    return tuple(int(part) for part in parts)
