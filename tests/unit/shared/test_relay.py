"""The relay, step by step: order within a subject, refusals, waits, crashes; nothing is lost."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select, update

from shared import clock, ids
from shared.clock import FixedClock
from shared.events.catalogue import event_type
from shared.messaging import outbox as outgoing
from shared.messaging import relay as relay_module
from shared.messaging.publisher import Message, PublishFailed
from shared.messaging.relay import MAX_ROW_BACKOFF_S, Relay, _waves
from shared.messaging.tables import outbox
from shared.storage.database import Database
from tests.unit.shared.conftest import Undone

JOINED = event_type("funding", "member_joined")


class Crash(BaseException):
    """The process ends here: nothing catches it."""


class Broker:
    """Takes messages in the publisher's place; refuses subjects and breaks down as a test says."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, int]] = []
        self.batches = 0
        self.refuses: set[str] = set()
        self.before_batch: Callable[[int], None] = lambda number: None

    def publish(self, messages: Sequence[Message]) -> dict[str, str]:
        self.batches += 1
        self.before_batch(self.batches)
        refused = {}
        for message in messages:
            subject = str(message.headers["ce-subject"])
            if subject in self.refuses:
                refused[message.message_id] = "no queue takes it"
            else:
                self.taken.append((subject, int(str(message.headers["ce-sequence"]))))
        return refused

    def of(self, subject: str) -> list[int]:
        return [sequence for taken, sequence in self.taken if taken == subject]


@pytest.fixture
def time() -> Iterator[FixedClock]:
    with clock.using(FixedClock(datetime(2026, 7, 1, 12, tzinfo=UTC))) as fixed:
        assert isinstance(fixed, FixedClock)
        yield fixed


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def relay(database: Database, broker: Broker) -> Relay:
    return Relay("funding", database, broker)  # type: ignore[arg-type]


def record(database: Database, *events: tuple[str, int]) -> None:
    with database.transaction() as session:
        for subject, sequence in events:
            data = {"pool_id": ids.new_id(), "council": "S12000036", "joins_on": date(2026, 4, 1)}
            outgoing.record(session, JOINED, subject=subject, sequence=sequence, data=data)


def step(relay: Relay) -> int:
    with relay.seat() as seat:
        assert seat.lead()
        return relay.publish_batch(seat)


def rows(database: Database) -> list[Any]:
    with database.transaction() as session:
        return list(session.execute(select(outbox).order_by(outbox.c.position)))


def pending(database: Database) -> list[tuple[str, int]]:
    return [(row.subject, row.sequence) for row in rows(database) if row.published_at is None]


def test_an_empty_outbox_is_no_work(relay: Relay, broker: Broker) -> None:
    assert step(relay) == 0
    assert broker.batches == 0


def test_what_is_published_is_marked_and_not_published_again(
    relay: Relay, broker: Broker, database: Database, time: FixedClock
) -> None:
    record(database, ("a", 1), ("b", 1), ("a", 2))
    assert step(relay) == 3
    assert step(relay) == 0
    assert sorted(broker.taken) == [("a", 1), ("a", 2), ("b", 1)]
    assert {row.published_at for row in rows(database)} == {time.now()}


def test_a_rolled_back_event_is_never_published(relay: Relay, undone: Undone) -> None:
    data = {"pool_id": ids.new_id(), "council": "S12000036", "joins_on": date(2026, 4, 1)}
    undone(lambda session: outgoing.record(session, JOINED, subject="a", sequence=1, data=data))
    assert step(relay) == 0


def test_a_refused_subject_waits_as_a_whole_and_the_others_go_on(
    relay: Relay, broker: Broker, database: Database, time: FixedClock
) -> None:
    record(database, ("a", 1), ("b", 1), ("a", 2), ("b", 2), ("a", 3))
    broker.refuses = {"a"}
    step(relay)
    assert broker.of("b") == [1, 2]
    assert pending(database) == [("a", 1), ("a", 2), ("a", 3)]
    first = rows(database)[0]
    assert (first.attempts, first.last_error) == (1, "no queue takes it")
    assert [row.attempts for row in rows(database)] == [1, 0, 0, 0, 0]

    record(database, ("a", 4), ("b", 3))
    assert step(relay) == 1
    assert broker.of("a") == []
    assert broker.of("b") == [1, 2, 3]

    broker.refuses = set()
    assert step(relay) == 0
    time.advance(timedelta(seconds=2))
    step(relay)
    assert broker.of("a") == [1, 2, 3, 4]
    assert pending(database) == []


