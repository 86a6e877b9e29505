"""Broker users by least privilege on a real broker: what each may do works, and everything else is refused.

The services run under users that ``commonweal-ops access apply`` made. Each attack stands beside the same act done by
somebody who may, so that a refusal means what it says.
"""

import dataclasses
import json
import secrets
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import pytest
from amqp import Message as AmqpMessage
from amqp.exceptions import AMQPError
from click.testing import CliRunner, Result
from kombu import Connection
from sqlalchemy import select, text

from commonweal import Client, errors, load_yaml
from docs.generate.events import PROGRAM
from shared import ids
from shared.audit.tables import audit
from shared.events.catalogue import SYSTEMS
from shared.messaging import broker
from shared.messaging.publisher import Message, Publisher
from shared.messaging.publishers import LAID_BY_HEADER, PUBLISHER_HEADER
from shared.messaging.tables import outbox
from shared.messaging.topology import dead_letters_of, exchange_of, queue_of
from shared.ops.cli import main
from shared.ops.launch import ServiceProcess
from shared.ops.names import SERVICES
from shared.security.principal import CDO, PROPOSER, SPONSOR, TREASURER
from tests.integration.messaging.test_foreign import MODES, attributes_of, publish_with_pika
from tests.support import outcomes, programme
from tests.support.funding import contribution_received
from tests.support.letters import Operator
from tests.support.messages import message_of
from tests.support.servers import Servers
from tests.support.stage import Stage, eventually, stage_on_servers

EILEANAN_SIAR, HIGHLAND, FIFE = "S12000013", "S12000017", "S12000047"
COUNCILS = ("--council", EILEANAN_SIAR, "--council", HIGHLAND)
ALLOWED = 0
REFUSED, FORGED = 403, 406
RPC = "nameko-rpc"
ROOT = Path(__file__).parents[3]


