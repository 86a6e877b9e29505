"""``commonweal-ops topology`` on a real broker: apply declares, diff tells every difference, export is the same broker.

None of these needs a service; each has a virtual host of its own.
"""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner, Result

from shared.events.catalogue import SOURCES
from shared.messaging import broker
from shared.messaging.topology import NotAllDeclared, dead_letters_of, queue_of, retry_queue_of, rpc_queue_of, topology
from shared.ops.cli import main
from shared.ops.management import Management
from tests.support.servers import Servers
from tests.support.stage import eventually

DELAYS = "70,80"
QUORUM = {"x-queue-type": "quorum"}


class Ops:
    """``commonweal-ops topology`` on one virtual host, and what a test does to that behind its back."""

    def __init__(self, amqp_uri: str, management_url: str) -> None:
        self.amqp_uri = amqp_uri
        self.management = Management(amqp_uri, management_url)
        self.vhost = self.management.vhost

    def __call__(self, command: str, *options: str, **environment: str) -> Result:
        settings = {"COMMONWEAL_AMQP_URI": self.amqp_uri, "COMMONWEAL_MANAGEMENT_URL": self.management.url}
        return CliRunner().invoke(main, ["topology", command, *options], env={**settings, **environment})

    def apply(self, **environment: str) -> None:
        result = self("apply", **environment)
        assert result.exit_code == 0, result.output

    def differences(self, **environment: str) -> list[dict[str, Any]]:
        """What diff tells; its two forms and its exit code agree."""
        as_json, as_text = self("diff", "--json", **environment), self("diff", **environment)
        told = json.loads(as_json.stdout)
        assert told["vhost"] == self.vhost
        assert as_json.exit_code == as_text.exit_code == (0 if told["equal"] else 1), as_text.output
        lines = as_text.stdout.splitlines()
        assert lines[-1].startswith("equal: " if told["equal"] else "not equal: ")
        assert len(lines) == len(told["differences"]) + 1
        for line, difference in zip(lines, told["differences"], strict=False):
            assert difference["do"], line
            assert line.startswith(difference["kind"].replace("_", " "))
            assert difference["name"] in line
            assert difference["do"] in line
        listed: list[dict[str, Any]] = told["differences"]
        return listed

    def declare(self, queue: str, **arguments: Any) -> None:
        """Declare a queue otherwise than the catalogue does."""
        durable = arguments.pop("durable", True)
        with broker.connect(self.amqp_uri) as connection, connection.channel() as channel:
            channel.queue_declare(queue, durable=durable, auto_delete=False, arguments=arguments)

    def delete(self, queue: str) -> None:
        with broker.connect(self.amqp_uri) as connection, connection.channel() as channel:
            channel.queue_delete(queue)

    def put_into(self, queue: str, number: int) -> None:
        with broker.connect(self.amqp_uri) as connection, connection.channel() as channel:
            for _ in range(number):
                channel.basic_publish(channel.prepare_message(b"{}"), exchange="", routing_key=queue)

            def arrived() -> bool:
                return bool(channel.queue_declare(queue, passive=True).message_count == number)

            eventually(arrived)

    def bind(self, queue: str, exchange: str, key: str) -> None:
        with broker.connect(self.amqp_uri) as connection, connection.channel() as channel:
            channel.queue_bind(queue=queue, exchange=exchange, routing_key=key)

    def unbind(self, queue: str, exchange: str, key: str) -> None:
        with broker.connect(self.amqp_uri) as connection, connection.channel() as channel:
            channel.queue_unbind(queue=queue, exchange=exchange, routing_key=key)


@pytest.fixture
def ops(servers: Servers, amqp_uri: str) -> Ops:
    """A virtual host with nothing in it."""
    return Ops(amqp_uri, servers.broker.management_url)


@pytest.fixture
def applied(ops: Ops) -> Ops:
    """A virtual host with the topology in it."""
    ops.apply()
    return ops


def named(told: list[dict[str, Any]], *fields: str) -> list[tuple[Any, ...]]:
    return [tuple(difference[field] for field in fields) for difference in told]


