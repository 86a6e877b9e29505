"""Statements of account on each database: what they tell, to whom, and that the councils' add up to the pool's."""

import csv
import io
from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from services.funding import ledger, ledger_history, ledger_store
from services.funding.domain.statements import Span
from services.funding.handlers import books, statement_lines
from services.funding.ledger import Posting, Transaction
from shared import ids
from shared.errors import Conflict, Forbidden, Invalid, NotFound
from tests.support.funding import (
    ABERDEENSHIRE,
    APPROVER_BEN,
    CDO_CLEO,
    EDINBURGH,
    FIFE,
    TREASURER_ANN,
    Funding,
    officer,
    proposer,
)


def statement(funding: Funding, pool_id: str, council: str, **more: Any) -> dict[str, Any]:
    return funding.call(TREASURER_ANN, "council_statement", pool_id=pool_id, council=council, **more)


def pay(funding: Funding, award: dict[str, Any], reference: str = "PAY-1", tranche: str = "alpha") -> None:
    funding.approved_drawdown(award, tranche)
    funding.call(
        TREASURER_ANN,
        "record_payment",
        award_id=award["award_id"],
        tranche=tranche,
        payment_reference=reference,
        paid_on="2026-06-01",
    )


@pytest.fixture
def paid(funding: Funding) -> tuple[str, dict[str, Any]]:
    """A pool of Edinburgh and Fife that has paid 10,000 pounds, and the award it was paid on."""
    pool_id = funding.pool(EDINBURGH, FIFE)
    funding.call(
        TREASURER_ANN, "set_contributions", pool_id=pool_id, year="2026-27", total_pence=40_000_00, scheme="equal"
    )
    funding.receipt(pool_id, amount_pence=30_000_00, bank_reference="BACS-1")
    funding.receipt(pool_id, amount_pence=10_000_00, bank_reference="BACS-2", council=FIFE)
    award = funding.active_award(pool_id)
    pay(funding, award)
    return pool_id, award


def rows_of(file: dict[str, str]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(file["text"], newline=""), strict=True))


