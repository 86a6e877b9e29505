"""One way to run a transaction: all or nothing, again only when that can help, a wake-up only after a commit."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError
from sqlalchemy import Uuid, delete, event, insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from shared import ids
from shared.errors import Invalid
from shared.fields import Command
from shared.messaging.tables import inbox
from shared.storage import database as database_module
from shared.storage import migrate
from shared.storage.database import TRANSACTION_ATTEMPTS, Database, is_transient
from shared.storage.paging import MAX_LIMIT, PageRequest, page
from tests.unit.shared.conftest import Undone

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


def receipt(event_id: str, at: datetime = NOON) -> Any:
    return insert(inbox).values(source="s", event_id=event_id, type="t", processed_at=at)


def kept(database: Database) -> set[str]:
    with database.transaction() as session:
        return set(session.scalars(select(inbox.c.event_id)))


class DriverError(Exception):
    """An error of a driver, with PostgreSQL's code."""

    def __init__(self, pgcode: str | None) -> None:
        self.pgcode = pgcode


def failure(pgcode: str | None, kind: type[DBAPIError] = OperationalError, *, disconnected: bool = False) -> DBAPIError:
    return kind("SELECT 1", {}, DriverError(pgcode), connection_invalidated=disconnected)


class TestTransactions:
    def test_what_is_done_in_a_block_is_kept_at_its_end(self, database: Database) -> None:
        with database.transaction() as session:
            session.execute(receipt("a"))
        assert kept(database) == {"a"}

    def test_an_error_undoes_everything(self, database: Database, undone: Undone) -> None:
        undone(lambda session: [session.execute(receipt(name)) for name in "ab"])
        assert kept(database) == set()

    def test_an_end_of_the_process_undoes_everything_too(self, database: Database) -> None:
        def work(session: Session) -> None:
            session.execute(receipt("a"))
            raise SystemExit

        with pytest.raises(SystemExit):
            database.run(work)
        assert kept(database) == set()

    def test_the_database_is_free_again_after_an_error(self, database: Database) -> None:
        for _ in range(20):
            with pytest.raises(IntegrityError):
                database.run(lambda session: [session.execute(receipt("a")) for _ in range(2)])
        assert kept(database) == set()

    def test_sqlite_keeps_foreign_keys_and_writes_ahead(self, database: Database) -> None:
        with database.transaction() as session:
            assert session.execute(text("PRAGMA foreign_keys")).scalar() == 1
            assert session.execute(text("PRAGMA journal_mode")).scalar() == "wal"

    def test_check_asks_the_database(self, database: Database, tmp_path: Path) -> None:
        database.check()
        with pytest.raises(DBAPIError):
            Database(f"sqlite:///{tmp_path}/no/such/directory/x.db").check()


