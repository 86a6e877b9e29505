"""How an accounts system reports money, with pika alone: ``python report.py AMQP_URI EVENT SUBJECT ENTRY DATA``.

ENTRY is the accounts system's own number of the entry, and becomes the event's id: reported again under it, the money
counts once. Exits with 0 once the broker holds the event.
"""

import json
import sys
from datetime import UTC, datetime

import pika


def report(amqp_uri: str, event: str, subject: str, entry: str, data: dict[str, object]) -> None:
    parameters = pika.URLParameters(amqp_uri)
    headers = {
        "ce-specversion": "1.0",
        "ce-id": entry,
        "ce-source": "finance",
        "ce-type": f"commonweal.finance.{event}.v1",
        "ce-subject": subject,
        "ce-time": datetime.now(UTC).isoformat(),
    }
    properties = pika.BasicProperties(
        content_type="application/json",
        headers=headers,
        user_id=parameters.credentials.username,
        delivery_mode=pika.DeliveryMode.Persistent,
    )
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        channel.confirm_delivery()  # With it and mandatory, an event that nobody holds raises.
        channel.basic_publish("finance.events", event, json.dumps(data).encode(), properties, mandatory=True)


if __name__ == "__main__":
    amqp_uri, event, subject, entry, data = sys.argv[1:]
    report(amqp_uri, event, subject, entry, json.loads(data))
