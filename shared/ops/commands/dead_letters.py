"""``commonweal-ops dead-letters``: look at what services could not process, send it again, or throw it away."""

import functools
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from shared import clock
from shared.messaging import broker, topology
from shared.messaging.dead_letter_queue import Look, LookFailed, looking
from shared.messaging.dead_letters import Filter, Letter, Replay, Tally, work_through
from shared.messaging.publisher import Publisher, PublishFailed
from shared.ops import letter_text, options
from shared.ops.names import SERVICES

DEFAULT_LIST_LIMIT = 100
DEFAULT_SHOW_LIMIT = 10

_PLACE = re.compile(rf"({'|'.join(SERVICES)}):\d+\Z")
_AGO = re.compile(r"(\d{1,6})([smhd])\Z")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Moment(click.ParamType):
    """A moment: ISO 8601, UTC unless it says otherwise, or how long ago: ``90m``, ``2h``, ``3d``."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        if ago := _AGO.match(value):
            return clock.now() - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a moment; say 2026-11-24, 2026-11-24T09:30 (UTC), or 2h for two hours ago.")
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Broker(click.ParamType):
    """The URI of a broker that outlives a command."""

    name = "uri"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value.startswith("embedded:"):
            self.fail("an embedded broker ends with its process and keeps no letters; this command needs a RabbitMQ.")
        if problem := broker.problem_of(value):
            self.fail(f"it {problem}")
        return str(value)


_BROKER = options.amqp_uri(type=Broker(), metavar="URI")
_SERVICES = click.argument("services", type=click.Choice(SERVICES), nargs=-1, metavar="[SERVICE]...")
_FILTERS = (
    click.option("--id", "names", multiple=True, metavar="EVENT_ID", help="Its event's id, or its key."),
    click.option("--reason", "reasons", multiple=True, help="Such as schema, attempts_used_up or delivery_limit."),
    click.option("--type", "types", multiple=True, help="Such as project_funded or project_funded.v1."),
    click.option("--source", "sources", multiple=True, help="Who published it, such as funding."),
    click.option("--subject", "subjects", multiple=True, help="What it is about: the id of a project, for instance."),
    click.option("--since", type=Moment(), help="It failed then or later: 2026-11-24T09:30 (UTC), or 2h for ago."),
    click.option("--before", type=Moment(), help="It failed before then."),
    click.option("--error", metavar="TEXT", help="This is a part of its error."),
)


def _filtered(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of :class:`Filter`, which it gets as ``wanted``."""

    @functools.wraps(command)
    def with_filter(
        names: tuple[str, ...],
        reasons: tuple[str, ...],
        types: tuple[str, ...],
        sources: tuple[str, ...],
        subjects: tuple[str, ...],
        since: datetime | None,
        before: datetime | None,
        error: str | None,
        **options: Any,
    ) -> None:
        wanted = Filter(
            frozenset(names),
            frozenset(reasons),
            frozenset(types),
            frozenset(sources),
            frozenset(subjects),
            since,
            before,
            error,
        )
        command(wanted=wanted, **options)

    decorated: Callable[..., None] = _BROKER(with_filter)
    for option in reversed(_FILTERS):
        decorated = option(decorated)
    return _SERVICES(decorated)


_ALL = click.option("--all", "everything", is_flag=True, help="Every letter; needed when no filter is given.")
_DRY_RUN = click.option("--dry-run", is_flag=True, help="Say what would happen, and change nothing.")
_LIMIT = click.option("--limit", type=click.IntRange(1), metavar="N", help="Take so many at most, the oldest first.")


@click.group("dead-letters")
def dead_letters() -> None:
    """What services could not process: look at it, send it again, or throw it away.

    Exit codes: 0 when everything asked for was done; 1 when something was not, and what is said on the standard error;
    2 when the command was not understood or refused.
    """


