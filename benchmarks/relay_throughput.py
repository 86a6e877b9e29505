"""How many events a second the relay takes from the outbox to confirmed messages, beside a bare publisher's limit.

A burst is committed at once, and the times at which its batches were marked tell the rate. The bare publisher sends the
same messages over the same exchange into the same quorum queue, encoded beforehand, by py-amqp's ``basic_publish``: in
batches of the relay's size with confirms awaited together, and waiting for each one's confirm, which is the most that a
relay without batches could reach.
"""

import time
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

import amqp

from benchmarks.results import Figure
from benchmarks.running import services
from shared import clock, ids
from shared.events.catalogue import event_type
from shared.messaging import events
from shared.messaging.publisher import PERSISTENT, Message
from shared.messaging.relay import BATCH_SIZE
from tests.support.servers import Servers

EVENTS = 10_000
CONFIRM_TIMEOUT_S = 30


def measure(servers: Servers, rounds: int) -> list[Figure]:
    """Take the figures, the three ways of publishing in turn."""
    batched = Figure("bare publisher, batches", "events/s")
    single = Figure("bare publisher, one at a time", "events/s", compared_with=batched)
    relay = Figure("relay", "events/s", compared_with=batched)
    messages = [_message() for _ in range(EVENTS)]
    with services(servers, ("funding",)) as running:
        for _ in range(rounds):
            _, per_second = running.publishing(running.commit_events(EVENTS))
            relay.rounds.append(per_second)
            running.purge()
            batched.rounds.append(_publish(running.amqp_uri, messages, BATCH_SIZE))
            running.purge()
            # A tenth is enough: each of them waits alike.
            single.rounds.append(_publish(running.amqp_uri, messages[: EVENTS // 10], 1))
            running.purge()
    return [relay, batched, single]


def _message() -> Message:
    pool_id = str(ids.new_id())
    return events.encode(
        event_type("funding", "member_joined"),
        id=ids.new_id(),
        subject=pool_id,
        sequence=1,
        time=clock.now(),
        data={"pool_id": pool_id, "council": "S12000036", "joins_on": "2026-04-01"},
    )


def _publish(amqp_uri: str, messages: Sequence[Message], batch_size: int) -> float:
    """Publish messages by py-amqp alone; returns how many a second were confirmed."""
    address = urlsplit(amqp_uri)
    connection = amqp.Connection(
        host=f"{address.hostname}:{address.port}",
        userid=unquote(address.username or ""),
        password=unquote(address.password or ""),
        virtual_host=unquote(address.path[1:]),
    )
    connection.connect()
    channel = connection.channel()
    channel.confirm_select()
    unconfirmed: set[int] = set()

    def on_ack(delivery_tag: int, multiple: bool) -> None:
        confirmed = {tag for tag in unconfirmed if tag <= delivery_tag} if multiple else {delivery_tag}
        unconfirmed.difference_update(confirmed)

    channel.events["basic_ack"].add(on_ack)
    started = time.perf_counter()
    for start in range(0, len(messages), batch_size):
        for tag, message in enumerate(messages[start : start + batch_size], start + 1):
            unconfirmed.add(tag)
            body = amqp.Message(
                message.body,
                content_type=message.content_type,
                content_encoding=message.content_encoding,
                application_headers=dict(message.headers),
                message_id=message.message_id,
                delivery_mode=PERSISTENT,
            )
            channel.basic_publish(body, message.exchange, message.routing_key, mandatory=True)
        while unconfirmed:
            connection.drain_events(timeout=CONFIRM_TIMEOUT_S)
    took_s = time.perf_counter() - started
    connection.close()
    return len(messages) / took_s
