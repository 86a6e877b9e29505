"""Statements: what a transaction is to a council follows from its postings, a reversal from its original's."""

from collections import Counter
from dataclasses import dataclass, fields
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.funding import ledger
from services.funding.domain.statements import (
    NAMES,
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
        # A leaver gets 20 back in the transaction that cancels the 30 it still owes.
        (50, -30, Move(Line.REFUNDED, -20, -30), Figures(refunded_pence=20, pledged_pence=-30)),
    ],
    ids=["pledge", "cancel", "receipt", "over-payment", "unpledged", "refund", "leaver"],
)
def test_what_a_transaction_is_follows_from_the_accounts(
    council_pence: int, pledged_pence: int, move: Move, figures: Figures
) -> None:
    assert move_of_accounts(council_pence, pledged_pence, is_reversal=False) == move
    assert figures_of(move) == figures
    # Its reversal is the same with the other sign, and both together are nothing.
    corrected = move_of_accounts(-council_pence, -pledged_pence, is_reversal=True)
    assert corrected == Move(move.line, -move.amount_pence, -move.pledge_pence)
    assert total([figures_of(move), figures_of(corrected)]) == Figures()


@pytest.mark.parametrize(
    ("attributed_pence", "move", "figures"),
    [
        (30, Move(Line.SPENT, -30, 0), Figures(spent_pence=30)),
        (-30, Move(Line.RETURNED, 30, 0), Figures(returned_pence=30)),
    ],
    ids=["pay", "return"],
)
def test_a_projects_money_is_spent_or_comes_back(attributed_pence: int, move: Move, figures: Figures) -> None:
    assert move_of_attribution(attributed_pence, is_reversal=False) == move
    assert figures_of(move) == figures
    corrected = move_of_attribution(-attributed_pence, is_reversal=True)
    assert corrected == Move(move.line, -move.amount_pence, 0)
    assert total([figures_of(move), figures_of(corrected)]) == Figures()


def test_a_correction_in_a_later_year_is_below_zero_there() -> None:
    wrong = move_of_accounts(-12, -30, is_reversal=False)
    first = figures_of(wrong)
    second = total([Figures(opening_pence=first.closing_pence), figures_of(-wrong)])
    assert (first.received_pence, first.closing_pence) == (42, 42)
    assert (second.received_pence, second.refunded_pence, second.closing_pence) == (-42, 0, 0)


def test_the_names_are_all_there_is_of_the_figures() -> None:
    told = {each.name for each in fields(Figures)} | {"closing_pence", "outstanding_pence"}
    assert (set(NAMES), len(NAMES)) == (told, len(told))
    assert list(Figures(opening_pence=1).by_name()) == list(NAMES)


PENCE = st.integers(-(10**12), 10**12)


@dataclass(frozen=True)
class Flow:
    """A transaction, and what it pays as it is attributed."""

    postings: Counter[str]
    attribution: Counter[str]
    is_reversal: bool = False

    def moves_of(self, council: str) -> list[Move]:
        accounts = self.postings[f"council:{council}"], self.postings[f"pledged:{council}"]
        return [
            move_of_accounts(*accounts, is_reversal=self.is_reversal),
            move_of_attribution(self.attribution[council], is_reversal=self.is_reversal),
        ]

    def reversed(self) -> "Flow":
        mirrored = (Counter({name: -pence for name, pence in of.items()}) for of in (self.postings, self.attribution))
        return Flow(*mirrored, is_reversal=True)


@st.composite
def flows(draw: st.DrawFn) -> Flow:
    """A transaction between any accounts in any direction."""
    names = [*MONEY, "paid", *(f"{kind}:{code}" for code in COUNCILS for kind in ("council", "pledged"))]
    postings = Counter({name: draw(PENCE) for name in draw(st.sets(st.sampled_from(names), min_size=1))})
    balancing = draw(st.sampled_from(names))
    postings[balancing] -= sum(postings.values())
    paid_pence = postings["paid"]
    parts = split_by_largest_remainder(abs(paid_pence), [draw(st.integers(1, 9)) for _ in COUNCILS])
    signed = {code: part if paid_pence > 0 else -part for code, part in zip(COUNCILS, parts, strict=True)}
    return Flow(postings, Counter(signed))


def statement_of(council: str, history: list[Flow], opening: Figures) -> Figures:
    return total([opening, *(figures_of(move) for flow in history for move in flow.moves_of(council))])


@given(st.lists(st.tuples(flows(), st.booleans()), max_size=8), st.integers(0, 16))
def test_whatever_flows_the_councils_add_up_to_where_the_money_is(drawn: list[tuple[Flow, bool]], cut: int) -> None:
    """Some of it is reversed, and the cut between two years falls anywhere."""
    lasting = [flow for flow, is_reversed in drawn if not is_reversed]
    history = [*(flow for flow, _ in drawn), *(flow.reversed() for flow, is_reversed in drawn if is_reversed)]
    balances: Counter[str] = Counter()
    for flow in history:
        balances.update(flow.postings)
        for code in COUNCILS:
            # A line says by how much the two balances change.
            for move in flow.moves_of(code):
                figures = figures_of(move)
                assert (figures.closing_pence, figures.outstanding_pence) == (move.amount_pence, move.pledge_pence)
    whole = Figures()
    for code in COUNCILS:
        figures = statement_of(code, history, Figures())
        assert figures.outstanding_pence == ledger.outstanding_from(balances, code)
        came_in_pence = figures.received_pence - figures.refunded_pence
        assert came_in_pence == ledger.received_from(balances, code)
        # What is reversed is as if it had never been written; so nothing is below zero while both are in one statement.
        assert figures == statement_of(code, lasting, Figures())
        assert min(figures.received_pence, figures.refunded_pence, figures.spent_pence, figures.returned_pence) >= 0
        whole += figures
        first = statement_of(code, history[:cut], Figures())
        begins = Figures(opening_pence=first.closing_pence, outstanding_before_pence=first.outstanding_pence)
        second = statement_of(code, history[cut:], begins)
        assert (second.closing_pence, second.outstanding_pence) == (figures.closing_pence, figures.outstanding_pence)
        assert first.received_pence + second.received_pence == figures.received_pence
    assert whole.closing_pence == sum(balances[account] for account in MONEY)
    assert whole.spent_pence - whole.returned_pence == balances["paid"]


def test_a_year_begins_with_what_the_evening_before_left() -> None:
    assert span_of("2026-27") == Span(date(2026, 4, 1), date(2027, 3, 31))
    assert span_of("2026-27").day_before == date(2026, 3, 31)
    assert span_of(None) == Span()
    assert span_of(None).day_before is None
