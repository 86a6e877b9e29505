"""The pool's ledger: balanced double entry in whole pence, as rules in plain Python (design, section 7).

A posting of ``+n`` adds ``n`` pence to an account's balance, and the postings of a transaction add up to zero, so money
is only ever moved. ``council:<gss>`` is the world outside and goes below zero; no other account ever does. What is
written stays written: a correction is another transaction.

====================== ==========================================================
flow                   postings
====================== ==========================================================
pledge                 ``council`` -n, ``pledged`` +n
receipt                ``pledged`` -n as far as it reaches, ``council`` for the rest, ``available`` +n
reserve, release       ``available`` to ``reserved``, and back
commit                 ``reserved`` to ``committed``
pay                    ``committed`` to ``paid``
decommit               ``committed`` to ``available``: what an award that ends has not been paid
return, claw back      ``paid`` to ``available``: money that has come back, unspent or on demand
cancel                 ``pledged`` -n, ``council`` +n: what a leaver owes for years that it is no member of
refund                 ``available`` -n, ``council`` +n: a leaver's part of what is free
reverse_<flow>         the postings and the attribution of another transaction, each with the other sign
====================== ==========================================================
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from shared.errors import Conflict
from shared.money import format_pounds

#: The one account of what is received and free, and the kinds of those that a council, proposal or project has.
AVAILABLE = "available"
COUNCIL, PLEDGED, RESERVED, COMMITTED, PAID = "council", "pledged", "reserved", "committed", "paid"
#: The flows by which money of a project comes back.
RETURN, CLAW_BACK = "return", "claw_back"
#: Flows that others ask for by name; the table above has all.
PLEDGE, RECEIPT, CANCEL, REFUND, PAY = "pledge", "receipt", "cancel", "refund", "pay"
#: What the kind of a reversal begins with; the flow that it takes back follows.
REVERSE = "reverse_"


def council_account(gss_code: str) -> str:
    """Return the account of the world outside for a council."""
    return f"{COUNCIL}:{gss_code}"


def pledged_account(gss_code: str) -> str:
    """Return the account of what a council has agreed to pay and not yet paid."""
    return f"{PLEDGED}:{gss_code}"


def reserved_account(proposal_id: UUID) -> str:
    """Return the account of what is held for a proposal while its award is on offer."""
    return f"{RESERVED}:{proposal_id}"


def committed_account(project_id: UUID) -> str:
    """Return the account of what a project has been promised and not yet paid."""
    return f"{COMMITTED}:{project_id}"


def paid_account(project_id: UUID) -> str:
    """Return the account of what a project has been paid."""
    return f"{PAID}:{project_id}"


def kind_of(account: str) -> str:
    """Return what kind of account a name stands for: the part before the colon."""
    return account.partition(":")[0]


def councils_in(accounts: Iterable[str]) -> list[str]:
    """Return the GSS codes of the councils that have accounts among some, in order."""
    return sorted({account.partition(":")[2] for account in accounts if kind_of(account) in (COUNCIL, PLEDGED)})


def may_go_below_zero(account: str) -> bool:
    """Tell whether an account may: only the world outside."""
    return kind_of(account) == COUNCIL


@dataclass(frozen=True)
class Posting:
    """A change of one account's balance by ``amount_pence``, never zero."""

    account: str
    amount_pence: int


@dataclass(frozen=True, kw_only=True)
class Transaction:
    """Postings that happen together.

    :param kind: the flow, such as ``pledge``.
    :param key: what this transaction is about, in business terms; a pool's ledger holds each key once.
    :param effective_on: the day on which the money moved, whenever it was written down.
    :param author: the subject of whoever caused it.
    :param approver: the subject of the second person, where two are needed.
    :param about: the ids and references of what it is about, as text.
    :param attribution: what it costs each council in pence, by GSS code, where that is settled before: a reversal gives
        back what its original took. Else it is worked out from what it does to a project's ``paid`` account.
    :raises ValueError: when it does not balance; a fault in the service, never a caller's.
    """

    kind: str
    key: str
    effective_on: date
    author: str
    approver: str | None = None
    about: Mapping[str, str]
    postings: tuple[Posting, ...]
    attribution: Mapping[str, int] | None = None

    def __post_init__(self) -> None:
        if any(posting.amount_pence == 0 for posting in self.postings):
            raise ValueError(f"{self.key} has a posting of nothing")
        if len(self.accounts) < len(self.postings):
            raise ValueError(f"{self.key} posts twice to one account")
        if not self.postings or sum(posting.amount_pence for posting in self.postings) != 0:
            raise ValueError(f"{self.key} does not balance")
        if len(self.paid) > 1:
            raise ValueError(f"{self.key} pays more than one project")
        if self.attribution is not None and sum(self.attribution.values()) != sum(self.paid.values()):
            raise ValueError(f"{self.key} is attributed to other than what it pays")

    @property
    def paid(self) -> dict[UUID, int]:
        """What it adds to a project's ``paid`` account, by project; nothing when it touches none."""
        return {
            UUID(posting.account.partition(":")[2]): posting.amount_pence
            for posting in self.postings
            if kind_of(posting.account) == PAID
        }

    @property
    def accounts(self) -> frozenset[str]:
        """The names of the accounts that it touches."""
        return frozenset(posting.account for posting in self.postings)


