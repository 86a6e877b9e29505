"""Private RabbitMQ nodes from installed binaries: own ports, own data, own Erlang port mapper; one, or a cluster."""

import os
import re
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.support.authority import Certificate
from tests.support.servers.binaries import RabbitmqBinaries, find_rabbitmq
from tests.support.servers.broker import Broker
from tests.support.servers.keeper import Keeper, KeptProcess, log_tail
from tests.support.servers.ports import free_port
from tests.support.servers.sources import StartFailed

_USER = "commonweal"
_PLUGIN = "rabbitmq_management"

# Nothing of this may come from the environment of the tests, or the node would not be private.
_FOREIGN_VARIABLES = ("RABBITMQ_", "ERL_", "ERLANG_", "NOTIFY_SOCKET", "CONF_ENV_FILE")

_CONFIGURATION = """\
listeners.tcp.1 = 127.0.0.1:{amqp_port}
management.tcp.ip = 127.0.0.1
management.tcp.port = {management_port}
default_user = {user}
default_pass = {password}
# The smallest there is: a full disk is not what the tests are about.
disk_free_limit.absolute = 1MB
"""

_TLS = """\
listeners.ssl.1 = 127.0.0.1:{port}
ssl_options.cacertfile = {authority}
ssl_options.certfile = {certificate}
ssl_options.keyfile = {key}
"""

# A node that sees less than half of the cluster stops serving, or both halves would go on apart.
_CLUSTER = """\
cluster_formation.peer_discovery_backend = classic_config
cluster_formation.discovery_retry_limit = 3
cluster_partition_handling = pause_minority
"""


def start_private_rabbitmq(keeper: Keeper, certificate: Certificate | None = None) -> Broker:
    """A private node that is ready.

    Args:
        certificate: the node listens with it for encrypted connections too.

    Raises:
        Absent: RabbitMQ is not installed.
        StartFailed: the node did not get ready.
    """
    binaries = find_rabbitmq()
    node = _Node(keeper, binaries, _Neighbourhood(keeper, binaries))
    if certificate is not None:
        node.listen_with(certificate)
    broker = _broker(node)
    try:
        broker.start()
    except BaseException:
        broker.stop()
        raise
    return broker


def start_private_cluster(keeper: Keeper, size: int) -> list[Broker]:
    """Private nodes that form a cluster, all of them ready.

    Raises:
        Absent: RabbitMQ is not installed.
        StartFailed: one of them did not get ready.
    """
    binaries = find_rabbitmq()
    neighbourhood = _Neighbourhood(keeper, binaries)
    nodes = [_Node(keeper, binaries, neighbourhood) for _ in range(size)]
    for node in nodes:
        node.cluster_with(nodes)
    first, *others = brokers = [_broker(node) for node in nodes]
    try:
        # The first alone, so that the others find one to join; and none of them founds a cluster of its own.
        first.start()
        for broker in others:
            broker.start()
        for broker in brokers:
            broker.wait_for_nodes(size)
    except BaseException:
        for broker in brokers:
            broker.stop()
        raise
    return brokers


def _broker(node: "_Node") -> Broker:
    return Broker(
        f"amqp://{_USER}:{node.neighbourhood.password}@127.0.0.1:{node.amqp_port}/%2F",
        f"http://127.0.0.1:{node.management_port}",
        node,
        tls_port=node.tls_port,
    )


class _Neighbourhood:
    """What nodes share that may form a cluster: the secrets, and a port mapper (epmd) that serves nobody else."""

    def __init__(self, keeper: Keeper, binaries: RabbitmqBinaries) -> None:
        self.password = secrets.token_urlsafe(16)
        self.cookie = secrets.token_hex(16)
        self.environment = {"ERL_EPMD_PORT": str(free_port()), "ERL_EPMD_ADDRESS": "127.0.0.1"}
        self._keeper = keeper
        self._program = binaries.epmd
        self._process: KeptProcess | None = None

    def ensure_port_mapper(self, directory: Path, environment: dict[str, str], log: Path) -> None:
        if not (self._process and self._process.running):
            command = (self._program, "-port", self.environment["ERL_EPMD_PORT"], "-address", "127.0.0.1")
            self._process = self._keeper.start(command, directory=directory, environment=environment, log=log)

    def remove(self) -> None:
        if self._process:
            self._keeper.end(self._process)
        self._process = None


