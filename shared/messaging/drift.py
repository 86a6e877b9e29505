"""How a broker differs from what the catalogue asks for: missing, different, left over, overridden by a policy."""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.messaging.topology import APPLY, Topology, how_to_drain, how_to_replace

#: What a policy may say about the messages of a queue, or of an exchange: how many, how long, how often, where to.
#: RabbitMQ takes the smaller of two numbers, and the queue's own argument before a policy's text.
POLICY_KEYS = {
    "queues": (
        "delivery-limit",
        "message-ttl",
        "expires",
        "max-length",
        "max-length-bytes",
        "overflow",
        "dead-letter-exchange",
        "dead-letter-routing-key",
        "dead-letter-strategy",
    ),
    "exchanges": ("alternate-exchange",),
}
_APPLIES_TO = {"queues": ("all", "queues", "quorum_queues"), "exchanges": ("all", "exchanges")}

_OURS = re.compile(r"(?P<service>[^.]+)\.(events(\.retry\.\d+ms)?|dead-letters)")


@dataclass(frozen=True)
class Found:
    """What a broker has, each as its management API lists it: dictionaries with ``name``, ``arguments`` and so on."""

    exchanges: Sequence[Mapping[str, Any]]
    queues: Sequence[Mapping[str, Any]]
    bindings: Sequence[Mapping[str, Any]]
    policies: Sequence[Mapping[str, Any]]
    operator_policies: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Difference:
    """One difference, and what to do about it.

    :param kind: ``missing``, ``different``, ``left_over`` or ``policy``.
    :param what: ``exchange``, ``queue``, ``binding`` or ``user``.
    :param name: of the exchange or queue; a binding is ``exchange -> queue by routing key``.
    :param argument: what differs, such as ``x-delivery-limit``; None where the whole thing does.
    :param wanted: the argument's value in the catalogue; None when it asks for none.
    :param found: the argument's value on the broker; None when it has none.
    :param messages: how many messages are ready in the queue; None where that matters nothing or is not known.
    """

    kind: str
    what: str
    name: str
    do: str
    argument: str | None = None
    wanted: Any = None
    found: Any = None
    messages: int | None = None

    def __str__(self) -> str:
        text = f"{self.kind.replace('_', ' '):<10} {self.what} {self.name}"
        if self.argument is not None:
            text += f": {self.argument} is {_shown(self.found)}, wanted is {_shown(self.wanted)}"
        if self.what == "queue" and self.kind in ("different", "left_over") and self.messages is None:
            text += " (its messages could not be counted)"
        elif self.messages is not None:
            text += f" ({self.messages:,} {'message' if self.messages == 1 else 'messages'})"
        return f"{text}; {self.do}"


def differences(wanted: Topology, found: Found, count: Callable[[str], int | None]) -> list[Difference]:
    """Compare a broker with what the catalogue asks for; an empty list when they are equal.

    Things of others are none of our business: exchanges and queues by other names, and queues of theirs bound to our
    exchanges.

    :param count: tells how many messages a queue holds; asked only where somebody might delete it.
    """
    asked = wanted.definitions("")
    return [
        *_of_exchanges(asked["exchanges"], found),
        *_of_queues(asked["queues"], found, count),
        *_of_bindings(asked, found),
        *_of_policies("exchanges", asked["exchanges"], found),
        *_of_policies("queues", asked["queues"], found),
    ]


def _of_exchanges(asked: Sequence[Mapping[str, Any]], found: Found) -> Iterator[Difference]:
    there = {exchange["name"]: exchange for exchange in found.exchanges}
    for exchange in asked:
        name = exchange["name"]
        if name not in there:
            yield Difference("missing", "exchange", name, f"run: {APPLY}")
            continue
        for argument, ours, theirs in _unequal(_traits(exchange, "type"), _traits(there[name], "type")):
            yield Difference("different", "exchange", name, how_to_replace("exchange", name), argument, ours, theirs)


def _of_queues(
    asked: Sequence[Mapping[str, Any]], found: Found, count: Callable[[str], int | None]
) -> Iterator[Difference]:
    there = {queue["name"]: queue for queue in found.queues}
    for queue in asked:
        name = queue["name"]
        if name not in there:
            yield Difference("missing", "queue", name, f"run: {APPLY}")
            continue
        # A server's default may decide the type of a queue that was declared without one.
        kind = {"x-queue-type": there[name].get("type", "classic")}
        traits = {"exclusive": False, **_traits(queue)}
        for argument, ours, theirs in _unequal(traits, {**kind, **_traits(there[name], "exclusive")}):
            do = how_to_replace("queue", name, there[name]["arguments"])
            yield Difference("different", "queue", name, do, argument, ours, theirs, count(name))
    for name in sorted(_left_over(set(there), {queue["name"] for queue in asked})):
        do = f"{how_to_drain(name, there[name]['arguments'])}, then delete it"
        yield Difference("left_over", "queue", name, do, messages=count(name))


