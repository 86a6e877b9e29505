"""Events on the wire: what goes out comes back, and what is no event of ours is told why."""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cloudevents.core.bindings import rabbitmq
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import Schema, fields, validate

from commonweal import load_yaml
from shared import ids
from shared.councils import all_councils
from shared.events.catalogue import EVENT_TYPES, EventType, consumers_of, event_type
from shared.fields import (
    MAX_PENCE,
    Day,
    DecimalString,
    FinancialYear,
    Flag,
    Gss,
    Id,
    Key,
    Moment,
    Pence,
    Person,
    Text,
    WholeNumber,
)
from shared.messaging.events import MAX_BODY_BYTES, MAX_ID_LENGTH, MAX_MESSAGE_LENGTH, Event, Unreadable, decode, encode
from shared.messaging.rpc import MAX_REQUEST_BYTES
from shared.proposal_content import ProposalContent

EXAMPLE = Path(__file__).parents[3] / "examples" / "proposals" / "telecare.yaml"
CONTENT = ProposalContent().load(load_yaml(EXAMPLE))

JOINED = event_type("funding", "member_joined")
JOINED_DATA = {"pool_id": ids.new_id(), "council": "S12000036", "joins_on": date(2026, 4, 1)}
AT = datetime(2026, 7, 1, 10, 30, 0, 250_000, tzinfo=UTC)

words = st.text("abc Ü-ß漢", min_size=1, max_size=10).map(str.strip).filter(bool)
moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
OF_FIELD: list[tuple[type[fields.Field[Any]], st.SearchStrategy[Any]]] = [
    (Id, st.uuids()),
    (Text, words),
    (Key, st.from_regex(r"[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,8})?", fullmatch=True)),
    (Gss, st.sampled_from(list(all_councils()))),
    (Person, st.from_regex(r"[!-@\[-~]{1,128}", fullmatch=True)),
    (Flag, st.booleans()),
    (Pence, st.integers(1, MAX_PENCE)),
    (DecimalString, st.decimals(-1_000_000, 1_000_000, places=2).map(str)),
    (Day, st.dates(date(2000, 1, 1), date(2100, 1, 1))),
    (Moment, moments),
    (FinancialYear, st.integers(2000, 2098).map(lambda year: f"{year}-{(year + 1) % 100:02d}")),
    (fields.String, words),
]


def data_of(schema: Schema) -> st.SearchStrategy[dict[str, Any]]:
    """Data that a schema accepts, as Python values."""
    return st.fixed_dictionaries({name: value_of(name, field) for name, field in schema.fields.items()})


def value_of(name: str, field: fields.Field[Any]) -> st.SearchStrategy[Any]:
    if isinstance(field, fields.Nested):
        return st.just(CONTENT) if field.nested is ProposalContent else data_of(field.schema)
    if isinstance(field, fields.List):
        return st.lists(value_of(name, field.inner), min_size=1, max_size=3)
    if isinstance(field, WholeNumber):
        bounds = next(rule for rule in field.validators if isinstance(rule, validate.Range))
        return st.integers(bounds.min, bounds.max)
    choices = next((rule.choices for rule in field.validators if isinstance(rule, validate.OneOf)), None)
    if choices:
        return st.sampled_from(list(choices))
    return next(strategy for kind, strategy in OF_FIELD if isinstance(field, kind))


def sent(**changes: Any) -> dict[str, Any]:
    """The parts of a sound message, to be spoilt."""
    message = encode(JOINED, id=ids.new_id(), subject="s", sequence=3, time=AT, data=JOINED.dump(JOINED_DATA))
    parts: dict[str, Any] = {"body": message.body, "headers": message.headers, "content_type": message.content_type}
    return {**parts, **changes}


def with_headers(**changes: Any) -> dict[str, Any]:
    headers = {**sent()["headers"], **{f"ce-{name}": value for name, value in changes.items()}}
    return sent(headers={name: value for name, value in headers.items() if value is not None})


def with_data(**changes: Any) -> dict[str, Any]:
    return sent(body=json.dumps({**JOINED.dump(JOINED_DATA), **changes}).encode())


def structured(**changes: Any) -> dict[str, Any]:
    attributes = {
        "specversion": "1.0", "id": "e-1", "source": "funding", "type": JOINED.type, "subject": "s",
        "time": "2026-07-01T10:30:00Z", "sequence": "3", "datacontenttype": "application/json",
        "data": JOINED.dump(JOINED_DATA), **changes,
    }  # fmt: skip
    kept = {name: value for name, value in attributes.items() if value is not None}
    return {"body": json.dumps(kept).encode(), "headers": {}, "content_type": "application/cloudevents+json"}


