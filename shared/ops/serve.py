"""Runs services by nameko's own command: ``python -m shared.ops.serve proposals`` is ``nameko run`` with its config.

Its own module, so that the process patches the standard library before anything else is imported.
"""

import warnings

warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")

import eventlet  # noqa: E402

eventlet.monkey_patch()

import sys  # noqa: E402
from importlib.resources import files  # noqa: E402

from nameko.cli.main import main as nameko  # noqa: E402


def main(service: str) -> None:
    """Run one service until it is told to stop (SIGTERM, or Ctrl-C)."""
    config = files(f"services.{service}").joinpath("config.yml")
    sys.argv = ["nameko", "run", "--config", str(config), f"services.{service}.service"]
    nameko()


if __name__ == "__main__":
    main(sys.argv[1])
