"""Awards end, completed or terminated, and money of them comes back to the pool."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import CommonwealError, Conflict, Invalid
from shared.security.principal import Principal
from tests.support.funding import (
    ABERDEENSHIRE,
    APPROVER_BEN,
    CDO_CLEO,
    EDINBURGH,
    FIFE,
    TREASURER_ANN,
    Funding,
    milestone_achieved,
    officer,
    proposer,
)


@pytest.fixture
def pool_id(funding: Funding) -> str:
    """A pool that has received 100,000 pounds: 60,000 of Edinburgh's, 40,000 of Fife's."""
    pool_id = funding.funded_pool(60_000_00)
    funding.receipt(pool_id, council=FIFE, amount_pence=40_000_00)
    return pool_id


@pytest.fixture
def award(funding: Funding, pool_id: str) -> dict[str, Any]:
    """An award of 25,000 pounds whose first tranche of 10,000 is paid."""
    return funding.paid_award(pool_id)


def current(funding: Funding, award: dict[str, Any], who: Principal = CDO_CLEO) -> dict[str, Any]:
    return funding.call(who, "get_award", award_id=award["award_id"])


def sums(funding: Funding, award: dict[str, Any]) -> dict[str, int]:
    names = ("committed", "paid", "returned", "clawed_back", "released")
    shown = current(funding, award)
    return {name: shown[f"{name}_pence"] for name in names if shown[f"{name}_pence"]}


def states(funding: Funding, award: dict[str, Any]) -> list[str]:
    return [tranche["state"] for tranche in current(funding, award)["tranches"]]


def about(award: dict[str, Any]) -> dict[str, Any]:
    names = ("award_id", "pool_id", "proposal_id", "proposal_reference", "lead_council", "project_id")
    return {name: award[name] for name in names}


def last_transaction(funding: Funding, pool_id: str) -> dict[str, Any]:
    last: dict[str, Any] = funding.call(TREASURER_ANN, "list_transactions", pool_id=pool_id)["items"][-1]
    return last


# --- what comes back ------------------------------------------------------------------------------------------------


def test_what_was_not_spent_comes_back_to_the_pool_and_to_its_councils(
    funding: Funding, pool_id: str, award: dict[str, Any]
) -> None:
    done = funding.carried_out("return_underspend", award, amount_pence=1_000_01)
    assert done["sentence"] == (
        "£1,000.01 that was not spent, received on 2026-06-01, comes back to the pool from A-2026-0001, One online"
        " payments service (City of Edinburgh)."
    )
    assert funding.position(pool_id) == {
        "available": 76_000_01,
        "committed": 15_000_00,
        "paid": 8_999_99,
        "received": 100_000_00,
    }
    assert sums(funding, award) == {"committed": 15_000_00, "paid": 10_000_00, "returned": 1_000_01}
    last = last_transaction(funding, pool_id)
    assert last["key"] == f"return:{done['instruction_id']}" == done["result"]["transaction_key"]
    assert (last["kind"], last["effective_on"], last["author"], last["approver"]) == (
        "return",
        "2026-06-01",
        TREASURER_ANN.subject,
        APPROVER_BEN.subject,
    )
    assert {posting["account"]: posting["amount_pence"] for posting in last["postings"]} == {
        f"paid:{award['project_id']}": -1_000_01,
        "available": 1_000_01,
    }
    assert last["attributions"] == [
        {"council": EDINBURGH, "amount_pence": -600_01},
        {"council": FIFE, "amount_pence": -400_00},
    ]
    [event] = funding.recorded("underspend_returned")
    assert (event.subject, event.sequence) == (award["award_id"], current(funding, award)["version"])
    assert event.data == about(award) | {
        "amount_pence": 1_000_01,
        "bank_reference": None,
        "received_on": "2026-06-01",
    }
    assert funding.ledger_is_sound(pool_id)


def test_what_was_clawed_back_is_told_with_its_reason(funding: Funding, pool_id: str, award: dict[str, Any]) -> None:
    facts = {"amount_pence": 10_000_00, "bank_reference": "BACS-77", "received_on": "2026-06-01"}
    funding.carried_out("claw_back", award, reason="The service was switched off.", **facts)
    assert sums(funding, award) == {"committed": 15_000_00, "paid": 10_000_00, "clawed_back": 10_000_00}
    assert funding.position(pool_id)["available"] == 85_000_00
    assert last_transaction(funding, pool_id)["key"] == "receipt:BACS-77"
    [event] = funding.recorded("funds_clawed_back")
    assert event.data == about(award) | facts | {"reason": "The service was switched off."}
    assert funding.ledger_is_sound(pool_id)


def test_no_more_comes_back_than_was_paid(funding: Funding, award: dict[str, Any]) -> None:
    funding.carried_out("return_underspend", award, amount_pence=4_000_00)
    with pytest.raises(Conflict) as refusal:
        funding.call(
            TREASURER_ANN, "claw_back", award_id=award["award_id"], amount_pence=6_000_01, reason="It was misspent."
        )
    assert (refusal.value.code, refusal.value.fields) == (
        "more_than_was_paid",
        {"amount_pence": ["At most 600000 pence."]},
    )
    assert "paid £10,000, and £6,000 of it" in refusal.value.message


def test_two_that_are_too_much_together_are_not_both_carried_out(
    funding: Funding, pool_id: str, award: dict[str, Any]
) -> None:
    asked = [
        funding.call(TREASURER_ANN, "return_underspend", award_id=award["award_id"], amount_pence=6_000_00)
        for _ in range(2)
    ]
    funding.call(APPROVER_BEN, "approve_instruction", instruction_id=asked[0]["instruction_id"])
    with pytest.raises(Conflict) as refusal:
        funding.call(APPROVER_BEN, "approve_instruction", instruction_id=asked[1]["instruction_id"])
    assert refusal.value.code == "more_than_was_paid"
    waiting = funding.call(CDO_CLEO, "get_instruction", instruction_id=asked[1]["instruction_id"])
    assert waiting["state"] == "requested"
    assert funding.position(pool_id)["paid"] == 4_000_00


@pytest.mark.parametrize(
    ("received_on", "error", "code"),
    [("2026-06-02", Invalid, "in_the_future"), ("2026-05-31", Conflict, "more_than_was_paid")],
)
def test_nothing_comes_back_before_it_was_paid_or_before_it_came(
    funding: Funding, award: dict[str, Any], received_on: str, error: type[CommonwealError], code: str
) -> None:
    with pytest.raises(error) as refusal:
        funding.call(
            TREASURER_ANN,
            "return_underspend",
            award_id=award["award_id"],
            amount_pence=1,
            received_on=received_on,
        )
    assert refusal.value.code == code


def test_nothing_comes_back_of_an_offer(funding: Funding, pool_id: str) -> None:
    award = funding.approved_offer(pool_id)
    with pytest.raises(Conflict) as refusal:
        funding.call(TREASURER_ANN, "return_underspend", award_id=award["award_id"], amount_pence=1)
    assert refusal.value.code == "award_not_accepted"


def test_a_bank_reference_counts_once_across_receipts_and_returns(
    funding: Funding, pool_id: str, award: dict[str, Any]
) -> None:
    funding.receipt(pool_id, bank_reference="BACS-1")
    facts = {"amount_pence": 1_000_00, "bank_reference": "BACS-2"}
    first = funding.carried_out("return_underspend", award, **facts)
    assert funding.call(TREASURER_ANN, "return_underspend", award_id=award["award_id"], **facts) == first
    refused: list[tuple[str, dict[str, Any]]] = [
        ("return_underspend", {"amount_pence": 1, "bank_reference": "BACS-1"}),
        ("return_underspend", {"amount_pence": 1, "bank_reference": "BACS-2"}),
        ("claw_back", facts | {"reason": "It was misspent."}),
    ]
    for method, other in refused:
        with pytest.raises(Conflict) as refusal:
            funding.call(TREASURER_ANN, method, award_id=award["award_id"], **other)
        assert (refusal.value.code, list(refusal.value.fields)) == ("reference_used", ["bank_reference"])
    with pytest.raises(Conflict) as refusal:
        funding.receipt(pool_id, bank_reference="BACS-2")
    assert (refusal.value.code, list(refusal.value.fields)) == ("reference_used", ["bank_reference"])


def test_a_reference_that_a_receipt_used_meanwhile_is_refused_at_the_approval(
    funding: Funding, pool_id: str, award: dict[str, Any]
) -> None:
    asked = funding.call(
        TREASURER_ANN, "return_underspend", award_id=award["award_id"], amount_pence=1, bank_reference="BACS-3"
    )
    funding.receipt(pool_id, bank_reference="BACS-3")
    with pytest.raises(Conflict) as refusal:
        funding.call(APPROVER_BEN, "approve_instruction", instruction_id=asked["instruction_id"])
    assert refusal.value.code == "reference_used"


def test_the_same_reference_with_other_facts_waits_for_nobody(funding: Funding, award: dict[str, Any]) -> None:
    facts = {"award_id": award["award_id"], "bank_reference": "BACS-4"}
    first = funding.call(TREASURER_ANN, "return_underspend", amount_pence=1_00, **facts)
    assert funding.call(TREASURER_ANN, "return_underspend", amount_pence=1_00, **facts) == first
    with pytest.raises(Conflict) as refusal:
        funding.call(TREASURER_ANN, "return_underspend", amount_pence=2_00, **facts)
    assert refusal.value.code == "already_requested"


# --- how awards end -------------------------------------------------------------------------------------------------


def test_a_completed_project_frees_what_it_was_not_paid(funding: Funding, pool_id: str, award: dict[str, Any]) -> None:
    funding.carried_out("complete_project", award)
    assert sums(funding, award) == {"paid": 10_000_00, "released": 15_000_00}
    assert funding.position(pool_id) == {"available": 90_000_00, "paid": 10_000_00, "received": 100_000_00}
    shown = current(funding, award)
    assert (shown["state"], shown["completed_at"], shown["terminated_at"]) == (
        "completed",
        "2026-06-01T09:00:00+00:00",
        None,
    )
    assert states(funding, award) == ["paid", "cancelled"]
    [event] = funding.recorded("project_completed")
    assert (event.subject, event.sequence) == (award["award_id"], shown["version"])
    assert event.data == about(award) | {"completed_at": "2026-06-01T09:00:00+00:00"}
    assert funding.ledger_is_sound(pool_id)


def test_one_that_was_paid_whole_is_completed_without_a_posting(
    funding: Funding, pool_id: str, award: dict[str, Any]
) -> None:
    funding.approved_drawdown(award, "live")
    funding.pay(award, "live")
    before = last_transaction(funding, pool_id)
    done = funding.carried_out("complete_project", award)
    assert done["sentence"].endswith("is completed. It has been paid whole.")
    assert (done["result"], last_transaction(funding, pool_id)) == ({}, before)
    assert sums(funding, award) == {"paid": 25_000_00}


def test_a_project_is_not_completed_while_it_waits_for_money(funding: Funding, award: dict[str, Any]) -> None:
    funding.requested_drawdown(award, "live")
    for word in ("requested", "approved"):
        with pytest.raises(Conflict) as refusal:
            funding.call(TREASURER_ANN, "complete_project", award_id=award["award_id"])
        assert refusal.value.code == "drawdown_open"
        assert f"live is {word}" in refusal.value.message
        if word == "requested":
            funding.call(APPROVER_BEN, "approve_drawdown", award_id=award["award_id"], tranche="live")


def test_a_drawdown_that_is_requested_meanwhile_stands_in_the_way(funding: Funding, award: dict[str, Any]) -> None:
    asked = funding.call(TREASURER_ANN, "complete_project", award_id=award["award_id"])
    funding.requested_drawdown(award, "live")
    with pytest.raises(Conflict) as refusal:
        funding.call(APPROVER_BEN, "approve_instruction", instruction_id=asked["instruction_id"])
    assert refusal.value.code == "drawdown_open"


@pytest.mark.parametrize("as_far_as", ["requested", "approved"])
def test_termination_cancels_the_drawdowns_that_are_open(
    funding: Funding, pool_id: str, award: dict[str, Any], as_far_as: str
) -> None:
    getattr(funding, f"{as_far_as}_drawdown")(award, "live")
    reason = "The supplier withdrew its product."
    done = funding.carried_out("terminate_award", award, reason=reason)
    assert done["sentence"].endswith(
        f"is terminated. £15,000 that is not paid is free again and never drawn down: live £15,000 ({as_far_as})."
    )
    shown = current(funding, award)
    assert (shown["state"], shown["terminated_at"], shown["termination_reason"]) == (
        "terminated",
        "2026-06-01T09:00:00+00:00",
        reason,
    )
    assert states(funding, award) == ["paid", "cancelled"]
    assert funding.position(pool_id) == {"available": 90_000_00, "paid": 10_000_00, "received": 100_000_00}
    [event] = funding.recorded("award_terminated")
    assert event.data == about(award) | {"reason": reason, "terminated_at": "2026-06-01T09:00:00+00:00"}
    assert funding.ledger_is_sound(pool_id)


ENDS = pytest.mark.parametrize(
    ("method", "arguments"),
    [("complete_project", {}), ("terminate_award", {"reason": "Nobody uses it."})],
    ids=["completed", "terminated"],
)


@ENDS
def test_nothing_is_drawn_down_after_the_end(
    funding: Funding, award: dict[str, Any], method: str, arguments: dict[str, Any]
) -> None:
    funding.receive(milestone_achieved(award, "live"))
    funding.carried_out(method, award, **arguments)
    about_live = {"award_id": award["award_id"], "tranche": "live"}
    attempts: list[tuple[Principal, str, dict[str, Any]]] = [
        (proposer(EDINBURGH), "request_drawdown", {"evidence": "The report."}),
        (APPROVER_BEN, "approve_drawdown", {}),
        (APPROVER_BEN, "reject_drawdown", {"reason": "It has ended."}),
        (TREASURER_ANN, "record_payment", {"payment_reference": "PAY-9", "paid_on": "2026-06-01"}),
    ]
    for who, attempt, more in attempts:
        with pytest.raises(Conflict) as refusal:
            funding.call(who, attempt, **about_live, **more)
        assert refusal.value.code == "award_not_active"
        assert "nothing more of it is drawn down" in refusal.value.message
    # News of a milestone that comes late is no failure.
    funding.receive(milestone_achieved(award, "live"))
    assert states(funding, award) == ["paid", "cancelled"]


@ENDS
def test_money_comes_back_after_the_end_too(
    funding: Funding, pool_id: str, award: dict[str, Any], method: str, arguments: dict[str, Any]
) -> None:
    funding.carried_out(method, award, **arguments)
    funding.carried_out("return_underspend", award, amount_pence=4_000_00)
    funding.carried_out("claw_back", award, amount_pence=6_000_00, reason="It was misspent.")
    assert sums(funding, award) == {
        "paid": 10_000_00,
        "returned": 4_000_00,
        "clawed_back": 6_000_00,
        "released": 15_000_00,
    }
    assert funding.position(pool_id) == {"available": 100_000_00, "received": 100_000_00}
    assert funding.ledger_is_sound(pool_id)


@ENDS
def test_an_award_ends_once(funding: Funding, award: dict[str, Any], method: str, arguments: dict[str, Any]) -> None:
    funding.carried_out(method, award, **arguments)
    other: dict[str, dict[str, Any]] = {"complete_project": {"reason": "Too late."}, "terminate_award": {}}
    [another] = other.keys() - {method}
    with pytest.raises(Conflict) as refusal:
        funding.call(TREASURER_ANN, another, award_id=award["award_id"], **other[method])
    assert refusal.value.code == "award_not_active"


@pytest.mark.parametrize("method", ["complete_project", "terminate_award"])
def test_an_offer_has_no_project_to_end(funding: Funding, pool_id: str, method: str) -> None:
    award = funding.approved_offer(pool_id)
    more = {"reason": "Too late."} if method == "terminate_award" else {}
    with pytest.raises(Conflict) as refusal:
        funding.call(TREASURER_ANN, method, award_id=award["award_id"], **more)
    assert refusal.value.code == "award_not_active"


def test_a_terminated_proposal_may_get_another_award_and_a_completed_one_not(funding: Funding, pool_id: str) -> None:
    def candidates() -> list[str]:
        return [item["proposal_id"] for item in funding.call(CDO_CLEO, "list_candidates", pool_id=pool_id)["items"]]

    completed, terminated = funding.active_award(pool_id), funding.active_award(pool_id)
    assert candidates() == []
    funding.carried_out("complete_project", completed)
    funding.carried_out("terminate_award", terminated, reason="The supplier withdrew its product.")
    assert candidates() == [terminated["proposal_id"]]
    with pytest.raises(Conflict) as refusal:
        funding.offer(pool_id, completed["proposal_id"])
    assert refusal.value.code == "award_exists"
    again = funding.offer(pool_id, terminated["proposal_id"])
    funding.call(APPROVER_BEN, "approve_award", award_id=again["award_id"])
    taken = funding.call(officer(EDINBURGH), "accept_award", award_id=again["award_id"])
    assert taken["project_id"] not in (None, terminated["project_id"])
    assert funding.ledger_is_sound(pool_id)


def test_the_list_shows_the_same_sums(funding: Funding, pool_id: str, award: dict[str, Any]) -> None:
    funding.carried_out("return_underspend", award, amount_pence=4_000_00)
    funding.carried_out("terminate_award", award, reason="The supplier withdrew its product.")
    [listed] = funding.call(officer(ABERDEENSHIRE), "list_awards", state="terminated")["items"]
    assert listed == current(funding, award)
    assert listed["instructions"] == ["I-2026-0001", "I-2026-0002"]


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["alpha", "live", "return_underspend", "claw_back", "complete_project", "terminate_award"]),
            st.integers(1, 12_000_00),
        ),
        min_size=4,
        max_size=10,
    )
)
def test_whatever_happens_to_an_award_adds_up_to_it(funding: Funding, steps: list[tuple[str, int]]) -> None:
    pool_id = funding.funded_pool(30_000_00)
    award = funding.active_award(pool_id)
    for step, pence in steps:
        try:
            if step in ("alpha", "live"):
                funding.approved_drawdown(award, step)
                funding.pay(award, step)
            else:
                arguments: dict[str, Any] = {
                    "return_underspend": {"amount_pence": pence},
                    "claw_back": {"amount_pence": pence, "reason": "It was misspent."},
                    "complete_project": {},
                    "terminate_award": {"reason": "Nobody uses it."},
                }[step]
                funding.carried_out(step, award, **arguments)
        except Conflict:
            continue
    shown = current(funding, award)
    assert shown["committed_pence"] + shown["paid_pence"] + shown["released_pence"] == shown["amount_pence"]
    held_pence = shown["paid_pence"] - shown["returned_pence"] - shown["clawed_back_pence"]
    position = funding.position(pool_id)
    assert held_pence == position.get("paid", 0)
    assert position["available"] == 30_000_00 - shown["committed_pence"] - held_pence
    assert funding.ledger_is_sound(pool_id)
