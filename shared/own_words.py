"""Refusals in each field's own words: what it is, how it is written, and what stands there instead.

A field that is made with :func:`asks` is asked for by its sentence wherever it is missing, null, of another type or out
of its bounds. All of that happens once something is wrong; a sound value costs nothing more.
"""

import difflib
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from marshmallow import Schema, ValidationError, fields

_ASK = "ask"
#: Letters of a name that nobody knows which are looked at and shown: longer ones are no slip of the finger.
_MAX_NAME_LENGTH = 64


def asks(sentence: str) -> dict[str, Any]:
    """Return the ``error_messages`` of a field that is asked for by a sentence: what it is and how it is written."""
    return {_ASK: sentence, "required": sentence, "null": f"This is empty. {sentence}"}


class NoSuchField:
    """What is said of a name that a schema does not know.

    It looks for what was probably meant when it is told, not before: a request may have a hundred thousand such names,
    of which hardly any is told.
    """

    def __init__(self, known: Iterable[str]) -> None:
        self.known = tuple(known)

    def sentence(self, name: object) -> str:
        """Return the sentence about one name."""
        written = str(name)[:_MAX_NAME_LENGTH]
        if written in ("True", "true") and "on" in self.known:
            return 'Some readers of YAML take the word on for true: write it in quotes, "on".'
        like = difflib.get_close_matches(written.lower().replace("-", "_").replace(" ", "_"), self.known, n=1)
        if like:
            return f"There is no field {written} here; did you mean {like[0]}?"
        if not self.known:
            return f"There is no field {written} here; leave it out."
        return f"There is no field {written} here, but: {', '.join(self.known)}."


class InOwnWords(Schema):
    """A schema that refuses in the words of its fields, and says of a strange name which one was probably meant."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # marshmallow takes any message and hands it on; shared.fields.flatten makes the sentence of it.
        self.error_messages = {**self.error_messages, "unknown": NoSuchField(self.fields)}  # type: ignore[dict-item]

    def handle_error(self, error: ValidationError, data: Any, **_: Any) -> None:
        """Put what is wrong with each field into its words; marshmallow calls this before it raises the error."""
        if isinstance(data, Mapping) and isinstance(error.messages, dict):
            for name, said in error.messages.items():
                if name in self.fields:
                    error.messages[name] = _in_words_of(self.fields[name], data.get(name), said)


def _in_words_of(field: fields.Field[Any], value: Any, said: Any) -> Any:
    ask = field.error_messages.get(_ASK)
    if ask is None or value is None:
        return said
    if not _is_of_its_type(field, value):
        return [f"This is {_kind_of(value)}. {ask}"]
    if isinstance(said, dict):
        if isinstance(field, fields.List):
            return {place: _in_words_of(field.inner, value[place], each) for place, each in said.items()}
        return said
    return [f"{each} {ask}" for each in said]


def _is_of_its_type(field: fields.Field[Any], value: Any) -> bool:
    if isinstance(field, fields.List):
        return isinstance(value, list)
    if isinstance(field, fields.Nested):
        return isinstance(value, Mapping)
    if isinstance(field, fields.Integer):
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, str)


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return f"the value {str(value).lower()}"
    for kind, words in _KINDS:
        if isinstance(value, kind):
            return words
    return "something else"


_KINDS: tuple[tuple[Any, str], ...] = (
    (int, "a number without quotes"),
    (float, "a number with a decimal point"),
    (str, "text"),
    (date, "a date without quotes"),
    (Mapping, "a mapping of fields"),
    (list, "a list"),
)
