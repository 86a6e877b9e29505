"""Pools: members and contributions."""

from typing import Any

from sqlalchemy.orm import Session

from services.funding import access, allocation, events, ledger, ledger_store
from services.funding.domain import pools as rules
from services.funding.models import Contribution, ContributionYear, Member, Pool
from shared import clock, councils, ids
from shared.errors import Conflict
from shared.fields import Command
from shared.security.principal import Principal


def create_pool(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Open a pool."""
    rules.check_pool_years(command.starts_on, command.ends_on)
    pool = Pool(
        id=ids.new_id(),
        name=command.name,
        starts_on=command.starts_on,
        ends_on=command.ends_on,
        opened_by=principal.subject,
        opened_at=clock.now(),
        version=0,
        members=[],
    )
    session.add(pool)
    events.pool_opened(session, pool)
    return _view(session, principal, pool)


def add_member(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Make a council a member; one that joins after a year's contributions were set has none for that year."""
    pool = access.pool(session, principal, command.pool_id, lock=True)
    rules.check_joining(pool.members, command.council, command.joins_on, pool.starts_on, pool.ends_on)
    member = Member(
        council=command.council, joins_on=command.joins_on, added_by=principal.subject, added_at=clock.now()
    )
    pool.members.append(member)
    events.member_joined(session, pool, member)
    return _view(session, principal, pool)


def set_contributions(session: Session, principal: Principal, command: Command) -> ContributionYear:
    """Share what the members pay for a financial year, and pledge it; once for each year."""
    pool = access.pool(session, principal, command.pool_id, lock=True)
    rules.check_year_of_pool(command.year, pool.years)
    if session.get(ContributionYear, (pool.id, command.year)) is not None:
        raise Conflict(
            "contributions_set",
            f"The contributions for {command.year} are set already; get_pool shows what is pledged.",
        )
    members = rules.members_during(pool.members, command.year)
    shares = allocation.shares(command.scheme, command.total_pence, members, command.fixed)
    contributions = ContributionYear(
        pool_id=pool.id,
        year=command.year,
        scheme=command.scheme,
        total_pence=command.total_pence,
        set_by=principal.subject,
        set_at=clock.now(),
        shares=[
            Contribution(pool_id=pool.id, year=command.year, council=council, amount_pence=amount_pence)
            for council, amount_pence in shares.items()
        ],
    )
    session.add(contributions)
    ledger_store.post(
        session,
        pool.id,
        [
            ledger.pledge(
                council=share.council,
                year=share.year,
                amount_pence=share.amount_pence,
                on=clock.today(),
                author=principal.subject,
            )
            for share in contributions.shares
            if share.amount_pence > 0
        ],
    )
    for share in contributions.shares:
        events.contribution_pledged(session, pool, share)
    return contributions


def get_pool(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Return a pool, its members and where its money is."""
    return _view(session, principal, access.pool(session, principal, command.pool_id))


def _view(session: Session, principal: Principal, pool: Pool) -> dict[str, Any]:
    balances = ledger_store.balances(session, pool.id)

    def member_view(member: Member) -> dict[str, Any]:
        shown = access.sees_everything(principal) or member.council == principal.council
        return {
            "council": member.council,
            "name": councils.name_of(member.council),
            "joins_on": member.joins_on,
            "pledged_pence": ledger.outstanding_from(balances, member.council) if shown else None,
            "received_pence": ledger.received_from(balances, member.council) if shown else None,
        }

    return {
        "pool_id": pool.id,
        "name": pool.name,
        "starts_on": pool.starts_on,
        "ends_on": pool.ends_on,
        "years": pool.years,
        "members": [member_view(member) for member in sorted(pool.members, key=lambda member: member.council)],
        "position": ledger.position(balances),
        "version": pool.version,
    }
