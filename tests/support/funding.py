"""What tests of the funding service stand on: its people, a proposal, and the service without its wire."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Row, select

from services.funding.domain.awards import AwardState
from services.funding.domain.drawdowns import TrancheState
from services.funding.service import FundingService
from shared import ids
from shared.events.catalogue import event_type
from shared.messaging.attempts import Delivery
from shared.messaging.events import Event
from shared.messaging.rpc import Call, methods_of
from shared.messaging.tables import outbox
from shared.security.principal import APPROVER, CDO, PROPOSER, S95_OFFICER, TREASURER, Principal
from shared.security.tokens import Verifier
from shared.storage.database import Database
from tests.support import by_the_clock

EDINBURGH, ABERDEENSHIRE, FIFE = "S12000036", "S12000034", "S12000047"
NOW = datetime(2026, 6, 1, 9, 0, tzinfo=UTC)

TREASURER_ANN = Principal("ann@pool.example", frozenset({TREASURER}))
TREASURER_TOM = Principal("tom@pool.example", frozenset({TREASURER}))
APPROVER_BEN = Principal("ben@pool.example", frozenset({APPROVER}))
CDO_CLEO = Principal("cleo@pool.example", frozenset({CDO}))


def officer(council: str) -> Principal:
    """A council's Section 95 officer."""
    return Principal(f"s95@{council}.example", frozenset({S95_OFFICER}), council)


def proposer(council: str) -> Principal:
    """A council's digital lead."""
    return Principal(f"lead@{council}.example", frozenset({PROPOSER}), council)


@dataclass
class AnAward:
    """An award as the domain sees it, on offer and not yet approved."""

    lead_council: str = EDINBURGH
    state: str = AwardState.OFFERED
    expires_on: date = date(2026, 6, 30)
    offered_by: str = TREASURER_ANN.subject
    approved_by: str | None = None
    approved_at: datetime | None = None
    accepted_by: str | None = None
    accepted_at: datetime | None = None
    declined_by: str | None = None
    declined_at: datetime | None = None
    decline_reason: str | None = None
    lapsed_at: datetime | None = None
    completed_at: datetime | None = None
    terminated_at: datetime | None = None
    termination_reason: str | None = None
    reference: str = "A-2026-0001"
    parts: dict[str, str] = field(default_factory=dict)
    project_id: UUID | None = None


@dataclass
class ATranche:
    """A tranche as the domain sees it, locked."""

    key: str = "alpha"
    amount_pence: int = 10_000_00
    state: str = TrancheState.LOCKED
    achieved_on: date | None = None
    evidence: str | None = None
    requested_by: str | None = None
    requested_at: datetime | None = None
    approved_by: str | None = None
    approved_at: datetime | None = None
    rejected_by: str | None = None
    rejected_at: datetime | None = None
    rejection_reason: str | None = None
    payment_reference: str | None = None
    paid_on: date | None = None


@dataclass
class AMember:
    """A membership as the domain sees it."""

    council: str = EDINBURGH
    joins_on: date = date(2026, 4, 1)
    leaves_on: date | None = None