class TestApply:
    def test_what_it_declares_is_equal_and_applying_again_changes_nothing(self, ops: Ops) -> None:
        wanted = topology()
        assert len(ops.differences()) == len(wanted.exchanges) + len(wanted.queues) + len(wanted.bindings)
        for _ in range(2):
            ops.apply()
            assert ops.differences() == []

    def test_the_brokers_own_definitions_are_those_that_export_prints(self, applied: Ops) -> None:
        own = applied.management.get("definitions/{vhost}")
        printed = json.loads(applied("export", "--vhost", applied.vhost).stdout)
        assert set(printed) == {"exchanges", "queues", "bindings"}
        for kind, things in printed.items():
            assert all(thing.pop("vhost") == applied.vhost for thing in things)
            assert in_order(things) == in_order(own[kind])

    def test_several_at_once_are_harmless(self, ops: Ops) -> None:
        barrier = threading.Barrier(4)

        def apply() -> None:
            with broker.connect(ops.amqp_uri) as connection:
                connection.connect()
                barrier.wait()
                topology().apply(connection)

        with ThreadPoolExecutor(barrier.parties) as threads:
            for applying in [threads.submit(apply) for _ in range(barrier.parties)]:
                applying.result(timeout=60)
        assert ops.differences() == []

    def test_it_says_what_stands_in_its_way_and_declares_the_rest(self, ops: Ops) -> None:
        wanted = topology().definitions(ops.vhost)["queues"]
        (calls,) = (queue["arguments"] for queue in wanted if queue["name"] == rpc_queue_of("funding"))
        ops.declare(rpc_queue_of("funding"), **{**calls, "x-delivery-limit": 7})
        ops.declare(queue_of("outcomes"), durable=False)
        with broker.connect(ops.amqp_uri) as connection, connection.channel() as channel:
            channel.exchange_declare("proposals.events", "fanout", durable=True, auto_delete=False)
        result = ops("apply")
        assert result.exit_code == 1
        assert "PRECONDITION_FAILED" not in result.output
        said = {line.strip().split(" exists")[0]: line for line in result.output.splitlines() if " exists " in line}
        assert set(said) == {"queue rpc-funding", "queue outcomes.events", "exchange proposals.events"}
        assert (
            "another x-delivery-limit: '7' on the broker, '3' in the catalogue; let funding"
            in said["queue rpc-funding"]
        )
        assert "another durable: 'false' on the broker, 'true' in" in said["queue outcomes.events"]
        assert "another type: 'fanout' on the broker, 'topic' in" in said["exchange proposals.events"]
        assert all(line.endswith(": commonweal-ops topology apply") for line in said.values())
        left = ops.differences()
        assert {kind for (kind,) in named(left, "kind")} == {"different"}
        assert {name for (name,) in named(left, "name")} == {"rpc-funding", "outcomes.events", "proposals.events"}
        # What it says to do is enough.
        for queue in ("rpc-funding", "outcomes.events"):
            ops.delete(queue)
        ops.management.delete("exchanges/{vhost}/proposals.events")
        ops.apply()
        assert ops.differences() == []

    def test_what_may_not_be_declared_is_told_too(self, servers: Servers, ops: Ops) -> None:
        ops.apply()
        with broker.connect(ops.amqp_uri) as connection:
            ops.delete(rpc_queue_of("outcomes"))
            with connection.channel() as channel:
                channel.queue_declare(rpc_queue_of("outcomes"), exclusive=True)
                with pytest.raises(NotAllDeclared) as refusal, broker.connect(ops.amqp_uri) as another:
                    topology().apply(another)
        queue, binding = refusal.value.problems
        assert queue.startswith("queue rpc-outcomes could not be declared: RESOURCE_LOCKED")
        assert binding.startswith(
            "binding nameko-rpc -> rpc-outcomes by outcomes.* could not be declared: RESOURCE_LOCKED"
        )


