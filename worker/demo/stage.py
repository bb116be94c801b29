"""A folder to the whole product, running on servers of the demo's own: broker, mail server, mailbox."""

import secrets
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pika
from pydantic import SecretBytes, SecretStr
from rich.console import Console

from worker import topology
from worker.broker import connect
from worker.demo.broker import Broker
from worker.demo.imapserver import LOOPBACK, ImapServer
from worker.demo.mailserver import Arrival, MailServer
from worker.demo.replies import AUTHSERV_ID
from worker.events import Person
from worker.health import Heart
from worker.inbound import build_poller
from worker.parts import build_consumers, open_journal
from worker.settings import PollSettings, SecretUrl
from worker.telemetry import configure_logging

REPLY_ADDRESS = "approvals@corp.example"
_STOP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Stage:
    """What the demo runs on. ``asked`` has the mail of each approval and approver, as it arrived."""

    broker_url: str
    connection: pika.BlockingConnection
    mail_server: MailServer
    mailbox: ImapServer
    outbox: Path
    console: Console
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    asked: dict[tuple[str, str], Arrival] = field(default_factory=dict)


@contextmanager
def set_stage(outbox: Path, console: Console) -> Iterator[Stage]:
    """Everything started, with the product at work on it; stopped at the end."""
    configure_logging("console", "error")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="countersign-demo-")))
        broker = stack.enter_context(Broker())
        mail_server = stack.enter_context(MailServer())
        mailbox = stack.enter_context(ImapServer(REPLY_ADDRESS))
        connection = stack.enter_context(connect([broker.url], name="demo"))
        topology.declare(connection, topology.PLAN)
        stack.enter_context(_running(_settings(broker.url, mail_server, mailbox, folder), folder))
        outbox.mkdir(parents=True, exist_ok=True)
        yield Stage(broker.url, connection, mail_server, mailbox, outbox, console)


def _settings(broker_url: str, mail_server: MailServer, mailbox: ImapServer, folder: Path) -> PollSettings:
    # Nothing is read from outside: the demo shows the same on every machine.
    return PollSettings(
        broker_url=(SecretUrl(broker_url),),
        smtp_host=LOOPBACK,
        smtp_port=mail_server.port,
        smtp_from_address=Person(name="Deployments", email="deployments@corp.example"),
        enable_email_approval=True,
        imap_host=LOOPBACK,
        imap_port=mailbox.port,
        imap_user=mailbox.user,
        imap_password=SecretStr(mailbox.password),
        imap_enable_starttls=False,
        email_reply_idle=True,
        approval_reply_address=REPLY_ADDRESS,
        approval_token_key=(SecretBytes(secrets.token_bytes(32)),),
        approval_trust="dmarc",
        trusted_authserv_id=AUTHSERV_ID,
        attach_logs="always",
        log_level="error",
        state_url=SecretUrl(f"sqlite:///{folder}/journal.db"),
    )


@contextmanager
def _running(settings: PollSettings, folder: Path) -> Iterator[None]:
    journal, heart = open_journal(settings), Heart(folder / "health.json")
    loops = (*build_consumers(settings, journal, heart), *build_poller(settings, journal, heart))
    threads = [threading.Thread(target=loop.run, daemon=True) for loop in loops]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for loop in loops:
            loop.stop()
        for thread in threads:
            thread.join(timeout=_STOP_SECONDS)
        journal.close()
