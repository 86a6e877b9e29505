"""Proposals, rounds and people for tests, and a way to call the service's methods on a real database."""

import copy
from datetime import date
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

from sqlalchemy import select

from services.proposals.service import ProposalsService
from shared import clock, ids
from shared.events.catalogue import event_type
from shared.messaging.attempts import Delivery
from shared.messaging.events import Event
from shared.messaging.rpc import Call, methods_of
from shared.messaging.tables import outbox
from shared.security.principal import (
    ASSESSOR,
    CDO,
    PANEL_CHAIR,
    PROPOSER,
    S95_OFFICER,
    SPONSOR,
    Principal,
)
from shared.security.tokens import Verifier
from shared.storage.database import Database
from tests.support import by_the_clock

EDINBURGH, ABERDEENSHIRE, EAST_DUNBARTONSHIRE, GLASGOW = "S12000036", "S12000034", "S12000045", "S12000049"

_CONTENT: dict[str, Any] = {
    "title": "One online payments service for three councils",
    "lead_council": EDINBURGH,
    "participants": [ABERDEENSHIRE, EAST_DUNBARTONSHIRE],
    "objectives": ["user_centred_services", "collaboration"],
    "problem": "Residents pay by phone because each council's form differs and fails on mobiles.",
    "user_need": "Pay any council bill in under two minutes, on a phone, without an account.",
    "requested_pence": 25_000_000,
    "match_funding_pence": 5_000_000,
    "costs": [
        {"year": "2026-27", "category": "staff", "amount_pence": 18_000_000},
        {"year": "2027-28", "category": "licences", "amount_pence": 12_000_000},
    ],
    "milestones": [
        {"key": "alpha", "title": "Alpha passed", "due_on": "2027-01-31", "tranche_pence": 10_000_000},
        {"key": "live", "title": "Live in all three", "due_on": "2027-09-30", "tranche_pence": 15_000_000},
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
            "owner_council": EDINBURGH,
            "targets": [{"period": "2027-Q3", "council": EDINBURGH, "value": "40000"}],
            "deadweight_percent": "10",
            "attribution_percent": "100",
            "optimism_bias_percent": "15",
        }
    ],
}

CRITERIA = [
    {"key": "user-need", "title": "Meets a user need", "weight": 50},
    {"key": "savings", "title": "Saves money that can be counted", "weight": 30},
    {"key": "reuse", "title": "Can be used by other councils", "weight": 20},
]


def content(**changes: Any) -> dict[str, Any]:
    """Return sound content of a proposal by Edinburgh with two others, as JSON, with some fields changed."""
    return {**copy.deepcopy(_CONTENT), **changes}


def costs_by_council(licences_pence: int = 12_000_000) -> list[dict[str, Any]]:
    """Return costs of the same sum that fall on one council each: what licences cost more, the lead saves."""
    lines = (
        ("2026-27", "staff", 10_000_000, ABERDEENSHIRE),
        ("2027-28", "licences", licences_pence, EAST_DUNBARTONSHIRE),
        ("2026-27", "staff", 20_000_000 - licences_pence, EDINBURGH),
    )
    return [dict(zip(("year", "category", "amount_pence", "council"), line, strict=True)) for line in lines]


def round_terms(**changes: Any) -> dict[str, Any]:
    """Return what opens a round from 1 September to 30 November 2026, with some fields changed."""
    return {
        "title": "Autumn 2026",
        "opens_on": "2026-09-01",
        "closes_on": "2026-11-30",
        "criteria": copy.deepcopy(CRITERIA),
        "min_participants": 2,
        "quorum": 2,
        "ceiling_pence": 40_000_000,
        **changes,
    }


def scores(*values: int) -> list[dict[str, Any]]:
    """Return an assessment's scores, one value for each of :data:`CRITERIA`."""
    return [
        {"criterion": criterion["key"], "score": value, "justification": "Shown in the problem statement."}
        for criterion, value in zip(CRITERIA, values, strict=True)
    ]


def person(role: str, council: str | None = None, name: str | None = None) -> Principal:
    """Return somebody who holds one role, within a council where that is given."""
    return Principal(f"{name or role}@{council or 'commonweal'}.example".lower(), frozenset({role}), council)


def proposer(council: str = EDINBURGH) -> Principal:
    """Return a council's digital lead."""
    return person(PROPOSER, council)


def sponsor(council: str = ABERDEENSHIRE) -> Principal:
    """Return a council's authorised sponsor."""
    return person(SPONSOR, council)


def s95_officer(council: str = EDINBURGH) -> Principal:
    """Return a council's Section 95 officer."""
    return person(S95_OFFICER, council)


def assessor(name: str = "ailsa", council: str | None = None) -> Principal:
    """Return an assessor, of no council unless one is given."""
    return person(ASSESSOR, council, name)


def chair(council: str | None = None) -> Principal:
    """Return the chair of the panel."""
    return person(PANEL_CHAIR, council)


def cdo() -> Principal:
    """Return the chief digital officer."""
    return person(CDO)


class _TrustedTokens:
    """Takes a principal for its own token, which leaves everything else of a call as it is."""

    def verify(self, token: Any) -> Principal:
        return cast(Principal, token)


