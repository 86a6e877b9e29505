"""Services to be measured: processes on a database and a virtual host of their own, and events for them to publish."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import func, select, text

from shared.messaging import broker
from shared.messaging.tables import inbox, outbox
from shared.messaging.topology import topology
from shared.ops.launch import running
from shared.security.tokens import SigningKey
from shared.storage import migrate
from shared.storage.database import Database
from tests.support.servers import Servers

WAIT_S = 300.0
POLL_INTERVAL_S = 0.1

#: Events as funding records them, each of a subject of its own, in one transaction.
_JOINED = text(
    """
    INSERT INTO outbox (event_id, name, version, subject, sequence, data, recorded_at)
    SELECT gen_random_uuid(), 'member_joined', 1, pool, 1,
           jsonb_build_object('pool_id', pool, 'council', 'S12000036', 'joins_on', '2026-04-01'), clock_timestamp()
    FROM (SELECT gen_random_uuid()::text AS pool FROM generate_series(1, :events)) AS pools
    """
)


@dataclass(frozen=True)
class Burst:
    """Events that were committed together: the rows after a position, recorded from a moment on."""

    events: int
    after: int
    since: datetime


@dataclass
class Services:
    """Running services.

    :param databases: a connection of the benchmark's own to each service's database.
    """

    amqp_uri: str
    databases: dict[str, Database]

    def commit_events(self, events: int) -> Burst:
        """Commit events of funding in one transaction."""
        with self.databases["funding"].transaction() as session:
            after = session.scalar(select(func.max(outbox.c.position))) or 0
            since = session.scalar(text("SELECT clock_timestamp()"))
            session.execute(_JOINED, {"events": events})
        assert since is not None
        return Burst(events, after, since)

    def publishing(self, burst: Burst) -> tuple[datetime, float]:
        """Wait until a burst is published; returns when its first batch was, and how many events a second followed."""
        batches = (
            select(outbox.c.published_at, func.count())
            .where(outbox.c.position > burst.after, outbox.c.published_at.is_not(None))
            .group_by(outbox.c.published_at)
            .order_by(outbox.c.published_at)
        )

        def all_published() -> list[Any]:
            with self.databases["funding"].transaction() as session:
                found = list(session.execute(batches))
            return found if sum(count for _, count in found) == burst.events else []

        found = wait_for(all_published)
        (first, of_first), (last, _) = found[0], found[-1]
        return first, (burst.events - of_first) / (last - first).total_seconds()

    def receiving(self, burst: Burst) -> datetime:
        """Wait until every event of a burst has its receipt in proposals; returns when the last one was written."""
        receipts = select(func.count(), func.max(inbox.c.processed_at)).where(inbox.c.processed_at >= burst.since)

        def all_received() -> datetime | None:
            with self.databases["proposals"].transaction() as session:
                count, last = session.execute(receipts).one()
            assert count <= burst.events
            return last if count == burst.events else None

        last = wait_for(all_received)
        assert last is not None
        return last

    def purge(self) -> None:
        """Take every event out of proposals' queue, where nobody consumes it."""
        with broker.connect(self.amqp_uri) as connection, connection.channel() as channel:
            channel.queue_purge("proposals.events")


def wait_for(ask: Callable[[], Any]) -> Any:
    """Ask until the answer is true, and return it. :raises TimeoutError: when it does not come."""
    deadline = time.monotonic() + WAIT_S
    while not (answer := ask()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {WAIT_S:g} s in vain")
        time.sleep(POLL_INTERVAL_S)
    return answer


def environment(directory: Path, amqp_uri: str, database_url: str) -> dict[str, str]:
    """Return the variables that configure a service."""
    keys = directory / "keys.json"
    if not keys.exists():
        keys.write_text(json.dumps({"keys": [SigningKey.new().public_jwk()]}))
    return {
        "COMMONWEAL_AMQP_URI": amqp_uri,
        "COMMONWEAL_DATABASE_URL": database_url,
        "COMMONWEAL_TOKEN_KEYS": str(keys),
        "COMMONWEAL_PUBLISHERS": "any",
    }


def prepare(servers: Servers, service: str, *, like: str | None = None) -> str:
    """Make a service's database, migrated or a copy of another one; returns its URL."""
    url = servers.postgresql.create_database(like=like)
    if like is None:
        migrate.upgrade(service, url)
    return url


@contextmanager
def services(
    servers: Servers,
    names: tuple[str, ...],
    *,
    database_urls: Mapping[str, str] | None = None,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Services]:
    """Run services, each in a process of its own, ready at the start of the block.

    :param database_urls: of databases that were prepared before; a fresh one is made for every other service.
    :param settings: variables beside those that every service needs.
    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory()))
        amqp_uri = servers.broker.create_vhost()
        stack.callback(servers.broker.delete_vhost, amqp_uri)
        with broker.connect(amqp_uri) as connection:
            topology().apply(connection)
        urls = {name: (database_urls or {}).get(name) or prepare(servers, name) for name in names}
        for url in urls.values():
            stack.callback(servers.postgresql.drop_database, url)
        databases = {name: Database(url) for name, url in urls.items()}
        for database in databases.values():
            stack.callback(database.close)
        configured = {
            name: {**environment(directory, amqp_uri, url), **(settings or {})} for name, url in urls.items()
        }  # fmt: skip
        stack.enter_context(running(names, configured.__getitem__))
        yield Services(amqp_uri, databases)
