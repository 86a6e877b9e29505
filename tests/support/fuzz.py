"""Sound and unsound values for every field of a schema, and a database on which whatever they do is undone.

Values are JSON. A sound one is what the field takes; :func:`bent` changes a few places of a sound object into something
else: another type, a number beyond 64 bits, text that hides or breaks things, too much, too little.
"""

import copy
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from marshmallow import Schema, fields, validate
from sqlalchemy import Connection, text
from sqlalchemy.orm import sessionmaker

from shared.councils import all_councils
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
from shared.messaging.idempotency import IdempotencyKey
from shared.proposal_content import ProposalContent, ProposalDraft
from shared.storage.database import Database

#: How many examples each method and each event type gets. Set, they are others in each run.
EXAMPLES_VARIABLE = "COMMONWEAL_TEST_EXAMPLES"

Known = Mapping[str, Sequence[Any]]
Strategy = st.SearchStrategy[Any]

#: Texts that mean something to a database, a template, a log, a terminal, or to whoever reads them.
HOSTILE_TEXTS = (
    "'; DROP TABLE audit; --",
    '" OR 1=1 /*',
    "%s %(x)s %n {0} {x!r} ${jndi:ldap://127.0.0.1/a} {{7*7}} <script>alert(1)</script>",
    "$(reboot) `reboot` | reboot",
    "../../etc/passwd",
    "__class__.__mro__",
    "\x00",
    "a\x00b",
    "\x1b[2J\x07",
    "\ud800",
    "x\udfff",
    "\u202etxt.exe",
    "zero\u200bwidth\u2060",
    "tag\U000e0041\U000e0042",
    "e" + "\u0301" * 40,
    "\u0323\u0301" * 500,
    "\ufeffbom",
    "\uffff",
    "\u3164",
    "١٢٣",
    "x" * 100_000,
    "",
    " ",
    "null",
    "NaN",
    "-0",
    "1e400",
    "9" * 400,
)
HOSTILE_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**63 - 1,
    2**63,
    -(2**63) - 1,
    10**400,
    0.5,
    -0.0,
    1e308,
    float("inf"),
    float("nan"),
    [],
    {},
    [[]],
    [None] * 500,
    {"__class__": {}, "__proto__": {}, "$ref": "#", "": 0},
    {f"field {number}": number for number in range(500)},
    *HOSTILE_TEXTS,
)

_texts = st.text(max_size=30) | st.sampled_from(HOSTILE_TEXTS)
_anything: Strategy = (
    st.sampled_from(HOSTILE_VALUES)
    | st.integers()
    | st.text(max_size=30)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=6,
    )
)
_days = st.dates(date(2026, 1, 1), date(2029, 12, 31)) | st.sampled_from([date.min, date(9999, 12, 31)]) | st.dates()
_moments = st.datetimes(timezones=st.just(UTC)) | st.sampled_from(
    [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)]
)
_sentences = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cf", "Zl", "Zp")), min_size=1, max_size=30
) | st.sampled_from([each for each in HOSTILE_TEXTS if each.isprintable() and 0 < len(each.strip()) < 100])


def examples(usual: int, **more: Any) -> settings:
    """Return how a fuzzing test runs: the same few examples each time, unless :data:`EXAMPLES_VARIABLE` asks for more.

    :param usual: how many; a test that is slow by its nature gives fewer, and gets a share of the many too.
    """
    wanted = os.environ.get(EXAMPLES_VARIABLE)
    return settings(
        max_examples=int(wanted) if wanted else usual,
        derandomize=not wanted,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
        **more,
    )


def data_of(schema: Schema, known: Known) -> Strategy:
    """Return objects that a schema takes, field by field; whether they make sense together is left to chance.

    :param known: values that mean something to the service, by the field's name; ``content`` those of a whole proposal.
    """
    made = {name: value_of(name, field, known) for name, field in schema.fields.items()}
    required = {name: made[name] for name, field in schema.fields.items() if field.required}
    optional = {name: made[name] for name in made if name not in required}
    sound = st.fixed_dictionaries(required, optional=optional)
    return _like(known["content"][0], sound) if isinstance(schema, ProposalContent | ProposalDraft) else sound


@st.composite
def _like(draw: st.DrawFn, template: Mapping[str, Any], others: Strategy) -> Any:
    """Return a proposal's content that makes sense, most often, because hardly anything of it is another's."""
    other = draw(others)
    taken = draw(st.sets(st.sampled_from(sorted(other)), max_size=2))
    return {**copy.deepcopy(template), **{name: other[name] for name in taken}}


