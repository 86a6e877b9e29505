"""Who may act: two people for money, and a council's own officers."""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from shared import councils
from shared.errors import Forbidden
from shared.security.principal import Principal


def check_two_people(first: str | None, second: Principal, did: str, next_step: str) -> None:
    """Two people for money: whoever asks or records never approves the same thing, whatever roles they hold.

    :param first: the subject of the first person, if there was one.
    :param did: what that person did, as in "You made this offer".
    :param next_step: what takes another one.
    :raises Forbidden: ``two_people`` when both are one.
    """
    if first == second.subject:
        raise Forbidden("two_people", f"You {did}, so a second person must {next_step}.")


class Part(StrEnum):
    """What somebody had to do with a proposal before there was money in it."""

    HANDED_IN = "handed_in"
    CONFIRMED = "confirmed"
    DECIDED = "decided"
    SAT_ON_THE_PANEL = "sat_on_the_panel"


_DID = {
    Part.HANDED_IN: "handed this proposal in",
    Part.CONFIRMED: "confirmed your council's part in this proposal",
    Part.DECIDED: "decided on this proposal",
    Part.SAT_ON_THE_PANEL: "sat on the panel that decided on this proposal",
}


def parts_of(people: Iterable[tuple[Part, str | None]]) -> dict[str, str]:
    """Return each person's part; of several the first that is given, and None is nobody."""
    parts: dict[str, str] = {}
    for part, person in people:
        if person is not None:
            parts.setdefault(person, part)
    return parts


def check_had_no_part(parts: Mapping[str, str], second: Principal, next_step: str) -> None:
    """Refuse that whoever asked for money, vouched for it or decided on it approves it.

    :param parts: by the subject of each person, as :func:`parts_of` has them.
    :raises Forbidden: ``two_people``, saying which part that was.
    """
    if second.subject in parts:
        check_two_people(second.subject, second, _DID[Part(parts[second.subject])], next_step)


def check_acts_for_lead(lead_council: str, by: Principal, role: str, title: str) -> None:
    """Refuse whoever does not act for the lead council. :raises Forbidden: ``not_the_lead``.

    :param title: what people call the role.
    """
    if not by.acts_for(lead_council, role):
        raise Forbidden("not_the_lead", f"Only a {title} of {councils.name_of(lead_council)} may do this.")
