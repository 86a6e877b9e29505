"""Who calls, and in which roles (design, section 6)."""

import re
from dataclasses import dataclass, field
from typing import TypeGuard

from shared import councils

PROPOSER = "proposer"
SPONSOR = "sponsor"
S95_OFFICER = "s95_officer"
ASSESSOR = "assessor"
PANEL_CHAIR = "panel_chair"
TREASURER = "treasurer"
APPROVER = "approver"
CDO = "cdo"
OPERATOR = "operator"
SYSTEM = "system"

#: Roles that a person holds within one council.
COUNCIL_ROLES = frozenset({PROPOSER, SPONSOR, S95_OFFICER})
ROLES = COUNCIL_ROLES | {ASSESSOR, PANEL_CHAIR, TREASURER, APPROVER, CDO, OPERATOR, SYSTEM}

MAX_SUBJECT_LENGTH = 128
# One way to write each name, and no sign that looks like another: two people must be two, and one only one.
_SUBJECT = re.compile(rf"[!-@\[-~]{{1,{MAX_SUBJECT_LENGTH}}}")
_SYSTEM_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")


@dataclass(frozen=True)
class Principal:
    """The caller, as a verified token names it.

    :param subject: the person's or system's stable name, such as an e-mail address, in the form that
        :func:`normal_subject` gives it.
    :param roles: some of :data:`ROLES`.
    :param council: the GSS code of the caller's council; assessors may have one too, others need none.
    :param token_id: the id of the token that said so (``jti``).
    """

    subject: str
    roles: frozenset[str]
    council: str | None = None
    token_id: str | None = field(default=None, compare=False)

    def has(self, *roles: str) -> bool:
        """Tell whether the caller holds one of the roles."""
        return not self.roles.isdisjoint(roles)

    def acts_for(self, council: str, *roles: str) -> bool:
        """Tell whether the caller holds one of the roles within the council."""
        return self.council == council and self.has(*roles)


def normal_subject(subject: str) -> str:
    """Return the one form of a subject: what may be written in capitals or not is written without."""
    return subject.strip().lower() if subject.isascii() else subject


def is_subject(subject: object) -> TypeGuard[str]:
    """Tell whether a token could name somebody so. Takes any JSON value."""
    return isinstance(subject, str) and _SUBJECT.fullmatch(subject) is not None


def problem_of(subject: object, roles: object, council: object) -> str | None:
    """Say why nobody can be who a token names; None when all is well. Takes any JSON values.

    Both who issues tokens and who checks them ask here, so that nothing is issued that is not accepted.
    """
    if not is_subject(subject):
        return (
            f"a subject has 1 to {MAX_SUBJECT_LENGTH} signs: lower case ASCII letters, digits and punctuation, no"
            " spaces, as an e-mail address has"
        )
    if not isinstance(roles, list) or not roles or not all(isinstance(role, str) and role in ROLES for role in roles):
        return f"unknown roles; choose from {', '.join(sorted(ROLES))}"
    if len(set(roles)) < len(roles):
        return "one of the roles is named twice"
    if council is not None and not (isinstance(council, str) and councils.is_council(council)):
        return "the council is not the GSS code of a Scottish council, such as S12000036"
    if council is None and COUNCIL_ROLES.intersection(roles):
        return f"the roles {', '.join(sorted(COUNCIL_ROLES))} belong to a council; name it"
    if SYSTEM in roles and (len(roles) > 1 or council is not None):
        return f"the role {SYSTEM} is held alone and within no council"
    if SYSTEM in roles and not _SYSTEM_NAME.fullmatch(subject):
        return f"the role {SYSTEM} is held by an internal system under its name, such as finance"
    return None
