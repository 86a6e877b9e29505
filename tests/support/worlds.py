"""A small world for each service: something in every state, so that a call with any id finds what it may do."""

from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

from sqlalchemy import text

from shared import clock, ids
from shared.messaging.rpc import Call, Method, methods_of
from shared.ops.names import SERVICES, class_of
from shared.proposal_content import ProposalContent
from shared.security.principal import COUNCIL_ROLES, Principal
from shared.security.tokens import Verifier
from tests.support import funding, outcomes, proposals
from tests.support.fuzz import Known, Rehearsal

EDINBURGH, ABERDEENSHIRE, FIFE, GLASGOW = "S12000036", "S12000034", "S12000047", "S12000049"
SERVICE_CLASSES = {service: class_of(service) for service in SERVICES}
NOW = {
    "proposals": datetime(2026, 10, 5, 9, 30, tzinfo=UTC),
    "funding": funding.NOW,
    "outcomes": datetime(2028, 1, 1, 12, tzinfo=UTC),
}


class _TrustedTokens:
    """Takes a principal for its own token."""

    def verify(self, token: Any) -> Principal:
        return cast(Principal, token)


@dataclass
class World:
    """A service with something in it.

    :param known: what its callers may name, by the field's name.
    """

    service: str
    database: Rehearsal
    known: Known
    contents: dict[str, str]

    @property
    def instance(self) -> Any:
        """What stands in the place of the nameko service."""
        return SimpleNamespace(storage=self.database)

    def call(self, method: str, who: Principal, request: dict[str, Any]) -> Any:
        """Call a method as the entrypoint does; returns JSON values or raises what the caller would receive."""
        verifier = cast(Verifier, _TrustedTokens())
        return methods_of(SERVICE_CLASSES[self.service])[method].run(self.instance, Call(request, who, verifier))


def callers_of(method: Method) -> list[Principal]:
    """Return people who may call a method: each of its roles, of several councils where the role is held in one."""
    found: list[Principal] = []
    for role in sorted(method.roles):
        councils = (EDINBURGH, ABERDEENSHIRE, GLASGOW) if role in COUNCIL_ROLES else (None,)
        for council in councils:
            found.append(Principal(f"fuzz-{role}@{council or 'commonweal'}.example", frozenset({role}), council))
    return found


def build(service: str, url: str, stack: ExitStack) -> World:
    """Fill a service's migrated database; the clock stands still until the stack ends."""
    stack.enter_context(clock.using(clock.FixedClock(NOW[service])))
    database = Rehearsal(url)
    stack.callback(database.close)
    {"proposals": _proposals, "funding": _funding, "outcomes": _outcomes}[service](database)
    with database.engine.connect() as connection:
        contents = database.contents(connection)
        known = {
            name: [str(value) if isinstance(value, UUID) else value for value in connection.scalars(text(query))]
            for name, query in _KNOWN[service].items()
        }
    known["content"] = [proposals.content()]
    known["lead_council"] = known["council"] = known["participants"] = [EDINBURGH, ABERDEENSHIRE, FIFE]
    known["frequency"] = ["quarterly"]
    known["cursor"] = [values[0] for values in known.values() if values and isinstance(values[0], str)][:4]
    return World(service, database, known, contents)


