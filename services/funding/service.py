"""The funding service: pools and their ledger, awards, drawdowns (design, section 7)."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from services.funding import access, schemas
from services.funding.access import LED_AWARDS, READERS, STEWARDS
from services.funding.handlers import (
    awards,
    books,
    candidates,
    drawdowns,
    instructions,
    membership,
    pools,
    receipts,
    reconciling,
    statements,
    years,
)
from services.funding.models import Award
from shared.audit.sealer import Sealing
from shared.fields import Command
from shared.messaging.by_the_clock import by_the_clock
from shared.messaging.consumer import event_handler
from shared.messaging.events import Event
from shared.messaging.housekeeping import Housekeeping
from shared.messaging.relay import OutboxRelay
from shared.messaging.rpc import rpc
from shared.security.principal import APPROVER, CDO, PROPOSER, S95_OFFICER, TREASURER, Principal
from shared.security.scope import EVERY_ROW
from shared.storage.provider import Storage


class FundingService:
    """Pools with their members, contributions and ledger; awards and their drawdowns."""

    name = "funding"

    storage = Storage()
    relay = OutboxRelay()
    housekeeping = Housekeeping()
    sealing = Sealing()

    # Pools

    @rpc(schemas.CreatePool, schemas.PoolView, roles={TREASURER}, scope=EVERY_ROW)
    def create_pool(self, session: Session, principal: Principal, command: Command) -> Any:
        """Open a pool."""
        return pools.create_pool(session, principal, command)

    @rpc(schemas.AddMember, schemas.PoolView, roles={TREASURER}, scope=access.pools)
    def add_member(self, session: Session, principal: Principal, command: Command) -> Any:
        """Make a council a member."""
        return membership.add_member(session, principal, command)

    @rpc(schemas.RemoveMember, schemas.PoolView, roles={TREASURER}, scope=access.pools)
    def remove_member(self, session: Session, principal: Principal, command: Command) -> Any:
        """Let a council's membership end."""
        return membership.remove_member(session, principal, command)

    @rpc(schemas.RefundLeaver, schemas.InstructionView, roles={TREASURER}, scope=access.pools)
    def refund_leaver(self, session: Session, principal: Principal, command: Command) -> Any:
        """Ask that a council that has left gets back its part of what is available."""
        return instructions.request(session, principal, "refund_leaver", command)

    @rpc(schemas.SetContributions, schemas.ContributionsView, roles={TREASURER}, scope=access.pools)
    def set_contributions(self, session: Session, principal: Principal, command: Command) -> Any:
        """Share and pledge what the members pay for a financial year."""
        return pools.set_contributions(session, principal, command)

    @rpc(schemas.AddContribution, schemas.ContributionsView, roles={TREASURER}, scope=access.pools)
    def add_contribution(self, session: Session, principal: Principal, command: Command) -> Any:
        """Pledge the share of a council that joins after a year's contributions were set."""
        return pools.add_contribution(session, principal, command)

    @rpc(schemas.RecordReceipt, schemas.ReceiptView, roles={TREASURER}, scope=access.pools)
    def record_receipt(self, session: Session, principal: Principal, command: Command) -> Any:
        """Record that a council's money arrived."""
        return receipts.record_receipt(session, principal, command)

    @rpc(schemas.ListReceipts, schemas.ReceiptPage, roles=READERS, scope=access.receipts, reads=True)
    def list_receipts(self, session: Session, principal: Principal, command: Command) -> Any:
        """Return a page of a pool's receipts and how each stands to the pledge."""
        return receipts.list_receipts(session, principal, command)

    @rpc(schemas.GetPool, schemas.PoolInTimeView, roles=READERS, scope=access.pools, reads=True)
    def get_pool(self, session: Session, principal: Principal, command: Command) -> Any:
        """Return a pool, its members, where its money is, was on a day, and what is foreseen of it."""
        return pools.get_pool(session, principal, command)

    @rpc(schemas.ListTransactions, schemas.TransactionPage, roles=READERS, scope=access.transactions, reads=True)
    def list_transactions(self, session: Session, principal: Principal, command: Command) -> Any:
        """Return a page of a pool's ledger."""
        return books.list_transactions(session, principal, command)

    @rpc(schemas.VerifyLedger, schemas.VerificationView, roles=STEWARDS, scope=access.pools, reads=True)
    def verify_ledger(self, session: Session, principal: Principal, command: Command) -> Any:
        """Check a pool's ledger against its own rows."""
        return books.verify_ledger(session, principal, command)

    @rpc(schemas.ReverseTransaction, schemas.InstructionView, roles={TREASURER}, scope=access.pools)
    def reverse_transaction(self, session: Session, principal: Principal, command: Command) -> Any:
        """Ask that a transaction is taken back."""
        return instructions.request(session, principal, "reverse_transaction", command)

    @rpc(schemas.GetYear, schemas.YearView, roles=READERS, scope=access.pools, reads=True)
    def get_year(self, session: Session, principal: Principal, command: Command) -> Any:
        """Return a financial year's figures."""
        return years.get_year(session, principal, command)

    @rpc(schemas.CloseYear, schemas.InstructionView, roles={TREASURER}, scope=access.pools)
    def close_year(self, session: Session, principal: Principal, command: Command) -> Any:
        """Ask that a financial year is closed."""
        return instructions.request(session, principal, "close_year", command)

    # Statements

    @rpc(schemas.CouncilStatement, schemas.CouncilStatementView, roles=READERS, scope=access.statement, reads=True)
    def council_statement(self, session: Session, principal: Principal, command: Command) -> Any:
        """Return what moved a council's money in a financial year."""
        return statements.council_statement(session, principal, command)

    @rpc(schemas.PoolStatement, schemas.PoolStatementView, roles=STEWARDS, scope=access.pools, reads=True)
    def pool_statement(self, session: Session, principal: Principal, command: Command) -> Any:
        """Return what moved a pool's money in a financial year, with each council's part."""
        return statements.pool_statement(session, principal, command)

    @rpc(
        schemas.ReconcileBankStatement,
        schemas.ReconciliationView,
        roles={TREASURER, APPROVER, CDO},
        scope=access.pools,
        reads=True,
    )
    def reconcile_bank_statement(self, session: Session, principal: Principal, command: Command) -> Any:
        """Hold a bank's statement against the pool's books."""
        return reconciling.reconcile_bank_statement(session, principal, command)

    # Awards

    @rpc(schemas.ListCandidates, schemas.CandidatePage, roles=READERS, scope=access.candidates, reads=True)
    def list_candidates(self, session: Session, principal: Principal, command: Command) -> Any:
        """Return a page of the approved proposals that wait for an award."""
        return candidates.list_candidates(session, principal, command)

    @rpc(schemas.OfferAward, schemas.AwardView, roles={TREASURER}, scope=access.candidates)
    def offer_award(self, session: Session, principal: Principal, command: Command) -> Any:
        """Hold an approved proposal's money and ask a second person to approve the offer."""
        return awards.offer_award(session, principal, command)

    @rpc(schemas.ApproveAward, schemas.AwardView, roles={APPROVER}, scope=access.awards)
    def approve_award(self, session: Session, principal: Principal, command: Command) -> Any:
        """Open an offer for acceptance, as the second person."""
        return awards.approve_award(session, principal, command)

    @rpc(schemas.AcceptAward, schemas.AwardView, roles={S95_OFFICER}, scope=LED_AWARDS)
    def accept_award(self, session: Session, principal: Principal, command: Command) -> Any:
        """Take an offer for the lead council: the project is funded."""
        return awards.accept_award(session, principal, command)

    @rpc(schemas.DeclineAward, schemas.AwardView, roles={S95_OFFICER}, scope=LED_AWARDS)
    def decline_award(self, session: Session, principal: Principal, command: Command) -> Any:
        """Turn an offer down for the lead council."""
        return awards.decline_award(session, principal, command)

    @by_the_clock(awards.awards_to_lapse)
    def lapse_awards(self, session: Session, award: Award, now: datetime) -> dict[str, Any]:
        """End an offer that nobody took by its last day."""
        return awards.lapse_award(session, award, now)

    @rpc(schemas.GetAward, schemas.AwardView, roles=READERS, scope=access.awards, reads=True)
    def get_award(self, session: Session, principal: Principal, command: Command) -> Any:
        """Return an award."""
        return awards.get_award(session, principal, command)

    @rpc(schemas.ListAwards, schemas.AwardPage, roles=READERS, scope=access.awards, reads=True)
    def list_awards(self, session: Session, principal: Principal, command: Command) -> Any:
        """Return a page of awards."""
        return awards.list_awards(session, principal, command)

    # Drawdowns

    @rpc(schemas.RequestDrawdown, schemas.AwardView, roles={PROPOSER}, scope=LED_AWARDS)
    def request_drawdown(self, session: Session, principal: Principal, command: Command) -> Any:
        """Ask for the payment of a tranche."""
        return drawdowns.request_drawdown(session, principal, command)

    @rpc(schemas.ApproveDrawdown, schemas.AwardView, roles={APPROVER}, scope=access.awards)
    def approve_drawdown(self, session: Session, principal: Principal, command: Command) -> Any:
        """Let a requested tranche be paid, as the second person."""
        return drawdowns.approve_drawdown(session, principal, command)

    @rpc(schemas.RejectDrawdown, schemas.AwardView, roles={APPROVER, TREASURER}, scope=access.awards)
    def reject_drawdown(self, session: Session, principal: Principal, command: Command) -> Any:
        """Send a request back to the lead council."""
        return drawdowns.reject_drawdown(session, principal, command)

    @rpc(schemas.RecordPayment, schemas.PaymentView, roles={TREASURER}, scope=access.awards)
    def record_payment(self, session: Session, principal: Principal, command: Command) -> Any:
        """Record that an approved tranche was paid."""
        return drawdowns.record_payment(session, principal, command)

    # Money that comes back, and the ends of awards: asked for here, carried out by the approval of the instruction

    @rpc(schemas.ReturnUnderspend, schemas.InstructionView, roles={TREASURER}, scope=access.awards)
    def return_underspend(self, session: Session, principal: Principal, command: Command) -> Any:
        """Ask to record that money of a project that was not spent has come back."""
        return instructions.request(session, principal, "return_underspend", command)

    @rpc(schemas.ClawBack, schemas.InstructionView, roles={TREASURER}, scope=access.awards)
    def claw_back(self, session: Session, principal: Principal, command: Command) -> Any:
        """Ask to record that money which the pool demanded back has come."""
        return instructions.request(session, principal, "claw_back", command)

    @rpc(schemas.CompleteProject, schemas.InstructionView, roles={TREASURER}, scope=access.awards)
    def complete_project(self, session: Session, principal: Principal, command: Command) -> Any:
        """Ask to end a project that has done what it was funded for."""
        return instructions.request(session, principal, "complete_project", command)

    @rpc(schemas.TerminateAward, schemas.InstructionView, roles={TREASURER}, scope=access.awards)
    def terminate_award(self, session: Session, principal: Principal, command: Command) -> Any:
        """Ask to end a project early."""
        return instructions.request(session, principal, "terminate_award", command)

    # Instructions

    @rpc(schemas.ApproveInstruction, schemas.InstructionView, roles={APPROVER}, scope=access.instructions)
    def approve_instruction(self, session: Session, principal: Principal, command: Command) -> Any:
        """Carry an instruction out, as the second person."""
        return instructions.approve_instruction(session, principal, command)

    @rpc(schemas.RejectInstruction, schemas.InstructionView, roles={APPROVER}, scope=access.instructions)
    def reject_instruction(self, session: Session, principal: Principal, command: Command) -> Any:
        """Turn an instruction down."""
        return instructions.reject_instruction(session, principal, command)

    @rpc(schemas.WithdrawInstruction, schemas.InstructionView, roles={TREASURER}, scope=access.instructions)
    def withdraw_instruction(self, session: Session, principal: Principal, command: Command) -> Any:
        """Take one's own instruction back."""
        return instructions.withdraw_instruction(session, principal, command)

    @rpc(schemas.GetInstruction, schemas.InstructionView, roles=READERS, scope=access.instructions, reads=True)
    def get_instruction(self, session: Session, principal: Principal, command: Command) -> Any:
        """Return an instruction."""
        return instructions.get_instruction(session, principal, command)

    @rpc(schemas.ListInstructions, schemas.InstructionPage, roles=READERS, scope=access.instructions, reads=True)
    def list_instructions(self, session: Session, principal: Principal, command: Command) -> Any:
        """Return a page of a pool's instructions."""
        return instructions.list_instructions(session, principal, command)

    # Events of other services, and of finance

    @event_handler("proposals", "proposal_approved")
    def mirror_approved(self, session: Session, event: Event) -> None:
        """Keep what the panel approved."""
        candidates.mirror_approved(session, event)

    @event_handler("proposals", "proposal_withdrawn")
    def mirror_withdrawn(self, session: Session, event: Event) -> None:
        """Remember that a proposal was withdrawn."""
        candidates.mirror_withdrawn(session, event)

    @event_handler("outcomes", "milestone_achieved")
    def unlock_tranche(self, session: Session, event: Event) -> None:
        """Let the tranche of an achieved milestone be claimed."""
        drawdowns.unlock_tranche(session, event)

    @event_handler("finance", "contribution_received")
    def receive_contribution(self, session: Session, event: Event) -> None:
        """Record a council's money that finance reports."""
        receipts.receive_contribution(session, event)

    @event_handler("finance", "payment_made")
    def receive_payment(self, session: Session, event: Event) -> None:
        """Record a payment that finance reports."""
        drawdowns.receive_payment(session, event)
