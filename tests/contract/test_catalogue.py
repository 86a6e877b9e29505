"""The catalogue and the services agree: who consumes what, and that each type and method says what it means."""

import re
from typing import Any

import pytest
from marshmallow import Schema, ValidationError

from shared.events.catalogue import EVENT_TYPES, SOURCES, SUBSCRIPTIONS, SYSTEMS, EventType, event_type
from shared.fields import flatten
from shared.messaging.consumer import subscriptions_of
from shared.messaging.idempotency import KEY_FIELD
from shared.messaging.rpc import Method, methods_of
from shared.ops.names import SERVICES, class_of
from shared.security.principal import ROLES

CLASSES = {service: class_of(service) for service in SERVICES}
METHODS = [
    pytest.param(method, id=f"{service}.{name}")
    for service, cls in CLASSES.items()
    for name, method in methods_of(cls).items()
]
TYPES = [pytest.param(kind, id=kind.type) for kind in EVENT_TYPES.values()]

#: Participles that do not end in -ed.
IRREGULAR = {"withdrawn", "paid", "made", "sent", "left", "met"}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_handles_exactly_what_it_subscribes_to(service: str) -> None:
    assert subscriptions_of(CLASSES[service]) == set(SUBSCRIPTIONS[service])
    assert len(SUBSCRIPTIONS[service]) == len(set(SUBSCRIPTIONS[service]))


@pytest.mark.parametrize("service", SERVICES)
def test_what_a_service_consumes_somebody_else_publishes(service: str) -> None:
    for source, name in SUBSCRIPTIONS[service]:
        assert event_type(source, name).source == source
        assert source != service


def test_only_services_and_systems_publish() -> None:
    assert set(SOURCES) <= {*SERVICES, *SYSTEMS}
    assert not set(SERVICES) & set(SYSTEMS)


@pytest.mark.parametrize("system", [system for system in SYSTEMS if system in SOURCES])
def test_what_a_system_may_publish_has_a_schema_and_nothing_else_has(system: str) -> None:
    assert {kind.name for kind in EVENT_TYPES.values() if kind.source == system} == set(SYSTEMS[system])


@pytest.mark.parametrize("kind", TYPES)
def test_an_event_is_a_fact_in_the_past_tense(kind: EventType) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)+", kind.name)
    # What comes back does so by a verb of two words: funds are clawed back.
    last = kind.name.removesuffix("_back").rpartition("_")[2]
    assert last.endswith("ed") or last in IRREGULAR
    assert len(kind.name) <= 64
    assert kind.version >= 1


@pytest.mark.parametrize("kind", TYPES)
def test_an_event_says_what_it_means(kind: EventType) -> None:
    assert says_something(kind.schema)
    assert kind.schema.__doc__ is not Schema.__doc__
    assert kind.schema.__name__ == "".join(word.title() for word in kind.name.split("_"))


def test_two_events_are_never_one() -> None:
    assert len({kind.schema for kind in EVENT_TYPES.values()}) == len(EVENT_TYPES)
    assert all(kind.type == name for name, kind in EVENT_TYPES.items())


@pytest.mark.parametrize("kind", TYPES)
def test_an_events_own_facts_are_needed_or_have_a_default(kind: EventType) -> None:
    """A field that may be absent must load to something, or a handler that reads it fails on an older event."""
    for name, field in kind.schema().fields.items():
        assert field.required or field.load_default is not Ellipsis, name


@pytest.mark.parametrize("method", METHODS)
def test_a_request_refuses_fields_that_nobody_knows(method: Method) -> None:
    with pytest.raises(ValidationError) as refusal:
        method.request_schema.load({"no_such_field": 1})
    [sentence] = flatten(refusal.value.messages)["no_such_field"]
    assert sentence.startswith("There is no field no_such_field here")


@pytest.mark.parametrize("method", METHODS)
def test_only_a_write_takes_an_idempotency_key(method: Method) -> None:
    assert (KEY_FIELD in method.request_schema.fields) is not method.reads
    assert KEY_FIELD not in method.request().fields


@pytest.mark.parametrize("method", METHODS)
def test_a_method_says_what_it_means_in_its_request_or_itself(method: Method) -> None:
    assert says_something(method.request) or says_something(method.handler)
    assert says_something(method.response)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_says_who_may_call(method: Method) -> None:
    assert method.roles
    assert method.roles <= ROLES


@pytest.mark.parametrize("service", SERVICES)
def test_a_method_is_called_by_an_imperative(service: str) -> None:
    for name, method in methods_of(CLASSES[service]).items():
        assert method.name == name
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name)


def says_something(thing: Any) -> bool:
    """Whether it has a docstring of its own."""
    return bool((vars(thing).get("__doc__") if isinstance(thing, type) else thing.__doc__) or "")