@dataclass
class Access:
    """``commonweal-ops access`` at one virtual host, with a prefix of its own: users are the whole broker's."""

    amqp_uri: str
    management_url: str
    prefix: str
    directory: Path

    def __call__(self, command: str, *arguments: object, **environment: str) -> Result:
        result = CliRunner().invoke(main, ["access", command, *map(str, arguments)], env=self.environment(environment))
        assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
        return result

    def environment(self, changes: dict[str, str]) -> dict[str, str]:
        return {
            "COMMONWEAL_AMQP_URI": self.amqp_uri,
            "COMMONWEAL_MANAGEMENT_URL": self.management_url,
            "COMMONWEAL_BROKER_USER_PREFIX": self.prefix,
            **changes,
        }

    def apply(self, *arguments: object) -> str:
        result = self("apply", *COUNCILS, "--credentials", self.directory, *arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    def differences(self, *arguments: object) -> list[dict[str, Any]]:
        result = self("show", "--json", *(arguments or COUNCILS))
        told = json.loads(result.stdout)
        assert result.exit_code == (0 if told["equal"] else 1)
        listed: list[dict[str, Any]] = told["differences"]
        return listed

    def user(self, party: str) -> str:
        return f"{self.prefix}{party}"

    def uri(self, party: str) -> str:
        return (self.directory / self.user(party)).read_text().strip()


@contextmanager
def access_on(servers: Servers, directory: Path) -> Iterator[Access]:
    """A virtual host in which nobody may do anything yet but its administrator; its users are gone at the end."""
    vhost = servers.broker.create_vhost()
    access = Access(vhost, servers.broker.management_url, f"t{secrets.token_hex(3)}-", directory / "credentials")
    yield access
    servers.broker.delete_vhost(vhost)
    for user in servers.broker.manage("GET", "users"):
        if user["name"].startswith(access.prefix):
            servers.broker.manage("DELETE", f"users/{user['name']}")


@pytest.fixture(scope="module")
def access(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Access]:
    with access_on(servers, tmp_path_factory.mktemp("access")) as made:
        made.apply()
        yield made


@pytest.fixture(scope="module")
def stage(servers: Servers, access: Access, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    own = {
        service: {
            "COMMONWEAL_AMQP_URI": "",
            "COMMONWEAL_AMQP_URI_FILE": str(access.directory / access.user(service)),
            "COMMONWEAL_BROKER_USER_PREFIX": access.prefix,
            "COMMONWEAL_PUBLISHERS": "",
        }
        for service in SERVICES
    }
    directory = tmp_path_factory.mktemp("stage")
    with stage_on_servers(
        access.amqp_uri, servers.postgresql.create_database, directory, own_environment=own
    ) as running:
        # A system's exchange comes with its events; until performance has any, a test declares it.
        with running.connect() as connection, connection.channel() as channel:
            channel.queue_declare("scratch", durable=False, auto_delete=False)
            channel.exchange_declare(exchange_of("performance"), "topic", durable=True, auto_delete=False)
            for system in SYSTEMS:
                channel.queue_bind("scratch", exchange_of(system), "#")
        yield running
    for url in running.database_urls.values():
        servers.postgresql.drop_database(url)


@pytest.fixture(scope="module")
def calling(stage: Stage, access: Access) -> Iterator[Callable[..., Client]]:
    """Makes clients on the connection of a party's broker user, with a token of some roles."""
    lines: dict[str, Client] = {}

    def make(party: str, *roles: str, council: str | None = None) -> Client:
        if party not in lines:
            lines[party] = Client(access.uri(party), "")
        return lines[party].acting(stage.signing_key.issue(f"{roles[0]}@test.example", roles, council=council))

    yield make
    for line in lines.values():
        line.close()


def test_a_proposal_goes_its_way_though_nobody_may_more_than_he_needs(
    stage: Stage, calling: Callable[..., Client]
) -> None:
    treasurer = calling("partnership", TREASURER)
    pool = treasurer.funding.create_pool(name="A pool", starts_on="2026-04-01", ends_on="2029-03-31")
    for council in (EILEANAN_SIAR, HIGHLAND):
        treasurer.funding.add_member(pool_id=pool["pool_id"], council=council, joins_on="2026-04-01")
    round_ = calling("partnership", CDO).proposals.open_round(
        title="A round",
        opens_on=str(date.today()),  # noqa: DTZ011
        closes_on=str(date.today() + timedelta(days=60)),  # noqa: DTZ011
        criteria=[{"key": "benefit", "title": "Benefit", "weight": 100}],
        min_participants=2,
        quorum=1,
        ceiling_pence=50_000_000,
    )
    lead = calling(f"council-{EILEANAN_SIAR}", PROPOSER, council=EILEANAN_SIAR)
    content = load_yaml(ROOT / "examples/proposals/gaelic-pages.yaml")
    proposal = lead.proposals.create_proposal(round_id=round_["round_id"], content=content)
    # That the councils are members comes as an event of funding's, which proposals checks the publisher of.
    eventually(lambda: lead.proposals.check_eligibility(proposal_id=proposal["proposal_id"])["eligible"])
    lead.proposals.submit_proposal(proposal_id=proposal["proposal_id"])
    sponsor = calling(f"council-{HIGHLAND}", SPONSOR, council=HIGHLAND)
    confirmed = sponsor.proposals.confirm_participation(proposal_id=proposal["proposal_id"], revision=1)
    assert confirmed["state"] == "under_assessment"
    for service in SERVICES:
        log = stage.processes[service].output()
        assert "ACCESS_REFUSED" not in log
        assert "from every broker user" not in log
        assert stage.is_empty(dead_letters_of(service))


def test_our_client_says_that_the_broker_refuses_a_method_which_is_not_the_users(
    calling: Callable[..., Client],
) -> None:
    """Even with a token that would be let in."""
    council = calling(f"council-{HIGHLAND}", TREASURER)
    with pytest.raises(errors.Forbidden) as refusal:
        council.funding.create_pool(name="Mine", starts_on="2026-04-01", ends_on="2029-03-31")
    assert refusal.value.code == "broker_refused"
    assert calling(f"council-{HIGHLAND}", SPONSOR, council=HIGHLAND).proposals.list_rounds()["next_cursor"] is None


def outcome(uri: str, act: Callable[[Any], object]) -> int:
    """What the broker answers when a user does something: its code, or :data:`ALLOWED`."""
    with broker.connect(uri) as connection:
        try:
            with connection.channel() as channel:
                act(channel)
        except AMQPError as refusal:
            return int(refusal.reply_code)
    return ALLOWED


def publish(exchange: str, key: str, **properties: Any) -> Callable[[Any], object]:
    def act(channel: Any) -> None:
        channel.basic_publish_confirm(AmqpMessage(b"{}", **properties), exchange=exchange, routing_key=key)

    return act


@dataclass
class Reply:
    """Reply queues, one that is everybody's to know."""

    user: str
    key: str = dataclasses.field(default_factory=lambda: str(ids.new_id()))

    @property
    def queue(self) -> str:
        return f"rpc.reply-{self.user}.{self.key}"

    def declare(self, channel: Any, **arguments: Any) -> None:
        channel.queue_declare(self.queue, durable=False, auto_delete=True, arguments=arguments)

    def bind(self, channel: Any, key: str | None = None) -> None:
        channel.queue_bind(self.queue, RPC, self.key if key is None else key)


Act = Callable[["Scene"], Callable[[Any], object]]


@dataclass
class Scene:
    """Two councils; the second one's reply queue is there, and its name is known."""

    access: Access
    mine: Reply
    theirs: Reply


@pytest.fixture(scope="module")
def scene(stage: Stage, access: Access) -> Iterator[Scene]:
    mine, theirs = (Reply(access.user(f"council-{code}")) for code in (EILEANAN_SIAR, HIGHLAND))
    made = Scene(access, mine, theirs)
    with Connection(access.uri(f"council-{HIGHLAND}")) as connection:
        channel = connection.channel()
        theirs.declare(channel)
        theirs.bind(channel)
        # It goes with its last consumer; until this one leaves, it stays.
        channel.basic_consume(theirs.queue, no_ack=True, callback=lambda message: None)
        yield made


A, B = f"council-{EILEANAN_SIAR}", f"council-{HIGHLAND}"


def in_own_queue(act: Callable[[Any, Reply], object]) -> Act:
    """An act on a reply queue of the first council's own."""

    def on(scene: Scene) -> Callable[[Any], object]:
        def do(channel: Any) -> None:
            reply = Reply(scene.mine.user)
            reply.declare(channel)
            act(channel, reply)

        return do

    return on


def dead_lettering(exchange: str) -> Act:
    def on(scene: Scene) -> Callable[[Any], object]:
        arguments = {"x-dead-letter-exchange": exchange, "x-dead-letter-routing-key": "outcomes.events"}
        return lambda channel: Reply(scene.mine.user).declare(channel, **arguments)

    return on


def always(act: Callable[[Any], object]) -> Act:
    return lambda scene: act


def declare(queue: str) -> Act:
    return always(lambda channel: channel.queue_declare(queue, durable=False, auto_delete=True, exclusive=True))


def get(queue: str) -> Act:
    return always(lambda channel: channel.basic_get(queue))


#: What somebody tries, what the broker answers, and who may do the same or nearly so.
ATTACKS: dict[str, tuple[str, Act, int, str, Act]] = {
    "a council binds every call": (
        A, in_own_queue(lambda channel, reply: reply.bind(channel, "#")), REFUSED,
        A, in_own_queue(lambda channel, reply: reply.bind(channel)),
    ),
    "a council binds a service's calls": (
        A, in_own_queue(lambda channel, reply: reply.bind(channel, "proposals.*")), REFUSED,
        A, in_own_queue(lambda channel, reply: reply.bind(channel)),
    ),
    "a council calls the treasurer's method": (
        A, always(publish(RPC, "funding.create_pool")), REFUSED,
        "partnership", always(publish(RPC, "funding.create_pool")),
    ),
    "the partnership calls a council's method": (
        "partnership", always(publish(RPC, "proposals.create_proposal")), REFUSED,
        A, always(publish(RPC, "proposals.create_proposal")),
    ),
    "a council calls what only ends like its method": (
        A, always(publish(RPC, "x.proposals.create_proposal")), REFUSED,
        A, always(publish(RPC, "proposals.create_proposal")),
    ),
    "a council declares a queue": (
        A, declare("mine"), REFUSED,
        A, in_own_queue(lambda channel, reply: reply.bind(channel)),
    ),
    "a council declares another's reply queue": (
        A, lambda scene: lambda channel: Reply(scene.theirs.user).declare(channel), REFUSED,
        B, lambda scene: lambda channel: Reply(scene.theirs.user).declare(channel),
    ),
    "a council deletes a service's queue": (
        A, always(lambda channel: channel.queue_delete("outcomes.events")), REFUSED,
        A, in_own_queue(lambda channel, reply: channel.queue_delete(reply.queue)),
    ),
    "a council deletes another's reply queue": (
        A, lambda scene: lambda channel: channel.queue_delete(scene.theirs.queue), REFUSED,
        A, in_own_queue(lambda channel, reply: channel.queue_delete(reply.queue)),
    ),
    "a council purges another's reply queue": (
        A, lambda scene: lambda channel: channel.queue_purge(scene.theirs.queue), REFUSED,
        B, lambda scene: lambda channel: channel.queue_purge(scene.theirs.queue),
    ),
    "a council consumes another's reply queue": (
        A, lambda scene: lambda channel: channel.basic_consume(scene.theirs.queue), REFUSED,
        B, lambda scene: lambda channel: channel.basic_consume(scene.theirs.queue),
    ),
    "a council binds another's reply queue": (
        A, lambda scene: lambda channel: scene.theirs.bind(channel, str(ids.new_id())), REFUSED,
        B, lambda scene: lambda channel: scene.theirs.bind(channel, str(ids.new_id())),
    ),
    "a council unbinds another's reply queue": (
        A, lambda scene: lambda channel: channel.queue_unbind(scene.theirs.queue, RPC, "x"), REFUSED,
        B, lambda scene: lambda channel: channel.queue_unbind(scene.theirs.queue, RPC, str(ids.new_id())),
    ),
    "a council publishes an event": (
        A, always(publish("funding.events", "year_closed")), REFUSED,
        "funding", always(publish("funding.events", "contribution_pledged")),
    ),
    "a council reads a service's calls": (A, get("rpc-funding"), REFUSED, "funding", get("rpc-funding")),
    "a council reads a service's events": (A, get("outcomes.events"), REFUSED, "outcomes", get("outcomes.events")),
    "a council reads dead letters": (
        A, get("outcomes.dead-letters"), REFUSED, "operator", get("outcomes.dead-letters"),
    ),
    "a council publishes to a queue": (
        A, always(publish("", "scratch")), REFUSED, "funding", always(publish("", "scratch")),
    ),
    "a council has its queue's dead letters go to a queue": (
        A, dead_lettering(""), REFUSED,
        A, lambda scene: lambda channel: Reply(scene.mine.user).declare(channel),
    ),
    "a council sends another's reply": (
        A, lambda scene: publish(RPC, scene.theirs.key), REFUSED,
        "proposals", lambda scene: publish(RPC, scene.theirs.key),
    ),
    "a council publishes to an exchange of the broker's": (
        A, always(publish("amq.topic", "x")), REFUSED, "operator", always(publish("amq.topic", "x")),
    ),
    "a council says that it is another": (
        A, lambda scene: publish(RPC, "proposals.get_proposal", user_id=scene.theirs.user), FORGED,
        A, lambda scene: publish(RPC, "proposals.get_proposal", user_id=scene.mine.user),
    ),
    "an internal system publishes another's event": (
        "finance", always(publish("performance.events", "measurement_recorded")), REFUSED,
        "performance", always(publish("performance.events", "measurement_recorded")),
    ),
    "an internal system publishes what is not its to tell": (
        "finance", always(publish("finance.events", "measurement_recorded")), REFUSED,
        "finance", always(publish("finance.events", "payment_made")),
    ),
    "an internal system publishes a service's event": (
        "finance", always(publish("funding.events", "year_closed")), REFUSED,
        "funding", always(publish("funding.events", "contribution_pledged")),
    ),
    "an internal system says that it is another": (
        "finance",
        lambda scene: publish("finance.events", "payment_made", user_id=scene.access.user("performance")),
        FORGED,
        "finance",
        lambda scene: publish("finance.events", "payment_made", user_id=scene.access.user("finance")),
    ),
    "an internal system publishes to a queue": (
        "finance", always(publish("", "scratch")), REFUSED, "funding", always(publish("", "scratch")),
    ),
    "an internal system calls": (
        "finance", always(publish(RPC, "funding.create_pool")), REFUSED,
        "partnership", always(publish(RPC, "funding.create_pool")),
    ),
    "an internal system reads": ("finance", get("scratch"), REFUSED, "operator", get("scratch")),
    "an internal system declares a queue": ("finance", declare("its-own"), REFUSED, "operator", declare("its-own")),
    "a service reads another's calls": ("outcomes", get("rpc-funding"), REFUSED, "funding", get("rpc-funding")),
    "a service reads another's events": (
        "outcomes", get("funding.events"), REFUSED, "funding", get("funding.events"),
    ),
    # Its right to bind outcomes' queue is one to write to the exchange of the same name as well.
    "a service publishes another's event": (
        "funding", always(publish("outcomes.events", "milestone_achieved")), REFUSED,
        "outcomes", always(publish("outcomes.events", "period_certified")),
    ),
    "a service publishes what the catalogue does not know": (
        "funding", always(publish("funding.events", "all_is_well")), REFUSED,
        "funding", always(publish("funding.events", "contribution_pledged")),
    ),
    "a service says that it is another": (
        "funding",
        lambda scene: publish("funding.events", "contribution_pledged", user_id=scene.access.user("proposals")),
        FORGED,
        "funding",
        lambda scene: publish("funding.events", "contribution_pledged", user_id=scene.access.user("funding")),
    ),
    "a service calls another": (
        "outcomes", always(publish(RPC, "funding.create_pool")), REFUSED,
        "outcomes", always(publish(RPC, str(ids.new_id()))),
    ),
    "a service binds its consumer's queue to all of its events": (
        "funding", always(lambda channel: channel.queue_bind("outcomes.events", "funding.events", "#")), REFUSED,
        "funding",
        always(lambda channel: channel.queue_bind("outcomes.events", "funding.events", "project_funded")),
    ),
    "a service binds a queue to another's events": (
        "funding",
        always(lambda channel: channel.queue_bind("outcomes.events", "proposals.events", "proposal_approved")),
        REFUSED,
        "proposals",
        always(lambda channel: channel.queue_bind("funding.events", "proposals.events", "proposal_approved")),
    ),
    "a service listens to calls": (
        "funding", always(lambda channel: channel.queue_bind("funding.events", RPC, "proposals.*")), REFUSED,
        "funding",
        always(lambda channel: channel.queue_bind("proposals.events", "funding.events", "member_joined")),
    ),
    "a service declares a queue": ("funding", declare("its-own"), REFUSED, "operator", declare("its-own")),
    "a service deletes its own queue": (
        "funding", always(lambda channel: channel.queue_delete("funding.events")), REFUSED,
        "operator", always(lambda channel: channel.queue_delete("no-such-queue")),
    ),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_broker_refuses_what_is_not_a_users_business(scene: Scene, access: Access, attack: str) -> None:
    attacker, act, answer, who_may, allowed = ATTACKS[attack]
    assert outcome(access.uri(attacker), act(scene)) == answer
    assert outcome(access.uri(who_may), allowed(scene)) == ALLOWED


def test_a_call_that_is_copied_to_another_service_reaches_no_method_there(
    stage: Stage, access: Access, scene: Scene
) -> None:
    """RabbitMQ 3.10 asks for the routing key alone, and sends copies to the keys in the header CC unasked."""
    token = stage.signing_key.issue("treasurer@test.example", [TREASURER])
    reply = Reply(scene.mine.user)
    codes = set()
    with broker.connect(access.uri(A)) as connection, connection.channel() as channel:
        reply.declare(channel)
        reply.bind(channel)
        call = AmqpMessage(
            b'{"args": [], "kwargs": {"name": "Mine", "starts_on": "2026-04-01", "ends_on": "2029-03-31"}}',
            content_type="application/json",
            reply_to=reply.key,
            application_headers={"nameko.auth_token": token, "CC": ["funding.create_pool"]},
        )
        channel.basic_publish_confirm(call, exchange=RPC, routing_key="proposals.get_proposal")
        for _ in range(2):
            answer = eventually(lambda: channel.basic_get(reply.queue, no_ack=True))
            codes.add(json.loads(answer.body)["error"]["exc_args"][0]["code"])
    assert codes == {"invalid_request", "unknown_method"}


def as_user(uri: str, *messages: Message) -> None:
    publisher = Publisher(uri)
    try:
        assert publisher.publish(messages) == {}
    finally:
        publisher.close()


def to_outcomes(message: Message, **headers: Any) -> Message:
    """As the default exchange takes it: straight into the service's queue, which every service can write to."""
    headers = {**message.headers, **headers}
    return dataclasses.replace(message, exchange="", routing_key=queue_of("outcomes"), headers=headers, queues=())


def refusals(stage: Stage, service: str, event_id: str) -> list[Any]:
    with stage.database(service).transaction() as session:
        rows = session.execute(select(audit).where(audit.c.kind == "event", audit.c.outcome != "done")).all()
    return [row for row in rows if row.objects.get("event_id") == event_id]


class TestPublishers:
    """Who publishes an event is checked."""

    @pytest.fixture
    def operator(self, stage: Stage, access: Access) -> Iterator[Operator]:
        def empty() -> None:
            with stage.connect() as connection:
                connection.default_channel.queue_purge(dead_letters_of("outcomes"))

        empty()
        yield Operator(access.uri("operator"))
        empty()

    @pytest.fixture
    def plans_of(self, calling: Callable[..., Client]) -> Callable[[Any], list[Any]]:
        def ask(event: Any) -> list[Any]:
            listed = calling("partnership", CDO).outcomes.list_plans(limit=100)["items"]
            return [plan for plan in listed if plan["project_id"] == str(event.data["project_id"])]

        return ask

    @pytest.fixture
    def refused(
        self, stage: Stage, operator: Operator, plans_of: Callable[[Any], list[Any]]
    ) -> Callable[[Any], dict[str, Any]]:
        """Waits until an event lies in the dead letters for its publisher, without an effect; gives the letter."""

        def wait(event: Any) -> dict[str, Any]:
            (letter,) = eventually(lambda: operator.letters("outcomes", "--id", event.id))
            assert letter["reason"] == "publisher"
            assert plans_of(event) == []
            return letter

        return wait

    def test_an_event_of_its_publishers_has_its_effect(
        self, access: Access, operator: Operator, plans_of: Callable[[Any], list[Any]]
    ) -> None:
        event, straight = outcomes.project_funded(), outcomes.project_funded()
        as_user(access.uri("funding"), message_of(event), to_outcomes(message_of(straight)))
        eventually(lambda: plans_of(event) and plans_of(straight))
        assert operator.letters("outcomes") == []

    def test_a_system_in_another_library_that_names_its_user_is_believed(
        self, stage: Stage, access: Access, plans_of: Callable[[Any], list[Any]]
    ) -> None:
        for mode in MODES:
            event = outcomes.project_funded()
            foreign = dataclasses.replace(stage, amqp_uri=access.uri("funding"))
            publish_with_pika(foreign, mode, attributes_of(event), event.type.dump(event.data))
            eventually(lambda event=event: plans_of(event))

    def test_an_event_without_a_publisher_is_refused_whole_with_a_reason_and_a_row(
        self, stage: Stage, access: Access, operator: Operator, refused: Callable[[Any], dict[str, Any]]
    ) -> None:
        event = outcomes.project_funded()
        message = message_of(event)
        with broker.connect(access.uri("funding")) as connection, connection.channel() as channel:
            prepared = channel.prepare_message(
                message.body, content_type=message.content_type, content_encoding="utf-8", headers=dict(message.headers)
            )
            channel.basic_publish_confirm(prepared, exchange="funding.events", routing_key="project_funded")
        letter = refused(event)
        assert "user_id" in letter["error"]
        assert f"'{access.user('funding')}'" in letter["error"]
        whole = json.loads(operator.types("show", "--json", event.id).stdout.splitlines()[0])
        assert all(whole["headers"][name] == value for name, value in message.headers.items())
        assert whole["headers"][PUBLISHER_HEADER] == ""
        (row,) = refusals(stage, "outcomes", event.id)
        assert (row.method, row.outcome, row.subject) == (event.type.type, "publisher", None)
        assert row.objects["source"] == "funding"

    @pytest.mark.parametrize("party", ["proposals", "operator"])
    def test_an_event_of_somebody_elses_is_refused_whatever_its_headers_say(
        self, stage: Stage, access: Access, party: str, refused: Callable[[Any], dict[str, Any]]
    ) -> None:
        event = outcomes.project_funded()
        # Only the operator could make that believed, who may do anything; but has to say it.
        headers = {PUBLISHER_HEADER: access.user("funding")} if party == "proposals" else {}
        as_user(access.uri(party), to_outcomes(message_of(event), **headers))
        letter = refused(event)
        assert f"'{access.user(party)}' published this" in letter["error"]
        assert "COMMONWEAL_PUBLISHERS" in letter["error"]
        (row,) = refusals(stage, "outcomes", event.id)
        assert row.subject == access.user(party)

    def test_a_service_that_refuses_an_event_sends_no_copies_of_it_in_its_own_name(
        self, stage: Stage, access: Access, operator: Operator, plans_of: Callable[[Any], list[Any]]
    ) -> None:
        """At the default exchange the header CC names queues, and funding's word is good for funding's events."""
        forged, sound = outcomes.project_funded(), outcomes.project_funded()
        message = message_of(forged)
        as_user(
            access.uri("finance"),
            dataclasses.replace(
                message,
                exchange=exchange_of("finance"),
                routing_key="payment_made",
                headers={**message.headers, "CC": [queue_of("outcomes")], "BCC": [queue_of("outcomes")]},
                queues=(),
            ),
        )
        (letter,) = eventually(lambda: operator.letters("funding", "--id", forged.id))
        assert letter["reason"] == "not_subscribed"
        # Whatever came before this one is done with.
        as_user(access.uri("funding"), to_outcomes(message_of(sound)))
        eventually(lambda: plans_of(sound))
        eventually(lambda: stage.is_empty(queue_of("outcomes")))
        assert plans_of(forged) == []
        assert operator.letters("outcomes") == []
        with stage.connect() as connection:
            connection.default_channel.queue_purge(dead_letters_of("funding"))

    def test_a_refused_event_stays_refused_when_it_is_replayed(
        self, stage: Stage, access: Access, operator: Operator, refused: Callable[[Any], dict[str, Any]]
    ) -> None:
        event = outcomes.project_funded()
        as_user(access.uri("proposals"), to_outcomes(message_of(event), **{PUBLISHER_HEADER: access.user("funding")}))
        first = refused(event)
        for times in (2, 3):
            assert operator.types("replay", "outcomes", "--id", event.id).exit_code == 0
            eventually(lambda times=times: len(refusals(stage, "outcomes", event.id)) == times)
            again = refused(event)
            assert again["error"] == first["error"]
            assert again["key"] != first["key"]

    def test_an_event_that_is_retried_and_replayed_is_still_its_publishers(
        self, stage: Stage, access: Access, operator: Operator, plans_of: Callable[[Any], list[Any]]
    ) -> None:
        event = outcomes.project_funded()
        with unmigrated(stage, "plans"):
            as_user(access.uri("funding"), message_of(event))
            (letter,) = eventually(lambda: operator.letters("outcomes", "--id", event.id))
            assert (letter["reason"], letter["attempts"]) == ("attempts_used_up", 6)
            # Replayed in vain, it is a letter that the operator's message became.
            assert operator.types("replay", "outcomes", "--id", event.id).exit_code == 0
            (again,) = eventually(lambda: operator.letters("outcomes", "--id", event.id))
            assert (again["reason"], again["attempts"]) == ("attempts_used_up", 6)
        assert operator.types("replay", "outcomes", "--id", event.id).exit_code == 0
        assert len(eventually(lambda: plans_of(event))) == 1
        assert operator.letters("outcomes") == []

    def test_what_the_broker_laid_aside_is_replayed_as_its_publishers(
        self, stage: Stage, access: Access, operator: Operator, plans_of: Callable[[Any], list[Any]],
        refused: Callable[[Any], dict[str, Any]],
    ) -> None:  # fmt: skip
        """The broker leaves a message as it is, the name of its user and whatever headers it came with."""

        def laid_aside(event: Any, **headers: Any) -> Message:
            return dataclasses.replace(
                to_outcomes(message_of(event), **headers), routing_key=dead_letters_of("outcomes")
            )

        sound, forged = outcomes.project_funded(), outcomes.project_funded()
        as_user(access.uri("funding"), laid_aside(sound))
        headers = {PUBLISHER_HEADER: access.user("funding"), LAID_BY_HEADER: access.user("outcomes")}
        as_user(access.uri("proposals"), laid_aside(forged, **headers))
        assert operator.types("replay", "outcomes", "--all").exit_code == 0
        assert len(eventually(lambda: plans_of(sound))) == 1
        assert f"'{access.user('proposals')}'" in refused(forged)["error"]

    @pytest.mark.parametrize("reason", ["undecodable", "unknown_type", "schema", "oversize"])
    def test_every_refusal_at_the_door_leaves_a_row(
        self, stage: Stage, access: Access, operator: Operator, reason: str
    ) -> None:
        message = to_outcomes(message_of(outcomes.project_funded()))
        kind = "commonweal.funding.project_funded.v99\0\u202e" + "9" * 300
        changes: dict[str, Any] = {
            "undecodable": {"body": b"\xff{"},
            "unknown_type": {"headers": {**message.headers, "ce-type": kind}},
            "schema": {"body": b"{}"},
            "oversize": {"body": b" " * (8 * 1_048_576 + 1)},
        }[reason]
        as_user(access.uri("funding"), dataclasses.replace(message, **changes))
        eventually(lambda: operator.letters("outcomes", "--reason", reason))
        (row,) = refusals(stage, "outcomes", message.headers["ce-id"])
        assert (row.outcome, row.subject) == (reason, access.user("funding"))
        assert row.method.startswith("commonweal.funding.project_funded.v")

    def test_while_the_audit_trail_cannot_be_written_a_refused_event_waits(
        self, stage: Stage, access: Access, operator: Operator
    ) -> None:
        event = outcomes.project_funded()
        with unmigrated(stage, "audit"):
            as_user(access.uri("proposals"), to_outcomes(message_of(event)))
            stage.processes["outcomes"].wait_for_line("is refused (publisher) once the audit trail can take it")
            assert operator.letters("outcomes") == []
        (letter,) = eventually(lambda: operator.letters("outcomes", "--id", event.id))
        assert letter["reason"] == "publisher"
        # It went round through the retry queues meanwhile, and is still whose it was.
        assert f"'{access.user('proposals')}' published this" in letter["error"]
        assert len(refusals(stage, "outcomes", event.id)) == 1


class TestFinance:
    """The accounts system reports money in its own name, and nobody else does."""

    ARGYLL = "S12000035"

    @pytest.fixture
    def operator(self, stage: Stage, access: Access) -> Operator:
        with stage.connect() as connection:
            connection.default_channel.queue_purge(dead_letters_of("funding"))
        return Operator(access.uri("operator"))

    @staticmethod
    def report(uri: str, event: str, subject: str, data: dict[str, Any], entry: str | None = None) -> str:
        """Report as the documentation says that an accounts system does; returns the event's id."""
        entry = entry or f"GL-{ids.new_id()}"
        run = subprocess.run(
            [sys.executable, PROGRAM, uri, event, subject, entry, json.dumps(data)],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert run.returncode == 0, run.stderr
        return entry

    @staticmethod
    def received(**facts: Any) -> dict[str, Any]:
        usual = {"amount_pence": 60_000_00, "bank_reference": f"BACS {ids.new_id().hex[-12:]}"}
        return {"received_on": f"{datetime.now(UTC).date()}", **usual, **facts}

    def test_money_is_in_the_ledger_once_under_finances_name(
        self, stage: Stage, access: Access, calling: Callable[..., Client], operator: Operator
    ) -> None:
        pool_id = programme.funded_pool(stage)
        treasurer = calling("partnership", TREASURER)
        treasurer.funding.add_member(pool_id=pool_id, council=self.ARGYLL, joins_on=f"{datetime.now(UTC).date()}")
        uri, data = access.uri("finance"), self.received(council=self.ARGYLL)
        entry = self.report(uri, "contribution_received", self.ARGYLL, data)
        self.report(uri, "contribution_received", self.ARGYLL, data, entry)
        self.report(uri, "contribution_received", self.ARGYLL, {**data, "pool_id": pool_id})
        choice = {"pool_id": pool_id, "council": self.ARGYLL}
        (receipt,) = eventually(lambda: treasurer.funding.list_receipts(**choice)["items"])
        eventually(lambda: stage.is_empty(queue_of("funding")))
        assert treasurer.funding.list_receipts(**choice)["items"] == [receipt]
        assert (receipt["recorded_by"], receipt["flag"]) == ("finance", "unpledged")
        assert treasurer.funding.verify_ledger(pool_id=pool_id)["ok"]
        with stage.database("funding").transaction() as session:
            trail = session.execute(select(audit).where(audit.c.kind == "event", audit.c.outcome == "done")).all()
        (row,) = [row for row in trail if row.objects["event_id"] == entry]
        assert (row.subject, row.method) == ("finance", "commonweal.finance.contribution_received.v1")
        assert operator.letters("funding") == []

    def test_a_payment_waits_for_its_approval_and_is_told(
        self, stage: Stage, access: Access, calling: Callable[..., Client], operator: Operator
    ) -> None:
        award, treasurer = programme.active_award(stage), calling("partnership", TREASURER)
        first = award["tranches"][0]
        payment = {
            "award_id": award["award_id"],
            "tranche": first["tranche"],
            "amount_pence": first["amount_pence"],
            "payment_reference": f"PAY {ids.new_id().hex[-12:]}",
            "paid_on": f"{datetime.now(UTC).date()}",
        }
        early = self.report(access.uri("finance"), "payment_made", award["award_id"], payment)
        (letter,) = eventually(lambda: operator.letters("funding", "--id", early))
        assert (letter["reason"], letter["attempts"]) == ("attempts_used_up", 6)
        assert "only one that is approved can be paid" in letter["error"]
        wrong = payment | {"amount_pence": first["amount_pence"] + 1}
        other = self.report(access.uri("finance"), "payment_made", award["award_id"], wrong)
        (refused,) = eventually(lambda: operator.letters("funding", "--id", other))
        assert (refused["reason"], refused["attempts"]) == ("refused", 1)
        assert "a tranche is paid whole" in refused["error"]
        for entry, outcome in ((early, "tranche_not_approved"), (other, "amount_differs")):
            (row,) = refusals(stage, "funding", entry)
            assert (row.outcome, row.subject) == (outcome, access.user("finance"))
        programme.approved_drawdown(stage, award, first["tranche"])
        assert operator.types("replay", "funding", "--id", early).exit_code == 0
        paid = eventually(lambda: self.paid(treasurer, award))
        assert paid["payment_reference"] == payment["payment_reference"]
        moved = treasurer.funding.list_transactions(pool_id=award["pool_id"], limit=100)["items"]
        (posted,) = [each for each in moved if each["kind"] == "pay"]
        assert posted["author"] == "finance"
        assert sum(part["amount_pence"] for part in posted["attributions"]) == payment["amount_pence"]
        with stage.database("funding").transaction() as session:
            told = session.execute(select(outbox).where(outbox.c.name == "tranche_paid")).all()
        assert [row.data["award_id"] for row in told if row.subject == award["award_id"]] == [award["award_id"]]
        assert operator.names("funding") == [other]

    @staticmethod
    def paid(treasurer: Client, award: dict[str, Any]) -> dict[str, Any] | None:
        tranches = treasurer.funding.get_award(award_id=award["award_id"])["tranches"]
        return next((each for each in tranches if each["state"] == "paid"), None)

    def test_nobody_else_reports_money(
        self, stage: Stage, access: Access, calling: Callable[..., Client], operator: Operator
    ) -> None:
        pool_id = programme.funded_pool(stage)
        data = self.received(pool_id=pool_id, council=outcomes.EDINBURGH)
        for party in (f"council-{HIGHLAND}", "performance", "proposals"):
            run = subprocess.run(
                [sys.executable, PROGRAM, access.uri(party), "contribution_received", "x", "GL-1", json.dumps(data)],
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            assert run.returncode != 0, party
            assert "ACCESS_REFUSED" in run.stderr
        # Whoever gets past the broker is refused by the service: an operator, who may do anything, and a service, which
        # may write to the queues of those who consume its own events.
        forged = contribution_received(**data)
        straight = {"exchange": "", "routing_key": queue_of("funding"), "queues": ()}
        as_user(access.uri("proposals"), dataclasses.replace(message_of(forged), **straight))
        entry = self.report(access.uri("operator"), "contribution_received", outcomes.EDINBURGH, data)
        for party, event_id in (("proposals", forged.id), ("operator", entry)):
            (letter,) = eventually(lambda event_id=event_id: operator.letters("funding", "--id", event_id))
            assert letter["reason"] == "publisher"
            assert f"{access.user(party)}' published this" in letter["error"]
            (row,) = refusals(stage, "funding", event_id)
            assert row.subject == access.user(party)
        receipts = calling("partnership", TREASURER).funding.list_receipts(pool_id=pool_id)["items"]
        assert data["bank_reference"] not in {each["bank_reference"] for each in receipts}

    def test_money_that_fits_no_pool_is_kept_and_booked_once_somebody_has_made_room_for_it(
        self, stage: Stage, access: Access, calling: Callable[..., Client], operator: Operator
    ) -> None:
        orkney, treasurer = "S12000023", calling("partnership", TREASURER)
        entry = self.report(access.uri("finance"), "contribution_received", orkney, self.received(council=orkney))
        (letter,) = eventually(lambda: operator.letters("funding", "--id", entry))
        assert "was a member of no pool" in letter["error"]
        pool_id = programme.funded_pool(stage)
        treasurer.funding.add_member(pool_id=pool_id, council=orkney, joins_on=f"{datetime.now(UTC).date()}")
        assert operator.types("replay", "funding", "--id", entry).exit_code == 0
        assert eventually(lambda: treasurer.funding.list_receipts(pool_id=pool_id, council=orkney)["items"])
        assert operator.letters("funding") == []


@contextmanager
def unmigrated(stage: Stage, table: str) -> Iterator[None]:
    """The outcomes service lacks a table meanwhile."""
    with stage.database("outcomes").transaction() as session:
        session.execute(text(f"ALTER TABLE {table} RENAME TO elsewhere"))
    try:
        yield
    finally:
        with stage.database("outcomes").transaction() as session:
            session.execute(text(f"ALTER TABLE elsewhere RENAME TO {table}"))


class TestCommands:
    """``commonweal-ops access`` itself, at a virtual host of its own."""

    @pytest.fixture
    def own(self, servers: Servers, tmp_path: Path) -> Iterator[Access]:
        with access_on(servers, tmp_path) as made:
            yield made

    def admin_without_rights(self, servers: Servers, own: Access) -> None:
        """The one who asks administers users, and needs no right in the virtual host."""
        admin = quote(unquote(urlsplit(own.amqp_uri).username or ""), safe="")
        servers.broker.manage("DELETE", f"permissions/{urlsplit(own.amqp_uri).path[1:]}/{admin}")

    def test_apply_makes_them_show_agrees_and_applying_again_changes_nothing(
        self, servers: Servers, own: Access
    ) -> None:
        before = own.differences()
        kinds = {(told["kind"], told["name"]) for told in before}
        assert ("missing", own.user("funding")) in kinds
        # Whoever made the virtual host may do everything in it, which nobody needs any more.
        admin = broker.user_of(own.amqp_uri)
        assert ("left_over", admin) in kinds
        first = own.apply()
        assert [told["name"] for told in own.differences()] == [admin]
        self.admin_without_rights(servers, own)
        assert own.differences() == []
        assert own("show", *COUNCILS).stdout.startswith("equal: 9 users: ")
        files = {path.name: path.read_text() for path in own.directory.iterdir()}
        assert len(files) == 9
        assert own.apply() == "9 users are as they should be\n"
        assert {path.name: path.read_text() for path in own.directory.iterdir()} == files
        assert first.splitlines()[0] == f"made     {own.user('proposals')}; its URI is in " + str(
            own.directory / own.user("proposals")
        )

    def test_files_are_their_owners_and_nothing_secret_is_printed(self, own: Access) -> None:
        options = [*COUNCILS, "--credentials", own.directory]
        printed = own.apply() + own.apply("--rotate", own.user("finance"))
        for arguments in (
            ["show", *COUNCILS],
            ["show", *COUNCILS, "--json"],
            ["export", *options],
            ["remove", own.user("finance"), "--credentials", own.directory],
        ):
            result = own(*arguments)
            assert result.exit_code in (0, 1), result.output
            assert result.stderr == ""
            printed += result.stdout
        assert stat.S_IMODE(own.directory.stat().st_mode) == 0o700
        for path in own.directory.iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            uri = path.read_text().strip()
            assert uri.startswith(f"amqp://{path.name}:")
            password = urlsplit(uri).password
            assert password is not None
            assert len(password) >= 40
            assert password not in printed
        assert str(urlsplit(own.amqp_uri).password) not in printed

    def test_a_password_is_rotated_in_the_file_and_at_the_broker_and_no_other_is(self, own: Access) -> None:
        own.apply()
        old, other = own.uri("finance"), own.uri("performance")
        said = own.apply("--rotate", own.user("finance"))
        assert f"changed  {own.user('finance')}: password; its URI is in" in said
        new = own.uri("finance")
        assert outcome(new, lambda channel: None) == ALLOWED
        with pytest.raises(Exception, match="ACCESS_REFUSED"), broker.connect(old) as connection:
            connection.connect()
        assert own.uri("performance") == other
        assert outcome(other, lambda channel: None) == ALLOWED
        refused = own("apply", *COUNCILS, "--credentials", own.directory, "--rotate", "nobody")
        assert refused.exit_code == 2
        assert "no user nobody" in refused.stderr

    def test_a_user_without_a_file_keeps_its_password_and_a_file_gives_its_own_to_the_broker(self, own: Access) -> None:
        own.apply()
        kept = own.uri("finance")
        file = own.directory / own.user("finance")
        file.unlink()
        assert f"kept     {own.user('finance')}" in own.apply()
        assert not file.exists()
        assert outcome(kept, lambda channel: None) == ALLOWED
        # Such as a directory brought from elsewhere.
        file.write_text(kept.replace(str(urlsplit(kept).password), "x" * 43))
        assert f"changed  {own.user('finance')}: password" in own.apply()
        assert outcome(own.uri("finance"), lambda channel: None) == ALLOWED
        assert stat.S_IMODE(file.stat().st_mode) == 0o600

    def test_a_file_or_a_directory_that_is_not_right_is_refused_before_anything_changes(self, own: Access) -> None:
        own.directory.mkdir(mode=0o755)
        result = own("apply", "--credentials", own.directory)
        assert (result.exit_code, f"run: chmod 700 {own.directory}" in result.stderr) == (1, True)
        own.directory.chmod(0o700)
        (own.directory / own.user("proposals")).write_text("amqp://somebody:secret-word@host/vhost\n")
        result = own("apply", "--credentials", own.directory)
        assert result.exit_code == 1
        assert "does not hold the AMQP URI" in result.stderr
        assert "secret-word" not in result.output

    def test_what_somebody_changed_is_told_and_applied_away(self, servers: Servers, own: Access) -> None:
        own.apply()
        self.admin_without_rights(servers, own)
        vhost = urlsplit(own.amqp_uri).path[1:]
        manage = servers.broker.manage
        finance, council, funding = (own.user(party) for party in ("finance", f"council-{HIGHLAND}", "funding"))
        manage("PUT", f"permissions/{vhost}/{finance}", {"configure": "", "write": ".*", "read": "^$"})
        manage("DELETE", f"topic-permissions/{vhost}/{council}")
        manage("DELETE", f"user-limits/{funding}/max-connections")
        hashed = manage("GET", f"users/{funding}")["password_hash"]
        manage("PUT", f"users/{funding}", {"password_hash": hashed, "tags": "impersonator"})
        told = own.differences()
        assert {
            (each["kind"], each["name"], each["argument"]) for each in told if "topics" not in each["argument"]
        } == {
            ("different", finance, "configure"),
            ("different", finance, "write"),
            ("different", funding, "max-connections"),
            ("different", funding, "tags"),
        }
        assert {each["name"] for each in told if "topics" in each["argument"]} == {council}
        text_form = own("show", *COUNCILS)
        assert text_form.exit_code == 1
        assert f'different  user {funding}: tags is ["impersonator"], wanted is []; run: ' in text_form.stdout
        own.apply()
        assert own.differences() == []
        # Its tags were mended, its password is still the one in its file.
        assert outcome(own.uri("funding"), lambda channel: None) == ALLOWED

    def test_a_council_that_leaves_is_taken_away_with_its_connections(self, servers: Servers, own: Access) -> None:
        own.apply()
        self.admin_without_rights(servers, own)
        leaver = own.user(f"council-{HIGHLAND}")
        (told,) = own.differences("--council", EILEANAN_SIAR)
        assert (told["kind"], told["name"]) == ("left_over", leaver)
        assert told["do"].endswith(f"run: commonweal-ops access remove {leaver}")
        uri = own.uri(f"council-{HIGHLAND}")
        with broker.connect(uri) as connection:
            connection.connect()
            result = own("remove", leaver, "--credentials", own.directory)
            assert result.exit_code == 0, result.output
            assert result.stdout.startswith(f"{leaver}: deleted, and its connections are ended\n")
            with pytest.raises((AMQPError, OSError)):
                connection.drain_events(timeout=10)
        assert not (own.directory / leaver).exists()
        assert own.differences("--council", EILEANAN_SIAR) == []
        assert own("remove", leaver).stdout == f"{leaver}: there is no such user\n"

    def test_a_user_who_is_needed_elsewhere_only_loses_its_rights_here(self, servers: Servers, own: Access) -> None:
        own.apply()
        other = servers.broker.create_vhost()
        elsewhere = urlsplit(other).path[1:]
        guest = own.user("guest")
        manage = servers.broker.manage
        manage("PUT", f"users/{guest}", {"password": "guest-password", "tags": ""})
        for vhost in (elsewhere, urlsplit(own.amqp_uri).path[1:]):
            manage("PUT", f"permissions/{vhost}/{guest}", {"configure": ".*", "write": ".*", "read": ".*"})
        try:
            assert ("left_over", guest) in {(told["kind"], told["name"]) for told in own.differences()}
            said = own("remove", guest).stdout
            assert f"has rights in {elsewhere}" in said
            assert guest not in {told["name"] for told in own.differences()}
            assert [each["vhost"] for each in manage("GET", f"users/{guest}/permissions")] == [elsewhere]
        finally:
            servers.broker.delete_vhost(other)

    def test_exported_definitions_make_the_same_users(self, servers: Servers, own: Access) -> None:
        result = own("export", *COUNCILS, "--credentials", own.directory)
        assert result.exit_code == 0, result.output
        servers.broker.manage("POST", "definitions", json.loads(result.stdout))
        self.admin_without_rights(servers, own)
        assert own.differences() == []
        assert outcome(own.uri("finance"), lambda channel: None) == ALLOWED
        assert own.apply() == "9 users are as they should be\n"

    def test_who_may_not_administer_is_told_and_show_ends_with_2(self, own: Access) -> None:
        own.apply()
        as_operator = own.uri("operator")
        refused = own("apply", "--credentials", own.directory, COMMONWEAL_AMQP_URI=as_operator)
        assert refused.exit_code == 1
        assert f"{own.user('operator')} may not administer users: name one with RabbitMQ's tag administrator" in (
            refused.stderr
        )
        assert own("show", COMMONWEAL_AMQP_URI=as_operator).exit_code == 2
        nowhere = urlsplit(own.amqp_uri)._replace(path="/nowhere").geturl()
        gone = own("show", COMMONWEAL_AMQP_URI=nowhere)
        assert (gone.exit_code, "no virtual host 'nowhere'" in gone.stderr) == (2, True)
        silent = own("show", COMMONWEAL_MANAGEMENT_URL="http://127.0.0.1:1")
        assert silent.exit_code == 2

    def test_what_is_no_council_is_refused(self, own: Access) -> None:
        result = own("show", "--council", "S12000099")
        assert result.exit_code == 2
        assert "'S12000099' is not the GSS code of a council" in result.stderr


def test_a_service_that_takes_events_from_everybody_says_so(stage: Stage) -> None:
    environment = {**stage.environment["outcomes"], "COMMONWEAL_PUBLISHERS": "any"}
    with ServiceProcess("outcomes", environment) as service:
        service.wait_until_ready()
        assert "outcomes takes events from every broker user: COMMONWEAL_PUBLISHERS is any" in service.output()
