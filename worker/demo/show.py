"""The story through the real product to what a terminal shows: events in, mails out, replies in, approvals out."""

import time
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import assert_never

import pika
from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker import topology
from worker.broker import open_channel, publish
from worker.demo.imapserver import INBOX
from worker.demo.mailserver import Arrival
from worker.demo.replies import receive
from worker.demo.stage import Stage, set_stage
from worker.demo.story import ReplyScene, Scene, tell
from worker.demo.upstream import next_dead_letter, next_event
from worker.events import STRUCTURED
from worker.reply_events import DecisionEvent, ReplyEvent

PATIENCE = 10.0
"""Seconds that a mail, or what becomes of a reply, may take."""
SILENCE = 0.5
"""Seconds without a mail that prove that none comes."""
QUARANTINE = "Quarantine"
_PAUSE = 0.02
_LABEL = 11
"""Columns before the name of a person or a queue, and then before what is said."""
_NAME = 20


def run_demo(outbox: Path, console: Console, *, keep: bool) -> bool:
    """Play the story; whether all came as it says. ``keep`` stays open for events from elsewhere."""
    started = time.monotonic()
    console.print(Text("Countersign demo: events in, mails out; replies in, approvals out", style="bold"))
    with set_stage(outbox, console) as stage:
        _introduce(stage)
        good = [_play(stage, scene) for scene in tell(datetime.now(UTC).replace(microsecond=0))]
        seconds = time.monotonic() - started
        console.print(_summary(good=all(good), scenes=len(good), seconds=seconds, outbox=outbox))
        if keep:
            _stay_open(stage)
    return all(good)


def _introduce(stage: Stage) -> None:
    servers = {
        "broker": stage.broker_url,
        "mail server": f"smtp://127.0.0.1:{stage.mail_server.port}",
        "mailbox": f"imap://127.0.0.1:{stage.mailbox.port}",
    }
    stage.console.print("On this machine alone, embedded, for trying out:")
    for name, url in servers.items():
        stage.console.print(f"  {name:<11}  {url}", highlight=False)
    stage.console.print()


def _play(stage: Stage, scene: Scene | ReplyScene) -> bool:
    match scene:
        case Scene():
            return _play_event(stage, scene)
        case ReplyScene():
            return _play_reply(stage, scene)
        case _:
            assert_never(scene)


def _play_event(stage: Stage, scene: Scene) -> bool:
    _say(stage, Text("event", "cyan"), scene.routing_key, scene.says)
    properties = pika.BasicProperties(content_type=STRUCTURED, delivery_mode=pika.DeliveryMode.Persistent)
    with open_channel(stage.connection) as channel:
        channel.confirm_delivery()
        publish(channel, topology.EVENTS_EXCHANGE, scene.routing_key, scene.body, properties)
    arrivals = _await(stage, len(scene.mails_to))
    for arrival in arrivals:
        _show_mail(stage, arrival)
        stage.asked[scene.approval, arrival.recipients[0]] = arrival
    good = _is_expected(scene, arrivals)
    if scene.dead_letter:
        reason = next_dead_letter(stage.connection, PATIENCE)
        _say(stage, Text("  kept", "yellow"), "dead letter", reason or "none")
        good = good and reason is not None
    elif not scene.mails_to and good:
        _say(stage, Text("  no mail", "green"), "", "")
    if not good:
        stage.console.print(Text(f"  expected {scene.mails_to} with {scene.attachments}", style="bold red"))
    return good


def _await(stage: Stage, count: int) -> list[Arrival]:
    arrivals: list[Arrival] = []
    while (arrival := stage.mail_server.next(PATIENCE if len(arrivals) < count else SILENCE * (not count))) is not None:
        arrivals.append(arrival)
    return arrivals


def _is_expected(scene: Scene, arrivals: list[Arrival]) -> bool:
    attachments = {tuple(_attachments(arrival)) for arrival in arrivals}
    return _recipients(arrivals) == sorted(scene.mails_to) and attachments <= {scene.attachments}


def _recipients(arrivals: list[Arrival]) -> list[str]:
    return sorted(recipient for arrival in arrivals for recipient in arrival.recipients)


def _attachments(arrival: Arrival) -> list[str]:
    return [part.get_filename() or "" for part in arrival.message.iter_attachments()]


def _say(stage: Stage, label: Text, name: str, what: str | Text) -> None:
    """Write one line, or more where it is long: who or what it is about stands in a column of its own."""
    grid = Table.grid(padding=(0, 1, 0, 0))
    for width in (_LABEL - 1, _NAME - 1):
        grid.add_column(min_width=width, no_wrap=True)
    grid.add_column()
    grid.add_row(label, Text(name, "bold"), what)
    stage.console.print(grid)


