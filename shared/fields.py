"""marshmallow fields and validators that RPC schemas, event schemas and proposal content have in common."""

import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import partial
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from marshmallow import ValidationError, fields, post_load, validate

from shared import councils, periods
from shared.own_words import InOwnWords, NoSuchField
from shared.security.principal import MAX_SUBJECT_LENGTH, is_subject, normal_subject

#: How large the faults that are told can be, as JSON: some 1,600 of them, a slip in every target of a large proposal.
MAX_FAULTS_BYTES = 262_144
#: Letters of a path and of a sentence.
MAX_FAULT_LENGTH = 300
#: The largest amount that any single figure may have: £10 billion, well inside 64 bits.
MAX_PENCE = 1_000_000_000_000

_DECIMAL = re.compile(r"-?\d{1,15}(\.\d{1,6})?", re.ASCII)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
#: Marks in a row, as Unicode's stream-safe text format has it (UAX 15); no language needs more than a few on a letter.
MAX_MARKS = 30
#: Letters and marks that composition makes one of, at most.
_COMPOSED_OF = 4
# Characters that change how a text is shown, or what it says, without being seen: direction marks, zero-width
# characters, fillers, tags. Unicode has more that it calls ignorable, which hyphenate, join letters or choose an emoji.
_HIDDEN = re.compile(
    r"[\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff"
    r"\uffa0\ufff0-\ufffb\ufffe\uffff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


class Command(SimpleNamespace):
    """What a caller asked for, checked: an attribute per field of the request's schema."""


class CommandSchema(InOwnWords):
    """Base of every RPC request: loads to a :class:`Command` and refuses fields that it does not name."""

    @post_load
    def _as_command(self, data: dict[str, Any], **_: Any) -> Command:
        return Command(**data)


class Id(fields.UUID):
    """A UUID, written in its usual form of 36 characters."""

    default_error_messages = {"invalid_uuid": "Write an identifier as 36 characters, like the one you were given."}

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> UUID:
        if not isinstance(value, str) or not _ID.fullmatch(value):
            raise self.make_error("invalid_uuid")
        return UUID(str(super()._deserialize(value, attr, data, **kwargs)))


class Text(fields.String):
    """A text of one line or more: trimmed, not empty, bounded, without control or hidden characters."""

    def __init__(self, *, max_length: int, lines: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_length = max_length
        self.lines = lines

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = (super()._deserialize(value, attr, data, **kwargs) or "").strip().replace("\r\n", "\n")
        # Composing sorts the marks on a letter, which takes minutes for a hundred thousand of them.
        self._check_length(text, self.max_length * _COMPOSED_OF)
        if _most_marks(text) > MAX_MARKS:
            raise ValidationError(f"Remove accents: no letter has more than {MAX_MARKS}.")
        text = unicodedata.normalize("NFC", text).strip()
        if not text:
            raise ValidationError("Write something here; it is empty.")
        self._check_length(text, self.max_length)
        allowed = "\n\t" if self.lines else ""
        if any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") and char not in allowed for char in text):
            raise ValidationError("Remove the control characters" + ("." if self.lines else " and line breaks."))
        if _HIDDEN.search(text):
            raise ValidationError("Remove the invisible characters (direction marks, zero-width spaces).")
        return text

    def _check_length(self, text: str, max_length: int) -> None:
        if len(text) > max_length:
            raise ValidationError(f"Shorten this to {self.max_length:,} characters; it has {len(text):,}.")


class _CountedFirst(fields.Field[Any]):
    """Counts what it holds before it looks at any of it: a million wrong items would take a minute to complain of."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        if isinstance(value, list | dict):
            for validator in self.validators:
                if isinstance(validator, validate.Length):
                    validator(value)
        return self._look(value, attr, data, **kwargs)

    def _look(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        return super()._deserialize(value, attr, data, **kwargs)


class Items(_CountedFirst, fields.List):
    """A list whose ``validate.Length`` says how long it may be.

    What is sound of a list that is not goes to the checks across fields: of each object the fields that are sound, at
    the object's own place, else the items that are.

    :param distinct: True when no item may stand in it twice; of objects the fields that no two may share. One that may
        be null may be absent as well, which is then a value like others.
    """

    def __init__(self, inner: fields.Field[Any], *, distinct: bool | tuple[str, ...] = False, **kwargs: Any) -> None:
        super().__init__(inner, **kwargs)
        self.distinct = distinct

    def _look(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise self.make_error("invalid")
        sound: dict[int, Any] = {}
        wrong: dict[int, Any] = {}
        for place, each in enumerate(value):
            try:
                sound[place] = self.inner.deserialize(each, **kwargs)
            except ValidationError as error:
                wrong[place] = error.messages
                if isinstance(self.inner, fields.Nested):
                    sound[place] = error.valid_data or {}
        for place, sentence in self._repeated(sound) if self.distinct else ():
            wrong.setdefault(place, {}).setdefault("_schema", []).append(sentence)
        if wrong:
            raise ValidationError(wrong, valid_data=list(sound.values()))
        return list(sound.values())

    def _repeated(self, items: Mapping[int, Any]) -> Iterator[tuple[int, str]]:
        first: dict[Any, int] = {}
        for place, item in items.items():
            identity = (item,) if isinstance(self.distinct, bool) else tuple(map(item.get, self.distinct))
            if self._is_known(identity) and first.setdefault(identity, place) != place:
                written = " ".join(str(each) for each in identity if each is not None)
                yield place, f"{written} is given twice: number {first[identity] + 1} in the list has it. Keep one."

    def _is_known(self, identity: tuple[Any, ...]) -> bool:
        if None not in identity or isinstance(self.distinct, bool) or not isinstance(self.inner, fields.Nested):
            return None not in identity
        known = self.inner.schema.fields
        return all(
            each is not None or known[name].allow_none for name, each in zip(self.distinct, identity, strict=True)
        )


class Table(_CountedFirst, fields.Dict):
    """An object with keys of the sender's choice; its ``validate.Length`` says how many."""


class Key(fields.String):
    """A name for a program and people alike: lower case words joined by hyphens or underscores, at most 64 letters."""

    def __init__(self, **kwargs: Any) -> None:
        pattern = validate.Regexp(
            r"^[a-z][a-z0-9]*([-_][a-z0-9]+)*\Z",
            error="Use lower case letters and digits, words joined by - or _, like phone-payments.",
        )
        length = validate.Length(max=64, error="Shorten this to {max} letters.")
        super().__init__(validate=[length, pattern], **kwargs)


class Gss(fields.String):
    """A council's GSS code, one of the 32."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        code = super()._deserialize(value, attr, data, **kwargs)
        if not councils.is_council(code):
            raise ValidationError("This is not the GSS code of a Scottish council; it looks like S12000036.")
        return code


class Person(fields.String):
    """A person, as a token names its subject; capitals are read as the small letters that a token has."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        subject = normal_subject(super()._deserialize(value, attr, data, **kwargs) or "")
        if not is_subject(subject):
            raise ValidationError(
                f"Name a person as their token does, in at most {MAX_SUBJECT_LENGTH} letters, digits and signs without"
                " spaces, such as an e-mail address."
            )
        return subject


class Flag(fields.Boolean):
    """True or false. A number or a text that may mean as much is refused."""

    default_error_messages = {"invalid": "Give true or false, without quotes."}

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class Pence(fields.Integer):
    """Whole pence. A fraction, a float or a number in quotes is refused, so that nothing is ever rounded."""

    def __init__(self, *, minimum: int = 1, **kwargs: Any) -> None:
        sentence = f"Give whole pence from {minimum:,} to {MAX_PENCE:,}."
        super().__init__(strict=True, validate=validate.Range(min=minimum, max=MAX_PENCE, error=sentence), **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValidationError("Give whole pence as a number without a decimal point: £250,000 is 25000000.")
        return super()._deserialize(value, attr, data, **kwargs)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise ValueError(f"{attr} is not whole pence: {value!r}")
        return value


class WholeNumber(fields.Integer):
    """A whole number within bounds; a float, a boolean or a number in quotes is refused."""

    def __init__(self, *, minimum: int, maximum: int, **kwargs: Any) -> None:
        sentence = f"Give a whole number from {minimum:,} to {maximum:,}."
        super().__init__(strict=True, validate=validate.Range(min=minimum, max=maximum, error=sentence), **kwargs)
        self.sentence = sentence

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValidationError(self.sentence)
        return super()._deserialize(value, attr, data, **kwargs)


class DecimalString(fields.String):
    """A measured value: a decimal number in quotes, at most 15 digits before the point and 6 after; never a float."""

    def __init__(self, *, minimum: str | None = None, maximum: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.minimum = None if minimum is None else Decimal(minimum)
        self.maximum = None if maximum is None else Decimal(maximum)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        if not isinstance(value, str) or not _DECIMAL.fullmatch(value):
            raise ValidationError('Write the value in quotes as a decimal number, like "1234.5".')
        try:
            number = Decimal(value)
        except InvalidOperation as error:  # pragma: no cover - the pattern leaves nothing to refuse
            raise ValidationError("This is not a decimal number.") from error
        if self.minimum is not None and number < self.minimum:
            raise ValidationError(f"Give a value of {self.minimum} or more.")
        if self.maximum is not None and number > self.maximum:
            raise ValidationError(f"Give a value of {self.maximum} or less.")
        return value


class Day(fields.Date):
    """A date, written ``2026-03-31``."""

    default_error_messages = {"invalid": "Write a date like 2026-03-31."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(format="iso", **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> date:
        if not isinstance(value, str) or not _DAY.fullmatch(value):
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE)
        day: date = super()._deserialize(value, attr, data, **kwargs)
        return day


class Moment(fields.AwareDateTime):
    """A moment in UTC, written ``2026-03-31T09:30:00+00:00``."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(format="iso", default_timezone=UTC, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> datetime:
        try:
            return super()._deserialize(value, attr, data, **kwargs).astimezone(UTC)
        except OverflowError as error:
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE) from error


def sentence_if_wrong(parse: Callable[[str], Any]) -> Callable[[str], None]:
    """Make a marshmallow validator of a function that raises ``ValueError`` with a sentence."""

    def check(value: str) -> None:
        try:
            parse(value)
        except ValueError as error:
            raise ValidationError(str(error)) from error

    return check


class FinancialYear(fields.String):
    """A financial year, written ``2026-27``."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(validate=sentence_if_wrong(periods.parse_year), **kwargs)


def printable(text: str, max_length: int | None = None) -> str:
    """Return a text on one line, with an escape for every sign that cannot be printed.

    :param max_length: cut what is longer then.
    """
    shown = "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text[:max_length]
    )
    if max_length is None or max(len(text), len(shown)) <= max_length:
        return shown
    return shown[: max_length - 1] + "\u2026"


def faults(messages: Any) -> dict[str, list[str]]:
    """Turn marshmallow's nested messages into dotted paths for an answer or a log, whatever a sender made of it.

    :returns: as many faults as go into :data:`MAX_FAULTS_BYTES`, each path and sentence printable and cut at
        :data:`MAX_FAULT_LENGTH`; under the path of the whole, "", how many more there are.
    """
    told: dict[str, list[str]] = {}
    room, untold = MAX_FAULTS_BYTES, 0
    for path, sentence in _each(messages):
        if room <= 0:
            untold += 1
            continue
        shown = printable(path, MAX_FAULT_LENGTH), printable(sentence(), MAX_FAULT_LENGTH)
        room -= len(json.dumps(shown))
        told.setdefault(shown[0], []).append(shown[1])
    if untold:
        told.setdefault("", []).append(f"There are {untold:,} more faults; correct these first.")
    return told


def _most_marks(text: str) -> int:
    """Return the length of the longest run of combining marks."""
    most = run = 0
    for sign in text:
        run = run + 1 if unicodedata.combining(sign) else 0
        most = max(most, run)
    return most


def flatten(messages: Any) -> dict[str, list[str]]:
    """Turn marshmallow's nested messages into dotted paths, each with its sentences."""
    flat: dict[str, list[str]] = {}
    for path, sentence in _each(messages):
        flat.setdefault(path, []).append(sentence())
    return flat


def _each(messages: Any, path: str = "", name: object = "") -> Iterator[tuple[str, Callable[[], str]]]:
    """Yield the path of each message, and what makes a sentence of it: most of a hostile request's are never told."""
    if isinstance(messages, Mapping):
        for key, inner in messages.items():
            step = "" if key == "_schema" else str(key)
            yield from _each(inner, ".".join(part for part in (path, step) if part), key)
    elif isinstance(messages, list):
        for message in messages:
            yield from _each(message, path, name)
    elif isinstance(messages, NoSuchField):
        yield path, partial(messages.sentence, name)
    else:
        yield path, partial(str, messages)
