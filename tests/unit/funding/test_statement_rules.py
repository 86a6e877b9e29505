"""Statements: what a transaction is to a council follows from its postings, whatever it is called, and all adds up."""

from collections import Counter
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.funding import ledger
from services.funding.domain.statements import (
    Figures,
    Line,
    Move,
    Span,
    figures_of,
    move_of_accounts,
    move_of_attribution,
    span_of,
    total,
)
from shared.money import split_by_largest_remainder
from tests.support.funding import ABERDEENSHIRE, EDINBURGH, FIFE

COUNCILS = (ABERDEENSHIRE, EDINBURGH, FIFE)
MONEY = ("available", "reserved", "committed")


@pytest.mark.parametrize(
    ("council_pence", "pledged_pence", "move", "figures"),
    [
        (-30, 30, Move(Line.PLEDGED, 0, 30), Figures(pledged_pence=30)),
        (30, -30, Move(Line.PLEDGED, 0, -30), Figures(pledged_pence=-30)),
        (0, -30, Move(Line.RECEIVED, 30, -30), Figures(received_pence=30, settled_pence=30)),
        (-12, -30, Move(Line.RECEIVED, 42, -30), Figures(received_pence=42, settled_pence=30)),
        (-42, 0, Move(Line.RECEIVED, 42, 0), Figures(received_pence=42)),
        (20, 0, Move(Line.REFUNDED, -20, 0), Figures(refunded_pence=20)),
        (12, 30, Move(Line.REFUNDED, -42, 30), Figures(refunded_pence=42, settled_pence=-30)),
        # A leaver gets 20 back in the transaction that cancels the 30 it still owes.
        (50, -30, Move(Line.REFUNDED, -20, -30), Figures(refunded_pence=20, pledged_pence=-30)),
    ],
    ids=["pledge", "cancel", "receipt", "over-payment", "unpledged", "refund", "reversal", "leaver"],
)
def test_what_a_transaction_is_follows_from_the_accounts(
    council_pence: int, pledged_pence: int, move: Move, figures: Figures
) -> None:
    assert move_of_accounts(council_pence, pledged_pence) == move
    assert figures_of(move) == figures


def test_a_projects_money_is_spent_or_comes_back() -> None:
    assert figures_of(move_of_attribution(30)) == Figures(spent_pence=30)
    assert figures_of(move_of_attribution(-30)) == Figures(returned_pence=30)


PENCE = st.integers(-(10**12), 10**12)


@st.composite
def flows(draw: st.DrawFn) -> tuple[Counter[str], dict[str, int]]:
    """A transaction between any accounts in any direction, and the attribution of what it pays."""
    names = [*MONEY, "paid", *(f"{kind}:{code}" for code in COUNCILS for kind in ("council", "pledged"))]
    postings = Counter({name: draw(PENCE) for name in draw(st.sets(st.sampled_from(names), min_size=1))})
    balancing = draw(st.sampled_from(names))
    postings[balancing] -= sum(postings.values())
    paid_pence = postings["paid"]
    parts = split_by_largest_remainder(abs(paid_pence), [draw(st.integers(1, 9)) for _ in COUNCILS])
    return postings, {code: part if paid_pence > 0 else -part for code, part in zip(COUNCILS, parts, strict=True)}


@given(st.lists(flows(), max_size=8))
def test_whatever_flows_the_councils_add_up_to_where_the_money_is(
    history: list[tuple[Counter[str], dict[str, int]]],
) -> None:
    balances: Counter[str] = Counter()
    statements = dict.fromkeys(COUNCILS, Figures())
    for postings, attribution in history:
        balances.update(postings)
        for code in COUNCILS:
            before = statements[code]
            moves = [
                move_of_accounts(postings[f"council:{code}"], postings[f"pledged:{code}"]),
                move_of_attribution(attribution[code]),
            ]
            statements[code] = total([before, *map(figures_of, moves)])
            # A line says by how much the two balances change.
            changed_pence = statements[code].closing_pence - before.closing_pence
            assert changed_pence == sum(move.amount_pence for move in moves)
            outstanding_pence = statements[code].outstanding_pence - before.outstanding_pence
            assert outstanding_pence == sum(move.pledge_pence for move in moves)
    for code, figures in statements.items():
        assert figures.outstanding_pence == ledger.outstanding_from(balances, code)
        came_in_pence = figures.received_pence - figures.refunded_pence
        assert came_in_pence == ledger.received_from(balances, code)
        assert min(figures.received_pence, figures.refunded_pence, figures.spent_pence, figures.returned_pence) >= 0
    whole = total(statements.values())
    assert whole.closing_pence == sum(balances[account] for account in MONEY)
    assert whole.spent_pence - whole.returned_pence == balances["paid"]


def test_a_year_begins_with_what_the_evening_before_left() -> None:
    assert span_of("2026-27") == Span(date(2026, 4, 1), date(2027, 3, 31))
    assert span_of("2026-27").day_before == date(2026, 3, 31)
    assert span_of(None) == Span()
    assert span_of(None).day_before is None
