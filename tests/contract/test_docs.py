"""The generated documents are current, and they say what the code does: its schemas, in others' languages."""

import copy
import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator, FormatChecker
from marshmallow import Schema, fields, validate

from docs.generate import asyncapi, json_schema, rpc
from docs.generate.documents import DIRECTORY, documents
from docs.generate.glossary import MEANINGS, meaning_of
from services.proposals.domain.lifecycle import TRANSITIONS
from shared.events.catalogue import EVENT_TYPES, SUBSCRIPTIONS, EventType, names_of
from shared.fields import Id, Text
from shared.messaging.rpc import methods_of
from tests.support.node import DIRECTORY as NODE_DIRECTORY
from tests.support.node import Node
from tests.support.samples import fields_of, samples_of

TYPES = [pytest.param(kind, id=kind.type) for kind in EVENT_TYPES.values()]
ERROR, WARNING = 0, 1


@pytest.fixture(scope="module")
def generated() -> dict[str, str]:
    """The documents as the code gives them now."""
    return documents()


@pytest.mark.parametrize("name", ["asyncapi.yaml", "events.md", "proposal-life.md", "rpc.md"])
def test_a_generated_document_is_current(generated: dict[str, str], name: str) -> None:
    assert (DIRECTORY / name).read_text() == generated[name], f"docs/{name} is stale. Run: make docs"


def test_the_official_parser_has_nothing_to_say_against_the_document(node: Node, tmp_path: Path) -> None:
    exchange = {"name": "funding.events", "type": "no such type"}
    broken = {
        "asyncapi": "3.0.0",
        "info": {"title": "A document with a mistake", "version": "1"},
        "channels": {"c": {"bindings": {"amqp": {"is": "routingKey", "exchange": exchange}}}},
    }
    (tmp_path / "broken.json").write_text(json.dumps(broken))
    run = node.run("validate.mjs", str(DIRECTORY / "asyncapi.yaml"), str(tmp_path / "broken.json"))
    assert run.returncode == 0, run.stderr
    ours, others = (json.loads(line) for line in run.stdout.splitlines())
    assert ours["parsed"]
    assert [found for found in ours["diagnostics"] if found["severity"] in (ERROR, WARNING)] == []
    assert ours["operations"] == len(EVENT_TYPES) + sum(map(len, SUBSCRIPTIONS.values()))
    # That it finds nothing means something: it does find what is wrong with the other one.
    assert any(found["severity"] == ERROR and "exchange" in found["path"] for found in others["diagnostics"])


@functools.cache
def document() -> dict[str, Any]:
    return asyncapi.document()


@functools.cache
def checker_of(kind: EventType, part: str = "payload") -> Draft7Validator:
    """Checks data by the JSON Schema that the AsyncAPI document gives an event's payload or headers."""
    components = document()["components"]
    whole = {**components["messages"][asyncapi.message_of(kind)][part], "components": components}
    Draft7Validator.check_schema(whole)
    return Draft7Validator(whole, format_checker=FormatChecker())


@pytest.mark.parametrize("kind", TYPES)
def test_each_sample_is_valid_by_the_documented_schemas(kind: EventType) -> None:
    for sample in samples_of(kind.type):
        assert [error.message for error in checker_of(kind).iter_errors(sample.data)] == [], sample.path
        assert [error.message for error in checker_of(kind, "headers").iter_errors(sample.headers)] == [], sample.path


#: What a field may be given by mistake.
WRONG = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=20), st.just([]),
    st.just({}), st.sampled_from(["", " ", "S12000099", "2026-13-01", "2026-27-01", "soon", "-1", "1e5", "12:00"]),
)  # fmt: skip

#: What JSON Schema cannot say, by a part of marshmallow's sentence: rules over several fields, over numbers in quotes,
#: over the calendar, and 1.0, which JSON Schema takes for an integer.
BEYOND_JSON_SCHEMA = (
    "does not take part", "takes part anyway", "is given twice", "A saving is measured in", "Amounts of money are in",
    "is not a monthly period", "is not a quarterly period", "is not a financial year", "Give a value of",
)  # fmt: skip


def places_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value, from the outside in."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [*([path] if path else []), *(found for key, item in inner for found in places_in(item, (*path, key)))]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(random=st.data())
@pytest.mark.parametrize("kind", TYPES)
def test_what_a_service_refuses_the_documented_schema_refuses(kind: EventType, random: st.DataObject) -> None:
    data = copy.deepcopy(samples_of(kind.type)[0].data)
    *outer, last = random.draw(st.sampled_from(places_in(data)))
    place = data
    for step in outer:
        place = place[step]
    wrong = random.draw(WRONG) if isinstance(last, int) else random.draw(st.just(...) | WRONG)
    if wrong is ...:
        del place[last]
    else:
        place[last] = wrong
    problems = kind.schema(unknown="exclude").validate(data)
    if not problems or any(sentence in str(problems) for sentence in BEYOND_JSON_SCHEMA) or is_whole_float(wrong):
        return
    assert list(checker_of(kind).iter_errors(data)), problems


