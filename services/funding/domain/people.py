"""Who may act: two people for money, and a council's own officers."""

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


def check_acts_for_lead(lead_council: str, by: Principal, role: str, title: str) -> None:
    """Refuse whoever does not act for the lead council. :raises Forbidden: ``not_the_lead``.

    :param title: what people call the role.
    """
    if not by.acts_for(lead_council, role):
        raise Forbidden("not_the_lead", f"Only a {title} of {councils.name_of(lead_council)} may do this.")
