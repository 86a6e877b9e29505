"""Pools, awards and drawdowns: their states, and what may happen in which of them, in plain Python.

The classes named ``...Facts`` say what the rules read and set; the tables of ``models`` have the same attributes.
Functions are named after the commands. Each either changes its subject or raises an error for the caller.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from shared import councils, periods
from shared.errors import Conflict, Forbidden, Invalid
from shared.money import format_pounds
from shared.security.principal import PROPOSER, S95_OFFICER, Principal

#: A pool is for this many whole financial years at most.
MAX_POOL_YEARS = 5


class AwardState(StrEnum):
    """Where an award stands. An offer is open for acceptance once a second person approved it."""

    OFFERED = "offered"
    ACTIVE = "active"
    DECLINED = "declined"
    LAPSED = "lapsed"


#: A proposal has at most one award in these states.
LIVE_AWARD_STATES = (AwardState.OFFERED, AwardState.ACTIVE)


class TrancheState(StrEnum):
    """Where the drawdown of a tranche stands. A rejected request goes back to claimable and keeps the reason."""

    LOCKED = "locked"
    CLAIMABLE = "claimable"
    REQUESTED = "requested"
    APPROVED = "approved"
    PAID = "paid"


# --- pools ----------------------------------------------------------------------------------------------------------


class MemberFacts(Protocol):
    """A council's membership of a pool."""

    council: str
    joins_on: date


def check_pool_years(starts_on: date, ends_on: date) -> None:
    """Refuse a pool that is not for one to five whole financial years, such as the three of 2016-17 to 2018-19.

    :raises Invalid: naming the day at fault.
    """
    faults: dict[str, list[str]] = {}
    if (starts_on.month, starts_on.day) != (4, 1):
        faults["starts_on"] = ["Give the first day of a financial year: 1 April."]
    if (ends_on.month, ends_on.day) != (3, 31):
        faults["ends_on"] = ["Give the last day of a financial year: 31 March."]
    if not faults:
        years = periods.years_between(starts_on, ends_on)
        if not 1 <= len(years) <= MAX_POOL_YEARS:
            faults["ends_on"] = [f"Give a day one to {MAX_POOL_YEARS} financial years after the start."]
        elif not _are_years(years):
            faults["starts_on"] = ["Give a financial year of this century."]
    if faults:
        raise Invalid(
            "not_financial_years",
            f"A pool is for one to {MAX_POOL_YEARS} whole financial years, from a 1 April to a 31 March.",
            faults,
        )


def _are_years(codes: Iterable[str]) -> bool:
    try:
        for code in codes:
            periods.parse_year(code)
    except ValueError:
        return False
    return True


def check_joining(members: Iterable[MemberFacts], council: str, joins_on: date, starts_on: date, ends_on: date) -> None:
    """Refuse a council that is a member already, or a day on which there is no pool.

    :param joins_on: the first day of the membership.
    :param starts_on: the pool's first day.
    :param ends_on: the pool's last day.
    :raises Conflict: ``already_member``.
    :raises Invalid: ``outside_the_pool``.
    """
    for member in members:
        if member.council == council:
            raise Conflict(
                "already_member",
                f"{councils.name_of(council)} is a member of the pool from {member.joins_on}; there is nothing to add.",
            )
    if not starts_on <= joins_on <= ends_on:
        sentence = f"The pool runs from {starts_on} to {ends_on}; let the council join on one of its days."
        raise Invalid("outside_the_pool", sentence, {"joins_on": [sentence]})


def check_year_of_pool(year: str, years: Iterable[str]) -> None:
    """Refuse a financial year that the pool is not for. :raises Invalid: ``not_a_year_of_the_pool``."""
    years = list(years)
    if year not in years:
        sentence = f"The pool is for the financial years {', '.join(years)}; choose one of them."
        raise Invalid("not_a_year_of_the_pool", sentence, {"year": [sentence]})


