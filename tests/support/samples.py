"""The recorded samples: messages of every event type and version as services once published them, frozen.

A sample is a JSON file in ``tests/contract/samples/<source>/<name>.v<version>.<label>.json``: where the message went,
its headers, its content type and its data. ``MANIFEST`` holds each file's digest as ``sha256sum`` writes it. Files and
lines are only ever added; ``python -m tests.contract.record`` does that.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cloudevents.core.bindings import rabbitmq
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from marshmallow import Schema, fields

from shared.messaging.publisher import Message

DIRECTORY = Path(__file__).parents[1] / "contract" / "samples"
MANIFEST = DIRECTORY / "MANIFEST"


@dataclass(frozen=True)
class Sample:
    """A recorded message.

    :param label: ``full`` with every optional field, ``emptiest`` as a service publishes it with none of them given,
        ``least`` without them; ``largest`` and ``smallest`` with texts and numbers at their limits.
    """

    type: str
    label: str
    exchange: str
    routing_key: str
    content_type: str
    headers: dict[str, str]
    data: dict[str, Any]

    @property
    def path(self) -> Path:
        """Its file, relative to the directory of the samples."""
        _, source, name, version = self.type.split(".")
        return Path(source, f"{name}.{version}.{self.label}.json")

    @property
    def is_realistic(self) -> bool:
        """Whether its values are those of the programme, not of the schema's limits."""
        return not self.label.startswith(("largest", "smallest"))

    def as_json(self) -> str:
        """Return the content of its file."""
        content = {
            "exchange": self.exchange,
            "routing_key": self.routing_key,
            "content_type": self.content_type,
            "headers": self.headers,
            "data": self.data,
        }
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

    def message(self) -> Message:
        """Return the message as it went over the wire, in binary mode."""
        body = json.dumps(self.data).encode()
        return Message(self.headers["ce-id"], self.exchange, self.routing_key, body, self.headers, self.content_type)

    def structured_message(self) -> Message:
        """Return the same event in structured mode."""
        binary = self.message()
        received = rabbitmq.RabbitMQMessage(self.headers, self.content_type, binary.body)
        event = rabbitmq.to_structured_event(rabbitmq.from_binary(received, JSONFormat(), CloudEvent))
        return replace(binary, body=event.body, headers=event.headers, content_type=event.content_type)


def read(path: Path) -> Sample:
    """Read a sample's file."""
    label = path.stem.rpartition(".")[2]
    content = json.loads(path.read_text())
    return Sample(type=content["headers"]["ce-type"], label=label, **content)


def all_samples() -> list[Sample]:
    """Return every sample, in the order of their files."""
    return [read(path) for path in sorted(DIRECTORY.glob("*/*.json"))]


def samples_of(type: str) -> list[Sample]:
    """Return the samples of an event type and version, by its CloudEvents ``type``; the full ones first."""
    _, source, name, version = type.split(".")
    found = [read(path) for path in sorted(DIRECTORY.glob(f"{source}/{name}.{version}.*.json"))]
    return sorted(found, key=lambda sample: (not sample.label.startswith("full"), sample.label))


def digests(directory: Path = DIRECTORY) -> dict[str, str]:
    """Return the digest of each sample's file, by its path in the directory."""
    return {
        path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.glob("*/*.json"))
    }


def manifest(directory: Path = DIRECTORY) -> dict[str, str]:
    """Return the digests that were written down when the samples were recorded."""
    lines = (directory / "MANIFEST").read_text().splitlines()
    return {path: digest for digest, path in (line.split("  ", 1) for line in lines)}


def keep(sample: Sample, directory: Path = DIRECTORY) -> Path:
    """Add a sample to the others, for good; returns its file.

    :raises FileExistsError: when there is one of its name: a recorded sample is never changed.
    """
    path = directory / sample.path
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x") as out:
        out.write(sample.as_json())
    with (directory / "MANIFEST").open("a") as out:
        out.write(f"{digests(directory)[sample.path.as_posix()]}  {sample.path.as_posix()}\n")
    return path


def fields_of(schema: Schema) -> Iterator[tuple[str, fields.Field[Any]]]:
    """Return every field of a schema, those of nested ones too: ``content.benefits[].baseline.value`` and the field."""
    for name, field in schema.fields.items():
        yield name, field
        inner, step = (field.inner, f"{name}[]") if isinstance(field, fields.List) else (field, name)
        if isinstance(inner, fields.Nested):
            yield from ((f"{step}.{path}", nested) for path, nested in fields_of(inner.schema))


def paths_in(value: Any, path: str = "") -> Iterator[str]:
    """Return the path of everything in a JSON value that says something, as :func:`fields_of` writes paths."""
    if path and value is not None:
        yield path
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from paths_in(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for inner in value:
            yield from (found for found in paths_in(inner, f"{path}[]") if found != f"{path}[]")
