"""A running funding service with proxies between it, its callers and its servers."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.ops.launch import ServiceProcess
from tests.support.proxy import End, Fault, Proxy
from tests.support.servers import Servers
from tests.support.stage import Stage, stage_on_servers

#: Every way for bytes to go: what a fault may concern.
WAYS = {"to-server": (End.SERVER,), "to-client": (End.CLIENT,), "both-ways": (End.SERVER, End.CLIENT)}


@dataclass
class Network:
    """Proposals, on a network of its own that never fails, and funding, whose connections all pass a proxy.

    :param broker: between funding and the broker.
    :param database: between funding and its database.
    """

    stage: Stage
    broker: Proxy
    database: Proxy

    @property
    def funding(self) -> ServiceProcess:
        return self.stage.processes["funding"]

    def proxy_before(self, server: str) -> Proxy:
        """Return one of the proxies by its name."""
        return {"broker": self.broker, "database": self.database}[server]

    def heal(self) -> None:
        """Let new connections pass everywhere, and old ones that miss nothing."""
        self.broker.heal()
        self.database.heal()


@contextmanager
def network_on(servers: Servers, directory: Path, **environment: Any) -> Iterator[Network]:
    """Run proposals and funding.

    :param environment: ``COMMONWEAL_*`` variables of both, beside the usual ones.
    """
    vhost = servers.broker.create_vhost()
    with stage_on_servers(
        vhost,
        servers.postgresql.create_database,
        directory,
        services=("proposals",),
        extra_environment={name: str(value) for name, value in environment.items()},
    ) as stage:
        own = stage.environment["funding"]
        url = own["COMMONWEAL_DATABASE_URL"]
        with Proxy.before(vhost) as to_broker, Proxy.before(url) as to_database:
            own["COMMONWEAL_AMQP_URI"] = to_broker.in_place_of(vhost)
            own["COMMONWEAL_DATABASE_URL"] = to_database.in_place_of(url)
            with ServiceProcess("funding", own) as funding:
                stage.processes["funding"] = funding
                funding.wait_until_ready()
                yield Network(stage, to_broker, to_database)


def name_of(value: object) -> str | None:
    """Return a test's parameter as part of its id."""
    return value.value if isinstance(value, Fault) else None