def _show_mail(stage: Stage, arrival: Arrival) -> None:
    number = next(stage.numbers)
    _write(stage, f"{number:02}-{_name(arrival.recipients[0])}", arrival.raw, arrival.message)
    label = Text.assemble(("  mail", "green"), (f" {number:02}", "dim"))
    _say(stage, label, ", ".join(arrival.recipients), str(arrival.message["Subject"]))
    for name in _attachments(arrival):
        _say(stage, Text(), "", Text.assemble(("+ ", "dim"), name))


def _write(stage: Stage, name: str, raw: bytes, mail: EmailMessage) -> None:
    path = stage.outbox / f"{name}.eml"
    path.write_bytes(raw)
    html = mail.get_body(("html",))
    if html is not None:
        path.with_suffix(".html").write_text(html.get_content())


def _name(address: str) -> str:
    return address.partition("@")[0]


def _play_reply(stage: Stage, scene: ReplyScene) -> bool:
    asked = stage.asked.get((scene.approval, scene.approver))
    if asked is None:
        stage.console.print(Text(f"  no mail of {scene.approval} to {scene.approver} to answer", style="bold red"))
        return False
    kept = len(stage.mailbox.folders().get(QUARANTINE, ())) + scene.quarantined
    stage.mailbox.deliver(_reply(stage, scene, asked))
    event = next_event(stage.connection, PATIENCE)
    _show_event(stage, event)
    arrivals = _await(stage, len(scene.mails_to))
    for arrival in arrivals:
        _show_mail(stage, arrival)
    good = _is_as_told(scene, event, arrivals) and _is_settled(stage, kept)
    if good and scene.quarantined:
        _say(stage, Text("  kept", "yellow"), QUARANTINE, "for a person to look at")
    if not good:
        expected = f"  expected {scene.published}, mails to {scene.mails_to}, and the reply gone from {INBOX}"
        stage.console.print(Text(expected, style="bold red"))
    return good


def _reply(stage: Stage, scene: ReplyScene, asked: Arrival) -> bytes:
    number, mail = next(stage.numbers), scene.write(asked, datetime.now(UTC))
    raw = receive(mail, dmarc=scene.dmarc)
    _write(stage, f"{number:02}-reply-{_name(scene.approver)}", raw, mail)
    text = mail.get_body(("plain",))
    words = "" if text is None else text.get_content().partition("\n")[0]
    label = Text.assemble(("reply", "magenta"), (f" {number:02}", "dim"))
    _say(stage, label, scene.approver, f"{scene.says}: “{words}”")
    return raw


def _show_event(stage: Stage, event: DecisionEvent | ReplyEvent | None) -> None:
    match event:
        case DecisionEvent(data=data):
            queue, style, who, words = topology.DECISIONS_QUEUE, "green", f" by {data.approver.name}", data.comment
        case ReplyEvent(data=data):
            queue, style, who, words = topology.UNDECIDED_QUEUE, "yellow", "", data.detail or data.reason
        case None:
            stage.console.print(Text("  nothing was published", style="bold red"))
            return
    said = Text.assemble((event.type, f"bold {style}"), f"  {data.approval_id}{who}", f"\n{words}" if words else "")
    _say(stage, Text("  queue", style), queue, said)


def _is_as_told(scene: ReplyScene, event: DecisionEvent | ReplyEvent | None, arrivals: list[Arrival]) -> bool:
    if event is None or (event.type, event.data.approval_id) != (scene.published, scene.approval):
        return False
    if isinstance(event, DecisionEvent):
        told = event.data.approver.email, event.data.comment
        return told == (scene.approver, scene.comment) and not arrivals
    return _recipients(arrivals) == sorted(scene.mails_to)


def _is_settled(stage: Stage, kept: int) -> bool:
    # The mail leaves the folder a moment after its event is confirmed.
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        folders = stage.mailbox.folders()
        if not folders[INBOX] and len(folders.get(QUARANTINE, ())) == kept:
            return True
        time.sleep(_PAUSE)
    return False


def _summary(*, good: bool, scenes: int, seconds: float, outbox: Path) -> Text:
    where = f"the mails are in {outbox}/"
    if good:
        return Text(f"\nAll {scenes} scenes went as expected in {seconds:.1f} s; {where}", "bold green")
    return Text(f"\nNot as expected: see above; {where}", "bold red")


def _stay_open(stage: Stage) -> None:
    stage.console.print("Publish into it (Ctrl-C ends):", style="bold")
    stage.console.print(f"  BROKER_URL={stage.broker_url} countersign publish EVENT.json\n", highlight=False)
    try:
        while True:
            arrival = stage.mail_server.next(3600.0)
            if arrival is not None:
                _show_mail(stage, arrival)
    except KeyboardInterrupt:
        return
