"""Traffic for tests that kill things: calls and events through the real services, and the books that must agree after.

Three kinds of event run, each through its service's outbox, relay and broker into the inbox of whoever consumes it:
``member_joined``, ``proposal_withdrawn`` and ``project_funded``, the last one into two services. Calls of several
people make more of the first kind, each repeated with its idempotency key until it is answered.

A second effect of an event often could not be seen: a business key hides it. So a trigger notes every attempt at an
effect, in the transaction of the attempt.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from commonweal import Client, TimedOut, Unavailable
from services.funding.models import Pool
from shared import clock, ids
from shared.config import whole_numbers
from shared.events.catalogue import SUBSCRIPTIONS, event_type
from shared.messaging import outbox
from shared.messaging.consumer import ERROR_HEADER, REASON_HEADER
from shared.messaging.tables import inbox, inbox_attempts
from shared.messaging.tables import outbox as outbox_table
from shared.messaging.topology import dead_letters_of, topology
from shared.ops.names import SERVICES
from shared.security.principal import TREASURER
from tests.support.outcomes import EDINBURGH, FUNDED_AT, project_funded
from tests.support.programme import approved_proposal, funded_pool
from tests.support.stage import Stage, eventually

#: What each service consumes of the others; the systems publish nothing here.
CONSUMED = {
    service: [(source, name) for source, name in subscriptions if source in SERVICES]
    for service, subscriptions in SUBSCRIPTIONS.items()
}
POOL = {"name": "A pool", "starts_on": "2026-04-01", "ends_on": "2029-03-31"}
#: What a service writes when an event comes again that had its effect.
DUPLICATE = "had its effect before"
CALL_TIMEOUT_S = 5.0
#: Longer than anything stays away in these tests, and shorter than a test may take.
ANSWER_WITHIN_S = 300.0


@dataclass(frozen=True)
class Effect:
    """What an event leaves behind: a row in a table of its consumer, whose key is a field of the event's data."""

    consumer: str
    table: str
    column: str
    source: str
    names: tuple[str, ...]
    field: str


EFFECTS = (
    Effect("proposals", "members", "pool_id", "funding", ("member_joined",), "pool_id"),
    Effect("proposals", "awards", "id", "funding", ("project_funded",), "award_id"),
    Effect("outcomes", "plans", "project_id", "funding", ("project_funded",), "project_id"),
    Effect(
        "funding", "candidates", "proposal_id", "proposals", ("proposal_approved", "proposal_withdrawn"), "proposal_id"
    ),
)  # fmt: skip