def apply(balances: Mapping[str, int], transaction: Transaction) -> dict[str, int]:
    """Return the balances after a transaction.

    :param balances: balance in pence by account name; an account that is not named has none.
    :raises Conflict: ``insufficient_funds`` when an account would go below zero that may not.
    """
    after = dict(balances)
    for posting in transaction.postings:
        before = after.get(posting.account, 0)
        after[posting.account] = before + posting.amount_pence
        if after[posting.account] < 0 and not may_go_below_zero(posting.account):
            raise _insufficient_funds(posting, before)
    return after


def _insufficient_funds(posting: Posting, balance_pence: int) -> Conflict:
    has, takes = format_pounds(balance_pence), format_pounds(-posting.amount_pence)
    if posting.account == AVAILABLE:
        sentence = f"The pool has {has} available and this takes {takes}; record more receipts first, or take less."
    else:
        sentence = f"{posting.account} holds {has} and this takes {takes}; look at the pool's transactions."
    return Conflict("insufficient_funds", sentence, {"amount_pence": [f"At most {balance_pence} pence."]})


# --- flows ----------------------------------------------------------------------------------------------------------


def pledge(*, council: str, year: str, amount_pence: int, on: date, author: str, nth: int = 1) -> Transaction:
    """A council owes the pool its share of a financial year.

    :param on: the day on which the share was agreed.
    :param nth: counts the council's pledges for the year; there is another once the one before it is off the books.
    """
    return Transaction(
        kind=PLEDGE,
        key=pledge_key(year, council, nth),
        effective_on=on,
        author=author,
        about={"council": council, "year": year},
        postings=_move(council_account(council), pledged_account(council), amount_pence),
    )


def pledge_key(year: str, council: str, nth: int = 1) -> str:
    """Return the key of a council's pledge for a financial year."""
    return _key("pledge", nth, f"{year}:{council}")


def cancel(*, council: str, year: str, amount_pence: int, on: date, author: str, nth: int) -> Transaction:
    """A leaver no longer owes the pool what is outstanding for a year of which it is no member.

    :param on: the day on which the leave was recorded.
    :param nth: of the pledge.
    """
    return Transaction(
        kind=CANCEL,
        key=_key("cancel", nth, f"{year}:{council}"),
        effective_on=on,
        author=author,
        about={"council": council, "year": year},
        postings=_move(pledged_account(council), council_account(council), amount_pence),
    )


def refund(
    *,
    council: str,
    amount_pence: int,
    instruction_id: UUID,
    payment_reference: str | None = None,
    on: date,
    author: str,
    approver: str,
) -> Transaction:
    """A leaver gets back its part of what is free.

    :param instruction_id: of the instruction by which it is refunded.
    :param payment_reference: what the bank calls the payment, if that is known.
    """
    at_the_bank = {"payment_reference": payment_reference} if payment_reference else {}
    return Transaction(
        kind=REFUND,
        key=f"refund:{instruction_id}",
        effective_on=on,
        author=author,
        approver=approver,
        about={"council": council, "instruction_id": str(instruction_id), **at_the_bank},
        postings=_move(AVAILABLE, council_account(council), amount_pence),
    )


def receipt_key(bank_reference: str, nth: int = 1) -> str:
    """Return the key of money that came in: a bank reference counts once in a pool, and again once that is reversed."""
    return _key("receipt", nth, bank_reference)


def unpledged_part(amount_pence: int, outstanding_pence: int) -> int:
    """Return how much of a receipt goes beyond what its council has pledged and not yet paid."""
    return max(0, amount_pence - outstanding_pence)