class TestExport:
    @pytest.mark.parametrize("path", ["definitions", "definitions/{vhost}"], ids=["whole", "vhost"])
    def test_imported_into_a_fresh_virtual_host_it_is_what_apply_declares(self, ops: Ops, path: str) -> None:
        ops.management.post(path, json.loads(ops("export", "--vhost", ops.vhost).stdout))
        assert ops.differences() == []
        ops.apply()
        assert ops.differences() == []

    def test_it_needs_neither_broker_nor_settings_and_means_the_default_virtual_host(self) -> None:
        printed = json.loads(CliRunner().invoke(main, ["topology", "export"], env={"COMMONWEAL_AMQP_URI": ""}).stdout)
        assert {thing["vhost"] for things in printed.values() for thing in things} == {"/"}


class TestDelays:
    def test_all_three_take_the_delays_that_the_services_have(self, ops: Ops) -> None:
        ops.apply(COMMONWEAL_RETRY_DELAYS_MS=DELAYS)
        assert ops.differences(COMMONWEAL_RETRY_DELAYS_MS=DELAYS) == []
        assert ops("diff", "--retry-delays-ms", DELAYS).exit_code == 0
        printed = json.loads(ops("export", "--vhost", ops.vhost, "--retry-delays-ms", DELAYS).stdout)
        own = ops.management.get("definitions/{vhost}")
        assert {queue["name"] for queue in printed["queues"]} == {queue["name"] for queue in own["queues"]}
        told = ops.differences()
        assert {what for (what,) in named(told, "what")} == {"queue"}
        assert len([1 for (kind,) in named(told, "kind") if kind == "missing"]) == 3 * 5
        assert len([1 for (kind,) in named(told, "kind") if kind == "left_over"]) == 3 * 2

    @pytest.mark.parametrize("command", ["apply", "diff", "export"])
    def test_what_is_no_list_of_delays_is_refused(self, ops: Ops, command: str) -> None:
        result = ops(command, COMMONWEAL_RETRY_DELAYS_MS="soon")
        assert result.exit_code == 2
        assert "COMMONWEAL_RETRY_DELAYS_MS must be whole numbers" in result.output


