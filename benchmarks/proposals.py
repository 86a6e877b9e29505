"""What lists, a single proposal and counts cost with a hundred proposals and with a hundred thousand, in turns.

Each figure is taken through the service's own entrypoints, token and broker left out: arguments, scope, one
transaction, answer. Pages have ten items, and the filters find as many in either database, so that what is compared is
the finding. Similar proposals are sought in five thousand as well.
"""

import itertools
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select

from benchmarks.results import Figure
from benchmarks.running import prepare
from services.proposals.models import Round
from shared.storage.database import Database
from tests.support.many_proposals import COMMON_WORD, RARE_WORD, SMALL_COUNCIL, fill
from tests.support.proposals import EDINBURGH, GLASGOW, Programme, assessor, cdo, proposer
from tests.support.servers import Servers

FEW, SOME, MANY = 100, 5_000, 100_000
ROUND_SIZES = {FEW: 50, SOME: 500, MANY: 500}
CALLS = 20
PAGE = 10


@dataclass(frozen=True)
class Place:
    """A database with many or few proposals.

    :param proposals: their ids, oldest first.
    :param rounds: the rounds' ids, oldest first; the last one is open.
    """

    programme: Programme
    proposals: list[UUID]
    rounds: list[UUID]

    def page(self, who: Any = None, **filters: Any) -> Any:
        return self.programme.call("list_proposals", who or cdo(), **{"limit": PAGE, **filters})

    @property
    def middle(self) -> UUID:
        return self.proposals[len(self.proposals) // 2]


Ask = Callable[[Place, int], Any]

#: What is asked, given the place and the number of the call.
COMPARED: dict[str, Ask] = {
    "list, a whole page of 100": lambda at, _: at.page(limit=100),
    "list, all": lambda at, _: at.page(),
    "list, from the middle on": lambda at, _: at.page(cursor=str(at.middle)),
    "list, by state": lambda at, _: at.page(state="submitted"),
    "list, by round": lambda at, _: at.page(round_id=at.rounds[-1]),
    "list, by round and state": lambda at, _: at.page(round_id=at.rounds[-1], state="submitted"),
    "list, by council": lambda at, _: at.page(council=EDINBURGH),
    "list, by council, few": lambda at, _: at.page(council=SMALL_COUNCIL),
    "list, by a common word": lambda at, _: at.page(text=COMMON_WORD),
    "list, by a rare word": lambda at, _: at.page(text=RARE_WORD),
    "list, by both words": lambda at, _: at.page(text=f"{COMMON_WORD} {RARE_WORD}"),
    "list, by reference": lambda at, _: at.page(text="P-2026-0007"),
    "list, a council's": lambda at, _: at.page(proposer(GLASGOW)),
    "list, a council's, from the middle on": lambda at, _: at.page(proposer(GLASGOW), cursor=str(at.middle)),
    "list, a council's, its few own": lambda at, _: at.page(proposer(SMALL_COUNCIL), council=SMALL_COUNCIL),
    "list, a council's, of the open round": lambda at, _: at.page(proposer(SMALL_COUNCIL), round_id=at.rounds[-1]),
    "list, a council's, submitted": lambda at, _: at.page(proposer(SMALL_COUNCIL), state="submitted"),
    "list, a council's, by a common word": lambda at, _: at.page(proposer(GLASGOW), text=COMMON_WORD),
    "list, an assessor's": lambda at, _: at.page(assessor()),
    "get": lambda at, number: at.programme.call("get_proposal", cdo(), proposal_id=at.proposals[-1 - number]),
    "count, a round of 500 beside one of 50": lambda at, _: at.programme.call(
        "count_proposals", cdo(), round_id=at.rounds[-1]
    ),
    "count, the same, a council's": lambda at, _: at.programme.call(
        "count_proposals", proposer(GLASGOW), round_id=at.rounds[-1]
    ),
}


def measure(servers: Servers, rounds: int) -> list[Figure]:
    """Take the figures, the databases in turn."""
    figures: dict[tuple[str, int], Figure] = {}
    for name in COMPARED:
        few, many = (Figure(f"{name}, of {size:,}", "ms") for size in (FEW, MANY))
        many.compared_with = few
        figures |= {(name, FEW): few, (name, MANY): many}
    for size in (FEW, SOME, MANY):
        figures["similar", size] = Figure(f"find similar, among {size:,}", "ms")
    with ExitStack() as stack:
        places = {size: _place(servers, stack, size) for size in (FEW, SOME, MANY)}
        for taking in range(rounds + 1):
            for name, ask in COMPARED.items():
                _take(figures, name, ask, {size: places[size] for size in (FEW, MANY)}, taking)
            _take(figures, "similar", _find_similar, places, taking)
    return list(figures.values())


def _take(figures: dict[tuple[str, int], Figure], name: str, ask: Ask, places: dict[int, Place], taking: int) -> None:
    taken: dict[int, list[float]] = {size: [] for size in places}
    for number, (size, place) in itertools.product(range(CALLS), places.items()):
        started = time.perf_counter()
        ask(place, number)
        taken[size].append((time.perf_counter() - started) * 1_000)
    if taking == 0:  # It finds cold caches and statements that were never compiled.
        return
    for size, times in taken.items():
        figures[name, size].rounds.append(statistics.median(times))


def _find_similar(at: Place, number: int) -> Any:
    return at.programme.call("find_similar", cdo(), proposal_id=at.proposals[number * (len(at.proposals) // CALLS)])


def _place(servers: Servers, stack: ExitStack, size: int) -> Place:
    url = prepare(servers, "proposals")
    stack.callback(servers.postgresql.drop_database, url)
    database = Database(url)
    stack.callback(database.close)
    proposals = fill(database, size, per_round=ROUND_SIZES[size])
    with database.transaction() as session:
        rounds = list(session.scalars(select(Round.id).order_by(Round.id)))
    return Place(Programme(database), proposals, rounds)
