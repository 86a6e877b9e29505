"""Lets a service do what is due by the clock, without its process."""

from functools import partial
from typing import Any

from shared.messaging.by_the_clock import RowKey, Timekeeper, jobs_of
from shared.storage.own_connection import own_connection


def tick(service_class: type, service: Any) -> None:
    """Do what a service's process does each second. :raises Exception: what the method raised for a row.

    :param service: the service, or what stands in its place, with its ``storage``.
    """

    def run(name: str, key: RowKey) -> None:
        failure = getattr(service_class, name)(service, key)
        if failure is not None:
            raise failure

    timekeeper = Timekeeper({job: partial(run, name) for name, job in jobs_of(service_class).items()})
    with own_connection(service.storage) as turn:
        while timekeeper.look(turn):
            pass
