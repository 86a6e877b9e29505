"""The ledger's rules: examples, and any sequence of flows against a model of plain sums."""

from collections import Counter
from collections.abc import Callable
from datetime import date
from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, RuleBasedStateMachine, invariant, multiple, rule

from services.funding import ledger
from services.funding.ledger import Posting, Transaction
from shared import ids
from shared.errors import Conflict
from tests.support.funding import EDINBURGH, FIFE

Reservation = tuple[UUID, UUID, int]
Commitment = tuple[UUID, UUID, int]

DAY = date(2026, 6, 1)
AWARD, PROPOSAL, PROJECT = ids.new_id(), ids.new_id(), ids.new_id()


def transaction(*postings: tuple[str, int]) -> Transaction:
    return Transaction(
        kind="test",
        key="test:1",
        effective_on=DAY,
        author="ann",
        about={},
        postings=tuple(Posting(account, pence) for account, pence in postings),
    )


def receipt(amount_pence: int, outstanding_pence: int) -> Transaction:
    return ledger.receipt(
        council=EDINBURGH,
        amount_pence=amount_pence,
        outstanding_pence=outstanding_pence,
        bank_reference="BACS-1",
        on=DAY,
        author="ann",
    )


@pytest.mark.parametrize(
    "postings",
    [
        pytest.param((), id="nothing"),
        pytest.param((("available", 5),), id="one-sided"),
        pytest.param((("available", 5), ("reserved:a", -4)), id="unequal"),
        pytest.param((("available", 0), ("reserved:a", 0)), id="zero"),
        pytest.param((("available", 5), ("available", -5)), id="onto itself"),
    ],
)
def test_a_transaction_that_does_not_balance_cannot_be_made(postings: tuple[tuple[str, int], ...]) -> None:
    with pytest.raises(ValueError, match="test:1"):
        transaction(*postings)


def test_postings_add_to_the_balances() -> None:
    after = ledger.apply({"available": 10, "reserved:a": 1}, transaction(("available", -4), ("reserved:a", 4)))
    assert after == {"available": 6, "reserved:a": 5}


def test_only_the_world_outside_goes_below_zero() -> None:
    assert ledger.apply({}, transaction((f"council:{FIFE}", -4), (f"pledged:{FIFE}", 4)))[f"council:{FIFE}"] == -4
    for account in ("available", f"pledged:{FIFE}", f"reserved:{PROPOSAL}", f"committed:{PROJECT}", f"paid:{PROJECT}"):
        with pytest.raises(Conflict) as refusal:
            ledger.apply({account: 3}, transaction((account, -4), (f"council:{FIFE}", 4)))
        assert refusal.value.code == "insufficient_funds"


def test_a_refusal_says_how_much_there_is() -> None:
    with pytest.raises(Conflict) as refusal:
        ledger.apply({"available": 1_250_00}, transaction(("available", -2_000_00), ("reserved:a", 2_000_00)))
    assert "£1,250 available" in refusal.value.message
    assert "£2,000" in refusal.value.message
    assert refusal.value.fields == {"amount_pence": ["At most 125000 pence."]}


def test_a_receipt_settles_what_was_pledged_first() -> None:
    assert receipt(30, outstanding_pence=100).postings == (
        Posting(f"pledged:{EDINBURGH}", -30),
        Posting("available", 30),
    )


def test_what_a_receipt_brings_beyond_the_pledge_comes_from_outside() -> None:
    assert receipt(130, outstanding_pence=100).postings == (
        Posting(f"pledged:{EDINBURGH}", -100),
        Posting(f"council:{EDINBURGH}", -30),
        Posting("available", 130),
    )
    assert receipt(130, outstanding_pence=0).postings == (
        Posting(f"council:{EDINBURGH}", -130),
        Posting("available", 130),
    )


def test_money_cannot_be_moved_backwards() -> None:
    with pytest.raises(ValueError, match="cannot move"):
        ledger.reserve(award_id=AWARD, proposal_id=PROPOSAL, amount_pence=-1, on=DAY, author="ann")


def test_money_that_comes_in_has_one_key_for_each_bank_reference() -> None:
    def back(bank_reference: str | None) -> ledger.ComingBack:
        return ledger.ComingBack(
            instruction_id=AWARD,
            award_id=AWARD,
            project_id=PROJECT,
            amount_pence=1,
            bank_reference=bank_reference,
            on=DAY,
            author="ann",
            approver="ben",
        )

    assert {flow(back("BACS-1")).key for flow in (ledger.returned, ledger.clawed_back)} == {
        receipt(1, outstanding_pence=0).key
    }
    assert ledger.returned(back(None)).key != ledger.clawed_back(back(None)).key


