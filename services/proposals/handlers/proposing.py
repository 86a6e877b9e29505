"""Councils draft, submit and withdraw proposals; the councils that take part confirm or decline."""

from datetime import datetime
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from services.proposals import access, events, store, views
from services.proposals.domain import eligibility, lifecycle, rounds
from services.proposals.domain.lifecycle import BY_ITSELF, Action, Answer, Attempt, State
from services.proposals.handlers.checking import judged
from services.proposals.models import Participation, Proposal, ReferenceCounter, Revision
from shared import clock, ids
from shared.errors import NotFound
from shared.fields import Command
from shared.proposal_content import ProposalContent
from shared.security.principal import Principal
from shared.storage import paging
from shared.storage.references import next_reference


def create_proposal(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Begin a draft, pinned to the rules of its round.

    The content may lack anything but its title and its lead council; what it has must be right by itself.

    :raises NotFound: when there is no such round.
    :raises Forbidden: unless the caller is a proposer of the council that the content names as lead.
    :raises Conflict: when the round has closed.
    """
    now = clock.now()
    called = store.round_by_id(session, command.round_id)
    access.led(principal, command.content["lead_council"])
    rounds.check_takes_drafts(called.window, now)
    proposal = Proposal(
        id=ids.new_id(),
        reference=next_reference(session, ReferenceCounter, "P", now.year),
        version=0,
        round_id=called.id,
        rules=called.rules.as_json(),
        state=State.DRAFT,
        lead_council=command.content["lead_council"],
        draft_version=1,
        revision=0,
        created_at=now,
        created_by=principal.subject,
    )
    _write_draft(proposal, command.content)
    session.add(proposal)
    return views.of_proposal(principal, proposal)


def update_proposal(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Replace the draft's content, which may lack what a new draft may lack.

    :raises Forbidden: unless the caller is a proposer of the lead council, and that stays the lead.
    :raises Conflict: when the draft is not open to change, or has changed since the caller read it.
    """
    proposal = _led_by(session, principal, command)
    access.led(principal, command.content["lead_council"])
    attempt = Attempt.by(principal, draft_version=command.expected_revision)
    proposal.state = lifecycle.advance(store.case_of(proposal), Action.EDIT, attempt)
    proposal.draft_version += 1
    _write_draft(proposal, command.content)
    return views.of_proposal(principal, proposal)


def submit_proposal(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Hand the draft in: it is frozen as the next revision, and every participating council is asked to confirm it.

    :raises Forbidden: unless the caller is a proposer of the lead council.
    :raises Conflict: when there is nothing to hand in, or a rule of eligibility is not met; ``fields`` names each.
    """
    proposal = _led_by(session, principal, command)
    store.keep_open(session, proposal.round_id)
    now = clock.now()  # under the locks: a closing that this waited for lies before it
    attempt = Attempt.by(principal, eligibility=_eligibility_of_draft(session, proposal, now))
    proposal.state = lifecycle.advance(store.case_of(proposal), Action.SUBMIT, attempt)
    revision = _freeze(proposal, by=principal.subject, at=now)
    events.proposal_submitted(session, proposal, revision)
    _assess_once_confirmed(proposal)
    return views.of_proposal(principal, proposal)


def withdraw_proposal(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Take a proposal back.

    :raises Forbidden: unless the caller is a proposer of the lead council.
    :raises Conflict: when the panel has decided, or it was withdrawn before.
    """
    proposal = _led_by(session, principal, command)
    proposal.state = lifecycle.advance(store.case_of(proposal), Action.WITHDRAW, Attempt.by(principal))
    proposal.withdrawn_at, proposal.withdrawn_by = clock.now(), principal.subject
    proposal.withdrawal_reason = command.reason
    events.proposal_withdrawn(session, proposal)
    return views.of_proposal(principal, proposal)


def confirm_participation(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Say that the caller's council stands behind a revision; once all do, it goes to assessment.

    :raises Forbidden: when the council does not take part.
    :raises Conflict: when the revision is not the current one, awaits no confirmation, or has the council's answer.
    """
    proposal = store.proposal_by_id(session, principal, command.proposal_id, lock=True)
    part = _answer(proposal, principal, command, Action.CONFIRM, Answer.CONFIRMED)
    events.participation_confirmed(session, proposal, part)
    _assess_once_confirmed(proposal)
    return views.of_proposal(principal, proposal)


def decline_participation(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Say that the caller's council does not stand behind a revision, and why; only a new revision mends that.

    :raises Forbidden: when the council does not take part.
    :raises Conflict: as :func:`confirm_participation`.
    """
    proposal = store.proposal_by_id(session, principal, command.proposal_id, lock=True)
    part = _answer(proposal, principal, command, Action.DECLINE, Answer.DECLINED)
    part.reason = command.reason
    events.participation_declined(session, proposal, part)
    return views.of_proposal(principal, proposal)


def check_eligibility(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Return every rule of eligibility with its reason: of the draft for now, of a revision for when it was handed in.

    :raises NotFound: when the caller may not know of the proposal.
    """
    proposal = store.proposal_by_id(session, principal, command.proposal_id)
    current = proposal.current
    if current is None or access.sees_draft(principal, proposal):
        now = clock.now()
        return views.of_eligibility(proposal, now, _eligibility_of_draft(session, proposal, now))
    rules = _eligibility(session, proposal, current.content, current.submitted_at, asked_for=current.number > 1)
    return views.of_eligibility(proposal, current.submitted_at, rules)


def get_proposal(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Return a proposal. :raises NotFound: when the caller may not know of it."""
    return views.of_proposal(principal, store.proposal_by_id(session, principal, command.proposal_id))


def list_proposals(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Return a page of the proposals that the caller may know of, oldest first."""
    statement = select(Proposal).where(access.known(principal))
    if command.state is not None:
        statement = statement.where(Proposal.state == command.state)
    if command.round_id is not None:
        statement = statement.where(Proposal.round_id == command.round_id)
    if command.council is not None:
        statement = statement.where(or_(Proposal.lead_council == command.council, access.takes_part(command.council)))
    return paging.page(session, statement, by=Proposal.id, request=command)


def get_revision(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Return a frozen revision. :raises NotFound: when the caller may not know of the proposal, or it has none such."""
    proposal = store.proposal_by_id(session, principal, command.proposal_id)
    revision = proposal.revisions.get(command.revision)
    if revision is None:
        raise NotFound("revision_not_found", f"{proposal.reference} has been handed in {proposal.revision} times.")
    return views.of_revision(revision)


def _led_by(session: Session, principal: Principal, command: Command) -> Proposal:
    proposal = store.proposal_by_id(session, principal, command.proposal_id, lock=True)
    access.led(principal, proposal.lead_council)
    return proposal


def _write_draft(proposal: Proposal, content: dict[str, Any]) -> None:
    proposal.draft = ProposalContent().dump(content)
    if proposal.revision == 0:
        _summarise(proposal)


def _summarise(proposal: Proposal) -> None:
    proposal.title = proposal.draft["title"]
    proposal.participants = proposal.draft.get("participants", [])
    proposal.requested_pence = proposal.draft.get("requested_pence")


def _freeze(proposal: Proposal, *, by: str, at: datetime) -> Revision:
    """Make the draft the next revision; the lead council confirms it by handing it in."""
    revision = Revision(
        number=proposal.revision + 1,
        content=proposal.draft,
        content_hash=lifecycle.content_hash(proposal.draft),
        rules=proposal.rules,
        submitted_at=at,
        submitted_by=by,
        participations=[
            Participation(council=council, position=position, answer=Answer.AWAITED)
            for position, council in enumerate(eligibility.taking_part(proposal.draft))
        ],
    )
    lead = revision.participations[0]
    lead.answer, lead.answered_at, lead.answered_by = Answer.CONFIRMED, at, by
    proposal.revisions[revision.number] = revision
    proposal.revision = revision.number
    proposal.score = None
    _summarise(proposal)
    return revision


def _answer(
    proposal: Proposal, principal: Principal, command: Command, action: Action, answer: Answer
) -> Participation:
    attempt = Attempt.by(principal, revision=command.revision)
    proposal.state = lifecycle.advance(store.case_of(proposal), action, attempt)
    assert proposal.current is not None
    part = next(part for part in proposal.current.participations if part.council == principal.council)
    part.answer, part.answered_at, part.answered_by = answer, clock.now(), principal.subject
    return part


def _assess_once_confirmed(proposal: Proposal) -> None:
    case = store.case_of(proposal)
    if case.all_confirmed:
        proposal.state = lifecycle.advance(case, Action.BEGIN_ASSESSMENT, BY_ITSELF)


def _eligibility_of_draft(session: Session, proposal: Proposal, at: datetime) -> list[eligibility.Rule]:
    asked_for = proposal.state == State.CHANGES_REQUESTED
    return _eligibility(session, proposal, proposal.draft, at, asked_for=asked_for)


def _eligibility(
    session: Session, proposal: Proposal, content: dict[str, Any], at: datetime, *, asked_for: bool
) -> list[eligibility.Rule]:
    called = proposal.round
    return judged(session, content, rounds.RoundRules.from_json(proposal.rules), called.window, at, asked_for=asked_for)
