"""Pools: opening, joining, pledging, receiving."""

import pytest

from shared import clock, ids
from shared.councils import all_councils
from shared.errors import Conflict, Forbidden, Invalid, NotFound
from tests.support.funding import (
    ABERDEENSHIRE,
    APPROVER_BEN,
    EDINBURGH,
    FIFE,
    TREASURER_ANN,
    TREASURER_TOM,
    Funding,
    officer,
)

YEAR = "2026-27"


def set_contributions(funding: Funding, pool_id: str, **facts: object) -> dict[str, object]:
    usual: dict[str, object] = {"year": YEAR, "total_pence": 100_000_00, "scheme": "equal"}
    return funding.call(TREASURER_ANN, "set_contributions", pool_id=pool_id, **usual | facts)


# --- opening and joining --------------------------------------------------------------------------------------------


def test_a_pool_is_opened(funding: Funding) -> None:
    pool = funding.call(
        TREASURER_ANN, "create_pool", name="Digital partnership", starts_on="2026-04-01", ends_on="2029-03-31"
    )
    assert pool == {
        "pool_id": pool["pool_id"],
        "name": "Digital partnership",
        "starts_on": "2026-04-01",
        "ends_on": "2029-03-31",
        "years": ["2026-27", "2027-28", "2028-29"],
        "members": [],
        "position": dict.fromkeys(
            [f"{part}_pence" for part in ("pledged", "available", "reserved", "committed", "paid", "received")], 0
        ),
        "version": 1,
    }
    [opened] = funding.recorded()
    assert (opened.name, opened.subject, opened.sequence) == ("pool_opened", pool["pool_id"], 1)
    assert opened.data == {name: pool[name] for name in ("pool_id", "name", "starts_on", "ends_on", "years")}


def test_a_pool_for_other_than_financial_years_is_refused_and_leaves_nothing(funding: Funding) -> None:
    with pytest.raises(Invalid):
        funding.call(TREASURER_ANN, "create_pool", name="Digital", starts_on="2026-01-01", ends_on="2028-12-31")
    assert funding.recorded() == []


def test_only_a_treasurer_opens_a_pool(funding: Funding) -> None:
    with pytest.raises(Forbidden):
        funding.call(APPROVER_BEN, "create_pool", name="Digital", starts_on="2026-04-01", ends_on="2029-03-31")


def test_councils_join(funding: Funding) -> None:
    pool_id = funding.pool(FIFE)
    pool = funding.call(TREASURER_ANN, "add_member", pool_id=pool_id, council=EDINBURGH, joins_on="2027-01-01")
    assert pool["members"] == [
        {
            "council": EDINBURGH,
            "name": "City of Edinburgh",
            "joins_on": "2027-01-01",
            "leaves_on": None,
            "earlier": [],
            "pledged_pence": 0,
            "received_pence": 0,
        },
        {
            "council": FIFE,
            "name": "Fife",
            "joins_on": "2026-04-01",
            "leaves_on": None,
            "earlier": [],
            "pledged_pence": 0,
            "received_pence": 0,
        },
    ]
    joined = funding.recorded("member_joined")
    assert [(event.sequence, event.data) for event in joined] == [
        (2, {"pool_id": pool_id, "council": FIFE, "joins_on": "2026-04-01"}),
        (3, {"pool_id": pool_id, "council": EDINBURGH, "joins_on": "2027-01-01"}),
    ]
    found = funding.call(TREASURER_ANN, "get_pool", pool_id=pool_id)
    assert pool == {name: found[name] for name in found.keys() - {"as_at", "projected"}}


def test_a_council_joins_once(funding: Funding) -> None:
    pool_id = funding.pool(FIFE)
    with pytest.raises(Conflict) as refusal:
        funding.call(TREASURER_ANN, "add_member", pool_id=pool_id, council=FIFE, joins_on="2027-01-01")
    assert refusal.value.code == "already_member"


def test_there_must_be_such_a_pool(funding: Funding) -> None:
    with pytest.raises(NotFound) as refusal:
        funding.call(TREASURER_ANN, "get_pool", pool_id=str(ids.new_id()))
    assert refusal.value.code == "no_such_pool"


# --- contributions --------------------------------------------------------------------------------------------------


