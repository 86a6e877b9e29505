"""What differs between revisions, and what handing in the draft would mean."""

from itertools import islice
from typing import Any

from sqlalchemy.orm import Session

from services.proposals import access, store, views
from services.proposals.domain import comparison, sign_off
from services.proposals.domain.content_hash import content_hash
from services.proposals.models import Proposal
from shared.errors import Invalid, NotFound
from shared.fields import Command
from shared.security.principal import Principal


def compare_revisions(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Return what must change in one revision to make it the other, or the draft, one page at a time.

    Revisions never change, so their pages fit together; ``draft_version`` tells whether those of a draft do. What an
    answer holds is never more than the two contents.

    :raises NotFound: when the caller may not know of the proposal or sees no draft, or there is no such revision.
    :raises Invalid: for a cursor that no comparison handed out.
    """
    proposal = store.proposal_by_id(session, principal, command.proposal_id)
    old = store.revision_of(proposal, command.from_revision, field="from_revision")
    if command.to_revision is None:
        _check_sees_draft(principal, proposal)
        content, to_hash = proposal.draft, content_hash(proposal.draft)
    else:
        new = store.revision_of(proposal, command.to_revision, field="to_revision")
        content, to_hash = new.content, new.content_hash
    changes = comparison.compare(old.content, content)
    page = list(islice(_after(command.cursor, changes), command.limit + 1))
    more, page = len(page) > command.limit, page[: command.limit]
    before, after = sign_off.Parts(old.content), sign_off.Parts(content)
    return {
        "proposal_id": proposal.id,
        "reference": proposal.reference,
        "from_revision": old.number,
        "from_hash": old.content_hash,
        "to_revision": command.to_revision,
        "to_hash": to_hash,
        "draft_version": proposal.draft_version if command.to_revision is None else None,
        "changes": len(changes),
        "items": [views.of_change(change, sign_off.councils_of(change, before, after)) for change in page],
        "next_cursor": page[-1].dotted_path if more else None,
        "sign_off": store.sign_off_of_draft(proposal) if command.to_revision is None else None,
    }


def _check_sees_draft(principal: Principal, proposal: Proposal) -> None:
    if not access.sees_draft(principal, proposal):
        instead = f"name one of its revisions, 1 to {proposal.revision}."
        raise NotFound(
            "draft_not_found",
            f"{proposal.reference} has no draft that is open to you; {instead}",
            {"to_revision": [instead.capitalize()]},
        )


def _after(cursor: str | None, changes: list[comparison.Change]) -> Any:
    if cursor is None:
        return iter(changes)
    try:
        place = comparison.order_of(tuple(cursor.split(".")))
    except ValueError as error:
        sentence = "Pass the next_cursor of the page before, or leave the cursor out to begin."
        raise Invalid("bad_cursor", sentence, {"cursor": [sentence]}) from error
    return (change for change in changes if comparison.order_of(change.path) > place)
