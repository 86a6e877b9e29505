"""Runs one service: ``python -m shared.ops.serve proposals`` is ``nameko run`` with the service's config.yml.

Its own module, so that the process patches the standard library before anything else is imported.
"""

import warnings

warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")
warnings.filterwarnings("ignore", message="pkg_resources is deprecated")

import eventlet  # noqa: E402

eventlet.monkey_patch()

import signal  # noqa: E402
import sys  # noqa: E402
from argparse import Namespace  # noqa: E402
from importlib.resources import files  # noqa: E402

from nameko.cli import run  # noqa: E402
from nameko.cli.main import setup_yaml_parser  # noqa: E402
from nameko.exceptions import CommandError, ConfigurationError  # noqa: E402


def main(service: str) -> None:
    """Run a service until it is told to stop (SIGTERM, or Ctrl-C); exits with 1 when it cannot start.

    :param service: the service's short name.
    """
    setup_yaml_parser()
    config = files(f"services.{service}").joinpath("config.yml")
    try:
        run.main(Namespace(config=str(config), services=[f"services.{service}.service"], backdoor_port=None))
    except (CommandError, ConfigurationError) as error:
        sys.exit(f"Error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    # Told again while the interpreter ends, the process would end as if it had been killed.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


if __name__ == "__main__":
    main(sys.argv[1])