def _left_over(there: set[str], asked: set[str]) -> Iterator[str]:
    services = {match["service"] for name in there if (match := _OURS.fullmatch(name))}
    # Any nameko service has a queue for its calls; ours have one for dead letters beside it.
    calls = {f"rpc-{service}" for service in services if f"{service}.dead-letters" in there}
    for name in there - asked:
        if _OURS.fullmatch(name) or name in calls:
            yield name


def _of_bindings(asked: Mapping[str, Sequence[Mapping[str, Any]]], found: Found) -> Iterator[Difference]:
    # The default exchange has every queue by its name.
    there = {_key(binding): binding for binding in found.bindings if binding["source"]}
    keys = {_key(binding) for binding in asked["bindings"]}
    for binding in asked["bindings"]:
        if _key(binding) not in there:
            yield Difference("missing", "binding", _arrow(binding), f"run: {APPLY}")
    queues = {queue["name"] for queue in asked["queues"]}
    queues |= set(_left_over({queue["name"] for queue in found.queues}, queues))
    ours = {"queue": queues, "exchange": {exchange["name"] for exchange in asked["exchanges"]}}
    for key, binding in sorted(there.items()):
        kind, destination = binding["destination_type"], binding["destination"]
        if key in keys or destination not in ours[kind]:
            continue
        do = "unbind it: the catalogue asks for no such messages in that queue"
        if kind == "exchange":
            do = "unbind it, unless you know why: what comes by it is taken for events of that exchange"
        yield Difference("left_over", "binding", _arrow(binding), do)


def _of_policies(what: str, asked: Sequence[Mapping[str, Any]], found: Found) -> Iterator[Difference]:
    for kind, policies in (("policy", found.policies), ("operator policy", found.operator_policies)):
        matching = [policy for policy in policies if policy["apply-to"] in _APPLIES_TO[what]]
        for thing in asked:
            for policy in _effective(matching, thing["name"]):
                for key in POLICY_KEYS[what]:
                    if key not in policy["definition"]:
                        continue
                    own, theirs = thing["arguments"].get(f"x-{key}"), policy["definition"][key]
                    if _overrides(theirs, own):
                        do = f"change the {kind} {policy['name']} so that it does not match this {what[:-1]}"
                        yield Difference("policy", what[:-1], thing["name"], do, key, own, theirs)


def _effective(policies: Sequence[Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
    """Return the policy that RabbitMQ takes for a name; of several with the same priority it may be any."""
    by_priority: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for policy in policies:
        if _matches(policy["pattern"], name):
            by_priority[policy["priority"]].append(policy)
    return by_priority[max(by_priority)] if by_priority else []


def _matches(pattern: str, name: str) -> bool:
    try:
        return re.search(pattern, name) is not None
    except re.error:
        # A pattern of Erlang's that Python cannot read: better told once too often.
        return True


def _overrides(theirs: Any, own: Any) -> bool:
    if own is None:
        return True
    if isinstance(own, int) and isinstance(theirs, int):
        return 0 <= theirs < own
    return False


def _traits(thing: Mapping[str, Any], *more: str) -> dict[str, Any]:
    """Return everything that a declaration decides, by the name that an operator knows it by."""
    names = ("durable", "auto_delete", *more)
    if "internal" in thing:
        names += ("internal",)
    return {**{name: thing[name] for name in names}, **thing["arguments"]}


def _unequal(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in sorted({*wanted, *found}):
        ours, theirs = wanted.get(name), found.get(name)
        # In Python True equals 1.
        if (type(ours), ours) != (type(theirs), theirs):
            yield name, ours, theirs


def _key(binding: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    return (
        binding["source"],
        binding["destination_type"],
        binding["destination"],
        binding["routing_key"],
        json.dumps(binding["arguments"], sort_keys=True),
    )


def _arrow(binding: Mapping[str, Any]) -> str:
    text = f"{binding['source']} -> {binding['destination']} by {binding['routing_key'] or '(no key)'}"
    return f"{text} with {json.dumps(binding['arguments'])}" if binding["arguments"] else text


def _shown(value: Any) -> str:
    return "none" if value is None else json.dumps(value)
