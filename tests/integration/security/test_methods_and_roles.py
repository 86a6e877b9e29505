"""Every method is tried in every role, and by the people of councils that lead, take part, or have no part in it.

What a method says of its roles and its rows is checked from the outside, on real servers, and every attempt that is
refused has its row in the audit trail.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from commonweal import CommonwealError, Forbidden, NotFound, Unauthenticated, Unavailable
from services.funding.service import FundingService
from services.outcomes.service import OutcomesService
from services.proposals.service import ProposalsService
from shared import ids, periods
from shared.audit.tables import audit
from shared.messaging.rpc import Method, methods_of
from shared.security.principal import (
    APPROVER,
    ASSESSOR,
    CDO,
    COUNCIL_ROLES,
    OPERATOR,
    PANEL_CHAIR,
    PROPOSER,
    ROLES,
    S95_OFFICER,
    SPONSOR,
    SYSTEM,
    TREASURER,
)
from shared.security.scope import EVERY_ROW
from tests.support.database_faults import away
from tests.support.neighbours import LEAD, PARTICIPANT, SCORES, STRANGER, Neighbours, joint_content
from tests.support.servers import Servers
from tests.support.stage import Stage, eventually, fresh_stage

METHODS = {
    (service.name, name): method
    for service in (ProposalsService, FundingService, OutcomesService)
    for name, method in methods_of(service).items()
}
EVERY_METHOD = [pytest.param(service, method, id=method.name) for (service, _), method in METHODS.items()]

SOME_ID = str(ids.new_id())
REVISION = {"proposal_id": SOME_ID, "revision": 1}
TRANCHE = {"award_id": SOME_ID, "tranche": "alpha"}
#: Arguments that pass each method's schema and lead to nothing that exists.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "open_round": {
        "title": "A round",
        "opens_on": "2016-04-01",
        "closes_on": "2016-05-01",
        "criteria": [{"key": "need", "title": "Need", "weight": 100}],
        "min_participants": 1,
        "quorum": 1,
        "ceiling_pence": 1,
    },
    "change_round": {"round_id": SOME_ID, "expected_version": 1, "reason": "No.", "quorum": 2},
    "close_round": {"round_id": SOME_ID},
    "get_round": {"round_id": SOME_ID},
    "list_rounds": {},
    "create_proposal": {"round_id": SOME_ID, "content": joint_content()},
    "update_proposal": {"proposal_id": SOME_ID, "content": joint_content(), "expected_revision": 1},
    "submit_proposal": {"proposal_id": SOME_ID},
    "withdraw_proposal": {"proposal_id": SOME_ID, "reason": "No."},
    "confirm_participation": REVISION,
    "decline_participation": REVISION | {"reason": "No."},
    "check_content": {"round_id": SOME_ID, "content": joint_content()},
    "check_eligibility": {"proposal_id": SOME_ID},
    "get_proposal": {"proposal_id": SOME_ID},
    "list_proposals": {},
    "count_proposals": {"round_id": SOME_ID},
    "find_similar": {"proposal_id": SOME_ID},
    "get_revision": REVISION,
    "compare_revisions": {"proposal_id": SOME_ID, "from_revision": 1, "to_revision": 1},
    "declare_conflict": {"proposal_id": SOME_ID, "reason": "No."},
    "submit_assessment": REVISION | {"scores": SCORES},
    "list_assessments": {"proposal_id": SOME_ID},
    "get_assessment_summary": {"proposal_id": SOME_ID},
    "moderate": REVISION | {"note": "They read different drafts."},
    "request_changes": {"proposal_id": SOME_ID, "reason": "No."},
    "determine": REVISION | {"outcome": "approved", "minute": "Yes."},
    "create_pool": {"name": "A pool", "starts_on": "2016-04-01", "ends_on": "2019-03-31"},
    "add_member": {"pool_id": SOME_ID, "council": LEAD, "joins_on": "2016-04-01"},
    "remove_member": {"pool_id": SOME_ID, "council": LEAD, "leaves_on": "2017-03-31"},
    "refund_leaver": {"pool_id": SOME_ID, "council": LEAD},
    "add_contribution": {"pool_id": SOME_ID, "council": LEAD, "year": "2016-17", "amount_pence": 1},
    "reverse_transaction": {"pool_id": SOME_ID, "number": 1, "reason": "No."},
    "get_year": {"pool_id": SOME_ID, "year": periods.year_of(datetime.now(UTC).date())},
    "close_year": {"pool_id": SOME_ID, "year": "2016-17"},
    "set_contributions": {"pool_id": SOME_ID, "year": "2016-17", "total_pence": 1, "scheme": "equal"},
    "record_receipt": {
        "pool_id": SOME_ID,
        "council": LEAD,
        "amount_pence": 1,
        "bank_reference": "B-1",
        "received_on": "2016-04-01",
    },
    "list_receipts": {"pool_id": SOME_ID},
    "get_pool": {"pool_id": SOME_ID},
    "list_transactions": {"pool_id": SOME_ID},
    "verify_ledger": {"pool_id": SOME_ID},
    "council_statement": {"pool_id": SOME_ID, "council": LEAD},
    "pool_statement": {"pool_id": SOME_ID},
    "reconcile_bank_statement": {"pool_id": SOME_ID, "statement": "date,reference,amount\n"},
    "list_candidates": {"pool_id": SOME_ID},
    "offer_award": {"pool_id": SOME_ID, "proposal_id": SOME_ID, "amount_pence": 1, "expires_on": "2016-04-01"},
    "approve_award": {"award_id": SOME_ID},
    "accept_award": {"award_id": SOME_ID},
    "decline_award": {"award_id": SOME_ID, "reason": "No."},
    "get_award": {"award_id": SOME_ID},
    "list_awards": {},
    "request_drawdown": TRANCHE | {"evidence": "A report."},
    "approve_drawdown": TRANCHE,
    "reject_drawdown": TRANCHE | {"reason": "No."},
    "record_payment": TRANCHE | {"payment_reference": "P-1", "paid_on": "2016-04-01"},
    "return_underspend": {"award_id": SOME_ID, "amount_pence": 1},
    "claw_back": {"award_id": SOME_ID, "amount_pence": 1, "reason": "No."},
    "complete_project": {"award_id": SOME_ID},
    "terminate_award": {"award_id": SOME_ID, "reason": "No."},
    "approve_instruction": {"instruction_id": SOME_ID},
    "reject_instruction": {"instruction_id": SOME_ID, "reason": "No."},
    "withdraw_instruction": {"instruction_id": SOME_ID},
    "get_instruction": {"instruction_id": SOME_ID},
    "list_instructions": {"pool_id": SOME_ID},
    "get_plan": {"project_id": SOME_ID},
    "list_plans": {},
    "list_periods": {},
    "report_actual": {"period_id": SOME_ID, "value": "1"},
    "certify_period": {"period_id": SOME_ID},
    "return_period": {"period_id": SOME_ID, "reason": "No."},
    "achieve_milestone": {"project_id": SOME_ID, "milestone": "alpha", "evidence": "A report."},
    "benefits_summary": {},
}


@pytest.fixture(scope="module")
def stage(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """All three services on real servers."""
    with fresh_stage(servers, tmp_path_factory.mktemp("stage")) as running:
        yield running


@pytest.fixture(scope="module")
def programme(stage: Stage) -> Neighbours:
    """What the three councils try to reach."""
    return Neighbours.on(stage)


def call(stage: Stage, service: str, method: str, role: str, council: str | None, arguments: dict[str, Any]) -> Any:
    """Call as a new person and return the answer or the refusal."""
    try:
        return stage.caller(role, council=council).call(service, method, arguments)
    except CommonwealError as refusal:
        return refusal


def said(refusal: Any) -> tuple[Any, ...]:
    """All that a refusal tells its caller; of an answer, that it is none."""
    assert isinstance(refusal, CommonwealError), "it was answered"
    return type(refusal), refusal.code, refusal.message, refusal.fields


def _words(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def service_of(method: str) -> str:
    """The service that has a method; no two have one of the same name."""
    [service] = [service for service, name in METHODS if name == method]
    return service


# --- roles ----------------------------------------------------------------------------------------------------------


def test_there_are_arguments_for_every_method() -> None:
    assert {name for _, name in METHODS} == set(ARGUMENTS)


@pytest.mark.parametrize(("service", "method"), EVERY_METHOD)
def test_a_method_takes_its_roles_and_no_other(stage: Stage, service: str, method: Method) -> None:
    refused: dict[str, tuple[str, str | None]] = {}
    for role in sorted(ROLES):
        council = STRANGER if role in COUNCIL_ROLES else None
        subject = f"{role}-{ids.new_id().hex[-8:]}"
        caller = stage.caller(role, council=council, subject=subject)
        outcomes = []
        # What else is wrong with a call is nobody's business who may not make it.
        for arguments in (ARGUMENTS[method.name], {"surprise": 1}):
            try:
                caller.call(service, method.name, arguments)
                outcomes.append((None, "answered"))
            except CommonwealError as refusal:
                outcomes.append((type(refusal), refusal.code))
        if role in method.roles:
            assert outcomes[0][1] not in ("role_needed", "invalid_request"), role
            assert outcomes[0][0] not in (Unauthenticated, Unavailable), role
            assert outcomes[1][1] == "invalid_request", role
        else:
            assert outcomes == [(Forbidden, "role_needed")] * 2, role
            refused[subject] = (role, council)
    with pytest.raises(Unauthenticated) as refusal:
        stage.caller(CDO).acting("").call(service, method.name, ARGUMENTS[method.name])
    assert refusal.value.code == "no_token"
    assert recorded(stage, service, method.name, set(refused)) == sorted(
        (subject, role, council, "role_needed", "Forbidden")
        for subject, (role, council) in refused.items()
        for _ in range(2)
    )


def recorded(stage: Stage, service: str, method: str, subjects: set[str]) -> list[tuple[Any, ...]]:
    """What the audit trail says of the calls of some people, each of whom has one role."""
    statement = select(audit).where(audit.c.method == method, audit.c.subject.in_(subjects))
    with stage.database(service).transaction() as session:
        rows = session.execute(statement).all()
    return sorted((row.subject, *row.roles, row.council, row.outcome, row.error) for row in rows)


# --- rows: what others may not know of, and may not do --------------------------------------------------------------

#: What becomes of the participant's people who try what the lead's may do.
READS, FORBIDDEN, ANSWERS, UNKNOWN = "reads it too", "is refused", "is the one who may", "does not know of it"


@dataclass(frozen=True)
class Attempt:
    """A call that reaches one council's rows.

    :param role: in which all three councils' people try.
    :param key: the argument that names the row.
    :param row: makes or finds the row, which the attempt may use up.
    :param participant: what becomes of the attempt by the council that takes part.
    """

    method: str
    role: str
    key: str
    row: Callable[[Neighbours], str]
    participant: str
    others: tuple[tuple[str, Any], ...] = ()

    @property
    def service(self) -> str:
        return service_of(self.method)

    @property
    def council(self) -> str:
        """Whose people may."""
        return PARTICIPANT if self.participant == ANSWERS else LEAD

    def arguments(self, row: str) -> dict[str, Any]:
        return ARGUMENTS[self.method] | {self.key: row} | dict(self.others)


ATTEMPTS = [
    Attempt("update_proposal", PROPOSER, "proposal_id", Neighbours.draft, UNKNOWN),
    Attempt("submit_proposal", PROPOSER, "proposal_id", Neighbours.ready, UNKNOWN),
    Attempt("withdraw_proposal", PROPOSER, "proposal_id", Neighbours.draft, UNKNOWN),
    Attempt("withdraw_proposal", PROPOSER, "proposal_id", Neighbours.submitted, FORBIDDEN),
    Attempt("confirm_participation", SPONSOR, "proposal_id", Neighbours.submitted, ANSWERS),
    Attempt("decline_participation", SPONSOR, "proposal_id", Neighbours.submitted, ANSWERS),
    *(
        Attempt(method, role, "proposal_id", row, seen)
        for method in ("get_proposal", "check_eligibility", "find_similar")
        for role in sorted(COUNCIL_ROLES)
        for row, seen in ((Neighbours.draft, UNKNOWN), (Neighbours.submitted, READS))
    ),
    *(
        Attempt(name, SPONSOR, "proposal_id", Neighbours.submitted, READS)
        for name in ("get_revision", "compare_revisions")
    ),
    *(
        Attempt(method, role, "pool_id", lambda programme: programme.pool_id, READS)
        for method in (
            *("get_pool", "get_year", "list_receipts", "list_transactions", "list_candidates", "list_instructions"),
        )
        for role in sorted(COUNCIL_ROLES)
    ),
    *(
        Attempt("get_award", role, "award_id", lambda programme: programme.award_id, READS)
        for role in sorted(COUNCIL_ROLES)
    ),
    *(Attempt("get_instruction", role, "instruction_id", Neighbours.asked, READS) for role in sorted(COUNCIL_ROLES)),
    Attempt("accept_award", S95_OFFICER, "award_id", lambda programme: programme.offered[0], FORBIDDEN),
    Attempt("decline_award", S95_OFFICER, "award_id", lambda programme: programme.offered[1], FORBIDDEN),
    Attempt("request_drawdown", PROPOSER, "award_id", lambda programme: programme.award_id, FORBIDDEN),
    *(
        Attempt("get_plan", role, "project_id", lambda programme: programme.project_id, READS)
        for role in sorted(COUNCIL_ROLES)
    ),
    Attempt("report_actual", PROPOSER, "period_id", lambda programme: programme.periods[0], FORBIDDEN),
    Attempt("certify_period", S95_OFFICER, "period_id", lambda made: made.reported(made.periods[1]), FORBIDDEN),
    Attempt("return_period", S95_OFFICER, "period_id", lambda made: made.reported(made.periods[2]), FORBIDDEN),
    Attempt(
        "achieve_milestone",
        PROPOSER,
        "project_id",
        lambda programme: programme.project_id,
        FORBIDDEN,
        (("milestone", "live"),),
    ),
]
LISTS = {"list_proposals", "count_proposals", "list_awards", "list_plans", "list_periods"}


#: Tried by tests of their own below.
ELSEWHERE = {"council_statement", "create_proposal"}


def test_every_method_that_reaches_a_councils_rows_is_tried() -> None:
    of_councils = {
        name for (_, name), method in METHODS.items() if method.roles & COUNCIL_ROLES and method.scope != EVERY_ROW
    }
    assert of_councils == {attempt.method for attempt in ATTEMPTS} | LISTS | ELSEWHERE


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: f"{attempt.method}-{attempt.role}")
def test_a_councils_rows_are_its_own(programme: Neighbours, attempt: Attempt) -> None:
    stage, row = programme.stage, attempt.row(programme)

    def tried_by(council: str, row: str) -> Any:
        return call(stage, attempt.service, attempt.method, attempt.role, council, attempt.arguments(row))

    nothing = said(tried_by(STRANGER, str(ids.new_id())))
    assert nothing[0] is NotFound
    assert said(tried_by(STRANGER, row)) == nothing, "a stranger is told that it exists"
    if attempt.participant == FORBIDDEN:
        assert said(tried_by(PARTICIPANT, row))[0] is Forbidden
    elif attempt.participant == READS:
        assert isinstance(tried_by(PARTICIPANT, row), dict)
    elif attempt.participant == UNKNOWN:
        assert said(tried_by(PARTICIPANT, row)) == nothing, "whoever does not know of it yet is told that it exists"
    # The counterpart: it is there, and whose it is may do it.
    assert isinstance(answer := tried_by(attempt.council, row), dict), said(answer)


def test_nobody_drafts_in_another_councils_name(programme: Neighbours) -> None:
    arguments = {"round_id": programme.round_id, "content": joint_content()}
    for council in (PARTICIPANT, STRANGER):
        refusal = call(programme.stage, "proposals", "create_proposal", PROPOSER, council, arguments)
        assert said(refusal)[:2] == (Forbidden, "not_lead_council")
    assert call(programme.stage, "proposals", "create_proposal", PROPOSER, LEAD, arguments)["lead_council"] == LEAD


def test_lists_show_a_council_its_own_rows_alone(programme: Neighbours) -> None:
    stage, draft, submitted = programme.stage, programme.draft(), programme.submitted()

    def listed(role: str, council: str | None) -> dict[str, set[str]]:
        caller = stage.caller(role, council=council)
        return {
            method: {item[key] for item in caller.call(service, method, filters)["items"]}
            for service, method, key, filters in (
                ("proposals", "list_proposals", "proposal_id", {}),
                ("funding", "list_awards", "award_id", {}),
                ("funding", "list_awards", "award_id", {"pool_id": programme.pool_id, "council": LEAD}),
                ("outcomes", "list_plans", "project_id", {}),
                ("outcomes", "list_plans", "project_id", {"council": LEAD}),
                ("outcomes", "list_periods", "period_id", {}),
                ("outcomes", "list_periods", "period_id", {"project_id": programme.project_id}),
            )
        }

    for role in sorted(COUNCIL_ROLES):
        leads, takes_part, strangers = (listed(role, council) for council in (LEAD, PARTICIPANT, STRANGER))
        for seen in (leads, takes_part):
            assert programme.award_id in seen["list_awards"]
            assert programme.project_id in seen["list_plans"]
            assert set(programme.periods) <= seen["list_periods"]
            assert submitted in seen["list_proposals"]
        assert draft in leads["list_proposals"]
        assert draft not in takes_part["list_proposals"]
        # Nobody counts what is not on their list.
        for council in (LEAD, PARTICIPANT, STRANGER):
            counted = call(stage, "proposals", "count_proposals", role, council, {"round_id": programme.round_id})
            shown = call(stage, "proposals", "list_proposals", role, council, {"round_id": programme.round_id})
            assert counted["total"] == len(shown["items"])
        assert not strangers["list_awards"]
        assert not strangers["list_plans"]
        assert not strangers["list_periods"]
        assert not strangers["list_proposals"] & {draft, submitted}


def test_a_council_reads_its_own_part_of_the_books(programme: Neighbours) -> None:
    stage, pool = programme.stage, {"pool_id": programme.pool_id}
    for council, other in ((LEAD, PARTICIPANT), (PARTICIPANT, LEAD)):
        items = call(stage, "funding", "list_transactions", S95_OFFICER, council, pool)["items"]
        accounts = {posting["account"] for item in items for posting in item["postings"]}
        assert f"council:{council}" in accounts
        assert not [account for account in accounts if account.endswith(other)]
        members = call(stage, "funding", "get_pool", S95_OFFICER, council, pool)["members"]
        known = {member["council"]: member["received_pence"] is not None for member in members}
        assert known == {council: True, other: False}
        figures = call(stage, "funding", "get_year", S95_OFFICER, council, ARGUMENTS["get_year"] | pool)
        assert [each["council"] for each in figures["councils"]] == [council]
        own = call(stage, "funding", "council_statement", S95_OFFICER, council, pool | {"council": council})
        assert own["figures"]["received_pence"] > 0
        assert other not in str(own)
        for not_theirs, code in ((other, "no_such_statement"), (STRANGER, "no_such_statement")):
            refusal = call(stage, "funding", "council_statement", S95_OFFICER, council, pool | {"council": not_theirs})
            assert said(refusal)[:2] == (NotFound, code)
    refusal = call(stage, "funding", "council_statement", S95_OFFICER, STRANGER, pool | {"council": STRANGER})
    assert said(refusal)[:2] == (NotFound, "no_such_pool")
    everything = call(stage, "funding", "list_transactions", TREASURER, None, pool)["items"]
    assert {f"council:{LEAD}", f"council:{PARTICIPANT}"} <= {
        posting["account"] for item in everything for posting in item["postings"]
    }


# --- rows: roles that belong to no council --------------------------------------------------------------------------

STEWARDS = {TREASURER, APPROVER, CDO, OPERATOR}
#: What can be read by whom, in roles that are not held within a council.
READERS: list[tuple[str, str, Callable[[Neighbours], str], set[str]]] = [
    *(
        (method, "proposal_id", row, readers)
        for method in ("get_proposal", "check_eligibility", "find_similar")
        for row, readers in (
            (Neighbours.draft, {CDO}),
            (Neighbours.submitted, set(ROLES - COUNCIL_ROLES - {SYSTEM})),
            (Neighbours.approved, set(ROLES - COUNCIL_ROLES)),
        )
    ),
    *(
        (method, "pool_id", lambda programme: programme.pool_id, STEWARDS)
        for method in (
            "get_pool",
            "get_year",
            "list_transactions",
            "list_candidates",
            "list_instructions",
            "verify_ledger",
            "pool_statement",
        )
    ),
    ("get_award", "award_id", lambda programme: programme.award_id, STEWARDS),
    ("get_instruction", "instruction_id", Neighbours.asked, STEWARDS),
    ("get_plan", "project_id", lambda programme: programme.project_id, set(ROLES - COUNCIL_ROLES - {SYSTEM})),
]


@pytest.mark.parametrize(
    ("method", "key", "row", "readers"), READERS, ids=lambda value: value if isinstance(value, str) else None
)
def test_other_roles_read_what_they_need(
    programme: Neighbours, method: str, key: str, row: Callable[[Neighbours], str], readers: set[str]
) -> None:
    service, found = service_of(method), row(programme)
    for role in sorted(ROLES - COUNCIL_ROLES):
        # The council in such a token gives no right in that council; a system has none.
        for council in (None,) if role == SYSTEM else (None, LEAD):
            answer = call(programme.stage, service, method, role, council, ARGUMENTS[method] | {key: found})
            if role in readers:
                assert isinstance(answer, dict), (role, said(answer))
            elif role in METHODS[service, method].roles:
                nowhere = ARGUMENTS[method] | {key: str(ids.new_id())}
                absent = call(programme.stage, service, method, role, council, nowhere)
                assert said(answer) == said(absent)
                assert isinstance(answer, NotFound), role
            else:
                assert said(answer)[:2] == (Forbidden, "role_needed")


PANEL = [
    pytest.param("submit_assessment", ASSESSOR, Neighbours.under_assessment, id="submit_assessment"),
    pytest.param("request_changes", PANEL_CHAIR, Neighbours.submitted, id="request_changes"),
    pytest.param("moderate", PANEL_CHAIR, Neighbours.assessed, id="moderate"),
    pytest.param("determine", PANEL_CHAIR, Neighbours.assessed, id="determine"),
]


@pytest.mark.parametrize(("method", "role", "row"), PANEL)
def test_the_panel_does_not_judge_its_own_councils(
    programme: Neighbours, method: str, role: str, row: Callable[[Neighbours], str]
) -> None:
    stage, found, draft = programme.stage, row(programme), programme.draft()

    def tried_by(council: str | None, proposal_id: str) -> Any:
        return call(stage, "proposals", method, role, council, ARGUMENTS[method] | {"proposal_id": proposal_id})

    nothing = said(tried_by(None, str(ids.new_id())))
    for council in (None, LEAD, STRANGER):
        assert said(tried_by(council, draft)) == nothing
    for council in (LEAD, PARTICIPANT):
        assert said(tried_by(council, found))[:2] == (Forbidden, "conflict_of_interest")
    assert isinstance(answer := tried_by(STRANGER, found), dict), said(answer)


def test_assessments_are_read_by_those_who_gave_theirs(programme: Neighbours) -> None:
    stage, proposal_id = programme.stage, programme.assessed()

    def listed(role: str, council: str | None = None) -> int:
        wanted = {"proposal_id": proposal_id}
        return len(call(stage, "proposals", "list_assessments", role, council, wanted)["items"])

    def summarised(role: str, council: str | None = None) -> Any:
        return call(stage, "proposals", "get_assessment_summary", role, council, {"proposal_id": proposal_id})

    assert [listed(CDO), listed(PANEL_CHAIR), listed(PANEL_CHAIR, STRANGER)] == [1, 1, 1]
    assert summarised(CDO) == summarised(PANEL_CHAIR) == summarised(PANEL_CHAIR, STRANGER)
    assert len(summarised(CDO)["assessments"]) == 1
    for role, council in ((ASSESSOR, None), (ASSESSOR, LEAD), (PANEL_CHAIR, LEAD), (PANEL_CHAIR, PARTICIPANT)):
        assert listed(role, council) == 0
        assert said(summarised(role, council))[:2] == (Forbidden, "assessments_not_yet_yours")
    late = stage.caller(ASSESSOR)
    late.proposals.submit_assessment(proposal_id=proposal_id, revision=1, scores=SCORES)
    assert len(late.proposals.list_assessments(proposal_id=proposal_id)["items"]) == 2


def test_the_cdo_does_not_certify_savings_nor_an_officer_the_rest(programme: Neighbours) -> None:
    stage, saving = programme.stage, programme.reported(programme.periods[3])
    plan = stage.caller(CDO).outcomes.get_plan(project_id=programme.project_id)
    outcome = plan["results"][1]["periods"][0]["period_id"]
    stage.caller(PROPOSER, council=LEAD).outcomes.report_actual(
        period_id=outcome, value="85", numerator="85", denominator="100"
    )
    for role, council, period_id, may in (
        (CDO, None, saving, False),
        (CDO, LEAD, saving, False),
        (S95_OFFICER, LEAD, outcome, False),
        (S95_OFFICER, LEAD, saving, True),
        (CDO, None, outcome, True),
    ):
        answer = call(stage, "outcomes", "certify_period", role, council, {"period_id": period_id})
        if may:
            assert answer["state"] == "certified"
        else:
            assert said(answer)[:2] == (Forbidden, "not_yours_to_certify")


# --- the audit trail ------------------------------------------------------------------------------------------------


def test_what_is_refused_by_its_row_is_recorded(programme: Neighbours) -> None:
    stage, draft = programme.stage, programme.draft()
    subject = f"curious-{ids.new_id().hex[-8:]}@test.example"
    stranger = stage.caller(PROPOSER, council=STRANGER, subject=subject)
    for method in ("get_proposal", "submit_proposal"):
        with pytest.raises(NotFound):
            stranger.call("proposals", method, {"proposal_id": draft})
        assert recorded(stage, "proposals", method, {subject}) == [
            (subject, PROPOSER, STRANGER, "proposal_not_found", "NotFound")
        ]
    with stage.database("proposals").transaction() as session:
        objects = session.scalars(select(audit.c.objects).where(audit.c.subject == subject)).all()
    assert [found["proposal_id"] for found in objects] == [draft, draft]


def test_a_request_is_refused_unread_also_while_the_database_is_away(stage: Stage) -> None:
    with away(stage.database_urls["funding"]):
        with pytest.raises(NotFound) as refusal:
            stage.caller(TREASURER).funding.no_such_method()
        assert refusal.value.code == "unknown_method"
        eventually(lambda: "is missing in the audit trail" in stage.processes["funding"].output())
    eventually(lambda: stage.caller(TREASURER).funding.create_pool(**ARGUMENTS["create_pool"]))
