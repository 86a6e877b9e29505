"""Every RPC method, fuzzed from its schema on PostgreSQL: an answer as its schema says, or one of the declared errors.

The same examples run each time. To look for others: ``COMMONWEAL_TEST_EXAMPLES=2000 make test TEST_ARGS=<this file>``.
"""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import CommonwealError
from shared.fields import Pence
from shared.messaging.rpc import Method, Reply, methods_of
from tests.support.fuzz import bent, data_of, examples
from tests.support.hostile import check_error
from tests.support.samples import fields_of
from tests.support.worlds import SERVICE_CLASSES, World, callers_of

METHODS = [
    pytest.param(service, method, id=f"{service}.{name}")
    for service, kind in SERVICE_CLASSES.items()
    for name, method in methods_of(kind).items()
]


@pytest.mark.parametrize(("world", "method"), METHODS, indirect=["world"], scope="module")
@given(draws=st.data())
@examples(20)
def test_a_method_answers_as_its_schema_says_or_with_a_declared_error(
    world: World, method: Method, draws: st.DataObject
) -> None:
    request = draws.draw(bent(data_of(method.request_schema, world.known)), label="request")
    who = draws.draw(st.sampled_from(callers_of(method)), label="caller")
    with world.database.undone() as connection:
        try:
            answer = world.call(method.name, who, request)
        except CommonwealError as error:
            check_error(Reply(error=error).as_payload()["error"])
            assert world.database.contents(connection) == world.contents
        else:
            assert problems_of(method, answer) == {}
            json.dumps(answer, allow_nan=False)
            if method.reads:
                assert world.database.contents(connection) == world.contents


def problems_of(method: Method, answer: Any) -> dict[str, Any]:
    """Return where an answer is not what its schema says; null is what is missing, and a balance has no bounds."""
    schema = method.response()
    for _, field in fields_of(schema):
        if isinstance(field, Pence):
            field.validators = []
    return schema.validate(without_nulls(answer))


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value