class TestDiff:
    def test_what_is_missing(self, applied: Ops) -> None:
        applied.delete(queue_of("outcomes"))
        applied.unbind(queue_of("funding"), "proposals.events", "proposal_approved")
        applied.management.delete("exchanges/{vhost}/outcomes.events")
        told = applied.differences()
        assert named(told, "kind", "what", "name") == [
            ("missing", "exchange", "outcomes.events"),
            ("missing", "queue", "outcomes.events"),
            ("missing", "binding", "proposals.events -> funding.events by proposal_approved"),
            ("missing", "binding", "outcomes.events -> funding.events by milestone_achieved"),
            ("missing", "binding", "funding.events -> outcomes.events by project_funded"),
        ]
        assert {do for (do,) in named(told, "do")} == {"run: commonweal-ops topology apply"}
        applied.apply()
        assert applied.differences() == []

    def test_every_argument_that_differs_and_what_would_be_lost(self, applied: Ops) -> None:
        queue = queue_of("outcomes")
        applied.delete(queue)
        applied.declare(queue, **QUORUM, **{"x-delivery-limit": 5, "x-dead-letter-exchange": "", "x-max-length": 9})
        applied.bind(queue, "funding.events", "project_funded")
        applied.put_into(queue, 3)
        told = applied.differences()
        assert named(told, "argument", "found", "wanted") == [
            ("x-dead-letter-routing-key", None, "outcomes.dead-letters"),
            ("x-dead-letter-strategy", None, "at-least-once"),
            ("x-delivery-limit", 5, 20),
            ("x-max-length", 9, None),
            ("x-overflow", None, "reject-publish"),
        ]
        for difference in told:
            assert (difference["kind"], difference["what"], difference["name"]) == ("different", "queue", queue)
            assert difference["messages"] == 3
            assert difference["do"].startswith("let outcomes work it off")
        assert "x-delivery-limit is 5, wanted is 20 (3 messages); let outcomes" in applied("diff").stdout

    def test_another_type_of_queue_and_a_queue_that_does_not_outlive_a_restart(self, applied: Ops) -> None:
        applied.delete(rpc_queue_of("funding"))
        applied.declare(rpc_queue_of("funding"), durable=False)
        told = [difference for difference in applied.differences() if difference["what"] == "queue"]
        assert named(told, "argument", "found", "wanted") == [
            ("durable", False, True),
            ("x-delivery-limit", None, 3),
            ("x-queue-type", "classic", "quorum"),
        ]

    def test_another_exchange_of_the_same_name(self, applied: Ops) -> None:
        applied.management.delete("exchanges/{vhost}/outcomes.events")
        changed = {"type": "direct", "durable": True, "auto_delete": True, "internal": True}
        applied.management.put(
            "exchanges/{vhost}/outcomes.events", {**changed, "arguments": {"alternate-exchange": "elsewhere"}}
        )
        told = [difference for difference in applied.differences() if difference["what"] == "exchange"]
        assert named(told, "argument", "found", "wanted") == [
            ("alternate-exchange", "elsewhere", None),
            ("auto_delete", True, False),
            ("internal", True, False),
            ("type", "direct", "topic"),
        ]

    def test_queues_left_over_are_told_with_what_is_in_them(self, applied: Ops) -> None:
        old = retry_queue_of("funding", 250)
        falls_back = {"x-message-ttl": 3_600_000, "x-dead-letter-exchange": ""}
        applied.declare(old, **QUORUM, **falls_back, **{"x-dead-letter-routing-key": queue_of("funding")})
        applied.put_into(old, 4)
        for queue in (queue_of("grants"), dead_letters_of("grants"), rpc_queue_of("grants")):
            applied.declare(queue, **QUORUM)
        # Those of other nameko services, and whoever listens to our events.
        for queue in (rpc_queue_of("payroll"), "evt-funding-project_funded--payroll.note", "events", "audit.log"):
            applied.declare(queue, **QUORUM)
            applied.bind(queue, "funding.events", "#")
        told = applied.differences()
        assert named(told, "kind", "what", "name", "messages") == [
            ("left_over", "queue", "funding.events.retry.250ms", 4),
            ("left_over", "queue", "grants.dead-letters", 0),
            ("left_over", "queue", "grants.events", 0),
            ("left_over", "queue", "rpc-grants", 0),
        ]
        assert told[0]["do"].startswith("wait 3,600,000 ms until all its messages have moved to funding.events")
        assert "retry.250ms (4 messages); wait" in applied("diff").stdout

    def test_a_queue_left_over_whose_messages_would_go_nowhere_is_not_told_to_wait_for(self, applied: Ops) -> None:
        applied.declare(retry_queue_of("funding", 250), **QUORUM)
        (told,) = applied.differences()
        assert told["do"].startswith("see that its messages get to funding.events")

    def test_bindings_left_over(self, applied: Ops) -> None:
        applied.bind(queue_of("outcomes"), "funding.events", "award_offered")
        applied.bind(queue_of("outcomes"), "funding.events", "#")
        with broker.connect(applied.amqp_uri) as connection, connection.channel() as channel:
            channel.exchange_declare("payroll", "topic", durable=True, auto_delete=False)
            channel.exchange_bind(destination="funding.events", source="payroll", routing_key="paid")
            channel.exchange_bind(destination="payroll", source="funding.events", routing_key="#")
        told = applied.differences()
        assert named(told, "kind", "what", "name") == [
            ("left_over", "binding", "funding.events -> outcomes.events by #"),
            ("left_over", "binding", "funding.events -> outcomes.events by award_offered"),
            ("left_over", "binding", "payroll -> funding.events by paid"),
        ]
        assert all(do.startswith("unbind it") for (do,) in named(told, "do"))

    def test_policies_that_override_what_was_declared(self, applied: Ops) -> None:
        applied.management.put(
            "policies/{vhost}/short",
            {
                "pattern": r"\.events$",
                "apply-to": "all",
                "priority": 1,
                "definition": {"delivery-limit": 2, "message-ttl": 60_000, "alternate-exchange": "bin"},
            },
        )
        # Of a lower priority, so RabbitMQ takes the other for these queues.
        applied.management.put(
            "policies/{vhost}/unused",
            {"pattern": r"\.events$", "apply-to": "queues", "priority": 0, "definition": {"max-length": 1}},
        )
        # Larger than ours or ours already, or not about what becomes of a message: it changes nothing.
        applied.management.put(
            "policies/{vhost}/harmless",
            {
                "pattern": "^rpc-",
                "apply-to": "queues",
                "definition": {"delivery-limit": 50, "queue-leader-locator": "balanced"},
            },
        )
        applied.management.put(
            "operator-policies/{vhost}/cap",
            {"pattern": "dead-letters$", "apply-to": "queues", "definition": {"max-length": 1000}},
        )
        told = applied.differences()
        assert set(named(told, "kind", "what", "name", "argument", "found", "wanted")) == {
            *(("policy", "exchange", f"{source}.events", "alternate-exchange", "bin", None) for source in SOURCES),
            *(
                ("policy", "queue", queue_of(service), argument, value, ours)
                for service in ("proposals", "funding", "outcomes")
                for argument, value, ours in (("delivery-limit", 2, 20), ("message-ttl", 60_000, None))
            ),
            *(
                ("policy", "queue", dead_letters_of(service), "max-length", 1000, None)
                for service in ("proposals", "funding", "outcomes")
            ),
        }
        assert {do for (do,) in named(told, "do")} == {
            "change the policy short so that it does not match this exchange",
            "change the policy short so that it does not match this queue",
            "change the operator policy cap so that it does not match this queue",
        }


