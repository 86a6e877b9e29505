"""The proposals service: rounds, proposals, assessment and decision."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from services.proposals import access, handlers, schemas
from services.proposals.entering import Entering
from services.proposals.models import Moderation, Round
from shared.audit.sealer import Sealing
from shared.fields import Command
from shared.messaging.by_the_clock import by_the_clock
from shared.messaging.consumer import event_handler
from shared.messaging.events import Event
from shared.messaging.housekeeping import Housekeeping
from shared.messaging.relay import OutboxRelay
from shared.messaging.rpc import rpc
from shared.security.principal import ASSESSOR, CDO, PANEL_CHAIR, PROPOSER, ROLES, SPONSOR, Principal
from shared.security.scope import EVERY_ROW
from shared.storage.provider import Storage


class ProposalsService:
    """Rounds, proposals with their revisions and confirmations, assessments and decisions."""

    name = "proposals"

    storage = Storage()
    relay = OutboxRelay()
    housekeeping = Housekeeping()
    sealing = Sealing()
    entering = Entering()

    @rpc(schemas.OpenRound, schemas.RoundView, roles={CDO}, scope=EVERY_ROW)
    def open_round(self, session: Session, principal: Principal, command: Command) -> dict[str, Any]:
        """Announce a round."""
        return handlers.open_round(session, principal, command)

    @rpc(schemas.ChangeRound, schemas.RoundView, roles={CDO}, scope=EVERY_ROW)
    def change_round(self, session: Session, principal: Principal, command: Command) -> dict[str, Any]:
        """Change the terms of a round that has not closed."""
        return handlers.change_round(session, principal, command)

    @rpc(schemas.CloseRound, schemas.RoundView, roles={CDO}, scope=EVERY_ROW)
    def close_round(self, session: Session, principal: Principal, command: Command) -> dict[str, Any]:
        """Close a round, early or once its last day is over."""
        return handlers.close_round(session, principal, command)

    @rpc(schemas.GetRound, schemas.RoundView, roles=ROLES, scope=EVERY_ROW, reads=True)
    def get_round(self, session: Session, principal: Principal, command: Command) -> dict[str, Any]:
        """Return a round."""
        return handlers.get_round(session, principal, command)

    @rpc(schemas.ListRounds, schemas.RoundPage, roles=ROLES, scope=EVERY_ROW, reads=True)
    def list_rounds(self, session: Session, principal: Principal, command: Command) -> dict[str, Any]:
        """Return a page of rounds."""
        return handlers.list_rounds(session, principal, command)

    @rpc(schemas.CreateProposal, schemas.ProposalView, roles={PROPOSER}, scope=access.led)
    def create_proposal(self, session: Session, principal: Principal, command: Command) -> dict[str, Any]:
        """Begin a draft for a round."""
        return handlers.create_proposal(session, principal, command)

    @rpc(schemas.UpdateProposal, schemas.ProposalView, roles={PROPOSER}, scope=access.led)
    def update_proposal(self, session: Session, principal: Principal, command: Command) -> dict[str, Any]:
        """Replace a draft's content."""
        return handlers.update_proposal(session, principal, command)

    @rpc(schemas.SubmitProposal, schemas.SubmittedView, roles={PROPOSER}, scope=access.led)
    def submit_proposal(self, session: Session, principal: Principal, command: Command) -> dict[str, Any]:
        """Hand a draft in as a revision: who has not confirmed its part is asked to; tells what is like it."""
        return handlers.submit_proposal(session, principal, command)

    @rpc(schemas.WithdrawProposal, schemas.ProposalView, roles={PROPOSER}, scope=access.led)
    def withdraw_proposal(self, session: Session, principal: Principal, command: Command) -> dict[str, Any]:
        """Take a proposal back."""
        return handlers.withdraw_proposal(session, principal, command)

    @rpc(schemas.ConfirmParticipation, schemas.ProposalView, roles={SPONSOR}, scope=access.TAKES_PART)
    def confirm_participation(self, session: Session, principal: Principal, command: Command) -> dict[str, Any]:
        """Say that the caller's council stands behind a revision."""
        return handlers.confirm_participation(session, principal, command)

    @rpc(schemas.DeclineParticipation, schemas.ProposalView, roles={SPONSOR}, scope=access.TAKES_PART)
    def decline_participation(self, session: Session, principal: Principal, command: Command) -> dict[str, Any]:
        """Say that the caller's council does not stand behind a revision."""
        return handlers.decline_participation(session, principal, command)

    @rpc(schemas.CheckEligibility, schemas.EligibilityView, roles=ROLES, scope=access.known, reads=True)
    def check_eligibility(self, session: Session, principal: Principal, command: Command) -> dict[str, Any]:
        """Return each rule of eligibility, whether it is met, and why."""
        return handlers.check_eligibility(session, principal, command)

    @rpc(schemas.CheckContent, schemas.CheckView, roles={PROPOSER, CDO}, scope=EVERY_ROW, reads=True)
    def check_content(self, session: Session, principal: Principal, command: Command) -> dict[str, Any]:
        """Return what would be told of a content if it were drafted, checked and submitted now."""
        return handlers.check_content(session, principal, command)

    @rpc(schemas.GetProposal, schemas.ProposalView, roles=ROLES, scope=access.known, reads=True)
    def get_proposal(self, session: Session, principal: Principal, command: Command) -> dict[str, Any]:
        """Return a proposal with its content."""
        return handlers.get_proposal(session, principal, command)

    @rpc(schemas.ListProposals, schemas.ProposalPage, roles=ROLES, scope=access.known, reads=True)
    def list_proposals(self, session: Session, principal: Principal, command: Command) -> dict[str, Any]:
        """Return a page of proposals."""
        return handlers.list_proposals(session, principal, command)

    @rpc(schemas.CountProposals, schemas.ProposalCounts, roles=ROLES, scope=access.known, reads=True)
    def count_proposals(self, session: Session, principal: Principal, command: Command) -> dict[str, Any]:
        """Return how many proposals of a round are in each state."""
        return handlers.count_proposals(session, principal, command)

    @rpc(schemas.FindSimilar, schemas.SimilarView, roles=ROLES, scope=access.told_of, reads=True)
    def find_similar(self, session: Session, principal: Principal, command: Command) -> dict[str, Any]:
        """Return the proposals, of any council and round, that are like one, and in which words."""
        return handlers.find_similar(session, principal, command)

    @rpc(schemas.GetRevision, schemas.RevisionView, roles=ROLES, scope=access.known, reads=True)
    def get_revision(self, session: Session, principal: Principal, command: Command) -> dict[str, Any]:
        """Return a revision as it was handed in."""
        return handlers.get_revision(session, principal, command)

    @rpc(schemas.CompareRevisions, schemas.ComparisonView, roles=ROLES, scope=access.known, reads=True)
    def compare_revisions(self, session: Session, principal: Principal, command: Command) -> dict[str, Any]:
        """Return what differs between two revisions, or between a revision and the draft, field by field."""
        return handlers.compare_revisions(session, principal, command)

    @rpc(schemas.DeclareConflict, schemas.ConflictView, roles={ASSESSOR, PANEL_CHAIR}, scope=access.known)
    def declare_conflict(self, session: Session, principal: Principal, command: Command) -> dict[str, Any]:
        """Declare an interest in a proposal; whoever does neither assesses nor decides it."""
        return handlers.declare_conflict(session, principal, command)

    @rpc(schemas.SubmitAssessment, schemas.AssessmentView, roles={ASSESSOR}, scope=access.DISINTERESTED)
    def submit_assessment(self, session: Session, principal: Principal, command: Command) -> dict[str, Any]:
        """Give the caller's scores of a revision, once and for good."""
        return handlers.submit_assessment(session, principal, command)

    @rpc(
        schemas.ListAssessments,
        schemas.AssessmentPage,
        roles={ASSESSOR, PANEL_CHAIR, CDO},
        scope=access.assessments,
        reads=True,
    )
    def list_assessments(self, session: Session, principal: Principal, command: Command) -> dict[str, Any]:
        """Return a page of a proposal's assessments."""
        return handlers.list_assessments(session, principal, command)

    @rpc(
        schemas.GetAssessmentSummary,
        schemas.AssessmentSummaryView,
        roles={ASSESSOR, PANEL_CHAIR, CDO},
        scope=access.summaries,
        reads=True,
    )
    def get_assessment_summary(self, session: Session, principal: Principal, command: Command) -> dict[str, Any]:
        """Return what a revision's assessments come to, and how far apart they are."""
        return handlers.get_assessment_summary(session, principal, command)

    @rpc(schemas.Moderate, schemas.ModerationView, roles={PANEL_CHAIR}, scope=access.DISINTERESTED)
    def moderate(self, session: Session, principal: Principal, command: Command) -> Moderation:
        """Put the panel's note on a revision's assessments; where they are far apart, no decision without one."""
        return handlers.moderate(session, principal, command)

    @rpc(schemas.RequestChanges, schemas.ProposalView, roles={PANEL_CHAIR}, scope=access.DISINTERESTED)
    def request_changes(self, session: Session, principal: Principal, command: Command) -> dict[str, Any]:
        """Send a revision back to its lead council."""
        return handlers.request_changes(session, principal, command)

    @rpc(schemas.Determine, schemas.ProposalView, roles={PANEL_CHAIR}, scope=access.DISINTERESTED)
    def determine(self, session: Session, principal: Principal, command: Command) -> dict[str, Any]:
        """Put the panel's decision on record."""
        return handlers.determine(session, principal, command)

    @by_the_clock(handlers.rounds_to_begin)
    def begin_rounds(self, session: Session, due: Round, now: datetime) -> dict[str, Any]:
        """Tell that a round takes proposals, once its first day has come."""
        return handlers.begin_round(session, due, now)

    @by_the_clock(handlers.rounds_to_close)
    def close_rounds(self, session: Session, due: Round, now: datetime) -> dict[str, Any]:
        """Close a round whose last day is over."""
        return handlers.close_round_that_is_over(session, due, now)

    @event_handler("funding", "member_joined")
    def mirror_member_joined(self, session: Session, event: Event) -> None:
        handlers.mirror_member_joined(session, event)

    @event_handler("funding", "member_left")
    def mirror_member_left(self, session: Session, event: Event) -> None:
        handlers.mirror_member_left(session, event)

    @event_handler("funding", "award_offered")
    def mirror_award_offered(self, session: Session, event: Event) -> None:
        handlers.mirror_award_offered(session, event)

    @event_handler("funding", "award_declined")
    def mirror_award_declined(self, session: Session, event: Event) -> None:
        handlers.mirror_award_declined(session, event)

    @event_handler("funding", "award_lapsed")
    def mirror_award_lapsed(self, session: Session, event: Event) -> None:
        handlers.mirror_award_lapsed(session, event)

    @event_handler("funding", "project_funded")
    def mirror_project_funded(self, session: Session, event: Event) -> None:
        handlers.mirror_project_funded(session, event)

    @event_handler("funding", "project_completed")
    def mirror_project_completed(self, session: Session, event: Event) -> None:
        handlers.mirror_project_completed(session, event)

    @event_handler("funding", "award_terminated")
    def mirror_award_terminated(self, session: Session, event: Event) -> None:
        handlers.mirror_award_terminated(session, event)