def receipt(
    *,
    council: str,
    amount_pence: int,
    outstanding_pence: int,
    bank_reference: str,
    on: date,
    author: str,
    nth: int = 1,
) -> Transaction:
    """A council's money arrived: it settles what was pledged, and what goes beyond comes from outside.

    :param outstanding_pence: the balance of the council's pledged account.
    :param on: the day on which the money was received.
    :param nth: counts the receipts of this reference; there is another once the one before it is reversed.
    """
    unpledged_pence = unpledged_part(amount_pence, outstanding_pence)
    sources = {pledged_account(council): amount_pence - unpledged_pence, council_account(council): unpledged_pence}
    return Transaction(
        kind=RECEIPT,
        key=receipt_key(bank_reference, nth),
        effective_on=on,
        author=author,
        about={"council": council, "bank_reference": bank_reference},
        postings=(
            *(Posting(account, -taken_pence) for account, taken_pence in sources.items() if taken_pence),
            Posting(AVAILABLE, amount_pence),
        ),
    )


def reserve(*, award_id: UUID, proposal_id: UUID, amount_pence: int, on: date, author: str) -> Transaction:
    """Money is held for a proposal while its award is on offer."""
    return Transaction(
        kind="reserve",
        key=f"reserve:{award_id}",
        effective_on=on,
        author=author,
        about={"award_id": str(award_id), "proposal_id": str(proposal_id)},
        postings=_move(AVAILABLE, reserved_account(proposal_id), amount_pence),
    )


def release(*, award_id: UUID, proposal_id: UUID, amount_pence: int, on: date, author: str) -> Transaction:
    """Money that was held is free again."""
    return Transaction(
        kind="release",
        key=f"release:{award_id}",
        effective_on=on,
        author=author,
        about={"award_id": str(award_id), "proposal_id": str(proposal_id)},
        postings=_move(reserved_account(proposal_id), AVAILABLE, amount_pence),
    )


def commit(
    *,
    award_id: UUID,
    proposal_id: UUID,
    project_id: UUID,
    amount_pence: int,
    on: date,
    author: str,
    approver: str | None,
) -> Transaction:
    """Money that was held is promised to the project that an accepted award made.

    :param author: who accepted the award.
    :param approver: who approved its offer.
    """
    return Transaction(
        kind="commit",
        key=f"commit:{award_id}",
        effective_on=on,
        author=author,
        approver=approver,
        about={"award_id": str(award_id), "proposal_id": str(proposal_id), "project_id": str(project_id)},
        postings=_move(reserved_account(proposal_id), committed_account(project_id), amount_pence),
    )


def pay(
    *,
    award_id: UUID,
    project_id: UUID,
    tranche: str,
    amount_pence: int,
    payment_reference: str,
    on: date,
    author: str,
    approver: str | None,
    nth: int = 1,
) -> Transaction:
    """A tranche left the pool for the lead council.

    :param on: the day on which it was paid.
    :param author: who recorded the payment.
    :param approver: who approved the drawdown.
    :param nth: counts the payments of this reference; there is another once the one before it is reversed.
    """
    return Transaction(
        kind=PAY,
        key=_key("payment", nth, payment_reference),
        effective_on=on,
        author=author,
        approver=approver,
        about={
            "award_id": str(award_id),
            "project_id": str(project_id),
            "tranche": tranche,
            "payment_reference": payment_reference,
        },
        postings=_move(committed_account(project_id), paid_account(project_id), amount_pence),
    )


def decommit(
    *, award_id: UUID, project_id: UUID, amount_pence: int, on: date, author: str, approver: str
) -> Transaction:
    """What was promised to a project and not paid is free again, because its award has ended."""
    return Transaction(
        kind="decommit",
        key=f"decommit:{award_id}",
        effective_on=on,
        author=author,
        approver=approver,
        about={"award_id": str(award_id), "project_id": str(project_id)},
        postings=_move(committed_account(project_id), AVAILABLE, amount_pence),
    )


@dataclass(frozen=True, kw_only=True)
class ComingBack:
    """Money of a project that has come back to the pool.

    :param instruction_id: by which it was recorded.
    :param bank_reference: what the bank statement calls it, if that was said.
    :param nth: counts what came in under this reference; there is another once the one before it is reversed.
    :param on: the day on which it was received.
    :param author: who asked to record it.
    :param approver: who approved that.
    """

    instruction_id: UUID
    award_id: UUID
    project_id: UUID
    amount_pence: int
    bank_reference: str | None
    nth: int = 1
    on: date
    author: str
    approver: str


