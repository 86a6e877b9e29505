"""A service that commits an event every now and then and says when; configured as any service.

Only the latency benchmark runs it. Its name is funding's, so that its events have a schema, an exchange and a queue.
"""

import warnings

warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")
warnings.filterwarnings("ignore", message="pkg_resources is deprecated")

import eventlet  # noqa: E402

eventlet.monkey_patch()

import os  # noqa: E402
import signal  # noqa: E402
import time  # noqa: E402
from datetime import date  # noqa: E402
from typing import Any  # noqa: E402

from nameko.runners import ServiceRunner  # noqa: E402
from nameko.timer import timer  # noqa: E402
from sqlalchemy import select  # noqa: E402

from shared import ids  # noqa: E402
from shared.events.catalogue import event_type  # noqa: E402
from shared.messaging import outbox  # noqa: E402
from shared.messaging.relay import OutboxRelay  # noqa: E402
from shared.messaging.tables import outbox as outbox_table  # noqa: E402
from shared.storage.provider import Storage  # noqa: E402

TICK_S = float(os.environ.get("BENCHMARK_TICK_S", "0.05"))
IS_TICKING = os.environ.get("BENCHMARK_IS_TICKING") == "yes"


class TickingService:
    """Commits one event per tick."""

    name = "funding"
    storage = Storage()
    relay = OutboxRelay()

    @timer(interval=TICK_S)
    def tick(self) -> None:
        """Commit an event; say its id and when it was committed, on the clock that all processes of a machine share."""
        if not IS_TICKING:
            return
        pool_id = ids.new_id()
        with self.storage.transaction() as session:
            data = {"pool_id": pool_id, "council": "S12000036", "joins_on": date(2026, 4, 1)}
            outbox.record(session, event_type("funding", "member_joined"), subject=pool_id, sequence=1, data=data)
            # Unique to this event, so that the line can say which one it was.
            event_id = session.scalar(select(outbox_table.c.event_id).where(outbox_table.c.subject == str(pool_id)))
        committed_ns = time.monotonic_ns()
        print(f"{event_id} {committed_ns}", flush=True)


def main() -> None:
    """Run the service until it is told to stop."""
    config: dict[str, Any] = {
        "SERVICE_CONTAINER_CLS": "shared.messaging.container.Container",
        **{
            name.removeprefix("COMMONWEAL_"): value
            for name, value in os.environ.items()
            if name.startswith("COMMONWEAL_")
        },
    }
    runner = ServiceRunner(config)
    runner.add_service(TickingService)
    signal.signal(signal.SIGTERM, lambda *_: eventlet.spawn_n(runner.stop))
    runner.start()
    print("ready", flush=True)
    runner.wait()


if __name__ == "__main__":
    main()
