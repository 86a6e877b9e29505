"""Invariant: in whatever order and however often a service's events come, they leave the state that their order leaves.

For every service that consumes events: every permutation of the events that concern one aggregate, some of them
repeated under the same id, some told again under another. An event that its handler refuses comes again, as often as
it would in earnest.
"""

import dataclasses
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select, update

from services.funding.models import Candidate, Tranche
from services.funding.service import FundingService
from services.outcomes.models import Indicator, Milestone, Period, Plan, Result
from services.outcomes.service import OutcomesService
from services.proposals.models import Award, Member, Proposal
from services.proposals.service import ProposalsService
from shared import clock, ids
from shared.events.catalogue import SUBSCRIPTIONS, event_type
from shared.messaging import tables
from shared.messaging.attempts import Delivery
from shared.messaging.events import Event
from shared.storage.database import Database
from tests.support import outcomes
from tests.support.databases import PostgresDatabases
from tests.support.funding import (
    APPROVER_BEN,
    Funding,
    contribution_received,
    milestone_achieved,
    officer,
    payment_made,
    proposal_approved,
    proposal_withdrawn,
)
from tests.support.proposals import EDINBURGH, Programme, chair
from tests.support.servers import Servers

AT = datetime(2026, 6, 1, 9, 30, tzinfo=UTC)
#: The day of each service's tests; a round for proposals is open then.
TODAY = {"proposals": datetime(2026, 10, 5, 9, 30, tzinfo=UTC), "funding": AT, "outcomes": AT}
#: What a delivery does beyond its place in the order: nothing, come twice, or be told again under another id.
ONCE, TWICE, RETOLD = "once", "twice", "retold"


def orders(examples: int) -> settings:
    return settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(params=[pytest.param(8, id="some"), pytest.param(80, id="many", marks=pytest.mark.thorough)])
def examples(request: pytest.FixtureRequest) -> int:
    """How many orders to try."""
    return int(request.param)


@pytest.fixture(scope="module")
def databases(servers: Servers) -> Iterator[PostgresDatabases]:
    lender = PostgresDatabases(servers.postgresql)
    yield lender
    lender.close()


@pytest.fixture
def database(request: pytest.FixtureRequest, databases: PostgresDatabases) -> Iterator[Database]:
    """A PostgreSQL database of the service that the test's parameter names."""
    url = databases.lend(request.param)
    opened = Database(url)
    with clock.using(clock.FixedClock(TODAY[request.param])):
        yield opened
    opened.close()
    databases.take_back(request.param, url)


of_proposals = pytest.mark.parametrize("database", ["proposals"], indirect=True)
of_funding = pytest.mark.parametrize("database", ["funding"], indirect=True)
of_outcomes = pytest.mark.parametrize("database", ["outcomes"], indirect=True)


def disordered(number: int) -> st.SearchStrategy[list[tuple[int, str]]]:
    """Orders of ``number`` events, each once at least."""
    kinds = st.sampled_from((TWICE, RETOLD))
    more = st.lists(st.tuples(st.integers(0, number - 1), kinds), max_size=number)
    every = [(index, ONCE) for index in range(number)]
    return more.flatmap(lambda extra: st.permutations([*every, *extra]))


def deliver(service_class: type, database: Database, events: Sequence[Event]) -> None:
    """Deliver events through the service's entrypoints; one that fails comes again behind the others."""
    handlers = {member.consumes: member for member in vars(service_class).values() if getattr(member, "consumes", None)}
    waiting = deque(Delivery(event) for event in events)
    while waiting:
        delivery = waiting.popleft()
        event = delivery.event
        failure = handlers[event.source, event.name](SimpleNamespace(storage=database), delivery)
        if failure is not None:
            assert not failure.is_last, f"{event.name} would have gone to the dead letters: {failure.error}"
            waiting.append(dataclasses.replace(delivery, failed=failure.attempts))


