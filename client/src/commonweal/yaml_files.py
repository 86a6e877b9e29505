"""Reads YAML as people write it: only ``true`` and ``false`` are booleans, and a date stays the text it is."""

import re
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import ComposerError


class Loader(yaml.SafeLoader):
    """YAML 1.1 reads the key ``on`` as true, a date as an object, ``0100`` as 64 and ``1:30`` as 90; nobody wants that.

    A key that stands twice is refused: YAML 1.1 would take the last one and say nothing.
    """

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Compose a mapping. :raises yaml.YAMLError: when a key stands in it twice."""
        node = super().compose_mapping_node(anchor)
        first: dict[tuple[str, str], yaml.Node] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and first.setdefault((key.tag, key.value), key) is not key:
                line = first[key.tag, key.value].start_mark.line + 1
                raise ComposerError(None, None, f"{key.value} is given twice, first on line {line}", key.start_mark)
        return node


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":bool", ":timestamp", ":int"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(?:true|false)\Z"), list("tf"))
Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"[-+]?(?:0|[1-9][0-9]*(?:_[0-9]+)*)\Z"), list("-+0123456789")
)


def load_yaml(path: str | Path) -> Any:
    """Return the content of a YAML file.

    :raises OSError: when it cannot be read.
    :raises yaml.YAMLError: when it is not YAML; the message names the line.
    """
    with Path(path).open(encoding="utf-8") as stream:
        # A loader of plain values only: a subclass of yaml.SafeLoader.
        return yaml.load(stream, Loader=Loader)  # nosec B506
