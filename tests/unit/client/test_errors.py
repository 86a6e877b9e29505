"""Whatever a service answers becomes one of the client's own errors."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commonweal import errors
from shared import errors as services_errors

NAMES = ["Unauthenticated", "Forbidden", "NotFound", "Invalid", "Conflict", "Unavailable"]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("name", NAMES)
def test_each_error_of_the_services_has_its_like(name: str) -> None:
    sent = getattr(services_errors, name)("a_code", "Do this.", {"a.0": ["Wrong."]})
    error = errors.from_reply({"exc_type": name, "exc_args": [sent.as_dict()], "value": "Do this."})
    assert type(error) is getattr(errors, name)
    assert (error.code, error.message, error.fields, str(error)) == (
        "a_code", "Do this.", {"a.0": ["Wrong."]}, "Do this.",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ({"exc_type": "RemoteError", "exc_args": ["boom"], "value": "boom"}, "boom"),
        ({"exc_type": "MethodNotFound", "exc_args": [], "value": "no such method"}, "no such method"),
        ({"exc_type": None, "exc_args": None, "value": None}, "The service failed."),
        ({}, "The service failed."),
        ({"exc_type": ["odd"], "exc_args": [None], "value": ""}, "The service failed."),
        ({"exc_type": "X", "exc_args": "text"}, "The service failed."),
    ],
)
def test_an_error_that_is_none_of_ours_is_that_the_service_failed(reply: dict[str, Any], message: str) -> None:
    error = errors.from_reply(reply)
    assert type(error) is errors.Unavailable
    assert (error.code, error.message, error.fields) == ("unknown", message, {})


@pytest.mark.parametrize(
    "reply", [{"exc_args": {"a": 1}}, {"exc_args": 5}, "text", 5, ["a"], {"exc_args": [{"fields": ["a"]}]}], ids=repr
)
def test_an_answer_of_another_form_is_an_error_too_and_no_crash(reply: Any) -> None:
    error = errors.from_reply(reply)
    assert type(error) is errors.Unavailable
    assert error.fields == {}


@given(
    st.fixed_dictionaries(
        {}, optional={"exc_type": json_values, "exc_args": json_values, "value": json_values, "exc_path": json_values}
    )
)
def test_no_answer_makes_the_client_fail(reply: dict[str, Any]) -> None:
    error = errors.from_reply(reply)
    assert isinstance(error.code, str)
    assert isinstance(error.message, str)
    assert isinstance(error.fields, dict)


def test_every_error_of_the_client_is_one_of_its_family() -> None:
    for name in [*NAMES, "TimedOut"]:
        assert issubclass(getattr(errors, name), errors.CommonwealError)
