"""What each broker user may do: no more than its part needs, derived from the RPC surface and the catalogue.

RabbitMQ asks three times: for a queue or an exchange by its name (configure, write, read), and at a topic exchange for
the routing key too. Its patterns match anywhere unless they are anchored, an exchange and a queue of one name cannot be
told apart, and a user without a topic permission for an exchange may use any routing key there: so every user has one
for each of our exchanges.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.events.catalogue import SOURCES, SUBSCRIPTIONS, SYSTEMS, consumers_of, names_of
from shared.messaging.drift import Difference
from shared.messaging.publishers import OPERATOR
from shared.messaging.topology import RPC_EXCHANGE, exchange_of, queue_of, rpc_queue_of
from shared.security.principal import APPROVER, ASSESSOR, CDO, COUNCIL_ROLES, PANEL_CHAIR, TREASURER

APPLY = "commonweal-ops access apply"
REMOVE = "commonweal-ops access remove"

#: The people who act for no council share one broker user; their tokens tell them apart.
PARTNERSHIP = "partnership"
PARTNERSHIP_ROLES = frozenset({CDO, TREASURER, APPROVER, PANEL_CHAIR, ASSESSOR})

NOTHING = "^$"
EVERYTHING = ".*"
_UUID = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
UUID_KEY = f"^{_UUID}$"
DEFAULT_EXCHANGE = "amq.default"

HASHING_ALGORITHM = "rabbit_password_hashing_sha256"

#: RabbitMQ's tag for who may ask its management API about a virtual host.
MANAGEMENT = "management"

_Limits = Mapping[str, int]


def _limits(connections: int) -> _Limits:
    return {"max-connections": connections, "max-channels": 2 * connections}


#: A process of a service has five connections and opens one or two more for moments; a person at a client has one.
_LIMITS: Mapping[str, _Limits] = {
    "service": _limits(100),
    "council": _limits(100),
    PARTNERSHIP: _limits(200),
    "system": _limits(20),
    OPERATOR: _limits(50),
}


@dataclass(frozen=True)
class TopicPermission:
    """Which routing keys a user may publish with (``write``) and bind by (``read``) at a topic exchange."""

    write: str = NOTHING
    read: str = NOTHING


@dataclass(frozen=True)
class BrokerUser:
    """A broker user and all that it may do in one virtual host; patterns as RabbitMQ takes them.

    :param topics: by exchange, for each of ours.
    :param limits: by RabbitMQ's names for them.
    """

    name: str
    configure: str
    write: str
    read: str
    topics: Mapping[str, TopicPermission]
    limits: _Limits
    tags: tuple[str, ...] = ()

    def permissions(self) -> dict[str, str]:
        """Return its permissions by RabbitMQ's names for them."""
        return {"configure": self.configure, "write": self.write, "read": self.read}


def council_user(gss_code: str) -> str:
    """Return what a member council's broker user is called, without a prefix."""
    return f"council-{gss_code}"


def broker_users(
    methods: Mapping[str, Mapping[str, Collection[str]]], *, councils: Iterable[str] = (), prefix: str = ""
) -> list[BrokerUser]:
    """Return every broker user that there should be.

    :param methods: the roles that may call a method, by service and method.
    :param councils: GSS codes of the member councils.
    :param prefix: what the names of all begin with: they are one broker's, in whichever virtual host.
    """
    return [
        *(_service(prefix, service) for service in SUBSCRIPTIONS),
        *(_caller(prefix + council_user(code), "council", methods, COUNCIL_ROLES) for code in sorted(set(councils))),
        _caller(prefix + PARTNERSHIP, PARTNERSHIP, methods, PARTNERSHIP_ROLES),
        *(_system(prefix, system) for system in SYSTEMS),
        BrokerUser(
            prefix + OPERATOR,
            configure=EVERYTHING,
            write=EVERYTHING,
            read=EVERYTHING,
            topics=_topics(TopicPermission(EVERYTHING, EVERYTHING)),
            limits=_LIMITS[OPERATOR],
            tags=(MANAGEMENT,),
        ),
    ]


def _service(prefix: str, service: str) -> BrokerUser:
    exchange = exchange_of(service)
    events = names_of(service)
    consumed = [name for name in events if consumers_of(service, name)]
    consumers = {queue_of(consumer) for name in events for consumer in consumers_of(service, name)}
    return BrokerUser(
        prefix + service,
        configure=NOTHING,
        # To bind its consumers' queues it writes to those and reads its exchange: docs/adr/0009.
        write=_one_of([DEFAULT_EXCHANGE, RPC_EXCHANGE, exchange, *sorted(consumers)]),
        read=_one_of([rpc_queue_of(service), queue_of(service), exchange]),
        topics={
            **_topics(),
            RPC_EXCHANGE: TopicPermission(write=UUID_KEY),
            exchange: TopicPermission(write=_one_of(events), read=_one_of(consumed)),
        },
        limits=_LIMITS["service"],
    )


