"""Reporting periods: reported when they have ended, decided on by a second person, and then left alone."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError

from services.outcomes import domain
from services.outcomes.models import Report
from shared import ids
from shared.errors import Conflict, Forbidden, Invalid, NotFound
from shared.security.principal import CDO, PROPOSER, S95_OFFICER, Principal
from tests.integration.conftest import OpenDatabase
from tests.support.outcomes import (
    ABERDEENSHIRE,
    EDINBURGH,
    FIFE,
    REPORTING_DAY,
    STIRLING,
    THE_CDO,
    Outcomes,
    a_saving,
    an_outcome,
    content,
    on,
    proposer,
    s95_officer,
)


@pytest.fixture
def project_id(outcomes: Outcomes) -> UUID:
    return outcomes.fund()


@pytest.fixture
def saving(outcomes: Outcomes, project_id: UUID) -> str:
    """Aberdeenshire's period of the saving that Edinburgh owns."""
    return outcomes.period_id(project_id, ABERDEENSHIRE)


@pytest.fixture
def outcome(outcomes: Outcomes, project_id: UUID) -> str:
    """Aberdeenshire's period of the percentage."""
    return outcomes.period_id(project_id, ABERDEENSHIRE, "paid-first-time")


def report(outcomes: Outcomes, period_id: str, **changes: Any) -> dict[str, Any]:
    call = {"period_id": period_id, "value": "21500.50"} | changes
    with on(REPORTING_DAY):
        answer: dict[str, Any] = outcomes.report_actual(proposer(ABERDEENSHIRE), **call)
    return answer


def test_a_council_reports_what_it_measured(outcomes: Outcomes, project_id: UUID, saving: str) -> None:
    answer = report(outcomes, saving, narrative="Card terminals came late.\nThe rest as planned.")
    plan = outcomes.get_plan(THE_CDO, project_id=project_id)
    assert answer == {
        "plan_id": plan["plan_id"],
        "project_id": str(project_id),
        "proposal_reference": "P-2026-0007",
        "result": "phone-payments-saved",
        "title": "Fewer payments taken by phone",
        "kind": "cashable_saving",
        "measure": "currency",
        "unit": "GBP",
        "owner_council": EDINBURGH,
        "period_id": saving,
        "council": ABERDEENSHIRE,
        "period": "2027-Q3",
        "starts_on": "2027-10-01",
        "ends_on": "2027-12-31",
        "opens_on": "2028-01-01",
        "due_on": "2028-01-28",
        "target": "22000",
        "state": "reported",
        "overdue": False,
        "value": "21500.50",
        "numerator": None,
        "denominator": None,
        "narrative": "Card terminals came late.\nThe rest as planned.",
        "reported_by": proposer(ABERDEENSHIRE).subject,
        "reported_at": "2028-01-01T12:00:00+00:00",
        "certified_by": None,
        "certified_at": None,
        "returned_by": None,
        "returned_at": None,
        "return_reason": None,
    }
    [recorded] = outcomes.events("actual_reported")
    assert (recorded["subject"], recorded["sequence"]) == (plan["plan_id"], 2)
    assert recorded["data"] == {
        "plan_id": plan["plan_id"],
        "project_id": str(project_id),
        "period_id": saving,
        "indicator": "phone-payments-saved",
        "kind": "cashable_saving",
        "council": ABERDEENSHIRE,
        "period": "2027-Q3",
        "value": "21500.50",
        "numerator": None,
        "denominator": None,
        "reported_at": "2028-01-01T12:00:00+00:00",
    }


def test_the_council_that_owns_the_indicator_may_report_for_the_others(outcomes: Outcomes, saving: str) -> None:
    with on(REPORTING_DAY):
        answer = outcomes.report_actual(proposer(EDINBURGH), period_id=saving, value="1")
    assert answer["reported_by"] == proposer(EDINBURGH).subject


def test_nobody_else_reports(outcomes: Outcomes, saving: str) -> None:
    for someone, code in (
        (proposer(STIRLING), "not_your_period"),
        (s95_officer(ABERDEENSHIRE), "not_your_period"),
        (proposer(FIFE), "period_not_found"),
    ):
        with on(REPORTING_DAY), pytest.raises((Forbidden, NotFound)) as refused:
            outcomes.report_actual(someone, period_id=saving, value="1")
        assert refused.value.code == code
    assert outcomes.events("actual_reported") == []


def test_a_hidden_period_is_refused_as_one_that_does_not_exist(outcomes: Outcomes, saving: str) -> None:
    calls: list[Callable[[object], object]] = [
        lambda period_id: outcomes.report_actual(proposer(FIFE), period_id=period_id, value="1"),
        lambda period_id: outcomes.certify_period(s95_officer(FIFE), period_id=period_id),
        lambda period_id: outcomes.return_period(s95_officer(FIFE), period_id=period_id, reason="No."),
    ]
    for call in calls:
        with pytest.raises(NotFound) as hidden:
            call(saving)
        with pytest.raises(NotFound) as absent:
            call(ids.new_id())
        assert hidden.value.as_dict() == absent.value.as_dict()


