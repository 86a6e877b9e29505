"""What was published once still has its effect: each consumer handles every recorded sample of what it subscribes to.

A sample keeps everything that it was recorded with but the ids of things that must exist before it: those are replaced.
"""

import dataclasses
from collections.abc import Callable
from datetime import date, timedelta
from uuid import UUID

import pytest
from sqlalchemy import select

from services.proposals.models import Award, Member
from services.proposals.service import ProposalsService
from shared import periods
from shared.events.catalogue import SUBSCRIPTIONS
from shared.messaging import events
from shared.messaging.attempts import Delivery
from shared.messaging.events import Event
from tests.integration.conftest import OpenDatabase
from tests.support.funding import APPROVER_BEN, EDINBURGH, TREASURER_ANN, Funding, officer
from tests.support.outcomes import THE_CDO, Outcomes, on
from tests.support.proposals import Programme, cdo
from tests.support.samples import Sample, all_samples


def is_tracked_by_outcomes(open_database: OpenDatabase, event: Event) -> None:
    outcomes = Outcomes(open_database("outcomes"))
    outcomes.receive(event)
    plan = outcomes.get_plan(THE_CDO, project_id=event.data["project_id"])
    content = event.data["content"]
    assert plan["proposal_reference"] == event.data["proposal_reference"]
    assert plan["amount_pence"] == event.data["amount_pence"]
    assert [result["key"] for result in plan["results"]] == [benefit["key"] for benefit in content["benefits"]]
    assert [len(result["periods"]) for result in plan["results"]] == [
        len(benefit["targets"]) for benefit in content["benefits"]
    ]
    assert {milestone["key"] for milestone in plan["milestones"]} == {step["key"] for step in content["milestones"]}


def is_a_candidate_of_fundings(open_database: OpenDatabase, event: Event) -> None:
    funding = Funding(open_database("funding"))
    pool_id = funding.pool()
    funding.receive(event)
    [candidate] = funding.call(TREASURER_ANN, "list_candidates", pool_id=pool_id)["items"]
    assert candidate["proposal_id"] == str(event.data["proposal_id"])
    assert (candidate["revision"], candidate["score"]) == (event.data["revision"], event.data["score"])


def is_no_candidate_any_more(open_database: OpenDatabase, event: Event) -> None:
    funding = Funding(open_database("funding"))
    pool_id = funding.pool()
    proposal_id = funding.candidate()
    funding.receive(with_data(event, proposal_id=UUID(proposal_id)))
    assert funding.call(TREASURER_ANN, "list_candidates", pool_id=pool_id)["items"] == []


def unlocks_its_tranche(open_database: OpenDatabase, event: Event) -> None:
    funding = Funding(open_database("funding"))
    with on(date(2026, 6, 1)):
        award = funding.active_award(funding.funded_pool(), tranches=((event.data["milestone"], 25_000_00),))
    funding.receive(with_data(event, award_id=UUID(award["award_id"])))
    [tranche] = funding.call(TREASURER_ANN, "get_award", award_id=award["award_id"])["tranches"]
    assert (tranche["tranche"], tranche["state"]) == (event.data["milestone"], "claimable")


def is_a_receipt(open_database: OpenDatabase, event: Event) -> None:
    funding = Funding(open_database("funding"))
    with on(event.data["received_on"]):
        pool_id = pool_that_runs_on(funding, event.data["received_on"], event.data["council"])
        if event.data["pool_id"] is not None:
            event = with_data(event, pool_id=UUID(pool_id))
        funding.receive(event)
    [receipt] = funding.call(TREASURER_ANN, "list_receipts", pool_id=pool_id)["items"]
    for name in ("council", "amount_pence", "bank_reference", "received_on"):
        assert receipt[name] == event.type.dump(event.data)[name]


def is_a_payment(open_database: OpenDatabase, event: Event) -> None:
    funding = Funding(open_database("funding"))
    key, amount_pence, paid_on = (event.data[name] for name in ("tranche", "amount_pence", "paid_on"))
    with on(paid_on):
        pool_id = pool_that_runs_on(funding, paid_on, EDINBURGH)
        funding.receipt(pool_id, amount_pence=amount_pence, received_on=f"{paid_on}")
        award = funding.offer(
            pool_id,
            funding.candidate(tranches=((key, amount_pence),)),
            amount_pence=amount_pence,
            expires_on=f"{paid_on + timedelta(days=1)}",
        )
        funding.call(APPROVER_BEN, "approve_award", award_id=award["award_id"])
        award = funding.call(officer(EDINBURGH), "accept_award", award_id=award["award_id"])
        funding.approved_drawdown(award, key)
        funding.receive(with_data(event, award_id=UUID(award["award_id"])))
    [tranche] = funding.call(TREASURER_ANN, "get_award", award_id=award["award_id"])["tranches"]
    assert (tranche["state"], tranche["payment_reference"]) == ("paid", event.data["payment_reference"])


