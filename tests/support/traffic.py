"""Calls and events for a running funding service while something fails around it, and what must be true afterwards."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from sqlalchemy import Select, func, select

from commonweal import Client, TimedOut, Unavailable
from services.funding.models import Candidate, Pool
from shared import ids
from shared.messaging.publisher import PublishFailed
from shared.messaging.tables import inbox, outbox
from shared.messaging.topology import dead_letters_of
from shared.security.principal import TREASURER
from tests.support.funding import proposal_approved
from tests.support.messages import message_of
from tests.support.outcomes import EDINBURGH
from tests.support.stage import Stage, eventually

POOL = {"name": "A pool", "starts_on": "2026-04-01", "ends_on": "2029-03-31"}
CALLERS = 3
CALL_TIMEOUT_S = 2.0
GIVE_UP_AFTER_S = 100.0

_outbox = select(func.count()).select_from(outbox)


class Traffic:
    """Callers that open pools with a member each, whose events proposals consumes, and events that funding consumes.

    A call that ends with one of the client's own errors is made again with its key until it is answered.

    :param stage: runs funding and proposals; the callers reach the broker at the stage's own address.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._stopping = threading.Event()
        self._is_abandoned = False
        self._threads = [threading.Thread(target=self._call_until_told) for _ in range(CALLERS)]
        #: Pools that were opened, as the answers say.
        self.pools: list[str] = []
        #: Events that were published for funding.
        self.published: list[str] = []
        #: What ended a caller, and must not have.
        self.failures: list[BaseException] = []
        self._before = self._counts()

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        self.flows()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What failed is told now, not once the callers have lost their patience.
        self._is_abandoned = error is not None
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def flows(self, *, within_s: float = GIVE_UP_AFTER_S) -> None:
        """Return once every caller has had an answer since now, and an event since now has had its effect."""
        before = len(self.pools)
        event_id = self.publish()
        eventually(lambda: len(self.pools) > before + CALLERS, within_s=within_s)
        eventually(lambda: self._count("funding", _receipts(event_id)), within_s=within_s)

    def publish(self) -> str:
        """Publish an event that funding consumes, again until the broker has it; returns its id."""
        event = proposal_approved(ids.new_id())
        message = message_of(event)
        gives_up_at = time.monotonic() + GIVE_UP_AFTER_S
        while True:
            try:
                assert self._stage.publish(message) == {}
            except PublishFailed:
                assert time.monotonic() < gives_up_at
                time.sleep(0.1)
            else:
                self.published.append(event.id)
                return event.id

    def stop_and_check(self, *, within_s: float = GIVE_UP_AFTER_S) -> None:
        """End the callers; assert that nothing was lost and nothing was done twice."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        assert self.failures == []
        assert len(set(self.pools)) == len(self.pools)
        unpublished = _outbox.where(outbox.c.published_at.is_(None))
        eventually(lambda: self._count("funding", unpublished) == 0, within_s=within_s)
        expected = {"opened": len(self.pools), "recorded": len(self.pools), "arrived": len(self.pools),
                    "had effect": len(self.published)}  # fmt: skip
        done: dict[str, int] = {}

        def all_done() -> bool:
            done.update({what: number - self._before[what] for what, number in self._counts().items()})
            return all(done[what] >= number for what, number in expected.items())

        eventually(all_done, within_s=within_s)
        assert done == expected
        for service in ("funding", "proposals"):
            assert self._stage.is_empty(dead_letters_of(service))

    def _call_until_told(self) -> None:
        token = self._stage.signing_key.issue("treasurer@test.example", [TREASURER])
        try:
            with Client(self._stage.amqp_uri, token, timeout_s=CALL_TIMEOUT_S) as client:
                while not self._stopping.is_set():
                    pool_id = self._answer_of(client.funding.create_pool, **POOL)["pool_id"]
                    joins = {"pool_id": pool_id, "council": EDINBURGH, "joins_on": "2026-04-01"}
                    self._answer_of(client.funding.add_member, **joins)
                    self.pools.append(pool_id)
        except BaseException as failure:
            self.failures.append(failure)

    def _answer_of(self, call: Callable[..., Any], **arguments: Any) -> Any:
        key = str(ids.new_id())
        gives_up_at = time.monotonic() + GIVE_UP_AFTER_S
        while True:
            try:
                return call(**arguments, idempotency_key=key)
            except (TimedOut, Unavailable):
                if self._is_abandoned or time.monotonic() > gives_up_at:
                    raise

    def _counts(self) -> dict[str, int]:
        return {
            "opened": self._count("funding", select(func.count()).select_from(Pool)),
            "recorded": self._count("funding", _outbox.where(outbox.c.name == "member_joined")),
            "arrived": self._count("proposals", select(func.count()).select_from(inbox)),
            "had effect": self._count("funding", select(func.count()).select_from(Candidate)),
        }

    def _count(self, service: str, statement: Select[Any]) -> int:
        with self._stage.database(service).transaction() as session:
            return session.scalar(statement) or 0


def _receipts(event_id: str) -> Select[Any]:
    return select(func.count()).select_from(inbox).where(inbox.c.event_id == event_id)
