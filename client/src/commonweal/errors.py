"""What a call can end with instead of an answer."""

from typing import Any


class CommonwealError(Exception):
    """Any refusal or failure of a call.

    :param code: what went wrong, for a program; stable between versions.
    :param message: what went wrong and what to do, for a person.
    :param fields: the fields at fault, dotted path to sentences.

    ``idempotency_key`` is the key that a write was sent with: the same call with it again has its effect once.
    """

    idempotency_key: str | None = None

    def __init__(self, code: str, message: str, fields: dict[str, list[str]] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.fields = fields or {}


class Unauthenticated(CommonwealError):
    """The token is missing, expired or not accepted."""


class Forbidden(CommonwealError):
    """You may not do this."""


class NotFound(CommonwealError):
    """There is no such thing, or none that you may know of."""


class Invalid(CommonwealError):
    """The request is at fault; ``fields`` says where."""


class Conflict(CommonwealError):
    """The state of things forbids it now."""


class Unavailable(CommonwealError):
    """It could not be done now; the same call with the same idempotency key may succeed later."""


class TimedOut(CommonwealError):
    """No answer came in time. A write may have had its effect; the same call with the same key finds out."""


_BY_NAME = {cls.__name__: cls for cls in (Unauthenticated, Forbidden, NotFound, Invalid, Conflict, Unavailable)}


def from_reply(error: Any) -> CommonwealError:
    """Return the exception for the ``error`` part of a reply."""
    error = error if isinstance(error, dict) else {}
    details = error.get("exc_args")
    first = details[0] if isinstance(details, list) and details and isinstance(details[0], dict) else {}
    fields = first.get("fields")
    cls = _BY_NAME.get(str(error.get("exc_type")), Unavailable)
    return cls(
        str(first.get("code", "unknown")),
        str(first.get("message") or error.get("value") or "The service failed."),
        fields if isinstance(fields, dict) else {},
    )