def test_what_is_too_long_for_a_file_is_refused_with_what_to_do(
    funding: Funding, paid: tuple[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool_id, _ = paid
    monkeypatch.setattr(statement_lines, "MAX_CSV_LINES", 5)
    assert statement(funding, pool_id, EDINBURGH, format="csv")["file"]
    with pytest.raises(Invalid) as refusal:
        funding.call(TREASURER_ANN, "pool_statement", pool_id=pool_id, format="csv")
    assert (refusal.value.code, list(refusal.value.fields)) == ("too_many_lines", ["format"])
    monkeypatch.setattr(books, "MAX_CSV_ROWS", 3)
    assert funding.call(TREASURER_ANN, "list_transactions", pool_id=pool_id, kind="pay", format="csv")["file"]
    with pytest.raises(Invalid) as too_many:
        funding.call(TREASURER_ANN, "list_transactions", pool_id=pool_id, format="csv")
    assert too_many.value.code == "too_many_lines"


# --- a council's ----------------------------------------------------------------------------------------------------


def test_a_councils_statement_tells_where_its_money_came_from_and_went(
    funding: Funding, paid: tuple[str, dict[str, Any]]
) -> None:
    pool_id, award = paid
    found = statement(funding, pool_id, EDINBURGH, year="2026-27")
    assert found["figures"] == {
        "opening_pence": 0,
        "received_pence": 30_000_00,
        "refunded_pence": 0,
        "spent_pence": 7_500_00,
        "returned_pence": 0,
        "closing_pence": 22_500_00,
        "outstanding_before_pence": 0,
        "pledged_pence": 20_000_00,
        "settled_pence": 20_000_00,
        "outstanding_pence": 0,
    }
    project = {"project_id": award["project_id"], "award_reference": award["reference"], "title": award["title"]}
    assert found["projects"] == [{**project, "spent_pence": 7_500_00, "returned_pence": 0}]
    listed = [
        (line["effective_on"], line["line"], line["amount_pence"], line["pledge_pence"], line["reference"])
        for line in found["lines"]
    ]
    assert listed == [
        ("2026-05-29", "received", 30_000_00, -20_000_00, "BACS-1"),
        ("2026-06-01", "pledged", 0, 20_000_00, None),
        ("2026-06-01", "spent", -7_500_00, 0, "PAY-1"),
    ]
    assert found["lines"][-1] | project == found["lines"][-1]
    assert found["lines"][-1]["tranche"] == "alpha"
    assert (found["starts_on"], found["ends_on"], found["name"]) == ("2026-04-01", "2027-03-31", "City of Edinburgh")


def test_a_year_opens_with_what_the_year_before_closed_with(funding: Funding, paid: tuple[str, dict[str, Any]]) -> None:
    pool_id, _ = paid
    closed = statement(funding, pool_id, FIFE, year="2026-27")["figures"]
    opened = statement(funding, pool_id, FIFE, year="2027-28")
    assert opened["figures"]["opening_pence"] == closed["closing_pence"] == 7_500_00
    assert opened["figures"]["outstanding_before_pence"] == closed["outstanding_pence"] == 10_000_00
    assert opened["lines"] == opened["projects"] == []
    whole = statement(funding, pool_id, FIFE)
    assert (whole["year"], whole["starts_on"], whole["ends_on"]) == (None, None, None)
    assert whole["figures"] == closed


def test_a_statement_is_made_again_as_it_was(funding: Funding, paid: tuple[str, dict[str, Any]]) -> None:
    pool_id, _ = paid
    first = statement(funding, pool_id, EDINBURGH, year="2026-27")
    funding.receipt(pool_id, amount_pence=5_00, bank_reference="BACS-LATE", received_on="2026-05-30")
    now = statement(funding, pool_id, EDINBURGH, year="2026-27")
    assert now["figures"]["received_pence"] == 30_005_00
    assert now["ledger_number"] == first["ledger_number"] + 1
    assert statement(funding, pool_id, EDINBURGH, year="2026-27", upto_number=first["ledger_number"]) == first
    nothing = statement(funding, pool_id, EDINBURGH, upto_number=0)
    assert (set(nothing["figures"].values()), nothing["lines"]) == ({0}, [])
    with pytest.raises(Invalid) as refusal:
        statement(funding, pool_id, EDINBURGH, upto_number=now["ledger_number"] + 1)
    assert refusal.value.fields == {
        "upto_number": ["The pool's ledger ends with transaction 8; name that one or an earlier one."]
    }


def test_lines_come_in_pages_and_the_figures_whole(funding: Funding, paid: tuple[str, dict[str, Any]]) -> None:
    pool_id, _ = paid
    whole = statement(funding, pool_id, EDINBURGH)
    lines, cursor = [], None
    while True:
        page = statement(funding, pool_id, EDINBURGH, limit=1, cursor=cursor)
        assert page["figures"] == whole["figures"]
        lines += page["lines"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert lines == whole["lines"]
    with pytest.raises(Invalid) as refusal:
        statement(funding, pool_id, EDINBURGH, cursor=str(ids.new_id()))
    assert refusal.value.code == "bad_cursor"


def test_a_statement_as_csv_adds_up(funding: Funding, paid: tuple[str, dict[str, Any]]) -> None:
    pool_id, _ = paid
    funding.receipt(pool_id, amount_pence=1, bank_reference="=1+1")
    found = statement(funding, pool_id, EDINBURGH, year="2026-27", format="csv")
    assert (found["lines"], found["next_cursor"]) == ([], None)
    file = found["file"]
    assert file["filename"] == f"statement-{EDINBURGH}-2026-27-to-8.csv"
    assert file["content_type"] == "text/csv; charset=utf-8; header=present"
    assert file["text"].splitlines()[:3] == [
        "line,date,transaction,corrects,council,council_name,reference,award,project,tranche,"
        "amount_pounds,amount_pence,pledge_pounds,pledge_pence",
        "opening,2026-04-01,,,S12000036,City of Edinburgh,,,,,0.00,0,0.00,0",
        "received,2026-05-29,3,,S12000036,City of Edinburgh,BACS-1,,,,30000.00,3000000,-20000.00,-2000000",
    ]
    *rows, closing = rows_of(file)
    assert "'=1+1" in {row["reference"] for row in rows}
    for sums in ("amount_pence", "pledge_pence"):
        assert sum(int(row[sums]) for row in rows) == int(closing[sums])
    assert (closing["line"], closing["amount_pounds"]) == ("closing", "22500.01")


def test_what_was_recorded_wrongly_and_again_rightly_counts_once(
    funding: Funding, paid: tuple[str, dict[str, Any]]
) -> None:
    pool_id, award = paid
    before = statement(funding, pool_id, EDINBURGH, year="2026-27")["figures"]
    wrong = funding.receipt(pool_id, amount_pence=5_000_00, bank_reference="BACS-3")
    funding.by_two_people("reverse_transaction", pool_id, number=8, reason="It was 500 pounds.")
    funding.receipt(pool_id, **{name: wrong[name] for name in ("bank_reference", "received_on")}, amount_pence=500_00)
    funding.by_two_people("reverse_transaction", pool_id, number=7, reason="It was another payment.")
    funding.pay(award, payment_reference="PAY-1")
    came_back = {"amount_pence": 1_000_00, "bank_reference": "BACS-4"}
    funding.carried_out("return_underspend", award, **came_back)
    funding.by_two_people("reverse_transaction", pool_id, number=13, reason="It was a clawback.")
    funding.carried_out("claw_back", award, **came_back, reason="The milestone was missed.")
    found = statement(funding, pool_id, EDINBURGH, year="2026-27")
    returned_pence = found["figures"]["returned_pence"]
    assert found["figures"] == before | {
        "received_pence": 30_500_00,
        "spent_pence": found["projects"][0]["spent_pence"],
        "returned_pence": found["projects"][0]["returned_pence"],
        "closing_pence": 30_500_00 - found["figures"]["spent_pence"] + returned_pence,
    }
    whole = funding.call(TREASURER_ANN, "pool_statement", pool_id=pool_id)["figures"]
    told = ("received_pence", "refunded_pence", "spent_pence", "returned_pence")
    assert [whole[name] for name in told] == [40_500_00, 0, 10_000_00, 1_000_00]
    listed = {line["number"]: line for line in found["lines"]}
    assert {number: line["corrects"] for number, line in listed.items() if line["corrects"]} == {9: 8, 11: 7, 14: 13}
    for number, line in listed.items():
        if (original := listed.get(line["corrects"])) is not None:
            assert line["line"] == original["line"], number
            assert line["amount_pence"] == -original["amount_pence"], number
    file = statement(funding, pool_id, EDINBURGH, year="2026-27", format="csv")["file"]
    assert {row["transaction"]: row["corrects"] for row in rows_of(file) if row["corrects"]} == {
        "9": "8", "11": "7", "14": "13"
    }  # fmt: skip


def test_a_council_gets_its_own_statement_and_hears_of_no_other(
    funding: Funding, paid: tuple[str, dict[str, Any]]
) -> None:
    pool_id, _ = paid
    asked = {"pool_id": pool_id, "council": FIFE}
    for person in (officer(FIFE), proposer(FIFE), CDO_CLEO, APPROVER_BEN):
        assert funding.call(person, "council_statement", **asked)["figures"]["received_pence"] == 10_000_00
    # Another's, one that is no member, and a pool of others are all the same to a council's people.
    refusals = set()
    for person, council in ((officer(EDINBURGH), FIFE), (officer(EDINBURGH), ABERDEENSHIRE), (CDO_CLEO, ABERDEENSHIRE)):
        with pytest.raises(NotFound) as refusal:
            funding.call(person, "council_statement", pool_id=pool_id, council=council)
        refusals.add((refusal.value.code, refusal.value.message))
    assert len(refusals) == 1
    with pytest.raises(NotFound) as stranger:
        funding.call(officer(ABERDEENSHIRE), "council_statement", pool_id=pool_id, council=ABERDEENSHIRE)
    assert stranger.value.code == "no_such_pool"
    with pytest.raises(Forbidden):
        funding.call(officer(FIFE), "pool_statement", pool_id=pool_id)
    assert FIFE not in str(funding.call(officer(EDINBURGH), "council_statement", pool_id=pool_id, council=EDINBURGH))
    written = funding.call(officer(EDINBURGH), "council_statement", pool_id=pool_id, council=EDINBURGH, format="csv")
    assert FIFE not in str(written)


# --- the pool's -----------------------------------------------------------------------------------------------------


def test_the_pools_statement_has_the_part_of_each_council(funding: Funding, paid: tuple[str, dict[str, Any]]) -> None:
    pool_id, award = paid
    found = funding.call(TREASURER_ANN, "pool_statement", pool_id=pool_id, year="2026-27")
    assert found["figures"]["received_pence"] == 40_000_00
    assert found["figures"]["closing_pence"] == 30_000_00
    assert found["position"]["available_pence"] + found["position"]["committed_pence"] == 30_000_00
    assert [part["council"] for part in found["councils"]] == [EDINBURGH, FIFE]
    assert [part["figures"] for part in found["councils"]] == [
        statement(funding, pool_id, council, year="2026-27")["figures"] for council in (EDINBURGH, FIFE)
    ]
    [project] = found["projects"]
    assert (project["award_reference"], project["spent_pence"]) == (award["reference"], 10_000_00)
    assert project["councils"] == [
        {"council": EDINBURGH, "spent_pence": 7_500_00, "returned_pence": 0},
        {"council": FIFE, "spent_pence": 2_500_00, "returned_pence": 0},
    ]
    assert len(found["lines"]) == 6
    file = funding.call(CDO_CLEO, "pool_statement", pool_id=pool_id, year="2026-27", format="csv")["file"]
    *rows, closing = rows_of(file)
    assert [row["line"] for row in rows[:2]] == ["opening", "opening"]
    for sums in ("amount_pence", "pledge_pence"):
        assert sum(int(row[sums]) for row in rows) == int(closing[sums])
    assert (closing["council"], closing["amount_pence"]) == ("", "3000000")


# --- whatever happens -----------------------------------------------------------------------------------------------

COUNCILS = (EDINBURGH, FIFE)
YEARS = ("2025-26", "2026-27", "2027-28")
DAYS = st.dates(date(2026, 3, 1), date(2027, 5, 31))
#: What a step takes from and gives to, for a council and a project; the ledger decides what is not possible.
STEPS = {
    "pledge": ("council:{0}", "pledged:{0}"),
    "cancel": ("pledged:{0}", "council:{0}"),
    "receipt": ("pledged:{0}", "available"),
    "over-payment": ("council:{0}", "available"),
    "commit": ("available", "committed:{1}"),
    "pay": ("committed:{1}", "paid:{1}"),
    "pay at once": ("available", "paid:{1}"),
    "return": ("paid:{1}", "available"),
    "refund": ("available", "council:{0}"),
    "reverse_receipt": ("available", "pledged:{0}"),
    "reverse_over-payment": ("available", "council:{0}"),
    "reverse_pay": ("paid:{1}", "committed:{1}"),
    "reverse_return": ("available", "paid:{1}"),
    "reverse_refund": ("council:{0}", "available"),
}
#: What takes from a council what it has paid in.
TAKING = ("refund", "reverse_receipt", "reverse_over-payment")
Step = tuple[str, str, int, int, date]
steps = st.tuples(
    st.sampled_from(sorted(STEPS)), st.sampled_from(COUNCILS), st.integers(0, 1), st.integers(1, 1000), DAYS
)


def take(session: Session, pool_id: UUID, projects: Sequence[UUID], step: Step) -> None:
    """Post a step; what would take more of a council's money than it has left is not for a statement to judge."""
    kind, council, project, amount_pence, on = step
    source, destination = (account.format(council, projects[project]) for account in STEPS[kind])
    if kind in TAKING:
        balances = ledger_store.balances(session, pool_id)
        now = ledger_history.books(session, pool_id)
        spent = sum(
            part.spent_pence - part.returned_pence for part in ledger_history.attributed(session, now, Span(), council)
        )
        amount_pence = min(amount_pence, ledger.received_from(balances, council) - spent)
    if amount_pence <= 0:
        return
    ledger_store.post(
        session,
        pool_id,
        [
            Transaction(
                kind=kind,
                key=str(ids.new_id()),
                effective_on=on,
                author="ann",
                about={},
                postings=(Posting(source, -amount_pence), Posting(destination, amount_pence)),
            )
        ],
    )


FUNDED = [
    ("over-payment", council, 0, pence, date(2026, 3, 30)) for council, pence in zip(COUNCILS, (700, 333), strict=True)
]


@given(history=st.lists(steps, max_size=20))
@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # Each step is a transaction on a database: shrinking takes minutes.
    suppress_health_check=list(HealthCheck),
)
def test_whatever_happens_the_councils_add_up_to_the_pool_and_today_is_what_is_kept(
    funding: Funding, history: list[Step]
) -> None:
    pool_id, projects = funding.pool(*COUNCILS), (ids.new_id(), ids.new_id())
    for step in [*FUNDED, *history]:
        with suppress(Conflict):
            funding.database.run(partial(take, pool_id=UUID(pool_id), projects=projects, step=step))
    assert funding.ledger_is_sound(pool_id)
    pool = funding.call(TREASURER_ANN, "get_pool", pool_id=pool_id, as_at="2027-05-31")
    assert pool["as_at"]["position"] == pool["position"]
    assert pool["as_at"]["members"] == [
        {name: member[name] for name in ("council", "pledged_pence", "received_pence")} for member in pool["members"]
    ]
    closed: dict[str, tuple[int, int]] = {}
    for year in (*YEARS, None):
        whole = funding.call(TREASURER_ANN, "pool_statement", pool_id=pool_id, year=year)
        own = {council: statement(funding, pool_id, council, year=year) for council in COUNCILS}
        for figure, pence in whole["figures"].items():
            assert pence == sum(each["figures"][figure] for each in own.values()), figure
        assert {part["council"]: part["figures"] for part in whole["councils"]} == {
            council: each["figures"] for council, each in own.items()
        }
        for project in whole["projects"]:
            parts = [each for council in own.values() for each in council["projects"]]
            parts = [each for each in parts if each["project_id"] == project["project_id"]]
            for figure in ("spent_pence", "returned_pence"):
                assert project[figure] == sum(each[figure] for each in parts)
        assert sorted(map(str, whole["lines"])) == sorted(str(line) for each in own.values() for line in each["lines"])
        # The money is where the accounts say, and the lines lead from the opening to the closing balance.
        held = ("available_pence", "reserved_pence", "committed_pence")
        assert whole["figures"]["closing_pence"] == sum(whole["position"][account] for account in held)
        for each in (whole, *own.values()):
            moved = sum(line["amount_pence"] for line in each["lines"])
            assert each["figures"]["closing_pence"] == each["figures"]["opening_pence"] + moved
            pledged = sum(line["pledge_pence"] for line in each["lines"])
            outstanding = each["figures"]["outstanding_before_pence"] + pledged
            assert each["figures"]["outstanding_pence"] == outstanding
        for council, figures in [(each["council"], each["figures"]) for each in own.values()] if year else []:
            opened = figures["opening_pence"], figures["outstanding_before_pence"]
            assert closed.get(council, opened) == opened
            closed[council] = figures["closing_pence"], figures["outstanding_pence"]
    assert whole["figures"]["closing_pence"] == sum(closing for closing, _ in closed.values())


# --- the pool as at a day -------------------------------------------------------------------------------------------


def test_a_pool_as_it_stood_on_a_day(funding: Funding, paid: tuple[str, dict[str, Any]]) -> None:
    pool_id, _ = paid
    found = funding.call(TREASURER_ANN, "get_pool", pool_id=pool_id, as_at="2026-05-29")
    nothing = dict.fromkeys(("reserved_pence", "committed_pence", "paid_pence"), 0)
    # Both paid on the 29th what was set, and so pledged, on the 1st of June: it came before its pledge.
    assert found["as_at"] == {
        "on": "2026-05-29",
        "position": {
            **nothing,
            "pledged_pence": -30_000_00,
            "available_pence": 40_000_00,
            "received_pence": 40_000_00,
        },
        "members": [
            {"council": EDINBURGH, "pledged_pence": -20_000_00, "received_pence": 30_000_00},
            {"council": FIFE, "pledged_pence": -10_000_00, "received_pence": 10_000_00},
        ],
    }
    assert found["position"]["paid_pence"] == 10_000_00
    before = funding.call(TREASURER_ANN, "get_pool", pool_id=pool_id, as_at="2026-05-28")["as_at"]
    assert set(before["position"].values()) == {0}
    own = funding.call(officer(FIFE), "get_pool", pool_id=pool_id, as_at="2026-05-29")["as_at"]["members"]
    assert [member["received_pence"] for member in own] == [None, 10_000_00]
    assert funding.call(TREASURER_ANN, "get_pool", pool_id=pool_id)["as_at"] is None


def test_what_is_foreseen_stands_beside_what_is(funding: Funding, paid: tuple[str, dict[str, Any]]) -> None:
    pool_id, _ = paid
    first, *_, last = funding.call(TREASURER_ANN, "get_pool", pool_id=pool_id)["projected"]
    # 30,000 in the pool, of which 15,000 are committed and due by March; Fife owes 10,000.
    assert first == {
        "year": "2026-27",
        "ends_on": "2027-03-31",
        "pledges_due_pence": 10_000_00,
        "tranches_due_pence": 15_000_00,
        "offers_due_pence": 0,
        "balance_pence": 25_000_00,
        "balance_if_accepted_pence": 25_000_00,
        "uncommitted_pence": 25_000_00,
    }
    assert last["year"] == "2028-29"
    funding.offer(pool_id, funding.candidate(tranches=(("alpha", 2_000_00), ("beta", 0))), amount_pence=2_000_00)
    offered, *_ = funding.call(TREASURER_ANN, "get_pool", pool_id=pool_id)["projected"]
    assert offered == first | {
        "offers_due_pence": 2_000_00,
        "balance_if_accepted_pence": 23_000_00,
        "uncommitted_pence": 23_000_00,
    }


# --- the ledger's list ----------------------------------------------------------------------------------------------


def test_transactions_are_chosen_by_date_kind_project_and_council(
    funding: Funding, paid: tuple[str, dict[str, Any]]
) -> None:
    pool_id, award = paid

    def numbers(**chosen: Any) -> list[int]:
        found = funding.call(TREASURER_ANN, "list_transactions", pool_id=pool_id, **chosen)
        return [item["number"] for item in found["items"]]

    assert numbers() == [1, 2, 3, 4, 5, 6, 7]
    assert numbers(effective_to="2026-05-31") == [3, 4]
    assert numbers(effective_from="2026-05-30") == [1, 2, 5, 6, 7]
    assert numbers(kind="receipt") == [3, 4]
    assert numbers(project_id=award["project_id"]) == [6, 7]
    assert numbers(council=FIFE) == [2, 4, 7]
    assert numbers(council=FIFE, kind="pay") == [7]
    other = funding.call(officer(EDINBURGH), "list_transactions", pool_id=pool_id, council=FIFE)
    assert other["items"] == []


def test_transactions_as_csv_have_a_row_for_each_posting(funding: Funding, paid: tuple[str, dict[str, Any]]) -> None:
    pool_id, _ = paid
    found = funding.call(TREASURER_ANN, "list_transactions", pool_id=pool_id, format="csv")
    assert found["items"] == []
    rows = rows_of(found["file"])
    assert sum(int(row["amount_pence"]) for row in rows) == 0
    assert [(row["account"], row["amount_pounds"]) for row in rows if row["transaction"] == "4"] == [
        ("available", "10000.00"),
        (f"pledged:{FIFE}", "-10000.00"),
    ]
    own = rows_of(funding.call(officer(FIFE), "list_transactions", pool_id=pool_id, format="csv")["file"])
    assert {row["transaction"] for row in own} == {"2", "4"}