class _Node:
    """The lifecycle of a node."""

    def __init__(self, keeper: Keeper, binaries: RabbitmqBinaries, neighbourhood: _Neighbourhood) -> None:
        self.amqp_port = free_port()
        self.management_port = free_port()
        self.tls_port: int | None = None
        self.neighbourhood = neighbourhood
        self._keeper = keeper
        self._server: KeptProcess | None = None
        self._directory = keeper.make_directory("rabbitmq")
        # On localhost, because the machine's own name need not resolve.
        self.name = f"{self._directory.name}@localhost"
        self._log = self._directory / "rabbitmq.log"
        self._home = _home_with_few_plugins(binaries.scripts, self._directory / "home")
        self._environment = self._prepare()

    @property
    def running(self) -> bool:
        return self._server is not None and self._server.running

    def listen_with(self, certificate: Certificate) -> None:
        """Has the node listen for encrypted connections too when it starts."""
        self.tls_port = free_port()
        with self._configuration.open("a") as configuration:
            configuration.write(
                _TLS.format(
                    port=self.tls_port,
                    authority=certificate.authority,
                    certificate=certificate.file,
                    key=certificate.key_file,
                )
            )

    def cluster_with(self, nodes: Sequence["_Node"]) -> None:
        """Has the node form a cluster with others, itself among them, when it starts for the first time."""
        lines = [f"cluster_formation.classic_config.nodes.{number} = {each.name}" for number, each in enumerate(nodes)]
        with self._configuration.open("a") as configuration:
            configuration.write(_CLUSTER + "\n".join(lines) + "\n")

    def start(self) -> None:
        try:
            self.neighbourhood.ensure_port_mapper(self._directory, self._environment, self._log)
            self._server = self._keeper.start(
                [self._home / "sbin" / "rabbitmq-server"],
                directory=self._directory,
                environment=self._environment,
                log=self._log,
            )
        except OSError as error:
            raise StartFailed(f"RabbitMQ cannot be started: {error}") from error

    def log_tail(self) -> str:
        return log_tail(self._log)

    def shut_down(self) -> None:
        if self._server:
            self._server.signal(signal.SIGTERM)
            self._server.wait(deadline_s=60)
            self._keeper.end(self._server)

    def kill(self) -> None:
        if self._server:
            self._keeper.kill(self._server)

    def run(self, program: str, *arguments: str) -> str:
        command = [str(self._home / "sbin" / program), *arguments]
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, check=True).stdout

    def remove(self) -> None:
        if self._server:
            self._keeper.end(self._server)
        self._server = None
        # The nodes of a cluster are removed together; none of them misses it any more.
        self.neighbourhood.remove()
        shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def _configuration(self) -> Path:
        return self._directory / "rabbitmq.conf"

    def _prepare(self) -> dict[str, str]:
        """Writes the node's files.

        Returns:
            The environment that points the node at them.
        """
        own = self._directory
        (own / "conf.d").mkdir()
        (own / "enabled_plugins").write_text(f"[{_PLUGIN}].\n")
        self._configuration.write_text(
            _CONFIGURATION.format(
                amqp_port=self.amqp_port,
                management_port=self.management_port,
                user=_USER,
                password=self.neighbourhood.password,
            )
        )
        cookie = own / ".erlang.cookie"
        cookie.write_text(self.neighbourhood.cookie)
        cookie.chmod(0o400)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN_VARIABLES)}
        return (
            inherited
            | self.neighbourhood.environment
            | {
                "HOME": str(own),
                "RABBITMQ_NODENAME": self.name,
                "RABBITMQ_DIST_PORT": str(free_port()),
                "RABBITMQ_SCRIPTS_DIR": str(self._home / "sbin"),
                "RABBITMQ_MNESIA_BASE": str(own / "data"),
                "RABBITMQ_LOG_BASE": str(own),
                "RABBITMQ_LOGS": "-",
                "RABBITMQ_CONFIG_FILE": str(self._configuration),
                "RABBITMQ_CONFIG_FILES": str(own / "conf.d"),
                "RABBITMQ_ADVANCED_CONFIG_FILE": str(own / "advanced.config"),
                "RABBITMQ_CONF_ENV_FILE": str(own / "rabbitmq-env.conf"),
                "RABBITMQ_ENABLED_PLUGINS_FILE": str(own / "enabled_plugins"),
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 -kernel inet_dist_use_interface {127,0,0,1}",
            }
        )


def _home_with_few_plugins(scripts: Path, home: Path) -> Path:
    """RabbitMQ's home directory with links to the applications that our plugins need, and no others.

    Erlang looks for each of a thousand modules in one application's directory after the other, of which RabbitMQ
    brings seventy: without the unneeded ones a node starts in little more than half the time.

    Returns:
        The new home; RabbitMQ's own where it is laid out in a way that isn't known here.
    """
    plugins = {path.name.partition("-")[0]: path for path in (scripts.parent / "plugins").glob("*-*")}
    needed = set(_with_dependencies(["rabbit", _PLUGIN], plugins))
    if not {"rabbit", _PLUGIN} <= needed:
        return scripts.parent
    (home / "plugins").mkdir(parents=True)
    for name in needed:
        (home / "plugins" / plugins[name].name).symlink_to(plugins[name])
    for directory in ("sbin", "escript"):
        (home / directory).symlink_to(scripts.parent / directory)
    return home


def _with_dependencies(names: list[str], plugins: dict[str, Path]) -> Iterator[str]:
    """The applications among the plugins that the named ones need, and they themselves."""
    waiting, seen = list(names), set()
    while waiting:
        name = waiting.pop()
        resource = plugins.get(name, Path()) / "ebin" / f"{name}.app"
        if name in seen or not resource.is_file():
            continue
        seen.add(name)
        yield name
        listed = re.search(r"{\s*applications\s*,\s*\[(.*?)]", resource.read_text(), re.DOTALL)
        waiting += re.findall(r"\w+", listed[1]) if listed else []
