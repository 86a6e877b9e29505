"""Many at once: nothing is overdrawn, nothing happens twice, and nobody has to be run again."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier, Lock
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from services.funding import ledger, ledger_store, schemas
from services.funding.handlers import awards, drawdowns, instructions, membership, pools, receipts
from services.funding.ledger import Posting, Transaction
from services.funding.service import FundingService
from shared import clock
from shared.councils import all_councils
from shared.errors import Conflict
from shared.fields import Command
from shared.messaging.by_the_clock import jobs_of
from shared.security.principal import APPROVER, Principal
from shared.storage.database import Database
from tests.support.funding import (
    ABERDEENSHIRE,
    APPROVER_BEN,
    EDINBURGH,
    FIFE,
    NOW,
    TREASURER_ANN,
    Funding,
    contribution_received,
    milestone_achieved,
    officer,
    payment_made,
    proposer,
)

SPENDERS = 50

Work = Callable[[Session], Any]


def all_at_once(funding: Funding, works: Sequence[Work]) -> list[Any]:
    """Run each piece of work in a transaction and a thread of its own, all let go together.

    Returns their results, or the conflicts that they raised. Fails when the database made one of them run again, as it
    does after a deadlock.
    """
    start, turn = Barrier(len(works)), Lock()
    runs: Counter[int] = Counter()

    def run(number: int) -> Any:
        def counted(session: Session) -> Any:
            with turn:
                runs[number] += 1
            return works[number](session)

        start.wait()
        try:
            return funding.database.run(counted)
        except Conflict as conflict:
            return conflict

    with ThreadPoolExecutor(len(works)) as threads:
        results = list(threads.map(run, range(len(works))))
    assert set(runs.values()) == {1}
    return results


def codes_of(results: Sequence[Any]) -> Counter[str]:
    return Counter(result.code if isinstance(result, Conflict) else "done" for result in results)


def offer(pool_id: str, proposal_id: str) -> Work:
    command: Command = schemas.OfferAward().load(
        {"pool_id": pool_id, "proposal_id": proposal_id, "amount_pence": 25_000_00, "expires_on": "2026-06-30"}
    )
    return lambda session: awards.offer_award(session, TREASURER_ANN, command)


def accept(award: dict[str, Any]) -> Work:
    command: Command = schemas.AcceptAward().load({"award_id": award["award_id"]})
    return lambda session: awards.accept_award(session, officer(EDINBURGH), command)


def decline(award: dict[str, Any]) -> Work:
    command: Command = schemas.DeclineAward().load({"award_id": award["award_id"], "reason": "No staff."})
    return lambda session: awards.decline_award(session, officer(EDINBURGH), command)


def receive(pool_id: str, council: str, bank_reference: str) -> Work:
    command: Command = schemas.RecordReceipt().load(
        {
            "pool_id": pool_id,
            "council": council,
            "amount_pence": 1_000_00,
            "bank_reference": bank_reference,
            "received_on": "2026-06-01",
        }
    )
    return lambda session: receipts.record_receipt(session, TREASURER_ANN, command)


def pay(award: dict[str, Any], payment_reference: str, tranche: str = "alpha") -> Work:
    command: Command = schemas.RecordPayment().load(
        {
            "award_id": award["award_id"],
            "tranche": tranche,
            "payment_reference": payment_reference,
            "paid_on": "2026-06-01",
        }
    )
    return lambda session: drawdowns.record_payment(session, TREASURER_ANN, command)


def approve(instruction: dict[str, Any], who: Principal = APPROVER_BEN) -> Work:
    command: Command = schemas.ApproveInstruction().load({"instruction_id": instruction["instruction_id"]})
    return lambda session: instructions.approve_instruction(session, who, command)


def ask(kind: str, award: dict[str, Any], **arguments: Any) -> Work:
    def asking(session: Session) -> Any:
        # Loaded for each, since what the caller leaves open is settled in it.
        schema = instructions.KINDS[kind].schema()
        command: Command = schema.load({"award_id": award["award_id"], **arguments})
        return instructions.request(session, TREASURER_ANN, kind, command)

    return asking


def request(award: dict[str, Any], tranche: str) -> Work:
    command: Command = schemas.RequestDrawdown().load(
        {"award_id": award["award_id"], "tranche": tranche, "evidence": "The assessment report."}
    )
    return lambda session: drawdowns.request_drawdown(session, proposer(EDINBURGH), command)


def test_twenty_offers_share_what_is_there_for_four(funding: Funding) -> None:
    pool_id = funding.funded_pool(110_000_00)
    proposals = [funding.candidate() for _ in range(20)]
    results = all_at_once(funding, [offer(pool_id, proposal_id) for proposal_id in proposals])
    assert codes_of(results) == {"done": 4, "insufficient_funds": 16}
    assert funding.position(pool_id) == {"available": 10_000_00, "reserved": 100_000_00, "received": 110_000_00}
    assert funding.ledger_is_sound(pool_id)
    references = [result.reference for result in results if not isinstance(result, Conflict)]
    assert sorted(references) == [f"A-2026-{number:04d}" for number in range(1, 5)]


def test_one_proposal_offered_to_many_times_at_once_has_one_award(funding: Funding) -> None:
    pool_id = funding.funded_pool(110_000_00)
    proposal_id = funding.candidate()
    results = all_at_once(funding, [offer(pool_id, proposal_id)] * 8)
    assert codes_of(results) == {"done": 1, "award_exists": 7}
    assert funding.position(pool_id)["reserved"] == 25_000_00


def test_an_award_accepted_and_declined_at_once_ends_one_way(funding: Funding) -> None:
    pool_id = funding.funded_pool()
    award = funding.approved_offer(pool_id)
    results = all_at_once(funding, [accept(award), decline(award)] * 4)
    assert codes_of(results) == {"done": 1, "award_not_offered": 7}
    assert len(funding.recorded("project_funded", "award_declined")) == 1
    assert funding.ledger_is_sound(pool_id)


def test_an_award_that_lapses_in_several_processes_and_is_declined_at_once_ends_one_way(
    funding: Funding, at: clock.FixedClock
) -> None:
    pool_id = funding.funded_pool()
    award = funding.approved_offer(pool_id)
    at.at = datetime(2026, 7, 1, tzinfo=UTC)
    [job] = jobs_of(FundingService).values()
    key = (UUID(award["award_id"]),)

    def lapse(session: Session) -> Any:
        return job.do(session, key, awards.lapse_award)

    results = all_at_once(funding, [lapse, decline(award)] * 4)
    ended = funding.recorded("award_lapsed", "award_declined")
    assert len(ended) == 1
    by_the_clock, by_hand = results[::2], codes_of(results[1::2])
    if ended[0].name == "award_lapsed":
        assert (sorted(by_the_clock), by_hand) == ([False] * 3 + [True], {"award_not_offered": 4})
    else:
        assert (by_the_clock, by_hand) == ([False] * 4, {"done": 1, "award_not_offered": 3})
    assert funding.position(pool_id)["available"] == funding.position(pool_id)["received"]
    assert funding.ledger_is_sound(pool_id)


def test_one_receipt_recorded_many_times_at_once_counts_once(funding: Funding) -> None:
    pool_id = funding.pool()
    results = all_at_once(funding, [receive(pool_id, EDINBURGH, "BACS-1")] * 8)
    assert {result.id for result in results} == {results[0].id}
    assert funding.position(pool_id) == {"available": 1_000_00, "received": 1_000_00}


def test_money_that_finance_and_a_treasurer_tell_of_at_once_counts_once(funding: Funding) -> None:
    pool_id = funding.pool()
    facts = {"amount_pence": 1_000_00, "bank_reference": "BACS-1", "received_on": "2026-06-01"}
    events = [contribution_received(**facts, **pool) for pool in ({}, {"pool_id": pool_id}) for _ in range(3)]
    told = [lambda session, event=event: receipts.receive_contribution(session, event) for event in events]
    results = all_at_once(funding, [*told, *[receive(pool_id, EDINBURGH, "BACS-1")] * 2])
    assert codes_of(results) == {"done": 8}
    assert funding.position(pool_id) == {"available": 1_000_00, "received": 1_000_00}
    assert len(funding.recorded("contribution_recorded")) == 1


def test_a_tranche_that_finance_and_a_treasurer_report_as_paid_at_once_is_paid_once(funding: Funding) -> None:
    award = funding.active_award(funding.funded_pool())
    funding.approved_drawdown(award)
    events = [payment_made(award, payment_reference=f"PAY-{number}") for number in range(4)]
    told = [lambda session, event=event: drawdowns.receive_payment(session, event) for event in events]
    results = all_at_once(funding, [*told, *(pay(award, f"PAY-{number}") for number in range(4))])
    # Both who tell of the payment that came first tell of the same one.
    assert codes_of(results) == {"done": 2, "tranche_not_approved": 6}
    assert funding.position(award["pool_id"])["paid"] == 10_000_00
    assert len(funding.recorded("tranche_paid")) == 1


def test_one_payment_reference_pays_one_tranche(funding: Funding) -> None:
    pool_id = funding.funded_pool()
    both = [funding.active_award(pool_id) for _ in range(2)]
    for award in both:
        funding.approved_drawdown(award)
    results = all_at_once(funding, [pay(award, "PAY-1") for award in both])
    assert codes_of(results) == {"done": 1, "reference_used": 1}
    assert funding.position(pool_id)["paid"] == 10_000_00


def test_an_instruction_asked_for_and_approved_many_times_at_once_happens_once(funding: Funding) -> None:
    pool_id = funding.funded_pool()
    award = funding.paid_award(pool_id)
    facts = {"amount_pence": 4_000_00, "bank_reference": "BACS-9"}
    asked = all_at_once(funding, [ask("return_underspend", award, **facts)] * 6)
    assert {instruction.reference for instruction in asked} == {"I-2026-0001"}
    again = funding.call(TREASURER_ANN, "return_underspend", award_id=award["award_id"], **facts)
    approvers = [Principal(f"approver-{number}@pool.example", frozenset({APPROVER})) for number in range(6)]
    results = all_at_once(funding, [approve(again, who) for who in approvers])
    assert codes_of(results) == {"done": 1, "instruction_answered": 5}
    assert len(funding.recorded("underspend_returned")) == 1
    assert funding.position(pool_id)["paid"] == 6_000_00
    assert funding.ledger_is_sound(pool_id)


def test_an_instruction_approved_and_withdrawn_at_once_ends_one_way(funding: Funding) -> None:
    pool_id = funding.funded_pool()
    award = funding.active_award(pool_id)
    asked = funding.call(TREASURER_ANN, "complete_project", award_id=award["award_id"])
    command: Command = schemas.WithdrawInstruction().load({"instruction_id": asked["instruction_id"]})

    def withdraw(session: Session) -> Any:
        return instructions.withdraw_instruction(session, TREASURER_ANN, command)

    results = all_at_once(funding, [approve(asked), withdraw] * 3)
    assert codes_of(results) == {"done": 1, "instruction_answered": 5}
    done = funding.call(TREASURER_ANN, "get_award", award_id=award["award_id"])["state"] == "completed"
    assert len(funding.recorded("project_completed")) == done
    assert funding.ledger_is_sound(pool_id)


def test_clawbacks_that_race_with_a_payment_never_take_more_than_there_is(funding: Funding) -> None:
    pool_id = funding.funded_pool()
    award = funding.paid_award(pool_id)
    asked = [
        funding.call(
            TREASURER_ANN, "claw_back", award_id=award["award_id"], amount_pence=10_000_00, reason="It was misspent."
        )
        for _ in range(4)
    ]
    funding.approved_drawdown(award, "live")
    results = all_at_once(funding, [*map(approve, asked), pay(award, "PAY-2", "live")])
    *clawed, paid = results
    assert codes_of([paid]) == {"done": 1}
    done = codes_of(clawed)["done"]
    # The second ten thousand can be had only once the other tranche is paid; never the third.
    assert done in (1, 2)
    assert codes_of(clawed) == {"done": done, "more_than_was_paid": 4 - done}
    assert funding.position(pool_id)["paid"] == 25_000_00 - done * 10_000_00
    assert funding.ledger_is_sound(pool_id)


@pytest.mark.parametrize("rounds", range(3))
def test_a_termination_that_races_with_a_payment_wins_or_says_why_not(funding: Funding, rounds: int) -> None:
    pool_id = funding.funded_pool()
    award = funding.active_award(pool_id)
    funding.approved_drawdown(award)
    asked = funding.call(TREASURER_ANN, "terminate_award", award_id=award["award_id"], reason="Nobody uses it.")
    works = [approve(asked), pay(award, "PAY-1")]
    terminated, paid = all_at_once(funding, works[::-1] if rounds % 2 else works)[:: -1 if rounds % 2 else 1]
    outcome = [*codes_of([terminated]), *codes_of([paid])]
    assert outcome in (["done", "award_not_active"], ["instruction_outdated", "done"])
    if outcome[0] == "done":
        assert funding.position(pool_id) == {"available": 100_000_00, "received": 100_000_00}
    else:
        assert "Now it would mean" in terminated.message
        assert funding.position(pool_id)["paid"] == 10_000_00
    assert funding.ledger_is_sound(pool_id)


def test_a_completion_that_races_with_a_request_wins_or_says_why_not(funding: Funding) -> None:
    pool_id = funding.funded_pool()
    award = funding.active_award(pool_id)
    funding.receive(milestone_achieved(award, "alpha"))
    asked = funding.call(TREASURER_ANN, "complete_project", award_id=award["award_id"])
    completed, requested = all_at_once(funding, [approve(asked), request(award, "alpha")])
    outcome = [*codes_of([completed]), *codes_of([requested])]
    assert outcome in (["done", "award_not_active"], ["drawdown_open", "done"])
    assert funding.ledger_is_sound(pool_id)


def test_postings_to_the_same_accounts_the_other_way_round_wait_in_one_order(funding: Funding) -> None:
    pool_id = UUID(funding.pool())
    councils = list(all_councils())[:10]

    def post(number: int) -> Work:
        turned = councils[number % 10 :] + councils[: number % 10]
        transaction = Transaction(
            kind="test",
            key=f"test:{number}",
            effective_on=NOW.date(),
            author="ann",
            about={},
            postings=tuple(
                Posting(ledger.council_account(council), pence)
                for council, pence in zip(turned, [1, -1] * 5, strict=True)
            ),
        )
        return lambda session: ledger_store.post(session, pool_id, [transaction])

    assert codes_of(all_at_once(funding, [post(number) for number in range(20)])) == {"done": 20}
    assert set(funding.database.run(lambda session: ledger_store.balances(session, pool_id)).values()) == {0}
    assert funding.ledger_is_sound(str(pool_id))


@pytest.mark.parametrize("rounds", range(3))
def test_everything_at_once_deadlocks_nowhere(funding: Funding, rounds: int) -> None:
    pool_id = funding.funded_pool(300_000_00)
    back, ended = funding.paid_award(pool_id), funding.paid_award(pool_id)
    returned = funding.call(TREASURER_ANN, "return_underspend", award_id=back["award_id"], amount_pence=1_00)
    completed = funding.call(TREASURER_ANN, "complete_project", award_id=ended["award_id"])
    accepted, declined, paid = (funding.approved_offer(pool_id) for _ in range(3))
    funding.call(officer(EDINBURGH), "accept_award", award_id=paid["award_id"])
    funding.approved_drawdown(paid | {"project_id": None})
    contributions: Command = schemas.SetContributions().load(
        {"pool_id": pool_id, "year": "2026-27", "total_pence": 90_000_00, "scheme": "population"}
    )
    works = [
        *(offer(pool_id, funding.candidate()) for _ in range(3)),
        accept(accepted),
        decline(declined),
        pay(paid, "PAY-1"),
        approve(returned),
        ask("claw_back", back, amount_pence=1_00, reason="It was misspent."),
        approve(completed),
        *(receive(pool_id, council, f"BACS-{council}") for council in (EDINBURGH, ABERDEENSHIRE, FIFE)),
        lambda session: pools.set_contributions(session, TREASURER_ANN, contributions),
    ]
    assert codes_of(all_at_once(funding, works)) == {"done": len(works)}
    assert funding.ledger_is_sound(pool_id)
    pool = funding.call(APPROVER_BEN, "get_pool", pool_id=pool_id)
    sequences = [event.sequence for event in funding.recorded() if event.subject == pool_id]
    assert sequences == list(range(1, pool["version"] + 1))


@pytest.fixture
def crowd(funding: Funding) -> Iterator[Funding]:
    """The funding service with a connection for each of the spenders."""
    url = funding.database.url.render_as_string(hide_password=False)
    database = Database(url, pool_size=SPENDERS)
    yield Funding(database) if database.is_postgresql else funding  # SQLite's writers take turns in one Database.
    database.close()


def deadlocks(funding: Funding) -> int:
    """How many deadlocks PostgreSQL has broken in this database. What a connection met is told when it is closed."""
    if not funding.database.is_postgresql:
        return 0
    funding.database.engine.dispose()
    counted = text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    with funding.database.engine.connect() as connection:
        return int(connection.execute(counted).scalar_one())


def test_fifty_spenders_at_once_lose_and_overspend_nothing(funding: Funding, crowd: Funding) -> None:
    """Offers for more than is there, beside all else that moves its money: each is done or refused, to the penny."""
    pool_id = funding.funded_pool(400_000_00)
    accepted, declined, paid = ([funding.approved_offer(pool_id) for _ in range(4)] for _ in range(3))
    for award in paid:
        funding.approved_drawdown(funding.call(officer(EDINBURGH), "accept_award", award_id=award["award_id"]))
    councils = (EDINBURGH, ABERDEENSHIRE, FIFE)
    receipts = [receive(pool_id, councils[number % 3], f"BACS-{number % 12}") for number in range(15)]
    works = [
        *(offer(pool_id, funding.candidate()) for _ in range(SPENDERS - 27)),
        *map(accept, accepted),
        *map(decline, declined),
        *(pay(award, f"PAY-{number}") for number, award in enumerate(paid)),
        *receipts,
    ]
    before = deadlocks(crowd)
    assert len(works) == SPENDERS
    results = all_at_once(crowd, works[::2] + works[1::2])
    assert deadlocks(crowd) == before

    codes = codes_of(results)
    offered = codes["done"] - 27
    assert set(codes) == {"done", "insufficient_funds"}
    # 100,000 pounds were free; four declined offers and twelve receipts freed 112,000 more, in time or too late.
    assert 4 <= offered <= 8
    assert funding.position(pool_id) == {
        "available": (212_000 - offered * 25_000) * 100,
        "reserved": offered * 25_000_00,
        "committed": (4 * 25_000 + 4 * 15_000) * 100,
        "paid": 4 * 10_000_00,
        "received": 412_000_00,
    }
    written = 17 + 24 + offered
    check = funding.call(TREASURER_ANN, "verify_ledger", pool_id=pool_id)
    assert check == {"ok": True, "problems": [], "transactions": written, "postings": 2 * written}


def leave(pool_id: str, council: str) -> Work:
    command: Command = schemas.RemoveMember().load({"pool_id": pool_id, "council": council, "leaves_on": "2026-05-31"})
    return lambda session: membership.remove_member(session, TREASURER_ANN, command)


def has_left(funding: Funding, pool_id: str, council: str) -> dict[str, Any]:
    """Let a council leave; returns the instruction by which it is refunded, which waits."""
    funding.call(TREASURER_ANN, "remove_member", pool_id=pool_id, council=council, leaves_on="2026-05-31")
    return funding.call(TREASURER_ANN, "refund_leaver", pool_id=pool_id, council=council)


@pytest.mark.parametrize("rounds", range(3))
def test_a_refund_that_races_with_offers_and_receipts_is_what_was_approved_or_is_asked_for_again(
    funding: Funding, rounds: int
) -> None:
    pool_id = funding.pool()
    for council in (EDINBURGH, FIFE):
        funding.receipt(pool_id, council=council, amount_pence=50_000_00)
    refund = has_left(funding, pool_id, FIFE)
    offers = [offer(pool_id, funding.candidate()) for _ in range(4)]
    receipts = [receive(pool_id, EDINBURGH, f"BACS-{number}") for number in range(2)]
    results = all_at_once(funding, [*offers, approve(refund), approve(refund), *receipts])
    codes = codes_of(results)
    position = funding.position(pool_id)
    refunded_pence = 102_000_00 - position["received"]
    assert refunded_pence in (0, 50_000_00)
    assert len(funding.recorded("leaver_refunded")) == (refunded_pence > 0)
    # Either nothing had moved when it was approved, or both approvals were told that something had.
    assert codes["instruction_outdated"] == (0 if refunded_pence else 2)
    assert codes["instruction_answered"] == (1 if refunded_pence else 0)
    assert position["available"] + position["reserved"] == position["received"]
    assert funding.ledger_is_sound(pool_id)


def test_an_offer_and_the_leave_of_its_lead_council_exclude_each_other(funding: Funding) -> None:
    for _ in range(4):
        pool_id = funding.funded_pool()
        results = all_at_once(funding, [offer(pool_id, funding.candidate()), leave(pool_id, EDINBURGH)])
        codes = codes_of(results)
        assert codes["done"] == 1
        assert codes["leads_an_award"] + codes["leaves_the_pool"] == 1


@pytest.mark.parametrize("rounds", range(3))
def test_a_receipt_that_races_with_the_closing_of_its_year_is_in_the_figures_or_refused(
    funding: Funding, at: clock.FixedClock, rounds: int
) -> None:
    pool_id = funding.funded_pool()
    at.at = datetime(2027, 4, 2, 9, tzinfo=UTC)
    closing = funding.call(TREASURER_ANN, "close_year", pool_id=pool_id, year="2026-27")
    receipts = [receive(pool_id, EDINBURGH, f"BACS-{number}") for number in range(3)]
    codes = codes_of(all_at_once(funding, [*receipts, approve(closing), approve(closing)]))
    year = funding.call(TREASURER_ANN, "get_year", pool_id=pool_id, year="2026-27")
    received_pence = funding.position(pool_id)["received"]
    assert year["total"]["received_pence"] == received_pence
    if year["closed_at"]:
        assert (codes["year_closed"], codes["instruction_answered"]) == (3, 1)
    else:
        assert (codes["done"], codes["instruction_outdated"]) == (3, 2)
    assert funding.ledger_is_sound(pool_id)


def test_a_payment_reversed_many_times_at_once_is_reversed_once(funding: Funding) -> None:
    pool_id = funding.funded_pool()
    funding.paid_award(pool_id)
    number = funding.transactions(pool_id)[-1]["number"]
    asked = funding.call(
        TREASURER_ANN, "reverse_transaction", pool_id=pool_id, number=number, reason="It went to another council."
    )
    codes = codes_of(all_at_once(funding, [approve(asked)] * 6))
    assert codes == {"done": 1, "instruction_answered": 5}
    assert funding.position(pool_id)["committed"] == 25_000_00
    assert funding.ledger_is_sound(pool_id)
