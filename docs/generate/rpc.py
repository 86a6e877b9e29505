"""``docs/rpc.md``: the methods for people who call them."""

import inspect
from collections.abc import Iterable, Iterator

from marshmallow import Schema, fields

from docs.generate import events
from docs.generate.field_text import limits, spaced, table, type_of
from docs.generate.glossary import meaning_of, purpose_of
from docs.generate.json_schema import nested_schema
from services.funding.service import FundingService
from services.outcomes.service import OutcomesService
from services.proposals.service import ProposalsService
from shared.fields import MAX_FAULTS_BYTES, CommandSchema
from shared.messaging.rpc import CONTENT_TYPE, MAX_REQUEST_BYTES, TOKEN_HEADER, Method, methods_of
from shared.messaging.topology import RPC_EXCHANGE
from shared.security.principal import (
    APPROVER,
    ASSESSOR,
    CDO,
    OPERATOR,
    PANEL_CHAIR,
    PROPOSER,
    ROLES,
    S95_OFFICER,
    SPONSOR,
    SYSTEM,
    TREASURER,
)
from shared.security.scope import Scope
from shared.storage.paging import MAX_LIMIT, PageRequest

SERVICES = (ProposalsService, FundingService, OutcomesService)

#: The columns, in the order in which people meet a proposal.
COLUMNS = (
    PROPOSER,
    SPONSOR,
    S95_OFFICER,
    ASSESSOR,
    PANEL_CHAIR,
    TREASURER,
    APPROVER,
    CDO,
    OPERATOR,
    SYSTEM,
)

HEADER = "<!-- Written by `make docs` from services/*/service.py, access.py and schemas.py; change those. -->\n\n"

INTRODUCTION = """\
# Calls

What people do, they do by calling a method of a service: with the Python client, the `commonweal` command, or any
nameko or AMQP client. [events.md](events.md) says what the services tell in return.

```python
from commonweal import Client

with Client("amqp://user:password@host:5672/vhost", token) as client:
    round_ = client.proposals.get_round(round_id="01a20bd9-86db-7221-b66a-20344bc221af")
```

{overview}

## Who may call

A call carries a token, which names the person, the council and the roles. Each method states two rules, and the tables
below are made of them: the roles that may call it, of which the caller needs one, and the rows that it then reaches.
`proposer`, `sponsor` and `s95_officer` are roles within the council of the token; the council of another role gives no
right in it. `tests/integration/security/test_methods_and_roles.py` tries every method in every role, and each council's
rows from two others.

What a caller may not know of is refused as `NotFound`, in the same words as what does not exist. Where it takes two
people, as for money, a person is one in all roles and tokens: whoever asks for something, or reports it,
does not approve it.

## Arguments and answers

Arguments are named, checked, and refused when a method does not know them. Answers are JSON objects; more fields may
come. Fields are written [as in events](events.md#how-fields-are-written).

- A method that writes takes an `idempotency_key` of the caller's too, 8 to 128 signs without spaces: the same key with
  the same arguments gets the first answer, with others it is a `Conflict`. The Python client always sends one.
- A list takes `limit`, from 1 to {max_limit}, and `cursor`. It answers `items`, the oldest first, and `next_cursor`,
  which is the `cursor` of the next page, `null` on the last one.

## Errors

| error | meaning | what to do |
| --- | --- | --- |
| `Unauthenticated` | no token, or none that is accepted | get a new one |
| `Forbidden` | known, and not allowed: the role, the council, or one person for what takes two | ask whoever may |
| `NotFound` | there is no such thing, or none that the caller may know of | correct the id |
| `Invalid` | the arguments are at fault; `fields` says where | correct them |
| `Conflict` | the state of things forbids it now | read the thing again |
| `Unavailable` | it could not be done now | repeat it with the same `idempotency_key` |

Each has a `code` for programs, a `message` for people, and `fields`: the path of each field at fault
(`content.benefits.0.baseline`) with its sentences. They are all told at once, as far as they go into
{max_faults_kib} KiB; under the empty path stands how many more there are. Every write that is refused is recorded, and
every read that is refused for want of a right.

## On the wire

nameko's protocol: a message to the topic exchange `{exchange}` with the routing key `<service>.<method>`, its body
`{{"args": [], "kwargs": {{...}}}}` of at most {max_request_bytes:,} bytes.

| property or header | value |
| --- | --- |
| `content_type` | `{content_type}` |
| `reply_to` | a UUID, the routing key of the caller's own queue at `{exchange}`; without one nothing runs |
| `correlation_id` | comes back with the answer |
| `{token_header}` (header) | the token |

The caller's own queue is called `rpc.reply-<broker user>.<UUID>`: a broker user has no right to any other.

The answer is `{{"result": ..., "error": null}}`, or an `error` with `exc_type`, one of the errors above, and
`exc_args[0]`: `code`, `message` and `fields`.
"""


def text() -> str:
    """Return the document as Markdown."""
    introduction = INTRODUCTION.format(
        overview="\n".join(f"- [{service.name}](#{service.name}): {_sentence(service)}" for service in SERVICES),
        max_limit=MAX_LIMIT,
        exchange=RPC_EXCHANGE,
        max_request_bytes=MAX_REQUEST_BYTES,
        content_type=CONTENT_TYPE,
        max_faults_kib=MAX_FAULTS_BYTES // 1024,
        token_header=TOKEN_HEADER,
    )
    return HEADER + "\n".join([introduction, *map(_of_service, SERVICES)])


