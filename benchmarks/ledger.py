"""How many postings a second ten writers get into one pool's ledger, beside pgbench and beside another library.

Each posting is a transaction of its own: a penny that is free is held for the writer's proposal, and the next time it
is let go. pgbench sends the statements that ours sends, as they were caught, with the same locks on the same accounts,
over as many connections to the same server; what it does not have is the work between them.

django-hordak is a double-entry ledger for Django that is widely used. Its writers move a penny between two of its
accounts by its own ``transfer_to``, two legs in a transaction: once as that is, which looks at no balance, and once so
that no account can be overdrawn, with the account locked and its ``get_balance`` asked first, which is what ours does.
Ours and django-hordak's writers are five threads in each of two processes, as a service with two processes has them.

Each way begins each time with a copy of the same ledger: once of one that holds a receipt and nothing else, once of
one that holds three years of a pool (:mod:`benchmarks.pool_history`), the same movements in ours and django-hordak's.
All ways take turns.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any
from uuid import UUID

from sqlalchemy import NullPool, create_engine, event, make_url

from benchmarks import pool_history
from benchmarks.ledger_writers import post
from benchmarks.results import Figure
from benchmarks.running import prepare
from services.funding import ledger, ledger_store
from shared.storage.database import Database
from tests.support.funding import Funding
from tests.support.servers import NoServer, Servers
from tests.support.servers.binaries import Absent, find_postgresql

PROCESSES, WRITERS_EACH = 2, 5
WRITERS = PROCESSES * WRITERS_EACH
SECONDS = 6
TIMEOUT_S = 300
FUNDED_PENCE = 1_000_000_00

_HORDAK = Path(__file__).parent / "hordak"
_HORDAK_ENVIRONMENT = Path("build/hordak")
#: What differs from one posting to the next, as pgbench says it; what is only set again may as well stay the same.
_OWN_VALUES = {
    r"(id|transaction_id)_\d+": "lpad(to_hex(:id::bigint), 32, '0')::uuid",
    r"key_\d+": "'benchmark:' || :id::bigint",
    r"number_\d+": "nextval('benchmark_numbers')",
    r"recorded_at_\d+": "now()",
}


@dataclass(frozen=True)
class _Begun:
    """What every way begins with, and the figures that are taken from there.

    :param ours: URL of our ledger's database, which is copied each time.
    :param for_pgbench: URL of another one, with the script for it.
    :param theirs: URL of django-hordak's.
    """

    ours: str
    pool_id: str
    for_pgbench: str
    script: Path
    theirs: str
    figures: Sequence[Figure]
    beside: Sequence[Figure]


def measure(servers: Servers, rounds: int) -> list[Figure]:
    """Take the figures, all ways in turn."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory()))
        begun = [
            _begun(servers, stack, directory, "empty", []),
            _begun(servers, stack, directory, "three years", list(pool_history.transactions())),
        ]
        for _ in range(rounds):
            for each in begun:
                _take(servers, each)
    return [figure for each in begun for figure in (*each.beside, *each.figures)]


def _begun(
    servers: Servers, stack: ExitStack, directory: Path, name: str, history: Sequence[ledger.Transaction]
) -> _Begun:
    """Make the databases to begin with."""
    ours, theirs = prepare(servers, "funding"), servers.postgresql.create_database()
    pool_id = _pool(ours, history)
    moved = [{each.account: each.amount_pence for each in transaction.postings} for transaction in history]
    to_write = json.dumps(moved or [{"outside": -FUNDED_PENCE, "available": FUNDED_PENCE}])
    _run([*_hordak(theirs), "prepare", str(WRITERS)], given=to_write)
    for_pgbench = prepare(servers, "funding", like=ours)
    script = directory / f"{name}.sql"
    script.write_text(_caught(for_pgbench, pool_id))
    for url in (ours, theirs, for_pgbench):
        stack.callback(servers.postgresql.drop_database, url)
        with create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool).connect() as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")
    figures = [
        Figure(f"{name}: {what}", "postings/s")
        for what in (
            f"pgbench, {WRITERS} clients, the same statements",
            "pgbench, the same statements prepared once",
            f"django-hordak, {WRITERS} writers, never below zero",
            f"django-hordak, {WRITERS} writers, bare",
        )
    ]
    beside = [Figure(f"{name}: the ledger, {WRITERS} writers", "postings/s", compared_with=each) for each in figures]
    return _Begun(ours, pool_id, for_pgbench, script, theirs, figures, beside)


def _take(servers: Servers, begun: _Begun) -> None:
    """Take each figure once."""
    with _copy(servers, begun.ours) as url:
        ours = _written_per_second([sys.executable, "-m", "benchmarks.ledger_writers", url, begun.pool_id])
        _check(url, begun.pool_id)
    for figure in begun.beside:
        figure.rounds.append(ours)
    simple, prepared, careful, bare = begun.figures
    for figure, mode in ((simple, "simple"), (prepared, "prepared")):
        with _copy(servers, begun.for_pgbench) as url:
            figure.rounds.append(_pgbench(url, begun.script, mode))
    for figure, way in ((careful, "careful"), (bare, "bare")):
        with _copy(servers, begun.theirs) as url:
            figure.rounds.append(_written_per_second([*_hordak(url), way]))