def reason_of(parts: dict[str, Any]) -> str:
    with pytest.raises(Unreadable) as refusal:
        decode(**parts)
    return refusal.value.reason


@settings(max_examples=6, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("kind", EVENT_TYPES.values(), ids=lambda kind: kind.type)
def test_every_event_comes_back_as_it_was(kind: EventType, data: st.DataObject) -> None:
    facts = data.draw(data_of(kind.schema()))
    event_id, time = data.draw(st.uuids()), data.draw(moments)
    message = encode(kind, id=event_id, subject="a-subject", sequence=7, time=time, data=kind.dump(facts))
    event = decode(message.body, message.headers, message.content_type)
    assert event == Event(str(event_id), kind, "a-subject", 7, time, facts)
    assert (event.source, event.name, event.version) == (kind.source, kind.name, kind.version)


def test_an_event_is_a_binary_cloud_event_as_the_design_says() -> None:
    event_id = ids.new_id()
    message = encode(JOINED, id=event_id, subject="pool-1", sequence=3, time=AT, data=JOINED.dump(JOINED_DATA))
    assert (message.exchange, message.routing_key) == ("funding.events", "member_joined")
    assert message.message_id == str(event_id)
    assert message.content_type == "application/json"
    assert message.headers == {
        "ce-specversion": "1.0",
        "ce-id": str(event_id),
        "ce-source": "funding",
        "ce-type": "commonweal.funding.member_joined.v1",
        "ce-subject": "pool-1",
        "ce-time": "2026-07-01T10:30:00.250000Z",
        "ce-sequence": "3",
    }
    assert json.loads(message.body) == {
        "pool_id": str(JOINED_DATA["pool_id"]),
        "council": "S12000036",
        "joins_on": "2026-04-01",
    }


@pytest.mark.parametrize("kind", EVENT_TYPES.values(), ids=lambda kind: kind.type)
def test_what_somebody_consumes_must_find_a_queue(kind: EventType) -> None:
    message = encode(kind, id=ids.new_id(), subject="s", sequence=1, time=AT, data={})
    assert message.queues == tuple(f"{service}.events" for service in consumers_of(kind.source, kind.name))
    assert message.mandatory is bool(message.queues)


def test_structured_events_are_read_too() -> None:
    event = decode(**structured())
    assert (event.id, event.sequence, event.data) == ("e-1", 3, JOINED_DATA)
    assert decode(**structured(sequence=4)).sequence == 4
    sdk = rabbitmq.to_structured_event(
        CloudEvent(
            {"id": "e-2", "source": "funding", "type": JOINED.type, "subject": "s", "time": AT, "sequence": "1"},
            JOINED.dump(JOINED_DATA),
        )
    )
    assert decode(sdk.body, sdk.headers, sdk.content_type).id == "e-2"


def test_what_is_added_later_is_ignored() -> None:
    assert decode(**with_data(added_later={"a": 1})).data == JOINED_DATA
    assert decode(**with_headers(addedlater="1", traceparent="00-a-b-01")).data == JOINED_DATA


def test_headers_that_are_no_texts_are_left_aside() -> None:
    parts = sent()
    parts["headers"] = {**parts["headers"], "x-death": [{"count": 1}], "x-delivery-count": 2, "n": None}
    assert decode(**parts).data == JOINED_DATA


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        (sent(body=b" " * (MAX_BODY_BYTES + 1)), "oversize"),
        (sent(body=b"{not json"), "undecodable"),
        (sent(body=b"\xff\xfe"), "undecodable"),
        (sent(body=b'"' + b"[" * 100_000), "undecodable"),
        (sent(body=b"[" * 100_000), "undecodable"),
        (sent(headers={}), "undecodable"),
        (sent(body=json.dumps({"pool_id": "1"}).encode("utf-16")), "undecodable"),
        (sent(body=json.dumps({"pool_id": "1"}).encode("utf-32-be")), "undecodable"),
        (sent(content_type="application/cloudevents+json", body=b"[]"), "undecodable"),
        (sent(content_type="application/cloudevents+json", body=b"5"), "undecodable"),
        (with_headers(specversion="0.3"), "undecodable"),
        (with_headers(time="yesterday"), "undecodable"),
        (with_headers(time="9999-12-31T24:00:00Z"), "undecodable"),
        (structured(time="9999-12-31T24:00:00Z"), "undecodable"),
        (with_headers(time="2026-07-01T10:30:00"), "undecodable"),
        (with_headers(id=""), "undecodable"),
        (with_headers(type=None), "undecodable"),
        (structured(id=5), "undecodable"),
        (structured(type=["a"]), "undecodable"),
        (structured(time=5), "undecodable"),
        (with_headers(type="commonweal.funding.member_joined.v2"), "unknown_type"),
        (with_headers(type="org.example.other"), "unknown_type"),
        (with_headers(source="proposals"), "unknown_type"),
        (sent(body=b"[]"), "schema"),
        (sent(body=b""), "schema"),
        (sent(body=b"null"), "schema"),
        (with_data(council="S12000099"), "schema"),
        (with_data(joins_on="soon"), "schema"),
        (sent(body=b"{}"), "schema"),
        (with_headers(id="x" * (MAX_ID_LENGTH + 1)), "schema"),
        (with_headers(sequence=None), "undecodable"),
        (with_headers(time=None), "undecodable"),
        (with_headers(subject=None), "undecodable"),
        (with_headers(sequence="one"), "schema"),
        (with_headers(sequence="-1"), "schema"),
        (with_headers(sequence="²"), "schema"),
        (with_headers(sequence="9" * 19), "schema"),
        (structured(data=None), "schema"),
    ],
)
def test_what_is_no_event_of_ours_is_told_why(parts: dict[str, Any], reason: str) -> None:
    assert reason_of(parts) == reason


