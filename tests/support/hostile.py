"""What may come back, whatever was sent."""

import json
from typing import Any

from shared.errors import CommonwealError
from shared.fields import MAX_FAULTS_BYTES

DECLARED = {kind.__name__ for kind in CommonwealError.__subclasses__()}
#: As many faults as are told, and some room.
MAX_ERROR_BYTES = MAX_FAULTS_BYTES + 16 * 1024
MAX_MESSAGE_LENGTH = 2_000


def check_error(error: dict[str, Any]) -> str:
    """Assert that an error on the wire is a declared one, bounded and printable; returns its code."""
    assert error["exc_type"] in DECLARED, error
    assert len(json.dumps(error)) <= MAX_ERROR_BYTES
    (said,) = error["exc_args"]
    assert said["code"] not in ("internal_error", "database_unavailable"), error
    assert error["value"] == said["message"]
    sentences = [said["message"], *(each for found in said["fields"].values() for each in found)]
    for text in (*sentences, *said["fields"]):
        assert text.isprintable(), ascii(text)
        assert len(text) <= MAX_MESSAGE_LENGTH, text
    code: str = said["code"]
    return code
