"""``docs/asyncapi.yaml``: the events as an AsyncAPI 3.0 document, for programs that read such documents."""

import tomllib
from pathlib import Path
from typing import Any

import yaml

from docs.generate.glossary import purpose_of
from docs.generate.json_schema import JsonSchema, definitions_for, of_schema
from shared.events.catalogue import EVENT_TYPES, SOURCES, SUBSCRIPTIONS, SYSTEMS, EventType
from shared.messaging.events import MAX_ID_LENGTH
from shared.messaging.topology import exchange_of, queue_of, topology
from tests.support.samples import samples_of

AMQP_BINDING = "0.3.0"
PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]

HEADER = "# Written by `make docs` from shared/events and tests/contract/samples; change those.\n"

DESCRIPTION = """\
The events of Commonweal: CloudEvents 1.0 over RabbitMQ, by the CloudEvents RabbitMQ binding. Services publish in binary
mode (attributes as ce- headers, the data as a JSON body) and read structured mode as well (content type
application/cloudevents+json). docs/events.md says the same for people.
"""

_WHOLE_NUMBER = {"type": "string", "pattern": "^[0-9]{1,18}$"}
HEADERS: JsonSchema = {
    "description": "The attributes of a CloudEvent in binary mode. Others may stand beside them.",
    "type": "object",
    "required": ["ce-specversion", "ce-id", "ce-source", "ce-type", "ce-subject", "ce-time"],
    "properties": {
        "ce-specversion": {"description": "The version of CloudEvents.", "const": "1.0"},
        "ce-id": {
            "description": "Together with ce-source the event's identity: however often it comes, it counts once.",
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_ID_LENGTH,
        },
        "ce-source": {"description": "The service or system that owns the fact.", "type": "string"},
        "ce-type": {"description": "The event type with its version.", "type": "string"},
        "ce-subject": {"description": "The id of what it happened to.", "type": "string", "minLength": 1},
        "ce-time": {"description": "When it was recorded.", "type": "string", "format": "date-time"},
        "ce-sequence": {
            "description": (
                "The version of the subject after the event: later events have larger numbers. A system that is no"
                " service may leave it out."
            ),
            **_WHOLE_NUMBER,
        },
        "traceparent": {"description": "The trace that it belongs to, by W3C Trace Context.", "type": "string"},
    },
}


def text() -> str:
    """Return the document as YAML."""
    # Aliases would tie parts together that have nothing to do with one another.
    dumper = type("_NoAliases", (yaml.SafeDumper,), {"ignore_aliases": lambda self, data: True})
    dumped: str = yaml.dump(document(), Dumper=dumper, sort_keys=False, allow_unicode=True, width=120)
    return HEADER + dumped


def document() -> dict[str, Any]:
    """Return the document."""
    kinds = EVENT_TYPES.values()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Commonweal's events",
            "version": PROJECT["version"],
            "description": DESCRIPTION,
            "license": {"name": PROJECT["license"]},
            "tags": [{"name": source, "description": _who(source)} for source in SOURCES],
        },
        "defaultContentType": "application/json",
        "servers": {
            "broker": {
                "host": "{host}",
                "pathname": "/{vhost}",
                "protocol": "amqp",
                "protocolVersion": "0.9.1",
                "description": "The partnership's RabbitMQ.",
                "variables": {
                    "host": {"description": "Host and port.", "default": "localhost:5672"},
                    "vhost": {"description": "The virtual host; empty for the usual one.", "default": ""},
                },
                "security": [{"$ref": "#/components/securitySchemes/account"}],
            }
        },
        "channels": {
            **{_channel_of(source, name): _published(source, name) for source, name in _names()},
            **{queue_of(service): _consumed(service) for service in SUBSCRIPTIONS},
        },
        "operations": {
            **{f"{source}.publishes.{name}": _send(source, name) for source, name in _names()},
            **{
                f"{service}.consumes.{source}.{name}": _receive(service, source, name)
                for service, consumed in SUBSCRIPTIONS.items()
                for source, name in consumed
            },
        },
        "components": {
            "messages": {message_of(kind): _message(kind) for kind in kinds},
            "schemas": {"CloudEventHeaders": HEADERS, **definitions_for(kind.schema() for kind in kinds)},
            "securitySchemes": {
                "account": {"type": "userPassword", "description": "Each system has a broker user of its own."}
            },
        },
    }


