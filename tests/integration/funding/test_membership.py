"""Membership over time: councils join late, leave early, are refunded, and join again."""

from datetime import UTC, datetime
from typing import Any

import pytest

from shared import clock
from shared.errors import CommonwealError, Conflict, Forbidden
from shared.security.principal import APPROVER, TREASURER, Principal
from tests.support.funding import (
    ABERDEENSHIRE,
    APPROVER_BEN,
    EDINBURGH,
    FIFE,
    TREASURER_ANN,
    Funding,
    officer,
)

YEARS = ("2026-27", "2027-28", "2028-29")


def day(at: clock.FixedClock, text: str) -> None:
    at.at = datetime.fromisoformat(f"{text}T09:00:00").replace(tzinfo=UTC)


def leave(funding: Funding, pool_id: str, council: str = FIFE, leaves_on: str = "2026-05-31") -> dict[str, Any]:
    return funding.call(TREASURER_ANN, "remove_member", pool_id=pool_id, council=council, leaves_on=leaves_on)


def member(pool: dict[str, Any], council: str = FIFE) -> dict[str, Any]:
    [found] = [each for each in pool["members"] if each["council"] == council]
    return dict(found)


def refused(call: Any, *arguments: Any, **named: Any) -> CommonwealError:
    with pytest.raises(CommonwealError) as refusal:
        call(*arguments, **named)
    return refusal.value


@pytest.fixture
def pool_id(funding: Funding) -> str:
    """A pool of three that has received 30,000, 30,000 and 40,000 pounds; 20,000 are paid and 30,000 committed."""
    pool_id = funding.pool()
    for council, pence in ((EDINBURGH, 30_000_00), (ABERDEENSHIRE, 30_000_00), (FIFE, 40_000_00)):
        funding.receipt(pool_id, council=council, amount_pence=pence)
    proposal_id = funding.candidate(tranches=(("alpha", 20_000_00), ("live", 30_000_00)))
    award = funding.offer(pool_id, proposal_id, amount_pence=50_000_00)
    funding.call(APPROVER_BEN, "approve_award", award_id=award["award_id"])
    award = funding.call(officer(EDINBURGH), "accept_award", award_id=award["award_id"])
    funding.approved_drawdown(award)
    funding.pay(award)
    return pool_id


# --- leaving --------------------------------------------------------------------------------------------------------


def test_a_council_leaves_on_a_day_that_may_lie_ahead(funding: Funding) -> None:
    pool_id = funding.pool()
    pool = leave(funding, pool_id, leaves_on="2027-03-31")
    assert (member(pool)["joins_on"], member(pool)["leaves_on"]) == ("2026-04-01", "2027-03-31")
    assert member(pool, EDINBURGH)["leaves_on"] is None
    [left] = funding.recorded("member_left")
    assert left.data == {"pool_id": pool_id, "council": FIFE, "joins_on": "2026-04-01", "leaves_on": "2027-03-31"}
    assert left.sequence == pool["version"]


def test_a_council_that_has_left_still_sees_the_pool(funding: Funding) -> None:
    pool_id = funding.pool()
    leave(funding, pool_id)
    assert funding.call(officer(FIFE), "get_pool", pool_id=pool_id)["pool_id"] == pool_id


def test_it_leaves_once(funding: Funding) -> None:
    pool_id = funding.pool()
    leave(funding, pool_id)
    assert refused(leave, funding, pool_id, leaves_on="2026-06-30").code == "already_leaves"
    assert len(funding.recorded("member_left")) == 1


def test_only_a_treasurer_lets_it_leave(funding: Funding) -> None:
    pool_id = funding.pool()
    with pytest.raises(Forbidden):
        funding.call(APPROVER_BEN, "remove_member", pool_id=pool_id, council=FIFE, leaves_on="2026-05-31")


def test_an_award_that_it_leads_stands_in_the_way(funding: Funding, pool_id: str) -> None:
    refusal = refused(leave, funding, pool_id, EDINBURGH)
    assert (refusal.code, "A-2026-0001" in refusal.message) == ("leads_an_award", True)
    leave(funding, pool_id, ABERDEENSHIRE)


def test_a_leaver_is_offered_no_award(funding: Funding, pool_id: str) -> None:
    leave(funding, pool_id, leaves_on="2027-03-31")
    proposal_id = funding.candidate(lead=FIFE)
    assert refused(funding.offer, pool_id, proposal_id).code == "leaves_the_pool"


