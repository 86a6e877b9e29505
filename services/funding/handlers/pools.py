"""Pools: contributions, and where the money is."""

from typing import Any

from sqlalchemy.orm import Session

from services.funding import access, allocation, events, ledger, ledger_store
from services.funding.domain import membership, years
from services.funding.domain import pools as rules
from services.funding.handlers import outlook
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
    return view(session, principal, pool)


def set_contributions(session: Session, principal: Principal, command: Command) -> ContributionYear:
    """Share what the members pay for a financial year, and pledge it; once for each year."""
    pool = access.pool(session, principal, command.pool_id, lock=True)
    rules.check_year_of_pool(command.year, pool.years)
    if session.get(ContributionYear, (pool.id, command.year)) is not None:
        raise Conflict(
            "contributions_set",
            f"The contributions for {command.year} are set already; get_pool shows what is pledged.",
        )
    years.check_year_open(command.year, ledger_store.closed_through(session, pool.id))
    members = membership.members_during(pool.members, command.year)
    shares = allocation.shares(command.scheme, command.total_pence, members, command.fixed)
    contributions = ContributionYear(
        pool_id=pool.id,
        year=command.year,
        scheme=command.scheme,
        total_pence=command.total_pence,
        set_by=principal.subject,
        set_at=clock.now(),
        shares=[
            Contribution(
                pool_id=pool.id, year=command.year, council=council, nth=1, amount_pence=amount_pence, cancelled_pence=0
            )
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


def add_contribution(session: Session, principal: Principal, command: Command) -> ContributionYear:
    """Pledge a council's share of a year whose contributions are set: a late joiner's, or one that was taken back."""
    pool = access.pool(session, principal, command.pool_id, lock=True)
    rules.check_year_of_pool(command.year, pool.years)
    years.check_year_open(command.year, ledger_store.closed_through(session, pool.id))
    membership.check_member_during(pool.members, command.council, command.year)
    contributions = session.get(ContributionYear, (pool.id, command.year))
    if contributions is None:
        raise Conflict(
            "contributions_not_set",
            f"The contributions for {command.year} are not set; set_contributions shares them among all its members.",
        )
    earlier = [share for share in contributions.shares if share.council == command.council]
    if any(share.pledged_pence for share in earlier):
        raise Conflict(
            "contribution_set",
            f"{councils.name_of(command.council)} has pledged its share for {command.year} already; have that pledge"
            " reversed first, with reverse_transaction, if it is wrong.",
        )
    share = Contribution(
        pool_id=pool.id,
        year=command.year,
        council=command.council,
        nth=len(earlier) + 1,
        amount_pence=command.amount_pence,
        cancelled_pence=0,
    )
    contributions.shares.append(share)
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
                nth=share.nth,
            )
        ],
    )
    events.contribution_pledged(session, pool, share)
    session.flush()
    session.expire(contributions, ["shares"])
    return contributions


def get_pool(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Return a pool, its members, where its money is, what is foreseen of it; and how it stood on a day, if asked."""
    pool = access.pool(session, principal, command.pool_id)
    return {
        **view(session, principal, pool),
        "as_at": command.as_at and outlook.as_at(session, principal, pool, command.as_at),
        "projected": outlook.projected(session, pool),
    }


def view(session: Session, principal: Principal, pool: Pool) -> dict[str, Any]:
    """Return a pool as a caller sees it: each council that is or was a member once, with its own sums."""
    balances = ledger_store.balances(session, pool.id)

    def member_view(council: str, earlier: list[Member], last: Member) -> dict[str, Any]:
        shown = access.sees_sums_of(principal, council)
        return {
            "council": council,
            "name": councils.name_of(council),
            "joins_on": last.joins_on,
            "leaves_on": last.leaves_on,
            "earlier": earlier,
            "pledged_pence": ledger.outstanding_from(balances, council) if shown else None,
            "received_pence": ledger.received_from(balances, council) if shown else None,
        }

    return {
        "pool_id": pool.id,
        "name": pool.name,
        "starts_on": pool.starts_on,
        "ends_on": pool.ends_on,
        "years": pool.years,
        "members": [member_view(council, each[:-1], each[-1]) for council, each in _memberships(pool).items()],
        "position": ledger.position(balances),
        "version": pool.version,
    }


def _memberships(pool: Pool) -> dict[str, list[Member]]:
    """Return each council's memberships, the first one first, by GSS code in the order of the codes."""
    found: dict[str, list[Member]] = {}
    for member in sorted(pool.members, key=lambda member: (member.council, member.joins_on)):
        found.setdefault(member.council, []).append(member)
    return found