class Programme:
    """The proposals service on a database: calls its methods, delivers events to it, reads what it told.

    The methods that bring a proposal somewhere return its id.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.service = SimpleNamespace(storage=database)
        self.pool_id = ids.new_id()

    def call(self, method: str, principal: Principal, **request: Any) -> Any:
        """Call a method as the entrypoint does once the token is verified: roles, schema, transaction, answer."""
        verifier = cast(Verifier, _TrustedTokens())
        kwargs = {name: str(value) if isinstance(value, UUID) else value for name, value in request.items()}
        return methods_of(ProposalsService)[method].run(self.service, Call(kwargs, principal, verifier))

    def deliver(self, name: str, **data: Any) -> None:
        """Deliver an event of funding's. :raises Exception: what the handler raised."""
        kind = event_type("funding", name)
        event = Event(
            id=str(ids.new_id()),
            type=kind,
            subject=str(ids.new_id()),
            sequence=1,
            time=clock.now(),
            data=kind.load(kind.dump(data)),
        )
        failure = getattr(ProposalsService, f"mirror_{name}")(self.service, Delivery(event))
        if failure is not None:
            raise failure.error

    def tick(self) -> None:
        """Let the service do what is due by the clock, as its process does each second. :raises Exception: of a row."""
        by_the_clock.tick(ProposalsService, self.service)

    def told(self, *names: str) -> list[Any]:
        """Return the recorded events of some names, or all of them, in the order in which they were recorded."""
        statement = select(outbox).order_by(outbox.c.position)
        if names:
            statement = statement.where(outbox.c.name.in_(names))
        return self.database.run(lambda session: list(session.execute(statement)))

    def members(self, *councils: str, joins_on: date = date(2026, 4, 1)) -> None:
        """Let councils join the pool."""
        for council in councils:
            self.deliver("member_joined", pool_id=self.pool_id, council=council, joins_on=joins_on)

    def open_round(self, **changes: Any) -> str:
        """Open a round; returns its id."""
        return str(self.call("open_round", cdo(), **round_terms(**changes))["round_id"])

    def draft(self, round_id: str | None = None, **changes: Any) -> str:
        """Bring a proposal to ``draft``, in a round of its own unless one is given."""
        round_id = round_id or self.open_round()
        body = content(**changes)
        created = self.call("create_proposal", proposer(body["lead_council"]), round_id=round_id, content=body)
        return str(created["proposal_id"])

    def submitted(self, round_id: str | None = None, **changes: Any) -> str:
        """Bring a proposal to ``submitted``, or further when no other council takes part."""
        proposal_id = self.draft(round_id, **changes)
        body = content(**changes)
        self.members(body["lead_council"], *body["participants"])
        self.call("submit_proposal", proposer(body["lead_council"]), proposal_id=proposal_id)
        return proposal_id

    def under_assessment(self, round_id: str | None = None, **changes: Any) -> str:
        """Bring a proposal to ``under_assessment``: everybody has confirmed."""
        proposal_id = self.submitted(round_id, **changes)
        for council in content(**changes)["participants"]:
            self.call("confirm_participation", sponsor(council), proposal_id=proposal_id, revision=1)
        return proposal_id

    def redrafted(self, proposal_id: str, **changes: Any) -> int:
        """Have the panel ask for changes and make some; returns the draft's version."""
        self.call("request_changes", chair(), proposal_id=proposal_id, reason="Cost it anew.")
        lead = proposer(self.seen(proposal_id)["lead_council"])
        seen = self.seen(proposal_id, lead)
        request = {"proposal_id": proposal_id, "expected_revision": seen["draft_version"]}
        updated = self.call("update_proposal", lead, **request, content={**seen["content"], **changes})
        return int(updated["draft_version"])

    def revised(self, proposal_id: str, **changes: Any) -> Any:
        """Bring a proposal to its next revision, with some fields changed; returns what its lead sees."""
        self.redrafted(proposal_id, **changes)
        lead = proposer(self.seen(proposal_id)["lead_council"])
        return self.call("submit_proposal", lead, proposal_id=proposal_id)

    def assess(self, proposal_id: str, who: Principal, *values: int, revision: int = 1) -> Any:
        """Score a proposal; 8, 7 and 6 unless values are given."""
        return self.call(
            "submit_assessment", who, proposal_id=proposal_id, revision=revision, scores=scores(*(values or (8, 7, 6)))
        )

    def assessed(self, round_id: str | None = None, **changes: Any) -> str:
        """Bring a proposal to where the panel can decide: the quorum is reached."""
        proposal_id = self.under_assessment(round_id, **changes)
        for name in ("ailsa", "brodie"):
            self.assess(proposal_id, assessor(name))
        return proposal_id

    def decided(self, outcome: str = "approved", round_id: str | None = None, **changes: Any) -> str:
        """Bring a proposal to ``approved`` or ``rejected``."""
        proposal_id = self.assessed(round_id, **changes)
        minute = "The panel agreed unanimously."
        self.call("determine", chair(), proposal_id=proposal_id, revision=1, outcome=outcome, minute=minute)
        return proposal_id

    def seen(self, proposal_id: str, principal: Principal | None = None) -> Any:
        """Return a proposal as somebody sees it, the CDO unless said otherwise."""
        return self.call("get_proposal", principal or cdo(), proposal_id=proposal_id)
