"""Posts to a pool's ledger through the service's methods, and tells each answer before the next call.

``python -m tests.support.poster URL POOL_ID AWARD_ID FIRST LAST`` makes the calls of these numbers, one at a time; a
line of its output is a number and its answer as JSON. Made to be killed: with a sixth argument it ends itself by
SIGKILL before the statement of that number reaches the database; a commit counts as two, before it and after it.
"""

import json
import os
import signal
import sys
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session

from shared import clock
from shared.storage.database import Database
from tests.support.funding import ABERDEENSHIRE, EDINBURGH, FIFE, NOW, TREASURER_ANN, Funding

#: Every so many calls one is a payment, the others are receipts.
A_PAYMENT_EACH = 50


def call(number: int, pool_id: str, award_id: str) -> tuple[str, dict[str, Any]]:
    """Return the method and the arguments of a call; the same ones for the same number always."""
    key = {"idempotency_key": f"posting-{number}"}
    if number % A_PAYMENT_EACH == 0:
        about = {"award_id": award_id, "tranche": tranche(number), "payment_reference": f"PAY-{number}"}
        return "record_payment", {**about, "paid_on": "2026-06-01", **key}
    council = (EDINBURGH, ABERDEENSHIRE, FIFE)[number % 3]
    facts = {"council": council, "amount_pence": number, "bank_reference": f"BACS-{number}"}
    return "record_receipt", {"pool_id": pool_id, **facts, "received_on": "2026-05-29", **key}


def tranche(number: int) -> str:
    """Return the key of the tranche that a call pays."""
    return f"t{number}"


def main() -> None:
    """Make the calls."""
    url, pool_id, award_id, first, last, *statements = sys.argv[1:]
    clock.install(clock.FixedClock(NOW))
    database = Database(url)
    if statements:
        _die_before(database, int(statements[0]))
    funding = Funding(database)
    for number in range(int(first), int(last) + 1):
        method, arguments = call(number, pool_id, award_id)
        answer = funding.call(TREASURER_ANN, method, **arguments)
        print(json.dumps([number, answer]), flush=True)


def _die_before(database: Database, statement: int) -> None:
    left = [statement]

    def count(*_: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(database.engine, "before_cursor_execute", count)
    event.listen(database.engine, "commit", count)
    event.listen(Session, "after_commit", count)


if __name__ == "__main__":
    main()
