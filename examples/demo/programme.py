"""Reads ``examples/programme.yaml`` and the proposals beside it, and knows who is who."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from commonweal import load_yaml
from shared.security import principal
from shared.security.tokens import SigningKey

EXAMPLES = Path(__file__).resolve().parents[1]
OFFICE_OPENS_AT_HOUR = 9

_PERSON = re.compile(r"(?P<name>.+) <(?P<address>[^>]+)>")


@dataclass(frozen=True)
class Person:
    """Somebody of the programme, with the token that the services know them by."""

    name: str
    address: str
    token: str
    council: str | None = None


class Programme:
    """The programme's data, and a token for each of its people.

    :param signing_key: the key whose tokens the services accept.
    :raises OSError: when a file is missing.
    """

    def __init__(self, signing_key: SigningKey) -> None:
        self.data: dict[str, Any] = load_yaml(EXAMPLES / "programme.yaml")
        self.contents: dict[str, dict[str, Any]] = {
            key: load_yaml(EXAMPLES / "proposals" / f"{key}.yaml") for key in self.data["proposals"]
        }
        self._signing_key = signing_key
        people = self.data["people"]
        self.cdo = self._person(people["cdo"], principal.CDO)
        self.treasurer = self._person(people["treasurer"], principal.TREASURER)
        self.approver = self._person(people["approver"], principal.APPROVER)
        self.panel_chair = self._person(people["panel_chair"], principal.PANEL_CHAIR)
        self.assessors = {
            entry["key"]: self._person(entry["person"], principal.ASSESSOR, entry["council"])
            for entry in people["assessors"]
        }
        self._councils: dict[tuple[str, str], Person] = {
            (entry["council"], role): self._person(entry[role], role, entry["council"])
            for entry in people["councils"]
            for role in (principal.PROPOSER, principal.SPONSOR, principal.S95_OFFICER)
        }

    def proposer(self, council: str) -> Person:
        """Return who drafts and reports for a council."""
        return self._councils[council, principal.PROPOSER]

    def sponsor(self, council: str) -> Person:
        """Return who confirms that a council takes part."""
        return self._councils[council, principal.SPONSOR]

    def s95_officer(self, council: str) -> Person:
        """Return who answers for a council's money."""
        return self._councils[council, principal.S95_OFFICER]

    def day(self, step: str) -> datetime:
        """Return the moment of a step of the story: its day, when offices open."""
        day = datetime.fromisoformat(self.data["story"][step])
        return day.replace(hour=OFFICE_OPENS_AT_HOUR, tzinfo=UTC)

    def _person(self, written: str, role: str, council: str | None = None) -> Person:
        match = _PERSON.fullmatch(written)
        if match is None:
            raise ValueError(f"a person is written 'Name <e-mail>', not {written!r}")
        token = self._signing_key.issue(match["address"], [role], council=council, lifetime=timedelta(hours=1))
        return Person(match["name"], match["address"], token, council)
