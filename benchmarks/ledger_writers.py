"""Writers that post to a ledger as fast as they can, in a process of their own; see :mod:`benchmarks.ledger`.

``python -m benchmarks.ledger_writers URL POOL_ID FIRST WRITERS SECONDS`` says that it is ready, waits for a line, and
prints how many postings its writers committed and how many seconds that took.
"""

import json
import sys
import threading
import time
from datetime import date
from uuid import UUID

from services.funding import ledger, ledger_store
from shared import ids
from shared.storage.database import Database

POSTED_ON = date(2026, 6, 1)


def transactions(writer: int, proposal_id: UUID, number: int) -> ledger.Transaction:
    """Return a writer's posting of a number: a penny that was free is held, and the next time let go."""
    flow = ledger.release if number % 2 else ledger.reserve
    return flow(
        award_id=ids.new_id(),
        proposal_id=proposal_id,
        amount_pence=1,
        on=POSTED_ON,
        author=f"writer-{writer}",
    )


def main() -> None:
    """Post until the time is over."""
    url, pool_id, first, writers, seconds = sys.argv[1:]
    database = Database(url, pool_size=int(writers))
    for writer in range(int(first), int(first) + int(writers)):
        for number in range(2):  # Connections, compiled statements and the writer's account are there from now on.
            post(database, UUID(pool_id), writer, number)
    print("ready", flush=True)
    sys.stdin.readline()
    posted = [0] * int(writers)
    until = time.perf_counter() + float(seconds)

    def write(place: int) -> None:
        while time.perf_counter() < until:
            post(database, UUID(pool_id), int(first) + place, posted[place])
            posted[place] += 1

    started = time.perf_counter()
    threads = [threading.Thread(target=write, args=(place,)) for place in range(int(writers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"postings": sum(posted), "seconds": time.perf_counter() - started}))


def post(database: Database, pool_id: UUID, writer: int, number: int) -> None:
    """Make one posting in a transaction of its own."""
    transaction = transactions(writer, UUID(int=writer + 1), number)
    database.run(lambda session: ledger_store.post(session, pool_id, [transaction]))


if __name__ == "__main__":
    main()