def test_waits_grow_and_are_capped(relay: Relay, broker: Broker, database: Database, time: FixedClock) -> None:
    record(database, ("a", 1))
    broker.refuses = {"a"}
    waits = []
    for attempt in range(1, 11):
        assert step(relay) == 1
        row = rows(database)[0]
        assert row.attempts == attempt
        waits.append((row.next_attempt_at - time.now()).total_seconds())
        time.advance(timedelta(seconds=waits[-1]) - timedelta(microseconds=1))
        assert step(relay) == 0
        time.advance(timedelta(microseconds=1))
    assert waits[:7] == [1, 2, 4, 8, 16, 32, 60]
    assert set(waits[6:]) == {MAX_ROW_BACKOFF_S}


def test_a_crash_between_publishing_and_marking_publishes_again_and_loses_nothing(
    relay: Relay, broker: Broker, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(database, ("a", 1), ("a", 2), ("b", 1))

    def crash(*_: object) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(relay, "_mark", crash)
        with pytest.raises(Crash):
            step(relay)
    assert len(pending(database)) == 3
    step(relay)
    assert broker.of("a") == [1, 2, 1, 2]
    assert broker.of("b") == [1, 1]
    assert pending(database) == []


def test_a_broker_that_goes_away_leaves_everything_pending(relay: Relay, broker: Broker, database: Database) -> None:
    record(database, ("a", 1), ("a", 2), ("b", 1))

    def away(number: int) -> None:
        if number == 2:
            raise PublishFailed("gone")

    broker.before_batch = away
    with pytest.raises(PublishFailed):
        step(relay)
    assert ("a", 2) in pending(database)
    broker.before_batch = lambda number: None
    step(relay)
    assert pending(database) == []
    assert broker.of("a")[-2:] in ([1, 2], [2])


def test_batches_are_bounded_and_keep_the_order(
    relay: Relay, broker: Broker, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "BATCH_SIZE", 4)
    record(database, *[("a", number) for number in range(10)])
    assert [step(relay) for _ in range(4)] == [4, 4, 2, 0]
    assert broker.of("a") == list(range(10))


def test_a_row_that_can_never_be_sent_holds_back_its_own_subject_only(
    relay: Relay, broker: Broker, database: Database
) -> None:
    """Such as one of a version that older code, rolled back, does not know."""
    record(database, ("a", 1), ("b", 1), ("b", 2), ("c", 1))
    with database.transaction() as session:
        session.execute(update(outbox).where(outbox.c.subject == "b", outbox.c.sequence == 1).values(version=99))
    for _ in range(3):
        step(relay)
    assert sorted(broker.taken) == [("a", 1), ("c", 1)]
    assert pending(database) == [("b", 1), ("b", 2)]
    assert rows(database)[1].last_error


subjects = st.lists(st.sampled_from("abc"), max_size=20)


@given(subjects)
def test_a_wave_has_a_subject_once_and_all_waves_have_every_row_in_order(letters: list[str]) -> None:
    class Row:
        def __init__(self, position: int, subject: str) -> None:
            self.position, self.subject = position, subject

    given_rows: Any = [Row(position, subject) for position, subject in enumerate(letters)]
    waves = _waves(given_rows)
    assert sorted(row.position for wave in waves for row in wave) == list(range(len(letters)))
    for wave in waves:
        assert len({row.subject for row in wave}) == len(wave) > 0
    for subject in set(letters):
        positions = [row.position for wave in waves for row in wave if row.subject == subject]
        assert positions == sorted(positions)


refusals = st.lists(st.sets(st.sampled_from("abc")), max_size=5)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(letters=subjects, refusals=refusals)
def test_whatever_is_refused_when_each_subject_keeps_its_order_and_nothing_is_lost(
    database: Database, letters: list[str], refusals: list[set[str]]
) -> None:
    with database.transaction() as session:
        session.execute(delete(outbox))
    broker = Broker()
    relay = Relay("funding", database, broker)  # type: ignore[arg-type]
    with clock.using(FixedClock(datetime(2026, 7, 1, tzinfo=UTC))) as time:
        record(database, *[(subject, number) for number, subject in enumerate(letters)])
        for refused in [*refusals, set()]:
            broker.refuses = refused
            step(relay)
            assert isinstance(time, FixedClock)
            time.advance(timedelta(seconds=MAX_ROW_BACKOFF_S))
        step(relay)
    for subject in set(letters):
        assert broker.of(subject) == [number for number, letter in enumerate(letters) if letter == subject]
    assert pending(database) == []
