"""Membership of a pool: councils join and leave, and a leaver gets back its part of what is free.

A leave takes effect at once, as joining does: it is a fact about a council, told to others, and moves no money; what it
cancels of the leaver's pledges was never there. The refund is an instruction of its own, for two people: what it comes
to depends on the day, so that it is asked for once the council has left, and again when more becomes free.
"""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.funding import access, contributions, events, ledger, ledger_store, schemas
from services.funding.domain import membership as rules
from services.funding.domain import years
from services.funding.domain.awards import RUNNING_AWARD_STATES
from services.funding.handlers import pools
from services.funding.handlers.plans import Approval, Kind, Plan, Subject, lock_pool
from services.funding.leaving import Pledged, cancelled_by_leaving, refund_of
from services.funding.models import Award, Member, Pool
from shared import clock, councils
from shared.errors import Conflict
from shared.fields import Command
from shared.money import format_pounds
from shared.security.principal import Principal


def add_member(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Make a council a member; one that joins after a year's contributions were set has none until one is added."""
    pool = access.pool(session, principal, command.pool_id, lock=True)
    rules.check_joining(pool.members, command.council, command.joins_on, pool.starts_on, pool.ends_on)
    member = Member(
        council=command.council, joins_on=command.joins_on, added_by=principal.subject, added_at=clock.now()
    )
    if rules.last_membership(pool.members, command.council) is not None:
        ledger_store.begin_anew(session, pool.id, command.council)
    pool.members.append(member)
    events.member_joined(session, pool, member)
    return pools.view(session, principal, pool)


def remove_member(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Let a council's membership end; what it has pledged for later years is cancelled, as far as it is not paid."""
    pool = access.pool(session, principal, command.pool_id, lock=True)
    member = rules.check_leaving(pool.members, command.council, command.leaves_on, pool.ends_on)
    years.check_open("leaves_on", command.leaves_on, ledger_store.closed_through(session, pool.id))
    _check_leads_nothing(session, pool, command.council)
    member.leaves_on, member.removed_by, member.removed_at = command.leaves_on, principal.subject, clock.now()
    _cancel_pledges(session, principal, pool, command)
    events.member_left(session, pool, member)
    return pools.view(session, principal, pool)


def _check_leads_nothing(session: Session, pool: Pool, council: str) -> None:
    running = session.scalars(
        select(Award).where(Award.pool_id == pool.id, Award.state.in_(RUNNING_AWARD_STATES)).order_by(Award.reference)
    )
    led = [award.reference for award in running if award.lead_council == council]
    if led:
        raise Conflict(
            "leads_an_award",
            f"{councils.name_of(council)} leads {', '.join(led)}; have each declined, completed or terminated first.",
        )


def _cancel_pledges(session: Session, principal: Principal, pool: Pool, leave: Command) -> None:
    council = leave.council
    shares = contributions.shares(session, pool.id, council)
    pledges = {Pledged(share.year, share.nth, share.pledged_pence): share for share in shares}
    accounts = [ledger.council_account(council), ledger.pledged_account(council)]
    outstanding_pence = ledger.outstanding_from(ledger_store.lock(session, pool.id, accounts), council)
    cancelled = cancelled_by_leaving(pledges, outstanding_pence, leave.leaves_on)
    for pledge, pence in cancelled:
        pledges[pledge].cancelled_pence += pence
    if cancelled:
        ledger_store.post(
            session,
            pool.id,
            [
                ledger.cancel(
                    council=council,
                    year=pledge.year,
                    amount_pence=pence,
                    on=clock.today(),
                    author=principal.subject,
                    nth=pledge.nth,
                )
                for pledge, pence in cancelled
            ],
        )


def _plan_refund(session: Session, subject: Subject, command: Command) -> Plan:
    pool, council = subject.pool, command.council
    rules.check_has_left(pool.members, council, clock.today())
    accounts = [ledger.AVAILABLE, ledger.council_account(council)]
    ledger_store.lock_books(session, pool.id, accounts)
    balances = ledger_store.balances(session, pool.id)
    left = ledger_store.left(session, pool.id)
    amount_pence = refund_of(council, balances.get(ledger.AVAILABLE, 0), left)
    name, left_pence = councils.name_of(council), left.get(council, 0)
    if not amount_pence:
        raise Conflict(
            "nothing_to_refund",
            f"{name} has {format_pounds(left_pence)} left in the pool, and none of it is available; ask again when"
            " promised money becomes free.",
        )
    owed_pence = ledger.outstanding_from(balances, council)
    by = f" by {command.payment_reference}" if command.payment_reference else ""
    owes = f" It owes the pool {format_pounds(owed_pence)}." if owed_pence else ""
    sentence = (
        f"Refund {format_pounds(amount_pence)} to {name}{by}: its part of what is available, of the"
        f" {format_pounds(left_pence)} that it has left in the pool.{owes}"
    )

    def carry_out(approval: Approval) -> dict[str, str]:
        transaction = ledger.refund(
            council=council,
            amount_pence=amount_pence,
            instruction_id=approval.instruction_id,
            payment_reference=command.payment_reference,
            on=approval.at.date(),
            author=approval.author,
            approver=approval.approver,
        )
        ledger_store.post(session, pool.id, [transaction])
        events.leaver_refunded(session, pool, council, amount_pence, approval.at.date())
        return {"transaction_key": transaction.key, "amount_pence": str(amount_pence)}

    return Plan(sentence, carry_out)


def _no_key(_: Command) -> None:
    """It may be asked for again, since more may become free."""


#: The kinds of instructions of this module, by the name of the method that asks for them.
KINDS = {"refund_leaver": Kind(schemas.RefundLeaver, lock_pool, _plan_refund, _no_key)}
