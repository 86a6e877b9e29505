"""A random walk through the service itself: it goes where the table leads, tells what the table says, and nothing else.

``tests/unit/proposals/test_lifecycle.py`` checks each answer of the table against the design's sentences; this checks
that the service's handlers keep to the table, whoever tries what and when.
"""

from collections.abc import Callable
from datetime import date
from functools import partial
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, Phase, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import select

from services.proposals.domain.lifecycle import TRANSITIONS, Action
from services.proposals.models import Proposal
from shared import clock, ids
from shared.errors import CommonwealError
from shared.messaging.tables import outbox
from shared.proposal_content import ProposalContent
from tests.support.proposals import (
    ABERDEENSHIRE,
    EDINBURGH,
    GLASGOW,
    Programme,
    assessor,
    chair,
    content,
    proposer,
    scores,
    sponsor,
)

PEOPLE = ("ailsa", "brodie", "catriona")
COUNCILS = (EDINBURGH, ABERDEENSHIRE, GLASGOW)
STALE = st.sampled_from([0, 0, 0, 1])


def _refusal_of(call: Callable[[], Any]) -> str | None:
    try:
        call()
    except CommonwealError as refusal:
        return refusal.code
    return None


class Walk(RuleBasedStateMachine):
    """Tries whatever anybody can try, in any state.

    :param programme: the service on a database, in which each walk has a proposal of its own.
    :param round_id: an open round.
    """

    def __init__(self, programme: Programme, round_id: str) -> None:
        super().__init__()
        self.programme = programme
        self.round_id = round_id

    @initialize(stage=st.integers(0, 4))
    def begin(self, stage: int) -> None:
        """Begin some of the way on: chance alone seldom comes as far as a decision."""
        bring = ("draft", "submitted", "under_assessment", "assessed", "decided")[stage]
        self.proposal_id: str = getattr(self.programme, bring)(round_id=self.round_id, participants=[ABERDEENSHIRE])
        self.awards = [
            {
                "award_id": ids.new_id(),
                "pool_id": self.programme.pool_id,
                "proposal_id": UUID(self.proposal_id),
                "proposal_reference": "P-2026-0001",
                "lead_council": EDINBURGH,
            }
            for _ in range(2)
        ]
        self.projects = [ids.new_id(), ids.new_id()]

    def stands(self) -> tuple[str, int, int]:
        """State, revision and version of the draft."""
        columns = (Proposal.state, Proposal.revision, Proposal.draft_version)
        with self.programme.database.transaction() as session:
            found = session.execute(select(*columns).where(Proposal.id == UUID(self.proposal_id))).one()
        return found.state, found.revision, found.draft_version

    def told(self) -> list[str]:
        """What was told of the proposal so far."""
        mine = select(outbox.c.name).where(outbox.c.subject == self.proposal_id).order_by(outbox.c.position)
        with self.programme.database.transaction() as session:
            return list(session.scalars(mine))

    def attempt(self, action: Action, call: Callable[[], Any]) -> None:
        """Try an action and hold what became of it against its row in the table."""
        row = TRANSITIONS[action]
        before, told = self.stands(), self.told()
        refused = _refusal_of(call)
        event(f"{action}: {refused or 'done'}")
        if refused:
            assert (self.stands(), self.told()) == (before, told)
            return
        assert before[0] in row.moves
        targets = {row.moves[before[0]]}  # type: ignore[index]
        begin = TRANSITIONS[Action.BEGIN_ASSESSMENT]
        if action in (Action.SUBMIT, Action.CONFIRM):
            targets |= {begin.moves[state] for state in targets if state in begin.moves}
        assert self.stands()[0] in targets
        news = self.told()[len(told) :]
        assert news == [row.tells] if row.tells else news in ([], [row.may_tell])

    @rule(stale=STALE, council=st.sampled_from(COUNCILS))
    def edit(self, stale: int, council: str) -> None:
        request = {"content": content(participants=[ABERDEENSHIRE]), "expected_revision": self.stands()[2] + stale}
        self.attempt(Action.EDIT, partial(self._call, "update_proposal", proposer(council), **request))

    @rule(council=st.sampled_from(COUNCILS))
    def submit(self, council: str) -> None:
        self.attempt(Action.SUBMIT, partial(self._call, "submit_proposal", proposer(council)))

    @rule(council=st.sampled_from(COUNCILS), stale=STALE, yes=st.booleans())
    def answer(self, council: str, stale: int, yes: bool) -> None:
        revision = {"revision": (self.stands()[1] or 1) + stale}
        action, method, more = (
            (Action.CONFIRM, "confirm_participation", {})
            if yes
            else (Action.DECLINE, "decline_participation", {"reason": "We have no money for it."})
        )
        self.attempt(action, partial(self._call, method, sponsor(council), **revision, **more))

    @rule(name=st.sampled_from(PEOPLE), council=st.sampled_from([None, *COUNCILS]))
    def assess(self, name: str, council: str | None) -> None:
        request = {"revision": self.stands()[1] or 1, "scores": scores(8, 7, 6)}
        self.attempt(Action.ASSESS, partial(self._call, "submit_assessment", assessor(name, council), **request))

    @rule(name=st.sampled_from(PEOPLE))
    def declare_conflict(self, name: str) -> None:
        call = partial(self._call, "declare_conflict", assessor(name), reason="My sister works there.")
        self.attempt(Action.DECLARE_CONFLICT, call)

    @rule(council=st.sampled_from([None, *COUNCILS]))
    def request_changes(self, council: str | None) -> None:
        call = partial(self._call, "request_changes", chair(council), reason="Say who runs it afterwards.")
        self.attempt(Action.REQUEST_CHANGES, call)

    @rule(council=st.sampled_from([None, *COUNCILS]), approve=st.booleans(), stale=STALE)
    def determine(self, council: str | None, approve: bool, stale: int) -> None:
        request = {
            "revision": (self.stands()[1] or 1) + stale,
            "outcome": "approved" if approve else "rejected",
            "minute": "The panel agreed.",
        }
        action = Action.APPROVE if approve else Action.REJECT
        self.attempt(action, partial(self._call, "determine", chair(council), **request))

    @rule(council=st.sampled_from(COUNCILS))
    def withdraw(self, council: str) -> None:
        call = partial(self._call, "withdraw_proposal", proposer(council), reason="Our budget was cut.")
        self.attempt(Action.WITHDRAW, call)

    @rule(
        which=st.integers(0, 1),
        news=st.sampled_from(
            [
                (Action.NOTE_OFFER, "award_offered"),
                (Action.NOTE_REFUSAL, "award_declined"),
                (Action.NOTE_REFUSAL, "award_lapsed"),
                (Action.NOTE_FUNDING, "project_funded"),
                (Action.NOTE_COMPLETION, "project_completed"),
                (Action.NOTE_TERMINATION, "award_terminated"),
            ]
        ),
    )
    def hear_of_an_award(self, which: int, news: tuple[Action, str]) -> None:
        action, name = news
        project_id, at, day = self.projects[which], clock.now(), date(2026, 12, 31)
        facts: dict[str, dict[str, Any]] = {
            "award_offered": {"amount_pence": 25_000_000, "expires_on": day},
            "award_declined": {"reason": "No staff to run it.", "declined_at": at},
            "award_lapsed": {"expires_on": day, "lapsed_at": at},
            "project_funded": {
                "project_id": project_id,
                "amount_pence": 25_000_000,
                "revision": 1,
                "content_hash": "0" * 64,
                "content": ProposalContent().load(content()),
                "funded_at": at,
            },
            "project_completed": {"project_id": project_id, "completed_at": at},
            "award_terminated": {"project_id": project_id, "reason": "The supplier left.", "terminated_at": at},
        }
        before = self.stands()[0]
        refused = _refusal_of(partial(self.programme.deliver, name, **self.awards[which], **facts[name]))
        event(f"{action}: {refused or 'done'}")
        if refused:
            assert self.stands()[0] == before
            assert refused == ("award_contradicted" if before in TRANSITIONS[action].moves else "wrong_state")
            return
        # Late news of one award may say what another one means: any of these rows may have been the one.
        heard = [row for row in TRANSITIONS.values() if row.overtaking]
        assert self.stands()[0] in {row.moves[before] for row in heard if before in row.moves}  # type: ignore[index]

    def _call(self, method: str, who: Any, **request: Any) -> Any:
        return self.programme.call(method, who, proposal_id=self.proposal_id, **request)

    @invariant()
    def what_was_told_is_numbered_without_a_gap(self) -> None:
        mine = select(outbox.c.sequence).where(outbox.c.subject == self.proposal_id).order_by(outbox.c.position)
        with self.programme.database.transaction() as session:
            version = session.scalar(select(Proposal.version).where(Proposal.id == UUID(self.proposal_id)))
            assert list(session.scalars(mine)) == list(range(1, (version or 0) + 1))


def test_the_service_goes_where_the_table_leads(programme: Programme) -> None:
    round_id = programme.open_round(quorum=1)
    run_state_machine_as_test(
        partial(Walk, programme, round_id),
        settings=settings(
            max_examples=15,
            stateful_step_count=20,
            deadline=None,
            phases=[Phase.generate],  # a walk that fails is short enough, and each try at a shorter one is slow
            suppress_health_check=list(HealthCheck),
        ),
    )
