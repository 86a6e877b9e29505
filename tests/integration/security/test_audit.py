"""The audit trail: what leaves a row in it, that its rows are sealed, and that a change behind its back is found."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Row, delete, event, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from services.funding.models import Pool
from shared import clock, ids
from shared.audit import reading, sealer, trail
from shared.audit.chain import Head, beginning
from shared.audit.sealer import BATCH_SIZE, SEALING_LOCK, Sealer
from shared.audit.tables import audit, audit_seals
from shared.errors import CommonwealError
from shared.ops.cli import main
from shared.security.principal import Principal
from shared.storage.own_connection import own_connection
from tests.integration.conftest import OpenDatabase
from tests.support.funding import (
    APPROVER_BEN,
    CDO_CLEO,
    EDINBURGH,
    NOW,
    TREASURER_ANN,
    Funding,
    officer,
    proposal_approved,
)

POOL = {"name": "Digital", "starts_on": "2026-04-01", "ends_on": "2029-03-31"}


@pytest.fixture
def funding(open_database: OpenDatabase) -> Iterator[Funding]:
    """The funding service on a fresh database."""
    with clock.using(clock.FixedClock(NOW)):
        yield Funding(open_database("funding"))


def rows_of(funding: Funding) -> list[Row[Any]]:
    return funding.database.run(lambda session: list(session.execute(select(audit).order_by(audit.c.position))))


def last_row(funding: Funding) -> Row[Any]:
    return rows_of(funding)[-1]


def refuse(funding: Funding, who: Principal, method: str, **arguments: Any) -> CommonwealError:
    with pytest.raises(CommonwealError) as refusal:
        funding.call(who, method, **arguments)
    return refusal.value


# What leaves a row


def test_a_write_leaves_a_row_that_says_who_did_what_to_which(funding: Funding) -> None:
    who = Principal("ann@pool.example", TREASURER_ANN.roles, token_id="01a20c19-4b72")
    pool = funding.call(who, "create_pool", **POOL)
    [row] = rows_of(funding)
    assert (row.kind, row.method, row.outcome, row.error) == ("call", "create_pool", "done", None)
    assert (row.subject, row.council, row.roles, row.token_id) == (
        "ann@pool.example", None, ["treasurer"], "01a20c19-4b72"
    )  # fmt: skip
    assert row.objects == {"pool_id": pool["pool_id"]}
    assert row.recorded_at == NOW
    assert len(row.request_hash) == 32


def test_the_row_tells_two_requests_apart_and_keeps_nothing_of_them(funding: Funding) -> None:
    for name in ("One", "One", "Another"):
        funding.call(TREASURER_ANN, "create_pool", **POOL | {"name": name})
    one, again, another = rows_of(funding)
    assert one.request_hash == again.request_hash != another.request_hash
    assert "One" not in str(one)


def test_a_write_that_comes_again_is_told_apart_from_the_first(funding: Funding) -> None:
    for _ in range(2):
        funding.call(TREASURER_ANN, "create_pool", **POOL, idempotency_key="the-same-key")
    assert [row.outcome for row in rows_of(funding)] == ["done", "repeated"]


def test_a_read_leaves_none(funding: Funding) -> None:
    pool_id = funding.pool(EDINBURGH)
    before = len(rows_of(funding))
    funding.call(TREASURER_ANN, "get_pool", pool_id=pool_id)
    funding.call(CDO_CLEO, "list_transactions", pool_id=pool_id)
    assert len(rows_of(funding)) == before


@pytest.mark.parametrize(
    ("who", "method", "arguments", "outcome"),
    [
        pytest.param(APPROVER_BEN, "create_pool", POOL, ("role_needed", "Forbidden"), id="a role that may not"),
        pytest.param(TREASURER_ANN, "create_pool", {"name": ""}, ("invalid_request", "Invalid"), id="a mistake"),
        pytest.param(
            TREASURER_ANN, "create_pool", {**POOL, "x" * 300 + "\0_id": "\0"}, ("invalid_request", "Invalid"),
            id="a field that no database would take",
        ),
        pytest.param(
            officer(EDINBURGH), "get_pool", {"pool_id": str(ids.new_id())}, ("no_such_pool", "NotFound"),
            id="a read of what is not there for the caller",
        ),
    ],
)  # fmt: skip
def test_a_refusal_leaves_a_row(
    funding: Funding, who: Principal, method: str, arguments: dict[str, Any], outcome: tuple[str, str]
) -> None:
    refusal = refuse(funding, who, method, **arguments)
    [row] = rows_of(funding)
    assert (row.outcome, row.error) == outcome == (refusal.code, type(refusal).__name__)
    assert (row.method, row.subject, row.council) == (method, who.subject, who.council)


def test_a_refused_write_leaves_its_row_and_nothing_else(funding: Funding) -> None:
    pool_id = funding.funded_pool(amount_pence=50_00)
    before = len(funding.recorded())
    assert refuse(funding, TREASURER_ANN, "offer_award", pool_id=pool_id, proposal_id=funding.candidate(),
                  amount_pence=25_000_00, expires_on="2026-06-30")  # fmt: skip
    row = last_row(funding)
    assert (row.method, row.error) == ("offer_award", "Conflict")
    assert row.objects["pool_id"] == pool_id
    assert len(funding.recorded()) == before


def test_a_key_that_is_used_for_something_else_leaves_a_row(funding: Funding) -> None:
    funding.call(TREASURER_ANN, "create_pool", **POOL, idempotency_key="the-same-key")
    refuse(funding, TREASURER_ANN, "create_pool", **POOL | {"name": "Other"}, idempotency_key="the-same-key")
    assert last_row(funding).outcome == "idempotency_key_reused"


def test_an_event_leaves_a_row_with_its_effect_and_none_when_it_comes_again(funding: Funding) -> None:
    approved = proposal_approved(ids.new_id())
    funding.receive(approved)
    funding.receive(approved)
    [row] = rows_of(funding)
    assert (row.kind, row.method, row.outcome) == ("event", "commonweal.proposals.proposal_approved.v1", "done")
    assert (row.subject, row.objects) == ("proposals", {"event_id": approved.id, "subject": approved.subject})


def test_no_write_without_its_row(funding: Funding) -> None:
    """The row and what it tells of are one transaction: where the row cannot be written, nothing is."""

    def fail(connection: Any, statement: Any, *_: Any) -> None:
        if getattr(statement, "table", None) is audit:
            raise ValueError("no row today")

    event.listen(funding.database.engine, "before_execute", fail)
    with pytest.raises(ValueError, match="no row today"):
        funding.call(TREASURER_ANN, "create_pool", **POOL)
    with pytest.raises(ValueError, match="no row today"):
        funding.receive(proposal_approved(ids.new_id()))
    event.remove(funding.database.engine, "before_execute", fail)
    assert rows_of(funding) == []
    assert funding.database.run(lambda session: session.scalar(select(func.count()).select_from(Pool))) == 0
    assert funding.recorded() == []


def test_a_refused_message_leaves_what_it_says_of_itself_bounded_and_printable(funding: Funding) -> None:
    claims = {"event_type": "x" * 500, "source": "\0\u202e", "event_id": None, "subject": "s" * 500}
    funding.database.run(
        lambda session: trail.record_refused_event(session, "schema", publisher="eve", **claims)  # type: ignore[arg-type]
    )
    [row] = rows_of(funding)
    assert (row.kind, row.outcome, row.error, row.subject) == ("event", "schema", "Refused", "eve")
    assert row.method == "x" * 127 + "\N{HORIZONTAL ELLIPSIS}"
    assert row.objects == {"source": r"\x00\u202e", "subject": "s" * 127 + "\N{HORIZONTAL ELLIPSIS}"}


# How rows are sealed


@pytest.fixture
def seals(funding: Funding) -> Iterator[Callable[[], Sealer]]:
    """Makes sealers of the trail, each on a connection of its own, as a process that starts does."""
    with ExitStack() as stack:
        yield lambda: Sealer("funding", stack.enter_context(own_connection(funding.database)))


def verified(funding: Funding, *known: Head) -> Head:
    return reading.verify(beginning("funding"), reading.links(funding.database), known)


ROW: dict[str, Any] = {
    "recorded_at": NOW,
    "kind": "call",
    "method": "create_pool",
    "outcome": "role_needed",
    "error": "Forbidden",
    "subject": "eve",
    "council": None,
    "roles": ["sponsor"],
    "token_id": None,
    "objects": {},
    "request_hash": b"0" * 32,
}


def add(funding: Funding, *positions: int, number: int = 0) -> None:
    """Add rows as refusals do, at certain positions or so many."""
    rows = [{**ROW, "position": position} for position in positions] or [ROW] * number
    funding.database.run(lambda session: session.execute(insert(audit), rows))


def test_every_row_is_sealed_in_batches_and_the_chain_goes_on_after_a_restart(
    funding: Funding, seals: Callable[[], Sealer]
) -> None:
    add(funding, number=BATCH_SIZE + 7)
    first = seals()
    assert [first.seal(), first.seal(), first.seal()] == [BATCH_SIZE, 7, 0]
    noted = first.head
    assert reading.waiting(funding.database).rows == 0
    funding.pool(EDINBURGH)
    assert reading.waiting(funding.database) == reading.Waiting(2, NOW)
    assert seals().seal() == 2
    assert verified(funding, noted).number == BATCH_SIZE + 9


def test_a_row_that_becomes_visible_late_is_sealed_late(funding: Funding, seals: Callable[[], Sealer]) -> None:
    if not funding.database.is_postgresql:
        pytest.skip("SQLite has one writer at a time: rows become visible in their order")
    with funding.database.engine.connect() as slow:
        slow.execute(insert(audit), [ROW])
        funding.pool(EDINBURGH)
        sealing = seals()
        assert sealing.seal() == 2
        slow.commit()
    assert sealing.seal() == 1
    assert verified(funding).number == 3


def test_a_row_further_back_than_the_window_is_swept_up(
    funding: Funding, seals: Callable[[], Sealer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealer, "WINDOW", 5)
    add(funding, *(position for position in range(1, 31) if position != 3))
    sealing = seals()
    assert sealing.seal() == 29
    add(funding, 3)
    assert sealing.seal() == 0
    assert reading.waiting(funding.database).rows == 1
    monkeypatch.setattr(sealer, "SWEEP_INTERVAL_S", 0.0)
    assert sealing.seal() == 1
    assert verified(funding).number == 30


def test_one_sealer_at_a_time_seals_a_database(funding: Funding) -> None:
    if not funding.database.is_postgresql:
        pytest.skip("SQLite has one process")
    with own_connection(funding.database) as first, own_connection(funding.database) as second:
        assert first.try_lock(SEALING_LOCK)
        assert not second.try_lock(SEALING_LOCK)


def test_two_sealers_that_both_believe_it_is_their_turn_do_not_fork_the_chain(
    funding: Funding, seals: Callable[[], Sealer]
) -> None:
    """A lock that was lost unnoticed: the number of a seal is taken once, and the second sealer fails."""
    first, second = seals(), seals()
    add(funding, number=1)
    assert first.seal() == 1
    add(funding, number=1)
    with pytest.raises(DBAPIError):
        second.seal()
    assert first.seal() == 1
    assert verified(funding).number == 2


def test_writers_at_once_leave_a_chain_that_holds(funding: Funding, seals: Callable[[], Sealer]) -> None:
    def write() -> None:
        for _ in range(10):
            funding.call(TREASURER_ANN, "create_pool", **POOL)

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    sealing = seals()
    while any(writer.is_alive() for writer in writers):
        sealing.seal()
    for writer in writers:
        writer.join()
    sealing.seal()
    assert verified(funding).number == 40


# What is changed behind its back


@pytest.fixture
def sealed(funding: Funding, seals: Callable[[], Sealer]) -> Head:
    """A trail of the rows 1 to 20, all sealed; returns its head."""
    add(funding, *range(1, 21))
    sealing = seals()
    sealing.seal()
    return sealing.head


def behind_its_back(funding: Funding, change: Any) -> None:
    """Change the trail as somebody does who owns the database and takes its guards away."""
    with funding.database.engine.begin() as connection:
        if funding.database.is_postgresql:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
        else:
            for table in ("audit", "audit_seals"):
                connection.execute(text(f"DROP TRIGGER {table}_no_update"))
                connection.execute(text(f"DROP TRIGGER {table}_no_delete"))
        connection.execute(change)


def command(funding: Funding, *arguments: str) -> Result:
    url = funding.database.url.render_as_string(hide_password=False)
    return CliRunner().invoke(main, ["audit", *arguments], env={"COMMONWEAL_DATABASE_URL": url})


@pytest.mark.parametrize(
    "change",
    [
        update(audit).where(audit.c.position == 13).values(subject="mallory"),
        update(audit).where(audit.c.position == 13).values(outcome="done"),
        update(audit).where(audit.c.position == 13).values(request_hash=b"1" * 32),
        update(audit).where(audit.c.position == 13).values(roles=["cdo"]),
        delete(audit).where(audit.c.position == 13),
        update(audit_seals).where(audit_seals.c.number == 13).values(hash=b"1" * 32),
        update(audit_seals).where(audit_seals.c.number == 13).values(sealed_at=NOW.replace(year=2020)),
    ],
    ids=["subject", "outcome", "request", "roles", "row deleted", "seal's hash", "seal's time"],
)
def test_an_edit_behind_its_back_is_found_at_its_row(funding: Funding, sealed: Head, change: Any) -> None:
    assert command(funding, "verify", "funding").exit_code == 0
    behind_its_back(funding, change)
    result = command(funding, "verify", "funding")
    assert result.exit_code == 1
    assert re.match("funding: BROKEN: row 13 is (not as seal 13|missing, which seal 13) ", result.output)
    exported = command(funding, "export", "funding")
    assert exported.exit_code == 1
    assert len(exported.stdout.splitlines()) == 12
    assert "row 13" in exported.stderr


def test_a_seal_that_was_deleted_is_found(funding: Funding, sealed: Head) -> None:
    behind_its_back(funding, delete(audit_seals).where(audit_seals.c.number == 13))
    assert "seal 13 is missing" in command(funding, "verify", "funding").output


def test_an_end_that_was_cut_off_shows_against_a_head_that_was_noted(funding: Funding, sealed: Head) -> None:
    behind_its_back(funding, delete(audit).where(audit.c.position > 15))
    with funding.database.engine.begin() as connection:
        if funding.database.is_postgresql:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(delete(audit_seals).where(audit_seals.c.number > 15))
    assert command(funding, "verify", "funding").exit_code == 0
    result = command(funding, "verify", "funding", "--head", str(sealed))
    assert result.exit_code == 1
    assert "the trail ends with seal 15, and seal 20 was noted" in result.output


@pytest.mark.parametrize("table", ["audit", "audit_seals"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET position = position + 100", "DELETE FROM {}", "TRUNCATE {}"])
def test_the_database_itself_refuses_to_change_the_trail(
    funding: Funding, sealed: Head, table: str, statement: str
) -> None:
    if statement.startswith("TRUNCATE") and not funding.database.is_postgresql:
        pytest.skip("SQLite has no TRUNCATE")
    with pytest.raises(DBAPIError, match=f"{table} is append-only"), funding.database.engine.begin() as connection:
        connection.execute(text(statement.format(table)))


# What an operator types


def test_verify_says_what_it_found(funding: Funding, sealed: Head) -> None:
    assert command(funding, "verify", "funding").output == f"funding: 20 rows hold, head {sealed}\n"
    add(funding, 21)
    result = command(funding, "verify", "funding", "--json", "--head", str(sealed))
    assert json.loads(result.output) == {
        "service": "funding", "holds": True, "rows": 20, "head": str(sealed), "not_sealed": 1,
        "not_sealed_since": NOW.isoformat(),
    }  # fmt: skip
    assert "; 1 not sealed yet, the oldest of 2026-06-01T09:00:00+00:00" in command(funding, "verify", "funding").output


def test_an_exported_trail_is_verified_without_the_database(funding: Funding, sealed: Head, tmp_path: Path) -> None:
    trail_file = tmp_path / "funding.jsonl"
    result = command(funding, "export", "funding", "--output", str(trail_file))
    assert result.stderr == f"funding: 20 rows, up to head {sealed}\n"
    assert "there already" in command(funding, "export", "funding", "--output", str(trail_file)).output

    def verify(*options: str) -> Result:
        arguments = ["audit", "verify", "funding", "--file", str(trail_file), *options]
        return CliRunner().invoke(main, arguments, env={"COMMONWEAL_DATABASE_URL": ""})

    assert verify("--head", str(sealed)).output == f"funding: 20 rows hold, head {sealed}\n"
    lines = trail_file.read_text().splitlines()
    trail_file.write_text("\n".join(line.replace("eve", "ann") if at == 12 else line for at, line in enumerate(lines)))
    assert "row 13 is not as seal 13" in verify().output
    trail_file.write_text("\n".join(lines[10:]))
    assert "seal 1 is missing" in verify().output
    tenth = json.loads(lines[9])["seal"]
    assert verify("--after", f"10:{tenth['hash']}").output == f"funding: 10 rows hold, head {sealed}\n"
    trail_file.write_text("nonsense\n")
    assert verify().exit_code == 2


def test_a_trail_that_cannot_be_read_is_told_apart_from_one_that_is_broken(tmp_path: Path) -> None:
    missing = {"COMMONWEAL_DATABASE_URL": f"sqlite:///{tmp_path}/empty.db"}
    result = CliRunner().invoke(main, ["audit", "verify", "funding"], env=missing)
    assert (result.exit_code, "commonweal-ops migrate funding" in result.output) == (2, True)
    away = {"COMMONWEAL_DATABASE_URL": "postgresql+psycopg2://ann:s3cret@127.0.0.1:1/funding"}
    result = CliRunner().invoke(main, ["audit", "verify", "funding"], env=away)
    assert (result.exit_code, "s3cret" in result.output) == (2, False)
    for wrong in (["--head", "x"], ["--head", "1:00"]):
        assert CliRunner().invoke(main, ["audit", "verify", "funding", *wrong], env=missing).exit_code == 2
