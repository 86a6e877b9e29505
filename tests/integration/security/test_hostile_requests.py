"""Attacks by messages, on services that run as processes on RabbitMQ and PostgreSQL.

After each of them every service still answers, in the same process and without a traceback, nothing is written but the
audit trail, and what comes back is one of the declared errors, short and printable.
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import amqp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import ids
from shared.messaging.attempts import MAX_ERROR_LENGTH
from shared.messaging.consumer import ERROR_HEADER, REASON_HEADER
from shared.messaging.rpc import MAX_REQUEST_BYTES, methods_of
from shared.messaging.topology import dead_letters_of, queue_of, rpc_queue_of
from shared.ops.names import SERVICES
from shared.security.principal import CDO, TREASURER, Principal
from tests.support import proposals
from tests.support.fuzz import HOSTILE_TEXTS, Rehearsal, bent, data_of, examples
from tests.support.hostile import MAX_ERROR_BYTES, check_error
from tests.support.samples import samples_of
from tests.support.servers import Servers
from tests.support.stage import Stage, eventually, fresh_stage
from tests.support.wire import UNREADABLE, Wire
from tests.support.worlds import EDINBURGH, SERVICE_CLASSES, callers_of

#: A read of each service that anybody may make who is named here; it leaves nothing behind.
READS = {"proposals": "list_rounds", "funding": "list_awards", "outcomes": "list_plans"}
POOL = {"name": "A pool", "starts_on": "2026-04-01", "ends_on": "2029-03-31"}
#: Texts that are as good as any other, whatever they mean to somebody else.
HARMLESS = HOSTILE_TEXTS[:6]
METHODS = [(service, method) for service, kind in SERVICE_CLASSES.items() for method in methods_of(kind).values()]


@pytest.fixture(scope="module")
def stage(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The three services, as processes."""
    with fresh_stage(servers, tmp_path_factory.mktemp("stage")) as running:
        yield running


@pytest.fixture
def wire(stage: Stage) -> Iterator[Wire]:
    with Wire(stage.amqp_uri) as wire:
        yield wire


@pytest.fixture
def token(stage: Stage) -> str:
    """Of somebody who may do everything that one person may: what is refused is refused for its form."""
    return token_of(stage, Principal("mallory@test.example", frozenset({TREASURER, CDO, "proposer"}), EDINBURGH))


@pytest.fixture
def writes() -> None:
    """Asked for by a test that may leave more than audit rows."""


@pytest.fixture(autouse=True)
def unharmed(stage: Stage, request: pytest.FixtureRequest) -> Iterator[None]:
    """Every service is as it was: its process, its log, its data."""
    with ExitStack() as stack:
        databases = {service: Rehearsal(url) for service, url in stage.database_urls.items()}
        for database in databases.values():
            stack.callback(database.close)
        before = {service: contents(database) for service, database in databases.items()}
        yield
        caller = stage.caller(CDO)
        for service, read in READS.items():
            getattr(getattr(caller, service), read)()
        for process in stage.processes.values():
            assert process.is_running
            assert "Traceback" not in process.output()
        if "writes" not in request.fixturenames:
            assert {service: contents(database) for service, database in databases.items()} == before


def contents(database: Rehearsal) -> dict[str, str]:
    with database.engine.connect() as connection:
        return database.contents(connection)


def token_of(stage: Stage, who: Principal) -> str:
    return stage.signing_key.issue(who.subject, who.roles, council=who.council)


def in_kwargs(fields: str) -> bytes:
    return b'{"args": [], "kwargs": {' + fields.encode("utf-8", "surrogatepass") + b"}}"


def nested(levels: int, opening: str = "[", closing: str = "]") -> str:
    return opening * levels + closing * levels


