"""Free TCP ports on the loopback interface."""

import random
import socket
import threading

# Below the range from which systems take the local ports of outgoing connections (32768 and up on Linux): nothing
# slips into the port while its server is down between a kill and a restart.
_RANGE = range(20_000, 32_000)

_lock = threading.Lock()
_given: set[int] = set()
_random = random.SystemRandom()


def free_port() -> int:
    """A port that nobody listens on, and that this process has not been given before.

    Raises:
        RuntimeError: a thousand ports were tried, and all were taken.
    """
    with _lock:
        for port in _random.sample(_RANGE, 1000):
            if port not in _given and _can_listen(port):
                _given.add(port)
                return port
    raise RuntimeError(f"no free TCP port between {_RANGE.start} and {_RANGE.stop}: end what occupies them")


def _can_listen(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
