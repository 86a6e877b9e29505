"""Records each of funding's events in the outbox, with the version that it takes its aggregate to."""

from datetime import date
from typing import Any

from sqlalchemy.orm import Session

from services.funding import figures, ledger
from services.funding.domain.statements import total
from services.funding.models import (
    Award,
    ClosedYear,
    Contribution,
    LedgerTransaction,
    Member,
    Payment,
    Pool,
    Receipt,
    Tranche,
)
from shared.events.catalogue import event_type
from shared.fields import Command
from shared.messaging import outbox
from shared.proposal_content import ProposalContent


def pool_opened(session: Session, pool: Pool) -> None:
    """Councils put their money together."""
    _record(
        session,
        pool,
        "pool_opened",
        {
            "pool_id": pool.id,
            "name": pool.name,
            "starts_on": pool.starts_on,
            "ends_on": pool.ends_on,
            "years": pool.years,
        },
    )


def member_joined(session: Session, pool: Pool, member: Member) -> None:
    """A council is a member of the pool."""
    _record(
        session,
        pool,
        "member_joined",
        {"pool_id": pool.id, "council": member.council, "joins_on": member.joins_on},
    )


def member_left(session: Session, pool: Pool, member: Member) -> None:
    """A council's membership ends, on a day that may lie ahead."""
    _record(
        session,
        pool,
        "member_left",
        {
            "pool_id": pool.id,
            "council": member.council,
            "joins_on": member.joins_on,
            "leaves_on": member.leaves_on,
        },
    )


def leaver_refunded(session: Session, pool: Pool, council: str, amount_pence: int, refunded_on: date) -> None:
    """A council that has left got back its part of what was available."""
    _record(
        session,
        pool,
        "leaver_refunded",
        {"pool_id": pool.id, "council": council, "amount_pence": amount_pence, "refunded_on": refunded_on},
    )


def year_closed(session: Session, pool: Pool, closed: ClosedYear) -> None:
    """A financial year's figures are settled."""
    parts = figures.settled(closed)
    _record(
        session,
        pool,
        "year_closed",
        {
            "pool_id": pool.id,
            "year": closed.year,
            "closed_at": closed.closed_at,
            "councils": [{"council": council, **part.by_name()} for council, part in parts.items()],
            "total": total(parts.values()).by_name(),
        },
    )


def transaction_reversed(
    session: Session, pool: Pool, original: LedgerTransaction, reversal: ledger.Transaction, amount_pence: int
) -> None:
    """What was told of a pledge, a receipt, a payment, a refund or money that came back holds no longer."""
    _record(
        session,
        pool,
        "transaction_reversed",
        {
            "pool_id": pool.id,
            "transaction_id": original.id,
            "number": original.number,
            "kind": original.kind,
            "amount_pence": amount_pence,
            "effective_on": reversal.effective_on,
            "reason": reversal.about["reason"],
            "about": [{"name": name, "value": value} for name, value in sorted(original.about.items())],
        },
    )


def contribution_pledged(session: Session, pool: Pool, share: Contribution) -> None:
    """A council owes the pool its share of a financial year."""
    _record(
        session,
        pool,
        "contribution_pledged",
        {"pool_id": pool.id, "council": share.council, "year": share.year, "amount_pence": share.amount_pence},
    )


def contribution_recorded(session: Session, pool: Pool, receipt: Receipt) -> None:
    """A council's money arrived."""
    _record(
        session,
        pool,
        "contribution_recorded",
        {
            "pool_id": pool.id,
            "council": receipt.council,
            "amount_pence": receipt.amount_pence,
            "unpledged_pence": receipt.unpledged_pence,
            "still_owed_pence": receipt.still_owed_pence,
            "flag": receipt.flag,
            "bank_reference": receipt.bank_reference,
            "received_on": receipt.received_on,
        },
    )


def award_offered(session: Session, award: Award) -> None:
    """A second person approved the offer: it is real to the council now."""
    _record(
        session,
        award,
        "award_offered",
        {**_about(award), "amount_pence": award.amount_pence, "expires_on": award.expires_on},
    )


def award_declined(session: Session, award: Award) -> None:
    """The lead council does not take the offer."""
    _record(
        session,
        award,
        "award_declined",
        {**_about(award), "reason": award.decline_reason, "declined_at": award.declined_at},
    )


def award_lapsed(session: Session, award: Award) -> None:
    """Nobody took the offer in time."""
    _record(
        session,
        award,
        "award_lapsed",
        {**_about(award), "expires_on": award.expires_on, "lapsed_at": award.lapsed_at},
    )


def project_funded(session: Session, award: Award) -> None:
    """The lead council accepted; carries all that tracking the project needs."""
    candidate = award.candidate
    _record(
        session,
        award,
        "project_funded",
        {
            **_about(award),
            "project_id": award.project_id,
            "amount_pence": award.amount_pence,
            "revision": candidate.revision,
            "content_hash": candidate.content_hash,
            "content": ProposalContent().load(candidate.approved_content),
            "funded_at": award.accepted_at,
        },
    )


def drawdown_approved(session: Session, award: Award, tranche: Tranche) -> None:
    """A second person approved the payment of a tranche."""
    _record(
        session,
        award,
        "drawdown_approved",
        {**_about_tranche(award, tranche), "approved_at": tranche.approved_at},
    )


def tranche_paid(session: Session, award: Award, tranche: Tranche, payment: Payment) -> None:
    """A tranche left the pool for the lead council."""
    _record(
        session,
        award,
        "tranche_paid",
        {
            **_about_tranche(award, tranche),
            "payment_reference": payment.payment_reference,
            "paid_on": payment.paid_on,
        },
    )


def underspend_returned(session: Session, award: Award, command: Command) -> None:
    """Money of a project that was not spent came back."""
    _record(session, award, "underspend_returned", _about_return(award, command))


def funds_clawed_back(session: Session, award: Award, command: Command) -> None:
    """Money that the pool demanded back came back."""
    _record(session, award, "funds_clawed_back", {**_about_return(award, command), "reason": command.reason})


def project_completed(session: Session, award: Award) -> None:
    """The project has done what it was funded for."""
    _record(
        session,
        award,
        "project_completed",
        {**_about(award), "project_id": award.project_id, "completed_at": award.completed_at},
    )


def award_terminated(session: Session, award: Award) -> None:
    """The project was ended early."""
    _record(
        session,
        award,
        "award_terminated",
        {
            **_about(award),
            "project_id": award.project_id,
            "reason": award.termination_reason,
            "terminated_at": award.terminated_at,
        },
    )


def _record(session: Session, aggregate: Pool | Award, name: str, data: dict[str, Any]) -> None:
    aggregate.version += 1
    outbox.record(session, event_type("funding", name), subject=aggregate.id, sequence=aggregate.version, data=data)


def _about(award: Award) -> dict[str, Any]:
    return {
        "award_id": award.id,
        "pool_id": award.pool_id,
        "proposal_id": award.proposal_id,
        "proposal_reference": award.candidate.reference,
        "lead_council": award.lead_council,
    }


def _about_tranche(award: Award, tranche: Tranche) -> dict[str, Any]:
    return {
        **_about(award),
        "project_id": award.project_id,
        "tranche": tranche.key,
        "amount_pence": tranche.amount_pence,
    }


def _about_return(award: Award, command: Command) -> dict[str, Any]:
    return {
        **_about(award),
        "project_id": award.project_id,
        "amount_pence": command.amount_pence,
        "bank_reference": command.bank_reference,
        "received_on": command.received_on,
    }
