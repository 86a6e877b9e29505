"""``commonweal-ops audit``: what was done and refused, and whether the trail of it is whole."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from sqlalchemy.exc import SQLAlchemyError

from shared.audit import chain, reading
from shared.audit.chain import Broken, Head
from shared.ops import options
from shared.ops.names import SERVICES
from shared.storage import migrate
from shared.storage.database import Database

SERVICE = click.Choice(SERVICES)


class _CannotRead(click.ClickException):
    """Nothing is known of the trail: neither that it is whole nor that it is not."""

    exit_code = 2


class _Head(click.ParamType):
    name = "NUMBER:HASH"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Head:
        try:
            return value if isinstance(value, Head) else Head.parse(value)
        except ValueError as error:
            self.fail(f"{value!r} is no head: {error}", parameter, context)


@click.group()
def audit() -> None:
    """The trail of every write and every refusal."""


@audit.command()
@click.argument("services", type=SERVICE, nargs=-1, required=True)
@options.optional_database_url
@click.option(
    "--file", "exported", type=click.File(encoding="utf-8"), help='What "audit export" wrote; "-" for a pipe.'
)
@click.option(
    "--head",
    "heads",
    type=_Head(),
    multiple=True,
    help="A head that was noted earlier; may be repeated. Of one service.",
)
@click.option("--after", type=_Head(), help="Begin behind this head, which is known to be right. Of one service.")
@click.option("--json", "as_json", is_flag=True, help="For a program: a line per service.")
@click.pass_context
def verify(
    context: click.Context,
    services: tuple[str, ...],
    database_url: str | None,
    exported: Any,
    heads: tuple[Head, ...],
    after: Head | None,
    as_json: bool,
) -> None:
    """Follow the chain of SERVICES' trails and name the first row that is missing or was changed.

    Each prints its head, where the chain ends now. Note it where whoever owns the database cannot change it (services
    log theirs), and give it back here with --head: only so does a trail show whose end was cut off, or that was written
    anew. The exit code is 0 when every trail holds, 1 when one does not, 2 when one could not be read.
    """
    if len(services) > 1 and (exported or heads or after):
        raise click.UsageError("--file, --head and --after belong to one service; name one.")
    if exported is None and not database_url:
        raise click.UsageError("Set COMMONWEAL_DATABASE_URL, or name an exported trail with --file.")
    told = [_verified(service, database_url, exported, heads, after) for service in services]
    for each in told:
        click.echo(json.dumps(each) if as_json else _sentence(each))
    context.exit(0 if all(each["holds"] for each in told) else 1)


@audit.command()
@click.argument("service", type=SERVICE)
@options.database_url
@click.option("--after", type=_Head(), help="Leave out what was exported up to this head.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="A new file; else to standard output.")
def export(service: str, database_url: str, after: Head | None, output: Path | None) -> None:
    """Write the trail of SERVICE as lines of JSON, which "audit verify --file" follows without the database.

    Only rows that are sealed are written. The head up to which they go is told on standard error: keep it apart from
    the file.
    """
    begin = after or chain.beginning(service)
    head = begin
    with _trail(service, database_url) as database, _writing(output) as out:
        try:
            for link in reading.links(database, begin.number):
                head = next(chain.follow(head, [link]))
                out.write(reading.as_json(link) + "\n")
        except Broken as error:
            raise click.ClickException(f"{service}: {error}; what comes before it was written") from error
    click.echo(f"{service}: {head.number - begin.number:,} rows, up to head {head}", err=True)


def _verified(
    service: str, database_url: str | None, exported: Any, heads: tuple[Head, ...], after: Head | None
) -> dict[str, Any]:
    begin = after or chain.beginning(service)
    told: dict[str, Any] = {"service": service, "holds": True}
    try:
        if exported is not None:
            head = reading.verify(begin, _lines(exported), heads)
        else:
            with _trail(service, str(database_url)) as database:
                head = reading.verify(begin, reading.links(database, begin.number), heads)
                left = reading.waiting(database)
            told |= {"not_sealed": left.rows, "not_sealed_since": left.since and left.since.isoformat()}
    except Broken as error:
        return {"service": service, "holds": False, "problem": str(error)}
    return told | {"rows": head.number - begin.number, "head": str(head) if head.number else None}


def _sentence(told: dict[str, Any]) -> str:
    if not told["holds"]:
        return f"{told['service']}: BROKEN: {told['problem']}"
    sentence = f"{told['service']}: {told['rows']:,} rows hold, head {told['head'] or 'none yet'}"
    if told.get("not_sealed"):
        sentence += (
            f"; {told['not_sealed']:,} not sealed yet, the oldest of {told['not_sealed_since']}"
            " (a running service seals within a second)"
        )
    return sentence


def _lines(exported: Any) -> Iterator[chain.Link]:
    for number, line in enumerate(exported, start=1):
        try:
            yield reading.from_json(line)
        except ValueError as error:
            raise _CannotRead(f"line {number}: {error}") from error


@contextmanager
def _writing(output: Path | None) -> Iterator[Any]:
    if output is None:
        yield sys.stdout
        return
    try:
        with output.open("x", encoding="utf-8") as out:
            yield out
    except FileExistsError as error:
        raise click.ClickException(f"{output} is there already; name a new file") from error


@contextmanager
def _trail(service: str, database_url: str) -> Iterator[Database]:
    database = Database(database_url.replace("{service}", service))
    try:
        if migrate.missing(service, database.engine):
            raise _CannotRead(f"the database of {service} lacks migrations; run: commonweal-ops migrate {service}")
        yield database
    except (SQLAlchemyError, ValueError) as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise _CannotRead(f"the trail of {service} could not be read: {reason}") from error
    finally:
        database.close()
