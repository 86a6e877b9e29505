"""Receipts: money of the councils that arrived, as a treasurer records it or finance reports it."""

from typing import Any

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from services.funding import access, contributions, events, ledger, ledger_store
from services.funding.domain import membership, years
from services.funding.domain import receipts as rules
from services.funding.domain import records as record_rules
from services.funding.models import Member, Pool, Receipt
from shared import clock, ids, periods
from shared.errors import NotFound
from shared.fields import Command
from shared.messaging.events import Event
from shared.security.principal import Principal
from shared.storage.paging import page


def record_receipt(session: Session, principal: Principal, command: Command) -> Receipt:
    """Record that a council's money arrived; the same facts again are the same receipt."""
    pool = access.pool(session, principal, command.pool_id, lock=True)
    return _record(session, pool, command, by=principal.subject)


def receive_contribution(session: Session, event: Event) -> None:
    """Record a council's money that finance reports, in the pool that it names or the one that it can be for."""
    told = Command(**event.data)
    if told.pool_id is None:
        if _is_recorded(session, told):
            return
        told.pool_id = _only_pool(session, told).id
    pool = access.locked_pool(session, told.pool_id)
    if pool is None:
        sentence = f"There is no pool {told.pool_id}; correct the pool_id, or leave it out."
        raise NotFound("no_such_pool", sentence, {"pool_id": [sentence]})
    _record(session, pool, told, by=event.source)


def list_receipts(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Return a page of a pool's receipts, in the order in which they were recorded; a council sees its own."""
    pool = access.pool(session, principal, command.pool_id)
    statement = select(Receipt).where(Receipt.pool_id == pool.id, access.receipts(principal))
    if command.council is not None:
        statement = statement.where(Receipt.council == command.council)
    if command.year is not None:
        year = periods.parse_year(command.year)
        statement = statement.where(Receipt.received_on.between(year.starts_on, year.ends_on))
    if command.flag is not None:
        statement = statement.where(Receipt.flag == command.flag)
    return page(session, statement, by=Receipt.id, request=command)


def _is_recorded(session: Session, told: Command) -> bool:
    """Tell whether this very money is in some pool: told again, it need not fit the memberships of now."""
    same = (getattr(Receipt, name) == fact for name, fact in {**_facts(told), **_reference(told)}.items())
    return bool(session.scalar(select(exists(select(Receipt.id).where(Receipt.reversed_at.is_(None), *same)))))


def _only_pool(session: Session, told: Command) -> Pool:
    pools = session.scalars(
        select(Pool)
        .where(exists().where(Member.pool_id == Pool.id, Member.council == told.council))
        .where(Pool.starts_on <= told.received_on, Pool.ends_on >= told.received_on)
    ).all()
    possible = [pool for pool in pools if rules.takes_in(pool, told.council, told.received_on)]
    rules.check_one_pool(possible, told.council, told.received_on)
    return possible[0]


def _record(session: Session, pool: Pool, money: Command, *, by: str) -> Receipt:
    """Record a receipt in a pool whose row is locked; returns the first one when the same money comes again.

    :param by: the subject of the person, or the name of the system, that says so.
    """
    recorded = session.scalars(
        select(Receipt).where(Receipt.pool_id == pool.id, Receipt.bank_reference == money.bank_reference)
    ).all()
    for standing in recorded:
        if standing.reversed_at is None:
            record_rules.check_same_facts("bank_reference", money.bank_reference, standing, _facts(money))
            return standing
    nth = ledger_store.nth_receipt(session, pool.id, money.bank_reference)
    record_rules.check_reference_is_free(money.bank_reference, used=nth is None)
    membership.check_was_a_member(pool.members, money.council)
    record_rules.check_not_in_the_future("received_on", money.received_on, clock.today())
    years.check_open("received_on", money.received_on, ledger_store.closed_through(session, pool.id))
    outstanding_pence = _outstanding(session, pool, money.council)
    unpledged_pence = ledger.unpledged_part(money.amount_pence, outstanding_pence)
    rules.check_still_takes(pool, money.received_on, unpledged_pence)
    pledged = contributions.pledged_by_year(session, pool.id, money.council)[money.council]
    still_owed_pence = rules.still_owed(pledged, outstanding_pence, money.amount_pence)
    receipt = Receipt(
        id=ids.new_id(),
        pool_id=pool.id,
        **_reference(money),
        **_facts(money),
        unpledged_pence=unpledged_pence,
        still_owed_pence=still_owed_pence,
        flag=rules.flag_of(
            amount_pence=money.amount_pence, unpledged_pence=unpledged_pence, still_owed_pence=still_owed_pence
        ),
        recorded_by=by,
        recorded_at=clock.now(),
    )
    session.add(receipt)
    _post(session, receipt, outstanding_pence, nth=nth or 1)
    events.contribution_recorded(session, pool, receipt)
    return receipt


def _facts(money: Command) -> dict[str, Any]:
    return {name: getattr(money, name) for name in ("council", "amount_pence", "received_on")}


def _reference(money: Command) -> dict[str, str]:
    return {"bank_reference": money.bank_reference}


def _outstanding(session: Session, pool: Pool, council: str) -> int:
    """Lock what a receipt of a council can move; returns what it has pledged and not yet paid, in pence."""
    accounts = [ledger.council_account(council), ledger.pledged_account(council), ledger.AVAILABLE]
    return ledger.outstanding_from(ledger_store.lock(session, pool.id, accounts), council)


def _post(session: Session, receipt: Receipt, outstanding_pence: int, *, nth: int) -> None:
    transaction = ledger.receipt(
        council=receipt.council,
        amount_pence=receipt.amount_pence,
        outstanding_pence=outstanding_pence,
        bank_reference=receipt.bank_reference,
        on=receipt.received_on,
        author=receipt.recorded_by,
        nth=nth,
    )
    ledger_store.post(session, receipt.pool_id, [transaction])
