"""The hash by which a content is known again, years later and in other hands."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def content_hash(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a proposal's content, in hexadecimal.

    Hashed is its canonical JSON: keys sorted, no spaces, letters as they are, in UTF-8. For contents, which hold only
    texts and whole numbers below 2^53 under names in ASCII, that is the JSON Canonicalization Scheme (RFC 8785), so
    anybody who holds the content can work it out again.
    """
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
