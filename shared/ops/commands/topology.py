"""``commonweal-ops topology``: the broker's exchanges and queues."""

import json
from typing import Any

import click

from shared import config
from shared.messaging import broker
from shared.messaging.drift import Found, differences
from shared.messaging.topology import NotAllDeclared, Topology
from shared.messaging.topology import topology as make_topology
from shared.ops import options
from shared.ops.comparison import CannotAsk, tell
from shared.ops.management import Management, ManagementError

_amqp_uri = options.amqp_uri()
_retry_delays_ms = click.option(
    "--retry-delays-ms", envvar="COMMONWEAL_RETRY_DELAYS_MS", help="As the services have it."
)


@click.group()
def topology() -> None:
    """The broker's exchanges and queues."""


@topology.command()
@_amqp_uri
@_retry_delays_ms
def apply(amqp_uri: str, retry_delays_ms: str | None) -> None:
    """Declare every exchange, queue and binding of the catalogue; what exists is left as it is."""
    wanted = _wanted(retry_delays_ms)
    try:
        with broker.connect(amqp_uri) as connection:
            connection.connect()
            wanted.apply(connection)
    except NotAllDeclared as refusal:
        lines = "".join(f"\n  {problem}" for problem in refusal.problems)
        raise click.ClickException(
            f"not all could be declared at {broker.place_of(amqp_uri)}:{lines}\n"
            "Everything else is declared; commonweal-ops topology diff tells every difference."
        ) from refusal
    except Exception as error:
        raise click.ClickException(
            f"the topology could not be declared at {broker.place_of(amqp_uri)}: {error}"
        ) from error
    click.echo(
        f"declared {len(wanted.exchanges)} exchanges, {len(wanted.queues)} queues, {len(wanted.bindings)} bindings"
    )


@topology.command()
@_amqp_uri
@options.management_url
@_retry_delays_ms
@click.option("--json", "as_json", is_flag=True, help="For a program.")
@click.pass_context
def diff(
    context: click.Context, amqp_uri: str, management_url: str | None, retry_delays_ms: str | None, as_json: bool
) -> None:
    """Compare the broker with the catalogue: what is missing, different, left over, or overridden by a policy.

    Changes nothing. The exit code is 0 when they are equal, 1 when they are not, 2 when the broker could not be asked.
    The user of the AMQP URI needs RabbitMQ's tag management.
    """
    wanted = _wanted(retry_delays_ms)
    try:
        management = Management(amqp_uri, management_url)
        found = _found(management)
        told = differences(wanted, found, lambda queue: _count(amqp_uri, queue))
    except ManagementError as error:
        raise CannotAsk(str(error)) from error
    equal = f"{len(wanted.exchanges)} exchanges, {len(wanted.queues)} queues, {len(wanted.bindings)} bindings"
    tell(context, management.vhost, told, as_json=as_json, equal=equal)


@topology.command()
@click.option("--vhost", default="/", show_default=True, help="The virtual host to import them into.")
@_retry_delays_ms
def export(vhost: str, retry_delays_ms: str | None) -> None:
    """Print the topology as RabbitMQ definitions.

    "rabbitmqctl import_definitions" and the management API's POST /api/definitions take them; the virtual host must
    exist.
    """
    click.echo(json.dumps(_wanted(retry_delays_ms).definitions(vhost), indent=2))


def _wanted(retry_delays_ms: str | None) -> Topology:
    delays_ms = config.whole_numbers(retry_delays_ms) if retry_delays_ms else config.DEFAULT_RETRY_DELAYS_MS
    if not delays_ms:
        raise click.UsageError("COMMONWEAL_RETRY_DELAYS_MS must be whole numbers, such as 1000,5000.")
    return make_topology(delays_ms)


def _found(management: Management) -> Found:
    def listed(what: str) -> Any:
        try:
            return management.get(f"{what}/{{vhost}}")
        except ManagementError as error:
            if error.status == 404:
                raise ManagementError(f"{management.url} has no virtual host {management.vhost!r}", 404) from error
            raise

    return Found(
        exchanges=listed("exchanges"),
        queues=listed("queues"),
        bindings=listed("bindings"),
        policies=listed("policies"),
        operator_policies=listed("operator-policies"),
    )


def _count(amqp_uri: str, queue: str) -> int | None:
    """Return how many messages wait in a queue: the broker itself knows, the management API seconds later."""
    try:
        with broker.connect(amqp_uri) as connection, connection.channel() as channel:
            return int(channel.queue_declare(queue=queue, passive=True).message_count)
    except Exception:
        return None