MARKS = "e" + "\u0323" * 60_000 + "\u0301" * 60_000
BODIES: dict[str, tuple[bytes, set[str]]] = {
    "nothing": (b"", {"not_json"}),
    "lists 10,000 deep": (nested(10_000).encode(), {"not_json"}),
    "objects 10,000 deep": (b'{"a":' * 10_000 + b"0" + b"}" * 10_000, {"not_json"}),
    "content 10,000 deep": (in_kwargs(f'"content": {nested(10_000)}'), {"not_json"}),
    "content 900 deep": (in_kwargs(f'"content": {nested(900)}'), {"invalid_request", "not_json"}),
    "a field 900 deep": (in_kwargs(f'"name": {nested(900)}, "limit": {nested(900)}'), {"invalid_request", "not_json"}),
    "NaN": (in_kwargs('"limit": NaN'), {"not_json"}),
    "-Infinity": (in_kwargs('"limit": -Infinity'), {"not_json"}),
    "1e400": (in_kwargs('"limit": 1e400'), {"invalid_request"}),
    "-0": (in_kwargs('"limit": -0'), {"invalid_request"}),
    "an integer of 19 digits": (in_kwargs('"limit": 9223372036854775808'), {"invalid_request"}),
    "an integer of 400 digits": (in_kwargs('"limit": 1' + "0" * 400), {"not_json"}),
    "an integer of a million digits": (in_kwargs('"limit": ' + "9" * 1_000_000), {"not_json"}),
    "the same key twice": (in_kwargs('"limit": 1, "limit": "x"'), {"invalid_request"}),
    "invalid UTF-8": (b'{"args": [], "kwargs": {"name": "\xff\xfe"}}', {"not_json"}),
    "an overlong NUL": (b'{"args": [], "kwargs": {"name": "\xc0\x80"}}', {"not_json"}),
    "UTF-16": ('{"args": [], "kwargs": {}}'.encode("utf-16"), {"not_json"}),
    "UTF-32": ('{"args": [], "kwargs": {}}'.encode("utf-32-be"), {"not_json"}),
    "a byte order mark": (b'\xef\xbb\xbf{"args": [], "kwargs": {}}', {"not_json"}),
    "a lone surrogate": (in_kwargs('"\ud800": 1'), {"not_json"}),
    "an escaped lone surrogate": (in_kwargs(r'"\ud800": "\udfff", "cursor": "\ud800"'), {"invalid_request"}),
    "NUL": (in_kwargs(r'"\u0000": "\u0000", "cursor": "\u0000"'), {"invalid_request"}),
    "a key that turns the text": (in_kwargs('"\u202e\u2066\x7f\u200b": 1'), {"invalid_request"}),
    "a key of 500,000 letters": (in_kwargs('"' + "k" * 500_000 + '": 1'), {"invalid_request"}),
    "100,000 unknown fields": (in_kwargs(",".join(f'"f{n}":0' for n in range(90_000))), {"invalid_request"}),
    "names that Python knows": (
        in_kwargs('"__class__": {}, "__proto__": {}, "__init__": {}, "self": 1, "session": 2'),
        {"invalid_request"},
    ),
    "arguments in order": (b'{"args": [1], "kwargs": {}}', {"positional_arguments"}),
    "args as an object": (b'{"args": {"a": 1}, "kwargs": {}}', {"positional_arguments"}),
    "kwargs as a list": (b'{"args": [], "kwargs": []}', {"malformed"}),
    "one byte too many": (b" " * (MAX_REQUEST_BYTES + 1), {"too_large"}),
    "32 MB": (b"[" * 32 * 1_048_576, {"too_large"}),
}


@pytest.mark.parametrize(("body", "codes"), BODIES.values(), ids=BODIES)
def test_a_body_that_is_no_request_is_answered_and_does_nothing(
    wire: Wire, token: str, body: bytes, codes: set[str]
) -> None:
    for service in SERVICES:
        answer = wire.answer(wire.send(f"{service}.{READS[service]}", body, token=token))
        assert check_error(answer["error"]) in codes


def test_the_largest_request_is_taken(wire: Wire, token: str) -> None:
    body = b'{"args": [], "kwargs": {}}'.ljust(MAX_REQUEST_BYTES)
    for service in SERVICES:
        assert wire.answer(wire.send(f"{service}.{READS[service]}", body, token=token))["error"] is None


