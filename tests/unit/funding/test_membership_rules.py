"""Membership over time: who joins, leaves, and joins again."""

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.funding.domain import membership
from shared import periods
from shared.errors import Conflict, Invalid
from tests.support.funding import ABERDEENSHIRE, EDINBURGH, FIFE, AMember

STARTS_ON, ENDS_ON = date(2026, 4, 1), date(2029, 3, 31)
DAYS = st.dates(STARTS_ON, ENDS_ON)
LEFT = AMember(EDINBURGH, STARTS_ON, date(2027, 3, 31))


def code_of(refusal: pytest.ExceptionInfo[Conflict]) -> str:
    return refusal.value.code


def test_a_council_joins_once() -> None:
    members = [AMember(EDINBURGH)]
    membership.check_joining(members, FIFE, STARTS_ON, STARTS_ON, ENDS_ON)
    with pytest.raises(Conflict) as refusal:
        membership.check_joining(members, EDINBURGH, ENDS_ON, STARTS_ON, ENDS_ON)
    assert refusal.value.code == "already_member"
    assert "City of Edinburgh" in refusal.value.message


@pytest.mark.parametrize("joins_on", [date(2026, 3, 31), date(2029, 4, 1)])
def test_a_council_joins_while_there_is_a_pool(joins_on: date) -> None:
    with pytest.raises(Invalid) as refusal:
        membership.check_joining([], EDINBURGH, joins_on, STARTS_ON, ENDS_ON)
    assert list(refusal.value.fields) == ["joins_on"]


def test_members_of_a_year_have_joined_by_its_last_day() -> None:
    members = [
        AMember(FIFE, date(2028, 3, 31)),
        AMember(EDINBURGH, STARTS_ON),
        AMember(ABERDEENSHIRE, date(2028, 4, 1)),
    ]
    assert membership.members_during(members, "2026-27") == [EDINBURGH]
    assert membership.members_during(members, "2027-28") == [EDINBURGH, FIFE]
    assert membership.members_during(members, "2028-29") == [ABERDEENSHIRE, EDINBURGH, FIFE]


def test_a_council_that_left_joins_again_after_its_last_day() -> None:
    membership.check_joining([LEFT], EDINBURGH, date(2027, 4, 1), STARTS_ON, ENDS_ON)
    with pytest.raises(Conflict) as refusal:
        membership.check_joining([LEFT], EDINBURGH, date(2027, 3, 31), STARTS_ON, ENDS_ON)
    assert code_of(refusal) == "already_member"
    assert list(refusal.value.fields) == ["joins_on"]


@given(st.lists(st.tuples(DAYS, st.none() | DAYS), max_size=8))
def test_memberships_never_overlap_whatever_is_asked_for(asked: list[tuple[date, date | None]]) -> None:
    members: list[AMember] = []
    for joins_on, leaves_on in asked:
        try:
            membership.check_joining(members, FIFE, joins_on, STARTS_ON, ENDS_ON)
            members.append(AMember(FIFE, joins_on))
        except Conflict:
            pass
        if leaves_on is not None:
            try:
                membership.check_leaving(members, FIFE, leaves_on, ENDS_ON).leaves_on = leaves_on
            except (Conflict, Invalid):
                pass
    for earlier, later in pairwise(members):
        assert earlier.leaves_on is not None
        assert earlier.joins_on <= earlier.leaves_on < later.joins_on


def test_who_is_a_member_of_a_year_was_one_on_one_of_its_days() -> None:
    members = [LEFT, AMember(FIFE, STARTS_ON, date(2027, 4, 1)), AMember(EDINBURGH, date(2028, 4, 1))]
    assert membership.members_during(members, "2026-27") == [EDINBURGH, FIFE]
    assert membership.members_during(members, "2027-28") == [FIFE]
    assert membership.members_during(members, "2028-29") == [EDINBURGH]
    for code in ("2026-27", "2027-28", "2028-29"):
        period = periods.parse_year(code)
        days = [period.starts_on + timedelta(number) for number in range((period.ends_on - period.starts_on).days + 1)]
        on_a_day = {
            member.council
            for member in members
            if any(member.joins_on <= day <= (member.leaves_on or ENDS_ON) for day in days)
        }
        assert membership.members_during(members, code) == sorted(on_a_day)


def test_the_last_day_is_one_of_the_membership() -> None:
    staying = AMember(EDINBURGH, date(2026, 6, 1))
    assert membership.check_leaving([staying], EDINBURGH, date(2026, 6, 1), ENDS_ON) is staying
    for day in (date(2026, 5, 31), date(2029, 4, 1)):
        with pytest.raises(Invalid) as refusal:
            membership.check_leaving([staying], EDINBURGH, day, ENDS_ON)
        assert list(refusal.value.fields) == ["leaves_on"]


def test_a_last_day_stays_what_it_is() -> None:
    with pytest.raises(Conflict) as refusal:
        membership.check_leaving([LEFT], EDINBURGH, date(2028, 3, 31), ENDS_ON)
    assert code_of(refusal) == "already_leaves"


def test_an_award_needs_a_lead_council_that_stays() -> None:
    membership.check_stays([LEFT, AMember(EDINBURGH, date(2028, 4, 1))], EDINBURGH)
    with pytest.raises(Conflict) as refusal:
        membership.check_stays([LEFT], EDINBURGH)
    assert code_of(refusal) == "leaves_the_pool"
    with pytest.raises(Conflict) as refusal:
        membership.check_stays([LEFT], FIFE)
    assert code_of(refusal) == "not_a_member"


def test_a_refund_waits_until_the_last_day_is_over() -> None:
    membership.check_has_left([LEFT], EDINBURGH, date(2027, 4, 1))
    for members in ([LEFT], [LEFT, AMember(EDINBURGH, date(2027, 5, 1))]):
        with pytest.raises(Conflict) as refusal:
            membership.check_has_left(members, EDINBURGH, date(2027, 3, 31))
        assert code_of(refusal) == "still_a_member"
