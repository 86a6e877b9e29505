"""Whatever is done to a pool, in whatever order: its ledger is what a page of plain Python says (``support/book.py``).

The walk drives the service through its own methods and events: several years and schemes, councils that join, some of
them late, and leave, partial, excess and repeated receipts, awards that are accepted, declined or lapse, drawdowns,
money that comes back, reversals, ends of years. What has moved is told by call, by event or by both, and all of it
again. After each step the balances are the model's, of now and of a day that was; history is as it was; the ledger
passes its own check; each payment is attributed to the penny; the statements are the model's, and add up.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run

from services.funding import ledger_store
from services.funding.contributions import pledged_by_year
from shared import clock
from shared.councils import all_councils
from shared.errors import CommonwealError
from shared.messaging.events import Event
from shared.security.principal import APPROVER, TREASURER, Principal
from tests.support.book import Book, Entry, split
from tests.support.funding import (
    ABERDEENSHIRE,
    APPROVER_BEN,
    EDINBURGH,
    FIFE,
    NOW,
    TREASURER_ANN,
    Funding,
    contribution_received,
    milestone_achieved,
    officer,
    payment_made,
    proposer,
)

GLASGOW = "S12000049"
STRANGER = "S12000023"
COUNCILS = (ABERDEENSHIRE, EDINBURGH, FIFE, GLASGOW)
YEARS = {"2026-27": "2027-03-31", "2027-28": "2028-03-31", "2028-29": "2029-03-31"}
LAST_DAY = "2029-03-31"
#: What a reversal takes back.
REVERSIBLE = {"pledge", "receipt", "pay", "refund", "return", "claw_back"}
BOTH_ROLES_ANN = Principal(TREASURER_ANN.subject, frozenset({TREASURER, APPROVER}))

#: States of an award in which its proposal has no other one.
TAKEN = ("offered", "active", "completed")

which = st.integers(min_value=0, max_value=19)
pence = st.one_of(st.integers(1, 9), st.integers(1, 5_000_00), st.sampled_from([33_33, 100_000_00]))
some_days = st.integers(0, 40)


@dataclass
class Share:
    """What a council was to pay for a year, as the model sees it."""

    pence: int
    cancelled: int = 0

    @property
    def pledged(self) -> int:
        return self.pence - self.cancelled


@dataclass
class Part:
    """A tranche, as the model sees it."""

    pence: int
    state: str = "locked"


@dataclass
class Promise:
    """An award, as the model sees it."""

    award: dict[str, Any]
    expires_on: str
    parts: dict[str, Part]
    state: str = "offered"
    approved: bool = False

    @property
    def pence(self) -> int:
        return sum(part.pence for part in self.parts.values())

    @property
    def named(self) -> dict[str, str]:
        return {"award_id": self.award["award_id"]}

    @property
    def next_part(self) -> str | None:
        """The first tranche that is not paid yet."""
        return next((key for key, part in self.parts.items() if part.state != "paid"), None)

    @property
    def reserved(self) -> str:
        return f"reserved:{self.award['proposal_id']}"

    @property
    def committed(self) -> str:
        return f"committed:{self.award['project_id']}"

    @property
    def paid(self) -> str:
        return f"paid:{self.award['project_id']}"


@dataclass
class Membership:
    """A council's membership, as the model sees it, and the one before it."""

    joins_on: str
    leaves_on: str | None = None
    earlier: "Membership | None" = None

    def is_during(self, year: str) -> bool:
        here = self.joins_on <= YEARS[year] and (self.leaves_on is None or self.leaves_on >= first_day_of(year))
        return here or bool(self.earlier and self.earlier.is_during(year))


def first_day_of(year: str) -> str:
    return f"{year[:4]}-04-01"


@dataclass
class Answered:
    """A call that was carried out, to be repeated."""

    who: Principal
    method: str
    arguments: dict[str, Any]
    answer: dict[str, Any]