def arranged(events: Sequence[Event], order: list[tuple[int, str]]) -> list[Event]:
    return [
        dataclasses.replace(events[index], id=str(ids.new_id())) if kind == RETOLD else events[index]
        for index, kind in order
    ]


def happened(name: str, **data: Any) -> Event:
    kind = event_type("funding", name)
    return Event(str(ids.new_id()), kind, str(ids.new_id()), 1, AT, kind.load(kind.dump(data)))


def award_story(proposal_id: UUID) -> list[Event]:
    """Return what funding tells of a proposal, in order.

    An offer is declined, another lapses, a third is taken and its project terminated, and a fourth is completed.
    """

    def funded(project_id: UUID) -> tuple[str, dict[str, Any]]:
        facts = {
            "project_id": project_id,
            "amount_pence": 25_000_000,
            "revision": 1,
            "content_hash": "0" * 64,
            "content": outcomes.project_funded().data["content"],
            "funded_at": AT,
        }
        return "project_funded", facts

    ended, done = ids.new_id(), ids.new_id()
    ends: list[list[tuple[str, dict[str, Any]]]] = [
        [("award_declined", {"reason": "No staff to run it.", "declined_at": AT})],
        [("award_lapsed", {"expires_on": date(2026, 12, 31), "lapsed_at": AT})],
        [funded(ended), ("award_terminated", {"project_id": ended, "reason": "No staff.", "terminated_at": AT})],
        [funded(done), ("project_completed", {"project_id": done, "completed_at": AT})],
    ]
    stories = []
    for news in ends:
        about = {
            "award_id": ids.new_id(),
            "pool_id": ids.new_id(),
            "proposal_id": proposal_id,
            "proposal_reference": "P-2026-0001",
            "lead_council": EDINBURGH,
        }
        stories.append(happened("award_offered", **about, amount_pence=25_000_000, expires_on=date(2026, 12, 31)))
        stories += [happened(name, **about, **facts) for name, facts in news]
    return stories


@of_proposals
def test_awards_of_a_proposal(database: Database, examples: int) -> None:
    proposal_id = UUID(Programme(database).decided())
    events = award_story(proposal_id)

    def start_again() -> None:
        with database.transaction() as session:
            session.execute(delete(Award))
            session.execute(delete(tables.inbox))
            session.execute(update(Proposal).values(state="approved"))

    def state() -> Any:
        with database.transaction() as session:
            awards = session.scalars(select(Award).order_by(Award.id)).all()
            facts = [(str(a.id), a.state, a.amount_pence, a.expires_on, a.project_id, a.reason) for a in awards]
            return session.get_one(Proposal, proposal_id).state, facts

    start_again()
    deliver(ProposalsService, database, events)
    in_order = state()
    assert in_order[0] == "completed"
    assert [facts[1] for facts in in_order[1]] == ["declined", "lapsed", "terminated", "completed"]

    @orders(examples)
    @given(disordered(len(events)))
    def check(order: list[tuple[int, str]]) -> None:
        start_again()
        deliver(ProposalsService, database, arranged(events, order))
        assert state() == in_order

    check()


@of_proposals
def test_members_of_a_pool(database: Database, examples: int) -> None:
    pool_id = ids.new_id()
    events = [
        happened("member_joined", pool_id=pool_id, council=council, joins_on=joins_on)
        for council, joins_on in (
            (EDINBURGH, date(2026, 4, 1)),
            (EDINBURGH, date(2027, 4, 1)),
            (outcomes.STIRLING, date(2026, 4, 1)),
        )
    ]
    membership = {"pool_id": pool_id, "council": EDINBURGH, "joins_on": date(2026, 4, 1)}
    events.append(happened("member_left", **membership, leaves_on=date(2027, 3, 31)))

    @orders(examples)
    @given(disordered(len(events)))
    def check(order: list[tuple[int, str]]) -> None:
        with database.transaction() as session:
            session.execute(delete(Member))
            session.execute(delete(tables.inbox))
        deliver(ProposalsService, database, arranged(events, order))
        with database.transaction() as session:
            rows = {(row.council, row.joins_on, row.leaves_on) for row in session.scalars(select(Member))}
        assert rows == {
            (EDINBURGH, date(2026, 4, 1), date(2027, 3, 31)),
            (EDINBURGH, date(2027, 4, 1), None),
            (outcomes.STIRLING, date(2026, 4, 1), None),
        }

    check()