class TestRunning:
    @pytest.fixture(autouse=True)
    def pauses(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        taken: list[float] = []
        monkeypatch.setattr(database_module.time, "sleep", taken.append)
        return taken

    @pytest.mark.parametrize("pgcode", ["40001", "40P01", "55P03"])
    def test_a_deadlock_is_run_again_from_the_start(self, database: Database, pauses: list[float], pgcode: str) -> None:
        tries: list[int] = []

        def work(session: Session) -> str:
            tries.append(len(tries))
            session.execute(receipt(f"try-{len(tries)}"))
            if len(tries) < TRANSACTION_ATTEMPTS:
                raise failure(pgcode)
            return "done"

        assert database.run(work) == "done"
        assert kept(database) == {f"try-{TRANSACTION_ATTEMPTS}"}
        assert pauses == sorted(pauses)
        assert 0 < sum(pauses) < 1

    def test_trying_ends(self, database: Database) -> None:
        tries: list[int] = []

        def work(_: Session) -> None:
            tries.append(1)
            raise failure("40P01")

        with pytest.raises(OperationalError):
            database.run(work)
        assert len(tries) == TRANSACTION_ATTEMPTS

    @pytest.mark.parametrize(
        "error",
        [failure("23505", IntegrityError), failure(None), failure("57014"), failure("08006", disconnected=True),
         ZeroDivisionError(), Invalid("bad", "Bad.")],
        ids=lambda error: type(error).__name__,
    )  # fmt: skip
    def test_what_would_fail_again_or_may_have_happened_is_not_run_again(
        self, database: Database, error: Exception
    ) -> None:
        tries: list[int] = []

        def work(_: Session) -> None:
            tries.append(1)
            raise error

        with pytest.raises(type(error)):
            database.run(work)
        assert len(tries) == 1


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (failure("40001"), True),
        (failure("40P01", DBAPIError), True),
        (failure("55P03", DBAPIError), True),
        (failure(None), True),
        (failure(None, InterfaceError), True),
        (failure("57P01", DBAPIError, disconnected=True), True),
        (PoolTimeout("QueuePool limit reached"), True),
        (failure("23505", IntegrityError), False),
        (failure("22001", DBAPIError), False),
        (ZeroDivisionError(), False),
        (Invalid("bad", "Bad."), False),
    ],
)
def test_what_may_succeed_later_is_told_from_what_cannot(error: Exception, transient: bool) -> None:
    assert is_transient(error) is transient


class TestWakingUp:
    def test_only_a_commit_with_an_event_wakes(self, database: Database, undone: Undone) -> None:
        woken: list[set[str]] = []
        database.wake_after_commit(lambda: woken.append(kept(database)))
        with database.transaction() as session:
            session.execute(receipt("quiet"))
        assert woken == []
        undone(lambda session: session.info.update(event_recorded=True))
        assert woken == []
        with database.transaction() as session:
            session.execute(receipt("loud"))
            session.info["event_recorded"] = True
        # It was woken after the commit: it could open a transaction and saw what had been committed.
        assert woken == [{"quiet", "loud"}]


class TestMoments:
    def test_they_come_back_in_utc(self, database: Database) -> None:
        summer = timezone(timedelta(hours=1))
        with database.transaction() as session:
            session.execute(receipt("a", NOON.astimezone(summer)))
        with database.transaction() as session:
            (moment,) = session.scalars(select(inbox.c.processed_at))
        assert moment == NOON
        assert moment.utcoffset() == timedelta(0)

    def test_one_without_a_time_zone_is_refused(self, database: Database) -> None:
        with pytest.raises(StatementError, match="without a time zone"), database.transaction() as session:
            session.execute(receipt("a", NOON.replace(tzinfo=None)))


class Base(DeclarativeBase):
    """Tables of this test alone."""


class Thing(Base):
    """Something to be listed."""

    __tablename__ = "things"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    colour: Mapped[str]


