"""Invariant: whatever the network does to a client, each call ends in time, and the client can be used again."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import func, select

from commonweal import Client, TimedOut, Unavailable
from services.funding.models import Pool
from shared import ids
from shared.security.principal import TREASURER
from tests.support.network import WAYS, name_of
from tests.support.proxy import End, Fault, Proxy
from tests.support.servers import Servers
from tests.support.stage import Stage, eventually, stage_on_servers
from tests.support.traffic import POOL

pytestmark = pytest.mark.thorough

TIMEOUT_S = 1.0
#: What a call may take on a busy machine; without a limit it would take for ever.
IN_TIME_S = 10.0
THREADS = 4
#: More than what the buffers between client and broker take without anybody reading.
LOTS_BYTES = 16 * 1024 * 1024


@pytest.fixture(scope="module")
def stage(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage_on_servers(
        servers.broker.create_vhost(),
        servers.postgresql.create_database,
        tmp_path_factory.mktemp("stage"),
        services=("funding",),
    ) as running:
        yield running


@pytest.fixture
def proxy(stage: Stage) -> Iterator[Proxy]:
    with Proxy.before(stage.amqp_uri) as running:
        yield running


@pytest.fixture
def client(stage: Stage, proxy: Proxy) -> Iterator[Client]:
    """A treasurer's client with a connection that works."""
    token = stage.signing_key.issue("treasurer@test.example", [TREASURER])
    client = Client(proxy.in_place_of(stage.amqp_uri), token, timeout_s=10)
    client.funding.create_pool(**POOL)
    client.timeout_s = TIMEOUT_S
    yield client
    with in_time():
        client.close()


@contextmanager
def in_time() -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < IN_TIME_S


def pools(stage: Stage) -> int:
    with stage.database("funding").transaction() as session:
        return session.scalar(select(func.count()).select_from(Pool)) or 0


def insist(call: Callable[..., Any], key: str) -> Any:
    """Call with a key until there is an answer; whatever it is that there is instead, it comes in time."""

    def answer() -> Any:
        with in_time():
            try:
                return call(**POOL, idempotency_key=key)
            except (TimedOut, Unavailable):
                return None

    return eventually(answer, within_s=60)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", list(Fault), ids=name_of)
def test_the_same_key_ends_in_an_answer_once_new_connections_pass(
    stage: Stage, proxy: Proxy, client: Client, fault: Fault, way: str
) -> None:
    before, keys = pools(stage), [str(ids.new_id()) for _ in range(THREADS)]
    proxy.inflict(fault, to=WAYS[way], new=False)
    with ThreadPoolExecutor(THREADS) as threads:
        answers = list(threads.map(lambda key: insist(client.funding.create_pool, key), keys))
    assert len({answer["pool_id"] for answer in answers}) == THREADS
    assert pools(stage) == before + THREADS


@pytest.mark.parametrize("fault", list(Fault), ids=name_of)
def test_a_call_without_any_network_ends_in_time_and_says_what_to_do(
    stage: Stage, proxy: Proxy, client: Client, fault: Fault
) -> None:
    before, key = pools(stage), str(ids.new_id())
    proxy.inflict(fault)
    with in_time(), pytest.raises((TimedOut, Unavailable)) as first:
        client.funding.create_pool(**POOL, idempotency_key=key)
    with in_time(), pytest.raises(Unavailable) as second:
        client.funding.create_pool(**POOL, idempotency_key=key)
    # Then nothing was sent, and the client knows it.
    assert second.value.code == "broker_unavailable"
    assert "again" in str(first.value)
    assert first.value.idempotency_key == key
    proxy.heal()
    insist(client.funding.create_pool, key)
    assert pools(stage) == before + 1


def test_a_request_that_cannot_be_written_ends_in_time(proxy: Proxy, client: Client) -> None:
    proxy.inflict(Fault.STALL, to=End.SERVER)
    with in_time(), pytest.raises(Unavailable) as refusal:
        client.funding.create_pool(**{**POOL, "name": "x" * LOTS_BYTES})
    assert refusal.value.code == "broker_unavailable"


@pytest.mark.parametrize("fault", [Fault.STALL, Fault.SWALLOW, Fault.LOSE], ids=name_of)
def test_closing_ends_in_time_although_nobody_consents(proxy: Proxy, client: Client, fault: Fault) -> None:
    proxy.inflict(fault)
    with in_time():
        client.close()