_KNOWN: dict[str, dict[str, str]] = {
    "proposals": {
        "round_id": "SELECT id FROM rounds ORDER BY id",
        "proposal_id": "SELECT id FROM proposals ORDER BY id",
        "award_id": "SELECT id FROM awards ORDER BY id",
        "project_id": "SELECT project_id FROM awards WHERE project_id IS NOT NULL ORDER BY id",
        "pool_id": "SELECT pool_id FROM members ORDER BY 1 LIMIT 1",
        "revision": "SELECT generate_series(1, 2)",
        "expected_revision": "SELECT generate_series(1, 2)",
        "criterion": "SELECT unnest(ARRAY['user-need', 'savings', 'reuse'])",
    },
    "funding": {
        "pool_id": "SELECT id FROM pools ORDER BY id",
        "proposal_id": "SELECT proposal_id FROM candidates ORDER BY 1",
        "award_id": "SELECT id FROM awards ORDER BY id",
        "project_id": "SELECT project_id FROM awards WHERE project_id IS NOT NULL ORDER BY id",
        "tranche": "SELECT DISTINCT key FROM tranches ORDER BY 1",
        "milestone": "SELECT DISTINCT key FROM tranches ORDER BY 1",
        "year": "SELECT unnest(ARRAY['2026-27', '2027-28', '2028-29'])",
        "amount_pence": "SELECT amount_pence FROM awards UNION SELECT 1 ORDER BY 1",
        "total_pence": "SELECT 1000000::bigint",
        "bank_reference": "SELECT bank_reference FROM receipts ORDER BY 1",
        "payment_reference": "SELECT payment_reference FROM payments ORDER BY 1",
        "received_on": "SELECT '2026-05-29'",
        "paid_on": "SELECT '2026-06-01'",
        "expires_on": "SELECT '2026-06-30'",
        "joins_on": "SELECT '2026-04-01'",
        "starts_on": "SELECT '2026-04-01'",
        "ends_on": "SELECT '2029-03-31'",
        "reference": "SELECT reference FROM candidates ORDER BY 1",
    },
    "outcomes": {
        "project_id": "SELECT project_id FROM plans ORDER BY id",
        "plan_id": "SELECT id FROM plans ORDER BY id",
        "award_id": "SELECT award_id FROM plans ORDER BY id",
        "period_id": "SELECT id FROM periods ORDER BY id",
        "milestone": "SELECT DISTINCT key FROM milestones ORDER BY 1",
    },
}


def _proposals(database: Rehearsal) -> None:
    programme = proposals.Programme(database)
    round_id = programme.open_round()
    programme.open_round(opens_on="2027-01-01", closes_on="2027-02-28")
    programme.draft(round_id)
    programme.submitted(round_id)
    programme.under_assessment(round_id)
    programme.assessed(round_id)
    programme.decided(round_id=round_id)
    programme.decided("rejected", round_id)
    withdrawn = programme.submitted(round_id)
    programme.call("withdraw_proposal", proposals.proposer(), proposal_id=withdrawn, reason="No staff.")
    returned = programme.under_assessment(round_id)
    programme.call("request_changes", proposals.chair(), proposal_id=returned, reason="Say who owns it.")
    for name in ("award_offered", "project_funded"):
        award = {
            "award_id": ids.new_id(),
            "pool_id": programme.pool_id,
            "proposal_id": UUID(programme.decided(round_id=round_id)),
            "proposal_reference": "P-2026-0001",
            "lead_council": EDINBURGH,
            "amount_pence": 25_000_000,
        }
        if name == "award_offered":
            award["expires_on"] = date(2026, 12, 31)
        else:
            award |= {
                "project_id": ids.new_id(),
                "revision": 1,
                "content_hash": "5e" * 32,
                "content": ProposalContent().load(proposals.content()),
                "funded_at": NOW["proposals"],
            }
        programme.deliver(name, **award)


def _funding(database: Rehearsal) -> None:
    service = funding.Funding(database)
    pool_id = service.funded_pool(1_000_000_00)
    service.pool(EDINBURGH)
    service.candidate()
    service.receive(funding.proposal_withdrawn(UUID(service.candidate())))
    service.offer(pool_id, service.candidate())
    service.approved_offer(pool_id)
    declined = service.approved_offer(pool_id)
    officer = funding.officer(EDINBURGH)
    service.call(officer, "decline_award", award_id=declined["award_id"], reason="No staff.")
    service.active_award(pool_id)
    service.receive(funding.milestone_achieved(service.active_award(pool_id), "alpha"))
    service.requested_drawdown(service.active_award(pool_id))
    service.approved_drawdown(service.active_award(pool_id))
    paid = service.active_award(pool_id)
    service.approved_drawdown(paid)
    facts = {"tranche": "alpha", "payment_reference": "PAY-1", "paid_on": "2026-06-01"}
    service.call(funding.TREASURER_ANN, "record_payment", award_id=paid["award_id"], **facts)


def _outcomes(database: Rehearsal) -> None:
    service = outcomes.Outcomes(database)
    for decide in (None, service.certify_period, service.return_period, False):
        project_id = service.fund()
        period_id = service.period_id(project_id, EDINBURGH)
        if decide is False:
            continue
        service.report_actual(outcomes.proposer(EDINBURGH), period_id=period_id, value="40000.5")
        if decide is not None:
            reason = {"reason": "Not the ledger's figure."} if decide == service.return_period else {}
            decide(outcomes.s95_officer(EDINBURGH), period_id=period_id, **reason)
