"""What must hold of the three services' databases and of what was published, whatever happened to the processes.

The outboxes are the truth that the rest is compared with: an event stands there because its transaction was committed.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import MetaData, Row, func, select

from services.funding import models as funding
from services.outcomes import models as outcomes
from services.proposals import models as proposals
from shared import ids
from shared.audit import reading
from shared.events.catalogue import SOURCES, SUBSCRIPTIONS
from shared.messaging.tables import inbox, outbox
from shared.messaging.topology import dead_letters_of, exchange_of, queue_of
from shared.ops.names import SERVICES
from tests.support.funding import Funding
from tests.support.stage import Stage, eventually

#: The event that a call leaves, one each.
EVENT_OF = {
    "open_round": "round_opened",
    "submit_proposal": "proposal_submitted",
    "determine": "proposal_approved",
    "create_pool": "pool_opened",
    "add_member": "member_joined",
    "record_receipt": "contribution_recorded",
    "approve_award": "award_offered",
    "accept_award": "project_funded",
    "decline_award": "award_declined",
    "achieve_milestone": "milestone_achieved",
    "approve_drawdown": "drawdown_approved",
    "record_payment": "tranche_paid",
}

SETTLED_WITHIN_S = 60.0


@dataclass
class Observer:
    """Somebody who listens to every event of every service.

    :param seen: the messages in the order in which they came, repetitions too.
    """

    stage: Stage
    queue: str = field(default_factory=lambda: f"observer-{ids.new_id()}")
    seen: list[Any] = field(default_factory=list)

    @contextmanager
    def listening(self) -> Iterator["Observer"]:
        """Listen within the block."""
        with self.stage.connect() as connection, connection.channel() as channel:
            channel.queue_declare(queue=self.queue, durable=True, auto_delete=False)
            for source in SOURCES:
                channel.queue_bind(queue=self.queue, exchange=exchange_of(source), routing_key="#")
        try:
            yield self
        finally:
            with self.stage.connect() as connection, connection.channel() as channel:
                channel.queue_delete(self.queue)

    def event_ids(self) -> list[str]:
        """Return the ids of all events that have come so far."""
        with self.stage.connect() as connection, connection.channel() as channel:
            while (message := channel.basic_get(self.queue, no_ack=True)) is not None:
                self.seen.append(channel.message_to_python(message))
        return [message.headers["ce-id"] for message in self.seen]


def committed(stage: Stage, service: str) -> list[Row[Any]]:
    """Return a service's outbox, oldest first."""
    with stage.database(service).transaction() as session:
        return list(session.execute(select(outbox).order_by(outbox.c.position)).all())


def check(stage: Stage, observer: Observer) -> None:
    """Wait until everything that is committed has had its effect, then compare all that can be compared.

    :param observer: has listened since before the first event.
    """
    everything_is_published(stage)
    received_exactly_once(stage)
    everything_is_published(stage)  # What came of the events received.
    published_at_least_once_in_order(stage, observer)
    effects_agree_with_events(stage)


def everything_is_published(stage: Stage) -> None:
    """No committed event waits in an outbox for ever."""
    for service in SERVICES:
        eventually(partial(_nothing_pends, stage, service), within_s=SETTLED_WITHIN_S)


def published_at_least_once_in_order(stage: Stage, observer: Observer) -> None:
    """Every committed event came at least once, nothing else did, and first came in its aggregate's order."""
    rows = {str(row.event_id): row for service in SERVICES for row in committed(stage, service)}
    eventually(lambda: set(observer.event_ids()) >= set(rows), within_s=SETTLED_WITHIN_S)
    seen = list(dict.fromkeys(observer.event_ids()))
    assert set(seen) == set(rows), "something was published that was never committed"
    sequences: dict[str, list[int]] = defaultdict(list)
    for event_id in seen:
        sequences[rows[event_id].subject].append(rows[event_id].sequence)
    for subject, numbers in sequences.items():
        assert numbers == sorted(set(numbers)), f"the events of {subject} came in the order {numbers}"


def received_exactly_once(stage: Stage) -> None:
    """Every service has a receipt of each event that it consumes, and of no other; nothing is left in its queues.

    The systems have no outbox to compare with; they publish nothing here.
    """
    for service, subscriptions in SUBSCRIPTIONS.items():
        due = {
            (source, str(row.event_id))
            for source in {source for source, _ in subscriptions}.intersection(SERVICES)
            for row in committed(stage, source)
            if (source, row.name) in subscriptions
        }
        eventually(partial(_receipts_are, stage, service, due), within_s=SETTLED_WITHIN_S)
        eventually(partial(stage.is_empty, queue_of(service)))
        assert stage.is_empty(dead_letters_of(service))


def receipts(stage: Stage, service: str) -> set[tuple[str, str]]:
    """Return the events that a service has a receipt of: source and id."""
    with stage.database(service).transaction() as session:
        return {(row.source, row.event_id) for row in session.execute(select(inbox.c.source, inbox.c.event_id))}