def test_a_period_takes_no_report_before_it_has_ended(outcomes: Outcomes, saving: str) -> None:
    with on(date(2027, 12, 31)), pytest.raises(Conflict) as refused:
        outcomes.report_actual(proposer(ABERDEENSHIRE), period_id=saving, value="1")
    assert refused.value.code == "not_open_yet"
    assert "2028-01-01" in refused.value.message


def test_a_percentage_is_reported_with_its_parts(outcomes: Outcomes, outcome: str) -> None:
    for wrong in ({"value": "83.4"}, {"value": "83.4", "numerator": "417", "denominator": "501"}):
        with pytest.raises(Invalid):
            report(outcomes, outcome, **wrong)
    answer = report(outcomes, outcome, value="83.2", numerator="417", denominator="501")
    assert (answer["value"], answer["numerator"], answer["denominator"]) == ("83.2", "417", "501")
    [recorded] = outcomes.events("actual_reported")
    assert (recorded["data"]["numerator"], recorded["data"]["denominator"]) == ("417", "501")


def test_the_section_95_officer_of_the_council_that_benefits_certifies_a_saving(
    outcomes: Outcomes, saving: str
) -> None:
    report(outcomes, saving)
    for someone in (s95_officer(EDINBURGH), THE_CDO):
        with pytest.raises(Forbidden) as refused:
            outcomes.certify_period(someone, period_id=saving)
        assert refused.value.code == "not_yours_to_certify"
        assert "Aberdeenshire" in refused.value.message
    with on(date(2028, 1, 10)):
        answer = outcomes.certify_period(s95_officer(ABERDEENSHIRE), period_id=saving)
    assert (answer["state"], answer["value"]) == ("certified", "21500.50")
    assert answer["certified_by"] == s95_officer(ABERDEENSHIRE).subject
    assert answer["certified_at"] == "2028-01-10T12:00:00+00:00"
    [recorded] = outcomes.events("period_certified")
    assert (recorded["subject"], recorded["sequence"]) == (answer["plan_id"], 3)
    assert recorded["data"] == {
        "plan_id": answer["plan_id"],
        "project_id": answer["project_id"],
        "period_id": saving,
        "indicator": "phone-payments-saved",
        "kind": "cashable_saving",
        "council": ABERDEENSHIRE,
        "period": "2027-Q3",
        "value": "21500.50",
        "certified_at": "2028-01-10T12:00:00+00:00",
    }


def test_the_cdo_certifies_what_is_not_a_saving(outcomes: Outcomes, outcome: str) -> None:
    report(outcomes, outcome, value="83.2", numerator="417", denominator="501")
    with pytest.raises(Forbidden) as refused:
        outcomes.certify_period(s95_officer(ABERDEENSHIRE), period_id=outcome)
    assert refused.value.code == "not_yours_to_certify"
    assert outcomes.certify_period(THE_CDO, period_id=outcome)["state"] == "certified"


BOTH = Principal("both@aberdeenshire", frozenset({PROPOSER, S95_OFFICER, CDO}), ABERDEENSHIRE)


def test_whoever_reported_never_decides_even_with_the_right_role(outcomes: Outcomes, saving: str) -> None:
    with on(REPORTING_DAY):
        outcomes.report_actual(BOTH, period_id=saving, value="1")
    with pytest.raises(Forbidden) as refused:
        outcomes.certify_period(BOTH, period_id=saving)
    assert refused.value.code == "two_people"
    with pytest.raises(Forbidden) as refused:
        outcomes.return_period(BOTH, period_id=saving, reason="Mine.")
    assert refused.value.code == "two_people"


def test_whoever_reported_the_value_that_was_returned_does_not_certify_the_next_one(
    outcomes: Outcomes, saving: str
) -> None:
    with on(REPORTING_DAY):
        outcomes.report_actual(BOTH, period_id=saving, value="1")
        outcomes.return_period(s95_officer(ABERDEENSHIRE), period_id=saving, reason="Too low.")
        outcomes.report_actual(proposer(ABERDEENSHIRE), period_id=saving, value="2")
    with pytest.raises(Forbidden) as refused:
        outcomes.certify_period(BOTH, period_id=saving)
    assert refused.value.code == "two_people"


