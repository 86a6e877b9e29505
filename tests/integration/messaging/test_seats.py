"""Relays of several processes at one database: one leads, hears of the others' commits, and hands over when it dies."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, cast

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from shared.messaging.publisher import Publisher
from shared.messaging.relay import LEADER_LOCK, Relay, Seat
from shared.messaging.wakeup import Wakeup
from shared.storage.database import Database
from tests.support.stage import eventually

LONG_S = 60.0


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    made = Database(database_url)
    yield made
    made.close()


@pytest.fixture
def seats(database: Database) -> Iterator[tuple[Seat, Seat]]:
    """Two relays' places; their publishers are not asked."""
    with ExitStack() as stack:
        first, second = (Relay("funding", database, cast(Publisher, None)) for _ in range(2))
        yield stack.enter_context(first.seat()), stack.enter_context(second.seat())


def wait_in_thread(seat: Seat, wakeup: Wakeup) -> tuple[threading.Thread, list[Any]]:
    """Wait at a seat in a thread; its answer or error comes into the list."""
    answers: list[Any] = []

    def wait() -> None:
        try:
            answers.append(seat.wait(wakeup, LONG_S))
        except Exception as error:
            answers.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread, answers


def end_session_that_leads(database: Database) -> None:
    query = text("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted "
                 "AND ((classid::bigint << 32) | objid::bigint) = :lock "
                 "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")  # fmt: skip
    with database.transaction() as session:
        assert session.execute(query, {"lock": LEADER_LOCK}).all() == [(True,)]


def test_one_leads(seats: tuple[Seat, Seat]) -> None:
    first, second = seats
    assert first.lead()
    assert first.lead()
    assert not second.lead()


def test_who_leads_hears_of_a_commit_in_another_process(seats: tuple[Seat, Seat]) -> None:
    first, second = seats
    assert first.lead()
    waiting, answers = wait_in_thread(first, Wakeup())
    second.tell_leader()
    waiting.join(LONG_S / 2)
    assert answers == [True]


def test_a_word_that_came_while_nobody_waited_is_not_lost(seats: tuple[Seat, Seat]) -> None:
    first, second = seats
    assert first.lead()
    second.tell_leader()
    # Its next query brings the word with its answer, so that nothing is left to arrive.
    with first.transaction() as connection:
        connection.execute(text("SELECT 1"))
    assert first.wait(Wakeup(), LONG_S)
    assert not first.wait(Wakeup(), 0)


def test_a_commit_here_ends_the_wait_at_the_database_too(seats: tuple[Seat, Seat]) -> None:
    first, _ = seats
    assert first.lead()
    wakeup = Wakeup()
    waiting, answers = wait_in_thread(first, wakeup)
    wakeup.set()
    waiting.join(LONG_S / 2)
    assert answers == [True]


def test_who_loses_the_connection_learns_it_at_once_and_another_takes_over(
    seats: tuple[Seat, Seat], database: Database
) -> None:
    first, second = seats
    assert first.lead()
    waiting, answers = wait_in_thread(first, Wakeup())
    end_session_that_leads(database)
    waiting.join(LONG_S / 2)
    assert len(answers) == 1
    eventually(second.lead)
    with pytest.raises(DBAPIError), first.transaction() as connection:
        connection.execute(text("SELECT 1"))
