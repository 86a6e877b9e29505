"""Who calls, and in which roles (design, section 6)."""

from dataclasses import dataclass, field

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


@dataclass(frozen=True)
class Principal:
    """The caller, as a verified token names it.

    :param subject: the person's or system's stable name, such as an e-mail address.
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