def content(
    *,
    lead: str = EDINBURGH,
    participants: tuple[str, ...] = (ABERDEENSHIRE,),
    tranches: tuple[tuple[str, int], ...] = (("alpha", 10_000_00), ("beta", 0), ("live", 15_000_00)),
    requested_pence: int | None = None,
) -> dict[str, Any]:
    """A proposal's content as JSON.

    :param tranches: milestone's key and tranche in pence.
    :param requested_pence: what the tranches add up to, unless it says otherwise.
    """
    total_pence = sum(pence for _, pence in tranches)
    return {
        "title": "One online payments service",
        "lead_council": lead,
        "participants": list(participants),
        "objectives": ["user_centred_services", "collaboration"],
        "problem": "Residents pay by phone because each council's form differs and fails on mobiles.",
        "user_need": "Pay any council bill in under two minutes, on a phone, without an account.",
        "requested_pence": total_pence if requested_pence is None else requested_pence,
        "match_funding_pence": 0,
        "costs": [{"year": "2026-27", "category": "staff", "amount_pence": total_pence or 1}],
        "milestones": [
            {
                "key": key,
                "title": f"{key.title()} passed",
                "due_on": date(2027 + months // 12, months % 12 + 1, 28).isoformat(),
                "tranche_pence": pence,
            }
            for months, (key, pence) in enumerate(tranches)
        ],
        "benefits": [
            {
                "key": "phone-payments-saved",
                "title": "Fewer payments taken by phone",
                "kind": "cashable_saving",
                "measure": "currency",
                "unit": "GBP",
                "direction": "increase",
                "frequency": "quarterly",
                "baseline": {"value": "0", "on": "2026-03-31", "source": "Finance ledger"},
                "owner_council": lead,
                "targets": [{"period": "2027-Q3", "council": lead, "value": "40000"}],
                "deadweight_percent": "10",
                "attribution_percent": "100",
                "optimism_bias_percent": "15",
            }
        ],
    }


def event(source: str, name: str, data: dict[str, Any]) -> Event:
    """An event as it reaches a handler.

    :param data: JSON values.
    """
    kind = event_type(source, name)
    sequence = 1 if kind.is_numbered else None
    return Event(str(ids.new_id()), kind, subject="1", sequence=sequence, time=NOW, data=kind.load(data))


def proposal_approved(proposal_id: UUID, people: dict[str, Any] | None = None, **of_content: Any) -> Event:
    """The panel approved a proposal; the keywords are those of :func:`content`.

    :param people: who had a part in it, as the event names them.
    """
    return event(
        "proposals",
        "proposal_approved",
        {
            "proposal_id": str(proposal_id),
            "reference": f"P-2026-{proposal_id.hex[-4:]}",
            "round_id": str(ids.new_id()),
            "revision": 2,
            "content_hash": "ab" * 32,
            "score": "81.25",
            "content": content(**of_content),
            "minute": "Adopted without a vote.",
            "approved_at": NOW.isoformat(),
            **(people or {}),
        },
    )


def proposal_withdrawn(proposal_id: UUID) -> Event:
    """The lead council took its proposal back."""
    return event(
        "proposals",
        "proposal_withdrawn",
        {
            "proposal_id": str(proposal_id),
            "reference": f"P-2026-{proposal_id.hex[-4:]}",
            "round_id": str(ids.new_id()),
            "revision": 2,
            "reason": "Merged with another proposal.",
            "withdrawn_at": NOW.isoformat(),
        },
    )


def milestone_achieved(award: dict[str, Any], milestone: str) -> Event:
    """Outcomes reports a milestone of an award's project as achieved."""
    return event(
        "outcomes",
        "milestone_achieved",
        {
            "plan_id": str(ids.new_id()),
            "project_id": award["project_id"] or str(ids.new_id()),
            "award_id": award["award_id"],
            "milestone": milestone,
            "achieved_on": "2026-05-30",
        },
    )


def contribution_received(**facts: Any) -> Event:
    """Finance reports money of Edinburgh's, unless the facts say otherwise."""
    usual = {
        "council": EDINBURGH,
        "amount_pence": 50_00,
        "bank_reference": f"BACS-{ids.new_id().hex[-8:]}",
        "received_on": "2026-05-29",
    }
    return event("finance", "contribution_received", usual | facts)


def payment_made(award: dict[str, Any], **facts: Any) -> Event:
    """Finance reports that the first tranche of an award was paid, unless the facts say otherwise."""
    first = award["tranches"][0]
    usual = {
        "award_id": award["award_id"],
        "tranche": first["tranche"],
        "amount_pence": first["amount_pence"],
        "payment_reference": f"PAY-{ids.new_id().hex[-8:]}",
        "paid_on": "2026-06-01",
    }
    return event("finance", "payment_made", usual | facts)


@dataclass
class _Caller:
    """Stands in the place of the verifier of tokens and knows who calls."""

    principal: Principal

    def verify(self, token: object) -> Principal:
        return self.principal


@dataclass
class Funding:
    """The funding service on a test's database: its entrypoints run whole, without the broker around them."""

    database: Database
    _service: SimpleNamespace = field(init=False)

    def __post_init__(self) -> None:
        self._service = SimpleNamespace(storage=self.database)

    def call(self, who: Principal, method: str, **arguments: Any) -> dict[str, Any]:
        """Call an RPC method with JSON values; returns JSON values, or raises what the caller would receive."""
        verifier = cast(Verifier, _Caller(who))
        answer: dict[str, Any] = methods_of(FundingService)[method].run(self._service, Call(arguments, None, verifier))
        return answer

    def receive(self, event: Event) -> None:
        """Deliver an event; raises what would make the broker deliver it again."""
        [handler] = [
            member
            for member in vars(FundingService).values()
            if getattr(member, "consumes", None) == (event.source, event.name)
        ]
        failure = handler(self._service, Delivery(event))
        if failure is not None:
            raise failure.error

    def recorded(self, *names: str) -> list[Row[Any]]:
        """Return the events in the outbox, in order; all of them or those of some names."""
        statement = select(outbox.c.name, outbox.c.subject, outbox.c.sequence, outbox.c.data).order_by(
            outbox.c.position
        )
        if names:
            statement = statement.where(outbox.c.name.in_(names))
        return self.database.run(lambda session: list(session.execute(statement)))

    # The way to a state of things, each step through the service.

    def pool(self, *members: str) -> str:
        """Open a pool for three years with some members from the first day; returns its id."""
        pool = self.call(TREASURER_ANN, "create_pool", name="Digital", starts_on="2026-04-01", ends_on="2029-03-31")
        for council in members or (EDINBURGH, ABERDEENSHIRE, FIFE):
            self.call(TREASURER_ANN, "add_member", pool_id=pool["pool_id"], council=council, joins_on="2026-04-01")
        return str(pool["pool_id"])

    def funded_pool(self, amount_pence: int = 100_000_00) -> str:
        """Open a pool that has received an amount from its first member; returns its id."""
        pool_id = self.pool()
        self.receipt(pool_id, amount_pence=amount_pence)
        return pool_id

    def tick(self) -> None:
        """Let the service do what is due by the clock, as its process does each second. :raises Exception: of a row."""
        by_the_clock.tick(FundingService, self._service)

    def receipt(self, pool_id: str, **facts: Any) -> dict[str, Any]:
        """Record a receipt from Edinburgh, unless the facts say otherwise."""
        usual = {
            "council": EDINBURGH,
            "amount_pence": 50_00,
            "bank_reference": f"BACS-{ids.new_id().hex[-8:]}",
            "received_on": "2026-05-29",
        }
        return self.call(TREASURER_ANN, "record_receipt", pool_id=pool_id, **usual | facts)

    def candidate(self, **of_content: Any) -> str:
        """Receive an approved proposal; returns its id."""
        proposal_id = ids.new_id()
        self.receive(proposal_approved(proposal_id, **of_content))
        return str(proposal_id)

    def offer(self, pool_id: str, proposal_id: str, **facts: Any) -> dict[str, Any]:
        """Offer a candidate its 25,000 pounds until the end of June, unless the facts say otherwise."""
        usual = {"amount_pence": 25_000_00, "expires_on": "2026-06-30"}
        return self.call(TREASURER_ANN, "offer_award", pool_id=pool_id, proposal_id=proposal_id, **usual | facts)

    def approved_offer(self, pool_id: str, **of_content: Any) -> dict[str, Any]:
        """Offer a new candidate its money and have the offer approved."""
        award = self.offer(pool_id, self.candidate(**of_content))
        return self.call(APPROVER_BEN, "approve_award", award_id=award["award_id"])

    def active_award(self, pool_id: str, **of_content: Any) -> dict[str, Any]:
        """Have a new candidate's award accepted."""
        award = self.approved_offer(pool_id, **of_content)
        return self.call(officer(award["lead_council"]), "accept_award", award_id=award["award_id"])

    def requested_drawdown(self, award: dict[str, Any], tranche: str = "alpha") -> None:
        """Have a tranche of an active award unlocked and requested."""
        self.receive(milestone_achieved(award, tranche))
        self.call(
            proposer(award["lead_council"]),
            "request_drawdown",
            award_id=award["award_id"],
            tranche=tranche,
            evidence="The assessment report.",
        )

    def approved_drawdown(self, award: dict[str, Any], tranche: str = "alpha") -> None:
        """Have a tranche of an active award unlocked, requested and approved."""
        self.requested_drawdown(award, tranche)
        self.call(APPROVER_BEN, "approve_drawdown", award_id=award["award_id"], tranche=tranche)

    def pay(self, award: dict[str, Any], tranche: str = "alpha", **facts: Any) -> dict[str, Any]:
        """Record that an approved tranche was paid today, unless the facts say otherwise."""
        usual = {"payment_reference": f"PAY-{ids.new_id().hex[-8:]}", "paid_on": "2026-06-01"}
        return self.call(TREASURER_ANN, "record_payment", award_id=award["award_id"], tranche=tranche, **usual | facts)

    def paid_award(self, pool_id: str, **of_content: Any) -> dict[str, Any]:
        """Have a new candidate's award accepted and its first tranche of 10,000 pounds paid."""
        award = self.active_award(pool_id, **of_content)
        self.approved_drawdown(award)
        self.pay(award)
        return award

    def carried_out(self, method: str, award: dict[str, Any], **arguments: Any) -> dict[str, Any]:
        """Have an instruction about an award asked for and approved."""
        asked = self.call(TREASURER_ANN, method, award_id=award["award_id"], **arguments)
        return self.call(APPROVER_BEN, "approve_instruction", instruction_id=asked["instruction_id"])

    def by_two_people(self, method: str, pool_id: str, **arguments: Any) -> dict[str, Any]:
        """Have an instruction about a pool asked for and approved."""
        asked = self.call(TREASURER_ANN, method, pool_id=pool_id, **arguments)
        return self.call(APPROVER_BEN, "approve_instruction", instruction_id=asked["instruction_id"])

    def transactions(self, pool_id: str) -> list[dict[str, Any]]:
        """Return the pool's ledger, which has to be short."""
        items: list[dict[str, Any]] = self.call(TREASURER_ANN, "list_transactions", pool_id=pool_id, limit=100)["items"]
        return items

    def position(self, pool_id: str) -> dict[str, int]:
        """Return where a pool's money is, without the accounts that hold none."""
        position = self.call(TREASURER_ANN, "get_pool", pool_id=pool_id)["position"]
        return {name.removesuffix("_pence"): pence for name, pence in position.items() if pence}

    def ledger_is_sound(self, pool_id: str) -> bool:
        """Tell whether the pool's ledger passes its own check."""
        return bool(self.call(TREASURER_ANN, "verify_ledger", pool_id=pool_id)["ok"])