def _caller(
    name: str, kind: str, methods: Mapping[str, Mapping[str, Collection[str]]], roles: Collection[str]
) -> BrokerUser:
    callable_ = [
        f"{service}.{method}"
        for service, offered in sorted(methods.items())
        for method, allowed in sorted(offered.items())
        if not set(roles).isdisjoint(allowed)
    ]
    replies = rf"rpc\.reply-{re.escape(name)}\.{_UUID}"
    return BrokerUser(
        name,
        configure=f"^{replies}$",
        write=f"^({replies}|{re.escape(RPC_EXCHANGE)})$",
        read=f"^({replies}|{re.escape(RPC_EXCHANGE)})$",
        topics={**_topics(), RPC_EXCHANGE: TopicPermission(write=_one_of(callable_), read=UUID_KEY)},
        limits=_LIMITS[kind],
    )


def _system(prefix: str, system: str) -> BrokerUser:
    exchange = exchange_of(system)
    return BrokerUser(
        prefix + system,
        configure=NOTHING,
        write=_one_of([exchange]),
        read=NOTHING,
        topics={**_topics(), exchange: TopicPermission(write=_one_of(SYSTEMS[system]))},
        limits=_LIMITS["system"],
    )


def _topics(permission: TopicPermission = TopicPermission()) -> dict[str, TopicPermission]:
    exchanges = (RPC_EXCHANGE, *(exchange_of(source) for source in dict.fromkeys((*SOURCES, *SYSTEMS))))
    return dict.fromkeys(exchanges, permission)


def _one_of(names: Sequence[str]) -> str:
    return f"^({'|'.join(map(re.escape, dict.fromkeys(names)))})$" if names else NOTHING


def definitions(users: Iterable[BrokerUser], vhost: str, password_hashes: Mapping[str, str]) -> dict[str, Any]:
    """Return users as RabbitMQ definitions, which ``rabbitmqctl import_definitions`` and the management API take.

    :param password_hashes: by user, as :func:`shared.ops.credentials.hash_of` makes them.
    """
    users = list(users)
    return {
        "users": [
            {
                "name": user.name,
                "password_hash": password_hashes[user.name],
                "hashing_algorithm": HASHING_ALGORITHM,
                "tags": list(user.tags),
                "limits": dict(user.limits),
            }
            for user in users
        ],
        "permissions": [{"user": user.name, "vhost": vhost, **user.permissions()} for user in users],
        "topic_permissions": [
            {"user": user.name, "vhost": vhost, "exchange": exchange, "write": topic.write, "read": topic.read}
            for user in users
            for exchange, topic in user.topics.items()
        ],
    }


@dataclass(frozen=True)
class Found:
    """The users of a broker, each list as its management API has it; permissions are those of one virtual host."""

    users: Sequence[Mapping[str, Any]]
    permissions: Sequence[Mapping[str, Any]]
    topic_permissions: Sequence[Mapping[str, Any]]
    limits: Sequence[Mapping[str, Any]]


def differences(wanted: Iterable[BrokerUser], found: Found) -> list[Difference]:
    """Compare a broker's users with those that there should be; an empty list when they are equal.

    A user who may do nothing in the virtual host is none of our business, nor is a topic permission for an exchange
    that is not ours: it can only take away.
    """
    wanted = list(wanted)
    there = {user["name"] for user in found.users}
    told: list[Difference] = []
    for user in wanted:
        if user.name in there:
            told += _of_user(user, found)
        else:
            told.append(Difference("missing", "user", user.name, f"run: {APPLY}"))
    names = {user.name for user in wanted}
    for permission in sorted(found.permissions, key=lambda each: str(each["user"])):
        if permission["user"] not in names:
            may = {name: permission[name] for name in ("configure", "write", "read")}
            do = f"nobody here needs it; run: {REMOVE} {permission['user']}"
            told.append(Difference("left_over", "user", permission["user"], do, "permissions", None, may))
    return told


def _of_user(user: BrokerUser, found: Found) -> Iterator[Difference]:
    ours: dict[str, Any] = {"tags": sorted(user.tags), **user.permissions(), **user.limits}
    for exchange, topic in user.topics.items():
        ours[f"topics of {exchange}"] = {"write": topic.write, "read": topic.read}
    theirs = traits_of(user.name, found)
    for name, wanted in ours.items():
        if theirs.get(name) != wanted:
            yield Difference("different", "user", user.name, f"run: {APPLY}", name, wanted, theirs.get(name))


def traits_of(name: str, found: Found) -> dict[str, Any]:
    """Return all that a broker says of a user, by the name that an operator knows it by."""
    traits: dict[str, Any] = {}
    for user in found.users:
        if user["name"] == name:
            # A list since RabbitMQ 3.9, and before that a text.
            tags = user["tags"]
            traits["tags"] = sorted(filter(None, tags.split(",")) if isinstance(tags, str) else tags)
    for permission in found.permissions:
        if permission["user"] == name:
            traits |= {kind: permission[kind] for kind in ("configure", "write", "read")}
    for limits in found.limits:
        if limits["user"] == name:
            traits |= limits["value"]
    for topic in found.topic_permissions:
        if topic["user"] == name:
            traits[f"topics of {topic['exchange']}"] = {"write": topic["write"], "read": topic["read"]}
    return traits
