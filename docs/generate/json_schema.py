"""JSON Schema (draft 7, as AsyncAPI has it) of the fields and schemas that events are made of.

One table says what each class of field is, another what each class of validator adds. A class that is in neither is an
error, never a guess: a field that is documented wrongly is worse than one that is not. What JSON Schema cannot say
(that a period fits its benefit's frequency, say) stands in the docstring of the schema that checks it.

The schemas describe what a publisher sends. A reader of ours takes a little more: blanks around a text, a moment
without an offset, fields that it does not know.
"""

from collections.abc import Callable, Iterable
from typing import Any

from marshmallow import Schema, fields, validate

from docs.generate.glossary import meaning_of, purpose_of
from shared.councils import all_councils
from shared.fields import (
    Day,
    DecimalString,
    FinancialYear,
    Flag,
    Gss,
    Id,
    Items,
    Key,
    Moment,
    Pence,
    Person,
    Text,
    WholeNumber,
)
from shared.security.principal import MAX_SUBJECT_LENGTH

JsonSchema = dict[str, Any]
SomeField = fields.Field[Any]

REFERENCE = "#/components/schemas/"

_HIDDEN = (
    r"\u0000-\u0008\u000b-\u001f\u007f-\u009f\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f"
    r"\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
)
_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"

#: What fields refer to by the name of their class.
SCALARS: dict[str, JsonSchema] = {
    "Id": {
        "description": "A UUID.",
        "type": "string",
        "format": "uuid",
        "pattern": "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
        "examples": ["01a20bd9-86db-7221-b66a-20344bc221af"],
    },
    "Gss": {
        "description": "The GSS code of one of Scotland's 32 councils.",
        "type": "string",
        "enum": list(all_councils()),
        "examples": ["S12000036"],
    },
    "Person": {
        "description": "A person, as a token names its subject: an e-mail address, say.",
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_SUBJECT_LENGTH,
        "pattern": r"^[!-@\[-~]+$",
        "examples": ["chair@commonweal.example"],
    },
    "Day": {
        "description": "A date.",
        "type": "string",
        "format": "date",
        "pattern": f"^{_DAY}$",
        "examples": ["2026-03-31"],
    },
    "Moment": {
        "description": "A moment, with its offset from UTC.",
        "type": "string",
        "format": "date-time",
        "pattern": rf"^{_DAY}T[0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}(\.[0-9]+)?(Z|[+-][0-9]{{2}}:[0-9]{{2}})$",
        "examples": ["2026-03-31T09:30:00+00:00"],
    },
    "FinancialYear": {
        "description": "A financial year, from April to March.",
        "type": "string",
        "pattern": "^20[0-9]{2}-[0-9]{2}$",
        "examples": ["2026-27"],
    },
    "DecimalString": {
        "description": "A measured value: a decimal number in quotes, so that no digit is rounded on its way.",
        "type": "string",
        "pattern": r"^-?[0-9]{1,15}(\.[0-9]{1,6})?$",
        "examples": ["1234.5"],
    },
    "Key": {
        "description": "A name for programs and people: lower case words joined by hyphens or underscores.",
        "type": "string",
        "maxLength": 64,
        "pattern": "^[a-z][a-z0-9]*([-_][a-z0-9]+)*$",
        "examples": ["phone-payments"],
    },
    "Line": {
        "description": "A text of one line, not empty, without control or invisible characters.",
        "type": "string",
        "minLength": 1,
        "pattern": rf"^[^\s{_HIDDEN}]([^\n\t{_HIDDEN}]*[^\s{_HIDDEN}])?$",
    },
    "Lines": {
        "description": "A text, not empty, without invisible characters and without control characters but line ends.",
        "type": "string",
        "minLength": 1,
        "pattern": rf"^[^\s{_HIDDEN}]([^{_HIDDEN}]*[^\s{_HIDDEN}])?$",
    },
}


def of_field(field: SomeField) -> JsonSchema:
    """Return the JSON Schema of a field's values.

    :raises TypeError: for a class of field or validator that the tables do not know.
    """
    try:
        base = _OF_FIELD[type(field)](field)
    except KeyError as error:
        raise TypeError(_unknown("field", type(field), "_OF_FIELD")) from error
    rules: JsonSchema = {}
    if not isinstance(field, _WITH_RULES_OF_THEIR_OWN):
        for validator in field.validators:
            if type(validator) not in _OF_VALIDATOR:
                raise TypeError(_unknown("validator", type(validator), "_OF_VALIDATOR"))
            rules |= _OF_VALIDATOR[type(validator)](validator, field)
    if isinstance(field, Items) and field.distinct:
        # Items that repeat some of their values may differ in others: then this says less than the field.
        rules["uniqueItems"] = True
    schema = {"allOf": [base], **rules} if "$ref" in base and rules else base | rules
    return {"anyOf": [schema, {"type": "null"}]} if field.allow_none else schema


