"""Finds what a person names by its reference or its id."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

from commonweal.cli.screen import Unusable, count
from commonweal.client import Client

PAGE = 100
#: Far more than there will be; an answer that never ends is no list.
MAX_PAGES = 10_000


def is_id(name: str) -> bool:
    """Tell whether a name is an id rather than a reference."""
    try:
        return len(name) == 36 and bool(uuid.UUID(name))
    except ValueError:
        return False


def every(method: Callable[..., Any]) -> Iterator[dict[str, Any]]:
    """Yield what a list method gives on all its pages."""
    cursor = None
    for _ in range(MAX_PAGES):
        page = method(limit=PAGE, **({"cursor": cursor} if cursor else {}))
        yield from page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return


def round_named(client: Client, name: str | None) -> dict[str, Any]:
    """Return a round by its reference or id; without a name the one that is open.

    :raises Unusable: when there is no such round, or not just one is open; it names those that there are.
    """
    if name is not None and is_id(name):
        return dict(client.proposals.get_round(round_id=name))
    rounds = list(every(client.proposals.list_rounds))
    if name is not None:
        found = [each for each in rounds if each["reference"].lower() == name.lower()]
        if not found:
            raise Unusable(f"There is no round {name}.{_choice(rounds)}")
        return found[0]
    open_ = [each for each in rounds if each["state"] == "open"]
    if not open_:
        raise Unusable(f"No round is open; name one with --round.{_choice(rounds)}")
    if len(open_) > 1:
        raise Unusable(f"{count(len(open_), 'round')} are open; name one with --round.{_choice(open_)}")
    return open_[0]


def _choice(rounds: list[dict[str, Any]]) -> str:
    """Return the newest rounds, a line each."""
    newest = rounds[: -PAGE - 1 : -1]
    lines = [f"  {each['reference']}  {each['state']} until {each['closes_on']}  {each['title']}" for each in newest]
    return "".join(f"\n{line}" for line in lines)


def proposal_named(client: Client, name: str) -> str:
    """Return the id of a proposal by its reference or id. :raises Unusable: when the caller knows of none such."""
    if is_id(name):
        return name
    for each in every(client.proposals.list_proposals):
        if each["reference"].lower() == name.lower():
            return str(each["proposal_id"])
    raise Unusable(f"There is no proposal {name}, or it is not yet open to you.")
