"""A private PostgreSQL server from installed binaries: own port, own data."""

import ctypes
import os
import pwd
import secrets
import shutil
import signal
import subprocess
from pathlib import Path

from tests.support.servers.binaries import PostgresqlBinaries, find_postgresql
from tests.support.servers.keeper import Account, Keeper, KeptProcess, log_tail
from tests.support.servers.ports import free_port
from tests.support.servers.postgresql import PostgresServer
from tests.support.servers.sources import StartFailed

_IPC_RMID = 0  # The same on Linux, macOS and the BSDs.
_USER = "commonweal"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "32MB",
    "dynamic_shared_memory_type": "mmap",  # In the data directory, with which it goes.
    "max_connections": "200",
    # Slower than without, but what survives a crash is what the tests are about.
    "fsync": "on",
}


def start_private_postgresql(keeper: Keeper) -> PostgresServer:
    """A private server that is ready.

    Raises:
        Absent: PostgreSQL is not installed.
        StartFailed: the server did not get ready.
    """
    password = secrets.token_urlsafe(16)
    cluster = _Cluster(keeper, find_postgresql())
    server = PostgresServer(f"postgresql+psycopg2://{_USER}:{password}@127.0.0.1:{cluster.port}/postgres", cluster)
    try:
        cluster.initialise(password)
        cluster.start()
        server.wait_until_ready()
    except BaseException:
        cluster.remove()
        raise
    return server


class _Cluster:
    """The lifecycle of a server and its data directory (in PostgreSQL's words a cluster)."""

    def __init__(self, keeper: Keeper, binaries: PostgresqlBinaries) -> None:
        self.port = free_port()
        self._keeper = keeper
        self._binaries = binaries
        self._account = _account()
        self._process: KeptProcess | None = None
        self._directory = keeper.make_directory("postgresql", self._account)
        self._data = self._directory / "data"
        self._log = self._directory / "postgresql.log"
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.running

    def initialise(self, password: str) -> None:
        """Makes the data directory.

        Args:
            password: of the superuser.

        Raises:
            StartFailed: initdb failed.
        """
        password_file = self._directory / "password"
        password_file.write_text(password)
        password_file.chmod(0o644)  # For the server's account; nobody else may enter the directory.
        initdb = self._start(
            self._binaries.initdb,
            *("--pgdata", str(self._data), "--username", _USER),
            *("--pwfile", str(password_file), "--auth", "scram-sha-256"),
            # Not synced: the data directory is worth nothing until the server has started.
            *("--no-sync", "--encoding", "UTF8", "--locale", "C"),
        )
        status = initdb.wait(deadline_s=60)
        self._keeper.end(initdb)
        if status:
            raise StartFailed(f"initdb ended with status {status}; its log ends:\n{self.log_tail()}")

    def start(self) -> None:
        settings = [argument for name, value in _SETTINGS.items() for argument in ("-c", f"{name}={value}")]
        self._process = self._start(
            self._binaries.postgres,
            *("-D", str(self._data), "-p", str(self.port), *settings),
            # Its "immediate shutdown": no checkpoint, but no shared memory left behind either.
            stop_signal=signal.SIGQUIT,
        )

    def log_tail(self) -> str:
        return log_tail(self._log)

    def shut_down(self) -> None:
        if self._process:
            self._process.signal(signal.SIGINT)  # Its "fast shutdown", which doesn't wait for clients to leave.
            self._process.wait(deadline_s=60)
            self._keeper.end(self._process)

    def kill(self) -> None:
        if self._process:
            self._keeper.kill(self._process)
            self._remove_shared_memory()

    def run(self, program: str, *arguments: str) -> str:
        command = [str(self._binaries.postgres.with_name(program)), *arguments]
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, check=True).stdout

    def remove(self) -> None:
        if self._process:
            self._keeper.end(self._process)
        self._process = None
        shutil.rmtree(self._directory, ignore_errors=True)

    def _start(self, *command: str | Path, stop_signal: int = signal.SIGKILL) -> KeptProcess:
        try:
            return self._keeper.start(
                command,
                directory=self._directory,
                environment=self._environment,
                log=self._log,
                account=self._account,
                stop_signal=stop_signal,
            )
        except OSError as error:
            raise StartFailed(f"PostgreSQL cannot be started: {error}") from error

    def _remove_shared_memory(self) -> None:
        """Frees the segment by which a server notices leftovers of its predecessor; after SIGKILL nobody else does."""
        pid_file = self._data / "postmaster.pid"
        noted = pid_file.read_text().splitlines() if pid_file.exists() else []
        if len(noted) > 6:
            _, segment = noted[6].split()  # The key and the id.
            ctypes.CDLL(None).shmctl(int(segment), _IPC_RMID, None)


def _account() -> Account | None:
    """Who runs PostgreSQL, which refuses to run as root: None for the account that the tests run under."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise StartFailed("PostgreSQL refuses to run as root, and there is no account postgres or nobody to run it as")
