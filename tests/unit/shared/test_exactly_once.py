"""What makes an effect happen once: the outbox's strictness, the inbox's receipts, the place of an idempotency key."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError
from sqlalchemy import select

from shared import clock, ids
from shared.clock import FixedClock
from shared.errors import Conflict
from shared.events.catalogue import event_type
from shared.messaging import inbox, outbox, tables
from shared.messaging.events import Event
from shared.messaging.idempotency import IdempotencyKey, Slot
from shared.storage.database import Database
from tests.unit.shared.conftest import Undone

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
JOINED = event_type("funding", "member_joined")
DATA: dict[str, Any] = {"pool_id": UUID(int=7), "council": "S12000036", "joins_on": date(2026, 4, 1)}


class TestOutbox:
    def test_an_event_is_recorded_as_json(self, database: Database) -> None:
        with clock.using(FixedClock(NOON)), database.transaction() as session:
            outbox.record(session, JOINED, subject=UUID(int=7), sequence=2, data=DATA)
        (row,) = self.rows(database)
        assert (row.name, row.version, row.subject, row.sequence) == ("member_joined", 1, str(UUID(int=7)), 2)
        assert row.data == {"pool_id": str(UUID(int=7)), "council": "S12000036", "joins_on": "2026-04-01"}
        assert row.recorded_at == NOON
        assert row.event_id.version == 7
        assert (row.published_at, row.attempts, row.next_attempt_at) == (None, 0, None)

    @pytest.mark.parametrize(
        "changes",
        [{"surprise": 1}, {"council": "S12000099"}, {"council": None}, {"joins_on": None}, {"pool_id": None}],
    )
    def test_what_breaks_its_own_schema_is_not_recorded(self, database: Database, changes: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=JOINED.type), database.transaction() as session:
            outbox.record(session, JOINED, subject="s", sequence=1, data={**DATA, **changes})
        assert self.rows(database) == []

    def test_an_event_without_a_subject_could_never_be_sent_and_is_not_recorded(self, database: Database) -> None:
        with pytest.raises(ValueError, match="subject"), database.transaction() as session:
            outbox.record(session, JOINED, subject="", sequence=1, data=DATA)

    def rows(self, database: Database) -> list[Any]:
        with database.transaction() as session:
            return list(session.execute(select(tables.outbox)))


class TestInbox:
    def event(self, event_id: str = "e-1", kind: str = "member_joined") -> Event:
        return Event(event_id, event_type("funding", kind), "s", 1, NOON, {})

    def test_an_event_is_received_once(self, database: Database) -> None:
        with database.transaction() as session:
            assert inbox.receive(session, self.event())
            assert not inbox.receive(session, self.event())
        with database.transaction() as session:
            assert not inbox.receive(session, self.event())
            assert inbox.receive(session, self.event("e-2"))

    def test_the_same_id_of_another_source_is_another_event(self, database: Database) -> None:
        other = Event("e-1", event_type("outcomes", "milestone_achieved"), "s", 1, NOON, {})
        with database.transaction() as session:
            assert inbox.receive(session, self.event())
            assert inbox.receive(session, other)

    def test_the_same_id_of_another_type_is_the_same_event(self, database: Database) -> None:
        with database.transaction() as session:
            assert inbox.receive(session, self.event())
            assert not inbox.receive(session, self.event(kind="pool_opened"))

    def test_a_receipt_goes_with_its_transaction(self, database: Database, undone: Undone) -> None:
        undone(lambda session: inbox.receive(session, self.event()))
        with database.transaction() as session:
            assert inbox.receive(session, self.event())


class TestIdempotencyKey:
    REQUEST = {"name": "A pool", "amounts": [1, 2]}

    def slot(self, session: Any, **changes: Any) -> Slot:
        arguments: dict[str, Any] = {
            "subject": "ann", "key": "key-00001", "method": "create_pool", "request": self.REQUEST,
        }  # fmt: skip
        return Slot(session, **{**arguments, **changes})

    def write(self, database: Database, answer: Any, **changes: Any) -> None:
        with database.transaction() as session:
            slot = self.slot(session, **changes)
            assert slot.claim()
            slot.fill(answer)

    @pytest.mark.parametrize("answer", [{"pool_id": "p-1", "years": ["2026-27"], "n": None}, [], None, "text", 0])
    def test_the_second_time_gets_the_first_answer(self, database: Database, answer: Any) -> None:
        self.write(database, answer)
        for _ in range(2):
            with database.transaction() as session:
                slot = self.slot(session)
                assert not slot.claim()
                assert slot.first_answer() == answer

    @pytest.mark.parametrize(
        "changes",
        [{"request": {**REQUEST, "name": "Another"}}, {"request": {**REQUEST, "amounts": [2, 1]}}, {"request": {}},
         {"method": "add_member"}],
    )  # fmt: skip
    def test_another_request_under_the_same_key_is_a_conflict(
        self, database: Database, changes: dict[str, Any]
    ) -> None:
        self.write(database, {"pool_id": "p-1"})
        with database.transaction() as session:
            slot = self.slot(session, **changes)
            assert not slot.claim()
            with pytest.raises(Conflict) as refusal:
                slot.first_answer()
        assert refusal.value.code == "idempotency_key_reused"
        assert list(refusal.value.fields) == ["idempotency_key"]

    def test_the_order_of_arguments_is_no_difference(self, database: Database) -> None:
        self.write(database, "first")
        with database.transaction() as session:
            slot = self.slot(session, request=dict(reversed(self.REQUEST.items())))
            assert not slot.claim()
            assert slot.first_answer() == "first"

    def test_keys_of_different_callers_are_different_keys(self, database: Database) -> None:
        self.write(database, "ann's")
        self.write(database, "bob's", subject="bob")
        self.write(database, "another", key="key-00002")

    def test_a_write_that_failed_leaves_its_key_free(self, database: Database, undone: Undone) -> None:
        undone(lambda session: self.slot(session).claim())
        self.write(database, "second try", request={"corrected": True})

    @pytest.mark.parametrize(
        "key", ["12345678", "01a20b16-5111-7343-a143-5e7c66c89b2a", "!" * 128, "~#%/:=?"[:7] + "x"]
    )
    def test_a_key_is_printable_ascii(self, key: str) -> None:
        assert IdempotencyKey().deserialize(key) == key

    @pytest.mark.parametrize("key", ["", "1234567", "x" * 129, "with space", "tab\there", "newline1\n", "éèàùéèàù", 5])
    def test_other_keys_are_refused(self, key: Any) -> None:
        with pytest.raises(ValidationError):
            IdempotencyKey().deserialize(key)

    def test_a_key_may_be_left_out(self) -> None:
        assert IdempotencyKey().deserialize(None) is None


@given(st.integers(2, 200))
def test_ids_sort_by_the_time_they_were_made(count: int) -> None:
    made = [ids.new_id() for _ in range(count)]
    assert made == sorted(made)
    assert len(set(made)) == count
    assert {one.version for one in made} == {7}