CONTENT = proposals.content()
LARGE: dict[str, tuple[str, dict[str, Any]]] = {
    "500,000 wrong benefits": ("proposals.create_proposal", {"content": {**CONTENT, "benefits": [0] * 480_000}}),
    "500,000 wrong participants": (
        "proposals.create_proposal",
        {"content": {**CONTENT, "participants": [0] * 480_000}},
    ),
    "20,000 wrong targets": (
        "proposals.create_proposal",
        {"content": {**CONTENT, "benefits": [{**CONTENT["benefits"][0], "targets": [0] * 400}] * 50}},
    ),
    "100,000 objectives": ("proposals.create_proposal", {"content": {**CONTENT, "objectives": ["x"] * 100_000}}),
    "300,000 criteria": ("proposals.open_round", {"criteria": [{}] * 300_000}),
    "50,000 contributions": ("funding.set_contributions", {"fixed": {f"S{n}": 0 for n in range(50_000)}}),
    "a title of 100,000 letters": ("funding.create_pool", {**POOL, "name": "x" * 100_000}),
    "a title of 120,000 marks": ("funding.create_pool", {**POOL, "name": MARKS}),
    "a year of 500,000 letters": ("funding.set_contributions", {"year": "9" * 500_000}),
    "a cursor of 500,000 letters": ("funding.list_awards", {"cursor": "a" * 500_000}),
    "a key of 500,000 letters": ("outcomes.achieve_milestone", {"milestone": "a-" * 250_000}),
    "an idempotency key of 500,000 letters": ("funding.create_pool", {**POOL, "idempotency_key": "k" * 500_000}),
}


@pytest.mark.parametrize(("method", "arguments"), LARGE.values(), ids=LARGE)
def test_a_large_fault_gets_a_small_answer(
    stage: Stage, wire: Wire, token: str, method: str, arguments: dict[str, Any]
) -> None:
    asked = wire.call(method, arguments, token=token)
    # While it is looked at others are served: they wait for their turn at the processor, and no longer than this.
    caller = stage.caller(CDO)
    caller.timeout_s = 3
    caller.proposals.list_rounds()
    assert check_error(wire.answer(asked)["error"]) in {"invalid_request", "bad_cursor"}


@pytest.mark.usefixtures("writes")
def test_whatever_a_content_is_its_check_is_small(stage: Stage, wire: Wire, token: str) -> None:
    opened = stage.caller(CDO).proposals.open_round(**proposals.round_terms(closes_on="2099-11-30"))
    strange = {f"{name}\u202e\x1b[2J": 0 for name in map(str, range(900))}
    for arguments in [*(sent for _, sent in LARGE.values() if "content" in sent), {"content": strange}]:
        asked = wire.call("proposals.check_content", {**arguments, "round_id": opened["round_id"]}, token=token)
        answer = wire.answer(asked)
        assert answer["error"] is None
        assert answer["result"]["eligible"] is False
        # Each problem has names of its own for its path and its sentence.
        assert len(json.dumps(answer)) < 1.5 * MAX_ERROR_BYTES
        assert all(
            each["path"].isprintable() and each["sentence"].isprintable() for each in answer["result"]["problems"]
        )


def test_every_field_refuses_what_is_not_of_its_type(stage: Stage, wire: Wire) -> None:
    kinds = (None, True, 2**63, 0.5, "\x00", [[]], {"a": {"b": 1}}, "\ud800")
    for service, method in METHODS:
        token = token_of(stage, callers_of(method)[0])
        sent = [
            (name, value, wire.call(f"{service}.{method.name}", {name: value}, token=token))
            for name in method.request_schema.fields
            for value in kinds
        ]
        for name, value, asked in sent:
            answer = wire.answer(asked)
            if answer["error"] is None:
                # Only what may be left out can be null, or any value that is of its type after all.
                assert method.reads, (method.name, name, value)
            else:
                check_error(answer["error"])


@pytest.mark.usefixtures("writes")
@pytest.mark.parametrize("text", HARMLESS)
def test_what_means_something_to_others_is_kept_as_it_is(stage: Stage, text: str) -> None:
    treasurer = stage.caller(TREASURER)
    made = treasurer.funding.create_pool(**{**POOL, "name": text})
    assert made["name"] == text
    assert treasurer.funding.get_pool(pool_id=made["pool_id"])["name"] == text


