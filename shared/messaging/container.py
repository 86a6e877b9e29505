"""The container of every service: checks the whole configuration first, says in one line when it is ready."""

import logging
import os
from collections.abc import Mapping
from typing import Any

from nameko.containers import ServiceContainer

from shared import clock, config
from shared.messaging.broker import place_of
from shared.messaging.consumer import subscriptions_of
from shared.messaging.rpc import methods_of

_log = logging.getLogger(__name__)


class Container(ServiceContainer):
    """nameko's container with a checked configuration; named by ``SERVICE_CONTAINER_CLS`` in each config.yml."""

    _is_ready = False
    _is_stopping = False

    def __init__(self, service_cls: type, config_values: Mapping[str, Any]) -> None:
        self.settings = config.read(service_cls.name, config_values)  # type: ignore[attr-defined]
        super().__init__(service_cls, {**config_values, "max_workers": self.settings.max_workers})
        if self.settings.rehearsal_clock is not None:
            clock.install(clock.RehearsalClock(self.settings.rehearsal_clock))

    def stop(self) -> None:
        if not self._is_ready and not self.settings.is_embedded:
            # It waits for its servers and has taken no work: nameko would wait for extensions that never start.
            _log.info("%s was stopped before it was ready", self.service_name)
            logging.shutdown()
            os._exit(0)
        if self._is_stopping:
            # Told twice, as happens: the first time goes on, and nameko would stop its extensions a second time.
            self.wait()
            return
        self._is_stopping = True
        _log.info("%s is stopping: it finishes what it has begun", self.service_name)
        super().stop()
        _log.info("%s has stopped", self.service_name)

    def start(self) -> None:
        if self.settings.rehearsal_clock is not None:
            _log.warning("%s runs on a rehearsal's clock: it is %s there", self.service_name, clock.now())
        if not self.settings.publishers.is_checked and not self.settings.is_embedded:
            _log.warning(
                "%s takes events from every broker user: COMMONWEAL_PUBLISHERS is any, for rehearsals only",
                self.service_name,
            )
        super().start()
        self._is_ready = True
        _log.info(
            "%s is ready: %d calls, %d kinds of event; broker %s, database %s",
            self.service_name,
            len(methods_of(self.service_cls)),
            len(subscriptions_of(self.service_cls)),
            place_of(self.settings.amqp_uri),
            place_of(self.settings.database_url),
        )