def schemas_of(service: type) -> dict[str, Schema]:
    """Return the schemas of a service's answers and the parts of them and of its requests, by name."""
    methods = methods_of(service).values()
    found: dict[str, Schema] = {}
    for method in methods:
        for part in _nested(method.request()):
            found.setdefault(type(part).__name__, part)
    for method in methods:
        for part in (method.response_schema, *_nested(method.response_schema)):
            found.setdefault(type(part).__name__, part)
    described_with_events = events.parts()
    return {
        name: schema
        for name, schema in found.items()
        if type(schema) is not type(described_with_events.get(name)) and not _is_page(schema)
    }


def _of_service(service: type) -> str:
    name, methods = str(service.name), list(_in_order(service))  # type: ignore[attr-defined]
    scopes = {method.scope.name: method.scope for method in methods}
    return "\n".join(
        [
            f'<a id="{name}"></a>\n\n## Calls of {name}\n\n{_sentence(service)}\n',
            _rules(name, methods),
            f"\nWhich rows these are:\n\n{_rows(name, scopes.values())}\n",
            *(_of_method(name, method) for method in methods),
            f"### Answers of {name}, and parts\n",
            *(_of_schema(name, schema) for schema in schemas_of(service).values()),
        ]
    )


def _in_order(service: type) -> Iterator[Method]:
    """Return the methods in the order in which the service has them."""
    methods = methods_of(service)
    return (methods[name] for name in vars(service) if name in methods)


def _rules(service: str, methods: list[Method]) -> str:
    return table(
        ("method", "", *(f"`{role}`" for role in COLUMNS), "rows"),
        (
            (
                f"[{method.name}](#{_anchor(service, method.name)})",
                "reads" if method.reads else "writes",
                *("yes" if role in method.roles else "" for role in COLUMNS),
                _row_link(service, method.scope),
            )
            for method in methods
        ),
    )


def _rows(service: str, scopes: Iterable[Scope]) -> str:
    return "\n".join(
        f'- <a id="{_anchor(service, scope.name)}"></a>**{scope.name.replace("_", " ")}**: {scope.sentence}'
        for scope in scopes
    )


def _row_link(service: str, scope: Scope) -> str:
    return f"[{scope.name.replace('_', ' ')}](#{_anchor(service, scope.name)})"


def _of_method(service: str, method: Method) -> str:
    named = ", ".join(f"`{role}`" for role in COLUMNS if role in method.roles)
    rules = f"For {'every role' if method.roles == ROLES else named}; rows: {_row_link(service, method.scope)}."
    return f"""\
<a id="{_anchor(service, method.name)}"></a>

### {method.name}

{_sentence(method.handler)}

{"Reads" if method.reads else "Writes"}. {rules} Answers {_answer(service, method)}.

{purpose_of(method.request)}

{_arguments(service, method.request())}
"""


def _answer(service: str, method: Method) -> str:
    schema = method.response_schema
    if not _is_page(schema):
        name = type(schema).__name__
        article = "an" if name[0] in "AEIOU" else "a"
        return f"{article} [{spaced(name)}](#{_anchor(service, name)})"
    return f"`items`, a {type_of(schema.fields['items'], lambda part: _address(service, part))}, and `next_cursor`"


def _arguments(service: str, request: CommandSchema) -> str:
    given = {name: field for name, field in request.fields.items() if name not in PageRequest._declared_fields}
    paging = "`limit` and `cursor`, as every list." if isinstance(request, PageRequest) else ""
    if not given:
        return f"Arguments: {paging}" if paging else "No arguments."
    rows = (
        (
            f"`{name}`",
            type_of(field, lambda part: _address(service, part)),
            "yes" if field.required else "no",
            limits(field),
            meaning_of(request, name),
        )
        for name, field in given.items()
    )
    described = table(("argument", "type", "needed", "limits", "meaning"), rows)
    return f"{described}\n\nAlso {paging}" if paging else described


def _of_schema(service: str, schema: Schema) -> str:
    name = type(schema).__name__
    is_sent = name in {type(part).__name__ for method in _requests(service) for part in _nested(method)}
    rows: Iterable[tuple[str, ...]] = (
        (
            f"`{field_name}`",
            type_of(field, lambda part: _address(service, part)) + (", or `null`" if field.allow_none else ""),
            *((limits(field),) if is_sent else ()),
            meaning_of(schema, field_name),
        )
        for field_name, field in schema.fields.items()
    )
    head = ("field", "type", *(("limits",) if is_sent else ()), "meaning")
    return f"""\
<a id="{_anchor(service, name)}"></a>

#### {spaced(name)}

{purpose_of(type(schema))}

{table(head, rows)}
"""


def _requests(service: str) -> Iterator[CommandSchema]:
    [found] = [each for each in SERVICES if each.name == service]
    return (method.request() for method in methods_of(found).values())


def _nested(schema: Schema) -> Iterator[Schema]:
    for field in schema.fields.values():
        part = nested_schema(field)
        if part is not None:
            yield part
            yield from _nested(part)


def _is_page(schema: Schema) -> bool:
    return set(schema.fields) == {"items", "next_cursor"} and isinstance(schema.fields["items"], fields.List)


def _address(service: str, part: str) -> str:
    [found] = [each for each in SERVICES if each.name == service]
    if part in schemas_of(found):
        return f"#{_anchor(service, part)}"
    return f"events.md#{part.lower()}"


def _anchor(service: str, name: str) -> str:
    return f"{service}-{name.lower()}"


def _sentence(documented: object) -> str:
    return (inspect.getdoc(documented) or "").partition("\n\n")[0].replace("``", "`")
