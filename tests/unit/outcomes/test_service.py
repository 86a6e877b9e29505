"""The service's surface: who may call what, what a request must look like, which events are consumed."""

import pytest
from marshmallow import ValidationError

from services.outcomes import schemas
from services.outcomes.service import OutcomesService
from shared import ids
from shared.events.catalogue import SUBSCRIPTIONS
from shared.messaging.consumer import subscriptions_of
from shared.messaging.rpc import methods_of
from shared.security.principal import CDO, PROPOSER, ROLES, S95_OFFICER, SYSTEM

READERS = ROLES - {SYSTEM}


def test_each_method_says_who_may_call_it_and_whether_it_writes() -> None:
    offered = {name: (method.roles, method.reads) for name, method in methods_of(OutcomesService).items()}
    assert offered == {
        "get_plan": (READERS, True),
        "list_plans": (READERS, True),
        "list_periods": (READERS, True),
        "report_actual": ({PROPOSER}, False),
        "certify_period": ({S95_OFFICER, CDO}, False),
        "return_period": ({S95_OFFICER, CDO}, False),
        "achieve_milestone": ({PROPOSER}, False),
        "benefits_summary": (ROLES, True),
    }


def test_the_service_consumes_what_the_catalogue_says() -> None:
    assert subscriptions_of(OutcomesService) == set(SUBSCRIPTIONS["outcomes"])


@pytest.mark.parametrize("value", ["1,000", "£5", "1e3", "NaN", "", "5.", 5, 5.5, None])
def test_a_value_is_a_decimal_number_in_quotes(value: object) -> None:
    with pytest.raises(ValidationError) as refused:
        schemas.ReportActual().load({"period_id": str(ids.new_id()), "value": value})
    assert set(refused.value.normalized_messages()) == {"value"}


def test_a_field_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValidationError) as refused:
        schemas.CertifyPeriod().load({"period_id": str(ids.new_id()), "value": "5"})
    assert set(refused.value.normalized_messages()) == {"value"}


@pytest.mark.parametrize(
    ("schema", "request_"),
    [(schemas.ListPlans, {"state": "open"}), (schemas.ListPeriods, {"state": "pending"})],
)
def test_a_state_that_there_is_not_is_refused_with_those_that_there_are(
    schema: type[schemas.CommandSchema], request_: dict[str, str]
) -> None:
    with pytest.raises(ValidationError) as refused:
        schema().load(request_)
    [sentence] = refused.value.normalized_messages()["state"]
    assert sentence.startswith("Choose one of: ")
