"""Finds rounds and proposals in the database, and locks them."""

from collections.abc import Collection, Iterator
from datetime import date
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from services.proposals import access
from services.proposals.domain import scoring
from services.proposals.domain.cases import Case
from services.proposals.domain.rounds import RoundRules
from services.proposals.domain.sign_off import Request, Word, requests
from services.proposals.domain.states import UNDECIDED, State
from services.proposals.models import Assessment, Member, Proposal, Revision, Round, RoundChange
from shared.errors import NotFound
from shared.security.principal import Principal

#: Changes that a round is shown with.
MAX_CHANGES = 100


def round_by_id(session: Session, round_id: UUID, *, lock: bool = False) -> Round:
    """Return a round.

    :param lock: keep others from changing it until the transaction ends.
    :raises NotFound: when there is none.
    """
    found = session.get(Round, round_id, with_for_update=True if lock else None, populate_existing=lock)
    if found is None:
        raise NotFound("round_not_found", "There is no such round; list_rounds names them all.")
    return found


def keep_as_it_is(session: Session, round_id: UUID) -> None:
    """Keep a round from being closed or changed until the transaction ends; others may hold it as well."""
    session.get(Round, round_id, with_for_update={"read": True}, populate_existing=True)


def changes_of(session: Session, round_id: UUID) -> list[RoundChange]:
    """Return the last :data:`MAX_CHANGES` changes of a round, oldest first."""
    latest = select(RoundChange).where(RoundChange.round_id == round_id).order_by(RoundChange.version.desc())
    return list(reversed(session.scalars(latest.limit(MAX_CHANGES)).all()))


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
    rules = RoundRules.from_json(proposal.rules)
    conflicted = frozenset(conflict.person for conflict in proposal.conflicts)
    tally = tally_of(current, conflicted) if current else None
    return Case(
        reference=proposal.reference,
        state=State(proposal.state),
        revision=proposal.revision,
        draft_version=proposal.draft_version,
        quorum=rules.quorum,
        answers={part.council: part.answer for part in current.participations} if current else {},
        carried=frozenset(part.council for part in current.participations if part.carried_from) if current else (),
        assessors=frozenset(assessment.assessor for assessment in current.assessments) if current else frozenset(),
        conflicted=conflicted,
        involved=frozenset(_involved_in(proposal)),
        councils_of=_councils_of_assessors(proposal),
        content_hash=current.content_hash if current else None,
        wide_spread=tally is not None and tally.wide,
        moderators=frozenset(note.moderated_by for note in current.moderations) if current else frozenset(),
        moderated=current is not None and is_moderated(current, conflicted),
    )


def current_revision(proposal: Proposal) -> Revision:
    """Return the revision that was last handed in, where there must be one."""
    assert proposal.current is not None, "only what was handed in is assessed"
    return proposal.current


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


def counted(revision: Revision, conflicted: Collection[str]) -> list[Assessment]:
    """Return the assessments that count, oldest first: not those of people who have declared a conflict of interest."""
    return [given for given in revision.assessments if given.assessor not in conflicted]


def tally_of(revision: Revision, conflicted: Collection[str]) -> scoring.Tally | None:
    """Return what the assessments that count come to; None below the quorum, where neither score nor spread exists."""
    rules = RoundRules.from_json(revision.rules)
    given = counted(revision, conflicted)
    if len(given) < rules.quorum:
        return None
    return scoring.tally(rules.criteria, [assessment.scores for assessment in given])


def is_moderated(revision: Revision, conflicted: Collection[str]) -> bool:
    """Tell whether a moderation note is on the very assessments that count now."""
    ids = {str(given.id) for given in counted(revision, conflicted)}
    return any(set(note.assessments) == ids for note in revision.moderations)


def _involved_in(proposal: Proposal) -> Iterator[str]:
    yield proposal.created_by
    yield from proposal.rewritten_by or ()
    for revision in proposal.revisions.values():
        yield revision.submitted_by
        yield from (part.answered_by for part in revision.participations if part.answered_by is not None)


def sign_off_of_draft(proposal: Proposal) -> list[Request]:
    """Return what handing the draft in as the next revision means for each council but the lead."""
    history = {
        number: {part.council: Word(part.answer, part.carried_from) for part in revision.participations}
        for number, revision in proposal.revisions.items()
    }
    return requests(proposal.draft, history, lambda number: proposal.revisions[number].content)


def _councils_of_assessors(proposal: Proposal) -> dict[str, set[str]]:
    councils: dict[str, set[str]] = {}
    for revision in proposal.revisions.values():
        for given in revision.assessments:
            if given.council is not None:
                councils.setdefault(given.assessor, set()).add(given.council)
    return councils


def members_on(session: Session, day: date, among: Collection[str]) -> set[str]:
    """Return which of some councils are members of a pool on a day."""
    return set(
        session.scalars(
            select(Member.council).where(
                Member.joins_on <= day,
                or_(Member.leaves_on.is_(None), Member.leaves_on >= day),
                Member.council.in_(among),
            )
        )
    )
