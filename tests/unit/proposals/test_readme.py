"""The service's README says what the service does."""

from importlib.resources import files

import pytest

from services.proposals.models import Base
from services.proposals.service import ProposalsService
from shared.events.catalogue import SUBSCRIPTIONS
from shared.events.proposals import EVENTS
from shared.messaging.consumer import subscriptions_of
from shared.storage import migrate


@pytest.fixture(scope="module")
def readme() -> str:
    return files("services.proposals").joinpath("README.md").read_text()


def test_every_event_and_table_is_named(readme: str) -> None:
    names = {name for name, _, _ in EVENTS} | {name for _, name in SUBSCRIPTIONS["proposals"]}
    assert {name for name in names if f"`{name}`" not in readme} == set()
    everything = [name for metadata in (Base.metadata, *migrate.SHARED_METADATA) for name in metadata.tables]
    assert [table for table in everything if f"`{table}`" not in readme] == []


def test_the_service_handles_what_it_subscribes_to() -> None:
    assert subscriptions_of(ProposalsService) == set(SUBSCRIPTIONS["proposals"])
