"""The services that there are, by name: operators' tools find a service's package without importing it."""

from shared.events.catalogue import SUBSCRIPTIONS

SERVICES: tuple[str, ...] = tuple(SUBSCRIPTIONS)
