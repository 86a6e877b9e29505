"""Reads what the broker sends so that no message, whatever its properties, ends the connection that it comes by.

py-amqp decodes the properties of a message while it reads from the connection: an error there is the connection's, the
message comes again on the next one, and a single call with a broken header would stop a service for good.
"""

from typing import Any

from amqp import Message
from amqp.method_framing import frame_handler as amqp_frame_handler
from amqp.serialization import decode_properties_basic

#: What stands here instead of properties that py-amqp cannot read: the bytes of them all.
UNREADABLE_HEADER = "x-commonweal-unreadable"

_CONTENT_HEADER_FRAME = 2
_CONTENT_HEADER_PREFIX = 12


def frame_handler(connection: Any, callback: Any) -> Any:
    """Return py-amqp's frame handler, to be given to a connection, for which every message has readable properties.

    One whose properties cannot be read has a single header instead, :data:`UNREADABLE_HEADER`.
    """
    handle = amqp_frame_handler(connection, callback)

    def on_frame(frame: Any) -> Any:
        kind, channel, payload = frame
        if kind == _CONTENT_HEADER_FRAME:
            try:
                decode_properties_basic(payload, _CONTENT_HEADER_PREFIX)
            except Exception:
                content = bytes(payload)
                properties = content[_CONTENT_HEADER_PREFIX:]
                readable = Message(application_headers={UNREADABLE_HEADER: properties.hex()})
                frame = kind, channel, content[:_CONTENT_HEADER_PREFIX] + readable._serialize_properties()
        return handle(frame)

    return on_frame


def body_of(message: Any) -> bytes:
    """Return a message's body as it came; an empty one is a text to py-amqp, and every one in embedded mode."""
    return message.body.encode("utf-8", "surrogatepass") if isinstance(message.body, str) else bytes(message.body)
