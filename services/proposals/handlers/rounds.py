"""Rounds are announced, changed and closed by the CDO, begin and end by the clock; everybody reads them."""

from datetime import datetime
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from services.proposals import events, store, views
from services.proposals.domain import rounds
from services.proposals.models import ReferenceCounter, Round, RoundChange
from shared import clock, ids
from shared.fields import Command
from shared.security.principal import Principal
from shared.storage import paging
from shared.storage.references import next_reference


def open_round(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Announce a round. ``round_opened`` is told now when its first day has come, else by the clock on that day.

    :raises Invalid: for a window that is upside down or over, or criteria that do not weigh 100 percent together.
    """
    now = clock.now()
    terms = _terms_in(command)
    rounds.check_terms(terms, now.date())
    opened = Round(
        id=ids.new_id(),
        reference=next_reference(session, ReferenceCounter, "R", now.year),
        version=0,
        **terms,
        opened_at=now,
        opened_by=principal.subject,
    )
    session.add(opened)
    _begin_if_due(session, opened, now)
    return views.of_round(opened, at=now, undecided=False)


def change_round(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Change a round's terms. What was handed in before keeps the rules that it was handed in under.

    :raises NotFound: when there is no such round.
    :raises Conflict: when it has closed, has changed since the caller read it, or has begun and is to begin otherwise.
    :raises Invalid: when nothing changes, or the terms would make no sense.
    """
    changed = store.round_by_id(session, command.round_id, lock=True)
    now = clock.now()
    rounds.check_changeable(changed.window, changed.version, command.expected_version, now)
    before = changed.terms
    changes = rounds.changes_in(before, _terms_in(command))
    rounds.check_change(changed.window, before, changes, now)
    for term, value in changes.items():
        setattr(changed, term, value)
    change = RoundChange(
        round_id=changed.id,
        before=rounds.as_json({term: before[term] for term in changes}),
        after=rounds.as_json(changes),
        reason=command.reason,
        changed_at=now,
        changed_by=principal.subject,
    )
    events.round_changed(session, changed, change)
    change.version = changed.version
    session.add(change)
    _begin_if_due(session, changed, now)
    return _shown(session, changed)


def close_round(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Close a round early, or put on record before the clock does that its last day is over.

    :raises NotFound: when there is no such round.
    :raises Conflict: when it has not begun, or was closed before.
    """
    closed = store.round_by_id(session, command.round_id, lock=True)
    now = clock.now()  # under the lock, so that nobody submits after the moment that is recorded
    rounds.check_closing(closed.window, now)
    _begin_if_due(session, closed, now)
    _close(session, closed, at=min(now, closed.window.closes_at), by=principal.subject)
    return _shown(session, closed)


def rounds_to_begin(now: datetime) -> Select[Round]:
    """Select the rounds whose first day has come without anybody having been told."""
    return select(Round).where(Round.told_open_at.is_(None), Round.opens_on <= now.date()).order_by(Round.opens_on)


def begin_round(session: Session, due: Round, now: datetime) -> dict[str, Any]:
    """Tell that a round takes proposals."""
    _begin_if_due(session, due, now)
    return {"round_id": due.id, "reference": due.reference}


def rounds_to_close(now: datetime) -> Select[Round]:
    """Select the rounds whose last day is over and that nobody has closed; each was told to be open before."""
    return (
        select(Round)
        .where(Round.closed_at.is_(None), Round.told_open_at.is_not(None), Round.closes_on < now.date())
        .order_by(Round.closes_on)
    )


def close_round_that_is_over(session: Session, due: Round, now: datetime) -> dict[str, Any]:
    """Put on record, and tell, that a round closed at the end of its last day."""
    _close(session, due, at=due.window.closes_at, by=clock.THE_CLOCK)
    return {"round_id": due.id, "reference": due.reference}


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


def _begin_if_due(session: Session, begun: Round, now: datetime) -> None:
    if begun.told_open_at is None and begun.window.has_begun(now):
        begun.told_open_at = now
        events.round_opened(session, begun)


def _close(session: Session, closed: Round, *, at: datetime, by: str) -> None:
    closed.closed_at, closed.closed_by = at, by
    events.round_closed(session, closed)


def _terms_in(command: Command) -> dict[str, Any]:
    return {term: value for term in rounds.TERMS if (value := getattr(command, term)) is not None}


def _shown(session: Session, shown: Round) -> dict[str, Any]:
    undecided = bool(store.with_undecided(session, [shown.id]))
    return views.of_round(shown, at=clock.now(), undecided=undecided, changes=store.changes_of(session, shown.id))
