"""The service's README says what the service does."""

from importlib.resources import files

import pytest

from docs.generate.glossary import MEANINGS
from services.proposals.domain.scoring import WIDE_SCORES_APART, WIDE_TOTALS_APART, Tally
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


def test_the_thresholds_of_a_wide_spread_are_stated(readme: str) -> None:
    stated = f"totals are {WIDE_TOTALS_APART} or more apart, or the scores of "
    assert f"{stated}one criterion {WIDE_SCORES_APART} or more;" in " ".join(readme.split())
    assert f"{stated}a criterion {WIDE_SCORES_APART} or more." in MEANINGS["wide_spread"]
    assert f"are {WIDE_SCORES_APART} or more apart." in MEANINGS["wide"]
    assert f"spread >= {WIDE_TOTALS_APART}, or spread(c) >= {WIDE_SCORES_APART} for" in (Tally.__doc__ or "")


def test_the_service_handles_what_it_subscribes_to() -> None:
    assert subscriptions_of(ProposalsService) == set(SUBSCRIPTIONS["proposals"])
