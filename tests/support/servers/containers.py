"""RabbitMQ and PostgreSQL in containers, where a Docker-compatible engine answers."""

import contextlib
import os
import secrets
import subprocess
from collections.abc import Callable, Iterator, Mapping

import docker  # type: ignore[import-untyped]
import requests
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import get_docker_host

from tests.support.servers.broker import Broker
from tests.support.servers.keeper import Keeper
from tests.support.servers.ports import free_port
from tests.support.servers.postgresql import PostgresServer
from tests.support.servers.sources import Absent, StartFailed

RABBITMQ_IMAGE = "rabbitmq:4-management"
POSTGRESQL_IMAGE = "postgres:17"

_PING_TIMEOUT_S = 3
_USER = "commonweal"

# What the SDK raises: its own errors, and the HTTP library's when the engine goes away.
_ENGINE_ERRORS = (docker.errors.DockerException, requests.RequestException)

# The keeper's watchdog removes our containers, and it needs neither an image nor privileges of its own.
testcontainers_config.ryuk_disabled = True


def start_rabbitmq_container(keeper: Keeper, report: Callable[[str], None]) -> Broker:
    """A broker in a fresh container that is ready.

    Args:
        keeper: removes the container at the latest.
        report: is told what takes long.

    Raises:
        Absent: no engine answers.
        StartFailed: the image can't be had, or the broker did not get ready.
    """
    password = secrets.token_urlsafe(16)
    container = _Container(
        keeper,
        RABBITMQ_IMAGE,
        {"RABBITMQ_DEFAULT_USER": _USER, "RABBITMQ_DEFAULT_PASS": password},
        ports=(5672, 15672),
    )
    try:
        container.create(report)
        broker = Broker(
            f"amqp://{_USER}:{password}@{container.address(5672)}/%2F", f"http://{container.address(15672)}", container
        )
        broker.wait_until_ready()
    except BaseException:
        container.remove()
        raise
    return broker


def start_postgresql_container(keeper: Keeper, report: Callable[[str], None]) -> PostgresServer:
    """A PostgreSQL server in a fresh container that is ready; arguments and errors as for RabbitMQ."""
    password = secrets.token_urlsafe(16)
    container = _Container(
        keeper, POSTGRESQL_IMAGE, {"POSTGRES_USER": _USER, "POSTGRES_PASSWORD": password}, ports=(5432,)
    )
    try:
        container.create(report)
        # The maintenance database is the one named postgres, not the user's own.
        server = PostgresServer(
            f"postgresql+psycopg2://{_USER}:{password}@{container.address(5432)}/postgres", container
        )
        server.wait_until_ready()
    except BaseException:
        container.remove()
        raise
    return server


class _Container:
    """The lifecycle of a container.

    Its ports are mapped to fixed ones: those that an engine chooses change with each start.
    """

    def __init__(self, keeper: Keeper, image: str, environment: Mapping[str, str], ports: tuple[int, ...]) -> None:
        self._engine = _engine_that_answers()
        self._keeper = keeper
        self._name = f"commonweal-test-{secrets.token_hex(6)}"
        self._container = DockerContainer(image, name=self._name, env=dict(environment))
        self._image = self._container.image  # It may have been given the prefix of a mirror.
        for port in ports:
            self._container.with_bind_ports(port, free_port())

    @property
    def running(self) -> bool:
        self._container.reload()
        return self._container.status == "running"

    def create(self, report: Callable[[str], None]) -> None:
        """Gets the image, if need be, and starts the container for the first time.

        Raises:
            StartFailed: there is no such image, or the engine refused.
        """
        with _failing(f"the image {self._image} cannot be had"):
            images = self._container.get_docker_client().client.images
            try:
                images.get(self._image)
            except docker.errors.ImageNotFound:
                report(f"pulling the image {self._image} ...")
                images.pull(self._image)
        self._keeper.note_container(self._name, self._engine)
        with _failing(f"a container of {self._image} cannot be started"):
            self._container.start()
        if self._keeper.closed:  # While the engine was at work: too early for the keeper to find the container.
            self.remove()

    def address(self, port: int) -> str:
        """Where a port of the container is reached from here: `host:port`.

        Raises:
            StartFailed: the engine can't tell.
        """
        with _failing(f"there is no way to a container of {self._image}"):
            return f"{self._container.get_container_host_ip()}:{self._container.get_exposed_port(port)}"

    def start(self) -> None:
        with _failing(f"the container {self._name} cannot be started again"):
            self._container.get_wrapped_container().start()

    def log_tail(self) -> str:
        return str(self._container.get_wrapped_container().logs(tail=15).decode(errors="replace"))

    def shut_down(self) -> None:
        self._container.get_wrapped_container().stop(timeout=60)

    def kill(self) -> None:
        container = self._container.get_wrapped_container()
        container.kill()
        container.wait()

    def run(self, program: str, *arguments: str) -> str:
        command = [program, *arguments]
        status, output = self._container.get_wrapped_container().exec_run(command)
        if status:
            raise subprocess.CalledProcessError(status, command, output)
        return str(output.decode(errors="replace"))

    def remove(self) -> None:
        self._container.stop()
        self._keeper.forget_container(self._name)


def _engine_that_answers() -> str:
    """The engine's address, empty for the SDK's own default.

    Raises:
        Absent: nothing answers there.
    """
    address = get_docker_host() or ""
    try:
        client = docker.from_env(
            timeout=_PING_TIMEOUT_S, environment={**os.environ, "DOCKER_HOST": address} if address else None
        )
        client.ping()
    except _ENGINE_ERRORS as error:
        raise Absent("no Docker-compatible engine answers") from error
    client.close()
    return address


@contextlib.contextmanager
def _failing(what: str) -> Iterator[None]:
    """Turns any error into `StartFailed`: before engines that differ from Docker, the SDK raises whatever there is."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split())
        raise StartFailed(f"{what}: {type(error).__name__}: {reason[:200]}") from error
