"""A private RabbitMQ node from installed binaries: own ports, own data, own Erlang port mapper."""

import os
import re
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

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


def start_private_rabbitmq(keeper: Keeper) -> Broker:
    """A private node that is ready.

    Raises:
        Absent: RabbitMQ is not installed.
        StartFailed: the node did not get ready.
    """
    password = secrets.token_urlsafe(16)
    node = _Node(keeper, find_rabbitmq(), password)
    broker = Broker(
        f"amqp://{_USER}:{password}@127.0.0.1:{node.amqp_port}/%2F", f"http://127.0.0.1:{node.management_port}", node
    )
    try:
        node.start()
        broker.wait_until_ready()
    except BaseException:
        node.remove()
        raise
    return broker


class _Node:
    """The lifecycle of a node and of its port mapper (epmd), which Erlang would otherwise start for all to share."""

    def __init__(self, keeper: Keeper, binaries: RabbitmqBinaries, password: str) -> None:
        self.amqp_port = free_port()
        self.management_port = free_port()
        self._keeper = keeper
        self._epmd_program = binaries.epmd
        self._epmd_port = free_port()
        self._epmd: KeptProcess | None = None
        self._server: KeptProcess | None = None
        self._directory = keeper.make_directory("rabbitmq")
        self._log = self._directory / "rabbitmq.log"
        self._home = _home_with_few_plugins(binaries.scripts, self._directory / "home")
        self._environment = self._prepare(password)

    @property
    def running(self) -> bool:
        return self._server is not None and self._server.running

    def start(self) -> None:
        try:
            if not (self._epmd and self._epmd.running):
                self._epmd = self._start(self._epmd_program, "-port", str(self._epmd_port), "-address", "127.0.0.1")
            self._server = self._start(self._home / "sbin" / "rabbitmq-server")
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
        self._keeper.end(*(process for process in (self._server, self._epmd) if process))
        self._server = self._epmd = None
        shutil.rmtree(self._directory, ignore_errors=True)

    def _start(self, *command: str | Path) -> KeptProcess:
        return self._keeper.start(command, directory=self._directory, environment=self._environment, log=self._log)

    def _prepare(self, password: str) -> dict[str, str]:
        """Writes the node's files.

        Returns:
            The environment that points the node at them.
        """
        own = self._directory
        (own / "conf.d").mkdir()
        (own / "enabled_plugins").write_text(f"[{_PLUGIN}].\n")
        (own / "rabbitmq.conf").write_text(
            _CONFIGURATION.format(
                amqp_port=self.amqp_port, management_port=self.management_port, user=_USER, password=password
            )
        )
        cookie = own / ".erlang.cookie"
        cookie.write_text(secrets.token_hex(16))
        cookie.chmod(0o400)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN_VARIABLES)}
        return inherited | {
            "HOME": str(own),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            # On localhost, because the machine's own name need not resolve.
            "RABBITMQ_NODENAME": f"{own.name}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_SCRIPTS_DIR": str(self._home / "sbin"),
            "RABBITMQ_MNESIA_BASE": str(own / "data"),
            "RABBITMQ_LOG_BASE": str(own),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONFIG_FILE": str(own / "rabbitmq.conf"),
            "RABBITMQ_CONFIG_FILES": str(own / "conf.d"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(own / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(own / "rabbitmq-env.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(own / "enabled_plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 -kernel inet_dist_use_interface {127,0,0,1}",
        }


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