@of_proposals
def test_a_project_that_is_funded_before_its_proposal_is_approved_waits_for_it(database: Database) -> None:
    programme = Programme(database)
    proposal_id = programme.assessed()
    offered, funded, _ = award_story(UUID(proposal_id))[-3:]
    for event in (funded, offered):
        with pytest.raises(AssertionError, match="dead letters"):
            deliver(ProposalsService, database, [event])
    programme.call("determine", chair(), proposal_id=proposal_id, revision=1, outcome="approved", minute="Agreed.")
    deliver(ProposalsService, database, [funded, offered])
    assert programme.seen(proposal_id)["state"] == "funded"


@of_funding
def test_approvals_withdrawals_and_milestones(database: Database, examples: int) -> None:
    funding = Funding(database)
    pool_id = funding.funded_pool(100_000_000_00)

    def story() -> tuple[list[Event], Callable[[], Any]]:
        award = funding.active_award(pool_id)
        both, approved, withdrawn = ids.new_id(), ids.new_id(), ids.new_id()
        events = [
            proposal_approved(both),
            proposal_withdrawn(both),
            proposal_approved(approved),
            proposal_withdrawn(withdrawn),
            milestone_achieved(award, "alpha"),
            milestone_achieved(award, "beta"),
            milestone_achieved(award, "live"),
        ]

        def state() -> Any:
            with database.transaction() as session:
                known = [session.get_one(Candidate, proposal_id) for proposal_id in (both, approved, withdrawn)]
                award_id = UUID(award["award_id"])
                tranches = session.scalars(select(Tranche).where(Tranche.award_id == award_id).order_by(Tranche.key))
                return (
                    [(row.approved_at, row.withdrawn_at, row.content, len(row.councils)) for row in known],
                    [(row.key, row.state, row.achieved_on) for row in tranches],
                )

        return events, state

    events, state = story()
    deliver(FundingService, database, events)
    in_order = state()
    assert [tranche[1] for tranche in in_order[1]] == ["claimable", "claimable"]

    @orders(examples)
    @given(disordered(len(events)))
    def check(order: list[tuple[int, str]]) -> None:
        events, state = story()
        deliver(FundingService, database, arranged(events, order))
        assert state() == in_order

    check()


@of_funding
def test_what_finance_reports(database: Database, examples: int) -> None:
    funding = Funding(database)
    pool_id = funding.funded_pool(100_000_000_00)

    def story() -> tuple[list[Event], Callable[[], Any]]:
        award = funding.active_award(pool_id)
        for tranche in ("alpha", "live"):
            funding.approved_drawdown(award, tranche)
        live = {"tranche": "live", "amount_pence": award["tranches"][1]["amount_pence"]}
        named, unnamed = contribution_received(pool_id=pool_id), contribution_received(amount_pence=70_00)
        events = [named, unnamed, payment_made(award), payment_made(award, **live)]
        before = funding.position(pool_id)

        def state() -> Any:
            after = funding.position(pool_id)
            moved = {name: after.get(name, 0) - before.get(name, 0) for name in {**before, **after}}
            seen = funding.call(officer(EDINBURGH), "get_award", award_id=award["award_id"])
            assert funding.ledger_is_sound(pool_id)
            return moved, [(tranche["tranche"], tranche["state"]) for tranche in seen["tranches"]]

        return events, state

    events, state = story()
    deliver(FundingService, database, events)
    in_order = state()
    moved = {"available": 120_00, "received": 120_00, "committed": -25_000_00, "paid": 25_000_00}
    assert in_order == (moved, [("alpha", "paid"), ("live", "paid")])

    @orders(examples)
    @given(disordered(len(events)))
    def check(order: list[tuple[int, str]]) -> None:
        events, state = story()
        deliver(FundingService, database, arranged(events, order))
        assert state() == in_order

    check()


