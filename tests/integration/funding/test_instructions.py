"""Instructions: asked for by one person, carried out by the approval of another, rejected or withdrawn."""

from typing import Any

import pytest

from services.funding.domain.instructions import MAX_WAITING
from shared.errors import Conflict, Forbidden, NotFound
from shared.security.principal import APPROVER, TREASURER, Principal
from tests.support.funding import (
    ABERDEENSHIRE,
    APPROVER_BEN,
    CDO_CLEO,
    EDINBURGH,
    FIFE,
    TREASURER_ANN,
    TREASURER_TOM,
    Funding,
    officer,
    proposer,
)


@pytest.fixture
def award(funding: Funding) -> dict[str, Any]:
    """An active award of 25,000 pounds in a pool of 100,000."""
    return funding.active_award(funding.funded_pool())


@pytest.fixture
def completion(funding: Funding, award: dict[str, Any]) -> dict[str, Any]:
    """What Ann asks for: that the project is completed."""
    return funding.call(TREASURER_ANN, "complete_project", award_id=award["award_id"])


def answer(funding: Funding, who: Principal, verb: str, instruction: dict[str, Any], **more: Any) -> dict[str, Any]:
    return funding.call(who, f"{verb}_instruction", instruction_id=instruction["instruction_id"], **more)


def test_asking_moves_nothing(funding: Funding, award: dict[str, Any], completion: dict[str, Any]) -> None:
    assert completion == {
        "instruction_id": completion["instruction_id"],
        "reference": "I-2026-0001",
        "pool_id": award["pool_id"],
        "award_id": award["award_id"],
        "kind": "complete_project",
        "arguments": {"award_id": award["award_id"]},
        "sentence": "A-2026-0001, One online payments service (City of Edinburgh) is completed. £25,000 that is not"
        " paid is free again and never drawn down: alpha £10,000, live £15,000.",
        "state": "requested",
        "requested_by": TREASURER_ANN.subject,
        "requested_at": "2026-06-01T09:00:00+00:00",
        "approved_by": None,
        "approved_at": None,
        "rejected_by": None,
        "rejected_at": None,
        "rejection_reason": None,
        "withdrawn_at": None,
        "result": None,
    }
    assert funding.position(award["pool_id"])["committed"] == 25_000_00
    assert funding.recorded("project_completed") == []
    current = funding.call(TREASURER_ANN, "get_award", award_id=award["award_id"])
    assert (current["state"], current["instructions"]) == ("active", ["I-2026-0001"])


def test_the_approval_of_a_second_person_carries_it_out(
    funding: Funding, award: dict[str, Any], completion: dict[str, Any]
) -> None:
    approved = answer(funding, APPROVER_BEN, "approve", completion)
    assert (approved["state"], approved["approved_by"], approved["approved_at"]) == (
        "carried_out",
        APPROVER_BEN.subject,
        "2026-06-01T09:00:00+00:00",
    )
    assert approved["result"] == {"transaction_key": f"decommit:{award['award_id']}"}
    last = funding.call(TREASURER_ANN, "list_transactions", pool_id=award["pool_id"])["items"][-1]
    assert (last["key"], last["author"], last["approver"]) == (
        approved["result"]["transaction_key"],
        TREASURER_ANN.subject,
        APPROVER_BEN.subject,
    )
    assert funding.call(CDO_CLEO, "get_instruction", instruction_id=completion["instruction_id"]) == approved


def test_whoever_asks_never_approves_whatever_roles_they_hold(funding: Funding, completion: dict[str, Any]) -> None:
    with pytest.raises(Forbidden) as refusal:
        answer(funding, Principal(TREASURER_ANN.subject, frozenset({APPROVER, TREASURER})), "approve", completion)
    assert refusal.value.code == "two_people"
    assert funding.call(CDO_CLEO, "get_instruction", instruction_id=completion["instruction_id"]) == completion


def test_whoever_accepted_or_approved_the_award_may_ask(funding: Funding, award: dict[str, Any]) -> None:
    ben = Principal(APPROVER_BEN.subject, frozenset({TREASURER, APPROVER}))
    asked = funding.call(ben, "complete_project", award_id=award["award_id"])
    with pytest.raises(Forbidden):
        answer(funding, ben, "approve", asked)
    ann = Principal(TREASURER_ANN.subject, frozenset({APPROVER}))
    assert answer(funding, ann, "approve", asked)["state"] == "carried_out"


def test_one_that_is_rejected_moves_nothing(
    funding: Funding, award: dict[str, Any], completion: dict[str, Any]
) -> None:
    rejected = answer(funding, APPROVER_BEN, "reject", completion, reason="The last report is missing.")
    assert (rejected["state"], rejected["rejected_by"], rejected["rejection_reason"]) == (
        "rejected",
        APPROVER_BEN.subject,
        "The last report is missing.",
    )
    assert funding.position(award["pool_id"])["committed"] == 25_000_00
    assert funding.call(TREASURER_ANN, "get_award", award_id=award["award_id"])["instructions"] == []
    again = funding.call(TREASURER_ANN, "complete_project", award_id=award["award_id"])
    assert again["reference"] == "I-2026-0002"


def test_only_whoever_asked_withdraws_it(funding: Funding, completion: dict[str, Any]) -> None:
    with pytest.raises(Forbidden) as refusal:
        answer(funding, TREASURER_TOM, "withdraw", completion)
    assert refusal.value.code == "not_yours"
    withdrawn = answer(funding, TREASURER_ANN, "withdraw", completion)
    assert (withdrawn["state"], withdrawn["withdrawn_at"]) == ("withdrawn", "2026-06-01T09:00:00+00:00")


