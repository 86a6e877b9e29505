"""Awards: what may be offered, and who may answer when."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from services.funding.domain.people import check_acts_for_lead, check_had_no_part, check_two_people
from shared.errors import Conflict, Invalid
from shared.money import format_pounds
from shared.security.principal import S95_OFFICER, Principal


class AwardState(StrEnum):
    """Where an award stands. An offer is open for acceptance once a second person approved it."""

    OFFERED = "offered"
    ACTIVE = "active"
    DECLINED = "declined"
    LAPSED = "lapsed"
    COMPLETED = "completed"
    TERMINATED = "terminated"


#: A proposal has at most one award in these states: what is done is not paid for twice, what was terminated may be
#: taken up again, with another award.
LIVE_AWARD_STATES = (AwardState.OFFERED, AwardState.ACTIVE, AwardState.COMPLETED)
#: The ways in which a project ends.
ENDED_AWARD_STATES = (AwardState.COMPLETED, AwardState.TERMINATED)
#: An award in these states was accepted and has a project.
WITH_PROJECT = (AwardState.ACTIVE, *ENDED_AWARD_STATES)


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

    @property
    def parts(self) -> Mapping[str, str]:
        """Who handed in, confirmed or decided on the proposal, as far as that is known: each person's part."""


def approve_award(award: AwardFacts, *, by: Principal, at: datetime) -> None:
    """Open an offer for acceptance, as the second person.

    :raises Forbidden: ``two_people`` for whoever made the offer, and for whoever handed in, confirmed or decided on the
        proposal.
    :raises Conflict: when it was approved or answered before, or has expired.
    """
    _check_still_offered(award)
    if award.approved_by is not None:
        raise Conflict("already_approved", "This offer is approved already; the council may accept it.")
    check_two_people(award.offered_by, by, "made this offer", "approve it")
    check_had_no_part(award.parts, by, "approve the offer")
    _check_not_expired(award, at)
    award.approved_by, award.approved_at = by.subject, at


def accept_award(award: AwardFacts, *, by: Principal, at: datetime, project_id: UUID) -> None:
    """Take the offer for the lead council: the moment at which the project is funded, and is born.

    :param project_id: the id that the project gets.
    :raises Forbidden: ``not_the_lead`` for anybody but a Section 95 officer of the lead council; ``two_people`` for
        whoever made or approved the offer.
    :raises Conflict: when the offer is not approved, was answered before, or has expired.
    """
    check_acts_for_lead(award.lead_council, by, S95_OFFICER, "Section 95 officer")
    _check_open_for_an_answer(award)
    check_two_people(award.offered_by, by, "made this offer", "accept it")
    check_two_people(award.approved_by, by, "approved this offer", "accept it")
    _check_not_expired(award, at)
    award.state = AwardState.ACTIVE
    award.accepted_by, award.accepted_at = by.subject, at
    award.project_id = project_id


def decline_award(award: AwardFacts, *, by: Principal, at: datetime, reason: str) -> None:
    """Turn the offer down for the lead council; after it has expired too, because that frees the money.

    :raises Forbidden: ``not_the_lead`` for anybody but a Section 95 officer of the lead council.
    :raises Conflict: when the offer is not approved or was answered before.
    """
    check_acts_for_lead(award.lead_council, by, S95_OFFICER, "Section 95 officer")
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
