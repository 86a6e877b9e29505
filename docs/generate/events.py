"""``docs/events.md``: the events for people who build something that publishes or consumes them."""

import json
from collections.abc import Iterator
from pathlib import Path

from marshmallow import Schema

from docs.generate.field_text import limits, spaced, table, type_of
from docs.generate.glossary import meaning_of, purpose_of
from docs.generate.json_schema import nested_schema
from shared.events.catalogue import EVENT_TYPES, SOURCES, SUBSCRIPTIONS, SYSTEMS, EventType
from shared.messaging.events import MAX_BODY_BYTES, MAX_ID_LENGTH
from shared.messaging.topology import dead_letters_of, exchange_of, queue_of
from tests.support.samples import Sample, samples_of

HEADER = "<!-- Written by `make docs` from shared/events and tests/contract/samples; change those. -->\n\n"

INTRODUCTION = """\
# Events

What a service has done, it tells as an event; what has happened to the money, the partnership's finance system. An
event carries everything that its readers need, so nobody has to ask back. [asyncapi.yaml](asyncapi.yaml) says the same
for programs, and `tests/contract/samples` has messages as they were recorded.

{overview}

## On the wire

An event is a [CloudEvent 1.0](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md) over RabbitMQ, in
binary mode: its attributes are headers, its data the body. It is published to the topic exchange `<source>.events`,
such as `{exchange}`, with its short name as the routing key. The exchanges are durable, the messages persistent.

| property or header | example | meaning |
| --- | --- | --- |
| `content_type` | `{sample.content_type}` | the body is a JSON object in UTF-8 |
| `message_id` | `{sample.headers[ce-id]}` | the same as `ce-id` |
| `user_id` | `{sample.headers[ce-source]}` | the broker user that published it; RabbitMQ refuses another's name |
| `ce-specversion` | `{sample.headers[ce-specversion]}` | the version of CloudEvents |
| `ce-id` | `{sample.headers[ce-id]}` | with `ce-source` the event's identity: at most {max_id_length} characters |
| `ce-source` | `{sample.headers[ce-source]}` | the service or system that owns the fact and alone publishes it |
| `ce-type` | `{sample.headers[ce-type]}` | the event type and its version |
| `ce-subject` | `{sample.headers[ce-subject]}` | the id of what it happened to: the {subject} |
| `ce-time` | `{sample.headers[ce-time]}` | when it was recorded |
| `ce-sequence` | `{sample.headers[ce-sequence]}` | the version of the subject after the event, a whole number |

All of these attributes are needed. A system that is no service ({systems}) may leave out `ce-sequence`:
an accounts system counts no versions of a council. Other headers may stand beside them, such as `traceparent`.

## Consume events

Declare a durable queue of your own, bind it to `<source>.events` with the short names that you want, and acknowledge a
message after its effect is safe. [tests/node/consume.mjs](../tests/node/consume.mjs) does it with amqplib.

- An event may come more than once. Remember `ce-source` and `ce-id` in the transaction of its effect, and skip what you
  know.
- Events of one subject are published in the order of `ce-sequence`; events of different subjects in any order.
- Ignore fields and headers that you do not know: a version's data grow. Lay aside a version that you do not know.
- A nameko service can use its own `@event_handler("{sample.headers[ce-source]}", "{sample.routing_key}")`; it receives
  the data.

## Publish events

A system that publishes in a service's place sends the same message: mode, headers and data as in the tables, to the
exchange and with the routing key of the event. [tests/node/publish.mjs](../tests/node/publish.mjs) does it with
amqplib.

- Set the property `user_id` to the name of the broker user that you connect as. RabbitMQ refuses any other (406), and
  the services refuse an event that comes without it or from anybody but its publisher.
- Publish persistent, with publisher confirms, and `mandatory`: a message that is returned has met no queue and must be
  sent again.
- Sent again, the event keeps its `ce-id`; its effect is there once. A new `ce-id` is a new event.
- Structured mode is read as well: the content type `application/cloudevents+json`, and a body of attributes and `data`.
- A body has at most {max_body_bytes:,} bytes.
- What is refused (no CloudEvent, unknown type or version, data that break the tables, another's event) is not lost: it
  goes to the dead letters of each service that consumes the event, such as `{dead_letters}`, with the reason in its
  headers. So does what can be read and must not be: money of a council that is no member, a payment that nobody
  approved. The reason says what to do; corrected, the event may keep its `ce-id`, and when the fault was not in it, an
  operator [replays it](runbooks/dead-letters.md).

### From an accounts system

Finance reports money under a broker user of its own, which `commonweal-ops access apply` makes: to `{finance}`, and
nowhere else ([who may do what](runbooks/access.md)). This is all of it, with [pika](https://pika.readthedocs.io):

```python
{program}```

```
{calls}
```

An event that is reported twice under one `ce-id` counts once, so each entry needs an id of its own, for ever. The same
bank or payment reference under another id counts once too; with another sum, day, council or tranche it is laid aside.

## How fields are written

| type | written as |
| --- | --- |
| identifier | a UUID of 36 characters |
| council | the GSS code of one of the 32 councils, such as `S12000036` |
| pence | a whole number without quotes: £250,000 is `25000000` |
| whole number | without quotes and without a point |
| decimal | in quotes, at most 15 digits before the point and 6 after it: `"1234.5"` |
| day | `2026-03-31` |
| moment | with its offset from UTC: `2026-03-31T09:30:00+00:00` |
| financial year | `2026-27`, from April to March |
| key | lower case letters and digits, words joined by `-` or `_`, at most 64 letters: `phone-payments` |
| line, lines | a text, not empty, without blanks at its ends, without control or invisible characters |
"""


