"""A plain nameko service that listens to funding: ``nameko run --broker AMQP_URI nameko_listener``."""

import json
import sys
from typing import Any

from nameko.events import event_handler


class Payroll:
    """Writes a line per event: what it received, and which of our packages are loaded, which must be none."""

    name = "payroll"

    @event_handler("funding", "project_funded")
    def note(self, payload: Any) -> None:
        ours = sorted({"shared", "services", "commonweal"} & set(sys.modules))
        print(json.dumps({"type": type(payload).__name__, "payload": payload, "ours": ours}), flush=True)
