"""Who published an event: RabbitMQ lets nobody but a broker user itself say its name in a message's ``user_id``.

A service that lays an event aside, and an operator who sends it again, publish it under names of their own. So they
say in headers whose it was, and those are believed only of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.events.catalogue import SOURCES, SYSTEMS

#: Who published an event at first, as the service says that moves it to another queue; empty if it cannot tell.
PUBLISHER_HEADER = "x-commonweal-publisher"
#: Whose message a dead letter was, as the operator says who sends it again; empty if it was nobody's.
LAID_BY_HEADER = "x-commonweal-laid-by"

OPERATOR = "operator"
#: Every party whose broker user may have another name than its own.
PARTIES = tuple(dict.fromkeys((*SOURCES, *SYSTEMS, OPERATOR)))


class WrongPublisher(Exception):
    """An event comes from somebody who may not publish it; the message says what to do."""


@dataclass(frozen=True)
class Publishers:
    """The broker users whose events a service takes.

    :param own: the broker user of the service itself.
    :param is_checked: False where everybody shares one broker user.
    :param users: broker users by party, where they have another name than ``prefix`` and the party's own.
    """

    own: str
    is_checked: bool = True
    users: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""

    def user_of(self, party: str) -> str:
        """Return the name of a party's broker user."""
        return self.users.get(party) or f"{self.prefix}{party}"

    def publisher_of(self, user_id: object, headers: Mapping[str, Any]) -> str | None:
        """Return the broker user that published a message at first; None when nobody trustworthy says so.

        :param user_id: the message's property, which the broker has checked.
        """
        operator = self.user_of(OPERATOR)
        if user_id == operator and LAID_BY_HEADER in headers:
            user_id = headers[LAID_BY_HEADER]
        if user_id in (self.own, operator) and PUBLISHER_HEADER in headers:
            user_id = headers[PUBLISHER_HEADER]
        return user_id if isinstance(user_id, str) and user_id else None

    def check(self, source: str, publisher: str | None) -> None:
        """Refuse an event that did not come from the broker user who may publish it.

        :param source: whose event it says that it is.
        :raises WrongPublisher: unless ``publisher`` may publish that.
        """
        expected = self.user_of(source)
        if not self.is_checked or publisher == expected:
            return
        if publisher is None:
            raise WrongPublisher(
                f"Nobody says who published this. The broker user {expected!r}, who publishes the events of {source},"
                " must send it again with the property user_id set to that name."
            )
        raise WrongPublisher(
            f"{publisher!r} published this, and the events of {source} are published by the broker user {expected!r}."
            f" If that is right so, name it in COMMONWEAL_PUBLISHERS ({source}={publisher}) and replay this; otherwise"
            " find out how that user came to do it, change its password, and discard this."
        )
