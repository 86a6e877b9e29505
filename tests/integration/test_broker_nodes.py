"""A broker given by several URIs serves by the first that answers: publishing, declaring, calling."""

import pytest
from click.testing import CliRunner

from commonweal import Client, Unavailable
from shared.events.catalogue import SUBSCRIPTIONS
from shared.messaging import broker
from shared.messaging.publisher import Publisher
from shared.messaging.topology import dead_letters_of, is_applied
from shared.ops.cli import main
from tests.support import outcomes
from tests.support.messages import message_of

NOBODY = "amqp://user:hunter2@127.0.0.1:1/vhost"


@pytest.fixture
def third(amqp_uri: str) -> str:
    """The real broker after two nodes that are down."""
    return f"{NOBODY};{NOBODY};{amqp_uri}"


def test_the_topology_is_declared_and_an_event_published(third: str) -> None:
    declared = CliRunner().invoke(main, ["topology", "apply", "--amqp-uri", third])
    assert declared.exit_code == 0, declared.output
    with broker.connect(third) as connection:
        assert all(is_applied(connection, service) for service in SUBSCRIPTIONS)
        publisher = Publisher(third)
        assert publisher.publish([message_of(outcomes.project_funded())]) == {}
        publisher.close()
        with connection.channel() as channel:
            assert channel.basic_get("outcomes.events", no_ack=True)
            assert channel.basic_get(dead_letters_of("outcomes")) is None


def test_a_call_is_sent(third: str) -> None:
    CliRunner().invoke(main, ["topology", "apply", "--amqp-uri", third])
    with Client(third, "a-token") as client, pytest.raises(Unavailable) as refusal:
        client.nobody.get_anything()
    # The broker itself said so.
    assert refusal.value.code == "no_such_service"


def test_nodes_that_are_all_down_are_named_without_their_passwords() -> None:
    refused = CliRunner().invoke(main, ["topology", "apply", "--amqp-uri", f"{NOBODY};{NOBODY}"])
    assert refused.exit_code == 1
    assert "127.0.0.1:1/vhost, 127.0.0.1:1/vhost" in refused.output
    assert "hunter2" not in refused.output
