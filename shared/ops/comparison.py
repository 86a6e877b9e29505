"""What the commands print that compare a broker with what should be there: for people, and for a monitoring job."""

import dataclasses
import json
from collections.abc import Sequence

import click

from shared.messaging.drift import Difference

KINDS = ("missing", "different", "left_over", "policy")


class CannotAsk(click.ClickException):
    """Nothing is known of the broker: neither that it is as it should be nor that it is not."""

    exit_code = 2


def tell(context: click.Context, vhost: str, told: Sequence[Difference], *, as_json: bool, equal: str) -> None:
    """Print the differences and end the command: with 0 when there are none, with 1 otherwise.

    :param equal: what there is, when all of it is as it should be.
    """
    if as_json:
        listed = [dataclasses.asdict(difference) for difference in told]
        click.echo(json.dumps({"vhost": vhost, "equal": not told, "differences": listed}, indent=2))
    elif told:
        for difference in told:
            click.echo(str(difference))
        click.echo(_summary(told))
    else:
        click.echo(f"equal: {equal}")
    context.exit(1 if told else 0)


def _summary(told: Sequence[Difference]) -> str:
    counts = {kind: sum(difference.kind == kind for difference in told) for kind in KINDS}
    parts = [f"{number} {kind.replace('_', ' ')}" for kind, number in counts.items() if number]
    return f"not equal: {', '.join(parts)}"
