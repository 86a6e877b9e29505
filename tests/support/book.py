"""A pool's money as a page of plain Python: what the service's books must amount to, whatever is done to it.

Nothing of the service is used here, so that a mistake of its rules cannot hide in the model too.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor


@dataclass(frozen=True)
class Entry:
    """A transaction that must be in the ledger: pence by account, none of them zero."""

    kind: str
    on: str
    postings: Mapping[str, int]


@dataclass
class Book:
    """The accounts of a pool and all that has been written, in order."""

    accounts: Counter[str] = field(default_factory=Counter)
    entries: list[Entry] = field(default_factory=list)

    def write(self, kind: str, on: str, postings: Mapping[str, int]) -> None:
        """Move money. :raises AssertionError: when the model itself would lose or overspend a penny."""
        moved = {account: pence for account, pence in postings.items() if pence}
        assert sum(moved.values()) == 0
        self.accounts.update(moved)
        assert all(pence >= 0 for account, pence in self.accounts.items() if not account.startswith("council:"))
        self.entries.append(Entry(kind, on, moved))

    def move(self, kind: str, on: str, source: str, destination: str, pence: int) -> None:
        """Move money from one account to another."""
        self.write(kind, on, {source: -pence, destination: pence})

    def receive(self, council: str, pence: int, on: str) -> int:
        """A council pays; returns the part of it that it had not pledged."""
        pledged = min(pence, self.accounts[f"pledged:{council}"])
        beyond = pence - pledged
        self.write("receipt", on, {f"pledged:{council}": -pledged, f"council:{council}": -beyond, "available": pence})
        return beyond

    def paid_in(self, council: str, on: str | None = None) -> int:
        """What a council has paid, less what it got back: now, or by the end of a day."""
        balances = self.balances_on(on)
        return -balances[f"council:{council}"] - balances[f"pledged:{council}"]

    def position(self, on: str | None = None) -> dict[str, int]:
        """Where the money is, as ``get_pool`` shows it: now, or at the end of a day."""
        kinds: Counter[str] = Counter()
        for account, pence in self.balances_on(on).items():
            kinds[account.partition(":")[0]] += pence
        shown = {f"{kind}_pence": kinds[kind] for kind in ("pledged", "available", "reserved", "committed", "paid")}
        return shown | {"received_pence": -kinds["council"] - kinds["pledged"]}

    def balances_on(self, day: str | None) -> Counter[str]:
        """The balances of what had moved by the end of a day; those of now without one."""
        if day is None:
            return self.accounts
        balances: Counter[str] = Counter()
        for entry in self.entries:
            if entry.on <= day:
                balances.update(entry.postings)
        return balances


def split(total_pence: int, weights: Mapping[str, int]) -> dict[str, int]:
    """Split an amount pro rata: everybody's part rounded down, and a penny more to the largest remainders."""
    exact = {name: Fraction(total_pence * weight, sum(weights.values())) for name, weight in sorted(weights.items())}
    parts = {name: floor(part) for name, part in exact.items()}
    by_remainder = sorted(exact, key=lambda name: parts[name] - exact[name])
    for name in by_remainder[: total_pence - sum(parts.values())]:
        parts[name] += 1
    return parts
