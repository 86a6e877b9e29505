"""References that people see: ``P-2026-0007`` for the seventh proposal of 2026."""

from sqlalchemy import CheckConstraint, Integer, String
from sqlalchemy.orm import Mapped, Session, mapped_column

from shared.storage.upsert import insert_into


class ReferenceCounterColumns:
    """The last number given out, per kind of reference and calendar year; a service's table derives from it."""

    __tablename__ = "reference_counters"
    __table_args__ = (CheckConstraint("last_number > 0", name="last_number"),)

    kind: Mapped[str] = mapped_column(String(2), primary_key=True)
    year: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    last_number: Mapped[int]


def next_reference(session: Session, counters: type[ReferenceCounterColumns], kind: str, year: int) -> str:
    """Return a reference that nobody else gets.

    One statement counts up and reads: it waits for a transaction that counts at the same time, so that numbers neither
    repeat nor, unless that transaction fails, leave gaps. The counter is held until the transaction ends; take it last.

    :param counters: the service's table of counters.
    :param kind: what the reference begins with, such as ``P``.
    :param year: the calendar year.
    """
    counting = (
        insert_into(session, counters)
        .values(kind=kind, year=year, last_number=1)
        .on_conflict_do_update(
            index_elements=[counters.kind, counters.year], set_={"last_number": counters.last_number + 1}
        )
        .returning(counters.last_number)
    )
    return f"{kind}-{year}-{session.execute(counting).scalar_one():04d}"
