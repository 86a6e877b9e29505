"""The story, chapter by chapter: every line that it prints is an answer of a service."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from commonweal import Client, Conflict, NotFound
from examples.demo.programme import Person, Programme
from examples.demo.screen import Screen
from examples.demo.stage import Stage
from shared.councils import name_of
from shared.money import format_pounds

Result = TypeVar("Result")

EVENT_TIMEOUT_S = 20.0
POLL_INTERVAL_S = 0.01
REPORTED_VALUES = ("value", "numerator", "denominator", "narrative")


class StoryBroke(Exception):
    """Something that should have happened did not."""


class Story:
    """Tells the programme on a stage.

    :param stage: the running services.
    :param programme: who does what, and when.
    :param screen: where it is shown.
    """

    def __init__(self, stage: Stage, programme: Programme, screen: Screen) -> None:
        self.stage = stage
        self.programme = programme
        self.data = programme.data
        self.screen = screen
        self.pool_id = ""
        self.round_id = ""
        self.proposals: dict[str, dict[str, Any]] = {}
        self.awards: dict[str, dict[str, Any]] = {}

    def tell(self, kept_in: Path | None) -> None:
        """Play every chapter in order.

        :param kept_in: where the embedded databases stay, if they do.
        :raises CommonwealError: when a service refuses what the story expects it to do.
        :raises StoryBroke: when an event has not had its effect in time.
        """
        self.screen.title(self.data["pool"]["name"], self.stage.description)
        self.pool_money()
        self.open_round()
        self.submit_and_confirm()
        self.assess_and_decide()
        self.award()
        self.fund()
        self.pay_first_tranche()
        self.report_and_certify()
        self.sum_up()
        self.how_to_go_on(kept_in)

    # ------------------------------------------------------------------------------------------------- the chapters

    def pool_money(self) -> None:
        pool, members = self.data["pool"], self.data["members"]
        self._chapter(1, "pool_opened_on", f"{len(members)} councils pool their money")
        treasurer = self._as(self.programme.treasurer)
        opened = treasurer.funding.create_pool(name=pool["name"], starts_on=pool["starts_on"], ends_on=pool["ends_on"])
        self.pool_id = opened["pool_id"]
        self.screen.done(f"The pool is open for {opened['years'][0]} to {opened['years'][-1]}.")
        for member in members:
            treasurer.funding.add_member(pool_id=self.pool_id, **member)
        for contribution in pool["contributions"]:
            pledged = treasurer.funding.set_contributions(pool_id=self.pool_id, **contribution)
            shares = pledged["shares"]
            self.screen.done(
                f"{len(shares)} councils pledge {format_pounds(pledged['total_pence'])} for {pledged['year']}, "
                f"shared by {pledged['scheme']}:"
            )
            self.screen.columns(f"{share['name']:<21}{format_pounds(share['amount_pence']):>12}" for share in shares)
            total = sum(share["amount_pence"] for share in shares)
            self.screen.note(f"The shares add up to {format_pounds(total)}, to the penny.")
        day = self._day("contributions_received_on")
        receipts = pool["receipts"]
        for share in shares:
            treasurer.funding.record_receipt(
                pool_id=self.pool_id,
                council=share["council"],
                amount_pence=share["amount_pence"],
                bank_reference=f"{receipts['bank_reference']}-{share['council']}",
                received_on=f"{day:%Y-%m-%d}",
            )
        position = self._pool()["position"]
        self.screen.done(f"Every council has paid; {format_pounds(position['available_pence'])} is free to spend.")

    def open_round(self) -> None:
        terms = self.data["round"]
        self._chapter(2, "round_opened_on", "A round opens")
        opened = self._as(self.programme.cdo).proposals.open_round(**terms)
        self.round_id = opened["round_id"]
        self.screen.done(
            f"[bold]{opened['reference']}[/] {opened['title']}: open until {opened['closes_on']}, at least "
            f"{opened['min_participants']} councils a proposal, at most {format_pounds(opened['ceiling_pence'])}."
        )
        self.screen.note(
            "Criteria: " + ", ".join(f"{item['title'].lower()} {item['weight']} %" for item in opened["criteria"])
        )

    def submit_and_confirm(self) -> None:
        self._chapter(3, "submitted_on", "Councils submit and confirm")
        for key, content in self.programme.contents.items():
            lead = self._as(self.programme.proposer(content["lead_council"]))
            created = lead.proposals.create_proposal(round_id=self.round_id, content=content)
            # Membership reaches proposals as events of funding: wait until all of them have arrived.
            self._until(
                f"{content['title']} is eligible",
                partial(self._is_eligible, lead, created["proposal_id"]),
            )
            submitted = lead.proposals.submit_proposal(proposal_id=created["proposal_id"])
            self.proposals[key] = submitted
            self.screen.done(
                f"[bold]{submitted['reference']}[/] {submitted['title']}\n"
                f"{self._councils(submitted)} ask for {format_pounds(content['requested_pence'])}."
            )
        self._day("confirmed_on")
        confirmations = 0
        for proposal in self.proposals.values():
            for council in proposal["participants"]:
                self._as(self.programme.sponsor(council)).proposals.confirm_participation(
                    proposal_id=proposal["proposal_id"], revision=proposal["revision"]
                )
                confirmations += 1
        self.screen.done(f"{confirmations} sponsors confirm that their councils take part.")

    def assess_and_decide(self) -> None:
        self._chapter(4, "conflicts_declared_on", "Assessors score, the panel decides")
        closed = self._until("the round is closed", self._closed_round)
        self.screen.by_itself(f"{closed['reference']} was closed by the clock at the end of {closed['closes_on']}.")
        for conflict in self.data["conflicts"]:
            assessor = self.programme.assessors[conflict["assessor"]]
            proposal = self.proposals[conflict["proposal"]]
            self._as(assessor).proposals.declare_conflict(
                proposal_id=proposal["proposal_id"], reason=conflict["reason"]
            )
            self.screen.done(f"{assessor.name} declares an interest in {proposal['reference']} and steps aside.")
        self._day("assessed_on")
        given = 0
        for key, assessments in self.data["assessments"].items():
            for assessment in assessments:
                self._as(self.programme.assessors[assessment["assessor"]]).proposals.submit_assessment(
                    proposal_id=self.proposals[key]["proposal_id"],
                    revision=self.proposals[key]["revision"],
                    scores=assessment["scores"],
                )
                given += 1
        self.screen.done(f"{given} assessments are in, each blind to the others, a reason with every score.")
        self._day("decided_on")
        chair = self._as(self.programme.panel_chair)
        for key, note in self.data["moderations"].items():
            proposal = self.proposals[key]
            summary = chair.proposals.get_assessment_summary(proposal_id=proposal["proposal_id"])
            apart = ", ".join(f"{each['lowest']} to {each['highest']}" for each in summary["criteria"] if each["wide"])
            chair.proposals.moderate(
                proposal_id=proposal["proposal_id"],
                revision=proposal["revision"],
                note=note,
                assessments=[given["assessment_id"] for given in summary["assessments"]],
            )
            self.screen.done(
                f"{proposal['reference']}: scores of a criterion are far apart, {apart}. The panel puts on record why."
            )
        for key, decision in self.data["decisions"].items():
            # Those who scored it sit on the panel.
            members = [self.programme.assessors[given["assessor"]] for given in self.data["assessments"][key]]
            self.proposals[key] = chair.proposals.determine(
                proposal_id=self.proposals[key]["proposal_id"],
                revision=self.proposals[key]["revision"],
                content_hash=self.proposals[key]["content_hash"],
                panel=[{"person": member.address, "council": member.council} for member in members],
                **decision,
            )
        self.screen.table(
            ["", "proposal", "asks for", "score", "panel"],
            (
                [
                    proposal["reference"],
                    proposal["title"],
                    format_pounds(proposal["content"]["requested_pence"]),
                    str(Decimal(proposal["score"])),
                    "[green]approved[/]" if proposal["state"] == "approved" else f"[red]{proposal['state']}[/]",
                ]
                for proposal in sorted(self.proposals.values(), key=lambda item: -Decimal(item["score"]))
            ),
            right=[2, 3],
        )

    def award(self) -> None:
        self._chapter(5, "awards_offered_on", "The pool offers awards")
        treasurer = self._as(self.programme.treasurer)
        approved = [key for key, decision in self.data["decisions"].items() if decision["outcome"] == "approved"]
        candidates = self._until(
            "every approved proposal is a candidate for funding",
            partial(self._candidates, treasurer, len(approved)),
        )
        self.screen.by_itself(f"The decisions reached funding by themselves: {len(candidates)} candidates.")
        expires_on = f"{self.programme.day('offers_expire_on'):%Y-%m-%d}"
        for key in self.data["awards"]:
            self.awards[key] = self._offer(key, expires_on)
            self.screen.done(
                f"[bold]{self.awards[key]['reference']}[/] {format_pounds(self.awards[key]['amount_pence'])} reserved "
                f"for {self.proposals[key]['reference']}"
            )
        for key in approved:
            if key not in self.awards:
                self._offer_beyond_the_pool(key, expires_on)
        self._day("awards_approved_on")
        for award in self.awards.values():
            self._as(self.programme.approver).funding.approve_award(award_id=award["award_id"])
        self.screen.done(f"{self.programme.approver.name}, a second person, approves {len(self.awards)} offers.")

    def fund(self) -> None:
        self._chapter(6, "awards_accepted_on", "Section 95 officers accept, and tracking begins")
        cdo = self._as(self.programme.cdo)
        for key, award in self.awards.items():
            officer = self.programme.s95_officer(award["lead_council"])
            accepted = self._as(officer).funding.accept_award(award_id=award["award_id"])
            accepted_at = time.perf_counter()
            self.awards[key] = accepted
            project_id = accepted["project_id"]
            plan = self._until(
                f"the tracking plan of {accepted['reference']} exists",
                partial(self._if_found, cdo.outcomes.get_plan, project_id=project_id),
            )
            waited_ms = (time.perf_counter() - accepted_at) * 1000
            periods = sum(len(result["periods"]) for result in plan["results"])
            self.screen.done(
                f"{officer.name} ({name_of(award['lead_council'])}) accepts "
                f"{format_pounds(accepted['amount_pence'])} for {self.proposals[key]['reference']}."
            )
            self.screen.by_itself(
                f"Its tracking plan was there {waited_ms:.0f} ms later: {len(plan['results'])} indicators, "
                f"{periods} reports until {plan['last_due_on']}, {len(plan['milestones'])} milestones."
            )

    def pay_first_tranche(self) -> None:
        self._chapter(7, "milestone_achieved_on", "A milestone unlocks money")
        for milestone in self.data["milestones"]:
            award = self.awards[milestone["proposal"]]
            lead = self._as(self.programme.proposer(award["lead_council"]))
            lead.outcomes.achieve_milestone(
                project_id=award["project_id"], milestone=milestone["milestone"], evidence=milestone["evidence"]
            )
            self.screen.done(
                f"{name_of(award['lead_council'])} shows that milestone [bold]{milestone['milestone']}[/] of "
                f"{self.proposals[milestone['proposal']]['reference']} is achieved."
            )
            self._until(
                f"tranche {milestone['milestone']} may be claimed",
                partial(self._is_claimable, lead, award["award_id"], milestone["milestone"]),
            )
            self.screen.by_itself("Outcomes told funding: the tranche that hangs on it may be claimed.")
        for drawdown in self.data["drawdowns"]:
            self._pay(drawdown)

    def report_and_certify(self) -> None:
        self._chapter(8, "reported_on", "First outcomes are reported and certified")
        cdo = self._as(self.programme.cdo)
        reported: list[tuple[dict[str, Any], dict[str, Any]]] = []
        for report in self.data["reports"]:
            period = self._period(cdo, report)
            values = {name: report[name] for name in REPORTED_VALUES if name in report}
            self._as(self.programme.proposer(report["council"])).outcomes.report_actual(
                period_id=period["period_id"], **values
            )
            reported.append((report, period))
        self.screen.done(f"{len(reported)} figures are reported, each with its story.")
        self._day("certified_on")
        rows = []
        for report, period in reported:
            is_saving = period["kind"].endswith("_saving")
            certifier = self.programme.s95_officer(report["council"]) if is_saving else self.programme.cdo
            certified = self._as(certifier).outcomes.certify_period(period_id=period["period_id"])
            rows.append(
                [
                    self.proposals[report["proposal"]]["reference"],
                    certified["title"],
                    name_of(report["council"]),
                    certified["period"],
                    _measured(certified["target"], certified),
                    _measured(certified["value"], certified),
                    f"{certifier.name} ({'Section 95 officer' if is_saving else 'CDO'})",
                ]
            )
        self.screen.table(["", "benefit", "council", "period", "target", "actual", "certified by"], rows, right=[4, 5])

    def sum_up(self) -> None:
        self._chapter(9, "certified_on", "Where the programme stands")
        pool, checked = self._pool(), self._as(self.programme.cdo).funding.verify_ledger(pool_id=self.pool_id)
        position = pool["position"]
        self.screen.table(
            ["received", "free", "reserved", "committed", "paid out"],
            [
                [
                    format_pounds(position[f"{name}_pence"])
                    for name in ("received", "available", "reserved", "committed", "paid")
                ]
            ],
            right=range(5),
        )
        if not checked["ok"]:
            raise StoryBroke(f"the ledger does not add up: {checked['problems']}")
        self.screen.done(
            f"The ledger adds up: {checked['transactions']} transactions, {checked['postings']} postings, "
            "every one balanced, no account below zero."
        )
        cdo = self._as(self.programme.cdo)
        plans = list(self._items(cdo.outcomes.list_plans))
        if len(plans) != len(self.awards):
            raise StoryBroke(f"{len(self.awards)} projects were funded and {len(plans)} plans exist")
        self.screen.table(
            ["", "project", "lead", "award", "tracked until"],
            (
                [
                    plan["proposal_reference"],
                    plan["title"],
                    name_of(plan["lead_council"]),
                    format_pounds(plan["amount_pence"]),
                    plan["last_due_on"],
                ]
                for plan in plans
            ),
            right=[3],
        )
        for saving in cdo.outcomes.benefits_summary()["savings"]:
            if Decimal(saving["certified_gross"]):
                self.screen.done(
                    f"{saving['kind'].replace('_', ' ').capitalize()} so far: £{Decimal(saving['net']):,} net "
                    f"(certified £{Decimal(saving['certified_gross']):,}, less what would have happened anyway); "
                    f"planned £{Decimal(saving['target']):,}."
                )

    def how_to_go_on(self, kept_in: Path | None) -> None:
        lines = [
            "[bold]make test[/]                       every test, on a RabbitMQ and a PostgreSQL that it starts itself",
            '[bold]make demo DEMO_ARGS="--help"[/]    the same story on real servers, a process per service',
            "[bold]examples/[/]                       the programme and the six proposals that you have just seen",
            "[bold]README.md[/]                       what this is, and one proposal submitted by hand",
        ]
        if kept_in is not None:
            lines.append(f"[bold]{kept_in}[/] keeps the three databases; look into them with sqlite3.")
        self.screen.closing(lines)

    # ----------------------------------------------------------------------------------------- parts of the chapters

    def _offer(self, key: str, expires_on: str) -> dict[str, Any]:
        proposal = self.proposals[key]
        offered: dict[str, Any] = self._as(self.programme.treasurer).funding.offer_award(
            pool_id=self.pool_id,
            proposal_id=proposal["proposal_id"],
            amount_pence=proposal["content"]["requested_pence"],
            expires_on=expires_on,
        )
        return offered

    def _offer_beyond_the_pool(self, key: str, expires_on: str) -> None:
        try:
            self._offer(key, expires_on)
        except Conflict as refusal:
            self.screen.refused(f"{self.proposals[key]['reference']} stays a candidate. {refusal}")
        else:
            raise StoryBroke(f"the ledger let {key} overdraw the pool")

    def _pay(self, drawdown: dict[str, Any]) -> None:
        award, tranche = self.awards[drawdown["proposal"]], drawdown["tranche"]
        about = {"award_id": award["award_id"], "tranche": tranche}
        self._day("drawdown_requested_on")
        proposer = self.programme.proposer(award["lead_council"])
        self._as(proposer).funding.request_drawdown(**about, evidence=drawdown["evidence"])
        self.screen.done(f"{proposer.name} asks for the tranche.")
        self._day("drawdown_approved_on")
        self._as(self.programme.approver).funding.approve_drawdown(**about)
        self.screen.done(f"{self.programme.approver.name} approves the drawdown.")
        day = self._day("tranche_paid_on")
        paid = self._as(self.programme.treasurer).funding.record_payment(
            **about, payment_reference=drawdown["payment_reference"], paid_on=f"{day:%Y-%m-%d}"
        )
        self.screen.done(
            f"{self.programme.treasurer.name} pays {format_pounds(paid['amount_pence'])} ({paid['payment_reference']})."
        )

    def _period(self, cdo: Client, report: dict[str, Any]) -> dict[str, Any]:
        """Return the period that a report is about, with what its indicator is."""
        plan = cdo.outcomes.get_plan(project_id=self.awards[report["proposal"]]["project_id"])
        for result in plan["results"]:
            for period in result["periods"]:
                if (result["key"], period["council"], period["period"]) == (
                    report["benefit"],
                    report["council"],
                    report["period"],
                ):
                    return {**period, "kind": result["kind"]}
        raise StoryBroke(f"the plan has no period {report['benefit']}, {report['council']}, {report['period']}")

    @staticmethod
    def _is_eligible(lead: Client, proposal_id: str) -> bool:
        return bool(lead.proposals.check_eligibility(proposal_id=proposal_id)["eligible"])

    @staticmethod
    def _is_claimable(lead: Client, award_id: str, key: str) -> bool:
        tranches = lead.funding.get_award(award_id=award_id)["tranches"]
        return any(tranche["tranche"] == key and tranche["state"] == "claimable" for tranche in tranches)

    def _closed_round(self) -> dict[str, Any] | None:
        found: dict[str, Any] = self._as(self.programme.cdo).proposals.get_round(round_id=self.round_id)
        return found if found["closed_at"] else None

    def _candidates(self, treasurer: Client, expected: int) -> list[dict[str, Any]] | None:
        candidates = list(self._items(treasurer.funding.list_candidates, pool_id=self.pool_id))
        return candidates if len(candidates) == expected else None

    def _pool(self) -> dict[str, Any]:
        pool: dict[str, Any] = self._as(self.programme.cdo).funding.get_pool(pool_id=self.pool_id)
        return pool

    def _councils(self, proposal: dict[str, Any]) -> str:
        others = [name_of(council) for council in proposal["participants"]]
        names = [f"[bold]{name_of(proposal['lead_council'])}[/]", *others]
        return ", ".join(names[:-1]) + " and " + names[-1]

    # --------------------------------------------------------------------------------------------------- stagecraft

    def _as(self, person: Person) -> Client:
        return self.stage.client.acting(person.token)

    def _chapter(self, number: int, step: str, title: str) -> None:
        day = self.programme.day(step)
        self._move_clock(day)
        self.screen.chapter(number, day, title)

    def _day(self, step: str) -> datetime:
        day = self.programme.day(step)
        self._move_clock(day)
        self.screen.on(day)
        return day

    def _move_clock(self, day: datetime) -> None:
        # Two steps of one day: the clock goes on, it never goes back.
        if day.date() != self.stage.clock.now().date():
            self.stage.clock.set(day)

    def _until(self, what: str, ask: Callable[[], Result | None]) -> Result:
        """Ask again until the answer is something: an event needs a moment to have its effect."""
        deadline = time.monotonic() + EVENT_TIMEOUT_S
        while True:
            answer = ask()
            if answer:
                return answer
            if time.monotonic() > deadline:
                raise StoryBroke(f"After {EVENT_TIMEOUT_S:g} seconds it is still not so that {what}.")
            time.sleep(POLL_INTERVAL_S)

    @staticmethod
    def _if_found(call: Callable[..., Any], **arguments: Any) -> Any:
        try:
            return call(**arguments)
        except NotFound:
            return None

    @staticmethod
    def _items(call: Callable[..., Any], **arguments: Any) -> Iterator[dict[str, Any]]:
        """Go through a list, page by page."""
        cursor = None
        while True:
            page = call(**arguments, cursor=cursor)
            yield from page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return


def _measured(value: str, period: dict[str, Any]) -> str:
    """Return a measured value with its unit."""
    if period["measure"] == "currency":
        return f"£{Decimal(value):,}"
    return f"{value} %" if period["measure"] == "percentage" else f"{value} {period['unit']}"
