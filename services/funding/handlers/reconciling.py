"""A bank's statement held against the pool's books; it reads alone and keeps nothing."""

from typing import Any

from sqlalchemy.orm import Session

from services.funding import access, ledger_history
from services.funding.domain import bank_statements
from services.funding.domain.reconciliation import Record, net, reconcile
from services.funding.ledger_history import BankMove
from shared.fields import Command
from shared.security.principal import Principal


def reconcile_bank_statement(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Hold a bank's statement against all that is recorded as having moved at the bank."""
    pool = access.pool(session, principal, command.pool_id)
    statement = bank_statements.read(command.statement)
    records = net(_record(move) for move in ledger_history.bank_moves(session, pool.id))
    found = reconcile(statement, records, command.starts_on, command.ends_on)
    return {
        "pool_id": pool.id,
        "starts_on": found.starts_on,
        "ends_on": found.ends_on,
        "agrees": found.agrees and not statement.unreadable,
        "bank_pence": found.bank_pence,
        "recorded_pence": found.recorded_pence,
        "matched": found.matched,
        "differing": found.differing,
        "missing_here": found.missing_here,
        "missing_there": found.missing_there,
        "duplicates": found.duplicates,
        "unreadable": statement.unreadable,
        "ignored_columns": statement.ignored_columns,
    }


def _record(move: BankMove) -> Record:
    reference = move.about.get("bank_reference") or move.about.get("payment_reference")
    return Record(move.number, move.effective_on, reference, move.amount_pence, move.kind)