class Traffic:
    """Traffic on a stage.

    :param uris: where the callers connect, each to another one, if that is not where the services do.
    :param chance: decides which kinds of event run in which order.
    """

    def __init__(self, stage: Stage, *, uris: Sequence[str] = (), chance: random.Random | None = None) -> None:
        self.stage = stage
        self.repeated = 0
        self._uris = tuple(uris) or (stage.amqp_uri,)
        self._chance = chance or random.Random()
        self._callers = [f"caller-{number}-{ids.new_id().hex[-8:]}@test.example" for number in range(4)]
        self._answered: dict[str, list[str]] = {caller: [] for caller in self._callers}
        self._stopping = threading.Event()
        self._retry_delays_ms = whole_numbers(stage.environment["funding"]["COMMONWEAL_RETRY_DELAYS_MS"])
        for effect in EFFECTS:
            self._write(effect.consumer, partial(_note_every_attempt, effect))
        funded_pool(stage)
        self._proposals = [approved_proposal(stage) for _ in range(2)]

    # --- traffic ----------------------------------------------------------------------------------------------------

    @contextmanager
    def calls(self, *, pause_s: float = 0.0) -> Iterator[None]:
        """Have several people call during the block; at its end each waits for the answer that it is due."""
        with ThreadPoolExecutor(len(self._callers)) as threads:
            running = [threads.submit(self._call, number, pause_s) for number in range(len(self._callers))]
            try:
                yield
            finally:
                self._stopping.set()
            for caller in running:
                caller.result(timeout=2 * ANSWER_WITHIN_S)

    def _call(self, number: int, pause_s: float) -> None:
        caller, first = self._callers[number], number % len(self._uris)
        uris = ";".join(self._uris[first:] + self._uris[:first])
        token = self.stage.signing_key.issue(caller, [TREASURER])
        with Client(uris, token, timeout_s=CALL_TIMEOUT_S) as client:
            while not self._stopping.wait(pause_s):
                pool_id = self._answer(client.funding.create_pool, **POOL)["pool_id"]
                self._answer(client.funding.add_member, pool_id=pool_id, council=EDINBURGH, joins_on="2026-04-01")
                self._answered[caller].append(pool_id)

    def _answer(self, call: Callable[..., Any], **arguments: Any) -> Any:
        key, gives_up_at = str(ids.new_id()), time.monotonic() + ANSWER_WITHIN_S
        while True:
            try:
                return call(**arguments, idempotency_key=key)
            except (TimedOut, Unavailable):
                if time.monotonic() > gives_up_at:
                    raise
                self.repeated += 1

    def record(self, number: int) -> None:
        """Record so many events in the outboxes, each service's in one transaction."""
        kinds = Counter(self._chance.choices(("joined", "withdrawn", "funded"), (60, 32, 8), k=number))
        self._write("funding", lambda session: self._record_funding(session, kinds["joined"], kinds["funded"]))
        self._write("proposals", lambda session: _record_withdrawn(session, kinds["withdrawn"]))

    def _record_funding(self, session: Session, joined: int, funded: int) -> None:
        for _ in range(joined):
            pool_id = ids.new_id()
            data = {"pool_id": pool_id, "council": EDINBURGH, "joins_on": FUNDED_AT.date()}
            outbox.record(session, event_type("funding", "member_joined"), subject=pool_id, sequence=1, data=data)
        for _ in range(funded):
            event = project_funded(proposal_id=self._chance.choice(self._proposals))
            outbox.record(session, event.type, subject=event.subject, sequence=1, data=event.data)

    @property
    def answered(self) -> list[str]:
        """The pools that callers made, and that they heard of."""
        return list(chain(*self._answered.values()))

    def wait_until_it_goes_on(self, *, within_s: float) -> None:
        """Wait until every caller is answered and events are received that were not before."""
        answered = {caller: len(pools) for caller, pools in self._answered.items()}
        received = self.receipts()
        eventually(
            lambda: (
                all(len(self._answered[caller]) > before for caller, before in answered.items())
                and self.receipts() > received
            ),
            within_s=within_s,
        )

    # --- the books --------------------------------------------------------------------------------------------------

    def sent(self) -> int:
        """Return how many events that somebody consumes stand in the outboxes."""
        counted = {service: self._count_by_name(service) for service in SERVICES}
        return sum(counted[source][name] for source, name in set(chain(*CONSUMED.values())))

    def due(self) -> int:
        """Return how many receipts those events call for: one of each consumer."""
        counted = {service: self._count_by_name(service) for service in SERVICES}
        return sum(counted[source][name] for source, name in chain(*CONSUMED.values()))

    def receipts(self) -> int:
        """Return how many receipts there are."""
        return sum(self._read(service, select(func.count()).select_from(inbox)) for service in SERVICES)

    def disagreements(self) -> list[str]:
        """Return what does not agree between outboxes, inboxes, effects and answers, a sentence each; none is right."""
        parts = (
            self._of_outboxes,
            self._of_receipts,
            self._of_attempts,
            self._of_effects,
            self._of_calls,
            self._of_queues,
        )
        return [sentence for part in parts for sentence in part()]

    def assert_agreement(self, *, within_s: float = 120) -> None:
        """Wait until the books agree, and see that nothing came twice; fail with every disagreement."""
        try:
            eventually(lambda: not self.disagreements(), within_s=within_s)
        except AssertionError as error:
            raise AssertionError("\n".join(["the books disagree:", *self.disagreements()])) from error

    def _of_outboxes(self) -> Iterator[str]:
        for service in SERVICES:
            left = self._read(service, select(func.count()).where(outbox_table.c.published_at.is_(None)))
            if left:
                yield f"{left} events of {service} are not published"

    def _of_receipts(self) -> Iterator[str]:
        for consumer, subscriptions in CONSUMED.items():
            for source, name in subscriptions:
                sent = self._column(source, select(outbox_table.c.event_id).where(outbox_table.c.name == name))
                kind = event_type(source, name).type
                received = self._column(consumer, select(inbox.c.event_id).where(inbox.c.type == kind))
                yield from _differences(f"receipts of {name} in {consumer}", sent, received)

    def _of_attempts(self) -> Iterator[str]:
        for service in SERVICES:
            if left := self._read(service, select(func.count()).select_from(inbox_attempts)):
                yield f"{left} events of {service} are still tried"

    def _of_effects(self) -> Iterator[str]:
        for effect in EFFECTS:
            wanted = select(outbox_table.c.data).where(outbox_table.c.name.in_(effect.names))
            due = [data[effect.field] for data in self._column(effect.source, wanted)]
            noted = text(f"SELECT key FROM noted WHERE relation = '{effect.table}'")
            found = self._column(effect.consumer, noted)
            yield from _differences(f"{effect.table} of {effect.consumer}", due, found)

    def _of_calls(self) -> Iterator[str]:
        made = self._column("funding", select(Pool.id).where(Pool.opened_by.in_(self._callers)))
        yield from _differences("pools that callers made", self.answered, made)

    def _of_queues(self) -> Iterator[str]:
        with self.stage.connect() as connection, connection.channel() as channel:
            for queue in topology(self._retry_delays_ms).queues:
                left = channel.queue_declare(queue=queue.name, passive=True).message_count
                if left:
                    yield f"{left} messages are in {queue.name}"

    def dead_letters(self) -> list[str]:
        """Return why the services could not process what lies in their dead letters; it stays there."""
        found: list[str] = []
        with self.stage.connect() as connection, connection.channel() as channel:
            for service in SERVICES:
                while message := channel.basic_get(dead_letters_of(service), no_ack=False):
                    headers = channel.message_to_python(message).headers
                    reasons = (headers.get(name) for name in ("ce-type", REASON_HEADER, ERROR_HEADER))
                    found.append(f"{service}: " + ", ".join(map(str, reasons)))
        return found

    def _count_by_name(self, service: str) -> Counter[str]:
        with self.stage.database(service).transaction() as session:
            number = func.count().label("number")
            counted = session.execute(select(outbox_table.c.name, number).group_by(outbox_table.c.name))
            return Counter({row.name: row.number for row in counted})

    def _column(self, service: str, statement: Any) -> list[Any]:
        with self.stage.database(service).transaction() as session:
            return list(session.scalars(statement))

    def _read(self, service: str, statement: Any) -> int:
        with self.stage.database(service).transaction() as session:
            return int(session.scalar(statement))

    def _write(self, service: str, work: Callable[[Session], None]) -> None:
        with self.stage.database(service).transaction() as session:
            work(session)


