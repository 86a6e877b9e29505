"""Councils draft, submit and withdraw proposals; the councils that take part confirm or decline."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from services.proposals import access, events, register, store, views
from services.proposals.domain import eligibility, lifecycle, rounds
from services.proposals.domain.cases import BY_ITSELF, Attempt
from services.proposals.domain.content_hash import content_hash
from services.proposals.domain.lifecycle import Action
from services.proposals.domain.sign_off import Request
from services.proposals.domain.states import Answer, State
from services.proposals.handlers.checking import judged
from services.proposals.models import Participation, Proposal, ReferenceCounter, Revision
from shared import clock, ids
from shared.fields import Command
from shared.proposal_content import ProposalContent
from shared.security.principal import Principal
from shared.storage.references import next_reference


def create_proposal(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Begin a draft, which follows its round until it is first handed in.

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
        round=called,
        pinned_rules=called.rules.as_json(),
        state=State.DRAFT,
        lead_council=command.content["lead_council"],
        draft_version=1,
        revision=0,
        created_at=now,
        created_by=principal.subject,
    )
    _write_draft(proposal, command.content)
    session.add(proposal)
    register.enter(session, proposal)
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
    proposal.rewritten_by = sorted({*(proposal.rewritten_by or ()), principal.subject})
    _write_draft(proposal, command.content)
    register.enter(session, proposal)
    return views.of_proposal(principal, proposal)


def submit_proposal(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Hand the draft in: it is frozen as the next revision.

    Asked to confirm it is each participating council whose part is not the one that it confirmed; the others keep their
    confirmation (:mod:`..domain.sign_off`).

    The first time pins it to the rules that its round has then.

    The answer tells of similar proposals, so that councils join instead of duplicating.

    :raises Forbidden: unless the caller is a proposer of the lead council.
    :raises Conflict: when there is nothing to hand in, the draft has changed since the caller read it, or a rule of
        eligibility is not met; ``fields`` names each.
    """
    proposal = _led_by(session, principal, command)
    store.keep_as_it_is(session, proposal.round_id)
    now = clock.now()  # under the locks: a closing that this waited for lies before it
    eligible = _eligibility_of_draft(session, proposal, now)
    attempt = Attempt.by(principal, draft_version=command.expected_revision, eligibility=eligible)
    proposal.state = lifecycle.advance(store.case_of(proposal), Action.SUBMIT, attempt)
    revision = _freeze(proposal, by=principal.subject, at=now)
    events.proposal_submitted(session, proposal, revision)
    _assess_once_confirmed(proposal)
    register.enter(session, proposal)
    similar = views.of_similar(register.similar_to(session, proposal, revision.content))
    return {**views.of_proposal(principal, proposal), "similar": similar}


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
    asked_for = current.number > 1
    rules = _eligibility(session, proposal, current.content, current.submitted_at, asked_for=asked_for, handed_in=True)
    return views.of_eligibility(proposal, current.submitted_at, rules)


def get_proposal(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Return a proposal. :raises NotFound: when the caller may not know of it."""
    return views.of_proposal(principal, store.proposal_by_id(session, principal, command.proposal_id))


def get_revision(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Return a frozen revision. :raises NotFound: when the caller may not know of the proposal, or it has none such."""
    proposal = store.proposal_by_id(session, principal, command.proposal_id)
    return views.of_revision(store.revision_of(proposal, command.revision))


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
    """Make the draft the next revision; the lead council confirms it by handing it in, others may have confirmed."""
    if proposal.revision == 0:
        proposal.pinned_rules = proposal.round.rules.as_json()
    lead = Participation(
        council=proposal.lead_council,
        position=0,
        answer=Answer.CONFIRMED,
        answered_at=at,
        answered_by=by,
        asked_because=[],
    )
    others = [
        _asked(proposal, request, position) for position, request in enumerate(store.sign_off_of_draft(proposal), 1)
    ]
    revision = Revision(
        number=proposal.revision + 1,
        content=proposal.draft,
        content_hash=content_hash(proposal.draft),
        rules=proposal.rules,
        submitted_at=at,
        submitted_by=by,
        participations=[lead, *others],
    )
    proposal.revisions[revision.number] = revision
    proposal.revision = revision.number
    proposal.score = None
    _summarise(proposal)
    return revision


def _asked(proposal: Proposal, request: Request, position: int) -> Participation:
    """Ask a council, unless it keeps its confirmation."""
    part = Participation(
        council=request.council, position=position, answer=Answer.AWAITED, asked_because=list(request.because)
    )
    if request.carried_from is not None:
        given = proposal.revisions[request.carried_from].participation_of(request.council)
        part.answer, part.carried_from = Answer.CONFIRMED, request.carried_from
        part.answered_at, part.answered_by = given.answered_at, given.answered_by
    return part


def _answer(
    proposal: Proposal, principal: Principal, command: Command, action: Action, answer: Answer
) -> Participation:
    attempt = Attempt.by(principal, revision=command.revision)
    proposal.state = lifecycle.advance(store.case_of(proposal), action, attempt)
    assert proposal.current is not None
    part = proposal.current.participation_of(principal.council)
    part.answer, part.answered_at, part.answered_by = answer, clock.now(), principal.subject
    part.carried_from = None
    return part


def _assess_once_confirmed(proposal: Proposal) -> None:
    case = store.case_of(proposal)
    if case.all_confirmed:
        proposal.state = lifecycle.advance(case, Action.BEGIN_ASSESSMENT, BY_ITSELF)


def _eligibility_of_draft(session: Session, proposal: Proposal, at: datetime) -> list[eligibility.Rule]:
    asked_for = proposal.state == State.CHANGES_REQUESTED
    return _eligibility(session, proposal, proposal.draft, at, asked_for=asked_for)


def _eligibility(
    session: Session,
    proposal: Proposal,
    content: dict[str, Any],
    at: datetime,
    *,
    asked_for: bool,
    handed_in: bool = False,
) -> list[eligibility.Rule]:
    return judged(
        session,
        content,
        rounds.RoundRules.from_json(proposal.rules),
        proposal.round.window,
        at,
        asked_for=asked_for,
        handed_in=handed_in,
    )