def _who(source: str) -> str:
    return "A system of the partnership's, in any language." if source in SYSTEMS else "A service of Commonweal."


def _names() -> list[tuple[str, str]]:
    """Return source and short name of every event, whatever its versions."""
    return list(dict.fromkeys((kind.source, kind.name) for kind in EVENT_TYPES.values()))


def _versions(source: str, name: str) -> list[EventType]:
    return [kind for kind in EVENT_TYPES.values() if (kind.source, kind.name) == (source, name)]


def _channel_of(source: str, name: str) -> str:
    return f"{source}.{name}"


def message_of(kind: EventType) -> str:
    return f"{kind.source}.{kind.name}.v{kind.version}"


def _published(source: str, name: str) -> dict[str, Any]:
    return {
        "address": name,
        "title": f"{name} of {source}",
        "description": f"Bind a queue of your own to the exchange {exchange_of(source)} with the routing key {name}.",
        "messages": _messages(_versions(source, name)),
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": {
                    "name": exchange_of(source), "type": "topic", "durable": True, "autoDelete": False, "vhost": "/",
                },
                "bindingVersion": AMQP_BINDING,
            }
        },
    }  # fmt: skip


def _consumed(service: str) -> dict[str, Any]:
    (queue,) = (queue for queue in topology().queues if queue.name == queue_of(service))
    return {
        "address": queue.name,
        "title": f"What {service} consumes",
        "description": f"The queue that {service} alone takes events from.",
        "messages": _messages([kind for pair in SUBSCRIPTIONS[service] for kind in _versions(*pair)]),
        "bindings": {
            "amqp": {
                "is": "queue",
                "queue": {
                    "name": queue.name, "durable": queue.durable, "exclusive": False, "autoDelete": False, "vhost": "/",
                },
                "bindingVersion": AMQP_BINDING,
            }
        },
        "x-queue-arguments": dict(queue.as_dict()["queue_arguments"]),
        "x-bindings": [
            {"exchange": exchange_of(source), "routingKey": name} for source, name in SUBSCRIPTIONS[service]
        ],
    }  # fmt: skip


def _messages(kinds: list[EventType]) -> dict[str, Any]:
    return {message_of(kind): {"$ref": f"#/components/messages/{message_of(kind)}"} for kind in kinds}


def _references(channel: str, kinds: list[EventType]) -> list[dict[str, str]]:
    return [{"$ref": f"#/channels/{channel}/messages/{message_of(kind)}"} for kind in kinds]


def _send(source: str, name: str) -> dict[str, Any]:
    channel = _channel_of(source, name)
    return {
        "action": "send",
        "title": f"{source} publishes {name}",
        "channel": {"$ref": f"#/channels/{channel}"},
        "tags": [{"name": source}],
        "bindings": {"amqp": {"deliveryMode": 2, "bindingVersion": AMQP_BINDING}},
        "messages": _references(channel, _versions(source, name)),
    }


def _receive(service: str, source: str, name: str) -> dict[str, Any]:
    channel = queue_of(service)
    return {
        "action": "receive",
        "title": f"{service} consumes {name} of {source}",
        "channel": {"$ref": f"#/channels/{channel}"},
        "tags": [{"name": service}],
        "bindings": {"amqp": {"ack": True, "bindingVersion": AMQP_BINDING}},
        "messages": _references(channel, _versions(source, name)),
    }


def _message(kind: EventType) -> dict[str, Any]:
    return {
        "name": kind.type,
        "title": kind.name,
        "summary": purpose_of(kind.schema).split("\n\n")[0].replace("\n", " "),
        "contentType": "application/json",
        "headers": {
            "type": "object",
            "allOf": [{"$ref": "#/components/schemas/CloudEventHeaders"}],
            **({"required": ["ce-sequence"]} if kind.is_numbered else {}),
            "properties": {"ce-source": {"const": kind.source}, "ce-type": {"const": kind.type}},
        },
        "payload": of_schema(kind.schema()),
        "bindings": {"amqp": {"contentEncoding": "utf-8", "bindingVersion": AMQP_BINDING}},
        "examples": [
            {"name": sample.label, "headers": sample.headers, "payload": sample.data}
            for sample in samples_of(kind.type)
            if sample.is_realistic
        ],
    }
