"""The services that there are, by name: operators' tools find a service's package without importing it."""

from importlib import import_module

from shared.events.catalogue import SUBSCRIPTIONS

SERVICES: tuple[str, ...] = tuple(SUBSCRIPTIONS)


def class_of(service: str) -> type:
    """Return a service's nameko class, importing it only now: what every command stands on imports no service.

    :param service: its short name.
    """
    module = import_module(f"services.{service}.service")
    (found,) = (member for member in vars(module).values() if getattr(member, "name", None) == service)
    assert isinstance(found, type)
    return found