def of_schema(schema: Schema) -> JsonSchema:
    """Return the JSON Schema of an object; schemas nested in it are referred to by the names of their classes."""
    properties: JsonSchema = {}
    for name, field in schema.fields.items():
        inner = of_field(field)
        # What stands beside a $ref is ignored.
        inner = {"allOf": [inner]} if "$ref" in inner else inner
        properties[name] = {"description": f"{meaning_of(schema, name)}{bounds_in_words(field)}", **inner}
    return {
        "description": purpose_of(type(schema)),
        "type": "object",
        "required": [name for name, field in schema.fields.items() if field.required],
        "properties": properties,
    }


def definitions_for(schemas: Iterable[Schema]) -> dict[str, JsonSchema]:
    """Return everything that the JSON Schemas of some schemas refer to, by name.

    :raises TypeError: when two schemas nested in them have one name.
    """
    nested: dict[str, Schema] = {}
    for schema in schemas:
        _collect_nested(schema, nested)
    return {**SCALARS, **{name: of_schema(nested[name]) for name in sorted(nested)}}


def nested_schema(field: SomeField) -> Schema | None:
    """Return the schema that a field, or each item of its list, is made by, if any."""
    inner = field.inner if isinstance(field, fields.List) else field
    return inner.schema if isinstance(inner, fields.Nested) else None


def bounds_in_words(field: SomeField) -> str:
    """Return the bounds of a decimal string, which JSON Schema cannot compare, as a sentence; else nothing."""
    if not isinstance(field, DecimalString) or (field.minimum is None and field.maximum is None):
        return ""
    if field.minimum is not None and field.maximum is not None:
        return f" From {field.minimum} to {field.maximum}."
    return f" At least {field.minimum}." if field.maximum is None else f" At most {field.maximum}."


def _collect_nested(schema: Schema, nested: dict[str, Schema]) -> None:
    for field in schema.fields.values():
        inner = nested_schema(field)
        if inner is None:
            continue
        name = type(inner).__name__
        if name in SCALARS or type(nested.setdefault(name, inner)) is not type(inner):
            raise TypeError(f"Two schemas are called {name}; the documentation needs a name for each.")
        _collect_nested(inner, nested)


def _unknown(what: str, kind: type, table: str) -> str:
    return f"Nothing says what the {what} {kind.__name__} is in JSON Schema; add it to {table} in {__name__}."


def _refer(name: str) -> Callable[[SomeField], JsonSchema]:
    return lambda field: {"$ref": REFERENCE + name}


def _of_text(field: SomeField) -> JsonSchema:
    assert isinstance(field, Text)
    return {"allOf": [{"$ref": REFERENCE + ("Lines" if field.lines else "Line")}], "maxLength": field.max_length}


def _of_list(field: SomeField) -> JsonSchema:
    assert isinstance(field, fields.List)
    return {"type": "array", "items": of_field(field.inner)}


def _of_nested(field: SomeField) -> JsonSchema:
    assert isinstance(field, fields.Nested)
    if field.many:
        raise TypeError("Write a List of Nested instead of Nested(many=True).")
    return {"$ref": REFERENCE + type(field.schema).__name__}


_OF_FIELD: dict[type, Callable[[Any], JsonSchema]] = {
    Id: _refer("Id"),
    Gss: _refer("Gss"),
    Person: _refer("Person"),
    Flag: lambda field: {"type": "boolean"},
    Day: _refer("Day"),
    Moment: _refer("Moment"),
    FinancialYear: _refer("FinancialYear"),
    DecimalString: _refer("DecimalString"),
    Key: _refer("Key"),
    Text: _of_text,
    Pence: lambda field: {"type": "integer"},
    WholeNumber: lambda field: {"type": "integer"},
    fields.String: lambda field: {"type": "string"},
    Items: _of_list,
    fields.List: _of_list,
    fields.Nested: _of_nested,
}

#: Their validators are the class's own, and what they refer to says the same.
_WITH_RULES_OF_THEIR_OWN = (Key, FinancialYear)


def _of_length(validator: Any, field: SomeField) -> JsonSchema:
    what = "Items" if isinstance(field, fields.List) else "Length"
    if validator.equal is not None:
        return {f"min{what}": validator.equal, f"max{what}": validator.equal}
    bounds = {f"min{what}": validator.min, f"max{what}": validator.max}
    return {name: bound for name, bound in bounds.items() if bound is not None}


def _of_range(validator: Any, field: SomeField) -> JsonSchema:
    least = "minimum" if validator.min_inclusive else "exclusiveMinimum"
    most = "maximum" if validator.max_inclusive else "exclusiveMaximum"
    return {name: bound for name, bound in {least: validator.min, most: validator.max}.items() if bound is not None}


_OF_VALIDATOR: dict[type, Callable[[Any, SomeField], JsonSchema]] = {
    validate.Length: _of_length,
    validate.Range: _of_range,
    validate.OneOf: lambda validator, field: {"enum": list(validator.choices)},
}
