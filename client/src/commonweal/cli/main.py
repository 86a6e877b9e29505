"""``commonweal``: what a council's people type."""

import sys

import click

from commonweal.cli.proposal import proposal
from commonweal.cli.screen import UNUSABLE

INTERRUPTED = 130


@click.group(context_settings={"max_content_width": 120})
@click.version_option(package_name="commonweal-client", message="commonweal %(version)s")
def commonweal() -> None:
    """Take part in a joint digital programme: propose, and see how it stands.

    The broker and your token come from options or from the environment: COMMONWEAL_AMQP_URI and COMMONWEAL_TOKEN, or
    COMMONWEAL_AMQP_URI_FILE and COMMONWEAL_TOKEN_FILE, which name files with them.
    """


commonweal.add_command(proposal)


def main() -> None:
    """Run the command; it ends with an exit code of its own and never with a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A terminal that cannot show a sign is shown its escape.
            stream.reconfigure(errors="backslashreplace")
    try:
        status = commonweal(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        status = UNUSABLE
    except (click.Abort, KeyboardInterrupt):
        status = INTERRUPTED
    except SystemExit:
        # click's way of saying that whoever read the output has gone, with a status that says something else here.
        status = UNUSABLE
    sys.exit(status)