def pool_that_runs_on(funding: Funding, day: date, council: str) -> str:
    year = periods.parse_year(periods.year_of(day))
    days = {"starts_on": f"{year.starts_on}", "ends_on": f"{year.ends_on}"}
    pool_id = funding.call(TREASURER_ANN, "create_pool", name="Digital", **days)["pool_id"]
    funding.call(TREASURER_ANN, "add_member", pool_id=pool_id, council=council, joins_on=days["starts_on"])
    return str(pool_id)


def makes_a_member(open_database: OpenDatabase, event: Event) -> None:
    programme = Programme(open_database("proposals"))
    deliver(programme, event)
    [member] = programme.database.run(lambda session: list(session.scalars(select(Member))))
    assert (member.pool_id, member.council, member.joins_on) == tuple(
        event.data[name] for name in ("pool_id", "council", "joins_on")
    )


def ends_a_membership(open_database: OpenDatabase, event: Event) -> None:
    programme = Programme(open_database("proposals"))
    deliver(programme, event)
    [member] = programme.database.run(lambda session: list(session.scalars(select(Member))))
    assert (member.pool_id, member.council, member.joins_on, member.leaves_on) == tuple(
        event.data[name] for name in ("pool_id", "council", "joins_on", "leaves_on")
    )


def is_mirrored_as(state: str, award_state: str) -> "Effect":
    def effect(open_database: OpenDatabase, event: Event) -> None:
        programme = Programme(open_database("proposals"))
        with on(date(2026, 10, 5)):
            proposal_id = programme.decided()
        deliver(programme, with_data(event, proposal_id=UUID(proposal_id)))
        assert programme.seen(proposal_id, cdo())["state"] == state
        [award] = programme.database.run(lambda session: list(session.scalars(select(Award))))
        assert (award.id, award.state) == (event.data["award_id"], award_state)
        assert award.amount_pence == event.data.get("amount_pence")
        assert award.reason == event.data.get("reason")

    return effect


def deliver(programme: Programme, event: Event) -> None:
    failure = getattr(ProposalsService, f"mirror_{event.name}")(programme.service, Delivery(event))
    assert failure is None, failure.error


def with_data(event: Event, **changes: UUID) -> Event:
    return dataclasses.replace(event, data={**event.data, **changes})


Effect = Callable[[OpenDatabase, Event], None]

EFFECTS: dict[tuple[str, str, str], Effect] = {
    ("proposals", "funding", "member_joined"): makes_a_member,
    ("proposals", "funding", "member_left"): ends_a_membership,
    ("proposals", "funding", "award_offered"): is_mirrored_as("approved", "offered"),
    ("proposals", "funding", "project_funded"): is_mirrored_as("funded", "funded"),
    ("proposals", "funding", "award_declined"): is_mirrored_as("not_funded", "declined"),
    ("proposals", "funding", "award_lapsed"): is_mirrored_as("not_funded", "lapsed"),
    ("proposals", "funding", "project_completed"): is_mirrored_as("completed", "completed"),
    ("proposals", "funding", "award_terminated"): is_mirrored_as("terminated", "terminated"),
    ("funding", "proposals", "proposal_approved"): is_a_candidate_of_fundings,
    ("funding", "proposals", "proposal_withdrawn"): is_no_candidate_any_more,
    ("funding", "outcomes", "milestone_achieved"): unlocks_its_tranche,
    ("funding", "finance", "contribution_received"): is_a_receipt,
    ("funding", "finance", "payment_made"): is_a_payment,
    ("outcomes", "funding", "project_funded"): is_tracked_by_outcomes,
}

CASES = [
    pytest.param(effect, sample, id=f"{consumer}-{sample.path.as_posix()}")
    for (consumer, source, name), effect in EFFECTS.items()
    for sample in all_samples()
    if sample.type.startswith(f"commonweal.{source}.{name}.v")
]


@pytest.mark.parametrize(("effect", "sample"), CASES)
def test_a_recorded_event_has_its_effect(open_database: OpenDatabase, effect: Effect, sample: Sample) -> None:
    message = sample.message()
    effect(open_database, events.decode(message.body, message.headers, message.content_type))


def test_every_subscription_is_tried() -> None:
    assert set(EFFECTS) == {(consumer, *event) for consumer, consumed in SUBSCRIPTIONS.items() for event in consumed}
