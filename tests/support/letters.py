"""Dead letters for tests: put where a service's consumer puts them, and looked at as an operator does."""

import dataclasses
import json
from typing import Any

from click.testing import CliRunner, Result

from shared import clock
from shared.messaging.dead_letters import ATTEMPTS_HEADER, ERROR_HEADER, FAILED_AT_HEADER, REASON_HEADER
from shared.messaging.publisher import Message, Publisher
from shared.messaging.topology import dead_letters_of
from shared.ops.cli import main


def letter_of(message: Message, *, service: str = "outcomes", reason: str = "attempts_used_up", **more: Any) -> Message:
    """Return a message as a service's consumer lays it aside.

    :param more: ``error``, ``failed_at``, ``attempts``, where they matter.
    """
    why = {
        REASON_HEADER: reason,
        ERROR_HEADER: more.get("error", "Conflict: It could not be done."),
        FAILED_AT_HEADER: more.get("failed_at", clock.now().isoformat()),
        ATTEMPTS_HEADER: more.get("attempts", 6),
    }
    return dataclasses.replace(
        message, exchange="", routing_key=dead_letters_of(service), headers={**message.headers, **why}, queues=()
    )


def publish(amqp_uri: str, *messages: Message) -> None:
    """Publish messages, confirmed."""
    publisher = Publisher(amqp_uri)
    try:
        assert publisher.publish(messages) == {}
    finally:
        publisher.close()


class Operator:
    """Types ``commonweal-ops dead-letters ...`` into a shell that knows the broker."""

    def __init__(self, amqp_uri: str) -> None:
        self.amqp_uri = amqp_uri

    def types(self, *arguments: object, answers: str | None = None) -> Result:
        """Run a command; a traceback fails the test."""
        result = CliRunner().invoke(
            main,
            ["dead-letters", *map(str, arguments)],
            env={"COMMONWEAL_AMQP_URI": self.amqp_uri},
            input=answers,
        )
        assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
        return result

    def letters(self, *arguments: object) -> list[dict[str, Any]]:
        """Return what a list shows."""
        result = self.types("list", "--json", "--limit", 0, *arguments)
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]

    def names(self, *arguments: object) -> list[str]:
        """Return the ids of the listed letters' events, or their keys, in order."""
        return [row["id"] or row["key"] for row in self.letters(*arguments)]