def text() -> str:
    """Return the document as Markdown."""
    return HEADER + "\n".join([_introduction(), *(_of_source(source) for source in SOURCES), _of_parts()])


#: What an accounts system runs; a test does too.
PROGRAM = Path(__file__).parents[2] / "examples" / "finance" / "report.py"
CALLS = """\
python report.py "$AMQP_URI" contribution_received S12000036 GL-2026-004711 \\
  '{"council": "S12000036", "amount_pence": 25000000, "bank_reference": "BACS 29MAY 0042", "received_on": "2026-05-29"}'
python report.py "$AMQP_URI" payment_made 01a20bde-78ca-7200-845c-10e9e36b6732 GL-2026-004788 \\
  '{"award_id": "01a20bde-78ca-7200-845c-10e9e36b6732", "tranche": "alpha", "amount_pence": 10000000,
    "payment_reference": "PAY 01JUN 0007", "paid_on": "2026-06-01"}'"""


def _introduction() -> str:
    kind = EVENT_TYPES["commonweal.funding.project_funded.v1"]
    sample = samples_of(kind.type)[0]
    return INTRODUCTION.format(
        overview=table(("event", "published by", "consumed by", "versions"), _overview()),
        exchange=exchange_of(kind.source),
        dead_letters=dead_letters_of(_consumers(kind)[0]),
        sample=sample,
        subject="award",
        max_id_length=MAX_ID_LENGTH,
        max_body_bytes=MAX_BODY_BYTES,
        systems=", ".join(f"`{system}`" for system in SYSTEMS),
        finance=exchange_of("finance"),
        program=PROGRAM.read_text(),
        calls=CALLS,
    )


def _overview() -> Iterator[tuple[str, ...]]:
    versions: dict[tuple[str, str], list[EventType]] = {}
    for kind in EVENT_TYPES.values():
        versions.setdefault((kind.source, kind.name), []).append(kind)
    for kinds in versions.values():
        links = ", ".join(f"[{kind.version}](#{_anchor(kind)})" for kind in kinds)
        yield f"`{kinds[0].name}`", kinds[0].source, ", ".join(_consumers(kinds[0])) or "nobody yet", links


def _consumers(kind: EventType) -> list[str]:
    return [service for service, consumed in SUBSCRIPTIONS.items() if (kind.source, kind.name) in consumed]


def _anchor(kind: EventType) -> str:
    return f"{kind.name}-{kind.version}"


def _of_source(source: str) -> str:
    kinds = [kind for kind in EVENT_TYPES.values() if kind.source == source]
    return "\n".join([f"## Events of {source}\n", *(_of_event(kind) for kind in kinds)])


def _of_event(kind: EventType) -> str:
    consumers = " and ".join(f"{service} (queue `{queue_of(service)}`)" for service in _consumers(kind)) or "nobody yet"
    sample, *others = [sample for sample in samples_of(kind.type) if sample.is_realistic]
    return f"""\
<a id="{_anchor(kind)}"></a>

### {kind.name}, version {kind.version}

{purpose_of(kind.schema)}

`{kind.type}`, exchange `{exchange_of(kind.source)}`, routing key `{kind.name}`. Consumed by {consumers}.

{_of_fields(kind.schema())}

{_example(sample, others)}
"""


def parts() -> dict[str, Schema]:
    """Return the schemas that events have in common or nested in them, by name."""
    nested: dict[str, Schema] = {}
    for kind in EVENT_TYPES.values():
        _collect(kind.schema(), nested)
    return nested


def _of_parts() -> str:
    described = [
        f'<a id="{name.lower()}"></a>\n\n### {spaced(name)}\n\n{purpose_of(type(schema))}\n\n{_of_fields(schema)}\n'
        for name, schema in parts().items()
    ]
    return "\n".join(["## Parts of events\n", *described])


def _collect(schema: Schema, nested: dict[str, Schema]) -> None:
    for field in schema.fields.values():
        inner = nested_schema(field)
        if inner is not None:
            nested.setdefault(type(inner).__name__, inner)
            _collect(inner, nested)


def _link(part: str) -> str:
    return f"#{part.lower()}"


def _of_fields(schema: Schema) -> str:
    return table(
        ("field", "type", "needed", "limits", "meaning"),
        (
            (
                f"`{name}`",
                type_of(field, _link),
                "yes" if field.required else "no, or `null`" if field.allow_none else "no",
                limits(field),
                meaning_of(schema, name),
            )
            for name, field in schema.fields.items()
        ),
    )


def _example(sample: Sample, others: list[Sample]) -> str:
    headers = "\n".join(f"{name}: {value}" for name, value in sample.headers.items())
    data = json.dumps(sample.data, indent=2, ensure_ascii=False)
    shown = f"```\n{headers}\n```\n\n```json\n{data}\n```"
    if data.count("\n") > 40:
        shown = f"<details><summary>Example</summary>\n\n{shown}\n\n</details>"
    if others:
        links = ", ".join(f"[{other.label}](../tests/contract/samples/{other.path.as_posix()})" for other in others)
        shown += f"\n\nOther samples: {links}."
    return shown
