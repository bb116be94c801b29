"""Arguments to commands: settings in, parts built, loop run, and an exit status that scripts can rely on.

0 done, 1 it failed and says why, 2 wrong usage or settings. Each command imports what it needs when it runs.
"""

import gc
import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, ParamSpec, TypeVar

import click

from worker import __version__
from worker.errors import CountersignError, SettingsError

if TYPE_CHECKING:
    # Names of types alone: --help must not load what they stand for.
    from worker.health import Heart
    from worker.journal import Journal
    from worker.lifetime import Loop
    from worker.settings import ConsumeSettings

P = ParamSpec("P")
SomeSettings = TypeVar("SomeSettings", bound="ConsumeSettings")

FAILED, WRONG_USAGE = 1, 2
OBJECTS_PER_COLLECTION = 50_000


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="countersign")
def main() -> None:
    """Deployment events on RabbitMQ become emails; the approvers' replies become approvals on RabbitMQ.

    Settings come from the environment and from the TOML file named by COUNTERSIGN_CONFIG: see `countersign settings`.
    """


def _command(function: Callable[P, None]) -> click.Command:
    """A command of that name whose errors are sentences, not tracebacks."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except SettingsError as error:
            _fail(str(error), WRONG_USAGE)
        except (CountersignError, OSError) as error:
            _fail(str(error), FAILED)
        except KeyboardInterrupt:
            sys.exit(FAILED)

    return main.command(name=function.__name__.removesuffix("_command").replace("_", "-"))(run)


def _fail(sentence: str, status: int) -> NoReturn:
    click.echo(f"countersign: {sentence}", err=True)
    sys.exit(status)


@_command
def consume() -> None:
    """Turn events into mails until told to stop."""
    from worker.parts import build_consumers
    from worker.settings import ConsumeSettings

    _serve("consume", ConsumeSettings, build_consumers)


@_command
@click.option("--once", is_flag=True, help="Read the folder once, show what came of each mail, and end.")
def poll(*, once: bool) -> None:
    """Turn approvers' replies into decisions until told to stop."""
    from worker.inbound import build_poller
    from worker.settings import PollSettings

    if once:
        _poll_once()
    else:
        _serve("poll", PollSettings, build_poller)


@_command
def run() -> None:
    """Do both in one process: turn events into mails, and replies into decisions."""
    from worker.inbound import build_poller
    from worker.parts import build_consumers
    from worker.settings import PollSettings

    def build(settings: PollSettings, journal: "Journal", heart: "Heart") -> "tuple[Loop, ...]":
        return (*build_consumers(settings, journal, heart), *build_poller(settings, journal, heart))

    _serve("run", PollSettings, build)


def _serve(
    role: str,
    kind: "type[SomeSettings]",
    build: "Callable[[SomeSettings, Journal, Heart], tuple[Loop, ...]]",
) -> None:
    """Run the loops that ``build`` makes of the settings until a signal comes, or one of them fails."""
    from worker.health import Heart, health_file
    from worker.lifetime import run_until_told
    from worker.parts import open_journal

    settings = _configured(kind)
    journal = open_journal(settings)
    heart = Heart(health_file(os.environ.get("STATE_DIRECTORY"), role))
    loops = build(settings, journal, heart)
    # What is there by now stays: the collector need not look at it again, thousands of times a minute.
    gc.freeze()
    gc.set_threshold(OBJECTS_PER_COLLECTION)
    try:
        run_until_told(loops)
    finally:
        heart.stop()
        journal.close()


def _configured(kind: "type[SomeSettings]") -> "SomeSettings":
    import structlog

    from worker.settings import read_settings
    from worker.telemetry import configure_logging

    settings = read_settings(os.environ, kind).settings
    configure_logging(settings.log_format, settings.log_level)
    for risk in settings.warnings():
        structlog.get_logger().warning("risk", cause=risk)
    return settings


def _poll_once() -> None:
    from rich.console import Console

    from worker.inbound import poll_once
    from worker.parts import open_journal
    from worker.reply_poller.shown import show_settled
    from worker.settings import PollSettings

    settings = _configured(PollSettings)
    journal = open_journal(settings)
    try:
        show_settled(poll_once(settings, journal), Console())
    finally:
        journal.close()