def test_it_joins_again_and_its_memberships_are_told_apart(funding: Funding) -> None:
    pool_id = funding.pool()
    leave(funding, pool_id)
    again = {"pool_id": pool_id, "council": FIFE}
    assert refused(funding.call, TREASURER_ANN, "add_member", **again, joins_on="2026-05-31").code == "already_member"
    pool = funding.call(TREASURER_ANN, "add_member", **again, joins_on="2026-06-01")
    assert member(pool)["earlier"] == [{"joins_on": "2026-04-01", "leaves_on": "2026-05-31"}]
    assert (member(pool)["joins_on"], member(pool)["leaves_on"]) == ("2026-06-01", None)
    pool = leave(funding, pool_id, leaves_on="2026-12-31")
    assert [event.data["joins_on"] for event in funding.recorded("member_left")] == ["2026-04-01", "2026-06-01"]
    assert member(pool)["leaves_on"] == "2026-12-31"


# --- what is owed ---------------------------------------------------------------------------------------------------


def test_what_is_pledged_for_later_years_is_cancelled_and_the_rest_stays_owed(funding: Funding) -> None:
    pool_id = funding.pool()
    for year in YEARS:
        funding.call(
            TREASURER_ANN, "set_contributions", pool_id=pool_id, year=year, total_pence=120_000_00, scheme="equal"
        )
    funding.receipt(pool_id, council=FIFE, amount_pence=50_000_00)
    pool = leave(funding, pool_id, leaves_on="2027-12-31")
    assert member(pool)["pledged_pence"] == 30_000_00
    [cancel] = [each for each in funding.transactions(pool_id) if each["kind"] == "cancel"]
    assert (cancel["key"], cancel["author"]) == (f"cancel:2028-29:{FIFE}", TREASURER_ANN.subject)
    funding.receipt(pool_id, council=FIFE, amount_pence=30_000_00)
    assert funding.ledger_is_sound(pool_id)


def test_a_later_year_is_shared_by_those_who_are_left(funding: Funding) -> None:
    pool_id = funding.pool()
    leave(funding, pool_id, leaves_on="2027-03-31")
    arguments = {"pool_id": pool_id, "total_pence": 100_00, "scheme": "equal"}
    this = funding.call(TREASURER_ANN, "set_contributions", year="2026-27", **arguments)
    following = funding.call(TREASURER_ANN, "set_contributions", year="2027-28", **arguments)
    assert [share["council"] for share in this["shares"]] == [ABERDEENSHIRE, EDINBURGH, FIFE]
    assert [share["amount_pence"] for share in following["shares"]] == [50_00, 50_00]


def test_a_late_joiner_gets_its_share_beside_the_others(funding: Funding) -> None:
    pool_id = funding.pool(EDINBURGH)
    share = {"pool_id": pool_id, "council": FIFE, "year": "2026-27", "amount_pence": 33_33}

    def add() -> dict[str, Any]:
        return funding.call(TREASURER_ANN, "add_contribution", **share)

    assert refused(add).code == "not_a_member_in_that_year"
    funding.call(TREASURER_ANN, "add_member", pool_id=pool_id, council=FIFE, joins_on="2026-10-01")
    assert refused(add).code == "contributions_not_set"
    funding.call(
        TREASURER_ANN,
        "set_contributions",
        pool_id=pool_id,
        year="2026-27",
        total_pence=100_00,
        scheme="fixed",
        fixed={EDINBURGH: 100_00, FIFE: 0},
    )
    contributions = add()
    assert contributions["total_pence"] == 133_33
    assert [(each["council"], each["amount_pence"]) for each in contributions["shares"]] == [
        (EDINBURGH, 100_00),
        (FIFE, 0),
        (FIFE, 33_33),
    ]
    assert funding.position(pool_id) == {"pledged": 133_33}
    assert funding.recorded("contribution_pledged")[-1].data["amount_pence"] == 33_33
    assert refused(add).code == "contribution_set"


def test_a_council_that_joins_again_pledges_again(funding: Funding) -> None:
    pool_id = funding.pool()
    for year in YEARS:
        funding.call(TREASURER_ANN, "set_contributions", pool_id=pool_id, year=year, total_pence=90_00, scheme="equal")
    leave(funding, pool_id, leaves_on="2026-05-31")
    funding.call(TREASURER_ANN, "add_member", pool_id=pool_id, council=FIFE, joins_on="2027-04-01")
    contributions = funding.call(
        TREASURER_ANN, "add_contribution", pool_id=pool_id, council=FIFE, year="2027-28", amount_pence=25_00
    )
    assert contributions["total_pence"] == 85_00
    keys = [each["key"] for each in funding.transactions(pool_id) if FIFE in each["key"] and "2027-28" in each["key"]]
    assert keys == [f"pledge:2027-28:{FIFE}", f"cancel:2027-28:{FIFE}", f"pledge.2:2027-28:{FIFE}"]


