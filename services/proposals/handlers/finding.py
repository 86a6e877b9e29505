"""Proposals are listed, counted and compared with one another."""

import re
from typing import Any

from sqlalchemy.orm import Session

from services.proposals import register, store, views
from services.proposals.domain import wording
from services.proposals.register import Wanted
from shared.errors import Invalid
from shared.fields import Command
from shared.security.principal import Principal
from shared.storage import paging

_REFERENCE = re.compile(r"P-\d{4}-\d{4,}", re.IGNORECASE | re.ASCII)


def list_proposals(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Return a page of the proposals that the caller may know of, oldest first.

    :raises Invalid: for a text without a word to look for, or a cursor that no list handed out.
    """
    wanted = Wanted(state=command.state, round_id=command.round_id, council=command.council, **_named_by(command.text))
    after = paging.place_of(command)
    page = paging.page_of(register.listed(session, principal, wanted, after=after, limit=command.limit + 1), command)
    page["items"] = [views.of_item(principal, row) for row in page["items"]]
    return page


def count_proposals(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Return how many proposals of a round are in each state, of those that the caller may know of.

    :raises NotFound: when there is no such round.
    """
    counted = store.round_by_id(session, command.round_id)
    return views.of_counts(counted.id, register.counts(session, principal, counted.id))


def find_similar(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Return the proposals that are like one: like its draft where the caller sees that, else its current revision.

    :raises NotFound: when the caller may not know of the proposal that is asked about.
    """
    proposal = store.proposal_by_id(session, principal, command.proposal_id)
    found = register.similar_to(session, proposal, views.content_for(principal, proposal))
    return {"proposal_id": proposal.id, "reference": proposal.reference, "similar": views.of_similar(found)}


def _named_by(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    if _REFERENCE.fullmatch(text):
        return {"reference": text.upper()}
    words = wording.of_query(text)
    if not words:
        sentence = "Give a word that says what it is about, or a reference such as P-2026-0007; leave small words out."
        raise Invalid("nothing_to_look_for", sentence, {"text": [sentence]})
    return {"words": words}