def members_during(members: Iterable[MemberFacts], year: str) -> list[str]:
    """Return the GSS codes of the councils that are members at some time of a financial year, in order."""
    ends_on = periods.parse_year(year).ends_on
    return sorted(member.council for member in members if member.joins_on <= ends_on)


def check_member(members: Iterable[MemberFacts], council: str) -> None:
    """Refuse a council that is not a member. :raises Conflict: ``not_a_member``."""
    if council not in {member.council for member in members}:
        sentence = f"{councils.name_of(council)} is not a member of the pool; add it first, or correct the council."
        raise Conflict("not_a_member", sentence, {"council": [sentence]})


def check_not_in_the_future(field: str, day: date, today: date) -> None:
    """Refuse to record what has not happened yet. :raises Invalid: naming the field."""
    if day > today:
        sentence = f"{day} is in the future; record the money once it has moved."
        raise Invalid("in_the_future", sentence, {field: [sentence]})


def check_same_facts(reference_field: str, reference: str, recorded: object, given: Mapping[str, Any]) -> None:
    """Refuse a reference that was recorded before with other facts; with the same ones it is the same money again.

    :param reference_field: the field that holds the bank's or the payment's reference.
    :param recorded: what was recorded first.
    :param given: the facts of now, by the name of their attribute and field.
    :raises Conflict: ``reference_used``, naming the facts that differ.
    """
    differing = {
        name: [f"Recorded before as {getattr(recorded, name)}."]
        for name, fact in given.items()
        if getattr(recorded, name) != fact
    }
    if differing:
        raise Conflict(
            "reference_used",
            f"{reference} is recorded already, with other facts: a reference counts once in a pool."
            f" Correct {', '.join(sorted(differing))} or {reference_field}.",
            differing,
        )


# --- awards ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TrancheTerms:
    """A part of an award that its milestone unlocks; named by the milestone's key."""

    key: str
    title: str
    due_on: date
    amount_pence: int


def tranches_of(content: Mapping[str, Any]) -> list[TrancheTerms]:
    """Return the tranches of a proposal's content, in the order of its milestones; one without money has none."""
    return [
        TrancheTerms(
            milestone["key"],
            milestone["title"],
            date.fromisoformat(milestone["due_on"]),
            milestone["tranche_pence"],
        )
        for milestone in content["milestones"]
        if milestone["tranche_pence"] > 0
    ]


def check_offer(
    content: Mapping[str, Any], *, withdrawn_at: datetime | None, amount_pence: int, expires_on: date, today: date
) -> None:
    """Refuse an offer that the approved proposal or the calendar does not bear.

    The sum is what the panel approved: the proposal's tranches add up to it, and each is paid whole.

    :param content: the approved content.
    :param expires_on: the last day on which the council may accept.
    :raises Conflict: ``proposal_withdrawn``.
    :raises Invalid: for another sum than requested, tranches that are not that sum, or a day that is not in the future.
    """
    if withdrawn_at is not None:
        raise Conflict("proposal_withdrawn", "The lead council has withdrawn this proposal; offer to another one.")
    requested_pence = content["requested_pence"]
    if amount_pence != requested_pence:
        sentence = f"The panel approved {format_pounds(requested_pence)}; offer {requested_pence} pence exactly."
        raise Invalid("not_the_requested_amount", sentence, {"amount_pence": [sentence]})
    if sum(tranche.amount_pence for tranche in tranches_of(content)) != amount_pence:
        raise Invalid(
            "tranches_do_not_add_up",
            "The proposal's tranches do not add up to what it requests; ask the panel for a corrected revision.",
        )
    if expires_on <= today:
        sentence = f"Let the offer expire after today, {today}, so that the council can accept it."
        raise Invalid("not_in_the_future", sentence, {"expires_on": [sentence]})


class AwardFacts(Protocol):
    """An award, as its rules see it."""

    state: str
    expires_on: date
    offered_by: str
    approved_by: str | None
    approved_at: datetime | None
    accepted_by: str | None
    accepted_at: datetime | None
    declined_by: str | None
    declined_at: datetime | None
    decline_reason: str | None
    lapsed_at: datetime | None
    project_id: UUID | None

    @property
    def lead_council(self) -> str:
        """The GSS code of the council that leads the proposal."""


