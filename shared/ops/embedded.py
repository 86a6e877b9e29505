"""Runs every service in this process, on the embedded broker and SQLite files: for the demo and a first look.

The process must have called ``eventlet.monkey_patch()`` before anything else.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nameko.cli.run import import_service
from nameko.runners import ServiceRunner

from shared.config import DEFAULT_RETRY_DELAYS_MS
from shared.messaging import broker, embedded
from shared.messaging.topology import topology
from shared.ops.names import SERVICES
from shared.security.tokens import SigningKey
from shared.storage import migrate


@contextmanager
def running(
    directory: Path,
    signing_key: SigningKey,
    rehearsal_clock: Path | None = None,
    retry_delays_ms: Sequence[int] = DEFAULT_RETRY_DELAYS_MS,
) -> Iterator[None]:
    """Migrate, declare the topology, start all services; stop them at the end of the block.

    :param directory: where the databases go, one file per service.
    :param signing_key: the key whose tokens the services accept.
    :param rehearsal_clock: the file that shifts the services' clock, if any.
    :param retry_delays_ms: waits before an event whose handler failed is tried again.
    """
    database_url = f"sqlite:///{directory}/{{service}}.db"
    for service in SERVICES:
        migrate.upgrade(service, database_url.replace("{service}", service))
    embedded.reset()
    with broker.connect(embedded.URI) as connection:
        topology(retry_delays_ms).apply(connection)
    token_keys = directory / "keys.json"
    token_keys.write_text(json.dumps({"keys": [signing_key.public_jwk()]}))
    config: dict[str, Any] = {
        "SERVICE_CONTAINER_CLS": "shared.messaging.container.Container",
        "AMQP_URI": embedded.URI,
        "DATABASE_URL": database_url,
        "TOKEN_KEYS": str(token_keys),
        "RETRY_DELAYS_MS": ",".join(map(str, retry_delays_ms)),
        "REHEARSAL_CLOCK": str(rehearsal_clock) if rehearsal_clock else None,
    }
    runner = ServiceRunner(config)
    for service in SERVICES:
        for service_class in import_service(f"services.{service}.service"):
            runner.add_service(service_class)
    runner.start()
    try:
        yield
    finally:
        runner.stop()
