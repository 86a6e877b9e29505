"""The catalogue: every event type and version, with its schema, and who consumes what.

The topology of the broker, the documentation and the tests are derived from here. An event's data only ever grow: a
new optional field is an addition to its schema, anything else is a new version beside the old one.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from marshmallow import EXCLUDE, RAISE, Schema, fields

from shared.events import finance, funding, outcomes, proposals
from shared.fields import flatten


@dataclass(frozen=True)
class EventType:
    """One event type in one version.

    :param source: the service or system that owns the fact and alone may publish it.
    :param name: the short name, past tense; the routing key.
    :param version: counts from 1.
    :param schema: the marshmallow schema of the event's data.
    """

    source: str
    name: str
    version: int
    schema: type[Schema]

    @property
    def type(self) -> str:
        """The CloudEvents ``type``."""
        return f"commonweal.{self.source}.{self.name}.v{self.version}"

    @property
    def is_numbered(self) -> bool:
        """Whether its events carry a ``sequence``: a system need not know how often we heard of what they are about."""
        return self.source not in SYSTEMS

    def dump(self, data: dict[str, Any]) -> dict[str, Any]:
        """Turn Python values into the event's JSON data; producers are strict.

        :raises ValueError: when the result would break the schema, naming each field.
        """
        strangers = sorted(set(data) - set(self._strict.fields))
        if strangers:
            raise ValueError(f"{self.type} has no field {', '.join(strangers)}")
        dumped: dict[str, Any] = self._strict.dump(data)
        problems = self._strict.validate(dumped)
        if problems:
            raise ValueError(f"{self.type} breaks its schema: {flatten(problems)}")
        return dumped

    def load(self, data: Any) -> dict[str, Any]:
        """Check an event's JSON data and return Python values; consumers ignore fields that they do not know.

        :raises marshmallow.ValidationError: when the data break the schema.
        """
        loaded: dict[str, Any] = self._tolerant.load(data)
        return loaded

    @cached_property
    def _strict(self) -> Schema:
        return self.schema(unknown=RAISE)

    @cached_property
    def _tolerant(self) -> Schema:
        return _tolerant(self.schema())


def _tolerant(schema: Schema) -> Schema:
    """Make a schema and everything nested in it ignore unknown fields; marshmallow's own setting stays at the top."""
    schema.unknown = EXCLUDE
    for field in schema.fields.values():
        inner = field.inner if isinstance(field, fields.List) else field
        if isinstance(inner, fields.Nested):
            _tolerant(inner.schema)
    return schema


def _types(source: str, *versions: tuple[str, int, type[Schema]]) -> list[EventType]:
    return [EventType(source, name, version, schema) for name, version, schema in versions]


_ALL = [
    *_types("proposals", *proposals.EVENTS),
    *_types("funding", *funding.EVENTS),
    *_types("outcomes", *outcomes.EVENTS),
    *_types("finance", *finance.EVENTS),
]

#: Every event type by its CloudEvents ``type``.
EVENT_TYPES: dict[str, EventType] = {event_type.type: event_type for event_type in _ALL}

#: Who publishes events: services, and systems whose events have a schema.
SOURCES: tuple[str, ...] = tuple(dict.fromkeys(event_type.source for event_type in _ALL))

#: The partnership's own systems, and the short names of the events that each alone may publish.
SYSTEMS: dict[str, tuple[str, ...]] = {
    "finance": ("contribution_received", "payment_made"),
    "performance": ("measurement_recorded",),
}

#: What each service consumes: source and short name.
SUBSCRIPTIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "proposals": (
        ("funding", "member_joined"),
        ("funding", "member_left"),
        ("funding", "award_offered"),
        ("funding", "award_declined"),
        ("funding", "award_lapsed"),
        ("funding", "project_funded"),
        ("funding", "project_completed"),
        ("funding", "award_terminated"),
    ),
    "funding": (
        ("proposals", "proposal_approved"),
        ("proposals", "proposal_withdrawn"),
        ("outcomes", "milestone_achieved"),
        ("finance", "contribution_received"),
        ("finance", "payment_made"),
    ),
    "outcomes": (("funding", "project_funded"),),
}


def names_of(source: str) -> tuple[str, ...]:
    """Return the short names of the events that a service or system may publish."""
    return SYSTEMS.get(source) or tuple(dict.fromkeys(each.name for each in _ALL if each.source == source))


def consumers_of(source: str, name: str) -> tuple[str, ...]:
    """Return the services that consume an event."""
    return tuple(service for service, subscriptions in SUBSCRIPTIONS.items() if (source, name) in subscriptions)


def event_type(source: str, name: str, version: int = 1) -> EventType:
    """Return an event type of the catalogue. :raises KeyError: when there is none."""
    return EVENT_TYPES[f"commonweal.{source}.{name}.v{version}"]
