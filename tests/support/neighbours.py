"""A programme in which one council leads, another takes part and a third is a stranger, at every stage of its way.

For tests that try what each of them may reach. Things come in threes and more, because a test uses them up.
"""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from shared import ids, periods
from shared.security.principal import (
    APPROVER,
    ASSESSOR,
    CDO,
    PANEL_CHAIR,
    PROPOSER,
    S95_OFFICER,
    SPONSOR,
    TREASURER,
)
from tests.support.outcomes import ABERDEENSHIRE, EDINBURGH, FIFE, a_saving, an_outcome, content
from tests.support.stage import Stage, eventually

LEAD, PARTICIPANT, STRANGER = EDINBURGH, ABERDEENSHIRE, FIFE
CRITERION = "user-need"
SCORES = [{"criterion": CRITERION, "score": 8, "justification": "It is asked for."}]
REQUESTED_PENCE = 25_000_000


def today() -> date:
    """The day of the services' clock."""
    return datetime.now(UTC).date()


def past_years(number: int) -> list[str]:
    """The financial years that have ended, the last one first."""
    return [periods.year_of(date(today().year - ago, today().month, 1)) for ago in range(1, number + 1)]


def joint_content() -> dict[str, Any]:
    """What the lead proposes together with the participant: its periods are over, so that they can be reported."""
    targets = [{"period": year, "council": LEAD, "value": "40000"} for year in past_years(4)]
    saving = a_saving(frequency="annual", targets=targets)
    outcome = an_outcome(targets=[{"period": past_years(1)[0], "council": LEAD, "value": "85"}])
    return content(participants=[PARTICIPANT], benefits=[saving, outcome])


@dataclass
class Neighbours:
    """The programme on a stage."""

    stage: Stage
    round_id: str = ""
    pool_id: str = ""
    candidate: str = ""
    offered: list[str] = field(default_factory=list)
    award_id: str = ""
    project_id: str = ""
    periods: list[str] = field(default_factory=list)

    @classmethod
    def on(cls, stage: Stage) -> "Neighbours":
        """Play it: at the end there are a candidate, two offers, and a project whose first tranche can be claimed."""
        made = cls(stage)
        made._open()
        made.candidate, *others = (made.approved() for _ in range(4))
        made.offered = [made._offer(proposal_id) for proposal_id in others]
        made._fund(made.offered.pop())
        return made

    def _open(self) -> None:
        year = periods.parse_year(periods.year_of(today()))
        treasurer = self.stage.caller(TREASURER)
        self.round_id = self.stage.caller(CDO).proposals.open_round(
            title="Test round",
            opens_on=f"{today()}",
            closes_on=f"{today() + timedelta(days=30)}",
            criteria=[{"key": CRITERION, "title": "Meets a user need", "weight": 100}],
            min_participants=2,
            quorum=1,
            ceiling_pence=50_000_000,
        )["round_id"]
        self.pool_id = treasurer.funding.create_pool(
            name="Test pool", starts_on=f"{year.starts_on}", ends_on=f"{date(year.starts_on.year + 3, 3, 31)}"
        )["pool_id"]
        for council in (LEAD, PARTICIPANT):
            treasurer.funding.add_member(pool_id=self.pool_id, council=council, joins_on=f"{year.starts_on}")
            treasurer.funding.record_receipt(
                pool_id=self.pool_id,
                council=council,
                amount_pence=2 * REQUESTED_PENCE,
                bank_reference=str(ids.new_id()),
                received_on=f"{today()}",
            )

    def draft(self) -> str:
        """A draft of the lead's."""
        proposer = self.stage.caller(PROPOSER, council=LEAD)
        created = proposer.proposals.create_proposal(round_id=self.round_id, content=joint_content())
        return str(created["proposal_id"])

    def ready(self) -> str:
        """A draft of the lead's that can be handed in."""
        proposal_id, proposer = self.draft(), self.stage.caller(PROPOSER, council=LEAD)
        eventually(lambda: proposer.proposals.check_eligibility(proposal_id=proposal_id)["eligible"])
        return proposal_id

    def submitted(self) -> str:
        """A proposal that waits for the participant's answer."""
        proposal_id = self.ready()
        self.stage.caller(PROPOSER, council=LEAD).proposals.submit_proposal(proposal_id=proposal_id)
        return proposal_id

    def under_assessment(self) -> str:
        """A proposal that both councils stand behind."""
        proposal_id = self.submitted()
        sponsor = self.stage.caller(SPONSOR, council=PARTICIPANT)
        sponsor.proposals.confirm_participation(proposal_id=proposal_id, revision=1)
        return proposal_id

    def assessed(self) -> str:
        """A proposal that the panel can decide on."""
        proposal_id = self.under_assessment()
        self.stage.caller(ASSESSOR).proposals.submit_assessment(proposal_id=proposal_id, revision=1, scores=SCORES)
        return proposal_id

    def approved(self) -> str:
        """A proposal that the panel approved."""
        proposal_id = self.assessed()
        self.stage.caller(PANEL_CHAIR).proposals.determine(
            proposal_id=proposal_id, revision=1, outcome="approved", minute="Agreed."
        )
        return proposal_id

    def _offer(self, proposal_id: str) -> str:
        treasurer = self.stage.caller(TREASURER)
        eventually(lambda: proposal_id in self._candidates())
        award = treasurer.funding.offer_award(
            pool_id=self.pool_id,
            proposal_id=proposal_id,
            amount_pence=REQUESTED_PENCE,
            expires_on=f"{today() + timedelta(days=30)}",
        )
        self.stage.caller(APPROVER).funding.approve_award(award_id=award["award_id"])
        return str(award["award_id"])

    def _candidates(self) -> list[str]:
        found = self.stage.caller(TREASURER).funding.list_candidates(pool_id=self.pool_id)["items"]
        return [candidate["proposal_id"] for candidate in found]

    def asked(self) -> str:
        """An instruction about the award that waits for an approver; asking again is the same one."""
        treasurer = self.stage.caller(TREASURER)
        asked = treasurer.funding.terminate_award(award_id=self.award_id, reason="The supplier left.")
        return str(asked["instruction_id"])

    def _fund(self, award_id: str) -> None:
        officer, proposer = self.stage.caller(S95_OFFICER, council=LEAD), self.stage.caller(PROPOSER, council=LEAD)
        self.award_id = award_id
        self.project_id = officer.funding.accept_award(award_id=award_id)["project_id"]
        plan = eventually(lambda: proposer.outcomes.get_plan(project_id=self.project_id))
        self.periods = [period["period_id"] for period in plan["results"][0]["periods"]]
        proposer.outcomes.achieve_milestone(
            project_id=self.project_id, milestone="alpha", evidence="The assessment report."
        )
        eventually(lambda: proposer.funding.get_award(award_id=award_id)["tranches"][0]["state"] == "claimable")
        eventually(lambda: self.candidate in self._candidates())

    def reported(self, period_id: str) -> str:
        """Have the lead report a period; returns its id."""
        self.stage.caller(PROPOSER, council=LEAD).outcomes.report_actual(period_id=period_id, value="41000")
        return period_id
