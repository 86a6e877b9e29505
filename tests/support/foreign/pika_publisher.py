"""A publisher with pika and the CloudEvents SDK: ``python pika_publisher.py AMQP_URI``.

Reads what to publish from standard input: a JSON object with ``exchange``, ``routing_key``, ``mode`` (``binary`` or
``structured``), ``attributes``, ``data`` and ``times``. Exits with 0 once the broker has confirmed each.
"""

import json
import sys
from datetime import datetime
from typing import Any

import pika
from cloudevents.core.bindings import rabbitmq
from cloudevents.core.v1.event import CloudEvent


def main(amqp_uri: str, order: dict[str, Any]) -> None:
    encode = {"binary": rabbitmq.to_binary_event, "structured": rabbitmq.to_structured_event}[order["mode"]]
    attributes = {**order["attributes"], "time": datetime.fromisoformat(order["attributes"]["time"])}
    message = encode(CloudEvent(attributes, order["data"]))
    parameters = pika.URLParameters(amqp_uri)
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        # With both, basic_publish raises when the broker does not take the message or no queue does.
        channel.confirm_delivery()
        for _ in range(order["times"]):
            channel.basic_publish(
                exchange=order["exchange"],
                routing_key=order["routing_key"],
                body=message.body,
                properties=pika.BasicProperties(
                    content_type=message.content_type,
                    headers=message.headers,
                    user_id=parameters.credentials.username,
                    delivery_mode=pika.DeliveryMode.Persistent,
                ),
                mandatory=True,
            )


if __name__ == "__main__":
    main(sys.argv[1], json.load(sys.stdin))