def returned(back: ComingBack) -> Transaction:
    """What a project did not need came back."""
    return _come_back(RETURN, back)


def clawed_back(back: ComingBack) -> Transaction:
    """What the pool demanded back came back."""
    return _come_back(CLAW_BACK, back)


def _come_back(kind: str, back: ComingBack) -> Transaction:
    about = {
        "award_id": str(back.award_id),
        "project_id": str(back.project_id),
        "instruction_id": str(back.instruction_id),
    }
    if back.bank_reference is not None:
        about["bank_reference"] = back.bank_reference
    return Transaction(
        kind=kind,
        key=f"{kind}:{back.instruction_id}"
        if back.bank_reference is None
        else receipt_key(back.bank_reference, back.nth),
        effective_on=back.on,
        author=back.author,
        approver=back.approver,
        about=about,
        postings=_move(paid_account(back.project_id), AVAILABLE, back.amount_pence),
    )


def reversal(
    *,
    number: int,
    kind: str,
    about: Mapping[str, str],
    postings: Mapping[str, int],
    attribution: Mapping[str, int],
    reason: str,
    on: date,
    author: str,
    approver: str,
) -> Transaction:
    """What was written is taken back: the mirror image of another transaction. A transaction has one at most.

    :param number: of the transaction that is taken back, and so are its kind, and so on.
    :param attribution: what that one cost each council, in pence; empty when it paid nothing.
    :param reason: why, in the words of whoever asked for it.
    """
    return Transaction(
        kind=reversal_of(kind),
        key=reversal_key(number),
        effective_on=on,
        author=author,
        approver=approver,
        about={**about, "reversed_number": str(number), "reason": reason},
        postings=tuple(Posting(account, -amount_pence) for account, amount_pence in postings.items()),
        attribution={council: -pence for council, pence in attribution.items()},
    )


def reversal_key(number: int) -> str:
    """Return the key of what takes a transaction back: it is taken back once."""
    return f"reversal:{number}"


def reversal_of(kind: str) -> str:
    """Return the flow that takes another one back."""
    return f"{REVERSE}{kind}"


def is_reversal(kind: str) -> bool:
    """Tell whether a flow is the reversal of another."""
    return kind.startswith(REVERSE)


def flow_of(kind: str) -> str:
    """Return the flow itself, of a reversal the one that it takes back."""
    return kind.removeprefix(REVERSE)


def _key(word: str, nth: int, rest: str) -> str:
    # A reference may hold any sign, and what stands before the first colon none of its own: no two keys meet.
    return f"{word}:{rest}" if nth == 1 else f"{word}.{nth}:{rest}"


def _move(source: str, destination: str, amount_pence: int) -> tuple[Posting, ...]:
    if amount_pence < 0:
        raise ValueError(f"{amount_pence} pence cannot move from {source} to {destination}")
    return Posting(source, -amount_pence), Posting(destination, amount_pence)


# --- what the balances say ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Position:
    """Where a pool's money is, in pence. Received is what councils have paid in; it is somewhere in the others."""

    pledged_pence: int
    available_pence: int
    reserved_pence: int
    committed_pence: int
    paid_pence: int
    received_pence: int


def position(balances: Mapping[str, int]) -> Position:
    """Return where a pool's money is.

    :param balances: the balance in pence of every account of the pool, by name.
    """
    totals = dict.fromkeys((PLEDGED, AVAILABLE, RESERVED, COMMITTED, PAID), 0)
    received_pence = 0
    for account, balance_pence in balances.items():
        if kind_of(account) in totals:
            totals[kind_of(account)] += balance_pence
        if kind_of(account) in (COUNCIL, PLEDGED):
            received_pence -= balance_pence
    return Position(
        pledged_pence=totals[PLEDGED],
        available_pence=totals[AVAILABLE],
        reserved_pence=totals[RESERVED],
        committed_pence=totals[COMMITTED],
        paid_pence=totals[PAID],
        received_pence=received_pence,
    )


def outstanding_from(balances: Mapping[str, int], council: str) -> int:
    """Return what a council has pledged and not yet paid, in pence."""
    return balances.get(pledged_account(council), 0)


def received_from(balances: Mapping[str, int], council: str) -> int:
    """Return what a council has paid in, in pence: all that left the world outside and is no longer a mere pledge."""
    return -balances.get(council_account(council), 0) - outstanding_from(balances, council)
