"""The story through the real product to what a terminal shows: events in, mails out, as it happens."""

import secrets
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pika
from pydantic import SecretBytes
from rich.console import Console
from rich.text import Text

from worker import topology
from worker.broker import connect, open_channel, publish
from worker.demo.broker import Broker
from worker.demo.mailserver import Arrival, MailServer
from worker.demo.story import Scene, tell
from worker.events import STRUCTURED, Person
from worker.health import Heart
from worker.parts import build_consumers, ensure_topology, open_journal
from worker.settings import ConsumeSettings, SecretUrl
from worker.telemetry import configure_logging

PATIENCE = 5.0
"""Seconds that a mail may take."""
SILENCE = 0.5
"""Seconds without a mail that prove that none comes."""
OUTBOX = Path("demo-outbox")


@dataclass(frozen=True, slots=True)
class Stage:
    """What the demo runs on."""

    broker_url: str
    mail_server: MailServer
    outbox: Path
    console: Console
    numbers: Iterator[int] = field(default_factory=lambda: count(1))


def run_demo(outbox: Path, console: Console, *, keep: bool) -> bool:
    """Play the story; whether every mail arrived as expected. ``keep`` stays open for events from elsewhere."""
    started = time.monotonic()
    console.print(Text("Countersign demo: events in, mails out, on this machine alone", style="bold"))
    with _stage(outbox, console) as stage:
        console.print(f"  broker       {stage.broker_url}  (embedded, for trying out)", highlight=False)
        console.print(f"  mail server  127.0.0.1:{stage.mail_server.port}\n", highlight=False)
        with connect([stage.broker_url], name="demo") as connection:
            good = [_play(stage, connection, scene) for scene in tell(datetime.now(UTC).replace(microsecond=0))]
        seconds = time.monotonic() - started
        console.print(_summary(good=all(good), scenes=len(good), seconds=seconds, outbox=outbox))
        if keep:
            _stay_open(stage)
    return all(good)


@contextmanager
def _stage(outbox: Path, console: Console) -> Iterator[Stage]:
    configure_logging("console", "error")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="countersign-demo-")))
        broker = stack.enter_context(Broker())
        mail_server = stack.enter_context(MailServer())
        settings = _settings(broker.url, mail_server.port, folder)
        ensure_topology(settings)
        stack.enter_context(_consuming(settings, folder))
        outbox.mkdir(parents=True, exist_ok=True)
        yield Stage(broker.url, mail_server, outbox, console)


def _settings(broker_url: str, port: int, folder: Path) -> ConsumeSettings:
    # Nothing is read from outside: the demo shows the same on every machine.
    return ConsumeSettings(
        broker_url=(SecretUrl(broker_url),),
        smtp_host="127.0.0.1",
        smtp_port=port,
        smtp_from_address=Person(name="Deployments", email="deployments@corp.example"),
        approval_reply_address="approvals@corp.example",
        enable_email_approval=True,
        approval_token_key=(SecretBytes(secrets.token_bytes(32)),),
        attach_logs="always",
        log_level="error",
        state_url=SecretUrl(f"sqlite:///{folder}/journal.db"),
    )


@contextmanager
def _consuming(settings: ConsumeSettings, folder: Path) -> Iterator[None]:
    journal = open_journal(settings)
    consumers = build_consumers(settings, journal, Heart(folder / "health.json"))
    threads = [threading.Thread(target=consumer.run, daemon=True) for consumer in consumers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for consumer in consumers:
            consumer.stop()
        for thread in threads:
            thread.join(timeout=PATIENCE)
        journal.close()


def _play(stage: Stage, connection: pika.BlockingConnection, scene: Scene) -> bool:
    stage.console.print(Text.assemble(("event  ", "cyan"), (f"{scene.routing_key:<20}", "bold"), scene.says))
    properties = pika.BasicProperties(content_type=STRUCTURED, delivery_mode=pika.DeliveryMode.Persistent)
    with open_channel(connection) as channel:
        channel.confirm_delivery()
        publish(channel, topology.EVENTS_EXCHANGE, scene.routing_key, scene.body, properties)
    arrivals = _await(stage, len(scene.mails_to))
    for arrival in arrivals:
        _show(stage, arrival)
    good = _is_expected(scene, arrivals)
    if scene.dead_letter:
        reason = _dead_letter(connection)
        stage.console.print(Text.assemble(("  dead letter  ", "yellow"), reason or "none"))
        good = good and reason is not None
    elif not scene.mails_to and good:
        stage.console.print(Text("  no mail", style="green"))
    if not good:
        stage.console.print(Text(f"  expected {scene.mails_to} with {scene.attachments}", style="bold red"))
    return good


def _await(stage: Stage, count: int) -> list[Arrival]:
    arrivals: list[Arrival] = []
    while (arrival := stage.mail_server.next(PATIENCE if len(arrivals) < count else SILENCE * (not count))) is not None:
        arrivals.append(arrival)
    return arrivals


def _is_expected(scene: Scene, arrivals: list[Arrival]) -> bool:
    recipients = sorted(recipient for arrival in arrivals for recipient in arrival.recipients)
    attachments = {tuple(_attachments(arrival)) for arrival in arrivals}
    return recipients == sorted(scene.mails_to) and attachments <= {scene.attachments}


def _attachments(arrival: Arrival) -> list[str]:
    return [part.get_filename() or "" for part in arrival.message.iter_attachments()]


def _show(stage: Stage, arrival: Arrival) -> None:
    path = _write(stage, arrival)
    subject = str(arrival.message["Subject"])
    stage.console.print(
        Text.assemble(("  mail   ", "green"), f"{', '.join(arrival.recipients):<20}", (subject, "bold"))
    )
    for name in _attachments(arrival):
        stage.console.print(Text.assemble(("           attached  ", "dim"), name))
    stage.console.print(Text(f"           {path}", style="dim"))


def _write(stage: Stage, arrival: Arrival) -> Path:
    path = stage.outbox / f"{next(stage.numbers):02}-{arrival.recipients[0].partition('@')[0]}.eml"
    path.write_bytes(arrival.raw)
    html = arrival.message.get_body(("html",))
    if html is not None:
        path.with_suffix(".html").write_text(html.get_content())
    return path


def _dead_letter(connection: pika.BlockingConnection) -> str | None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with open_channel(connection) as channel:
            method, properties, _ = channel.basic_get(topology.DEAD_QUEUE, auto_ack=True)
        if method is not None:
            return str(properties.headers["x-reason"])
        time.sleep(0.05)
    return None


def _summary(*, good: bool, scenes: int, seconds: float, outbox: Path) -> Text:
    if good:
        return Text(
            f"\nAll {scenes} scenes went as expected in {seconds:.1f} s. The mails are in {outbox}/", "bold green"
        )
    return Text(f"\nNot as expected: see above. The mails are in {outbox}/", "bold red")


def _stay_open(stage: Stage) -> None:
    stage.console.print("Publish into it (Ctrl-C ends):", style="bold")
    stage.console.print(f"  BROKER_URL={stage.broker_url} countersign publish EVENT.json\n", highlight=False)
    try:
        while True:
            arrival = stage.mail_server.next(3600.0)
            if arrival is not None:
                _show(stage, arrival)
    except KeyboardInterrupt:
        return
