"""What a measurement gives: figures with the rounds that they were taken in, and where they were taken."""

import os
import platform
import statistics
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass
class Figure:
    """One number, taken once per round.

    :param name: what was measured.
    :param unit: such as ``events/s`` or ``ms``.
    :param rounds: the numbers, in the order in which they were taken.
    :param compared_with: the figure, of the same rounds, that this one is to be seen beside.
    """

    name: str
    unit: str
    rounds: list[float] = field(default_factory=list)
    compared_with: "Figure | None" = None

    @property
    def median(self) -> float:
        """The middle one of the rounds."""
        return statistics.median(self.rounds)

    @property
    def ratio(self) -> float | None:
        """The median over the rounds of this figure divided by the other's: neighbours on the machine slow both."""
        if self.compared_with is None:
            return None
        pairs = zip(self.rounds, self.compared_with.rounds, strict=True)
        return statistics.median(own / other for own, other in pairs)

    def as_json(self) -> dict[str, Any]:
        """The figure with every round."""
        described: dict[str, Any] = {
            "name": self.name, "unit": self.unit, "median": self.median, "rounds": self.rounds
        }  # fmt: skip
        if self.compared_with is not None:
            described |= {"ratio": self.ratio, "compared_with": self.compared_with.name}
        return described


def machine() -> dict[str, Any]:
    """Where the figures are taken: hardware, versions, and how busy it is with other things."""
    cpu_info = Path("/proc/cpuinfo")
    lines = cpu_info.read_text().splitlines() if cpu_info.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpus": os.cpu_count(),
        "cpu": model or platform.machine(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "load": [round(load, 2) for load in os.getloadavg()],
    }
