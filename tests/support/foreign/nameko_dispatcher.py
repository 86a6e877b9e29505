"""A plain nameko service that dispatches an event in funding's name.

``nameko run --broker AMQP_URI nameko_dispatcher``; the event's data are what the variable ``EVENT_DATA`` holds as JSON.
"""

import json
import os
from typing import Any

from nameko.events import EventDispatcher
from nameko.timer import timer


class Funding:
    """Dispatches once, when it starts."""

    name = "funding"
    dispatch: Any = EventDispatcher()

    @timer(interval=3600, eager=True)
    def tell(self) -> None:
        self.dispatch("project_funded", json.loads(os.environ["EVENT_DATA"]))
        print("dispatched", flush=True)