# --- the refund -----------------------------------------------------------------------------------------------------


def test_a_leaver_is_refunded_its_part_of_what_is_available(funding: Funding, pool_id: str) -> None:
    leave(funding, pool_id)
    asked = funding.call(TREASURER_ANN, "refund_leaver", pool_id=pool_id, council=FIFE)
    assert asked["sentence"] == (
        "Refund £20,000 to Fife: its part of what is available, of the £32,000 that it has left in the pool."
    )
    assert funding.position(pool_id)["available"] == 50_000_00
    funding.call(APPROVER_BEN, "approve_instruction", instruction_id=asked["instruction_id"])
    assert funding.position(pool_id) == {
        "available": 30_000_00,
        "committed": 30_000_00,
        "paid": 20_000_00,
        "received": 80_000_00,
    }
    assert member(funding.call(TREASURER_ANN, "get_pool", pool_id=pool_id))["received_pence"] == 20_000_00
    [refunded] = funding.recorded("leaver_refunded")
    assert refunded.data == {
        "pool_id": pool_id,
        "council": FIFE,
        "amount_pence": 20_000_00,
        "refunded_on": "2026-06-01",
    }
    last = funding.transactions(pool_id)[-1]
    assert (last["kind"], last["author"], last["approver"]) == ("refund", TREASURER_ANN.subject, APPROVER_BEN.subject)
    assert funding.ledger_is_sound(pool_id)


def test_whoever_asks_for_a_refund_does_not_approve_it(funding: Funding, pool_id: str) -> None:
    leave(funding, pool_id)
    both = Principal("pat@pool.example", frozenset({TREASURER, APPROVER}))
    asked = funding.call(both, "refund_leaver", pool_id=pool_id, council=FIFE)
    refusal = refused(funding.call, both, "approve_instruction", instruction_id=asked["instruction_id"])
    assert refusal.code == "two_people"


def test_a_refund_waits_for_the_last_day_to_be_over(funding: Funding, pool_id: str, at: clock.FixedClock) -> None:
    leave(funding, pool_id, leaves_on="2026-06-01")
    assert refused(funding.by_two_people, "refund_leaver", pool_id, council=FIFE).code == "still_a_member"
    day(at, "2026-06-02")
    funding.by_two_people("refund_leaver", pool_id, council=FIFE)


def test_what_it_leaves_with_the_projects_is_refunded_when_it_becomes_free(funding: Funding, pool_id: str) -> None:
    leave(funding, pool_id)
    funding.by_two_people("refund_leaver", pool_id, council=FIFE)
    [award] = funding.call(TREASURER_ANN, "list_awards")["items"]
    funding.carried_out("terminate_award", award, reason="The supplier withdrew its product.")
    # Of the 60,000 pounds that are left and now all free, 12,000 are Fife's.
    asked = funding.call(TREASURER_ANN, "refund_leaver", pool_id=pool_id, council=FIFE)
    assert asked["sentence"].startswith("Refund £12,000 to Fife")
    funding.call(APPROVER_BEN, "approve_instruction", instruction_id=asked["instruction_id"])
    assert funding.position(pool_id)["available"] == 48_000_00
    assert refused(funding.by_two_people, "refund_leaver", pool_id, council=FIFE).code == "nothing_to_refund"
    assert funding.ledger_is_sound(pool_id)


def test_a_refund_that_has_become_another_one_is_asked_for_again(funding: Funding, pool_id: str) -> None:
    leave(funding, pool_id)
    asked = funding.call(TREASURER_ANN, "refund_leaver", pool_id=pool_id, council=FIFE)
    funding.offer(pool_id, funding.candidate())
    with pytest.raises(Conflict) as refusal:
        funding.call(APPROVER_BEN, "approve_instruction", instruction_id=asked["instruction_id"])
    assert (refusal.value.code, "£10,000 to Fife" in refusal.value.message) == ("instruction_outdated", True)
    assert funding.position(pool_id)["available"] == 25_000_00


def test_nobody_is_refunded_who_was_never_a_member_or_has_nothing(funding: Funding) -> None:
    pool_id = funding.pool()
    leave(funding, pool_id)
    assert refused(funding.by_two_people, "refund_leaver", pool_id, council=FIFE).code == "nothing_to_refund"
    assert refused(funding.by_two_people, "refund_leaver", pool_id, council="S12000033").code == "not_a_member"
