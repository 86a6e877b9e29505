"""``commonweal-ops topology``: the broker's exchanges and queues."""

import click

from shared import config
from shared.messaging import broker
from shared.messaging.topology import topology as make_topology


@click.group()
def topology() -> None:
    """The broker's exchanges and queues."""


@topology.command()
@click.option("--amqp-uri", envvar="COMMONWEAL_AMQP_URI", required=True, help="The broker.")
@click.option("--retry-delays-ms", envvar="COMMONWEAL_RETRY_DELAYS_MS", help="As the services have it.")
def apply(amqp_uri: str, retry_delays_ms: str | None) -> None:
    """Declare every exchange, queue and binding of the catalogue; what exists is left as it is."""
    delays_ms = config.whole_numbers(retry_delays_ms) if retry_delays_ms else config.DEFAULT_RETRY_DELAYS_MS
    if not delays_ms:
        raise click.ClickException("COMMONWEAL_RETRY_DELAYS_MS must be whole numbers, such as 1000,5000.")
    wanted = make_topology(delays_ms)
    try:
        with broker.connect(amqp_uri) as connection:
            connection.connect()
            wanted.apply(connection)
    except Exception as error:
        raise click.ClickException(
            f"the topology could not be declared at {broker.place_of(amqp_uri)}: {error}"
        ) from error
    click.echo(
        f"declared {len(wanted.exchanges)} exchanges, {len(wanted.queues)} queues, {len(wanted.bindings)} bindings"
    )
