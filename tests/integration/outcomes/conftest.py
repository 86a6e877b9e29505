"""A migrated database of outcomes, and the handlers on it."""

import pytest

from tests.integration.conftest import OpenDatabase
from tests.support.outcomes import Outcomes


@pytest.fixture
def outcomes(open_database: OpenDatabase) -> Outcomes:
    return Outcomes(open_database("outcomes"))