def test_contributions_are_shared_and_pledged(funding: Funding) -> None:
    pool_id = funding.pool()
    contributions = set_contributions(funding, pool_id, total_pence=100_00, scheme="equal")
    assert contributions == {
        "pool_id": pool_id,
        "year": YEAR,
        "scheme": "equal",
        "total_pence": 100_00,
        "shares": [
            {"council": ABERDEENSHIRE, "name": "Aberdeenshire", "amount_pence": 33_34},
            {"council": EDINBURGH, "name": "City of Edinburgh", "amount_pence": 33_33},
            {"council": FIFE, "name": "Fife", "amount_pence": 33_33},
        ],
    }
    pledged = funding.recorded("contribution_pledged")
    assert [(event.data["council"], event.data["amount_pence"]) for event in pledged] == [
        (ABERDEENSHIRE, 33_34),
        (EDINBURGH, 33_33),
        (FIFE, 33_33),
    ]
    assert [event.sequence for event in pledged] == [5, 6, 7]
    assert funding.position(pool_id) == {"pledged": 100_00}
    assert funding.ledger_is_sound(pool_id)


def test_twenty_five_councils_pledge_by_population(funding: Funding) -> None:
    pool_id = funding.pool(*list(all_councils())[:25])
    set_contributions(funding, pool_id, total_pence=1_000_000_00, scheme="population")
    assert funding.position(pool_id) == {"pledged": 1_000_000_00}
    assert len(funding.recorded("contribution_pledged")) == 25


def test_contributions_are_fixed_by_agreement(funding: Funding) -> None:
    pool_id = funding.pool(EDINBURGH, FIFE)
    set_contributions(funding, pool_id, total_pence=100_00, scheme="fixed", fixed={EDINBURGH: 100_00, FIFE: 0})
    members = funding.call(TREASURER_ANN, "get_pool", pool_id=pool_id)["members"]
    assert [(member["council"], member["pledged_pence"]) for member in members] == [(EDINBURGH, 100_00), (FIFE, 0)]
    assert [event.data["amount_pence"] for event in funding.recorded("contribution_pledged")] == [100_00, 0]


def test_fixed_shares_that_do_not_fit_are_refused(funding: Funding) -> None:
    pool_id = funding.pool(EDINBURGH, FIFE)
    with pytest.raises(Invalid):
        set_contributions(funding, pool_id, total_pence=100_00, scheme="fixed", fixed={EDINBURGH: 100_00})
    assert funding.position(pool_id) == {}


def test_a_years_contributions_are_set_once(funding: Funding) -> None:
    pool_id = funding.pool()
    set_contributions(funding, pool_id)
    with pytest.raises(Conflict) as refusal:
        set_contributions(funding, pool_id)
    assert refusal.value.code == "contributions_set"
    set_contributions(funding, pool_id, year="2027-28")
    assert funding.position(pool_id) == {"pledged": 200_000_00}


def test_who_is_not_yet_a_member_pays_nothing(funding: Funding) -> None:
    pool_id = funding.pool(EDINBURGH)
    funding.call(TREASURER_ANN, "add_member", pool_id=pool_id, council=FIFE, joins_on="2027-04-01")
    this_year = set_contributions(funding, pool_id, year=YEAR)
    next_year = set_contributions(funding, pool_id, year="2027-28")
    funding.call(TREASURER_ANN, "add_member", pool_id=pool_id, council=ABERDEENSHIRE, joins_on="2026-04-01")
    assert [share["council"] for share in this_year["shares"]] == [EDINBURGH]  # type: ignore[attr-defined]
    assert [share["council"] for share in next_year["shares"]] == [EDINBURGH, FIFE]  # type: ignore[attr-defined]


def test_a_pool_without_members_has_no_contributions(funding: Funding) -> None:
    pool = funding.call(TREASURER_ANN, "create_pool", name="Digital", starts_on="2026-04-01", ends_on="2027-03-31")
    with pytest.raises(Conflict) as refusal:
        set_contributions(funding, pool["pool_id"])
    assert refusal.value.code == "no_members"


# --- receipts -------------------------------------------------------------------------------------------------------


def test_a_receipt_settles_the_pledge(funding: Funding) -> None:
    pool_id = funding.pool(EDINBURGH, FIFE)
    set_contributions(funding, pool_id, total_pence=200_00)
    receipt = funding.receipt(pool_id, amount_pence=60_00, bank_reference="BACS-1")
    assert receipt == {
        "receipt_id": receipt["receipt_id"],
        "pool_id": pool_id,
        "council": EDINBURGH,
        "amount_pence": 60_00,
        "unpledged_pence": 0,
        "still_owed_pence": 40_00,
        "flag": "partial",
        "bank_reference": "BACS-1",
        "received_on": "2026-05-29",
        "recorded_by": TREASURER_ANN.subject,
        "recorded_at": "2026-06-01T09:00:00+00:00",
    }
    assert funding.position(pool_id) == {"pledged": 140_00, "available": 60_00, "received": 60_00}
    pool = funding.call(TREASURER_ANN, "get_pool", pool_id=pool_id)
    assert [(member["pledged_pence"], member["received_pence"]) for member in pool["members"]] == [
        (40_00, 60_00),
        (100_00, 0),
    ]
    [recorded] = funding.recorded("contribution_recorded")
    assert recorded.sequence == pool["version"]
    assert recorded.data == {
        "pool_id": pool_id,
        "council": EDINBURGH,
        "amount_pence": 60_00,
        "unpledged_pence": 0,
        "still_owed_pence": 40_00,
        "flag": "partial",
        "bank_reference": "BACS-1",
        "received_on": "2026-05-29",
    }


