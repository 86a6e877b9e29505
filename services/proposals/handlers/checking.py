"""Anybody who drafts checks a content before there is a proposal; the same rules judge drafts and revisions."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from services.proposals import store, views
from services.proposals.domain import eligibility
from services.proposals.domain.rounds import RoundRules, Window
from shared import clock
from shared.fields import Command
from shared.proposal_content import examine
from shared.security.principal import Principal


def check_content(session: Session, principal: Principal, command: Command) -> dict[str, Any]:
    """Return what would be told of a content if it were drafted for a round now, checked and handed in; keep nothing.

    Whether the caller may do any of that for the content's lead council is not looked at.

    :raises NotFound: when there is no such round.
    """
    now = clock.now()
    called = store.round_by_id(session, command.round_id)
    return views.of_check(now, judged(session, command.content, called.rules, called.window, now))


def judged(
    session: Session,
    content: Any,
    rules: RoundRules,
    window: Window,
    at: datetime,
    *,
    asked_for: bool = False,
    handed_in: bool = False,
) -> list[eligibility.Rule]:
    """Return every rule of eligibility for a content, whatever is missing or wrong in it, with the members of the day.

    :param content: as JSON gave it. The other arguments are those of :func:`.eligibility.check`.
    """
    sound, problems = examine(content)
    members = store.members_on(session, at.date(), eligibility.taking_part(sound))
    return eligibility.check(sound, problems, rules, window, members, at, asked_for=asked_for, handed_in=handed_in)