@of_funding
def test_a_payment_that_is_reported_before_its_approval_waits_for_it(database: Database) -> None:
    funding = Funding(database)
    award = funding.active_award(funding.funded_pool())
    funding.requested_drawdown(award)
    made = payment_made(award)
    with pytest.raises(AssertionError, match="dead letters"):
        deliver(FundingService, database, [made])
    funding.call(APPROVER_BEN, "approve_drawdown", award_id=award["award_id"], tranche="alpha")
    deliver(FundingService, database, [made])
    tranches = funding.call(officer(EDINBURGH), "get_award", award_id=award["award_id"])["tranches"]
    assert [tranche["state"] for tranche in tranches] == ["paid", "locked"]


@of_funding
def test_a_milestone_that_comes_again_after_its_tranche_was_paid_changes_nothing(database: Database) -> None:
    funding = Funding(database)
    pool_id = funding.funded_pool()
    award = funding.active_award(pool_id)
    funding.approved_drawdown(award)
    before = funding.call(officer(EDINBURGH), "get_award", award_id=award["award_id"])
    deliver(FundingService, database, [milestone_achieved(award, "alpha")])
    assert funding.call(officer(EDINBURGH), "get_award", award_id=award["award_id"]) == before


@of_funding
def test_a_milestone_that_is_achieved_before_its_award_is_active_waits_for_it(database: Database) -> None:
    funding = Funding(database)
    award = funding.approved_offer(funding.funded_pool())
    achieved = milestone_achieved(award, "alpha")
    with pytest.raises(AssertionError, match="dead letters"):
        deliver(FundingService, database, [achieved])
    funding.call(officer(EDINBURGH), "accept_award", award_id=award["award_id"])
    deliver(FundingService, database, [achieved])
    tranches = funding.call(officer(EDINBURGH), "get_award", award_id=award["award_id"])["tranches"]
    assert [tranche["state"] for tranche in tranches] == ["claimable", "locked"]


@of_outcomes
def test_projects_funded(database: Database, examples: int) -> None:
    def state(project_ids: list[UUID]) -> list[tuple[int, ...]]:
        with database.transaction() as session:
            told = session.scalars(
                select(tables.outbox.c.data).where(tables.outbox.c.name == "tracking_plan_created")
            ).all()
            counts = []
            for project_id in project_ids:
                of_project = select(Plan.id).where(Plan.project_id == project_id)
                periods = (
                    select(func.count(Period.id))
                    .join(Period.indicator)
                    .join(Indicator.result)
                    .where(Result.plan_id.in_(of_project))
                )
                milestones = select(func.count()).select_from(Milestone).where(Milestone.plan_id.in_(of_project))
                counts.append(
                    (
                        len(session.scalars(of_project).all()),
                        session.scalar(periods) or 0,
                        session.scalar(milestones) or 0,
                        sum(data["project_id"] == str(project_id) for data in told),
                    )
                )
            return counts

    @orders(examples)
    @given(disordered(3))
    def check(order: list[tuple[int, str]]) -> None:
        events = [outcomes.project_funded() for _ in range(3)]
        deliver(OutcomesService, database, arranged(events, order))
        assert state([event.data["project_id"] for event in events]) == [(1, 3, 2, 1)] * 3

    check()


def test_every_event_that_a_service_consumes_is_permuted_here() -> None:
    # A new subscription needs a place in the tests above.
    assert {name for subscriptions in SUBSCRIPTIONS.values() for _, name in subscriptions} == {
        "member_joined",
        "member_left",
        "award_offered",
        "award_declined",
        "award_lapsed",
        "project_funded",
        "project_completed",
        "award_terminated",
        "proposal_approved",
        "proposal_withdrawn",
        "milestone_achieved",
        "contribution_received",
        "payment_made",
    }
