"""``python -m examples.demo``: plays the main job and shows it step by step."""

import logging
import sys
import time
from pathlib import Path

import click


@click.command(context_settings={"max_content_width": 110})
@click.option("--amqp-uri", help="A running RabbitMQ: amqp://user:password@host:5672/vhost. Goes with --database-url.")
@click.option(
    "--database-url",
    help="A running PostgreSQL: postgresql://user:password@host:5432/database, as a role "
    "that may create databases; three are created and dropped again.",
)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="Embedded only: keep the SQLite databases in this directory.",
)
@click.option("--verbose", is_flag=True, help="Show what the services log.")
def main(amqp_uri: str | None, database_url: str | None, keep: Path | None, verbose: bool) -> None:
    """Play a round of a partnership of 25 councils, from the pool's first day to the first certified outcomes.

    Without options everything runs in this process: no broker, no database server. With both URIs the same story runs
    on real servers, each service in its own process.
    """  # fmt: skip
    if bool(amqp_uri) != bool(database_url):
        raise click.UsageError("--amqp-uri and --database-url go together.")
    if keep and amqp_uri:
        raise click.UsageError("--keep is for the embedded demo.")
    if amqp_uri is None:
        # The services run in this process: the standard library must yield to them before anything else is imported.
        import warnings

        warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")
        import eventlet

        eventlet.monkey_patch()
    logging.basicConfig(level=logging.INFO if verbose else logging.CRITICAL, format="%(levelname)s %(message)s")
    sys.exit(_play(amqp_uri, database_url, keep))


def _play(amqp_uri: str | None, database_url: str | None, keep: Path | None) -> int:
    from commonweal import CommonwealError
    from examples.demo.programme import Programme
    from examples.demo.screen import Screen
    from examples.demo.stage import StageFailed, embedded_stage, server_stage
    from examples.demo.story import Story, StoryBroke
    from shared.ops.launch import ServiceFailed

    screen = Screen()
    started = time.monotonic()
    try:
        where = server_stage(amqp_uri, database_url) if amqp_uri and database_url else embedded_stage(keep)
        with where as stage:
            Story(stage, Programme(stage.signing_key), screen).tell(keep)
    except CommonwealError as error:
        fields = "".join(f"\n  {path}: {' '.join(sentences)}" for path, sentences in error.fields.items())
        screen.failure(f"{type(error).__name__} ({error.code}): {error}{fields}")
        return 1
    except (StageFailed, StoryBroke, ServiceFailed, OSError, ValueError) as error:
        screen.failure(str(error))
        return 1
    screen.note(f"It took {time.monotonic() - started:.1f} seconds.")
    return 0


if __name__ == "__main__":
    main()