@pytest.mark.parametrize("parts", [with_headers(id=None), structured(id=None)], ids=["binary", "structured"])
def test_an_event_without_an_id_is_no_event(parts: dict[str, Any]) -> None:
    """The SDK gives it a new id at every reading, so each delivery would have its effect."""
    assert reason_of(parts) == "undecodable"


@pytest.mark.parametrize("sequence", [True, -1, 10**30, 1.5])
def test_a_structured_sequence_is_a_whole_number_within_bounds(sequence: Any) -> None:
    assert reason_of(structured(sequence=sequence)) == "schema"


@pytest.mark.parametrize("event_id", ["a\x00b", "\ud800"], ids=ascii)
def test_an_id_that_the_inbox_cannot_keep_is_refused_at_once(event_id: str) -> None:
    assert reason_of(structured(id=event_id)) == "schema"


@pytest.mark.parametrize("reference", ["a\x00b", "\ud800", "x" * 33], ids=["NUL", "surrogate", "long"])
def test_a_reference_that_no_table_can_keep_is_a_broken_schema(reference: str) -> None:
    kind = event_type("funding", "award_offered")
    data = {
        "award_id": str(UUID(int=1)), "pool_id": str(UUID(int=1)), "proposal_id": str(UUID(int=1)),
        "proposal_reference": reference, "lead_council": "S12000036", "amount_pence": 1, "expires_on": "2026-12-31",
    }  # fmt: skip
    message = encode(kind, id=ids.new_id(), subject="s", sequence=1, time=AT, data=data)
    assert reason_of({"body": message.body, "headers": message.headers, "content_type": "application/json"}) == "schema"


def test_what_is_said_of_a_message_is_short_and_can_be_printed() -> None:
    many = {f"\u202e{number}": number for number in range(100_000)}
    for parts in (with_headers(type="\x1b[2J\n" * 10_000), structured(data=many), structured(type="x" * 100_000)):
        with pytest.raises(Unreadable) as error:
            decode(**parts)
        assert str(error.value).isprintable()
        assert len(str(error.value)) <= MAX_MESSAGE_LENGTH


def test_a_moment_before_time_began_is_a_broken_schema() -> None:
    funded = event_type("funding", "award_declined")
    data = {
        "award_id": str(UUID(int=1)), "pool_id": str(UUID(int=1)), "proposal_id": str(UUID(int=1)),
        "proposal_reference": "P-2026-0001", "lead_council": "S12000036", "reason": "No staff.",
        "declined_at": "0001-01-01T00:00:00+14:00",
    }  # fmt: skip
    message = encode(funded, id=ids.new_id(), subject="s", sequence=1, time=AT, data=data)
    assert reason_of({"body": message.body, "headers": message.headers, "content_type": "application/json"}) == "schema"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
attributes = st.sampled_from(
    ["id", "source", "type", "time", "subject", "sequence", "specversion", "datacontenttype", "data", "data_base64"]
)


@given(changes=st.dictionaries(attributes, json_values, max_size=4))
def test_no_structured_message_has_another_effect_than_an_event_or_a_reason(changes: dict[str, Any]) -> None:
    try:
        decode(**structured(**changes))
    except Unreadable:
        return


@given(
    headers=st.dictionaries(attributes.map(lambda name: f"ce-{name}"), st.text(max_size=30), max_size=4),
    body=st.binary(max_size=50) | json_values.map(lambda value: json.dumps(value).encode()),
    content_type=st.none() | st.sampled_from(["application/json", "text/plain", "application/cloudevents+json"]),
)
def test_no_binary_message_has_another_effect_than_an_event_or_a_reason(
    headers: dict[str, str], body: bytes, content_type: str | None
) -> None:
    try:
        decode(body, {**sent()["headers"], **headers}, content_type)
    except Unreadable:
        return


