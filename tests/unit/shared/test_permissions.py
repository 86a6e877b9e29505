"""What broker users may do is derived: as much as each needs, and every pattern says where it begins and ends."""

import re
from typing import Any

import pytest

from shared.events.catalogue import EVENT_TYPES, SOURCES, SUBSCRIPTIONS, SYSTEMS
from shared.messaging.permissions import (
    NOTHING,
    PARTNERSHIP_ROLES,
    BrokerUser,
    Found,
    broker_users,
    definitions,
    differences,
)
from shared.security.principal import CDO, COUNCIL_ROLES, OPERATOR, PROPOSER, ROLES, SYSTEM

METHODS: dict[str, dict[str, Any]] = {
    "proposals": {"open_round": {CDO}, "create_proposal": {PROPOSER}, "list_rounds": ROLES, "repair": {OPERATOR}},
    "funding": {"get.pool": {CDO}},
}
COUNCIL = "S12000036"
UUID = "01a212c1-0029-7088-a23d-80219ad23995"
EXCHANGES = {"nameko-rpc", *(f"{source}.events" for source in (*SOURCES, *SYSTEMS))}


@pytest.fixture
def users() -> dict[str, BrokerUser]:
    return {user.name: user for user in broker_users(METHODS, councils=[COUNCIL, COUNCIL], prefix="p-")}


def matches(pattern: str, *names: str) -> list[str]:
    """As RabbitMQ does: anywhere in the name."""
    return [name for name in names if re.search(pattern, name)]


def test_there_is_one_for_each_party(users: dict[str, BrokerUser]) -> None:
    parties = [*SUBSCRIPTIONS, f"council-{COUNCIL}", "partnership", *SYSTEMS, "operator"]
    assert list(users) == [f"p-{party}" for party in parties]


def test_every_pattern_but_the_operators_is_anchored_and_every_exchange_has_a_topic_permission(
    users: dict[str, BrokerUser],
) -> None:
    for user in users.values():
        assert set(user.topics) == EXCHANGES
        patterns = [*user.permissions().values()]
        patterns += [pattern for topic in user.topics.values() for pattern in (topic.write, topic.read)]
        if user.name == "p-operator":
            assert set(patterns) == {".*"}
            continue
        for pattern in patterns:
            assert re.fullmatch(r"\^(\([^()]*(\([^()]*\)[^()]*)*\)|[^|]*)\$", pattern), pattern
        assert user.limits.keys() == {"max-connections", "max-channels"}


def test_a_council_calls_what_its_roles_may_and_uses_its_own_reply_queues(users: dict[str, BrokerUser]) -> None:
    council = users[f"p-council-{COUNCIL}"]
    own = f"rpc.reply-p-council-{COUNCIL}.{UUID}"
    others = [
        f"rpc.reply-p-council-S12000034.{UUID}",
        f"rpc.reply-p-council-{COUNCIL}.x.{UUID}",
        f"rpc.reply-p-council-{COUNCIL}.",
        f"rpcxreply-p-council-{COUNCIL}.{UUID}",
        f"x{own}",
        f"{own}x",
        "proposals.events",
        "rpc-proposals",
        "amq.default",
    ]
    assert matches(council.configure, own, "nameko-rpc", *others) == [own]
    for pattern in (council.write, council.read):
        assert matches(pattern, own, "nameko-rpc", *others) == [own, "nameko-rpc"]
    calls = council.topics["nameko-rpc"]
    assert calls.write == r"^(proposals\.create_proposal|proposals\.list_rounds)$"
    assert matches(calls.read, UUID, UUID.upper(), "#", "*", "proposals.*", f"{UUID}.x", f"x{UUID}") == [
        UUID,
        UUID.upper(),
    ]
    assert all(topic.write == topic.read == NOTHING for name, topic in council.topics.items() if name != "nameko-rpc")
    assert council.tags == ()


def test_the_partnership_calls_what_no_council_does_and_nobody_calls_what_is_for_operators(
    users: dict[str, BrokerUser],
) -> None:
    calls = users["p-partnership"].topics["nameko-rpc"].write
    names = ["funding.get.pool", "fundingxget.pool", "proposals.create_proposal", "proposals.list_rounds"]
    assert matches(calls, *names, "proposals.open_round", "proposals.repair") == [
        "funding.get.pool",
        "proposals.list_rounds",
        "proposals.open_round",
    ]
    assert ROLES - {OPERATOR, SYSTEM} == COUNCIL_ROLES | PARTNERSHIP_ROLES


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_system_publishes_its_own_events_and_nothing_else(users: dict[str, BrokerUser], system: str) -> None:
    user = users[f"p-{system}"]
    assert (user.configure, user.read) == (NOTHING, NOTHING)
    assert matches(user.write, *EXCHANGES, "amq.default") == [f"{system}.events"]
    for exchange, topic in user.topics.items():
        allowed = list(SYSTEMS[system]) if exchange == f"{system}.events" else []
        assert matches(topic.write, *(name for names in SYSTEMS.values() for name in names), "#") == allowed
        assert topic.read == NOTHING


@pytest.mark.parametrize("service", SUBSCRIPTIONS)
def test_a_service_publishes_its_own_events_answers_and_makes_nothing(
    users: dict[str, BrokerUser], service: str
) -> None:
    user = users[f"p-{service}"]
    assert user.configure == NOTHING
    queues = [f"{kind}{name}" for name in SUBSCRIPTIONS for kind in ("rpc-",)] + [f"{s}.events" for s in SUBSCRIPTIONS]
    assert matches(user.read, *queues, "nameko-rpc", "amq.default") == [f"rpc-{service}", f"{service}.events"]
    own = user.topics[f"{service}.events"]
    names = {event.name for event in EVENT_TYPES.values()}
    assert set(matches(own.write, *names)) == {each.name for each in EVENT_TYPES.values() if each.source == service}
    consumed = {name for taken in SUBSCRIPTIONS.values() for source, name in taken if source == service}
    assert set(matches(own.read, *names, "#", "*")) == consumed
    assert matches(user.topics["nameko-rpc"].write, UUID, "funding.get_pool") == [UUID]
    assert user.topics["nameko-rpc"].read == NOTHING
    # An exchange has the name of its service's queue, which may be one to bind.
    for other in SUBSCRIPTIONS:
        if other != service:
            assert (user.topics[f"{other}.events"].write, user.topics[f"{other}.events"].read) == (NOTHING, NOTHING)


def test_definitions_and_differences_are_of_the_same_users(users: dict[str, BrokerUser]) -> None:
    made = definitions(users.values(), "v", dict.fromkeys(users, "hash"))
    found = Found(
        users=made["users"],
        permissions=made["permissions"],
        topic_permissions=made["topic_permissions"],
        limits=[{"user": user["name"], "value": user["limits"]} for user in made["users"]],
    )
    assert differences(users.values(), found) == []
    # Before 3.9 tags were a text.
    as_text = [{**user, "tags": ",".join(user["tags"])} for user in made["users"]]
    assert differences(users.values(), Found(as_text, *list(vars(found).values())[1:])) == []
    nobody = differences(users.values(), Found([], [], [], []))
    assert [(each.kind, each.name) for each in nobody] == [("missing", name) for name in users]
    everybody = differences([], found)
    assert {each.kind for each in everybody} == {"left_over"}
    assert {each.name for each in everybody} == set(users)