@pytest.mark.parametrize("verb", ["approve", "reject", "withdraw"])
@pytest.mark.parametrize("answered", ["approve", "reject", "withdraw"])
def test_it_is_answered_once(funding: Funding, completion: dict[str, Any], answered: str, verb: str) -> None:
    who = {"approve": APPROVER_BEN, "reject": APPROVER_BEN, "withdraw": TREASURER_ANN}
    more: dict[str, dict[str, Any]] = {"reject": {"reason": "The last report is missing."}}
    answer(funding, who[answered], answered, completion, **more.get(answered, {}))
    with pytest.raises(Conflict) as refusal:
        answer(funding, who[verb], verb, completion, **more.get(verb, {}))
    assert refusal.value.code == "instruction_answered"


def test_asking_again_is_the_first_answer(funding: Funding, award: dict[str, Any], completion: dict[str, Any]) -> None:
    assert funding.call(TREASURER_TOM, "complete_project", award_id=award["award_id"]) == completion
    done = answer(funding, APPROVER_BEN, "approve", completion)
    assert funding.call(TREASURER_TOM, "complete_project", award_id=award["award_id"]) == done


def test_a_call_that_is_repeated_with_its_key_has_the_first_answer(
    funding: Funding, award: dict[str, Any], completion: dict[str, Any]
) -> None:
    asked = {"award_id": award["award_id"], "amount_pence": 1_00, "idempotency_key": "return-1"}
    funding.approved_drawdown(award)
    funding.pay(award)
    first = funding.call(TREASURER_ANN, "return_underspend", **asked)
    assert funding.call(TREASURER_ANN, "return_underspend", **asked) == first
    # Without the key, the same sum again is another one that came back.
    del asked["idempotency_key"]
    assert funding.call(TREASURER_ANN, "return_underspend", **asked)["reference"] != first["reference"]
    done = answer(funding, APPROVER_BEN, "approve", first, idempotency_key="approve-1")
    assert answer(funding, APPROVER_BEN, "approve", first, idempotency_key="approve-1") == done
    with pytest.raises(Conflict):
        answer(funding, APPROVER_BEN, "approve", completion, idempotency_key="approve-1")
    assert len(funding.recorded("underspend_returned")) == 1


def test_two_ends_of_one_award_are_not_asked_for_at_a_time(
    funding: Funding, award: dict[str, Any], completion: dict[str, Any]
) -> None:
    with pytest.raises(Conflict) as refusal:
        funding.call(TREASURER_ANN, "terminate_award", award_id=award["award_id"], reason="Nobody uses it.")
    assert refusal.value.code == "already_requested"
    assert "I-2026-0001" in refusal.value.message


def test_what_would_now_do_something_else_is_asked_for_anew(
    funding: Funding, award: dict[str, Any], completion: dict[str, Any]
) -> None:
    funding.approved_drawdown(award)
    funding.pay(award)
    with pytest.raises(Conflict) as refusal:
        answer(funding, APPROVER_BEN, "approve", completion)
    assert refusal.value.code == "instruction_outdated"
    assert "£15,000 that is not paid" in refusal.value.message
    assert funding.call(CDO_CLEO, "get_instruction", instruction_id=completion["instruction_id"]) == completion
    answer(funding, TREASURER_ANN, "withdraw", completion)
    again = funding.call(TREASURER_ANN, "complete_project", award_id=award["award_id"])
    assert answer(funding, APPROVER_BEN, "approve", again)["state"] == "carried_out"


def test_so_many_wait_at_a_time(funding: Funding, award: dict[str, Any]) -> None:
    funding.approved_drawdown(award)
    funding.pay(award)
    for _ in range(MAX_WAITING):
        funding.call(TREASURER_ANN, "return_underspend", award_id=award["award_id"], amount_pence=1)
    with pytest.raises(Conflict) as refusal:
        funding.call(TREASURER_ANN, "return_underspend", award_id=award["award_id"], amount_pence=1)
    assert refusal.value.code == "too_many_waiting"


def test_a_council_sees_those_about_awards_in_which_it_takes_part(funding: Funding, award: dict[str, Any]) -> None:
    other = funding.active_award(award["pool_id"], lead=FIFE, participants=(EDINBURGH,))
    ours, theirs = (funding.call(TREASURER_ANN, "complete_project", award_id=one["award_id"]) for one in (award, other))

    def listed(who: Principal, **narrower: Any) -> list[str]:
        page = funding.call(who, "list_instructions", pool_id=award["pool_id"], **narrower)
        return [item["reference"] for item in page["items"]]

    both = [ours["reference"], theirs["reference"]]
    assert listed(CDO_CLEO) == listed(APPROVER_BEN) == listed(officer(EDINBURGH)) == both
    assert listed(proposer(ABERDEENSHIRE)) == both[:1]
    assert listed(officer(FIFE)) == both[1:]
    assert listed(CDO_CLEO, award_id=other["award_id"]) == both[1:]
    with pytest.raises(NotFound):
        funding.call(officer(FIFE), "get_instruction", instruction_id=ours["instruction_id"])
    answer(funding, APPROVER_BEN, "approve", ours)
    assert listed(CDO_CLEO, state="requested") == both[1:]
    page = funding.call(CDO_CLEO, "list_instructions", pool_id=award["pool_id"], limit=1)
    assert listed(CDO_CLEO, limit=1, cursor=page["next_cursor"]) == both[1:]


def test_a_stranger_s_instruction_does_not_exist(funding: Funding, award: dict[str, Any]) -> None:
    with pytest.raises(NotFound) as refusal:
        answer(funding, APPROVER_BEN, "approve", {"instruction_id": award["award_id"]})
    assert refusal.value.code == "no_such_instruction"
