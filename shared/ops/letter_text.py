"""Dead letters as text: for a terminal, for a pipe, and as JSON that keeps every byte.

Whoever can publish decides what stands in a letter, so nothing of it reaches a terminal as it is: what cannot be
printed, escape sequences and signs that turn the direction of writing among them, is shown as an escape.
"""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from shared.fields import printable
from shared.messaging.dead_letters import ATTEMPTS_HEADER, ERROR_HEADER, FAILED_AT_HEADER, REASON_HEADER, Letter

#: What a list shows of a text that a publisher made.
MAX_CELL_LENGTH = 200
#: What is shown of a body and of each header, unless all of it is asked for.
MAX_SHOWN = 65_536
INDENT = "  "

_SHOWN_ABOVE = (REASON_HEADER, ERROR_HEADER, FAILED_AT_HEADER, ATTEMPTS_HEADER)


def safe(value: object, *, length: int | None = None) -> str:
    """Return a value on one line, every sign that cannot be printed as an escape.

    :param length: cut what is longer.
    """
    return printable(str(value), length)


def summary(letter: Letter) -> dict[str, Any]:
    """Return what a list shows of a letter, as JSON values."""

    def bounded(value: str | None) -> str | None:
        return value if value is None or len(value) <= MAX_CELL_LENGTH else value[: MAX_CELL_LENGTH - 1] + "…"

    return {
        "service": letter.service,
        "position": letter.position,
        "key": letter.key,
        "id": bounded(letter.attribute("id")),
        "type": bounded(letter.attribute("type")),
        "source": bounded(letter.attribute("source")),
        "subject": bounded(letter.attribute("subject")),
        "reason": bounded(letter.reason),
        "attempts": letter.attempts,
        "failed_at": letter.failed_at and letter.failed_at.isoformat(),
        "error": bounded(letter.error),
        "size_bytes": len(letter.body),
    }


def whole(letter: Letter) -> dict[str, Any]:
    """Return everything of a letter, as JSON values; the body in base64, so that no byte is lost."""
    return {
        **summary(letter),
        "id": letter.attribute("id"),
        "error": letter.error,
        "content_type": letter.content_type,
        "content_encoding": letter.content_encoding,
        "properties": _json(letter.properties),
        "headers": _json(letter.headers),
        "body_base64": base64.b64encode(letter.body).decode(),
    }


def json_line(values: Mapping[str, Any]) -> str:
    """Return JSON on one line, in signs that any terminal and any tool takes."""
    return json.dumps(values, ensure_ascii=True)


def short_line(letter: Letter) -> str:
    """Return where a letter is, what it is called, its type and its reason, apart by tabs."""
    row = summary(letter)
    cells = (letter.place, row["id"] or row["key"], row["type"], row["reason"])
    return "\t".join("-" if cell is None else safe(cell) for cell in cells)


def line(row: Mapping[str, Any]) -> str:
    """Return a summary on one line, its columns apart by tabs: place, id or key, type, subject, reason and so on."""
    cells = (
        f"{row['service']}:{row['position']}",
        row["id"] or row["key"],
        row["type"],
        row["subject"],
        row["reason"],
        row["attempts"],
        row["failed_at"],
        row["error"],
    )
    return "\t".join("-" if cell is None else safe(cell) for cell in cells)


def table(rows: Iterable[Mapping[str, Any]]) -> Table:
    """Return summaries as a table for a terminal."""
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 1, 0))
    made.add_column("letter", no_wrap=True)
    made.add_column("event, type", overflow="fold", ratio=5)
    made.add_column("reason, when", overflow="fold", ratio=3)
    made.add_column("error", overflow="fold", ratio=6)
    for row in rows:
        event_type = (row["type"] or "no type").removeprefix("commonweal.")
        since = row["failed_at"] and f"{datetime.fromisoformat(row['failed_at']):%Y-%m-%d %H:%M:%S}"
        made.add_row(
            Text(f"{row['service']}:{row['position']}"),
            Text(f"{safe(row['id'] or row['key'])}\n{safe(event_type)}"),
            Text(f"{safe(row['reason'])}\n{since or '-'}"),
            Text(safe(row["error"])),
        )
    return made


def pages(letter: Letter, *, max_shown: int | None = MAX_SHOWN) -> Iterator[str]:
    """Yield the lines that show everything of a letter.

    :param max_shown: bytes of the body, and signs of each header, to show; all of them when it is None.
    """
    attempts = "" if letter.attempts is None else f", after {letter.attempts} attempts"
    yield f"{letter.place}  {safe(letter.name, length=max_shown)}"
    yield from _section(
        None,
        {
            "reason": f"{letter.reason}{attempts}",
            "failed at": letter.failed_at.isoformat() if letter.failed_at else "not known",
            "error": letter.error,
            "key": letter.key,
        },
        max_shown,
    )
    yield from _section("event", letter.attributes, max_shown)
    message = {"content type": letter.content_type, "content encoding": letter.content_encoding, **letter.properties}
    yield from _section("message", message, max_shown)
    others = {
        name: value
        for name, value in letter.headers.items()
        if name not in _SHOWN_ABOVE and not str(name).startswith("ce-")
    }
    yield from _section("other headers", others, max_shown)
    shown = letter.body if max_shown is None else letter.body[:max_shown]
    yield f"{INDENT}body, {len(letter.body):,} bytes"
    yield from (f"{INDENT * 2}{safe(row)}" for row in _body(shown).splitlines())
    if len(shown) < len(letter.body):
        yield f"{INDENT * 2}… and {len(letter.body) - len(shown):,} bytes more; --whole shows them"


def _section(title: str | None, values: Mapping[Any, Any], max_shown: int | None) -> Iterator[str]:
    if title is not None and values:
        yield f"{INDENT}{title}"
    depth = INDENT if title is None else INDENT * 2
    for name, value in values.items():
        yield f"{depth}{safe(name):<18} {safe('-' if value is None else value, length=max_shown)}"


def _body(body: bytes) -> str:
    try:
        return json.dumps(json.loads(body.decode()), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return body.decode("utf-8", "backslashreplace")


def _json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _json(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_json(inner) for inner in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, str | int | float | bool | None) else str(value)
