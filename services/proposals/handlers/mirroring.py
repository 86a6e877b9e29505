"""What funding says happened: kept here as copies, and mirrored in the proposals' states.

Events may come more than once and in any order. An award's row only ever moves on, and a proposal's state is worked out
from all its awards, so that the order makes no difference.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.proposals import store
from services.proposals.domain.awards import NEWS, AwardState, further, outcome_of
from services.proposals.domain.cases import BY_ITSELF
from services.proposals.domain.lifecycle import advance
from services.proposals.models import Award, Member, Proposal
from shared.errors import Conflict
from shared.messaging.events import Event
from shared.storage.upsert import insert_into


def mirror_member_joined(session: Session, event: Event) -> None:
    """Remember that a council is a member of a pool from a day on."""
    data = event.data
    session.execute(
        insert_into(session, Member)
        .values(pool_id=data["pool_id"], council=data["council"], joins_on=data["joins_on"])
        .on_conflict_do_nothing()
    )


def mirror_member_left(session: Session, event: Event) -> None:
    """Remember the last day of a council's membership, which may be heard of before its first.

    :raises Conflict: when another last day is known.
    """
    data = event.data
    membership = {name: data[name] for name in ("pool_id", "council", "joins_on")}
    session.execute(insert_into(session, Member).values(membership).on_conflict_do_nothing())
    member = session.get_one(Member, membership, populate_existing=True, with_for_update=True)
    if member.leaves_on not in (None, data["leaves_on"]):
        raise Conflict(
            "membership_contradicted",
            f"{data['council']} leaves pool {data['pool_id']} on {member.leaves_on} here, not on {data['leaves_on']}.",
        )
    member.leaves_on = data["leaves_on"]


def mirror_award_offered(session: Session, event: Event) -> None:
    """Note that the proposal was offered money."""
    data = event.data
    _note(session, data, AwardState.OFFERED, amount_pence=data["amount_pence"], expires_on=data["expires_on"])


def mirror_award_declined(session: Session, event: Event) -> None:
    """Note that the lead council does not take the offer."""
    _note(session, event.data, AwardState.DECLINED, reason=event.data["reason"])


def mirror_award_lapsed(session: Session, event: Event) -> None:
    """Note that nobody took the offer in time."""
    _note(session, event.data, AwardState.LAPSED)


def mirror_project_funded(session: Session, event: Event) -> None:
    """Note that the lead council took the offer and the project is born."""
    data = event.data
    _note(session, data, AwardState.FUNDED, amount_pence=data["amount_pence"], project_id=data["project_id"])


def mirror_project_completed(session: Session, event: Event) -> None:
    """Note that the project has done what it was funded for."""
    _note(session, event.data, AwardState.COMPLETED, project_id=event.data["project_id"])


def mirror_award_terminated(session: Session, event: Event) -> None:
    """Note that the project was ended early."""
    data = event.data
    _note(session, data, AwardState.TERMINATED, project_id=data["project_id"], reason=data["reason"])


def _note(session: Session, data: dict[str, Any], state: AwardState, **facts: Any) -> None:
    proposal = _lock(session, data["proposal_id"])
    award = next((award for award in proposal.awards if award.id == data["award_id"]), None)
    if award is None:
        _check_is_nobodys(session, data)
        award = Award(id=data["award_id"], state=AwardState.OFFERED)
        proposal.awards.append(award)
    award.state = further(award.id, AwardState(award.state), state)
    if "project_id" in facts:
        _check_is_its_project(session, award, facts["project_id"])
    for name, value in facts.items():
        setattr(award, name, value)
    news = NEWS[outcome_of([award.state for award in proposal.awards])]
    proposal.state = advance(store.case_of(proposal), news, BY_ITSELF)


def _check_is_nobodys(session: Session, data: dict[str, Any]) -> None:
    """:raises Conflict: for an award that is another proposal's already."""
    if session.get(Award, data["award_id"]) is not None:
        raise Conflict("award_contradicted", f"Award {data['award_id']} is another proposal's here.")


def _check_is_its_project(session: Session, award: Award, project_id: UUID) -> None:
    """:raises Conflict: for a project that was born of another award."""
    with session.no_autoflush:
        other = session.scalar(select(Award.id).where(Award.project_id == project_id, Award.id != award.id))
    if other is not None or award.project_id not in (None, project_id):
        raise Conflict("award_contradicted", f"Project {project_id} cannot be of award {award.id} here.")


def _lock(session: Session, proposal_id: UUID) -> Proposal:
    """:raises Conflict: for a proposal that is not here, which makes the event wait and then go to the dead letters."""
    proposal = session.scalar(select(Proposal).where(Proposal.id == proposal_id).with_for_update())
    if proposal is None:
        raise Conflict("proposal_unknown", f"There is no proposal {proposal_id} here that an award could belong to.")
    return proposal