def test_producers_are_strict() -> None:
    with pytest.raises(ValueError, match="has no field surprise"):
        JOINED.dump({**JOINED_DATA, "surprise": 1})
    with pytest.raises(ValueError, match="breaks its schema"):
        JOINED.dump({**JOINED_DATA, "council": "S12000099"})
    with pytest.raises(ValueError, match="joins_on"):
        JOINED.dump({"pool_id": ids.new_id(), "council": "S12000036"})


def test_a_period_is_of_a_kind_of_benefit() -> None:
    kind = event_type("outcomes", "period_certified")
    data = {
        "plan_id": ids.new_id(), "project_id": ids.new_id(), "period_id": ids.new_id(), "indicator": "calls",
        "kind": "cashable_saving", "council": "S12000036", "period": "2027-Q3", "value": "1", "certified_at": AT,
    }  # fmt: skip
    assert kind.dump(data)["kind"] == "cashable_saving"
    with pytest.raises(ValueError, match="kind"):
        kind.dump({**data, "kind": "nonsense"})


def test_the_largest_proposal_that_a_caller_may_send_fits_into_its_event() -> None:
    """What was accepted must not be too large for those who are told of it: they would lay it aside."""
    codes = list(all_councils())
    example = load_yaml(EXAMPLE)
    targets = [
        {"period": f"20{year}-{month:02d}", "council": council, "value": "1234567.89"}
        for year in (27, 28)
        for month in range(1, 13)
        for council in codes
    ][:400]
    benefit = {**example["benefits"][0], "frequency": "monthly", "targets": targets}
    content = {**example, "participants": [code for code in codes if code != example["lead_council"]], "benefits": []}
    request = {"args": [], "kwargs": {"proposal_id": str(ids.new_id()), "content": content}}
    while len(content["benefits"]) < 50:
        content["benefits"].append({**benefit, "key": f"benefit-{len(content['benefits'])}"})
        if len(json.dumps(request, separators=(",", ":"))) > MAX_REQUEST_BYTES:
            content["benefits"].pop()
            break
    approved = event_type("proposals", "proposal_approved")
    data = {
        "proposal_id": ids.new_id(), "reference": "P-2026-0001", "round_id": ids.new_id(), "revision": 1,
        "content_hash": "0" * 64, "score": "80", "content": ProposalContent().load(content), "minute": "Agreed.",
        "approved_at": AT,
    }  # fmt: skip
    message = encode(approved, id=ids.new_id(), subject="s", sequence=1, time=AT, data=approved.dump(data))
    assert len(message.body) <= MAX_BODY_BYTES


RECEIVED = event_type("finance", "contribution_received")
RECEIVED_DATA = {"council": "S12000036", "amount_pence": 1, "bank_reference": "BACS-1", "received_on": "2026-05-29"}


def attributes_of(kind: EventType, **more: str) -> dict[str, str]:
    given = {"id": "GL-1", "source": kind.source, "type": kind.type, "specversion": "1.0", "subject": "S12000036"}
    return given | {"time": "2026-06-01T09:00:00Z"} | more


@pytest.mark.parametrize("structured", [True, False])
def test_a_system_need_not_number_its_events_and_a_service_must(structured: bool) -> None:
    def read(kind: EventType, data: object, **more: str) -> Event:
        if structured:
            body = json.dumps({**attributes_of(kind, **more), "data": data}).encode()
            return decode(body, {}, "application/cloudevents+json")
        headers = {f"ce-{name}": value for name, value in attributes_of(kind, **more).items()}
        return decode(json.dumps(data).encode(), headers, "application/json")

    assert read(RECEIVED, RECEIVED_DATA).sequence is None
    assert read(RECEIVED, RECEIVED_DATA, sequence="7").sequence == 7
    with pytest.raises(Unreadable) as refusal:
        read(RECEIVED, RECEIVED_DATA, sequence="seven")
    assert refusal.value.reason == "schema"
    with pytest.raises(Unreadable, match=r"missing: sequence\."):
        read(JOINED, JOINED.dump(JOINED_DATA))
    with pytest.raises(Unreadable, match=r"missing: subject\."):
        read(RECEIVED, RECEIVED_DATA, subject="")


def test_an_event_without_a_number_is_published_without_one() -> None:
    sent = encode(RECEIVED, id=ids.new_id(), subject="S12000036", sequence=None, time=AT, data=RECEIVED_DATA)
    assert "ce-sequence" not in sent.headers
    assert decode(sent.body, sent.headers, sent.content_type).sequence is None
