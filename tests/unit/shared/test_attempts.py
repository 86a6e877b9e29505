"""Attempts at an event: what is counted, when it is the last one, and when they are forgotten."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from shared.errors import Conflict, Invalid, NotFound
from shared.events.catalogue import event_type
from shared.messaging import attempts
from shared.messaging.attempts import MAX_ATTEMPTS, MAX_ATTEMPTS_TRANSIENT, Delivery, ProcessEnded
from shared.messaging.events import Event
from shared.messaging.tables import inbox_attempts
from shared.storage.database import Database
from tests.unit.shared.conftest import Undone

EVENT = Event("e-1", event_type("funding", "member_joined"), "s", 1, datetime(2026, 7, 1, tzinfo=UTC), {})
OTHER = Event("e-2", EVENT.type, "s", 2, EVENT.time, {})
AWAY = OperationalError("select", {}, Exception("the server closed the connection"))


def begin(database: Database, event: Event = EVENT) -> int:
    return database.run(lambda session: attempts.begin(session, event))


def fail(database: Database, error: Exception, event: Event = EVENT) -> int:
    return database.run(lambda session: attempts.fail(session, event, error))


def test_failures_are_counted_per_event_with_the_last_error(database: Database) -> None:
    assert [fail(database, ValueError(word)) for word in ("one", "two")] == [1, 2]
    assert fail(database, ValueError("other"), OTHER) == 1
    with database.transaction() as session:
        rows = {row.event_id: row for row in session.execute(select(inbox_attempts))}
    assert rows["e-1"].last_error == "ValueError: two"
    assert rows["e-1"].type == EVENT.type.type


def test_an_attempt_that_ends_in_an_error_shows_that_the_event_ends_no_process(database: Database) -> None:
    assert [begin(database) for _ in range(3)] == [1, 2, 3]
    assert fail(database, ValueError()) == 1
    assert begin(database) == 1


def test_what_is_forgotten_begins_anew_and_nothing_else_is(database: Database) -> None:
    fail(database, ValueError())
    fail(database, ValueError(), OTHER)
    database.run(lambda session: attempts.forget(session, EVENT))
    assert fail(database, ValueError()) == 1
    assert fail(database, ValueError(), OTHER) == 2


def test_an_attempt_in_a_transaction_that_fails_is_not_counted(database: Database, undone: Undone) -> None:
    undone(lambda session: attempts.begin(session, EVENT))
    assert begin(database) == 1


@pytest.mark.parametrize(
    ("error", "limit"), [(ValueError("x"), MAX_ATTEMPTS), (AWAY, MAX_ATTEMPTS_TRANSIENT)], ids=["fault", "transient"]
)
def test_the_last_attempt_is_the_limits(error: Exception, limit: int) -> None:
    assert not attempts.failure(Delivery(EVENT, failed=limit - 2), error, None).is_last
    assert attempts.failure(Delivery(EVENT, failed=limit - 1), error, None).is_last
    assert not attempts.failure(Delivery(EVENT), error, limit - 1).is_last
    assert attempts.failure(Delivery(EVENT), error, limit).is_last


@given(
    failed=st.integers(min_value=0, max_value=100),
    counted=st.none() | st.integers(min_value=1, max_value=100),
)
def test_whichever_counted_more_is_believed(failed: int, counted: int | None) -> None:
    failure = attempts.failure(Delivery(EVENT, failed=failed), ValueError(), counted)
    assert failure.attempts == max(failed + 1, counted or 0)


def test_an_event_that_ends_processes_is_not_tried_again() -> None:
    failure = attempts.failure(Delivery(EVENT, again=True, failed=1), ProcessEnded(MAX_ATTEMPTS), 1)
    assert failure.is_last
    assert failure.attempts == 1 + MAX_ATTEMPTS
    assert str(MAX_ATTEMPTS) in str(failure.error)


def test_an_error_is_told_in_bounds_and_in_characters_that_a_database_keeps(database: Database) -> None:
    fail(database, ValueError("\0" + "x" * 10_000))
    with database.transaction() as session:
        kept = session.execute(select(inbox_attempts.c.last_error)).scalar_one()
    assert kept.startswith("ValueError: xx")
    assert len(kept) == attempts.MAX_ERROR_LENGTH


def test_an_error_that_quotes_a_message_cannot_write_to_a_terminal_or_forge_a_line_of_a_log() -> None:
    assert attempts.describe(ValueError("a\x1b[2J\ud800\u202eb")) == "ValueError: a\\x1b[2J\\ud800\\u202eb"


def test_what_is_itself_at_fault_is_not_tried_again_and_what_comes_too_early_is() -> None:
    at_fault = attempts.failure(Delivery(EVENT), Invalid("in_the_future", "Record it once it has moved."), 1)
    assert (at_fault.is_last, at_fault.attempts) == (True, 1)
    for error in (Conflict("too_early", "Wait."), NotFound("no_such_award", "Wait.")):
        assert not attempts.failure(Delivery(EVENT), error, 1).is_last