def value_of(name: str, field: fields.Field[Any], known: Known) -> Strategy:
    """Return values that a field takes."""
    found = _sound(name, field, known)
    if known.get(name) and not isinstance(field, fields.Nested | fields.List):
        found = st.sampled_from(list(known[name])) | st.sampled_from(list(known[name])) | found
    return found | st.none() if field.allow_none else found


def _sound(name: str, field: fields.Field[Any], known: Known) -> Strategy:
    if isinstance(field, fields.Nested):
        return data_of(field.schema, known)
    if isinstance(field, fields.List):
        length = next((rule for rule in field.validators if isinstance(rule, validate.Length)), None)
        return st.lists(value_of(name, field.inner, known), min_size=(length and length.min) or 0, max_size=3)
    if isinstance(field, fields.Dict):
        return st.dictionaries(st.sampled_from(list(all_councils())), st.integers(0, MAX_PENCE), max_size=4)
    if isinstance(field, Pence | WholeNumber):
        bounds = next(rule for rule in field.validators if isinstance(rule, validate.Range))
        return st.integers(bounds.min, bounds.max) | st.sampled_from([bounds.min, bounds.max])
    if isinstance(field, DecimalString):
        return st.from_regex(r"-?[0-9]{1,15}(\.[0-9]{1,6})?", fullmatch=True) | st.sampled_from(["0", "-0", "100"])
    for kind, strategy in _OF_FIELD:
        if isinstance(field, kind):
            return strategy
    choices = next((rule.choices for rule in field.validators if isinstance(rule, validate.OneOf)), None)
    return st.sampled_from(list(choices)) if choices else st.text(max_size=40)


_OF_FIELD: tuple[tuple[type[fields.Field[Any]], Strategy], ...] = (
    (Id, st.uuids().map(str)),
    (Text, _sentences),
    (Key, st.from_regex(r"[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,8})?", fullmatch=True)),
    (Gss, st.sampled_from(list(all_councils()))),
    (Person, st.from_regex(r"[!-@\[-~]{1,128}", fullmatch=True)),
    (Flag, st.booleans()),
    (Day, _days.map(str)),
    (Moment, _moments.map(datetime.isoformat)),
    (FinancialYear, st.integers(2000, 2099).map(lambda year: f"{year}-{(year + 1) % 100:02d}")),
    (IdempotencyKey, st.from_regex(r"[!-~]{8,128}", fullmatch=True)),
)


@st.composite
def bent(draw: st.DrawFn, sound: Strategy) -> Any:
    """Return objects with up to two places that are something else; some stay as they are."""
    data = copy.deepcopy(draw(sound))
    for _ in range(draw(st.sampled_from([0, 1, 1, 2]))):
        places = list(_places(data))
        if not places:
            break
        holder, place = places[draw(st.integers(0, len(places) - 1))]
        how = draw(st.sampled_from(["other", "other", "other", "without", "stranger", "again"]))
        if how == "other":
            holder[place] = copy.deepcopy(draw(_anything))
        elif how == "without":
            del holder[place]
        elif isinstance(holder, list):
            holder.extend(copy.deepcopy([holder[place]] * draw(st.sampled_from([1, 500]))))
        else:
            holder[draw(_texts)] = copy.deepcopy(draw(_anything))
    return data


def _places(data: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(data, dict | list):
        for place, value in list(data.items() if isinstance(data, dict) else enumerate(data)):
            yield data, place
            yield from _places(value)


class Rehearsal(Database):
    """A service's database on which everything can be undone: its transactions are savepoints of one larger one."""

    #: What a refusal, or an attempt at an event, may leave behind.
    LEFT_ASIDE = ("alembic_version", "audit", "audit_seals", "inbox_attempts")

    @contextmanager
    def undone(self) -> Iterator[Connection]:
        """Undo at the end of the block whatever was done in it."""
        with self.engine.connect() as connection:
            outer = connection.begin()
            committing = self._sessions
            self._sessions = sessionmaker(connection, join_transaction_mode="create_savepoint", expire_on_commit=False)
            try:
                yield connection
                # What is otherwise checked at the commit.
                connection.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
            finally:
                self._sessions = committing
                outer.rollback()

    def contents(self, connection: Connection) -> dict[str, str]:
        """Return a digest of every table but :data:`LEFT_ASIDE`."""
        names = connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"))
        digests = " UNION ALL ".join(
            f"SELECT '{name}', md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {name} t"
            for name in names
            if name not in self.LEFT_ASIDE
        )
        return {row[0]: row[1] for row in connection.execute(text(digests))}