class LedgerMachine(RuleBasedStateMachine):
    """Runs any flows in any order; the model adds up what each pocket should hold."""

    councils = st.sampled_from([EDINBURGH, FIFE])
    amounts = st.integers(min_value=1, max_value=1_000)

    reserved: Bundle[Reservation] = Bundle("reserved")
    committed: Bundle[Commitment] = Bundle("committed")

    def __init__(self) -> None:
        super().__init__()
        self.balances: dict[str, int] = {}
        self.pledged: Counter[str] = Counter()
        self.received: Counter[str] = Counter()
        self.held = Counter(available=0, reserved=0, committed=0, paid=0)
        self.steps = 0

    def apply(self, transaction: Transaction) -> bool:
        try:
            self.balances = ledger.apply(self.balances, transaction)
        except Conflict:
            return False
        return True

    def move(self, source: str, destination: str, amount_pence: int) -> None:
        self.held[source] -= amount_pence
        self.held[destination] += amount_pence

    @rule(council=councils, amount_pence=amounts)
    def pledge(self, council: str, amount_pence: int) -> None:
        assert self.apply(
            ledger.pledge(council=council, year="2026-27", amount_pence=amount_pence, on=DAY, author="ann")
        )
        self.pledged[council] += amount_pence

    @rule(council=councils, amount_pence=amounts)
    def receive(self, council: str, amount_pence: int) -> None:
        assert self.apply(
            ledger.receipt(
                council=council,
                amount_pence=amount_pence,
                outstanding_pence=ledger.outstanding_from(self.balances, council),
                bank_reference="BACS",
                on=DAY,
                author="ann",
            )
        )
        self.pledged[council] -= min(amount_pence, self.pledged[council])
        self.received[council] += amount_pence
        self.held["available"] += amount_pence

    @rule(target=reserved, amount_pence=amounts)
    def reserve(self, amount_pence: int) -> Reservation | MultipleResults[Reservation]:
        award_id, proposal_id = ids.new_id(), ids.new_id()
        could = self.held["available"] >= amount_pence
        assert could == self.apply(
            ledger.reserve(award_id=award_id, proposal_id=proposal_id, amount_pence=amount_pence, on=DAY, author="ann")
        )
        if not could:
            return multiple()
        self.move("available", "reserved", amount_pence)
        return award_id, proposal_id, amount_pence

    @rule(award=reserved)
    def release(self, award: Reservation) -> None:
        award_id, proposal_id, amount_pence = award
        could = self.balances[f"reserved:{proposal_id}"] >= amount_pence
        assert could == self.apply(
            ledger.release(award_id=award_id, proposal_id=proposal_id, amount_pence=amount_pence, on=DAY, author="ann")
        )
        if could:
            self.move("reserved", "available", amount_pence)

    @rule(target=committed, award=reserved)
    def commit(self, award: Reservation) -> Commitment | MultipleResults[Commitment]:
        award_id, proposal_id, amount_pence = award
        project_id = ids.new_id()
        could = self.balances[f"reserved:{proposal_id}"] >= amount_pence
        assert could == self.apply(
            ledger.commit(
                award_id=award_id,
                proposal_id=proposal_id,
                project_id=project_id,
                amount_pence=amount_pence,
                on=DAY,
                author="sam",
                approver="ben",
            )
        )
        if not could:
            return multiple()
        self.move("reserved", "committed", amount_pence)
        return award_id, project_id, amount_pence

    @rule(award=committed, part=st.integers(min_value=1, max_value=3))
    def pay(self, award: Commitment, part: int) -> None:
        award_id, project_id, amount_pence = award
        paid_pence = max(1, amount_pence // part)
        could = self.balances[f"committed:{project_id}"] >= paid_pence
        assert could == self.apply(
            ledger.pay(
                award_id=award_id,
                project_id=project_id,
                tranche="alpha",
                amount_pence=paid_pence,
                payment_reference="PAY",
                on=DAY,
                author="ann",
                approver="ben",
            )
        )
        if could:
            self.move("committed", "paid", paid_pence)

    @rule(award=committed)
    def decommit(self, award: Commitment) -> None:
        award_id, project_id, _ = award
        left_pence = self.balances[f"committed:{project_id}"]
        if left_pence:
            assert self.apply(
                ledger.decommit(
                    award_id=award_id,
                    project_id=project_id,
                    amount_pence=left_pence,
                    on=DAY,
                    author="ann",
                    approver="ben",
                )
            )
            self.move("committed", "available", left_pence)

    @rule(award=committed, amount_pence=amounts, flow=st.sampled_from([ledger.returned, ledger.clawed_back]))
    def come_back(self, award: Commitment, amount_pence: int, flow: Callable[[ledger.ComingBack], Transaction]) -> None:
        award_id, project_id, _ = award
        could = self.balances.get(f"paid:{project_id}", 0) >= amount_pence
        back = ledger.ComingBack(
            instruction_id=ids.new_id(),
            award_id=award_id,
            project_id=project_id,
            amount_pence=amount_pence,
            bank_reference=None,
            on=DAY,
            author="ann",
            approver="ben",
        )
        assert could == self.apply(flow(back))
        if could:
            self.move("paid", "available", amount_pence)

    @invariant()
    def money_is_only_moved(self) -> None:
        assert sum(self.balances.values()) == 0

    @invariant()
    def nothing_is_overdrawn(self) -> None:
        assert all(pence >= 0 for name, pence in self.balances.items() if not name.startswith("council:"))

    @invariant()
    def the_position_is_the_model(self) -> None:
        position = ledger.position(self.balances)
        assert position.available_pence == self.held["available"]
        assert position.reserved_pence == self.held["reserved"]
        assert position.committed_pence == self.held["committed"]
        assert position.paid_pence == self.held["paid"]
        assert position.pledged_pence == self.pledged.total()
        assert position.received_pence == self.received.total() == self.held.total()
        for council in (EDINBURGH, FIFE):
            assert ledger.outstanding_from(self.balances, council) == self.pledged[council]
            assert ledger.received_from(self.balances, council) == self.received[council]


TestLedgerMachine = LedgerMachine.TestCase