@contextmanager
def _copy(servers: Servers, url: str) -> Iterator[str]:
    copy = servers.postgresql.create_database(like=url)
    try:
        yield copy
    finally:
        servers.postgresql.drop_database(copy)


def _pool(url: str, history: Sequence[ledger.Transaction]) -> str:
    """Open a pool that has money, or a history; returns its id."""
    with _funding(url) as funding:
        if not history:
            return funding.funded_pool(FUNDED_PENCE)
        pool_id = funding.pool()
        with funding.database.transaction() as session:
            for transaction in history:
                ledger_store.post(session, UUID(pool_id), [transaction])
        return pool_id


def _check(url: str, pool_id: str) -> None:
    """Nothing that was written so fast is wrong. :raises RuntimeError: when something is."""
    with _funding(url) as funding:
        if not funding.ledger_is_sound(pool_id):
            raise RuntimeError("the ledger does not pass its own check")


@contextmanager
def _funding(url: str) -> Iterator[Funding]:
    database = Database(url)
    try:
        yield Funding(database)
    finally:
        database.close()


def _caught(url: str, pool_id: str) -> str:
    """Make a posting and return what it sends as a script for pgbench."""
    lines = [r"\set id random(1, 9223372036854775806)", "BEGIN;"]

    def catch(_: Any, cursor: Any, statement: str, parameters: dict[str, Any], *__: Any) -> None:
        def written(found: re.Match[str]) -> str:
            name = found[1]
            own = (text for pattern, text in _OWN_VALUES.items() if re.fullmatch(pattern, name))
            return next(own, None) or cursor.mogrify("%s", (parameters[name],)).decode()

        lines.append(re.sub(r"%\((\w+)\)s", written, statement) + ";")

    with _funding(url) as funding:
        with funding.database.engine.begin() as connection:
            connection.exec_driver_sql("CREATE SEQUENCE benchmark_numbers START 1000000")
        for number in range(2):  # As the writers do before they are measured.
            post(funding.database, UUID(pool_id), 0, number)
        event.listen(funding.database.engine, "before_cursor_execute", catch)
        post(funding.database, UUID(pool_id), 0, 2)
    return "\n".join([*lines, "COMMIT;", ""])


def _pgbench(url: str, script: Path, mode: str) -> float:
    """Let pgbench run a script; returns its transactions a second."""
    address = make_url(url)
    environment = {
        **os.environ,
        "PGHOST": str(address.host),
        "PGPORT": str(address.port),
        "PGUSER": str(address.username),
        "PGPASSWORD": str(address.password),
        "PGDATABASE": str(address.database),
    }
    options = ["-n", "-M", mode, "-c", str(WRITERS), "-j", str(PROCESSES), "-T", str(SECONDS), "-f", str(script)]
    told = _run([_pgbench_program(), *options], environment)
    found = re.search(r"^tps = ([\d.]+)", told, re.MULTILINE)
    if found is None or "number of failed transactions: 0 " not in told:
        raise RuntimeError(f"pgbench did not do all of it: {told}")
    return float(found[1])


def _pgbench_program() -> str:
    with suppress(Absent):
        beside_the_server = find_postgresql().postgres.with_name("pgbench")
        if beside_the_server.exists():
            return str(beside_the_server)
    found = shutil.which("pgbench")
    if found is None:
        raise NoServer("pgbench is not installed; it comes with PostgreSQL's server (Debian: postgresql).")
    return found


def _written_per_second(command: Sequence[str]) -> float:
    """Let the writers of a command write in several processes; returns what they committed a second together."""
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [*command, str(number * WRITERS_EACH), str(WRITERS_EACH), str(SECONDS)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for number in range(PROCESSES)
        ]
        try:
            for process in processes:
                if _pipe(process.stdout).readline() != "ready\n":
                    raise RuntimeError(f"{' '.join(command)} did not get ready")
            for process in processes:
                _pipe(process.stdin).write("go\n")
                _pipe(process.stdin).flush()
            results = [json.loads(process.communicate(timeout=TIMEOUT_S)[0]) for process in processes]
        finally:
            for process in processes:
                process.kill()
    return float(sum(result["postings"] / result["seconds"] for result in results))


def _pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


def _hordak_python() -> str:
    """Return the Python of django-hordak's environment, which is made when its list of packages is not what it was."""
    wanted = (_HORDAK / "requirements.txt").read_text()
    stamp, python = _HORDAK_ENVIRONMENT / "installed.txt", _HORDAK_ENVIRONMENT.absolute() / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != wanted:
        venv.create(_HORDAK_ENVIRONMENT, clear=True, with_pip=True)
        _run([str(python), "-m", "pip", "install", "--require-hashes", "-r", str(_HORDAK / "requirements.txt")])
        stamp.write_text(wanted)
    return str(python)


def _hordak(url: str) -> list[str]:
    """Return the command of django-hordak's writers on a database."""
    return [_hordak_python(), str(_HORDAK / "writers.py"), _plain(url)]


def _plain(url: str) -> str:
    """Return a database's URL without the driver's name."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def _run(command: Sequence[str], environment: Mapping[str, str] | None = None, given: str | None = None) -> str:
    done = subprocess.run(
        command, env=environment, input=given, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr[-2000:]}")
    return done.stdout