class Walk(RuleBasedStateMachine):
    """Does whatever the people of a pool can do; the model knows before each step what must come of it.

    :param funding: the service on a database, in which each walk has a pool of its own.
    :param at: its clock.
    :param reached: counts what was carried out and what was refused, over all walks.
    """

    def __init__(self, funding: Funding, at: clock.FixedClock, reached: Counter[str]) -> None:
        super().__init__()
        self.funding, self.clock, self.reached = funding, at, reached
        self.clock.at = NOW
        self.book = Book()
        self.members: dict[str, Membership] = {}
        self.shares: dict[tuple[str, str], list[Share]] = {}  # By year and council, in the order of their pledges.
        self.pledged_years: set[str] = set()
        self.closed_years: list[str] = []
        self.spent: Counter[str] = Counter()
        self.reversed: set[int] = set()
        self.receipts: dict[str, dict[str, Any]] = {}
        self.free: dict[str, list[str]] = {"BACS": [], "PAY": []}  # References of what was reversed, by kind.
        self.promises: list[Promise] = []
        self.payments: list[dict[str, Any]] = []
        self.told: list[Event] = []
        self.answered: list[Answered] = []
        self.listed: list[dict[str, Any]] = []
        self.names = 0
        self.steps = 0

    # --- how a step is taken ----------------------------------------------------------------------------------------

    @property
    def today(self) -> str:
        return self.clock.at.date().isoformat()

    def day(self, days_ago: int) -> str:
        return (self.clock.at.date() - timedelta(days_ago)).isoformat()

    def name(self, kind: str) -> str:
        self.names += 1
        return f"{kind}-{self.pool_id[-12:]}-{self.names}"

    def call(self, who: Principal, method: str, **arguments: Any) -> dict[str, Any]:
        """Make a call that must be carried out."""
        arguments["idempotency_key"] = self.name("key")
        answer = self.funding.call(who, method, **arguments)
        self.answered.append(Answered(who, method, arguments, answer))
        self.reached[method] += 1
        return answer

    def refused(self, who: Principal, method: str, **arguments: Any) -> str:
        """Make a call that must be refused; returns the code."""
        with pytest.raises(CommonwealError) as refusal:
            self.funding.call(who, method, **arguments)
        self.reached[refusal.value.code] += 1
        return refusal.value.code

    def reference(self, kind: str) -> str:
        """One that may be used: of what was reversed, if something was."""
        return self.free[kind][-1] if self.free[kind] else self.name(kind)

    def tell(self, event: Event) -> None:
        """Deliver an event that must have its effect, or none because that is there."""
        self.funding.receive(event)
        self.told.append(event)
        self.reached[event.name] += 1

    def refused_event(self, event: Event) -> str:
        """Deliver an event that must be refused; returns the code."""
        with pytest.raises(CommonwealError) as refusal:
            self.funding.receive(event)
        self.reached[f"{event.name}: {refusal.value.code}"] += 1
        return refusal.value.code

    def one_of(self, number: int, promises: Iterable[Promise]) -> Promise:
        found = list(promises)
        return found[number % len(found)]

    # --- money in ---------------------------------------------------------------------------------------------------

    @initialize(received=st.sampled_from([0, 33_33, 100_000_01]))
    def open(self, received: int) -> None:
        """With nothing, or with money of one council, or of two."""
        self.pool_id = self.funding.pool(ABERDEENSHIRE, EDINBURGH)
        self.members = {council: Membership("2026-04-01") for council in (ABERDEENSHIRE, EDINBURGH)}
        for council, amount in ((ABERDEENSHIRE, received), (EDINBURGH, received // 3)):
            if amount:
                self._receive(council, amount, self.today, by_event=False)

    @precondition(lambda self: len(self.members) < len(COUNCILS) or any(it.leaves_on for it in self.members.values()))
    @rule(council=st.sampled_from(COUNCILS), year=st.sampled_from(sorted(YEARS)))
    def join(self, council: str, year: str) -> None:
        joining = {"pool_id": self.pool_id, "council": council, "joins_on": YEARS[year]}
        member = self.members.get(council)
        if member and (member.leaves_on is None or YEARS[year] <= member.leaves_on):
            assert self.refused(TREASURER_ANN, "add_member", **joining) == "already_member"
            return
        self.call(TREASURER_ANN, "add_member", **joining)
        self.members[council] = Membership(YEARS[year], earlier=member)

    @precondition(lambda self: len(self.pledged_years) < len(YEARS))
    @rule(
        year=st.sampled_from(sorted(YEARS)),
        total=pence,
        scheme=st.sampled_from(["equal", "population", "fixed"]),
        weights=st.lists(st.integers(0, 3), min_size=len(COUNCILS), max_size=len(COUNCILS)).filter(any),
    )
    def pledge(self, year: str, total: int, scheme: str, weights: list[int]) -> None:
        payers = sorted(council for council, member in self.members.items() if member.is_during(year))
        if not payers:
            return
        population = {council: all_councils()[council].population for council in payers}
        drawn = dict(zip(payers, weights, strict=False))
        if scheme == "fixed" and not any(drawn.values()):
            drawn[payers[0]] = 1
        shares = split(total, {"equal": dict.fromkeys(payers, 1), "population": population, "fixed": drawn}[scheme])
        pledging: dict[str, Any] = {
            "pool_id": self.pool_id, "year": year, "total_pence": total, "scheme": scheme
        }  # fmt: skip
        if scheme == "fixed":
            pledging["fixed"] = shares
        if year in self.pledged_years:
            assert self.refused(TREASURER_ANN, "set_contributions", **pledging) == "contributions_set"
            return
        if year in self.closed_years:
            assert self.refused(TREASURER_ANN, "set_contributions", **pledging) == "year_closed"
            return
        answer = self.call(TREASURER_ANN, "set_contributions", **pledging)
        assert {share["council"]: share["amount_pence"] for share in answer["shares"]} == shares
        self.pledged_years.add(year)
        for council, share in shares.items():
            self.shares[year, council] = [Share(share)]
            if share:
                self.book.move("pledge", self.today, f"council:{council}", f"pledged:{council}", share)

    @rule(council=st.sampled_from(COUNCILS), year=st.sampled_from(sorted(YEARS)), amount=pence, any_one=st.booleans())
    def pledge_beside_the_others(self, council: str, year: str, amount: int, any_one: bool) -> None:
        """A council that joined late, or whose share was taken back; or any one."""
        missing = [
            (each, council)
            for each in sorted(self.pledged_years - set(self.closed_years))
            for council, member in self.members.items()
            if member.is_during(each) and not any(share.pledged for share in self.shares.get((each, council), []))
        ]
        if missing and not any_one:
            year, council = missing[amount % len(missing)]
        adding = {"pool_id": self.pool_id, "council": council, "year": year, "amount_pence": amount}
        member, shares = self.members.get(council), self.shares.setdefault((year, council), [])
        code = None
        if year in self.closed_years:
            code = "year_closed"
        elif member is None or not member.is_during(year):
            code = "not_a_member_in_that_year"
        elif year not in self.pledged_years:
            code = "contributions_not_set"
        elif any(share.pledged for share in shares):
            code = "contribution_set"
        if code is not None:
            assert self.refused(TREASURER_ANN, "add_contribution", **adding) == code
            return
        answer = self.call(TREASURER_ANN, "add_contribution", **adding)
        shares.append(Share(amount))
        of_all = sum(share.pledged for (of, _), each in self.shares.items() if of == year for share in each)
        assert answer["total_pence"] == of_all
        self.book.move("pledge", self.today, f"council:{council}", f"pledged:{council}", amount)

    @rule(
        council=st.sampled_from((ABERDEENSHIRE, EDINBURGH, *COUNCILS)),
        amount=pence,
        days_ago=some_days,
        by_event=st.booleans(),
    )
    def receive(self, council: str, amount: int, days_ago: int, by_event: bool) -> None:
        self._receive(council, amount, self.day(days_ago), by_event)

    @rule(
        council=st.sampled_from(COUNCILS), part=st.sampled_from([1, 2, 3]), days_ago=some_days, by_event=st.booleans()
    )
    def receive_what_was_pledged(self, council: str, part: int, days_ago: int, by_event: bool) -> None:
        """All of it, or a part."""
        outstanding = self.book.accounts[f"pledged:{council}"]
        if outstanding >= part:
            self._receive(council, outstanding // part, self.day(days_ago), by_event)

    def _receive(self, council: str, amount: int, on: str, by_event: bool) -> None:
        """Record what came in, as the treasurer or as finance."""
        facts: dict[str, Any] = {
            "pool_id": self.pool_id,
            "council": council,
            "amount_pence": amount,
            "bank_reference": self.reference("BACS"),
            "received_on": on,
        }
        code = None
        if council not in self.members:
            code = "not_a_member"
        elif on <= self.closed_through:
            code = "year_closed"
        elif on > LAST_DAY and amount > self.book.accounts[f"pledged:{council}"]:
            code = "pool_ended"
        if code is not None and by_event:
            assert self.refused_event(contribution_received(**facts)) == code
        elif code is not None:
            assert self.refused(TREASURER_ANN, "record_receipt", **facts) == code
        elif by_event:
            self.tell(contribution_received(**facts))
            self.book.receive(council, amount, on)
        else:
            answer = self.call(TREASURER_ANN, "record_receipt", **facts)
            assert answer["unpledged_pence"] == self.book.receive(council, amount, on)
        if code is None:
            self.receipts[facts["bank_reference"]] = facts
            self.free["BACS"] = self.free["BACS"][:-1]

    @precondition(lambda self: self.receipts)
    @rule(number=which, other=st.booleans(), by_event=st.booleans())
    def receive_again(self, number: int, other: bool, by_event: bool) -> None:
        """By call or by event, however it was told of before."""
        facts = list(self.receipts.values())[number % len(self.receipts)]
        changed = facts | {"amount_pence": facts["amount_pence"] + 1}
        if by_event and other:
            assert self.refused_event(contribution_received(**changed)) == "reference_used"
        elif by_event:
            self.tell(contribution_received(**facts))
        elif other:
            assert self.refused(TREASURER_ANN, "record_receipt", **changed) == "reference_used"
        else:
            self.call(TREASURER_ANN, "record_receipt", **facts)

    # --- awards -----------------------------------------------------------------------------------------------------

    @rule(
        lead=st.sampled_from(COUNCILS),
        amounts=st.lists(st.one_of(st.just(0), pence), min_size=1, max_size=3).filter(any),
        days=st.integers(1, 60),
    )
    def offer(self, lead: str, amounts: list[int], days: int) -> None:
        tranches = tuple(zip(("alpha", "beta", "live"), amounts, strict=False))
        proposal_id = self.funding.candidate(lead=lead, participants=(STRANGER,), tranches=tranches)
        self._offer(lead, proposal_id, {key: Part(amount) for key, amount in tranches if amount}, days)

    @rule(
        lead=st.sampled_from((ABERDEENSHIRE, EDINBURGH)),
        part=st.sampled_from([1, 2, 5]),
        days=st.integers(1, 60),
        steps=st.integers(0, 10),
        by_event=st.booleans(),
    )
    def offer_of_what_is_there(self, lead: str, part: int, days: int, steps: int, by_event: bool) -> None:
        """To the last penny, or a part of it in two tranches; and at once some steps further."""
        amount = self.book.accounts["available"] // part
        if amount < 2:
            return
        tranches = (("alpha", amount // 2), ("live", amount - amount // 2))
        proposal_id = self.funding.candidate(lead=lead, participants=(STRANGER,), tranches=tranches)
        self._offer(lead, proposal_id, {key: Part(each) for key, each in tranches}, days)
        if self.promises and self.promises[-1].award["proposal_id"] == proposal_id:
            self._go_on(self.promises[-1], steps, by_event)

    def _offer(self, lead: str, proposal_id: str, parts: dict[str, Part], days: int) -> None:
        expires_on = self.day(-days)
        amount = sum(part.pence for part in parts.values())
        offering = {
            "pool_id": self.pool_id,
            "proposal_id": proposal_id,
            "amount_pence": amount,
            "expires_on": expires_on,
        }
        live = any(promise.award["proposal_id"] == proposal_id and promise.state in TAKEN for promise in self.promises)
        if lead not in self.members:
            assert self.refused(TREASURER_ANN, "offer_award", **offering) == "not_a_member"
        elif self.members[lead].leaves_on:
            assert self.refused(TREASURER_ANN, "offer_award", **offering) == "leaves_the_pool"
        elif live:
            assert self.refused(TREASURER_ANN, "offer_award", **offering) == "award_exists"
        elif amount > self.book.accounts["available"]:
            assert self.refused(TREASURER_ANN, "offer_award", **offering) == "insufficient_funds"
        else:
            promise = Promise(self.call(TREASURER_ANN, "offer_award", **offering), expires_on, parts)
            self.promises.append(promise)
            self.book.move("reserve", self.today, "available", promise.reserved, amount)

    @precondition(lambda self: self.promises)
    @rule(number=which, days=st.integers(1, 60))
    def offer_again(self, number: int, days: int) -> None:
        before = self.one_of(number, self.promises)
        parts = {key: Part(part.pence) for key, part in before.parts.items()}
        self._offer(before.award["lead_council"], before.award["proposal_id"], parts, days)

    def in_state(self, *states: str) -> list[Promise]:
        return [promise for promise in self.promises if promise.state in states]

    @precondition(lambda self: self.unfinished())
    @rule(number=which, steps=st.integers(1, 8), by_event=st.booleans())
    def go_on(self, number: int, steps: int, by_event: bool) -> None:
        """Take an award some steps further on its way: approved, accepted, and tranche by tranche to its payment."""
        self._go_on(self.one_of(number, self.unfinished()), steps, by_event)

    def _go_on(self, promise: Promise, steps: int, by_event: bool) -> None:
        for _ in range(steps):
            if promise.state == "offered":
                self.accept(promise) if promise.approved else self.approve(promise)
            elif (key := promise.next_part) is not None:
                step = {
                    "locked": self.achieve,
                    "claimable": self.request,
                    "requested": self.judge,
                    "approved": self.pay_as_finance if by_event else self.pay,
                }
                step[promise.parts[key].state](promise, key)

    def unfinished(self) -> list[Promise]:
        return [promise for promise in self.in_state("offered", "active") if promise.next_part]

    @precondition(lambda self: self.promises)
    @rule(number=which, key=st.sampled_from(["alpha", "beta", "live"]), action=which)
    def out_of_turn(self, number: int, key: str, action: int) -> None:
        """Try something with an award, whether it is its turn or not."""
        promise = self.one_of(number, self.promises)
        of_award = (self.approve, self.approve_by_one, self.accept, self.decline)
        of_part = (self.achieve, self.request, self.judge, self.reject, self.pay, self.pay_as_finance, self.pay_by_used)
        if promise.state == "active" and key in promise.parts:
            of_part[action % len(of_part)](promise, key)
        else:
            of_award[action % len(of_award)](promise)

    @precondition(lambda self: self.in_state("offered"))
    @rule(number=which)
    def decline_one(self, number: int) -> None:
        promise = self.one_of(number, self.in_state("offered"))
        if not promise.approved:
            self.approve(promise)
        self.decline(promise)

    def approve(self, promise: Promise) -> None:
        if promise.state != "offered" or promise.approved:
            code = "award_not_offered" if promise.state != "offered" else "already_approved"
            assert self.refused(APPROVER_BEN, "approve_award", **promise.named) == code
            return
        self.call(APPROVER_BEN, "approve_award", **promise.named)
        promise.approved = True

    def approve_by_one(self, promise: Promise) -> None:
        if promise.state == "offered" and not promise.approved:
            assert self.refused(BOTH_ROLES_ANN, "approve_award", **promise.named) == "two_people"

    def accept(self, promise: Promise) -> None:
        who = officer(promise.award["lead_council"])
        if (code := self._cannot_be_answered(promise)) is not None:
            assert self.refused(who, "accept_award", **promise.named) == code
            return
        promise.award = self.call(who, "accept_award", **promise.named)
        promise.state = "active"
        self.book.move("commit", self.today, promise.reserved, promise.committed, promise.pence)

    def decline(self, promise: Promise) -> None:
        who = officer(promise.award["lead_council"])
        if (code := self._cannot_be_answered(promise)) is not None:
            assert self.refused(who, "decline_award", reason="No staff.", **promise.named) == code
            return
        self.call(who, "decline_award", reason="No staff.", **promise.named)
        promise.state = "declined"
        self.book.move("release", self.today, promise.reserved, "available", promise.pence)

    def _cannot_be_answered(self, promise: Promise) -> str | None:
        if promise.state != "offered":
            return "award_not_offered"
        return None if promise.approved else "offer_not_approved"

    @rule(days=st.sampled_from([0, 1, 1, 7, 7, 45]))
    def time_passes(self, days: int) -> None:
        """And whatever is due by the clock is done."""
        self.clock.advance(timedelta(days))
        self.funding.tick()
        for promise in self.in_state("offered"):
            if promise.expires_on < self.today:
                promise.state = "lapsed"
                self.book.move("release", self.today, promise.reserved, "available", promise.pence)

    # --- drawdowns --------------------------------------------------------------------------------------------------

    def achieve(self, promise: Promise, key: str) -> None:
        """Outcomes tells of a milestone, perhaps not for the first time."""
        self.funding.receive(milestone_achieved(promise.award, key))
        if promise.parts[key].state == "locked":
            promise.parts[key].state = "claimable"

    def request(self, promise: Promise, key: str) -> None:
        part, who = promise.parts[key], proposer(promise.award["lead_council"])
        arguments = {**promise.named, "tranche": key, "evidence": "The report."}
        if part.state != "claimable":
            code = "tranche_locked" if part.state == "locked" else "tranche_not_claimable"
            assert self.refused(who, "request_drawdown", **arguments) == code
            return
        self.call(who, "request_drawdown", **arguments)
        part.state = "requested"

    def judge(self, promise: Promise, key: str) -> None:
        part, arguments = promise.parts[key], {**promise.named, "tranche": key}
        if part.state != "requested":
            assert self.refused(APPROVER_BEN, "approve_drawdown", **arguments) == "tranche_not_requested"
            return
        self.call(APPROVER_BEN, "approve_drawdown", **arguments)
        part.state = "approved"

    def reject(self, promise: Promise, key: str) -> None:
        part, arguments = promise.parts[key], {**promise.named, "tranche": key, "reason": "No evidence."}
        if part.state != "requested":
            assert self.refused(APPROVER_BEN, "reject_drawdown", **arguments) == "tranche_not_requested"
            return
        self.call(APPROVER_BEN, "reject_drawdown", **arguments)
        part.state = "claimable"

    def pay(self, promise: Promise, key: str) -> None:
        self._pay(promise, key, by_event=False)

    def pay_as_finance(self, promise: Promise, key: str) -> None:
        self._pay(promise, key, by_event=True)

    def _pay(self, promise: Promise, key: str, by_event: bool) -> None:
        part = promise.parts[key]
        paying = {**promise.named, "tranche": key, "payment_reference": self.reference("PAY"), "paid_on": self.today}
        told = payment_made(promise.award, **paying, amount_pence=part.pence)
        if part.state != "approved" and by_event:
            assert self.refused_event(told) == "tranche_not_approved"
        elif part.state != "approved":
            assert self.refused(TREASURER_ANN, "record_payment", **paying) == "tranche_not_approved"
        else:
            self.tell(told) if by_event else self.call(TREASURER_ANN, "record_payment", **paying)
            part.state = "paid"
            self.payments.append(paying)
            self.free["PAY"] = self.free["PAY"][:-1]
            self.book.move("pay", self.today, promise.committed, promise.paid, part.pence)

    @precondition(lambda self: self.payments)
    @rule(number=which, other=st.booleans(), by_event=st.booleans())
    def pay_again(self, number: int, other: bool, by_event: bool) -> None:
        """By call or by event, however it was told of before."""
        first = self.payments[number % len(self.payments)]
        promise = self._award_of(first)
        paying = first | {"paid_on": self.day(-1)} if other else first
        told = payment_made(promise.award, **paying, amount_pence=promise.parts[first["tranche"]].pence)
        if by_event and other:
            assert self.refused_event(told) == "reference_used"
        elif by_event:
            self.tell(told)
        elif other:
            assert self.refused(TREASURER_ANN, "record_payment", **paying) == "reference_used"
        else:
            self.call(TREASURER_ANN, "record_payment", **paying)

    def pay_by_used(self, promise: Promise, key: str) -> None:
        for first in self.payments[-1:]:
            this = {**promise.named, "tranche": key}
            paying = {**first, **this}
            if paying == first:
                self.call(TREASURER_ANN, "record_payment", **paying)
            else:
                assert self.refused(TREASURER_ANN, "record_payment", **paying) == "reference_used"

    # --- what two people do -----------------------------------------------------------------------------------------

    def instruct(self, method: str, **arguments: Any) -> None:
        """Have something asked for that must be possible, and approved."""
        asked = self.call(TREASURER_ANN, method, **arguments)
        assert asked["state"] == "requested"
        nothing_moved = self.funding.call(TREASURER_ANN, "get_pool", pool_id=self.pool_id)["position"]
        assert nothing_moved == self.book.position()
        by_one = {"instruction_id": asked["instruction_id"]}
        assert self.refused(BOTH_ROLES_ANN, "approve_instruction", **by_one) == "two_people"
        self.call(APPROVER_BEN, "approve_instruction", instruction_id=asked["instruction_id"])

    def instruct_again(self, method: str, **arguments: Any) -> None:
        """Ask for what has been done: it is the same instruction, which cannot be approved again."""
        asked = self.call(TREASURER_ANN, method, **arguments)
        assert asked["state"] == "carried_out"
        self.refused(APPROVER_BEN, "approve_instruction", instruction_id=asked["instruction_id"])

    @precondition(lambda self: self.in_state("active", "completed", "terminated"))
    @rule(
        number=which, amount=pence, part=st.integers(0, 3), method=st.sampled_from(["return_underspend", "claw_back"])
    )
    def give_back(self, number: int, amount: int, part: int, method: str) -> None:
        """Some amount, or a part of what was paid."""
        promises = self.in_state("active", "completed", "terminated")
        promise = self.one_of(number, [each for each in promises if self.book.accounts[each.paid]] or promises)
        paid = self.book.accounts[promise.paid]
        amount = paid // part or amount if part else amount
        arguments = {**promise.named, "amount_pence": amount}
        if method == "claw_back":
            arguments["reason"] = "The service was never built."
        if amount > paid:
            assert self.refused(TREASURER_ANN, method, **arguments) == "more_than_was_paid"
            return
        self.instruct(method, **arguments)
        kind = "return" if method == "return_underspend" else method
        self.book.move(kind, self.today, promise.paid, "available", amount)

    @precondition(lambda self: self.in_state("active"))
    @rule(number=which, early=st.booleans())
    def end(self, number: int, early: bool) -> None:
        promise = self.one_of(number, self.in_state("active"))
        if early:
            self.instruct("terminate_award", reason="The lead council has other plans.", **promise.named)
        elif any(part.state in ("requested", "approved") for part in promise.parts.values()):
            assert self.refused(TREASURER_ANN, "complete_project", **promise.named) == "drawdown_open"
            return
        else:
            self.instruct("complete_project", **promise.named)
        promise.state = "terminated" if early else "completed"
        unpaid = self.book.accounts[promise.committed]
        if unpaid:
            self.book.move("decommit", self.today, promise.committed, "available", unpaid)

    @precondition(lambda self: self.listed)
    @rule(number=which, latest=st.booleans())
    def reverse(self, number: int, latest: bool) -> None:
        """Take a transaction back, of those that can be the latest or any."""
        likely = [each for each in self.listed if each["kind"] in REVERSIBLE and each["number"] not in self.reversed]
        original = likely[-1] if latest and likely else self.listed[number % len(self.listed)]
        arguments = {"pool_id": self.pool_id, "number": original["number"], "reason": "A typing error."}
        postings = {posting["account"]: -posting["amount_pence"] for posting in original["postings"]}
        if original["number"] in self.reversed:
            self.instruct_again("reverse_transaction", **arguments)
            return
        if (code := self._cannot_be_reversed(original, postings)) is not None:
            assert self.refused(TREASURER_ANN, "reverse_transaction", **arguments) == code
            return
        self.instruct("reverse_transaction", **arguments)
        self.reversed.add(original["number"])
        self.book.write(f"reverse_{original['kind']}", self.today, postings)
        about = original["about"]
        if original["kind"] == "receipt":
            del self.receipts[about["bank_reference"]]
            self.free["BACS"].append(about["bank_reference"])
        elif original["kind"] == "pledge":
            share = self._share_of(original)
            share.cancelled = share.pence
        elif original["kind"] == "pay":
            self.payments = [each for each in self.payments if each["payment_reference"] != about["payment_reference"]]
            self.free["PAY"].append(about["payment_reference"])
            self._award_of(about).parts[about["tranche"]].state = "approved"

    def _cannot_be_reversed(self, original: dict[str, Any], postings: dict[str, int]) -> str | None:
        if original["kind"] not in REVERSIBLE:
            return "not_reversible"
        if original["kind"] == "pledge" and self._share_of(original).cancelled:
            return "pledge_cancelled"
        after, left = Counter(self.book.accounts), self.left()
        for account, moved in postings.items():
            after[account] += moved
            kind, _, council = account.partition(":")
            if kind in ("council", "pledged"):
                left[council] -= moved
        for part in original["attributions"]:
            left[part["council"]] += part["amount_pence"]
        if any(held < 0 and not account.startswith("council:") for account, held in after.items()):
            return "money_has_moved_on"
        if any(held < 0 for held in left.values()):
            return "money_has_moved_on"
        if original["kind"] == "pay":
            promise = self._award_of(original["about"])
            if promise.state != "active":
                return "award_not_active"
            project = self.in_project(promise.award["project_id"])
            if any(part["amount_pence"] > project[part["council"]] for part in original["attributions"]):
                return "money_has_moved_on"
        return None

    def _award_of(self, about: dict[str, str]) -> Promise:
        [promise] = [each for each in self.promises if each.award["award_id"] == about["award_id"]]
        return promise

    def _share_of(self, pledge: dict[str, Any]) -> Share:
        about = pledge["about"]
        pledges = [each["number"] for each in self.listed if each["kind"] == "pledge" and each["about"] == about]
        shares = [share for share in self.shares[about["year"], about["council"]] if share.pence]
        return shares[pledges.index(pledge["number"])]

    # --- who leaves, and the ends of years --------------------------------------------------------------------------

    def left(self) -> Counter[str]:
        """What each council has left of what it paid in."""
        councils = {account.partition(":")[2] for account in self.book.accounts if account.startswith("council:")}
        return Counter({council: self.book.paid_in(council) - self.spent[council] for council in councils})

    def in_project(self, project_id: str) -> Counter[str]:
        """What a project has cost each council."""
        cost: Counter[str] = Counter()
        for transaction in self.listed:
            if transaction["about"].get("project_id") == project_id:
                for part in transaction["attributions"]:
                    cost[part["council"]] += part["amount_pence"]
        return cost

    @property
    def closed_through(self) -> str:
        return YEARS[self.closed_years[-1]] if self.closed_years else ""

    @rule(council=st.sampled_from(COUNCILS), days=st.integers(-20, 20))
    def leave(self, council: str, days: int) -> None:
        """Or have left some days ago."""
        leaves_on = self.day(-days)
        leaving = {"pool_id": self.pool_id, "council": council, "leaves_on": leaves_on}
        member = self.members.get(council)
        leads = any(promise.award["lead_council"] == council for promise in self.in_state("offered", "active"))
        code = None
        if member is None:
            code = "not_a_member"
        elif member.leaves_on is not None:
            code = "already_leaves"
        elif not member.joins_on <= leaves_on <= LAST_DAY:
            code = "not_in_the_membership"
        elif leaves_on <= self.closed_through:
            code = "year_closed"
        elif leads:
            code = "leads_an_award"
        if member is None or code is not None:
            assert self.refused(TREASURER_ANN, "remove_member", **leaving) == code
            return
        self.call(TREASURER_ANN, "remove_member", **leaving)
        member.leaves_on = leaves_on
        outstanding = self.book.accounts[f"pledged:{council}"]
        for year in sorted(YEARS, reverse=True):
            standing = [share for share in self.shares.get((year, council), []) if share.pledged]
            unpaid = min(sum(share.pledged for share in standing), outstanding)
            outstanding -= unpaid
            if unpaid and first_day_of(year) > leaves_on:
                standing[0].cancelled += unpaid
                self.book.move("cancel", self.today, f"pledged:{council}", f"council:{council}", unpaid)

    @precondition(lambda self: any(it.leaves_on for it in self.members.values()))
    @rule(number=which, wait=st.booleans())
    def refund(self, number: int, wait: bool) -> None:
        self.time_passes(21 if wait else 0)
        leavers = [council for council, member in sorted(self.members.items()) if member.leaves_on]
        council = leavers[number % len(leavers)]
        refunding = {"pool_id": self.pool_id, "council": council}
        if (self.members[council].leaves_on or "") >= self.today:
            assert self.refused(TREASURER_ANN, "refund_leaver", **refunding) == "still_a_member"
            return
        left = self.left()
        part = split(self.book.accounts["available"], left).get(council, 0) if any(left.values()) else 0
        if not part:
            assert self.refused(TREASURER_ANN, "refund_leaver", **refunding) == "nothing_to_refund"
            return
        self.instruct("refund_leaver", **refunding)
        self.book.move("refund", self.today, "available", f"council:{council}", part)

    @rule(wait=st.sampled_from([0, 0, 0, 0, 0, 200, 400]), year=st.sampled_from(sorted(YEARS)))
    def close(self, wait: int, year: str) -> None:
        """Close a financial year, perhaps the next one, after some time."""
        self.time_passes(wait)
        following = [each for each in sorted(YEARS) if each not in self.closed_years]
        year = following[0] if wait and following else year
        closing = {"pool_id": self.pool_id, "year": year}
        if year in self.closed_years:
            self.instruct_again("close_year", **closing)
        elif self.today <= YEARS[year]:
            assert self.refused(TREASURER_ANN, "close_year", **closing) == "year_not_over"
        elif year != following[0]:
            assert self.refused(TREASURER_ANN, "close_year", **closing) == "earlier_year_open"
        else:
            self.instruct("close_year", **closing)
            self.closed_years.append(year)
            settled = self.funding.call(TREASURER_ANN, "get_year", **closing)
            said = self.funding.call(TREASURER_ANN, "pool_statement", **closing)
            assert (settled["total"], settled["councils"]) == (said["figures"], said["councils"])

    @invariant()
    def the_years_add_up(self) -> None:
        """Each council's figures add up to the pool's, each year begins as the one before it ended, as the model."""
        carried = 0
        for year, last_day in sorted(YEARS.items()):
            figures = self.funding.call(TREASURER_ANN, "get_year", pool_id=self.pool_id, year=year)
            total = figures["total"]
            for name, amount in total.items():
                assert amount == sum(council["figures"][name] for council in figures["councils"])
            assert total["opening_pence"] == carried
            carried = total["closing_pence"]
            held = self.book.balances_on(last_day)
            kinds = ("available", "reserved", "committed")
            assert carried == sum(each for account, each in held.items() if account.partition(":")[0] in kinds)
            assert (figures["closed_at"] is not None) == (year in self.closed_years)

    # --- everything again -------------------------------------------------------------------------------------------

    @invariant()
    def the_shares_are_what_the_ledger_says(self) -> None:
        pledged: Counter[tuple[str, str]] = Counter()
        for transaction in self.listed:
            for posting in transaction["postings"] if "year" in transaction["about"] else ():
                kind, _, council = posting["account"].partition(":")
                if kind == "pledged":
                    pledged[council, transaction["about"]["year"]] += posting["amount_pence"]
        kept = self.funding.database.run(lambda session: pledged_by_year(session, UUID(self.pool_id)))
        assert pledged == Counter({(council, year): each for council in kept for year, each in kept[council].items()})

    @precondition(lambda self: self.answered)
    @rule(number=which, changed=st.booleans())
    def call_again(self, number: int, changed: bool) -> None:
        """With its key: the first answer, and nothing happens; another request with that key is refused."""
        first = self.answered[-1 - number % len(self.answered)]
        if changed:
            changes = {"pool_id", "award_id", "instruction_id"} & first.arguments.keys()
            arguments = first.arguments | dict.fromkeys(changes, str(UUID(int=1)))
            assert self.refused(first.who, first.method, **arguments) == "idempotency_key_reused"
        else:
            assert self.funding.call(first.who, first.method, **first.arguments) == first.answer

    @precondition(lambda self: self.told)
    @rule(number=which)
    def deliver_again(self, number: int) -> None:
        """The very event: nothing happens, even when what it told of was reversed since."""
        event = self.told[-1 - number % len(self.told)]
        self.funding.receive(event)
        self.reached[f"{event.name}: delivered again"] += 1

    # --- what holds after every step --------------------------------------------------------------------------------

    @invariant()
    def the_balances_are_the_models(self) -> None:
        pool = self.funding.call(TREASURER_ANN, "get_pool", pool_id=self.pool_id)
        assert pool["position"] == self.book.position()
        assert {
            member["council"]: (member["pledged_pence"], member["received_pence"]) for member in pool["members"]
        } == {
            council: (self.book.accounts[f"pledged:{council}"], self.book.paid_in(council)) for council in self.members
        }
        accounts = self.funding.database.run(lambda session: ledger_store.balances(session, UUID(self.pool_id)))
        assert Counter(accounts) == self.book.accounts  # Counters take a missing account for an empty one.
        assert sum(accounts.values()) == 0
        assert all(held >= 0 for account, held in accounts.items() if not account.startswith("council:"))

    @invariant()
    def history_is_as_it_was_and_goes_on_as_the_model(self) -> None:
        listed = self._transactions()
        assert listed[: len(self.listed)] == self.listed
        assert [transaction["number"] for transaction in listed] == list(range(1, len(listed) + 1))
        assert len({transaction["hash"] for transaction in listed}) == len(listed)
        # What was written in one step may stand in any order: two offers that lapse on one day, for one.
        new = slice(len(self.listed), None)
        assert _sorted(map(_entry_of, listed[new])) == _sorted(self.book.entries[new])
        self.listed = listed
        self.every_pound_is_some_councils()

    @invariant()
    def the_ledger_passes_its_own_check(self) -> None:
        check = self.funding.call(TREASURER_ANN, "verify_ledger", pool_id=self.pool_id)
        assert check == {
            "ok": True,
            "transactions": len(self.book.entries),
            "postings": sum(len(entry.postings) for entry in self.book.entries),
            "problems": [],
        }

    @invariant()
    def the_past_and_the_statements_are_the_models(self) -> None:
        """After every third step, which suffices: none of it is ever changed."""
        self.steps += 1
        if self.steps % 3 == 0 and self.book.entries:
            self._the_past_is_the_models(self.steps // 3)
            self._the_statements_are_the_models_and_add_up(self.steps // 3)

    def _the_past_is_the_models(self, turn: int) -> None:
        """At the end of a day on which something moved, or of the day before it; the days take turns."""
        days = sorted({entry.on for entry in self.book.entries})
        day = date.fromisoformat(days[turn % len(days)])
        on = (day - timedelta(turn // len(days) % 2)).isoformat()
        past = self.funding.call(TREASURER_ANN, "get_pool", pool_id=self.pool_id, as_at=on)["as_at"]
        assert (past["on"], past["position"]) == (on, self.book.position(on))
        held = self.book.balances_on(on)
        assert {
            member["council"]: (member["pledged_pence"], member["received_pence"]) for member in past["members"]
        } == {council: (held[f"pledged:{council}"], self.book.paid_in(council, on)) for council in self.members}

    def _the_statements_are_the_models_and_add_up(self, turn: int) -> None:
        """The pool's of one of the years, or of all of its time, and a council's own; they take turns."""
        year = [*sorted(YEARS), None][turn % (len(YEARS) + 1)]
        of_pool = self._statement("pool_statement", year)
        parts = {each["council"]: each["figures"] for each in of_pool["councils"]}
        for name, amount in of_pool["figures"].items():
            assert amount == sum(figures[name] for figures in parts.values())
        last_day = YEARS[year] if year else max(LAST_DAY, self.today)
        assert of_pool["position"] == self.book.position(last_day)
        for council, figures in parts.items():
            lines = [line for line in of_pool["lines"] if line["council"] == council]
            self._is_the_models(council, figures, lines, year and first_day_of(year), last_day)
        council = sorted(parts)[turn // 4 % len(parts)]
        own = self._statement("council_statement", year, council=council)
        assert own["figures"] == parts[council]
        assert own["lines"] == [line for line in of_pool["lines"] if line["council"] == council]

    def _is_the_models(
        self, council: str, figures: dict[str, int], lines: list[dict[str, Any]], first_day: str | None, last_day: str
    ) -> None:
        came = figures["received_pence"] + figures["returned_pence"]
        went = figures["refunded_pence"] + figures["spent_pence"]
        assert figures["closing_pence"] == figures["opening_pence"] + came - went
        day_before = (date.fromisoformat(first_day) - timedelta(1)).isoformat() if first_day else ""
        for day, held, owed in (
            (day_before, figures["opening_pence"], figures["outstanding_before_pence"]),
            (last_day, figures["closing_pence"], figures["outstanding_pence"]),
        ):
            assert held == self.book.paid_in(council, day) - self._spent_by(council, day)
            assert owed == self.book.balances_on(day)[f"pledged:{council}"]
        moves = []
        for transaction in self.listed:
            if day_before < transaction["effective_on"] <= last_day:
                moved = {each["account"]: each["amount_pence"] for each in transaction["postings"]}
                beyond, settled = moved.get(f"council:{council}", 0), moved.get(f"pledged:{council}", 0)
                if beyond or settled:
                    moves.append((transaction["number"], -beyond - settled, settled))
                moves += [
                    (transaction["number"], -part["amount_pence"], 0)
                    for part in transaction["attributions"]
                    if part["council"] == council
                ]
        assert sorted((line["number"], line["amount_pence"], line["pledge_pence"]) for line in lines) == sorted(moves)

    def _spent_by(self, council: str, day: str) -> int:
        """What projects had cost a council by the end of a day."""
        return sum(
            part["amount_pence"]
            for transaction in self.listed
            if transaction["effective_on"] <= day
            for part in transaction["attributions"]
            if part["council"] == council
        )

    def _statement(self, method: str, year: str | None, **of: str) -> dict[str, Any]:
        """A statement with the lines of all its pages."""
        asked = {"pool_id": self.pool_id, "year": year, **of}
        statement = page = self.funding.call(TREASURER_ANN, method, **asked)
        while page["next_cursor"] is not None:
            page = self.funding.call(TREASURER_ANN, method, **asked, cursor=page["next_cursor"])
            statement["lines"] += page["lines"]
        self.reached[method] += 1
        return statement

    def every_pound_is_some_councils(self) -> None:
        """What a transaction pays is attributed to the penny, and no council has spent more than it had paid in."""
        spent: Counter[str] = Counter()
        paid_in: Counter[str] = Counter()
        for transaction in self.listed:
            pays = 0
            for posting in transaction["postings"]:
                kind, _, name = posting["account"].partition(":")
                if kind in ("council", "pledged"):
                    paid_in[name] -= posting["amount_pence"]
                if kind == "paid":
                    pays += posting["amount_pence"]
            attributed = {part["council"]: part["amount_pence"] for part in transaction["attributions"]}
            assert sum(attributed.values()) == pays
            spent.update(attributed)
            assert all(0 <= spent[council] <= paid_in[council] for council in spent)
        self.spent = spent

    def _transactions(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = []
        cursor = None
        while True:
            page = self.funding.call(TREASURER_ANN, "list_transactions", pool_id=self.pool_id, cursor=cursor, limit=20)
            listed += page["items"]
            if (cursor := page["next_cursor"]) is None:
                return listed


def _entry_of(transaction: dict[str, Any]) -> Entry:
    postings = {posting["account"]: posting["amount_pence"] for posting in transaction["postings"]}
    return Entry(transaction["kind"], transaction["effective_on"], postings)


def _sorted(entries: Iterable[Entry]) -> list[Any]:
    return sorted((entry.kind, entry.on, sorted(entry.postings.items())) for entry in entries)


def _walk(funding: Funding, at: clock.FixedClock, *, walks: int, steps: int, phases: tuple[Phase, ...]) -> Counter[str]:
    """Walk; returns how often each method was carried out, and each refusal met."""
    reached: Counter[str] = Counter()
    run(
        partial(Walk, funding, at, reached),
        settings=settings(
            max_examples=walks,
            stateful_step_count=steps,
            deadline=None,
            phases=phases,
            suppress_health_check=list(HealthCheck),
        ),
    )
    return reached


def test_the_ledger_is_what_the_model_says(funding: Funding, at: clock.FixedClock) -> None:
    # A walk that fails is short enough to be read, and each try at a shorter one is slow.
    _walk(funding, at, walks=5, steps=30, phases=(Phase.generate,))


@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_the_ledger_is_what_the_model_says_for_long(funding: Funding, at: clock.FixedClock) -> None:
    reached = _walk(funding, at, walks=60, steps=60, phases=(Phase.generate, Phase.shrink))
    moved = {"set_contributions", "add_contribution", "record_receipt", "contribution_received", "reverse_transaction"}
    moved |= {"offer_award", "accept_award", "decline_award", "complete_project", "terminate_award", "close_year"}
    moved |= {"record_payment", "payment_made", "return_underspend", "claw_back", "remove_member", "refund_leaver"}
    again = {"contribution_received: delivered again", "payment_made: delivered again"}
    refused = {"contribution_received: reference_used", "reference_used", "idempotency_key_reused"}
    refused |= {"insufficient_funds", "contribution_set", "money_has_moved_on", "year_closed", "two_people"}
    assert moved | again | refused | {"council_statement", "pool_statement"} <= reached.keys()
