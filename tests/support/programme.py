"""A short programme by RPC: as few calls as lead to an award that waits for its acceptance."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from commonweal import Client
from shared import ids, periods
from shared.security.principal import APPROVER, ASSESSOR, CDO, PANEL_CHAIR, PROPOSER, S95_OFFICER, TREASURER
from tests.support.outcomes import EDINBURGH, content
from tests.support.stage import Stage, eventually

CRITERIA = [{"key": "user-need", "title": "Meets a user need", "weight": 100}]


def sole_content() -> dict[str, Any]:
    """The content of a proposal that Edinburgh makes alone."""
    body = content(participants=[])
    for benefit in body["benefits"]:
        benefit["targets"] = [{**target, "council": EDINBURGH} for target in benefit["targets"][:1]]
    return body


def funded_pool(stage: Stage, total_pence: int = 100_000_000) -> str:
    """Open a pool for this financial year whose one member has paid; returns its id."""
    today = datetime.now(UTC).date()
    year = periods.parse_year(periods.year_of(today))
    treasurer = stage.caller(TREASURER)
    pool_id: str = treasurer.funding.create_pool(
        name="Test pool",
        starts_on=f"{year.starts_on}",
        ends_on=f"{date(year.starts_on.year + 3, 3, 31)}",
    )["pool_id"]
    treasurer.funding.add_member(pool_id=pool_id, council=EDINBURGH, joins_on=f"{year.starts_on}")
    treasurer.funding.set_contributions(pool_id=pool_id, year=year.code, total_pence=total_pence, scheme="equal")
    treasurer.funding.record_receipt(
        pool_id=pool_id,
        council=EDINBURGH,
        amount_pence=total_pence,
        bank_reference=str(ids.new_id()),
        received_on=f"{today}",
    )
    return pool_id


def submitted_proposal(stage: Stage) -> str:
    """Bring a proposal of Edinburgh, which takes part alone, to its assessment; returns its id."""
    today = datetime.now(UTC).date()
    round_id = stage.caller(CDO).proposals.open_round(
        title="Test round",
        opens_on=f"{today}",
        closes_on=f"{today + timedelta(days=30)}",
        criteria=CRITERIA,
        min_participants=1,
        quorum=1,
        ceiling_pence=50_000_000,
    )["round_id"]
    proposer = stage.caller(PROPOSER, council=EDINBURGH)
    proposal_id: str = proposer.proposals.create_proposal(round_id=round_id, content=sole_content())["proposal_id"]
    eventually(lambda: proposer.proposals.check_eligibility(proposal_id=proposal_id)["eligible"])
    proposer.proposals.submit_proposal(proposal_id=proposal_id)
    return proposal_id


def approved_proposal(stage: Stage) -> str:
    """Bring a proposal of Edinburgh to its approval; returns its id."""
    proposal_id = submitted_proposal(stage)
    stage.caller(ASSESSOR).proposals.submit_assessment(
        proposal_id=proposal_id,
        revision=1,
        scores=[{"criterion": "user-need", "score": 8, "justification": "It is asked for."}],
    )
    stage.caller(PANEL_CHAIR).proposals.determine(
        proposal_id=proposal_id, revision=1, outcome="approved", minute="Agreed."
    )
    return proposal_id


def withdrawn_proposal(stage: Stage) -> str:
    """Bring a proposal of Edinburgh to where it is taken back; returns its id."""
    proposal_id = submitted_proposal(stage)
    stage.caller(PROPOSER, council=EDINBURGH).proposals.withdraw_proposal(
        proposal_id=proposal_id, reason="Merged with another one."
    )
    return proposal_id


def offered_award(stage: Stage) -> dict[str, Any]:
    """Bring an award to where only the Section 95 officer's acceptance is missing."""
    pool_id, treasurer = funded_pool(stage), stage.caller(TREASURER)
    proposal_id = approved_proposal(stage)
    eventually(
        lambda: [
            candidate
            for candidate in treasurer.funding.list_candidates(pool_id=pool_id)["items"]
            if candidate["proposal_id"] == proposal_id
        ]
    )
    award = treasurer.funding.offer_award(
        pool_id=pool_id,
        proposal_id=proposal_id,
        amount_pence=content()["requested_pence"],
        expires_on=f"{datetime.now(UTC).date() + timedelta(days=30)}",
    )
    approved: dict[str, Any] = stage.caller(APPROVER).funding.approve_award(award_id=award["award_id"])
    return approved


def s95_officer(stage: Stage) -> Client:
    """Edinburgh's Section 95 officer."""
    return stage.caller(S95_OFFICER, council=EDINBURGH)


def declined_award(stage: Stage) -> dict[str, Any]:
    """Bring an award to where the lead council turns it down."""
    award = offered_award(stage)
    declined: dict[str, Any] = s95_officer(stage).funding.decline_award(
        award_id=award["award_id"], reason="No staff to run it."
    )
    return declined


def active_award(stage: Stage) -> dict[str, Any]:
    """Bring an award to its acceptance: the project is funded."""
    award = offered_award(stage)
    accepted: dict[str, Any] = s95_officer(stage).funding.accept_award(award_id=award["award_id"])
    return accepted


def approved_drawdown(stage: Stage, award: dict[str, Any], tranche: str = "alpha") -> None:
    """Bring a tranche of an active award to where only its payment is missing, by way of its milestone."""
    requested_drawdown(stage, award, tranche)
    stage.caller(APPROVER).funding.approve_drawdown(award_id=award["award_id"], tranche=tranche)


def requested_drawdown(stage: Stage, award: dict[str, Any], tranche: str = "alpha") -> None:
    """Bring a tranche of an active award to where it waits for an approver, by way of its milestone."""
    award_id, proposer = award["award_id"], stage.caller(PROPOSER, council=EDINBURGH)
    eventually(lambda: proposer.outcomes.get_plan(project_id=award["project_id"]))
    proposer.outcomes.achieve_milestone(
        project_id=award["project_id"], milestone=tranche, evidence="The assessment report."
    )
    eventually(lambda: _state_of(proposer.funding.get_award(award_id=award_id), tranche) == "claimable")
    proposer.funding.request_drawdown(award_id=award_id, tranche=tranche, evidence="The assessment report.")


def paid_tranche(stage: Stage, award: dict[str, Any], tranche: str = "alpha") -> dict[str, Any]:
    """Bring a tranche of an active award to its payment, by way of its milestone; returns the award."""
    award_id = award["award_id"]
    approved_drawdown(stage, award, tranche)
    treasurer = stage.caller(TREASURER)
    treasurer.funding.record_payment(
        award_id=award_id,
        tranche=tranche,
        payment_reference=f"PAY-{ids.new_id()}",
        paid_on=f"{datetime.now(UTC).date()}",
    )
    paid: dict[str, Any] = treasurer.funding.get_award(award_id=award_id)
    return paid


def _state_of(award: dict[str, Any], tranche: str) -> str:
    return next(str(each["state"]) for each in award["tranches"] if each["tranche"] == tranche)
