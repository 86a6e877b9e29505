"""Installs missing servers from the system's packages, where that is possible: as root, with apt-get."""

import contextlib
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.support.servers.sources import Absent, StartFailed

_TIMEOUT_S = 900
_POLICY = Path("/usr/sbin/policy-rc.d")
_START_DENIED = 101

# Packages ask this script whether they may start their service. It denies that only as long as this process lives, so
# that it is harmless if it is ever left behind.
_DENYING_POLICY = """\
#!/bin/sh
# Put here for a moment by the tests of Commonweal, so that the servers they install are not started as services.
kill -0 {pid} 2>/dev/null && exit {denied}
[ ! -x {original} ] || exec {original} "$@"
"""

_lock = threading.Lock()


def install(package: str, report: Callable[[str], None]) -> None:
    """Installs a package, without starting the service that it may bring.

    Args:
        package: its name.
        report: is told that this happens.

    Raises:
        Absent: we aren't root, or there is no apt-get.
        StartFailed: apt-get failed.
    """
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Absent("installing packages takes root and apt-get")
    with _lock, _services_not_started():
        report(f"installing {package} with apt-get, because neither a container engine nor the program is there ...")
        # Lists of packages that can't be refreshed may still be good enough.
        _apt_get("update")
        failed = _apt_get("install", "--yes", "--no-install-recommends", package)
    if failed:
        raise StartFailed(f"apt-get install {package} failed: {failed}")


def _apt_get(*arguments: str) -> str:
    """Runs apt-get.

    Returns:
        Nothing if it did well, and the end of its output otherwise.
    """
    try:
        done = subprocess.run(
            # Somebody else may be installing: waits for its lock.
            ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=120", *arguments],
            env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            # An interrupt is for the tests: apt-get would leave packages half installed.
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        return f"it took more than {_TIMEOUT_S} s"
    return "; ".join((done.stdout + done.stderr).splitlines()[-5:]) if done.returncode else ""


@contextlib.contextmanager
def _services_not_started() -> Iterator[None]:
    """Denies packages the start of their services, and puts back what was there before."""
    if _starts_denied():
        yield
        return
    original = _POLICY.with_name("policy-rc.d.before-tests")
    if _POLICY.exists():
        _POLICY.rename(original)
    try:
        _POLICY.write_text(_DENYING_POLICY.format(pid=os.getpid(), denied=_START_DENIED, original=original))
        _POLICY.chmod(0o755)
        yield
    finally:
        _POLICY.unlink(missing_ok=True)
        if original.exists():
            original.rename(_POLICY)


def _starts_denied() -> bool:
    """Whether the system's own policy denies it already, as it does in most container images."""
    return os.access(_POLICY, os.X_OK) and subprocess.run([_POLICY, "any", "start"]).returncode == _START_DENIED
