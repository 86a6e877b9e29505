"""``make bench``: measures on private servers, shows a table and writes every round to a file."""

import argparse
import json
import os
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import audit, backlog, latency, ledger, proposals, relay_throughput
from benchmarks.results import Figure, machine
from tests.support import servers

MEASUREMENTS = {
    "relay": relay_throughput.measure,
    "latency": latency.measure,
    "backlog": backlog.measure,
    "audit": audit.measure,
    "proposals": proposals.measure,
    "ledger": ledger.measure,
}


def main() -> None:
    """Read the arguments, measure, report."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--only", choices=MEASUREMENTS, action="append", help="one measurement; may be repeated")
    parser.add_argument("--rounds", type=int, default=5, help="how often each figure is taken (5)")
    parser.add_argument("--output", type=Path, default=Path("build/benchmarks.json"), help="the file (%(default)s)")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds must be at least 1")
    console = Console()
    report = {"machine": machine(), "figures": {}}
    if os.getloadavg()[0] > (os.cpu_count() or 1) / 4:
        console.print(f"[yellow]This machine is busy (load {os.getloadavg()[0]:.1f}): trust the ratios alone.")
    try:
        with servers.start(report=console.print) as started:
            console.print(started.summary)
            report["machine"]["servers"] = started.summary
            for name in arguments.only or MEASUREMENTS:
                figures = MEASUREMENTS[name](started, arguments.rounds)
                report["figures"][name] = [figure.as_json() for figure in figures]
                console.print(_table(name, figures))
    except servers.NoServer as reason:
        sys.exit(str(reason))
    report["machine"]["load_at_end"] = [round(load, 2) for load in os.getloadavg()]
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=2) + "\n")
    console.print(f"every round: {arguments.output}")


def _table(name: str, figures: list[Figure]) -> Table:
    table = Table("figure", title=name, title_justify="left")
    for column in ("median", "lowest", "highest", "ratio"):
        table.add_column(column, justify="right")
    table.add_column("compared with")
    for figure in figures:
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
        numbers = [f"{number:,.{1 if number < 100 else 0}f}" for number in (
            figure.median, min(figure.rounds), max(figure.rounds)
        )]  # fmt: skip
        table.add_row(
            f"{figure.name} ({figure.unit})", *numbers, ratio, figure.compared_with.name if figure.compared_with else ""
        )
    return table


if __name__ == "__main__":
    main()