class TestPaging:
    @pytest.fixture
    def things(self, database: Database) -> Database:
        Base.metadata.create_all(database.engine)
        return database

    def fill(self, database: Database, colours: list[str]) -> list[UUID]:
        made = [ids.new_id() for _ in colours]
        with database.transaction() as session:
            session.execute(delete(Thing))
            session.add_all(Thing(id=one, colour=colour) for one, colour in zip(made, colours, strict=True))
        return made

    def walk(self, database: Database, limit: int, *, newest_first: bool = False) -> list[UUID]:
        found: list[UUID] = []
        cursor = None
        while True:
            request = PageRequest().load({"limit": limit, "cursor": cursor})
            statement = select(Thing).where(Thing.colour == "red")
            with database.transaction() as session:
                answer = page(session, statement, by=Thing.id, request=request, newest_first=newest_first)
            assert 0 < len(answer["items"]) <= limit or cursor is None
            found += [thing.id for thing in answer["items"]]
            cursor = answer["next_cursor"]
            if cursor is None:
                return found

    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(colours=st.lists(st.sampled_from(["red", "blue"]), max_size=12), limit=st.integers(1, 5))
    def test_walking_all_pages_sees_each_row_once_and_in_order(
        self, things: Database, colours: list[str], limit: int
    ) -> None:
        made = self.fill(things, colours)
        red = [one for one, colour in zip(made, colours, strict=True) if colour == "red"]
        assert self.walk(things, limit) == red
        assert self.walk(things, limit, newest_first=True) == red[::-1]

    def test_rows_that_come_and_go_meanwhile_disturb_nobody_else(self, things: Database) -> None:
        made = self.fill(things, ["red"] * 6)
        with things.transaction() as session:
            first = page(session, select(Thing), by=Thing.id, request=Command(limit=3, cursor=None))
        with things.transaction() as session:
            session.execute(delete(Thing).where(Thing.id.in_([made[0], made[2]])))
            session.add(Thing(id=ids.new_id(), colour="red"))
        with things.transaction() as session:
            second = page(session, select(Thing), by=Thing.id, request=Command(limit=3, cursor=first["next_cursor"]))
        assert [thing.id for thing in second["items"]] == made[3:6]

    @pytest.mark.parametrize("cursor", ["", "x", "2", "' OR 1=1 --", "\x00", "\ud800", "0" * 31])
    def test_a_cursor_that_nobody_gave_out_is_refused(self, things: Database, cursor: str) -> None:
        with pytest.raises(Invalid) as refusal, things.transaction() as session:
            page(session, select(Thing), by=Thing.id, request=Command(limit=3, cursor=cursor))
        assert refusal.value.code == "bad_cursor"
        assert list(refusal.value.fields) == ["cursor"]

    @pytest.mark.parametrize("limit", [0, -1, MAX_LIMIT + 1, "5", 5.0, True, None])
    def test_a_page_is_bounded(self, limit: Any) -> None:
        with pytest.raises(ValidationError):
            PageRequest().load({"limit": limit})

    def test_without_a_word_a_page_is_the_largest(self) -> None:
        assert PageRequest().load({}) == Command(limit=MAX_LIMIT, cursor=None)


class TestMigrations:
    @pytest.fixture
    def migrated(self, tmp_path: Path) -> Database:
        url = f"sqlite:///{tmp_path}/migrated.db"
        migrate.upgrade("outcomes", url)
        return Database(url)

    def test_a_migrated_database_misses_nothing_and_an_empty_one_everything(
        self, migrated: Database, database: Database
    ) -> None:
        assert not migrate.missing("outcomes", migrated.engine)
        assert migrate.missing("outcomes", database.engine)

    def test_a_database_that_is_ahead_of_the_code_misses_nothing(self, migrated: Database) -> None:
        """While a new version is rolled out, the old one must be able to start again."""
        with migrated.transaction() as session:
            session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        assert not migrate.missing("outcomes", migrated.engine)


def test_a_statement_that_waits_for_a_pooled_connection_is_bounded() -> None:
    pool: Any = Database("postgresql+psycopg2://user:secret@server/database", pool_size=3).engine.pool
    assert (pool.size(), pool._max_overflow) == (3, 0)
    assert 0 < pool._timeout <= 10


def test_postgresql_is_told_every_bound() -> None:
    database = Database("postgresql+psycopg2://user:secret@server/database")
    seen: dict[str, Any] = {}

    @event.listens_for(database.engine, "do_connect")
    def look(_dialect: Any, _record: Any, _arguments: Any, parameters: dict[str, Any]) -> Any:
        seen.update(parameters)
        raise ConnectionError("seen enough")

    with pytest.raises(ConnectionError):
        database.check()
    for bound in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
        assert f"-c {bound}=" in seen["options"]
    assert seen["connect_timeout"] > 0
    assert seen.get("tcp_user_timeout", 0) > 0, "a server that vanished is noticed by no other bound"
    assert "secret" not in repr(database.url)
