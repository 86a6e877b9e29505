"""Whether full tables slow messaging down: from the relay to the committed receipt, with a million rows and with none.

Three pairs of funding, whose relay publishes, and proposals, which consumes, take turns with bursts of events: one on
empty tables; one with a million published events in the outbox and a million rows each in inbox and idempotency keys;
one on the same, pruning all the while. Each ratio compares rounds that lie side by side.
"""

from contextlib import ExitStack

from sqlalchemy import func, select, text

from benchmarks.results import Figure
from benchmarks.running import Services, prepare, services
from shared.messaging.tables import outbox
from shared.storage.database import Database
from tests.support.servers import Servers

ROWS = 1_000_000
EVENTS = 3_000

#: An id that grows with time, as the events' own do.
_ID = """(lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3)
          || '8' || substr(md5(n::text), 4, 15))::uuid"""
_MOMENTS = """(SELECT n, now() - interval '2 days' - (:rows - n) * interval '1 s' AS at
               FROM generate_series(1, :rows) AS n) AS moments"""

#: Rows of two weeks: all are kept by default, and all are to go where a day is kept.
_FILL = {
    "funding": [
        f"""
        INSERT INTO outbox (event_id, name, version, subject, sequence, data, recorded_at, published_at)
        SELECT {_ID}, 'member_joined', 1, gen_random_uuid()::text, 1,
               jsonb_build_object('pool_id', gen_random_uuid(), 'council', 'S12000036', 'joins_on', '2026-04-01'),
               at, at
        FROM {_MOMENTS}
        """,
    ],
    "proposals": [
        f"""
        INSERT INTO inbox (source, event_id, type, processed_at)
        SELECT 'funding', {_ID}::text, 'commonweal.funding.member_joined.v1', at FROM {_MOMENTS}
        """,
        f"""
        INSERT INTO idempotency_keys (subject, key, method, request_hash, answer, recorded_at)
        SELECT 'person-' || n % 500 || '@council.example', {_ID}::text, 'create_proposal', sha256(n::text::bytea),
               jsonb_build_object('proposal_id', gen_random_uuid(), 'state', 'draft'), at
        FROM {_MOMENTS}
        """,
    ],
}

_PRUNE_AT_ONCE = {
    "COMMONWEAL_KEEP_OUTBOX_DAYS": "1",
    "COMMONWEAL_KEEP_INBOX_DAYS": "1",
    "COMMONWEAL_KEEP_IDEMPOTENCY_KEYS_DAYS": "1",
    "COMMONWEAL_HOUSEKEEPING_INTERVAL_S": "1",
}


def measure(servers: Servers, rounds: int) -> list[Figure]:
    """Take the figures, the three pairs in turn."""
    through = {kind: Figure(f"relay to receipt, {kind}", "events/s") for kind in ("empty", "full", "pruning")}
    relayed = {kind: Figure(f"relay alone, {kind}", "events/s") for kind in ("empty", "full", "pruning")}
    for figures in (through, relayed):
        figures["full"].compared_with = figures["pruning"].compared_with = figures["empty"]
    pruned = Figure("rows pruned from the outbox meanwhile", "rows")
    with ExitStack() as stack:
        names = ("funding", "proposals")
        full = {name: prepare(servers, name) for name in names}
        for name, url in full.items():
            _fill(name, url)
        copies = {name: prepare(servers, name, like=url) for name, url in full.items()}
        pairs = {
            "empty": stack.enter_context(services(servers, names)),
            "full": stack.enter_context(services(servers, names, database_urls=full)),
        }
        # Started last, because it begins to prune at once.
        pairs["pruning"] = stack.enter_context(services(servers, names, database_urls=copies, settings=_PRUNE_AT_ONCE))
        for pair in pairs.values():
            _through(pair)  # The first burst finds cold caches.
        for _ in range(rounds):
            before = _lowest(pairs["pruning"])
            for kind, pair in pairs.items():
                per_second, relayed_per_second = _through(pair)
                through[kind].rounds.append(per_second)
                relayed[kind].rounds.append(relayed_per_second)
            pruned.rounds.append(_lowest(pairs["pruning"]) - before)
    return [*through.values(), *relayed.values(), pruned]


def _through(pair: Services) -> tuple[float, float]:
    """Send a burst; returns how many events a second went all the way, and how many the relay took."""
    burst = pair.commit_events(EVENTS)
    last = pair.receiving(burst)
    first, per_second = pair.publishing(burst)
    return burst.events / (last - first).total_seconds(), per_second


def _lowest(pair: Services) -> int:
    with pair.databases["funding"].transaction() as session:
        return session.scalar(select(func.min(outbox.c.position))) or 0


def _fill(service: str, url: str) -> None:
    database = Database(url)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("SET statement_timeout = 0")
        for statement in _FILL[service]:
            connection.execute(text(statement), {"rows": ROWS})
        connection.exec_driver_sql("VACUUM ANALYZE")
    database.close()