@pytest.mark.parametrize("text", [each for each in HOSTILE_TEXTS if not each.isprintable() or not each.strip()])
def test_what_hides_or_breaks_something_is_refused(stage: Stage, wire: Wire, token: str, text: str) -> None:
    answer = wire.answer(wire.call("funding.create_pool", {**POOL, "name": f"{text}"}, token=token))
    assert check_error(answer["error"]) == "invalid_request"


@pytest.mark.parametrize(
    "cursor",
    [
        "ffffffff-ffff-7fff-bfff-ffffffffffff",
        "0" * 36,
        "urn:uuid:ffffffff-ffff-7fff-bfff-ffffffffffff",
        "{%s}",
        "' OR ''='",
        "\u0661" * 32,
        "0" * 32,
        "-1",
        "",
    ],
)
def test_a_forged_cursor_shows_nothing(wire: Wire, token: str, cursor: str) -> None:
    for service, read in READS.items():
        everything = wire.answer(wire.call(f"{service}.{read}", {}, token=token))["result"]["items"]
        answer = wire.answer(wire.call(f"{service}.{read}", {"cursor": cursor}, token=token))
        if answer["error"] is None:
            # From before the first one on, a list is what it is without a cursor.
            assert answer["result"]["items"] == (everything if set(cursor) <= {"0", "-"} else [])
        else:
            assert check_error(answer["error"]) == "bad_cursor"


BOMB = b"0" * 50_000_000
HEADERS: dict[str, dict[str, Any] | None] = {
    "none at all": None,
    "no token": {},
    "a token that is a number": {"nameko.auth_token": 7},
    "a token that is bytes": {"nameko.auth_token": b"\xff\xfe"},
    "a token that is a table": {"nameko.auth_token": {"a": {"b": 1}}},
    "a token that is a list": {"nameko.auth_token": ["a"]},
    "a token of 100,000 letters": {"nameko.auth_token": "a" * 100_000},
    "a token of dots": {"nameko.auth_token": "." * 4_000},
    "a token whose header is 2,900 lists deep": {"nameko.auth_token": "W1tb" * 970 + ".e30.e30"},
}


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
def test_headers_without_a_token_make_nobody(wire: Wire, headers: dict[str, Any] | None) -> None:
    for service, read in READS.items():
        asked = wire.send(f"{service}.{read}", b'{"args": [], "kwargs": {}}', headers=headers)
        answer = wire.answer(asked)
        assert answer["error"]["exc_type"] == "Unauthenticated"
        check_error(answer["error"])


def test_other_headers_and_properties_change_nothing(wire: Wire, token: str) -> None:
    signed = {"nameko.auth_token": token}
    oddities: list[dict[str, Any]] = [
        {"headers": {**signed, **{f"h{number}": number for number in range(3_000)}}},
        {"headers": {**signed, "nameko.call_id_stack": {"a": [1]}, "nameko.language": 3, "x-death": [{"count": "x"}]}},
        {"headers": {**signed, "deep": {"a": {"b": [{"c": [None, True, 1.5, b"\xff"]}]}}}},
        {"content_encoding": "punycode"},
        {"content_encoding": "rot13"},
        {"content_encoding": None},
        {"priority": 255},
        {"expiration": "60000"},
        {"correlation_id": "\u202e" * 80},
        {"correlation_id": "'; DROP TABLE audit; --"},
        {"message_id": "\x00", "type": "x" * 255, "app_id": "\x1b[2J", "timestamp": 2**63},
    ]
    for service, read in READS.items():
        for oddity in oddities:
            asked = wire.send(f"{service}.{read}", b'{"args": [], "kwargs": {}}', token=token, **oddity)
            assert wire.answer(asked)["error"] is None, oddity


@pytest.mark.parametrize(
    "content_type", [None, "", "text/plain", "application/x-python-serialize", "application/json;"]
)
def test_a_body_of_another_type_is_not_read(wire: Wire, token: str, content_type: str | None) -> None:
    asked = wire.send("funding.list_awards", b'{"args": [], "kwargs": {}}', token=token, content_type=content_type)
    assert check_error(wire.answer(asked)["error"]) == "content_type"


