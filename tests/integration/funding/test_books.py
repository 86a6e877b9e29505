"""The books: what the ledger shows, what it refuses, and that its check finds what somebody changed."""

import contextlib
import sqlite3
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import case, delete, event, insert, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from services.funding import ledger, ledger_store
from services.funding.ledger import Posting, Transaction
from services.funding.models import (
    LedgerAccount,
    LedgerAttribution,
    LedgerContributor,
    LedgerHead,
    LedgerPosting,
    LedgerTransaction,
)
from shared import ids
from shared.errors import Conflict, Forbidden
from shared.storage.database import Database
from tests.support.funding import (
    ABERDEENSHIRE,
    APPROVER_BEN,
    EDINBURGH,
    FIFE,
    NOW,
    TREASURER_ANN,
    Funding,
    officer,
    proposer,
)

FORGED_NUMBER = 99


def verify(funding: Funding, pool_id: str) -> dict[str, Any]:
    return funding.call(TREASURER_ANN, "verify_ledger", pool_id=pool_id)


def transactions(funding: Funding, pool_id: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = funding.call(TREASURER_ANN, "list_transactions", pool_id=pool_id)["items"]
    return items


def without_guards(database: Database) -> None:
    """Take the guards of the ledger away, as somebody with the run of the database can."""
    with database.engine.begin() as connection:
        if database.is_postgresql:
            connection.execute(text("ALTER TABLE ledger_transactions DISABLE TRIGGER USER"))
            connection.execute(text("ALTER TABLE ledger_postings DISABLE TRIGGER USER"))
            connection.execute(text("ALTER TABLE ledger_attributions DISABLE TRIGGER USER"))
            return
        names = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars()
        for name in list(names):
            connection.execute(text(f"DROP TRIGGER {name}"))


def account_id(session: Session, name: str) -> UUID:
    return session.scalars(select(LedgerAccount.id).where(LedgerAccount.name == name)).one()


def _insert_transaction(session: Session, pool_id: str) -> UUID:
    transaction_id = ids.new_id()
    session.execute(
        insert(LedgerTransaction).values(
            id=transaction_id,
            pool_id=UUID(pool_id),
            number=FORGED_NUMBER,
            hash=bytes(32),
            key="forged:1",
            kind="receipt",
            effective_on=NOW.date(),
            recorded_at=NOW,
            author="mallory",
            about={},
        )
    )
    return transaction_id


# --- what it shows --------------------------------------------------------------------------------------------------


def test_every_movement_of_money_is_a_transaction(funding: Funding) -> None:
    pool_id = funding.pool(EDINBURGH)
    funding.call(
        TREASURER_ANN, "set_contributions", pool_id=pool_id, year="2026-27", total_pence=30_000_00, scheme="equal"
    )
    funding.receipt(pool_id, amount_pence=50_000_00, bank_reference="BACS-1")
    declined = funding.approved_offer(pool_id)
    funding.call(officer(EDINBURGH), "decline_award", award_id=declined["award_id"], reason="No staff.")
    award = funding.active_award(pool_id)
    funding.approved_drawdown(award)
    funding.call(
        TREASURER_ANN,
        "record_payment",
        award_id=award["award_id"],
        tranche="alpha",
        payment_reference="PAY-1",
        paid_on="2026-06-01",
    )
    reserved, committed = f"reserved:{award['proposal_id']}", f"committed:{award['project_id']}"
    listed = transactions(funding, pool_id)
    assert [
        (it["kind"], {posting["account"]: posting["amount_pence"] for posting in it["postings"]}) for it in listed
    ] == [
        ("pledge", {f"council:{EDINBURGH}": -30_000_00, f"pledged:{EDINBURGH}": 30_000_00}),
        (
            "receipt",
            {f"pledged:{EDINBURGH}": -30_000_00, f"council:{EDINBURGH}": -20_000_00, "available": 50_000_00},
        ),
        ("reserve", {"available": -25_000_00, f"reserved:{declined['proposal_id']}": 25_000_00}),
        ("release", {f"reserved:{declined['proposal_id']}": -25_000_00, "available": 25_000_00}),
        ("reserve", {"available": -25_000_00, reserved: 25_000_00}),
        ("commit", {reserved: -25_000_00, committed: 25_000_00}),
        ("pay", {committed: -10_000_00, f"paid:{award['project_id']}": 10_000_00}),
    ]
    assert listed[-1] == {
        "transaction_id": listed[-1]["transaction_id"],
        "number": 7,
        "hash": listed[-1]["hash"],
        "kind": "pay",
        "key": "payment:PAY-1",
        "effective_on": "2026-06-01",
        "recorded_at": "2026-06-01T09:00:00+00:00",
        "author": TREASURER_ANN.subject,
        "approver": APPROVER_BEN.subject,
        "about": {
            "award_id": award["award_id"],
            "project_id": award["project_id"],
            "tranche": "alpha",
            "payment_reference": "PAY-1",
        },
        "postings": listed[-1]["postings"],
        "attributions": [{"council": EDINBURGH, "amount_pence": 10_000_00}],
    }
    assert [it["number"] for it in listed] == list(range(1, 8))
    assert len({it["hash"] for it in listed}) == 7
    assert listed[1]["effective_on"] == "2026-05-29"
    assert verify(funding, pool_id) == {"ok": True, "transactions": 7, "postings": 15, "problems": []}


def test_transactions_come_in_pages(funding: Funding) -> None:
    pool_id = funding.pool()
    for number in range(3):
        funding.receipt(pool_id, bank_reference=f"BACS-{number}")
    first = funding.call(TREASURER_ANN, "list_transactions", pool_id=pool_id, limit=2)
    rest = funding.call(TREASURER_ANN, "list_transactions", pool_id=pool_id, limit=2, cursor=first["next_cursor"])
    assert [it["key"] for it in first["items"] + rest["items"]] == [f"receipt:BACS-{number}" for number in range(3)]
    assert rest["next_cursor"] is None


def test_transactions_come_in_the_order_of_their_numbers_whatever_the_clocks_say(
    funding: Funding, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool_id = funding.pool()
    backwards = (UUID(int=number) for number in range(1_000_000, 0, -1))
    monkeypatch.setattr(ids, "new_id", lambda: next(backwards))
    for number in range(5):
        funding.receipt(pool_id, bank_reference=f"BACS-{number}")
    keys: list[str] = []
    cursor = None
    while len(keys) < 5:
        page = funding.call(TREASURER_ANN, "list_transactions", pool_id=pool_id, limit=2, cursor=cursor)
        keys += [it["key"] for it in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert keys == [f"receipt:BACS-{number}" for number in range(5)]


def test_a_council_sees_what_moves_its_own_accounts(funding: Funding) -> None:
    pool_id = funding.funded_pool()
    funding.receipt(pool_id, council=FIFE, bank_reference="BACS-FIFE")
    funding.offer(pool_id, funding.candidate())
    listed = funding.call(proposer(FIFE), "list_transactions", pool_id=pool_id)["items"]
    assert [it["key"] for it in listed] == ["receipt:BACS-FIFE"]


def test_each_pool_has_its_own_ledger(funding: Funding) -> None:
    full, empty = funding.funded_pool(), funding.pool()
    assert verify(funding, full)["transactions"] == 1
    assert verify(funding, empty) == {"ok": True, "transactions": 0, "postings": 0, "problems": []}
    with pytest.raises(Conflict):
        funding.offer(empty, funding.candidate())


def test_the_check_is_for_the_pools_own_people(funding: Funding) -> None:
    with pytest.raises(Forbidden):
        funding.call(officer(EDINBURGH), "verify_ledger", pool_id=funding.pool())


def test_what_is_paid_while_the_check_looks_is_seen_whole_or_not_at_all(funding: Funding) -> None:
    if not funding.database.is_postgresql:
        pytest.skip("SQLite has one transaction at a time")
    pool_id = funding.funded_pool()
    keys = [f"part-{number}" for number in range(15)]
    award = funding.offer(
        pool_id, funding.candidate(tranches=tuple((key, 1_00) for key in keys)), amount_pence=len(keys) * 1_00
    )
    funding.call(APPROVER_BEN, "approve_award", award_id=award["award_id"])
    award = funding.call(officer(EDINBURGH), "accept_award", award_id=award["award_id"])
    for key in keys:
        funding.approved_drawdown(award, key)
    meanwhile = Funding(Database(funding.database.url.render_as_string(hide_password=False)))

    def pay(*_: Any) -> None:
        if keys:
            key = keys.pop()
            about = {"award_id": award["award_id"], "tranche": key, "payment_reference": key}
            meanwhile.call(TREASURER_ANN, "record_payment", paid_on="2026-06-01", **about)

    event.listen(funding.database.engine, "after_cursor_execute", pay)
    try:
        assert verify(funding, pool_id)["problems"] == []
    finally:
        event.remove(funding.database.engine, "after_cursor_execute", pay)
        meanwhile.database.close()
    assert len(keys) < 5


def test_accounts_that_are_there_are_locked_by_one_statement(funding: Funding) -> None:
    pool_id = UUID(funding.funded_pool())
    there = [ledger.AVAILABLE, ledger.council_account(EDINBURGH), ledger.pledged_account(EDINBURGH)]
    new = [ledger.council_account(FIFE), ledger.pledged_account(FIFE)]
    sent: list[str] = []

    def lock(session: Session, accounts: list[str]) -> tuple[dict[str, int], int]:
        session.connection()
        sent.clear()
        return ledger_store.lock(session, pool_id, accounts), len(sent)

    def catch(_: Any, __: Any, statement: str, *___: Any) -> None:
        sent.append(statement)

    event.listen(funding.database.engine, "before_cursor_execute", catch)
    held = dict(zip(there, (100_000_00, -100_000_00, 0), strict=True))
    assert funding.database.run(lambda session: lock(session, there)) == (held, 1)
    # Looked for, made, the chain's beginning with them, and locked.
    made = held | dict.fromkeys(new, 0)
    assert funding.database.run(lambda session: lock(session, there + new)) == (made, 4)
    assert funding.database.run(lambda session: lock(session, there + new)) == (made, 1)


# --- what it refuses ------------------------------------------------------------------------------------------------


def test_all_of_a_posting_is_written_or_nothing(funding: Funding) -> None:
    pool_id = funding.funded_pool(10_00)
    one = ledger.reserve(
        award_id=ids.new_id(), proposal_id=ids.new_id(), amount_pence=6_00, on=NOW.date(), author="ann"
    )
    other = ledger.reserve(
        award_id=ids.new_id(), proposal_id=ids.new_id(), amount_pence=6_00, on=NOW.date(), author="ann"
    )
    with pytest.raises(Conflict):
        funding.database.run(lambda session: ledger_store.post(session, UUID(pool_id), [one, other]))
    assert funding.position(pool_id) == {"available": 10_00, "received": 10_00}


@pytest.mark.parametrize("amount_pence", [2**63, 2**64])
def test_more_than_an_account_can_hold_is_not_written(funding: Funding, amount_pence: int) -> None:
    pool_id = funding.funded_pool()
    accounts = Posting("available", amount_pence), Posting(f"council:{EDINBURGH}", -amount_pence)
    endless = Transaction(
        kind="receipt", key="receipt:endless", effective_on=NOW.date(), author="ann", about={}, postings=accounts
    )
    with pytest.raises((DBAPIError, OverflowError)):
        funding.database.run(lambda session: ledger_store.post(session, UUID(pool_id), [endless]))
    assert funding.position(pool_id) == {"available": 100_000_00, "received": 100_000_00}
    assert funding.ledger_is_sound(pool_id)


def test_one_council_in_two_pools_has_two_accounts(funding: Funding) -> None:
    one, other = funding.pool(), funding.pool()
    for pool_id in (one, other):
        funding.receipt(pool_id, amount_pence=25_000_00, bank_reference="BACS-1")
    award = funding.active_award(one)
    funding.approved_drawdown(award)
    funding.call(
        TREASURER_ANN,
        "record_payment",
        award_id=award["award_id"],
        tranche="alpha",
        payment_reference="BACS-1",
        paid_on="2026-06-01",
    )
    assert funding.position(one) == {"committed": 15_000_00, "paid": 10_000_00, "received": 25_000_00}
    assert funding.position(other) == {"available": 25_000_00, "received": 25_000_00}
    assert funding.ledger_is_sound(one)
    assert funding.ledger_is_sound(other)


def test_a_key_is_posted_once(funding: Funding) -> None:
    pool_id = funding.funded_pool()
    again = ledger.reserve(award_id=ids.new_id(), proposal_id=ids.new_id(), amount_pence=1, on=NOW.date(), author="ann")
    funding.database.run(lambda session: ledger_store.post(session, UUID(pool_id), [again]))
    with pytest.raises(DBAPIError):
        funding.database.run(lambda session: ledger_store.post(session, UUID(pool_id), [again]))


@pytest.mark.parametrize(
    "change",
    [
        update(LedgerPosting).values(amount_pence=LedgerPosting.amount_pence + 1),
        delete(LedgerPosting),
        update(LedgerTransaction).values(author="mallory"),
        delete(LedgerTransaction),
    ],
    ids=["change posting", "delete posting", "change transaction", "delete transaction"],
)
def test_what_is_written_stays_written(funding: Funding, change: Any) -> None:
    pool_id = funding.funded_pool()
    before = transactions(funding, pool_id)
    with pytest.raises(DBAPIError, match="append-only"):
        funding.database.run(lambda session: session.execute(change))
    assert transactions(funding, pool_id) == before


def test_the_database_itself_refuses_to_overdraw(funding: Funding) -> None:
    funding.funded_pool(10_00)
    overdraw = update(LedgerAccount).where(LedgerAccount.name == "available").values(balance_pence=-1)
    with pytest.raises(DBAPIError, match="never_overdrawn"):
        funding.database.run(lambda session: session.execute(overdraw))


def test_postgresql_itself_refuses_to_empty_the_ledger(funding: Funding) -> None:
    if not funding.database.is_postgresql:
        pytest.skip("SQLite has no TRUNCATE")
    pool_id = funding.funded_pool()
    with pytest.raises(DBAPIError, match="append-only"):
        funding.database.run(lambda session: session.execute(text("TRUNCATE ledger_postings")))
    assert funding.ledger_is_sound(pool_id)


def test_postgresql_itself_refuses_what_does_not_balance(funding: Funding) -> None:
    if not funding.database.is_postgresql:
        pytest.skip("SQLite has no deferred constraint triggers; the service's own check stands there alone")
    pool_id = funding.funded_pool(10_00)

    def one_sided(session: Session) -> None:
        transaction_id = _insert_transaction(session, pool_id)
        session.execute(
            insert(LedgerPosting).values(
                transaction_id=transaction_id, account_id=account_id(session, "available"), amount_pence=5
            )
        )

    with pytest.raises(DBAPIError, match="does not balance"):
        funding.database.run(one_sided)


# --- what its check finds -------------------------------------------------------------------------------------------


def change_a_posting(session: Session, pool_id: str) -> None:
    session.execute(
        update(LedgerPosting)
        .where(LedgerPosting.account_id == account_id(session, "available"))
        .values(amount_pence=LedgerPosting.amount_pence + 1)
    )


def delete_a_transaction(session: Session, pool_id: str) -> None:
    session.execute(delete(LedgerPosting))
    session.execute(delete(LedgerTransaction))


def forge_an_empty_transaction(session: Session, pool_id: str) -> None:
    _insert_transaction(session, pool_id)


def change_a_balance(session: Session, pool_id: str) -> None:
    session.execute(update(LedgerAccount).where(LedgerAccount.name == "available").values(balance_pence=10_01))


def allow_an_overdraft(session: Session, pool_id: str) -> None:
    session.execute(update(LedgerAccount).where(LedgerAccount.name == "available").values(may_go_below_zero=True))


def overdraw(session: Session, pool_id: str) -> None:
    allow_an_overdraft(session, pool_id)
    session.execute(update(LedgerAccount).where(LedgerAccount.name == "available").values(balance_pence=-1))


@pytest.mark.parametrize(
    ("tamper", "codes"),
    [
        (change_a_posting, ["chain_broken", "unbalanced", "total_not_zero", "balance_out_of_step"]),
        (delete_a_transaction, ["transaction_missing", "balance_out_of_step", "balance_out_of_step"]),
        (forge_an_empty_transaction, ["beyond_the_chain", "no_postings"]),
        (change_a_balance, ["balance_out_of_step"]),
        (allow_an_overdraft, ["may_go_below_zero"]),
        (overdraw, ["balance_out_of_step", "may_go_below_zero", "below_zero"]),
    ],
)
def test_a_changed_row_is_found(funding: Funding, tamper: Callable[[Session, str], None], codes: list[str]) -> None:
    pool_id = funding.funded_pool(10_00)
    without_guards(funding.database)
    funding.database.run(lambda session: tamper(session, pool_id))
    found = verify(funding, pool_id)
    assert found["ok"] is False
    assert [problem["code"] for problem in found["problems"]] == codes


def test_a_posting_whose_transaction_is_gone_is_found(funding: Funding) -> None:
    pool_id = funding.funded_pool(10_00)
    without_guards(funding.database)
    if funding.database.is_postgresql:
        with funding.database.engine.begin() as connection:
            connection.execute(text("ALTER TABLE ledger_postings DROP CONSTRAINT fk_ledger_postings_transaction_id"))
            connection.execute(delete(LedgerTransaction))
    else:
        # A connection of its own, which does not ask SQLite to mind the foreign keys.
        with contextlib.closing(sqlite3.connect(str(funding.database.url.database))) as connection:
            connection.execute("DELETE FROM ledger_transactions")
            connection.commit()
    assert [(problem["code"], problem["account"]) for problem in verify(funding, pool_id)["problems"]] == [
        ("transaction_missing", None),
        ("no_transaction", "available"),
        ("no_transaction", f"council:{EDINBURGH}"),
    ]


def test_the_first_wrong_transaction_is_named(funding: Funding) -> None:
    pool_id = funding.pool()
    for number in range(3):
        funding.receipt(pool_id, bank_reference=f"BACS-{number}")
    without_guards(funding.database)
    _, second, third = (UUID(it["transaction_id"]) for it in transactions(funding, pool_id))
    doubled = update(LedgerPosting).where(
        LedgerPosting.transaction_id.in_([third, second]), LedgerPosting.amount_pence > 0
    )
    funding.database.run(lambda session: session.execute(doubled.values(amount_pence=LedgerPosting.amount_pence * 2)))
    problems = verify(funding, pool_id)["problems"]
    assert problems[:2] == [
        {
            "code": "chain_broken",
            "message": "Transaction 2, receipt:BACS-1, or the order before it, is not what was written.",
            "transaction_id": str(second),
            "account": None,
        },
        {
            "code": "unbalanced",
            "message": "The postings of receipt:BACS-1 add up to 5000 pence, not 0.",
            "transaction_id": str(second),
            "account": None,
        },
    ]


def test_a_forged_pair_of_postings_is_found_by_the_balances(funding: Funding) -> None:
    pool_id = funding.funded_pool(10_00)
    forged = Transaction(
        kind="receipt",
        key="forged:1",
        effective_on=NOW.date(),
        author="mallory",
        about={},
        postings=(Posting("available", 5), Posting(f"council:{EDINBURGH}", -5)),
    )

    def forge(session: Session) -> None:
        transaction_id = _insert_transaction(session, pool_id)
        for posting in forged.postings:
            session.execute(
                insert(LedgerPosting).values(
                    transaction_id=transaction_id,
                    account_id=account_id(session, posting.account),
                    amount_pence=posting.amount_pence,
                )
            )

    funding.database.run(forge)
    assert [(problem["code"], problem["account"]) for problem in verify(funding, pool_id)["problems"]] == [
        ("beyond_the_chain", None),
        ("balance_out_of_step", "available"),
        ("balance_out_of_step", f"council:{EDINBURGH}"),
    ]


def paid_pool(funding: Funding) -> tuple[str, str]:
    """A pool of three councils, of which a project was paid a tranche; returns the pool's and the project's id."""
    pool_id = funding.pool()
    for council, amount_pence in ((EDINBURGH, 60_000_00), (ABERDEENSHIRE, 30_000_50), (FIFE, 10_000_00)):
        funding.receipt(pool_id, council=council, amount_pence=amount_pence)
    award = funding.active_award(pool_id)
    funding.approved_drawdown(award)
    funding.call(
        TREASURER_ANN,
        "record_payment",
        award_id=award["award_id"],
        tranche="alpha",
        payment_reference="PAY-1",
        paid_on="2026-06-01",
    )
    return pool_id, award["project_id"]


def test_a_payment_is_attributed_pro_rata_to_what_each_council_paid_in(funding: Funding) -> None:
    pool_id, _ = paid_pool(funding)
    *others, paid = transactions(funding, pool_id)
    assert all(it["attributions"] == [] for it in others)
    # Of 1,000,000 pence exactly 300,003.50, 599,997.00 and 99,999.50 (rounded here): the penny left over is Fife's.
    assert paid["attributions"] == [
        {"council": ABERDEENSHIRE, "amount_pence": 3_000_03},
        {"council": EDINBURGH, "amount_pence": 5_999_97},
        {"council": FIFE, "amount_pence": 1_000_00},
    ]
    assert verify(funding, pool_id)["ok"]


FORGERIES: dict[str, tuple[Callable[[Session], Any], list[str]]] = {
    "another author": (
        lambda session: session.execute(
            update(LedgerTransaction).where(LedgerTransaction.number == 2).values(author="mallory")
        ),
        ["chain_broken"],
    ),
    "another day": (
        lambda session: session.execute(
            update(LedgerTransaction).where(LedgerTransaction.number == 1).values(effective_on=NOW.date())
        ),
        ["chain_broken"],
    ),
    "a part moved to another council": (
        lambda session: session.execute(
            update(LedgerAttribution)
            .where(LedgerAttribution.council.in_([EDINBURGH, FIFE]))
            .values(
                amount_pence=case(
                    (LedgerAttribution.council == EDINBURGH, LedgerAttribution.amount_pence - 100),
                    else_=LedgerAttribution.amount_pence + 100,
                )
            )
        ),
        ["chain_broken", "contributor_out_of_step", "contributor_out_of_step"],
    ),
    "a part taken away": (
        lambda session: session.execute(delete(LedgerAttribution).where(LedgerAttribution.council == FIFE)),
        ["chain_broken", "wrongly_attributed", "contributor_out_of_step"],
    ),
    "the chain's end cut off": (
        lambda session: session.execute(update(LedgerHead).values(number=LedgerHead.number - 1)),
        ["chain_broken"],
    ),
    "a council said to have spent less": (
        lambda session: session.execute(
            update(LedgerContributor).where(LedgerContributor.council == EDINBURGH).values(attributed_pence=0)
        ),
        ["contributor_out_of_step"],
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forgery_is_found(funding: Funding, forgery: str) -> None:
    pool_id, _ = paid_pool(funding)
    assert verify(funding, pool_id)["ok"]
    without_guards(funding.database)
    forge, codes = FORGERIES[forgery]
    funding.database.run(forge)
    assert [problem["code"] for problem in verify(funding, pool_id)["problems"]] == codes