def approve_award(award: AwardFacts, *, by: Principal, at: datetime) -> None:
    """Open an offer for acceptance, as the second person.

    :raises Forbidden: ``two_people`` for whoever made the offer.
    :raises Conflict: when it was approved or answered before, or has expired.
    """
    _check_still_offered(award)
    if award.approved_by is not None:
        raise Conflict("already_approved", "This offer is approved already; the council may accept it.")
    _check_two_people(award.offered_by, by, "made this offer", "approve it")
    _check_not_expired(award, at)
    award.approved_by, award.approved_at = by.subject, at


def accept_award(award: AwardFacts, *, by: Principal, at: datetime, project_id: UUID) -> None:
    """Take the offer for the lead council: the moment at which the project is funded, and is born.

    :param project_id: the id that the project gets.
    :raises Forbidden: ``not_the_lead`` for anybody but a Section 95 officer of the lead council; ``two_people`` for
        whoever made or approved the offer.
    :raises Conflict: when the offer is not approved, was answered before, or has expired.
    """
    _check_acts_for_lead(award, by, S95_OFFICER, "Section 95 officer")
    _check_open_for_an_answer(award)
    _check_two_people(award.offered_by, by, "made this offer", "accept it")
    _check_two_people(award.approved_by, by, "approved this offer", "accept it")
    _check_not_expired(award, at)
    award.state = AwardState.ACTIVE
    award.accepted_by, award.accepted_at = by.subject, at
    award.project_id = project_id


def decline_award(award: AwardFacts, *, by: Principal, at: datetime, reason: str) -> None:
    """Turn the offer down for the lead council; after it has expired too, because that frees the money.

    :raises Forbidden: ``not_the_lead`` for anybody but a Section 95 officer of the lead council.
    :raises Conflict: when the offer is not approved or was answered before.
    """
    _check_acts_for_lead(award, by, S95_OFFICER, "Section 95 officer")
    _check_open_for_an_answer(award)
    award.state = AwardState.DECLINED
    award.declined_by, award.declined_at, award.decline_reason = by.subject, at, reason


def lapse_award(award: AwardFacts, *, at: datetime) -> None:
    """End an offer that nobody took by its last day, approved or not.

    :raises Conflict: when it was answered before, or its last day is not over.
    """
    _check_still_offered(award)
    if not _is_expired(award, at):
        raise Conflict("offer_stands", f"This offer stands until {award.expires_on}, that day included.")
    award.state, award.lapsed_at = AwardState.LAPSED, at


def _check_still_offered(award: AwardFacts) -> None:
    if award.state != AwardState.OFFERED:
        raise Conflict("award_not_offered", f"This award is {award.state}; only one on offer can be answered.")


def _check_open_for_an_answer(award: AwardFacts) -> None:
    _check_still_offered(award)
    if award.approved_by is None:
        raise Conflict("offer_not_approved", "A second person of the pool must approve this offer first; wait for it.")


def _check_not_expired(award: AwardFacts, at: datetime) -> None:
    if _is_expired(award, at):
        raise Conflict("offer_expired", f"This offer expired on {award.expires_on}; ask the treasurer for a new one.")


def _is_expired(award: AwardFacts, at: datetime) -> bool:
    return at.date() > award.expires_on


def _check_acts_for_lead(award: AwardFacts, by: Principal, role: str, title: str) -> None:
    if not by.acts_for(award.lead_council, role):
        raise Forbidden("not_the_lead", f"Only a {title} of {councils.name_of(award.lead_council)} may do this.")


def _check_two_people(first: str | None, second: Principal, did: str, next_step: str) -> None:
    """Two people for money: whoever asks or records never approves the same thing, whatever roles they hold."""
    if first == second.subject:
        raise Forbidden("two_people", f"You {did}, so a second person must {next_step}.")