def test_what_goes_beyond_the_pledge_is_named(funding: Funding) -> None:
    pool_id = funding.pool(EDINBURGH)
    set_contributions(funding, pool_id, total_pence=100_00)
    assert funding.receipt(pool_id, amount_pence=130_00)["unpledged_pence"] == 30_00
    assert funding.receipt(pool_id, amount_pence=20_00)["unpledged_pence"] == 20_00
    assert funding.position(pool_id) == {"available": 150_00, "received": 150_00}
    assert [event.data["unpledged_pence"] for event in funding.recorded("contribution_recorded")] == [30_00, 20_00]
    assert funding.ledger_is_sound(pool_id)


def test_a_bank_reference_counts_once(funding: Funding, at: clock.FixedClock) -> None:
    pool_id = funding.pool()
    facts = {"council": FIFE, "amount_pence": 60_00, "bank_reference": "BACS-1", "received_on": "2026-05-29"}
    first = funding.call(TREASURER_ANN, "record_receipt", pool_id=pool_id, **facts)
    assert funding.call(TREASURER_TOM, "record_receipt", pool_id=pool_id, **facts) == first
    assert funding.position(pool_id) == {"available": 60_00, "received": 60_00}
    assert len(funding.recorded("contribution_recorded")) == 1


@pytest.mark.parametrize(
    "other",
    [{"council": EDINBURGH}, {"amount_pence": 60_01}, {"received_on": "2026-05-28"}],
    ids=lambda it: next(iter(it)),
)
def test_a_bank_reference_with_other_facts_is_refused(funding: Funding, other: dict[str, object]) -> None:
    pool_id = funding.pool()
    facts = {"council": FIFE, "amount_pence": 60_00, "bank_reference": "BACS-1", "received_on": "2026-05-29"}
    funding.receipt(pool_id, **facts)
    with pytest.raises(Conflict) as refusal:
        funding.receipt(pool_id, **facts | other)
    assert refusal.value.code == "reference_used"
    assert set(refusal.value.fields) == set(other)
    assert funding.position(pool_id) == {"available": 60_00, "received": 60_00}


def test_each_pool_has_its_own_references(funding: Funding) -> None:
    for pool_id in (funding.pool(), funding.pool()):
        funding.receipt(pool_id, bank_reference="BACS-1")
        assert funding.position(pool_id) == {"available": 50_00, "received": 50_00}


def test_money_comes_from_members_and_not_from_the_future(funding: Funding) -> None:
    pool_id = funding.pool(FIFE)
    with pytest.raises(Conflict) as stranger:
        funding.receipt(pool_id, council=EDINBURGH)
    assert stranger.value.code == "not_a_member"
    with pytest.raises(Invalid) as future:
        funding.receipt(pool_id, council=FIFE, received_on="2026-06-02")
    assert list(future.value.fields) == ["received_on"]


# --- who sees what --------------------------------------------------------------------------------------------------


def test_a_member_sees_the_pool_and_its_own_sums(funding: Funding) -> None:
    pool_id = funding.pool(EDINBURGH, FIFE)
    set_contributions(funding, pool_id, total_pence=200_00)
    pool = funding.call(officer(FIFE), "get_pool", pool_id=pool_id)
    assert pool["position"]["pledged_pence"] == 200_00
    assert [(member["council"], member["pledged_pence"], member["received_pence"]) for member in pool["members"]] == [
        (EDINBURGH, None, None),
        (FIFE, 100_00, 0),
    ]


def test_a_council_that_is_not_a_member_does_not_learn_of_the_pool(funding: Funding) -> None:
    pool_id = funding.pool(FIFE)
    for method in ("get_pool", "list_transactions", "list_candidates"):
        with pytest.raises(NotFound) as refusal:
            funding.call(officer(EDINBURGH), method, pool_id=pool_id)
        with pytest.raises(NotFound) as absence:
            funding.call(officer(EDINBURGH), method, pool_id=str(ids.new_id()))
        assert refusal.value.as_dict() == absence.value.as_dict()
