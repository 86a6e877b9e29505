"""Rounds are opened and closed by the CDO; everybody reads them."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.proposals import events, store, views
from services.proposals.domain import rounds
from services.proposals.models import ReferenceCounter, Round
from shared import clock, ids
from shared.fields import Command
from shared.security.principal import Principal
from shared.storage import paging
from shared.storage.references import next_reference


def open_round(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Announce a round. ``round_opened`` is told at once, also when the window begins on a later day.

    :raises Invalid: for a window that is upside down or over, or criteria that do not weigh 100 percent together.
    """
    now = clock.now()
    rounds.check_window(command.opens_on, command.closes_on, now.date())
    rounds.check_criteria([rounds.Criterion(**criterion) for criterion in command.criteria])
    opened = Round(
        id=ids.new_id(),
        reference=next_reference(session, ReferenceCounter, "R", now.year),
        version=0,
        title=command.title,
        opens_on=command.opens_on,
        closes_on=command.closes_on,
        criteria=command.criteria,
        min_participants=command.min_participants,
        quorum=command.quorum,
        ceiling_pence=command.ceiling_pence,
        opened_at=now,
        opened_by=principal.subject,
    )
    session.add(opened)
    events.round_opened(session, opened)
    return views.of_round(opened, at=now, undecided=False)


def close_round(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Close a round early, or put on record that its last day is over.

    :raises NotFound: when there is no such round.
    :raises Conflict: when it has not begun, or was closed before.
    """
    closed = store.round_by_id(session, command.round_id, lock=True)
    now = clock.now()  # under the lock, so that nobody submits after the moment that is recorded
    rounds.check_closing(closed.window, now)
    closed.closed_at, closed.closed_by = now, principal.subject
    events.round_closed(session, closed)
    return _shown(session, closed)


def get_round(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Return a round. :raises NotFound: when there is no such round."""
    return _shown(session, store.round_by_id(session, command.round_id))


def list_rounds(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Return a page of all rounds, oldest first."""
    page = paging.page(session, select(Round), by=Round.id, request=command)
    undecided = store.with_undecided(session, [found.id for found in page["items"]])
    now = clock.now()
    page["items"] = [views.of_round(found, at=now, undecided=found.id in undecided) for found in page["items"]]
    return page


def _shown(session: Session, shown: Round) -> dict[str, Any]:
    return views.of_round(shown, at=clock.now(), undecided=bool(store.with_undecided(session, [shown.id])))
