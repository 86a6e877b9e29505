"""What is foreseeable of a pool's money, by the end of each of its financial years; beside what is, never instead.

Nothing is guessed: what is pledged comes in, what is promised goes out when it is due, and what is on offer is told
apart, because nobody has accepted it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from services.funding import ledger
from shared import periods


@dataclass(frozen=True)
class Due:
    """A tranche that is not paid.

    :param holder: the account that holds its money: the project's ``committed``, or for an offer ``reserved``.
    """

    holder: str
    due_on: date
    amount_pence: int


@dataclass(frozen=True)
class Projection:
    """A pool's money as it is foreseen for the end of a financial year, in pence.

    :param pledges_due_pence: what is to come in by then. A pledge is due by the end of the year that it is for, and
        receipts settle the oldest year first.
    :param tranches_due_pence: what accepted awards are to be paid by then: their unpaid tranches that fall due by then,
        overdue ones too.
    :param offers_due_pence: the same of the awards that are on offer, if all are accepted.
    :param balance_pence: the money in the pool by then: what is available, reserved and committed now, with the pledges
        and less the tranches of accepted awards.
    :param balance_if_accepted_pence: that less the tranches of the offers.
    :param uncommitted_pence: what can still be offered by then: what is available now, with the pledges. What is
        reserved and committed is set aside already, so the tranches that it pays are not taken off again.
    """

    year: str
    ends_on: date
    pledges_due_pence: int
    tranches_due_pence: int
    offers_due_pence: int
    balance_pence: int
    balance_if_accepted_pence: int
    uncommitted_pence: int


def project(
    balances: Mapping[str, int],
    *,
    pledges: Mapping[str, Mapping[str, int]],
    tranches: Sequence[Due],
    offers: Sequence[Due],
    years: Iterable[str],
    today: date,
) -> list[Projection]:
    """Return what is foreseen for the end of each year that is not over.

    :param balances: the balance in pence of every account of the pool now, by name.
    :param pledges: what each council was to pay for each year, in pence: by GSS code, then by year.
    :param tranches: the unpaid tranches of accepted awards.
    :param offers: the tranches of awards that are on offer.
    :param years: the pool's financial years.
    """
    now = ledger.position(balances)
    in_pool_pence = now.available_pence + now.reserved_pence + now.committed_pence
    foreseen = []
    for year in years:
        ends_on = periods.parse_year(year).ends_on
        if ends_on < today:
            continue
        pledges_due_pence = sum(
            _pledge_due(ledger.outstanding_from(balances, council), pledges.get(council, {}), year)
            for council in ledger.councils_in(balances)
        )
        tranches_due_pence = _due_by(ends_on, tranches, balances)
        offers_due_pence = _due_by(ends_on, offers, balances)
        balance_pence = in_pool_pence + pledges_due_pence - tranches_due_pence
        foreseen.append(
            Projection(
                year=year,
                ends_on=ends_on,
                pledges_due_pence=pledges_due_pence,
                tranches_due_pence=tranches_due_pence,
                offers_due_pence=offers_due_pence,
                balance_pence=balance_pence,
                balance_if_accepted_pence=balance_pence - offers_due_pence,
                uncommitted_pence=now.available_pence + pledges_due_pence,
            )
        )
    return foreseen


def _pledge_due(outstanding_pence: int, shares: Mapping[str, int], year: str) -> int:
    """Return what of a council's outstanding pledge is for a year or an earlier one: the rest is for later ones."""
    later_pence = sum(pence for of_year, pence in shares.items() if of_year > year)
    return max(0, outstanding_pence - later_pence)


def _due_by(day: date, dues: Iterable[Due], balances: Mapping[str, int]) -> int:
    """Return what falls due by a day, of each account no more than it holds."""
    by_holder: dict[str, int] = {}
    for due in dues:
        if due.due_on <= day:
            by_holder[due.holder] = by_holder.get(due.holder, 0) + due.amount_pence
    return sum(min(pence, balances.get(holder, 0)) for holder, pence in by_holder.items())
