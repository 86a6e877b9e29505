"""The six errors that a caller of any Commonweal service can receive (design, section 5).

Every error carries a machine's code, a sentence that says what to do, and the fields at fault. Raise them from the
domain and the handlers; the RPC entrypoint puts them on the wire as ``exc_type`` and ``exc_args[0]``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

FieldErrors = Mapping[str, Sequence[str]]


class CommonwealError(Exception):
    """An error that a caller is meant to see.

    :param code: what went wrong, for a program: lower case words joined by underscores, stable between versions.
    :param message: what went wrong and what to do about it, for a person: one or two sentences.
    :param fields: the fields at fault, each a dotted path (``benefits.0.baseline``) with its sentences.
    """

    def __init__(self, code: str, message: str, fields: FieldErrors | None = None) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.fields = {path: list(sentences) for path, sentences in (fields or {}).items()}

    def __str__(self) -> str:
        return self.message

    def as_dict(self) -> dict[str, Any]:
        """Return ``{"code", "message", "fields"}``, the form that travels."""
        return {"code": self.code, "message": self.message, "fields": self.fields}


class Unauthenticated(CommonwealError):
    """The call carries no token that this service accepts."""


class Forbidden(CommonwealError):
    """The caller is known and may not do this."""


class NotFound(CommonwealError):
    """There is no such thing, or none that the caller may know of."""


class Invalid(CommonwealError):
    """The request itself is at fault; sending it again unchanged cannot succeed."""


class Conflict(CommonwealError):
    """The request is sound and the state of things forbids it now."""


class Unavailable(CommonwealError):
    """It could not be done now; the same request with the same idempotency key may succeed later."""