def test_a_returned_period_is_reported_again_and_every_report_is_kept(outcomes: Outcomes, saving: str) -> None:
    officer = s95_officer(ABERDEENSHIRE)
    report(outcomes, saving, value="30000")
    with on(date(2028, 2, 1)):
        answer = outcomes.return_period(officer, period_id=saving, reason="The ledger says 21,500.50.")
    assert (answer["state"], answer["overdue"], answer["value"]) == ("returned", True, "30000")
    assert answer["return_reason"] == "The ledger says 21,500.50."
    assert (answer["returned_by"], answer["returned_at"]) == (officer.subject, "2028-02-01T12:00:00+00:00")
    assert answer["certified_by"] is None
    answer = report(outcomes, saving)
    assert (answer["state"], answer["value"], answer["return_reason"]) == ("reported", "21500.50", None)
    outcomes.certify_period(officer, period_id=saving)
    with outcomes.database.transaction() as session:
        kept = session.execute(select(Report.number, Report.value, Report.decision, Report.reason)).all()
    assert sorted(kept) == [
        (1, "30000", "returned", "The ledger says 21,500.50."),
        (2, "21500.50", "certified", None),
    ]
    assert [recorded["sequence"] for recorded in outcomes.events()] == [1, 2, 3, 4]


def test_what_was_not_reported_or_stands_already_is_not_decided_or_reported_again(
    outcomes: Outcomes, saving: str
) -> None:
    officer = s95_officer(ABERDEENSHIRE)

    def refused(call: Callable[[], object]) -> str:
        with pytest.raises(Conflict) as refusal:
            call()
        return refusal.value.code

    calls: list[Callable[[], object]] = [
        lambda: outcomes.certify_period(officer, period_id=saving),
        lambda: outcomes.return_period(officer, period_id=saving, reason="No."),
        lambda: report(outcomes, saving),
    ]
    assert [refused(call) for call in calls[:2]] == ["nothing_reported", "nothing_reported"]
    report(outcomes, saving)
    assert refused(calls[2]) == "awaits_certification"
    outcomes.certify_period(officer, period_id=saving)
    assert [refused(call) for call in calls] == ["already_certified"] * 3


def test_of_many_reports_at_once_one_stands(open_database: OpenDatabase) -> None:
    outcomes = Outcomes(open_database("outcomes"))
    period_id = outcomes.period_id(outcomes.fund(), ABERDEENSHIRE)
    ready = threading.Barrier(6)

    def one(value: int) -> str:
        ready.wait()
        try:
            answer = outcomes.report_actual(proposer(ABERDEENSHIRE), period_id=period_id, value=str(value))
        except Conflict as refused:
            return refused.code
        return str(answer["value"])

    with on(REPORTING_DAY), ThreadPoolExecutor(6) as threads:
        answers = [each.result() for each in [threads.submit(one, value) for value in range(6)]]
    [stands] = [answer for answer in answers if answer != "awaits_certification"]
    [recorded] = outcomes.events("actual_reported")
    assert recorded["data"]["value"] == stands


def test_the_database_itself_keeps_a_certified_report(outcomes: Outcomes, saving: str) -> None:
    report(outcomes, saving)
    outcomes.certify_period(s95_officer(ABERDEENSHIRE), period_id=saving)
    for change in (
        update(Report).values(value="99999"),
        update(Report).values(numerator="1", denominator="2"),
        update(Report).values(narrative="Better."),
        update(Report).values(reported_by="somebody@else"),
        update(Report).values(decision="returned", reason="Changed my mind."),
        update(Report).values(decision=None, decided_by=None, decided_at=None),
        delete(Report),
    ):
        with pytest.raises(IntegrityError, match="kept as it was made"), outcomes.database.transaction() as session:
            session.execute(change)


def test_the_database_itself_keeps_what_an_undecided_report_says(outcomes: Outcomes, saving: str) -> None:
    report(outcomes, saving)
    for change in (update(Report).values(value="99999"), delete(Report)):
        with pytest.raises(IntegrityError, match="kept as it was made"), outcomes.database.transaction() as session:
            session.execute(change)


def test_the_database_itself_holds_to_two_people(outcomes: Outcomes, saving: str) -> None:
    answer = report(outcomes, saving)
    certified = {"decision": "certified", "decided_by": answer["reported_by"], "decided_at": Report.reported_at}
    with pytest.raises(IntegrityError, match="two_people"), outcomes.database.transaction() as session:
        session.execute(update(Report).values(**certified))