@dead_letters.command("list")
@_filtered
@click.option(
    "--limit", type=click.IntRange(0), default=DEFAULT_LIST_LIMIT, show_default=True, metavar="N",
    help="Show so many at most, 0 for all; the counts are of all.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="A JSON object on each line.")
def list_letters(services: tuple[str, ...], amqp_uri: str, wanted: Filter, limit: int, as_json: bool) -> None:
    """List the dead letters of each SERVICE, of all of them if none is named; looking changes nothing.

    On a terminal it is a table, otherwise a line per letter, its columns apart by tabs. How many there are of each
    service and reason goes to the standard error.
    """
    rows: list[dict[str, Any]] = []
    counts: list[str] = []
    unseen = 0
    for service in services or SERVICES:
        reasons: Counter[str] = Counter()
        with _look(amqp_uri, service) as look:
            for letter in look:
                if wanted.matches(letter):
                    reasons[letter_text.safe(letter.reason, length=letter_text.MAX_CELL_LENGTH)] += 1
                    if not limit or len(rows) < limit:
                        rows.append(letter_text.summary(letter))
        unseen += look.unseen
        by_reason = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
        found = "no letters" if not look.total else f"{reasons.total()} of {look.total} letters"
        counts.append(f"{service}: {found}" + (f" ({by_reason})" if by_reason else "") + _not_looked_at(look.unseen))
    if as_json:
        for row in rows:
            click.echo(letter_text.json_line(row))
    elif sys.stdout.isatty():
        if rows:
            Console(highlight=False, markup=False, emoji=False).print(letter_text.table(rows))
    else:
        for row in rows:
            click.echo(letter_text.line(row))
    for count in counts:
        click.echo(count, err=True)
    if unseen:
        sys.exit(1)


@dead_letters.command()
@click.argument("names", nargs=-1, required=True, metavar="LETTER...")
@_BROKER
@click.option("--whole", is_flag=True, help="Show every byte, however many there are.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object on each line, the body in base64.")
@click.option(
    "--limit", type=click.IntRange(1), default=DEFAULT_SHOW_LIMIT, show_default=True, metavar="N",
    help="Show so many at most.",
)  # fmt: skip
def show(names: tuple[str, ...], amqp_uri: str, whole: bool, as_json: bool, limit: int) -> None:
    """Show everything of each LETTER: named by its event's id, its key, or its place in the list, such as outcomes:3.

    An event may have letters in several services, and several in one.
    """
    wanted = Filter(names=frozenset(names))
    found: list[Letter] = []
    known: set[str] = set()
    matching = 0
    for service in _services_of(names):
        with _look(amqp_uri, service) as look:
            for letter in look:
                if not wanted.matches(letter):
                    continue
                known |= wanted.names_of(letter)
                matching += 1
                if len(found) < limit:
                    found.append(letter)
    for letter in found:
        if as_json:
            click.echo(letter_text.json_line(letter_text.whole(letter)))
        else:
            for line in letter_text.pages(letter, max_shown=None if whole else letter_text.MAX_SHOWN):
                click.echo(line)
            click.echo()
    if matching > limit:
        click.echo(f"{matching - limit} more are called so; --limit shows them", err=True)
    _refuse_unknown(wanted, known)


@dead_letters.command()
@_filtered
@_ALL
@_LIMIT
@_DRY_RUN
def replay(
    services: tuple[str, ...], amqp_uri: str, wanted: Filter, everything: bool, limit: int | None, dry_run: bool
) -> None:
    """Send dead letters to their own service again, as they came at first, and to no other.

    A letter is taken away once the broker has confirmed that it lies in the service's queue. If its event had its
    effect before, it has no second one; if it fails again, it comes back as a new letter.
    """
    _refuse_without_filter(wanted, everything)
    errand = Errand(services or SERVICES, amqp_uri, wanted, limit)
    if dry_run:
        errand.preview("replayed", lambda letter: f"sent to {topology.queue_of(letter.service)} again")
        return
    publisher = Publisher(amqp_uri)
    try:
        errand.carry_out("replayed", Replay(publisher))
    finally:
        publisher.close()


@dead_letters.command()
@_filtered
@_ALL
@_LIMIT
@_DRY_RUN
@click.option("--save", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="Add each letter to FILE first, whole, as a JSON object on a line.")  # fmt: skip
@click.option("--yes", is_flag=True, help="Do not ask.")
def discard(
    services: tuple[str, ...],
    amqp_uri: str,
    wanted: Filter,
    everything: bool,
    limit: int | None,
    dry_run: bool,
    save: Path | None,
    yes: bool,
) -> None:
    """Throw dead letters away, after asking; with --save they are kept in a file."""
    _refuse_without_filter(wanted, everything)
    errand = Errand(services or SERVICES, amqp_uri, wanted, limit)
    how = f"kept in {save} and discarded" if save else "discarded for good"
    with _kept_in(None if dry_run else save) as keep:
        if dry_run or not yes:
            keys = errand.preview("discarded", lambda letter: how)
            if dry_run or not keys:
                return
            click.confirm(f"Shall they be {how}?", abort=True)
            # What came while the question stood was not asked about.
            errand.keys = keys
        errand.carry_out("discarded", keep)


@dataclass
class Errand:
    """Something to be done with the letters of several services.

    :param limit: how many letters to do it with at most, in all.
    :param keys: the only letters to do it with, if some were agreed on before.
    """

    services: tuple[str, ...]
    amqp_uri: str
    wanted: Filter
    limit: int | None
    keys: set[str] | None = None

    def preview(self, done: str, how: Callable[[Letter], str]) -> set[str]:
        """Say of each letter what would be done; returns the keys of those letters."""
        keys: set[str] = set()
        total = Tally()

        def tell(letter: Letter) -> str | None:
            click.echo(f"{letter_text.short_line(letter)}\twould be {how(letter)}")
            keys.add(letter.key)
            return None

        def say(service: str, tally: Tally, unseen: int) -> None:
            click.echo(f"{service}: {tally.done} would be {done}, {tally.left} left{_not_looked_at(unseen)}", err=True)

        self._go_round(total, work=tell, changes=False, say=say)
        return keys

    def carry_out(self, done: str, work: Callable[[Letter], str | None]) -> None:
        """Do it, and say how often it was done; exits with 1 when some of it could not be."""
        total = Tally()

        def say(service: str, tally: Tally, unseen: int) -> None:
            click.echo(
                f"{service}: {tally.done} {done}, {tally.left} left, {tally.failed} failed{_not_looked_at(unseen)}"
            )

        try:
            self._go_round(total, work=work, changes=True, say=say)
        except PublishFailed as error:
            raise click.ClickException(
                f"the broker takes no letters now; those not {done} are left: {error}"
            ) from error
        except OSError as error:
            raise click.ClickException(f"{error}; the letters not {done} are left") from error
        if total.failed:
            sys.exit(1)

    def _go_round(
        self,
        total: Tally,
        *,
        work: Callable[[Letter], str | None],
        changes: bool,
        say: Callable[[str, Tally, int], None],
    ) -> None:
        known: set[str] = set()
        unseen = 0

        def is_meant(letter: Letter) -> bool:
            known.update(self.wanted.names_of(letter))
            return self.wanted.matches(letter) and (self.keys is None or letter.key in self.keys)

        for service in self.services:
            tally = Tally()
            with _look(self.amqp_uri, service) as look:
                try:
                    work_through(
                        look,
                        is_meant=is_meant,
                        work=work,
                        remove=look.remove if changes else lambda letter: None,
                        limit=None if self.limit is None else self.limit - total.done - total.failed,
                        tally=tally,
                        on_failure=_tell_failure,
                    )
                finally:
                    say(service, tally, look.unseen)
            total.done += tally.done
            total.failed += tally.failed
            unseen += look.unseen
        _refuse_unknown(self.wanted, known)
        if unseen:
            sys.exit(1)


@contextmanager
def _look(amqp_uri: str, service: str) -> Iterator[Look]:
    try:
        with looking(amqp_uri, service) as look:
            yield look
    except LookFailed as error:
        raise click.ClickException(str(error)) from error


@contextmanager
def _kept_in(path: Path | None) -> Iterator[Callable[[Letter], str | None]]:
    """Give what writes a letter to the end of a file, so that it is there whatever happens next; or does nothing."""
    if path is None:
        yield lambda letter: None
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}") from error

    with open(descriptor, "w") as file:

        def keep(letter: Letter) -> None:
            file.write(letter_text.json_line(letter_text.whole(letter)) + "\n")
            file.flush()
            os.fsync(file.fileno())

        yield keep


def _tell_failure(letter: Letter, problem: str) -> None:
    click.echo(f"{letter.place} {letter_text.safe(letter.name)} failed: {letter_text.safe(problem)}", err=True)


def _not_looked_at(unseen: int) -> str:
    return f", {unseen} not looked at; run it again" if unseen else ""


def _services_of(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return where to look for letters: a place says it itself."""
    places = [_PLACE.match(name) for name in names]
    named = {place[1] for place in places if place}
    return SERVICES if None in places else tuple(service for service in SERVICES if service in named)


def _refuse_without_filter(wanted: Filter, everything: bool) -> None:
    if wanted.is_empty and not everything:
        raise click.UsageError("Say which letters: by --id, --reason or another filter, or --all for all of them.")
    for name in wanted.names:
        if _PLACE.match(name):
            raise click.UsageError(f"{name} is a place, and may be another letter's by now; use the event's id or key.")


def _refuse_unknown(wanted: Filter, known: Iterable[str]) -> None:
    unknown = wanted.names.difference(known)
    if unknown:
        names = ", ".join(letter_text.safe(name) for name in sorted(unknown))
        raise click.ClickException(f"no dead letter is called {names}")
