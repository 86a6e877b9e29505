"""Reads a file of YAML or JSON and knows on which line each part of it stands."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.reader import ReaderError

from commonweal.yaml_files import Loader

#: The services take no larger request.
MAX_BYTES = 1_048_576
#: Values that a file may hold when everything that it refers to is written out: a few lines can refer to billions.
MAX_VALUES = 200_000
#: Levels of what stands within another; a proposal has six.
MAX_DEPTH = 20
_TOO_DEEP = "it is nested too deeply, or within itself"


class UnreadableDocument(Exception):
    """The file is no YAML or JSON that could be sent; the message says where and why, without the file's name."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class Document:
    """What a file holds.

    :param content: its data.
    :param lines: the line of each part, counted from 1, by its dotted path such as ``benefits.0.title``.
    """

    content: Any = None
    lines: Mapping[str, int] = field(default_factory=dict)

    def line_of(self, path: str) -> int | None:
        """Return the line of a part, or of the nearest part around it when it is not there; None for the whole."""
        while path and path not in self.lines:
            path = path.rpartition(".")[0]
        return self.lines.get(path)


def read_document(path: str | Path) -> Document:
    """Return what a file holds: JSON when its name ends in ``.json``, else YAML.

    :raises OSError: when it cannot be read.
    :raises UnreadableDocument: when it is no such thing, too large, or gives something twice.
    """
    path = Path(path)
    with path.open("rb") as stream:
        raw = stream.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise UnreadableDocument(f"it has more than {MAX_BYTES:,} bytes")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableDocument("it is not UTF-8 text", raw.count(b"\n", 0, error.start) + 1) from error
    try:
        return _of_json(text) if path.suffix.lower() == ".json" else _of_yaml(text)
    except RecursionError as error:
        raise UnreadableDocument(_TOO_DEEP) from error


def _of_yaml(text: str) -> Document:
    try:
        # A loader of plain values only: a subclass of yaml.SafeLoader.
        loader = Loader(text)
        node = loader.get_single_node()
        if node is None:
            return Document()
        lines = dict(_lines(node))
        return Document(loader.construct_document(node), lines)
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UnreadableDocument("this is not YAML: a character cannot stand in it", line) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = ", ".join(part for part in (error.context, error.problem) if part)
        raise UnreadableDocument(f"this is not YAML: {said}", None if mark is None else mark.line + 1) from error
    except ValueError as error:
        raise UnreadableDocument(f"a value cannot be read: {error}") from error


def _of_json(text: str) -> Document:
    try:
        content = json.loads(text, object_pairs_hook=_once_each)
    except json.JSONDecodeError as error:
        raise UnreadableDocument(f"this is not JSON: {error.msg}", error.lineno) from error
    except ValueError as error:
        raise UnreadableDocument(f"this is not JSON: {error}") from error
    try:
        # JSON is YAML, but for tabs between its parts; within them it has none.
        return Document(content, _of_yaml(text.replace("\t", " ")).lines)
    except UnreadableDocument:
        return Document(content)


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise ValueError(f"{key} is given twice")
        made[key] = value
    return made


def _lines(root: yaml.Node) -> Iterator[tuple[str, int]]:
    left: list[tuple[tuple[str, ...], yaml.Node]] = [((), root)]
    number = 0
    while left:
        path, node = left.pop()
        number += 1
        if number > MAX_VALUES:
            raise UnreadableDocument(f"it holds more than {MAX_VALUES:,} values, those that it refers to included")
        if len(path) > MAX_DEPTH:
            raise UnreadableDocument(_TOO_DEEP, node.start_mark.line + 1)
        parts: list[tuple[str, int, yaml.Node]] = []
        if isinstance(node, yaml.MappingNode):
            parts = [(str(key.value), key.start_mark.line, value) for key, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            parts = [(str(place), value.start_mark.line, value) for place, value in enumerate(node.value)]
        for step, line, value in parts:
            yield ".".join((*path, step)), line + 1
            left.append(((*path, step), value))