# --- drawdowns ------------------------------------------------------------------------------------------------------


class TrancheFacts(Protocol):
    """A tranche of an active award and its drawdown, as the rules see them."""

    key: str
    state: str
    achieved_on: date | None
    evidence: str | None
    requested_by: str | None
    requested_at: datetime | None
    approved_by: str | None
    approved_at: datetime | None
    rejected_by: str | None
    rejected_at: datetime | None
    rejection_reason: str | None


def unlock_tranche(tranche: TrancheFacts, achieved_on: date) -> None:
    """Let a tranche be claimed, because its milestone is achieved; one that is unlocked stays as it is."""
    if tranche.state == TrancheState.LOCKED:
        tranche.state = TrancheState.CLAIMABLE
        tranche.achieved_on = achieved_on


def request_drawdown(tranche: TrancheFacts, award: AwardFacts, *, by: Principal, at: datetime, evidence: str) -> None:
    """Ask for the payment of a tranche, for the lead council.

    :raises Forbidden: ``not_the_lead`` for anybody but a proposer of the lead council.
    :raises Conflict: when the tranche is not claimable.
    """
    _check_acts_for_lead(award, by, PROPOSER, "proposer")
    if tranche.state == TrancheState.LOCKED:
        raise Conflict(
            "tranche_locked",
            f"The tranche {tranche.key} is locked; report its milestone as achieved in outcomes first.",
        )
    _check_tranche_is(tranche, TrancheState.CLAIMABLE, "requested")
    tranche.state = TrancheState.REQUESTED
    tranche.requested_by, tranche.requested_at, tranche.evidence = by.subject, at, evidence


def approve_drawdown(tranche: TrancheFacts, *, by: Principal, at: datetime) -> None:
    """Let a tranche be paid, as the second person.

    :raises Forbidden: ``two_people`` for whoever requested it.
    :raises Conflict: when the tranche is not requested.
    """
    _check_tranche_is(tranche, TrancheState.REQUESTED, "approved")
    _check_two_people(tranche.requested_by, by, "requested this drawdown", "approve it")
    tranche.state = TrancheState.APPROVED
    tranche.approved_by, tranche.approved_at = by.subject, at


def reject_drawdown(tranche: TrancheFacts, *, by: Principal, at: datetime, reason: str) -> None:
    """Send a request back: the tranche is claimable again, and the reason is kept for the next one.

    :raises Conflict: when the tranche is not requested.
    """
    _check_tranche_is(tranche, TrancheState.REQUESTED, "rejected")
    tranche.state = TrancheState.CLAIMABLE
    tranche.rejected_by, tranche.rejected_at, tranche.rejection_reason = by.subject, at, reason


def pay_tranche(tranche: TrancheFacts, *, by: Principal, paid_on: date, today: date) -> None:
    """Note that a tranche was paid.

    :param by: who records the payment.
    :raises Forbidden: ``two_people`` for whoever requested or approved the drawdown.
    :raises Conflict: when the drawdown is not approved.
    :raises Invalid: for a day in the future, or before the approval.
    """
    _check_tranche_is(tranche, TrancheState.APPROVED, "paid")
    _check_two_people(tranche.requested_by, by, "requested this drawdown", "record its payment")
    _check_two_people(tranche.approved_by, by, "approved this drawdown", "record its payment")
    check_not_in_the_future("paid_on", paid_on, today)
    if tranche.approved_at is not None and paid_on < tranche.approved_at.date():
        sentence = f"The drawdown was approved on {tranche.approved_at.date()}; a payment cannot come before that."
        raise Invalid("paid_before_approval", sentence, {"paid_on": [sentence]})
    tranche.state = TrancheState.PAID


def _check_tranche_is(tranche: TrancheFacts, state: TrancheState, participle: str) -> None:
    if tranche.state != state:
        raise Conflict(
            f"tranche_not_{state}",
            f"The tranche {tranche.key} is {tranche.state}; only one that is {state} can be {participle}.",
        )
