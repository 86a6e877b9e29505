"""What a field takes, in words for people: its type and its limits. Also tables, which they stand in."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from marshmallow import fields, validate

from docs.generate.json_schema import bounds_in_words
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
from shared.messaging.idempotency import IdempotencyKey

#: The address of the description of a schema, by its name.
Link = Callable[[str], str]

_TYPES: dict[type, Callable[[Any], str]] = {
    Id: lambda field: "identifier",
    Gss: lambda field: "council",
    Person: lambda field: "person",
    Flag: lambda field: "`true` or `false`",
    Day: lambda field: "day",
    Moment: lambda field: "moment",
    FinancialYear: lambda field: "financial year",
    DecimalString: lambda field: "decimal",
    Key: lambda field: "key",
    Text: lambda field: "lines" if field.lines else "line",
    Pence: lambda field: "pence",
    WholeNumber: lambda field: "whole number",
    fields.String: lambda field: "text",
    fields.Integer: lambda field: "whole number",
    fields.Raw: lambda field: "any value",
    fields.Boolean: lambda field: "`true` or `false`",
    IdempotencyKey: lambda field: "text",
}


def type_of(field: fields.Field[Any], link: Link) -> str:
    """Return what a field's values are.

    :raises KeyError: for a class of field that nothing here describes.
    """
    if isinstance(field, fields.List):
        return f"list of {type_of(field.inner, link)}"
    if isinstance(field, fields.Nested):
        name = type(field.schema).__name__
        return f"[{spaced(name)}]({link(name)})"
    if isinstance(field, fields.Dict):
        if field.key_field is None or field.value_field is None:
            return "object"
        return f"object: {type_of(field.value_field, link)} by {type_of(field.key_field, link)}"
    return _TYPES[type(field)](field)


def limits(field: fields.Field[Any]) -> str:
    """Return what a field's values are bounded by, as words joined by semicolons."""
    if isinstance(field, Key | FinancialYear):
        return ""
    if isinstance(field, Text):
        return f"at most {field.max_length:,} letters"
    found = [bounds_in_words(field).strip(" .")]
    found += [limit for rule in field.validators for limit in _in_words(rule, field)]
    if isinstance(field, Items) and field.distinct:
        same = "" if isinstance(field.distinct, bool) else " with the same " + " and ".join(field.distinct)
        found.append(f"no two{same or ' the same'}")
    if isinstance(field, fields.List):
        found.append(limits(field.inner))
    return "; ".join(filter(None, found))


def _in_words(rule: Any, field: fields.Field[Any]) -> Iterator[str]:
    if isinstance(rule, validate.OneOf):
        yield "one of " + ", ".join(f"`{choice}`" for choice in rule.choices)
    elif isinstance(rule, validate.Range):
        yield f"{rule.min:,} to {rule.max:,}"
    elif isinstance(rule, validate.Length):
        what = "items" if isinstance(field, fields.List | fields.Dict) else "letters"
        if rule.min and rule.max:
            yield f"{rule.min:,} to {rule.max:,} {what}"
        else:
            yield f"at most {rule.max:,} {what}" if rule.max else f"{rule.min:,} or more {what}"
    else:
        raise TypeError(f"Nothing says what the validator {type(rule).__name__} is in words; add it to {__name__}.")


def spaced(name: str) -> str:
    """Return the name of a schema as words: ``RoundView`` is a round."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.removesuffix("View")).lower()


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(re.sub(r"\|  (?=\|)", "| ", f"| {' | '.join(cells)} |") for cells in lines)