def test_periods_are_listed_by_project_council_and_state(outcomes: Outcomes) -> None:
    targets = [{"period": f"2027-Q{quarter}", "council": STIRLING, "value": "1"} for quarter in (4, 2, 3)]
    stirlings = [
        a_saving(key="first", owner_council=STIRLING, targets=targets),
        a_saving(key="second", targets=[{"period": "2027-Q1", "council": STIRLING, "value": "1"}]),
    ]
    other = outcomes.fund(content=content(benefits=stirlings))
    project_id = outcomes.fund()
    with on(date(2028, 1, 20)):
        outcomes.report_actual(proposer(EDINBURGH), period_id=outcomes.period_id(project_id, EDINBURGH), value="1")

        def listed(**filters: Any) -> list[tuple[str, str, str]]:
            items = outcomes.list_periods(THE_CDO, **filters)["items"]
            return [(item["result"], item["period"], item["council"]) for item in items]

        stirling = [("first", f"2027-Q{quarter}", STIRLING) for quarter in (2, 3, 4)] + [
            ("second", "2027-Q1", STIRLING)
        ]
        assert listed(project_id=other) == listed(council=STIRLING) == stirling
        assert listed(project_id=other, state="upcoming") == [("first", "2027-Q4", STIRLING)]
        assert listed(project_id=other, state="overdue") == [stirling[0], stirling[3]]
        assert listed(project_id=other, state="open") == stirling[:2] + stirling[3:]
        assert listed(state="reported") == [("phone-payments-saved", "2027-Q3", EDINBURGH)]
        assert listed(state="certified") == listed(state="returned") == listed(project_id=ids.new_id()) == []
        for state in ("upcoming", "open", "reported"):
            assert {item["state"] for item in outcomes.list_periods(THE_CDO, state=state)["items"]} == {state}
        assert all(item["overdue"] for item in outcomes.list_periods(THE_CDO, state="overdue")["items"])
        first = outcomes.list_periods(THE_CDO, limit=4)
        rest = outcomes.list_periods(THE_CDO, cursor=first["next_cursor"])
        assert (len(first["items"]), len(rest["items"]), rest["next_cursor"]) == (4, 3, None)


def test_a_state_finds_on_every_day_what_shows_it_on_that_day(outcomes: Outcomes, saving: str) -> None:
    with on(REPORTING_DAY):
        outcomes.report_actual(proposer(ABERDEENSHIRE), period_id=saving, value="1")
        outcomes.return_period(s95_officer(ABERDEENSHIRE), period_id=saving, reason="Look again.")
    last_days = [period[day] for period in outcomes.list_periods(THE_CDO)["items"] for day in ("ends_on", "due_on")]
    for last_day in map(date.fromisoformat, last_days):
        for day in (last_day, last_day + timedelta(days=1)):
            with on(day):
                everything = outcomes.list_periods(THE_CDO)["items"]
                for state in domain.SHOWN_STATES:
                    expected = [each for each in everything if each["state"] == state]
                    assert outcomes.list_periods(THE_CDO, state=state)["items"] == expected, (state, day)
                overdue = [each for each in everything if each["overdue"]]
                assert outcomes.list_periods(THE_CDO, state="overdue")["items"] == overdue, day


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["report_actual", "certify_period", "return_period"]),
        st.sampled_from([BOTH, proposer(ABERDEENSHIRE), proposer(EDINBURGH), s95_officer(ABERDEENSHIRE), THE_CDO]),
    ),
    max_size=8,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ACTIONS, st.sampled_from(["phone-payments-saved", "paid-first-time"]))
def test_whoever_does_what_in_whichever_order_a_certified_value_has_two_people_and_stays(
    outcomes: Outcomes, actions: list[tuple[str, Principal]], result: str
) -> None:
    project_id = outcomes.fund(content=content(benefits=[a_saving(), an_outcome(measure="count", unit="payments")]))
    period_id = outcomes.period_id(project_id, ABERDEENSHIRE, result)
    certified: dict[str, Any] | None = None
    reporters: set[str] = set()
    with on(REPORTING_DAY):
        for step, (method, someone) in enumerate(actions):
            extra = {"report_actual": {"value": str(step)}, "return_period": {"reason": "Look again."}}.get(method, {})
            try:
                answer = getattr(outcomes, method)(someone, period_id=period_id, **extra)
            except (Conflict, Forbidden):
                continue
            assert certified is None
            if method == "report_actual":
                reporters.add(someone.subject)
            if answer["state"] == "certified":
                certified = answer
                assert answer["certified_by"] not in reporters
        [now] = [
            item
            for item in outcomes.list_periods(THE_CDO, project_id=project_id, council=ABERDEENSHIRE)["items"]
            if item["period_id"] == period_id
        ]
    assert certified is None or now == certified
    announced = [each for each in outcomes.events("period_certified") if each["data"]["period_id"] == period_id]
    assert len(announced) == (certified is not None)


def test_an_outcome_and_a_saving_of_one_project_do_not_disturb_each_other(
    outcomes: Outcomes, saving: str, outcome: str
) -> None:
    report(outcomes, saving)
    report(outcomes, outcome, value="83.2", numerator="417", denominator="501")
    outcomes.certify_period(THE_CDO, period_id=outcome)
    assert [item["state"] for item in outcomes.list_periods(THE_CDO, council=ABERDEENSHIRE)["items"]] == [
        "reported",
        "certified",
    ]
