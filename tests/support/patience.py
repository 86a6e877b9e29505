"""A stage whose callers do what a council's own program should do: call again, with the same key, until answered."""

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from commonweal import Client, TimedOut, Unavailable
from shared import ids
from tests.support.stage import Stage

CALL_TIMEOUT_S = 2.0
PATIENCE_S = 60.0


class PatientClient(Client):
    """A client that repeats what was not answered, or answered with ``Unavailable``, with the key of the first time.

    :param answered: counts the answers by method.
    :param refused: collects what every call that was tried again ended with.
    """

    def __init__(self, amqp_uri: str, token: str, *, answered: Counter[str], refused: list[Exception]) -> None:
        super().__init__(amqp_uri, token, timeout_s=CALL_TIMEOUT_S)
        self._answered = answered
        self._refused = refused

    def call(self, service: str, method: str, arguments: dict[str, Any]) -> Any:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                answer = super().call(service, method, arguments)
            except (TimedOut, Unavailable) as error:
                if time.monotonic() > deadline:
                    raise
                self._refused.append(error)
                if error.idempotency_key is not None:
                    arguments = {**arguments, "idempotency_key": error.idempotency_key}
                time.sleep(0.05)
            else:
                self._answered[method] += 1
                return answer


@dataclass
class PatientStage(Stage):
    """A running system, called with patience.

    :param answered: how many calls of each method were answered.
    :param refused: what the calls that were tried again ended with.
    """

    answered: Counter[str] = field(default_factory=Counter)
    refused: list[Exception] = field(default_factory=list)
    patient: list[Client] = field(default_factory=list)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, stage: Stage) -> "PatientStage":
        """Return the same system with patient callers; to be closed on its own."""
        return cls(
            stage.kind, stage.amqp_uri, stage.database_urls, stage.signing_key, stage.processes, stage.environment
        )

    def caller(self, *roles: str, council: str | None = None, subject: str | None = None) -> Client:
        subject = subject or f"{'-'.join(roles)}-{ids.new_id().hex[-8:]}@test.example"
        token = self.signing_key.issue(subject, roles, council=council)
        client = PatientClient(self.amqp_uri, token, answered=self.answered, refused=self.refused)
        with self._turn:
            self.patient.append(client)
        return client

    def close(self) -> None:
        for client in self.patient:
            client.close()
        super().close()