def is_whole_float(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


class Unheard(fields.String):
    """A field that no table knows."""


def even(value: int) -> None:
    """A rule that no table knows."""


@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        (Unheard(), "field Unheard"),
        (fields.Decimal(as_string=True), "field Decimal"),
        (fields.List(Unheard()), "field Unheard"),
        (fields.String(validate=even), "validator function"),
        (fields.List(Id(), validate=validate.ContainsOnly([])), "validator ContainsOnly"),
        (fields.Nested(Schema, many=True), "many=True"),
    ],
    ids=["field", "decimal", "items", "function", "validator", "many"],
)
def test_what_the_tables_do_not_know_is_not_guessed(field: fields.Field[Any], sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence):
        json_schema.of_field(field)


def test_a_field_that_nobody_explains_is_told() -> None:
    class Explained(Schema):
        nickname = Text(max_length=10)

    with pytest.raises(KeyError, match="what nickname of Explained means"):
        meaning_of(Explained(), "nickname")


def with_nested(schema: Schema) -> Iterator[Schema]:
    yield schema
    for inner in filter(None, map(json_schema.nested_schema, schema.fields.values())):
        yield from with_nested(inner)


def test_the_glossary_explains_nothing_that_is_not_there() -> None:
    names: set[str] = set()
    schemas = [kind.schema() for kind in EVENT_TYPES.values()]
    for service in rpc.SERVICES:
        schemas += [method.request() for method in methods_of(service).values()]
        schemas += rpc.schemas_of(service).values()
    for schema in (each for top in schemas for each in with_nested(top)):
        names |= {path.rpartition(".")[2] for path, _ in fields_of(schema)}
        names |= {f"{kind.__name__}.{name}" for kind in type(schema).__mro__ for name in schema.fields}
    assert set(MEANINGS) - names == set()


def anchors_of(name: str) -> set[str]:
    found = re.findall(r'<a id="([^"]+)"></a>', (DIRECTORY / name).read_text())
    assert len(found) == len(set(found)), "an anchor stands twice"
    return set(found)


def check_links(name: str) -> None:
    text = (DIRECTORY / name).read_text()
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= anchors_of(name)
    for target in re.findall(r"\]\(((?:\.\./)?[a-z][^)#:]*)\)", text):
        assert (DIRECTORY / target).exists(), target


def test_the_events_are_all_described_for_people() -> None:
    text = (DIRECTORY / "events.md").read_text()
    for kind in EVENT_TYPES.values():
        assert f"### {kind.name}, version {kind.version}\n" in text
    check_links("events.md")


def test_the_calls_are_all_described_for_people() -> None:
    text = (DIRECTORY / "rpc.md").read_text()
    check_links("rpc.md")
    others = set(re.findall(r"\]\(events\.md#([^)]+)\)", text))
    assert others - {"how-fields-are-written"} <= anchors_of("events.md")
    for service in rpc.SERVICES:
        for method in methods_of(service).values():
            assert f'<a id="{service.name}-{method.name}"></a>\n\n### {method.name}\n\n{method.handler.__doc__}' in text


def test_the_life_of_a_proposal_is_drawn_as_it_is() -> None:
    text = (DIRECTORY / "proposal-life.md").read_text()
    drawn = set(re.findall(r"^    (\w+) --> (\w+) : (\w+)$", text, re.M))
    assert drawn == {
        (source, row.target, row.action)
        for row in TRANSITIONS.values()
        for source in row.sources
        if row.target not in (None, source)
    }
    links = set(re.findall(r"\]\(([a-z]+\.md)#([^)]+)\)", text))
    assert len(links) == len({name for row in TRANSITIONS.values() for name in row.by})
    assert {anchor for document, anchor in links if document == "rpc.md"} <= anchors_of("rpc.md")
    assert {anchor for document, anchor in links if document == "events.md"} <= anchors_of("events.md")
    told = {name for row in TRANSITIONS.values() for name in (row.tells, row.may_tell) if name}
    assert told <= set(names_of("proposals"))


@pytest.mark.parametrize("service", rpc.SERVICES)
def test_the_table_of_methods_and_roles_says_what_the_methods_say(service: Any) -> None:
    text = (DIRECTORY / "rpc.md").read_text()
    rows = re.findall(
        rf"^\| \[(\w+)\]\(#{service.name}-\w+\) \| (reads|writes) \|(.+)\| \[(.+)\]\(.+\) \|$", text, re.M
    )
    shown = {
        name: (kind, {role for role, cell in zip(rpc.COLUMNS, cells.split("|"), strict=True) if cell.strip()}, rows_of)
        for name, kind, cells, rows_of in rows
    }
    assert shown == {
        method.name: ("reads" if method.reads else "writes", method.roles, method.scope.name.replace("_", " "))
        for method in methods_of(service).values()
    }
    for method in methods_of(service).values():
        assert method.scope.sentence in text


def test_the_packages_for_node_are_pinned_and_name_no_registry() -> None:
    """A mirror serves as well as any other registry, and what it serves is checked by its digest."""
    lock = json.loads((NODE_DIRECTORY / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert packages
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert not [name for name, package in packages.items() if "resolved" in package]
    wanted = json.loads((NODE_DIRECTORY / "package.json").read_text())["dependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values())