class TestCannotAsk:
    """Nobody may take silence for an answer: the exit code is 2, and 1 means that there is a difference."""

    @pytest.fixture
    def stranger(self, servers: Servers, ops: Ops) -> Iterator[Callable[[str], str]]:
        """Makes a user with a tag, who may connect; gives the AMQP URI."""
        name = f"stranger-{ops.vhost}"

        def make(tag: str) -> str:
            servers.broker.manage("PUT", f"users/{name}", {"password": "hunter2", "tags": tag})
            servers.broker.manage("PUT", f"permissions/{ops.vhost}/{name}", {"configure": "", "write": "", "read": ""})
            parts = urlsplit(ops.amqp_uri)
            return parts._replace(netloc=f"{name}:hunter2@{parts.netloc.rpartition('@')[2]}").geturl()

        yield make
        servers.broker.manage("DELETE", f"users/{name}")

    def test_a_user_who_may_only_look_can_ask(self, applied: Ops, stranger: Callable[[str], str]) -> None:
        assert applied("diff", COMMONWEAL_AMQP_URI=stranger("management")).exit_code == 0

    def test_a_user_without_a_tag_and_one_with_another_password(self, ops: Ops, stranger: Callable[[str], str]) -> None:
        uri = stranger("")
        for refused in (uri, uri.replace("hunter2", "hunter3")):
            said = cannot(ops("diff", COMMONWEAL_AMQP_URI=refused))
            assert "a tag, management at least" in said

    def test_a_virtual_host_that_is_not_there(self, ops: Ops) -> None:
        gone = urlsplit(ops.amqp_uri)._replace(path="/nowhere").geturl()
        assert "has no virtual host 'nowhere'" in cannot(ops("diff", COMMONWEAL_AMQP_URI=gone))

    @pytest.mark.parametrize("url", ["http://127.0.0.1:1", "the amqp port"], ids=["nobody there", "no http there"])
    def test_an_address_where_there_is_no_management_api(self, ops: Ops, url: str) -> None:
        if url == "the amqp port":
            url = f"http://{urlsplit(ops.amqp_uri).netloc.rpartition('@')[2]}"
        assert "is COMMONWEAL_MANAGEMENT_URL right" in cannot(ops("diff", COMMONWEAL_MANAGEMENT_URL=url))


def cannot(result: Result) -> str:
    """The sentence of a diff that could not ask."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "Error: " in result.stderr
    assert "Traceback" not in result.output
    assert "hunter" not in result.output
    return result.stderr


def in_order(things: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(things, key=lambda thing: json.dumps(thing, sort_keys=True))