@pytest.mark.parametrize(
    ("compression", "body"),
    [
        ("application/x-gzip", gzip.compress(BOMB)),
        ("gzip", gzip.compress(BOMB)),
        ("zlib", zlib.compress(BOMB)),
        ("x", b"x"),
    ],
)
def test_nothing_is_unpacked(wire: Wire, token: str, compression: str, body: bytes) -> None:
    headers = {"nameko.auth_token": token, "compression": compression}
    asked = wire.send("funding.list_awards", body, headers=headers)
    assert check_error(wire.answer(asked)["error"]) == "not_json"


@pytest.mark.parametrize("reply_to", ["", "funding.create_pool", "#", "rpc-funding", "x" * 255, "\x00", "\u202e"])
def test_nobody_is_answered_who_names_no_address_of_their_own(
    stage: Stage, wire: Wire, token: str, reply_to: str
) -> None:
    for service, read in READS.items():
        wire.send(f"{service}.{read}", b'{"args": [], "kwargs": {}}', token=token, reply_to=reply_to)
    for service in SERVICES:
        eventually(lambda service=service: stage.is_empty(rpc_queue_of(service)))


@pytest.mark.parametrize("properties", UNREADABLE.values(), ids=UNREADABLE)
def test_properties_that_cannot_be_read_end_no_service(stage: Stage, wire: Wire, properties: bytes) -> None:
    for service, read in READS.items():
        wire.send_raw(f"{service}.{read}", b'{"args": [], "kwargs": {}}', properties)
    for service in SERVICES:
        eventually(lambda service=service: stage.is_empty(rpc_queue_of(service)))


def test_a_header_of_a_megabyte_is_the_brokers_to_refuse(stage: Stage) -> None:
    with Wire(stage.amqp_uri) as wire:
        wire.send("funding.list_awards", b"{}", headers={"nameko.auth_token": "a" * 1_000_000})
        with pytest.raises((amqp.AMQPError, OSError)):
            wire.is_through()


#: An event that each service consumes, sound but for its subject, which nobody knows.
CONSUMED = {
    "proposals": "commonweal.funding.member_joined.v1",
    "funding": "commonweal.proposals.proposal_approved.v1",
    "outcomes": "commonweal.funding.project_funded.v1",
}


