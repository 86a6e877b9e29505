"""Client of Commonweal: call its services from Python."""

from commonweal.client import Client
from commonweal.errors import (
    CommonwealError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    TimedOut,
    Unauthenticated,
    Unavailable,
)
from commonweal.yaml_files import load_yaml

__all__ = [
    "Client",
    "CommonwealError",
    "Conflict",
    "Forbidden",
    "Invalid",
    "NotFound",
    "TimedOut",
    "Unauthenticated",
    "Unavailable",
    "load_yaml",
]
