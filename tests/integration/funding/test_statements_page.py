"""What docs/runbooks/statements.md prints is what the service answers."""

import re
from pathlib import Path

from shared.money import format_pounds
from tests.support.funding import ABERDEENSHIRE, APPROVER_BEN, EDINBURGH, FIFE, TREASURER_ANN, Funding, officer

PAGE = Path(__file__).parents[3] / "docs/runbooks/statements.md"


def the_pool_of_the_page(funding: Funding) -> str:
    pool_id = funding.pool(EDINBURGH, ABERDEENSHIRE, FIFE)
    funding.call(
        TREASURER_ANN, "set_contributions", pool_id=pool_id, year="2026-27", total_pence=200_000_00, scheme="population"
    )
    for member in funding.call(TREASURER_ANN, "get_pool", pool_id=pool_id)["members"]:
        funding.receipt(
            pool_id,
            council=member["council"],
            amount_pence=50_000_00 if member["council"] == FIFE else member["pledged_pence"],
            bank_reference=f"CW-{member['council'][-2:]}-2627",
            received_on="2026-06-01",
        )
    award = funding.active_award(pool_id)
    funding.approved_drawdown(award)
    funding.call(
        TREASURER_ANN,
        "record_payment",
        award_id=award["award_id"],
        tranche="alpha",
        payment_reference="PAY-0001",
        paid_on="2026-06-01",
    )
    asked = funding.call(
        TREASURER_ANN,
        "return_underspend",
        award_id=award["award_id"],
        amount_pence=1_250_00,
        bank_reference="CW-RET-1",
        received_on="2026-06-01",
    )
    funding.call(APPROVER_BEN, "approve_instruction", instruction_id=asked["instruction_id"])
    return pool_id


def pounds(pence: int) -> str:
    return format_pounds(pence).removeprefix("£") + ("" if pence % 100 else ".00")


def test_the_page_prints_what_the_service_answers(funding: Funding) -> None:
    pool_id = the_pool_of_the_page(funding)
    page = PAGE.read_text()
    printed, bank = re.findall(r"```csv\n(.*?)```", page, re.DOTALL)
    asked = {"pool_id": pool_id, "year": "2026-27"}
    file = funding.call(officer(FIFE), "council_statement", council=FIFE, format="csv", **asked)["file"]
    assert file["text"].replace("\r\n", "\n") == printed

    rows = [[cell.strip(" *`") for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("|")]
    pool = funding.call(TREASURER_ANN, "pool_statement", **asked)
    for part in [*pool["councils"], {"name": "the pool", "figures": pool["figures"]}]:
        names = ("received", "spent", "returned", "closing", "outstanding")
        assert [part["name"], *(pounds(part["figures"][f"{name}_pence"]) for name in names)] in rows

    found = funding.call(TREASURER_ANN, "reconcile_bank_statement", pool_id=pool_id, statement=bank)
    told = {name: cells for name, _, *cells in (row for row in rows if len(row) == 6)}
    for name in ("matched", "differing", "missing_here", "missing_there", "duplicates"):
        group = found[name]
        sums = [pounds(group[side]) if group[side] else "" for side in ("bank_pence", "recorded_pence")]
        assert told[name][:3] == [str(group["count"]), *sums]
    assert ["", "together", "", pounds(found["bank_pence"]), pounds(found["recorded_pence"]), ""] in rows

    [this_year, *_] = funding.call(TREASURER_ANN, "get_pool", pool_id=pool_id)["projected"]
    assert f"; {pounds(this_year['balance_pence'])} on 31 March 2027" in page