def _note_every_attempt(effect: Effect, session: Session) -> None:
    """Before the row, not after it: ``ON CONFLICT DO NOTHING`` must not hide a second one."""
    session.execute(text("CREATE TABLE IF NOT EXISTS noted (relation text NOT NULL, key text NOT NULL)"))
    session.execute(
        text(
            f"CREATE FUNCTION note_{effect.table}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN"
            f" INSERT INTO public.noted VALUES ('{effect.table}', NEW.{effect.column}::text); RETURN NEW; END $$"
        )
    )
    session.execute(
        text(f"CREATE TRIGGER note BEFORE INSERT ON {effect.table} FOR EACH ROW EXECUTE FUNCTION note_{effect.table}()")
    )


def _record_withdrawn(session: Session, number: int) -> None:
    for _ in range(number):
        proposal_id = ids.new_id()
        data = {
            "proposal_id": proposal_id,
            "reference": "P-2026-0008",
            "round_id": ids.new_id(),
            "revision": 0,
            "reason": "It came too late.",
            "withdrawn_at": clock.now(),
        }
        withdrawn = event_type("proposals", "proposal_withdrawn")
        outbox.record(session, withdrawn, subject=proposal_id, sequence=1, data=data)


def _differences(what: str, due: list[Any], found: list[Any]) -> Iterator[str]:
    due_times, found_times = Counter(map(str, due)), Counter(map(str, found))
    missing, surplus = (due_times - found_times).total(), (found_times - due_times).total()
    if missing or surplus:
        yield f"{what}: {len(due):,} are due, {missing:,} of them missing, {surplus:,} too many"
