"""A process that posts is killed again and again: its ledger is whole, and what it answered is in there once."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from tempfile import TemporaryFile
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, text

from services.funding.models import LedgerTransaction
from tests.support import poster
from tests.support.funding import APPROVER_BEN, EDINBURGH, TREASURER_ANN, Funding, officer
from tests.support.stage import eventually

#: How many receipts and payments, and after which of them the process is killed.
FEW, MANY = 100, 1000
KILLS = {FEW: (1, 49, 73), MANY: (1, 49, 50, 51, 313, 500, 777, 850)}
TRANCHE_PENCE = 1_00


@dataclass
class Pool:
    """A pool with an award whose tranches wait for their payments.

    :param before: how many transactions its ledger had before the postings.
    :param answers: what was answered so far, by the number of the call.
    """

    funding: Funding
    pool_id: str
    award_id: str
    before: int
    answers: dict[int, Any] = field(default_factory=dict)

    @classmethod
    def to_be_posted_to(cls, funding: Funding, postings: int) -> "Pool":
        payments = range(poster.A_PAYMENT_EACH, postings + 1, poster.A_PAYMENT_EACH)
        tranches = tuple((poster.tranche(number), TRANCHE_PENCE) for number in payments)
        pool_id = funding.funded_pool(len(tranches) * TRANCHE_PENCE)
        award = funding.offer(pool_id, funding.candidate(tranches=tranches), amount_pence=len(tranches) * TRANCHE_PENCE)
        funding.call(APPROVER_BEN, "approve_award", award_id=award["award_id"])
        award = funding.call(officer(EDINBURGH), "accept_award", award_id=award["award_id"])
        for key, _ in tranches:
            funding.approved_drawdown(award, key)
        return cls(funding, pool_id, award["award_id"], before=3)

    def posted(self) -> int:
        """How many of the postings are in the ledger."""
        count = select(func.count()).where(LedgerTransaction.pool_id == UUID(self.pool_id))
        return (self.funding.database.run(lambda session: session.scalar(count)) or 0) - self.before

    @contextmanager
    def posting(self, last: int, *statements: int, again: int = 2) -> Iterator["subprocess.Popen[str]"]:
        """Post what has not been answered, and hear the answers to the end.

        :param statements: after how many of them the process ends itself.
        :param again: how many of those that were answered last are posted once more.
        """
        first = max(1, max(self.answers, default=0) + 1 - again)
        url = self.funding.database.url.render_as_string(hide_password=False)
        command = [sys.executable, "-m", "tests.support.poster", url, self.pool_id, self.award_id]
        # A file, which takes any number of lines; a pipe would make the process wait for its reader.
        with TemporaryFile("w+") as told:
            process = subprocess.Popen([*command, *map(str, (first, last, *statements))], stdout=told, text=True)
            try:
                yield process
            finally:
                process.kill()
                process.wait()
                told.seek(0)
                for line in told:
                    if line.endswith("\n"):
                        number, answer = json.loads(line)
                        assert self.answers.setdefault(number, answer) == answer

    def check(self) -> None:
        """Check the ledger, whatever happened to the process."""
        eventually(self._is_left_alone)
        verification = self.funding.call(TREASURER_ANN, "verify_ledger", pool_id=self.pool_id)
        assert verification["ok"], verification
        numbers = [int(key.rpartition("-")[2]) for key in self._keys()]
        assert numbers in (list(range(1, len(self.answers) + 1)), list(range(1, len(self.answers) + 2)))
        assert sorted(self.answers) == numbers[: len(self.answers)]
        position = self.funding.position(self.pool_id)
        receipts = sum(number for number in numbers if number % poster.A_PAYMENT_EACH)
        payments = sum(1 for number in numbers if number % poster.A_PAYMENT_EACH == 0)
        assert position.get("available", 0) == receipts
        assert position.get("paid", 0) == payments * TRANCHE_PENCE

    def _is_left_alone(self) -> bool:
        """Tell whether the database knows that the process is gone: a commit on its way may still arrive till then."""
        if not self.funding.database.is_postgresql:
            return True
        others = text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'commonweal' AND client_port IS NOT NULL AND state <> 'idle'"
            " AND pid <> pg_backend_pid()"
        )
        return self.funding.database.run(lambda session: session.scalar(others)) == 0

    def _keys(self) -> Sequence[str]:
        keys = (
            select(LedgerTransaction.key)
            .where(LedgerTransaction.pool_id == UUID(self.pool_id), LedgerTransaction.number > self.before)
            .order_by(LedgerTransaction.number)
        )
        return self.funding.database.run(lambda session: list(session.scalars(keys)))


@pytest.mark.parametrize("postings", [FEW, pytest.param(MANY, marks=[pytest.mark.thorough, pytest.mark.timeout(600)])])
def test_killed_in_the_middle_of_its_postings(funding: Funding, postings: int) -> None:
    pool = Pool.to_be_posted_to(funding, postings)
    for kill_after in KILLS[postings]:
        with pool.posting(postings) as process:
            eventually(lambda after=kill_after: pool.posted() >= after or process.poll() is not None, within_s=120)
            process.kill()
        assert process.returncode == -signal.SIGKILL
        pool.check()
    with pool.posting(postings) as process:
        assert process.wait(timeout=300) == 0
    assert len(pool.answers) == pool.posted() == postings
    pool.check()


@pytest.mark.thorough
@pytest.mark.timeout(600)
def test_killed_before_each_statement_of_a_posting(funding: Funding) -> None:
    """A receipt, then a payment: whichever statement is not sent any more, all of it is there or nothing."""
    last = poster.A_PAYMENT_EACH
    pool = Pool.to_be_posted_to(funding, last)
    with pool.posting(last - 2) as process:
        assert process.wait(timeout=100) == 0
    for number in (last - 1, last):
        deaths = 0
        while number not in pool.answers:
            with pool.posting(number, deaths + 1, again=0) as process:
                process.wait(timeout=100)
            deaths += process.returncode == -signal.SIGKILL
            assert process.returncode in (0, -signal.SIGKILL)
            pool.check()
        # Locks, rows, balances, the chain's end, key, event and audit row; before the commit and after it.
        assert deaths > 12