def effects_agree_with_events(stage: Stage) -> None:
    """Each service's state is what its own events and those that it consumed say: once each, and nothing besides."""
    told = _told(stage)
    members = Counter((data["pool_id"], data["council"], data["joins_on"]) for data in told["member_joined"])
    plans = Counter(data["project_id"] for data in told["project_funded"])
    achieved = Counter((data["award_id"], data["milestone"]) for data in told["milestone_achieved"])
    with stage.database("proposals").transaction() as session:
        copies = session.scalars(select(proposals.Member)).all()
        assert Counter((str(row.pool_id), row.council, str(row.joins_on)) for row in copies) == members
        states = {str(row.id): row.state for row in session.scalars(select(proposals.Award))}
        assert states == _award_states(told)
    with stage.database("funding").transaction() as session:
        rows = session.scalars(select(funding.Member)).all()
        assert Counter((str(row.pool_id), row.council, str(row.joins_on)) for row in rows) == members
        approved = session.scalars(select(funding.Candidate).where(funding.Candidate.approved_at.is_not(None))).all()
        assert Counter(str(row.proposal_id) for row in approved) == _counted(told["proposal_approved"], "proposal_id")
        projects = session.scalars(select(funding.Award).where(funding.Award.project_id.is_not(None))).all()
        assert Counter(str(row.project_id) for row in projects) == plans
        unlocked = session.scalars(select(funding.Tranche).where(funding.Tranche.state != "locked")).all()
        assert Counter((str(row.award_id), row.key) for row in unlocked) == achieved
        payments = session.scalars(select(funding.Payment)).all()
        assert Counter(row.payment_reference for row in payments) == _counted(told["tranche_paid"], "payment_reference")
        pools = [str(pool_id) for pool_id in session.scalars(select(funding.Pool.id))]
    assert Counter(pools) == _counted(told["pool_opened"], "pool_id")
    assert all(Funding(stage.database("funding")).ledger_is_sound(pool_id) for pool_id in pools)
    with stage.database("outcomes").transaction() as session:
        made = session.scalars(select(outcomes.Plan.project_id)).all()
        assert Counter(map(str, made)) == plans == _counted(told["tracking_plan_created"], "project_id")
        reached = session.execute(
            select(outcomes.Plan.award_id, outcomes.Milestone.key)
            .join(outcomes.Plan.milestones)
            .where(outcomes.Milestone.achieved_on.is_not(None))
        )
        assert Counter((str(award_id), key) for award_id, key in reached) == achieved


def calls_had_their_effect_once(stage: Stage, answered: Counter[str]) -> None:
    """Each answered call left its event once, and nothing but answered calls left any.

    :param answered: how many calls of each method were answered.
    """
    told = _told(stage)
    assert {method: len(told[name]) for method, name in EVENT_OF.items()} == {name: answered[name] for name in EVENT_OF}


def fingerprints(stage: Stage) -> dict[str, str]:
    """Return a hash of every table of the three databases, which stays as it is unless the state changes.

    Everything counts but the relay's notes on what it has published and the moments of receipts: in the outbox which
    events stand there, in the inbox whose receipts, of all other tables every column. Waits until the audit trails are
    sealed, which happens after the fact.
    """
    notes = {outbox.c.published_at, outbox.c.attempts, outbox.c.next_attempt_at, outbox.c.last_error}
    found = {}
    for service in SERVICES:
        eventually(partial(_is_sealed, stage, service))
        with stage.database(service).transaction() as session:
            tables = MetaData()
            tables.reflect(session.connection())
            for table in tables.tables.values():
                left_out = {column.name for column in {*notes, inbox.c.processed_at} if column.table.name == table.name}
                columns = [column for column in table.columns if column.name not in left_out]
                rows = sorted(repr(tuple(row)) for row in session.execute(select(*columns)))
                found[f"{service}.{table.name}"] = hashlib.sha256("\n".join(rows).encode()).hexdigest()
    return found


def _is_sealed(stage: Stage, service: str) -> bool:
    return reading.waiting(stage.database(service)).rows == 0


def _nothing_pends(stage: Stage, service: str) -> bool:
    with stage.database(service).transaction() as session:
        return session.scalar(select(func.count()).where(outbox.c.published_at.is_(None))) == 0


def _receipts_are(stage: Stage, service: str, due: set[tuple[str, str]]) -> bool:
    return receipts(stage, service) == due


def _told(stage: Stage) -> dict[str, list[dict[str, Any]]]:
    """Return the data of every committed event, by name."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for service in SERVICES:
        for row in committed(stage, service):
            found[row.name].append(row.data)
    return found


def _award_states(told: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
    # In the order in which an award goes through them.
    meanings = {
        "award_offered": "offered",
        "award_declined": "declined",
        "award_lapsed": "lapsed",
        "project_funded": "funded",
        "project_completed": "completed",
        "award_terminated": "terminated",
    }
    return {data["award_id"]: state for name, state in meanings.items() for data in told[name]}


def _counted(told: list[dict[str, Any]], name: str) -> Counter[str]:
    return Counter(data[name] for data in told)