def sound_event(service: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the headers and the data of an event that a service consumes."""
    sample = samples_of(CONSUMED[service])[0]
    return {**sample.headers, "ce-id": str(ids.new_id())}, json.loads(json.dumps(sample.data))


def as_json(data: Any) -> bytes:
    return json.dumps(data).encode()


def structured(headers: dict[str, Any], data: Any, **attributes: Any) -> dict[str, Any]:
    """Return the body of an event in structured mode, as an object."""
    return {**{name.removeprefix("ce-"): value for name, value in headers.items()}, **attributes, "data": data}


def bad_events(service: str) -> Iterator[tuple[str, bytes, dict[str, Any], str | None]]:
    """Yield reason, body, headers and content type of events that are none."""
    headers, data = sound_event(service)
    plain, cloud = "application/json", "application/cloudevents+json"
    field = next(iter(data))
    for body in (b"", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000, as_json(data).decode().encode("utf-16")):
        for content_type in (plain, cloud):
            reason = "schema" if (body, content_type) == (b"", plain) else "undecodable"
            yield reason, body, headers if content_type == plain else {}, content_type
    for value in (None, True, 2**63, 10**400, 1.5, float("nan"), [], {}, "\x00", "\ud800", "x" * 100_000, nested(900)):
        yield "schema", as_json({**data, field: value}), headers, plain
        yield "schema", as_json(structured(headers, {**data, field: value})), {}, cloud
    for number in ("9" * 5_000, "1e400", "-0"):
        reason = "undecodable" if len(number) > 4_300 else "schema"
        yield reason, as_json({**data, field: "HERE"}).replace(b'"HERE"', number.encode()), headers, plain
    yield "undecodable", b'"text"', headers, plain
    for body in (b"[]", b"null", b"0", b"[" * 500 + b"]" * 500):
        yield "schema", body, headers, plain
    yield "schema", as_json({f"field {number}": number for number in range(100_000)}), headers, plain
    if "content" in data:
        many = {**data, "content": {**data["content"], "benefits": [0] * 2_000_000}}
        yield "schema", as_json(many), headers, plain
        yield "schema", as_json({**data, "content": {**data["content"], "title": MARKS}}), headers, plain
    yield "oversize", b" " * (8 * 1_048_576 + 1), headers, plain
    yield "undecodable", gzip.compress(BOMB), {**headers, "compression": "application/x-gzip"}, plain
    for name, value in (("ce-id", "a\x00b"), ("ce-id", "\u202e"), ("ce-id", "i" * 50_000), ("ce-subject", "\x1b[2J")):
        yield "schema", as_json(data), {**headers, name: value}, plain
    for moment in ("9999-12-31T24:00:00Z", "now", "0000-00-00", "\u0661"):
        yield "undecodable", as_json(data), {**headers, "ce-time": moment}, plain
    for sequence in ("-1", "1e3", "9" * 400, "\u0661"):
        yield "schema", as_json(data), {**headers, "ce-sequence": sequence}, plain
    for kind in ("x" * 50_000, "\x1b[31m\nINFO all is well", "commonweal.funding.project_funded.v2", "%s{0}${x}"):
        yield "unknown_type", as_json(data), {**headers, "ce-type": kind}, plain
        yield "unknown_type", as_json(structured(headers, data, type=kind)), {}, cloud
    for name, value in (("id", 7), ("id", ["a"]), ("type", {"a": 1}), ("source", None), ("time", 5), ("sequence", {})):
        reason = "schema" if name == "sequence" and value else "undecodable"
        yield reason, as_json(structured(headers, data, **{name: value})), {}, cloud
    for value in (7, b"\xff", {"a": 1}, None, [1]):
        yield "undecodable", as_json(data), {**headers, "ce-id": value}, plain
    yield "undecodable", as_json(data), {}, None
    yield "undecodable", as_json(data), {f"h{number}": number for number in range(3_000)}, plain


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_no_event_is_laid_aside_for_its_reason(stage: Stage, wire: Wire, service: str) -> None:
    for reason, body, headers, content_type in bad_events(service):
        wire.send(queue_of(service), body, headers=headers, content_type=content_type, exchange="", reply_to=None)
        wire.is_through()
        letter = stage.take(dead_letters_of(service))
        about = (reason, content_type, body[:100], str(headers)[:200], letter.headers.get(ERROR_HEADER, "")[:200])
        assert letter.headers.get(REASON_HEADER) == reason, about
        error = letter.headers[ERROR_HEADER]
        assert error.isprintable()
        assert len(error) <= MAX_ERROR_LENGTH
        assert bytes(letter.body) == body if isinstance(letter.body, bytes) else letter.body.encode() == body
    lines = stage.processes[service].output().splitlines()
    assert max(map(len, lines)) < 3_000
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("properties", UNREADABLE.values(), ids=UNREADABLE)
def test_an_event_whose_properties_cannot_be_read_is_laid_aside(stage: Stage, wire: Wire, properties: bytes) -> None:
    for service in SERVICES:
        wire.send_raw(queue_of(service), b"{}", properties, exchange="")
        eventually(lambda service=service: not stage.is_empty(dead_letters_of(service)))
        wire.purge(dead_letters_of(service))


def test_an_event_with_as_many_headers_as_a_frame_holds_is_laid_aside(stage: Stage, wire: Wire) -> None:
    for service in SERVICES:
        headers, data = sound_event(service)
        headers = {**headers, "ce-type": "unknown", "large": "x" * 129_000}
        wire.send(queue_of(service), as_json(data), headers=headers, exchange="", reply_to=None)
        eventually(lambda service=service: not stage.is_empty(dead_letters_of(service)))
        wire.purge(dead_letters_of(service))


@pytest.mark.usefixtures("writes")
@given(draws=st.data())
@examples(100)
def test_a_running_service_answers_whatever_its_schemas_bend_to(stage: Stage, wire: Wire, draws: st.DataObject) -> None:
    service, method = draws.draw(st.sampled_from(METHODS), label="method")
    request = draws.draw(bent(data_of(method.request_schema, {"content": [CONTENT], "council": [EDINBURGH]})))
    token = token_of(stage, draws.draw(st.sampled_from(callers_of(method))))
    answer = wire.answer(wire.call(f"{service}.{method.name}", request, token=token))
    if answer["error"] is not None:
        check_error(answer["error"])
