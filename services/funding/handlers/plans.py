"""What an instruction is made of: what it is about, locked; what it will do; and who stands behind it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from services.funding import access
from services.funding.models import Award, Pool
from shared.fields import Command, CommandSchema
from shared.security.principal import Principal


@dataclass(frozen=True)
class Subject:
    """What an instruction is about, its rows locked: a pool, and the award of it, if it is about one."""

    pool: Pool
    award: Award | None = None

    @property
    def the_award(self) -> Award:
        """The award. :raises ValueError: when it is about none."""
        if self.award is None:
            raise ValueError("this instruction is about no award")
        return self.award


@dataclass(frozen=True)
class Approval:
    """Who asked for an instruction, who approved it, and when that was."""

    instruction_id: UUID
    author: str
    approver: str
    at: datetime


@dataclass(frozen=True)
class Plan:
    """What an instruction will do as things stand.

    :param sentence: that, for whoever is asked to approve it. When it has changed by then, the approval is refused, so
        it tells all that a second person must know, and nothing that may change without mattering to them.
    :param carry_out: does it; returns the ids and references of what it made, as text by name.
    """

    sentence: str
    carry_out: Callable[[Approval], Mapping[str, str]]


@dataclass(frozen=True)
class Kind:
    """A kind of instruction. All is done alike at the request and, but for the schema, again at the approval.

    :param schema: of the method that asks for it; what it asks for is kept as this schema writes it.
    :param lock: finds what it is about, in reach of the caller, and locks it: an award before its pool.
    :param plan: checks all that can be checked and says what will happen. It may settle in the command what the caller
        left open, such as a day.
    :param key: names what may be asked for only once, in business terms; the same again gives the first answer. None
        for what may be asked for twice.
    """

    schema: type[CommandSchema]
    lock: Callable[[Session, Principal, Command], Subject]
    plan: Callable[[Session, Subject, Command], Plan]
    key: Callable[[Command], str | None]


def lock_award(session: Session, principal: Principal, command: Command) -> Subject:
    """Lock the award that a command names, then its pool."""
    award = access.award(session, principal, command.award_id, lock=True)
    return Subject(access.pool(session, principal, award.pool_id, lock=True), award)


def lock_pool(session: Session, principal: Principal, command: Command) -> Subject:
    """Lock the pool that a command names."""
    return Subject(access.pool(session, principal, command.pool_id, lock=True))
