"""Reads YAML as people write it: only ``true`` and ``false`` are booleans, and a date stays the text it is."""

import re
from pathlib import Path
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads the key ``on`` as true and a date as an object; proposals want neither."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":bool", ":timestamp"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(?:true|false)\Z"), list("tf"))


def load_yaml(path: str | Path) -> Any:
    """Return the content of a YAML file.

    :raises OSError: when it cannot be read.
    :raises yaml.YAMLError: when it is not YAML; the message names the line.
    """
    with Path(path).open(encoding="utf-8") as stream:
        # A loader of plain values only: a subclass of yaml.SafeLoader.
        return yaml.load(stream, Loader=_Loader)  # nosec B506
