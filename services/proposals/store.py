"""Finds rounds and proposals in the database, and locks them."""

from collections.abc import Collection, Iterator
from datetime import date
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.proposals import access
from services.proposals.domain.lifecycle import UNDECIDED, Case, State
from services.proposals.domain.rounds import RoundRules
from services.proposals.domain.sign_off import Request, Word, requests
from services.proposals.models import Member, Proposal, Revision, Round
from shared.errors import NotFound
from shared.security.principal import Principal


def round_by_id(session: Session, round_id: UUID, *, lock: bool = False) -> Round:
    """Return a round.

    :param lock: keep others from changing it until the transaction ends.
    :raises NotFound: when there is none.
    """
    found = session.get(Round, round_id, with_for_update=True if lock else None, populate_existing=lock)
    if found is None:
        raise NotFound("round_not_found", "There is no such round; list_rounds names them all.")
    return found


def keep_open(session: Session, round_id: UUID) -> None:
    """Keep a round from being closed until the transaction ends; others may hold it open as well."""
    session.execute(select(Round.id).where(Round.id == round_id).with_for_update(read=True))


def with_undecided(session: Session, round_ids: Collection[UUID]) -> set[UUID]:
    """Return those of the rounds in which a proposal that was handed in waits for its decision."""
    waiting = select(Proposal.round_id).where(Proposal.round_id.in_(round_ids), Proposal.state.in_(UNDECIDED))
    return set(session.scalars(waiting.distinct()))


def proposal_by_id(session: Session, principal: Principal, proposal_id: UUID, *, lock: bool = False) -> Proposal:
    """Return a proposal that the caller may know of.

    :param lock: keep others from changing it until the transaction ends.
    :raises NotFound: when there is none, or none for this caller.
    """
    if lock:
        # Locked before it is looked at: whether the caller may see it depends on rows that change along with it.
        session.execute(select(Proposal.id).where(Proposal.id == proposal_id).with_for_update())
    found = session.scalar(
        select(Proposal)
        .where(Proposal.id == proposal_id, access.known(principal))
        .execution_options(populate_existing=lock)
    )
    if found is None:
        raise NotFound("proposal_not_found", "There is no such proposal, or it is not yet open to you.")
    return found


def case_of(proposal: Proposal) -> Case:
    """Return what the rules want to know of a proposal; read under its lock, it stays true for the transaction."""
    current = proposal.current
    return Case(
        reference=proposal.reference,
        state=State(proposal.state),
        revision=proposal.revision,
        draft_version=proposal.draft_version,
        quorum=RoundRules.from_json(proposal.rules).quorum,
        answers={part.council: part.answer for part in current.participations} if current else {},
        carried=frozenset(part.council for part in current.participations if part.carried_from) if current else (),
        assessors=frozenset(assessment.assessor for assessment in current.assessments) if current else frozenset(),
        conflicted=frozenset(conflict.person for conflict in proposal.conflicts),
        involved=frozenset(_involved_in(proposal)),
    )


def _involved_in(proposal: Proposal) -> Iterator[str]:
    yield proposal.created_by
    for revision in proposal.revisions.values():
        yield revision.submitted_by
        yield from (part.answered_by for part in revision.participations if part.answered_by is not None)


def revision_of(proposal: Proposal, number: int, *, field: str = "revision") -> Revision:
    """Return a frozen revision.

    :param field: the argument that names it.
    :raises NotFound: when the proposal has none such.
    """
    revision = proposal.revisions.get(number)
    if revision is None:
        last = proposal.revision
        there_is = f"its last is revision {last}" if last else "it has not been handed in yet"
        sentence = f"{proposal.reference} has no revision {number}; {there_is}."
        raise NotFound("revision_not_found", sentence, {field: [sentence]})
    return revision


def sign_off_of_draft(proposal: Proposal) -> list[Request]:
    """Return what handing the draft in as the next revision means for each council but the lead."""
    history = {
        number: {part.council: Word(part.answer, part.carried_from) for part in revision.participations}
        for number, revision in proposal.revisions.items()
    }
    return requests(proposal.draft, history, lambda number: proposal.revisions[number].content)


def members_on(session: Session, day: date, among: Collection[str]) -> set[str]:
    """Return which of some councils are members of a pool on a day."""
    return set(session.scalars(select(Member.council).where(Member.joins_on <= day, Member.council.in_(among))))