@_command
@click.argument("mail", metavar="MAIL.eml", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def explain(mail: Path) -> None:
    """Show what would come of a saved mail, question by question; nothing is published, moved or written."""
    from rich.console import Console

    from worker.inbound import explain_mail
    from worker.reply_poller.shown import show_explanation
    from worker.settings import PollSettings, read_settings

    settings = read_settings(os.environ, PollSettings).settings
    show_explanation(explain_mail(settings, mail.read_bytes()), Console())


@_command
@click.argument("files", metavar="FILE…", nargs=-1, required=True, type=click.Path(path_type=Path))
def publish(files: tuple[Path, ...]) -> None:
    """Publish event files (`-` is standard input): checked first, then each confirmed by the broker."""
    from worker.parts import connect
    from worker.publisher import publish_events
    from worker.settings import Settings, read_settings

    settings = read_settings(os.environ, Settings).settings
    bodies = [(str(path), sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()) for path in files]
    with connect(settings, "publish") as connection:
        for published in publish_events(connection, bodies, max_bytes=settings.max_event_bytes):
            click.echo(f"{published.name}: {published.type} {published.id} published")


@_command
@click.option("--check", "action", flag_value="check", help="Compare the broker; exit 1 where it differs.")
@click.option("--declare", "action", flag_value="declare", help="Create what is missing; never change or delete.")
@click.option("--permissions", "action", flag_value="permissions", help="The rabbitmqctl lines of each role.")
@click.option("--json", "action", flag_value="json", help="The plan as a definitions file for RabbitMQ.")
def topology(action: str | None) -> None:
    """Print the exchanges and queues, compare the broker with them, or declare them."""
    import json

    from rich.console import Console

    from worker.broker import parse_url
    from worker.parts import broker_urls, connect
    from worker.permissions import permission_lines
    from worker.settings import Settings, read_settings
    from worker.topology import compare, declare, definitions, show

    settings = read_settings(os.environ, Settings).settings
    vhost = parse_url(broker_urls(settings)[0]).vhost
    match action:
        case "permissions":
            click.echo("\n".join(permission_lines(vhost=vhost)))
        case "json":
            click.echo(json.dumps(definitions(vhost=vhost), indent=2))
        case None:
            show(Console())
        case _:
            with connect(settings, "topology") as connection:
                differences = declare(connection) if action == "declare" else compare(connection)
            for difference in differences:
                click.echo(str(difference))
            if any(difference.blocking for difference in differences):
                sys.exit(FAILED)
            click.echo("declared: the broker is as planned" if action == "declare" else "the broker is as planned")


@_command
def settings_command() -> None:
    """Show each setting, where it came from, and its FlexDeploy name; secrets are masked."""
    from rich.console import Console

    from worker.settings import Settings, read_settings, show_settings

    show_settings(read_settings(os.environ, Settings), Console())


@_command
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder to write the files to.")
def schema(out: Path | None) -> None:
    """Write the JSON Schemas of the events and the AsyncAPI document; without --out, print the document."""
    from worker.schema import schema_files

    files = schema_files()
    if out is None:
        click.echo(files["asyncapi.yaml"], nl=False)
        return
    for name, text in files.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        click.echo(str(path))


@_command
@click.argument("event", metavar="EVENT.json", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--locale", help="Read as somebody with this locale does, such as de.")
@click.option("--timezone", help="Read in this time zone, such as Europe/Berlin.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=".", help="Folder for the files.")
@click.option("--serve", is_flag=True, help="Show it in the browser instead, and again after each edit.")
@click.option("--port", type=int, default=0, help="TCP port of --serve; a free one if left out.")
def preview(event: Path, locale: str | None, timezone: str | None, out: Path, port: int, *, serve: bool) -> None:
    """Write the mails of an event as .eml, .html and .txt; nothing is sent."""
    import tempfile

    from worker.parts import build_templates
    from worker.preview import Preview, PreviewServer, read_event, write_preview
    from worker.rehearsal import Rehearsal
    from worker.settings import Settings, read_settings

    settings = read_settings(os.environ, Settings).settings
    templates = build_templates(settings)
    with tempfile.TemporaryDirectory(prefix="countersign-preview-") as folder:
        compose = Rehearsal(settings, templates, Path(folder)).compose
        if not serve:
            read = read_event(event, locale=locale, timezone=timezone)
            for path in write_preview(event, read, compose=compose, out=out):
                click.echo(str(path))
            return
        shown = Preview(
            event,
            compose=compose,
            refresh=templates.refresh,
            problems=templates.problems,
            locale=locale,
            timezone=timezone,
        )
        with PreviewServer(shown, port) as server:
            click.echo(f"{server.url} shows {event} and follows each edit; Ctrl-C ends")
            server.serve_forever()


@_command
@click.option("--keep", is_flag=True, help="Stay open afterwards, for events that you publish.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default="demo-outbox", show_default=True)
def demo(out: Path, *, keep: bool) -> None:
    """Show the whole loop on this machine, with nothing installed: events in, mails out, replies in, decisions out."""
    try:
        from worker.demo.show import run_demo
    except ModuleNotFoundError as error:
        _fail(f"the demo needs {error.name}: pip install 'countersign[demo]'", FAILED)
    from rich.console import Console

    if not run_demo(out, Console(), keep=keep):
        sys.exit(FAILED)


@_command
def health() -> None:
    """Say whether the processes on this machine are alive, for health checks of containers."""
    import time

    from worker.health import examine, health_files

    found = [examine(path, time.time()) for path in health_files(os.environ.get("STATE_DIRECTORY"))]
    click.echo("\n".join(said for _, said in found))
    sys.exit(0 if all(healthy for healthy, _ in found) else FAILED)
