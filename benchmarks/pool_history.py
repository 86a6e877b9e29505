"""Three years of a pool as its ledger has them: the partnership of 25 councils and 100 projects that the design is for.

================================================================= ============
what                                                              transactions
================================================================= ============
a share that each council pledges for each year                             75
its receipts, one a quarter                                                300
a project: offered, accepted, paid in six tranches, then              100 x 10
something of it comes back, and what it was not paid is free
an offer to another proposal, declined or lapsed                       100 x 2
**all**                                                                  1,575
================================================================= ============
"""

from collections.abc import Iterator
from datetime import date

from services.funding import ledger
from services.funding.ledger import Transaction
from shared import ids
from shared.councils import all_councils

YEARS = ("2016-17", "2017-18", "2018-19")
COUNCILS, PROJECTS = 25, 100
QUARTERS, TRANCHES = 4, 6
SHARE_PENCE = 400_000_00
TRANCHE_PENCE, BACK_PENCE = 30_000_00, 12_345_67
AWARD_PENCE = (TRANCHES + 1) * TRANCHE_PENCE
AUTHOR, APPROVER = "ann@pool.example", "ben@pool.example"


def transactions() -> Iterator[Transaction]:
    """Go through all of it, in the order in which it is written."""
    for place, year in enumerate(YEARS):
        on = date(int(year[:4]), 4, 1)
        yield from _money_in(year, on)
        for number in range(place, PROJECTS, len(YEARS)):
            yield from _project(number, on)
            yield from _offer_that_comes_to_nothing(on)


def _money_in(year: str, on: date) -> Iterator[Transaction]:
    councils = sorted(all_councils())[:COUNCILS]
    for council in councils:
        yield ledger.pledge(council=council, year=year, amount_pence=SHARE_PENCE, on=on, author=AUTHOR)
    part_pence = SHARE_PENCE // QUARTERS
    for quarter in range(QUARTERS):
        for council in councils:
            yield ledger.receipt(
                council=council,
                amount_pence=part_pence,
                outstanding_pence=SHARE_PENCE - quarter * part_pence,
                bank_reference=f"{year}:{quarter}:{council}",
                on=on,
                author=AUTHOR,
            )


def _project(number: int, on: date) -> Iterator[Transaction]:
    award_id, proposal_id, project_id = ids.new_id(), ids.new_id(), ids.new_id()
    yield ledger.reserve(award_id=award_id, proposal_id=proposal_id, amount_pence=AWARD_PENCE, on=on, author=AUTHOR)
    yield ledger.commit(
        award_id=award_id,
        proposal_id=proposal_id,
        project_id=project_id,
        amount_pence=AWARD_PENCE,
        on=on,
        author="s95@council.example",
        approver=APPROVER,
    )
    for tranche in range(TRANCHES):
        yield ledger.pay(
            award_id=award_id,
            project_id=project_id,
            tranche=f"tranche-{tranche}",
            amount_pence=TRANCHE_PENCE,
            payment_reference=f"PAY-{number}-{tranche}",
            on=on,
            author=AUTHOR,
            approver=APPROVER,
        )
    yield ledger.returned(
        ledger.ComingBack(
            instruction_id=ids.new_id(),
            award_id=award_id,
            project_id=project_id,
            amount_pence=BACK_PENCE,
            bank_reference=None,
            on=on,
            author=AUTHOR,
            approver=APPROVER,
        )
    )
    yield ledger.decommit(
        award_id=award_id,
        project_id=project_id,
        amount_pence=AWARD_PENCE - TRANCHES * TRANCHE_PENCE,
        on=on,
        author=AUTHOR,
        approver=APPROVER,
    )


def _offer_that_comes_to_nothing(on: date) -> Iterator[Transaction]:
    award_id, proposal_id = ids.new_id(), ids.new_id()
    for flow in (ledger.reserve, ledger.release):
        yield flow(award_id=award_id, proposal_id=proposal_id, amount_pence=AWARD_PENCE, on=on, author=AUTHOR)
