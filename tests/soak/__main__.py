"""``make soak``: reads its size from the environment, brings up servers of its own and prints what came of it."""

import os
import secrets
import signal
import sys
import tempfile
from pathlib import Path

from tests.soak.soak import Soak
from tests.support import servers


def main() -> None:
    """Run a soak; exits with 1 when the books disagree, 2 when a variable is not a number."""
    # Whoever ends a soak early leaves nothing behind: servers and services are ended on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    events, minutes = _number("SOAK_EVENTS", 20_000), _number("SOAK_MINUTES", 120)
    seed = _number("SOAK_SEED", secrets.randbelow(1_000_000))
    print(f"A soak of {events:,} events with seed {seed}, for {minutes} minutes at most.")
    print(f"To repeat its kills: make soak SOAK_EVENTS={events} SOAK_SEED={seed}", flush=True)
    # No server that a variable names: those are not ours to kill.
    with servers.start(environment={}) as started, tempfile.TemporaryDirectory() as directory:
        print(started.summary, flush=True)
        soak = Soak(
            started.broker,
            started.postgresql,
            Path(directory),
            seed=seed,
            events=events,
            time_limit_s=60 * minutes,
            say=lambda line: print(line, flush=True),
        )
        report = soak.run()
    print(f"\n{report}")
    sys.exit(0 if report.passed else 1)


def _number(variable: str, default: int) -> int:
    value = os.environ.get(variable) or str(default)
    if not (value.isascii() and value.isdecimal()):
        print(f"{variable} must be a whole number, not {value!r}.", file=sys.stderr)
        sys.exit(2)
    return int(value)


if __name__ == "__main__":
    main()
