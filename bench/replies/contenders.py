"""Names to pollers that can be started on a mailbox, and what has to be installed for them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from servers.ports import free_port

from bench.broker import declare_ours, declare_queue
from bench.replies.clients import AUTHSERV_ID
from bench.replies.questions import REPLY_ADDRESS, SENDER, TOKEN_KEY
from worker.mail.relay import Password
from worker.reply_poller.account import Account
from worker.topology import DECISIONS_QUEUE

PEER_QUEUE = "bench.decisions"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a poller works: a mailbox, a broker, and a folder for what it keeps, with the journal in it."""

    port: int
    user: str
    password: str
    broker: str
    state: Path

    @property
    def account(self) -> Account:
        """The mailbox as our poller knows it."""
        return Account("127.0.0.1", self.port, Password(self.user, self.password), starttls=False)


@dataclass(frozen=True, slots=True)
class Contender:
    """A poller: how it is started, and the queue that its decisions go to; ``None``: it makes none."""

    name: str
    command: Callable[[Place], tuple[str, ...]]
    environment: Callable[[Place], Mapping[str, str]]
    queue: str | None = PEER_QUEUE
    missing: Callable[[], str | None] = lambda: None

    def declare(self, broker: str) -> None:
        """Its queue, and what belongs to it."""
        if self.queue == DECISIONS_QUEUE:
            declare_ours(broker)
        else:
            declare_queue(broker, PEER_QUEUE)

    def surroundings(self, place: Place) -> dict[str, str]:
        """The environment of its process: what a shell has, and its settings."""
        shell = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ") if name in os.environ}
        return shell | dict(self.environment(place))


def _ours(place: Place) -> Mapping[str, str]:
    return {
        "BROKER_URL": place.broker,
        "STATE_URL": f"sqlite:///{place.state}/journal.sqlite",
        "SMTP_HOST": "127.0.0.1",
        "SMTP_FROM_ADDRESS": SENDER,
        "SMTP_ENABLE_STARTTLS": "false",
        "ENABLE_EMAIL_APPROVAL": "true",
        "APPROVAL_TOKEN_KEY": TOKEN_KEY,
        "APPROVAL_REPLY_ADDRESS": REPLY_ADDRESS,
        "TRUSTED_AUTHSERV_ID": AUTHSERV_ID,
        "IMAP_HOST": "127.0.0.1",
        "IMAP_PORT": str(place.port),
        "IMAP_USER": place.user,
        "IMAP_PASSWORD": place.password,
        "IMAP_ENABLE_STARTTLS": "false",
        "EMAIL_REPLY_PROCESS_COUNT": "10000",
    }


def _peer(place: Place) -> Mapping[str, str]:
    return {
        "BROKER_URL": place.broker,
        "QUEUE": PEER_QUEUE,
        "IMAP_PORT": str(place.port),
        "IMAP_USER": place.user,
        "IMAP_PASSWORD": place.password,
    }


def _receiver(place: Place) -> tuple[str, ...]:
    port = str(free_port())
    config = _mail_room(
        place, "postback", {"delivery_url": f"http://127.0.0.1:{port}/", "content_type": "message/rfc822"}
    )
    return sys.executable, "-m", "bench.peers.postback", port, "mail_room", "--config", config


def _logger(place: Place) -> tuple[str, ...]:
    return "mail_room", "--config", _mail_room(place, "logger", {"log_path": f"{place.state}/mails.log"})


def _mail_room(place: Place, delivery: str, options: Mapping[str, str]) -> str:
    settings = {
        "email": place.user,
        "password": place.password,
        "host": "127.0.0.1",
        "port": place.port,
        "ssl": False,
        "start_tls": False,
        "name": "INBOX",
        "delete_after_delivery": True,
        "expunge_deleted": True,
        "delivery_method": delivery,
    }
    lines = [
        ":mailboxes:",
        "  -",
        *_symbols(settings, 4),
        "    :logger:",
        *_symbols({"log_path": f"{place.state}/mail_room.log"}, 6),
        "    :delivery_options:",
        *_symbols(options, 6),
    ]
    path = place.state / "mail_room.yml"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def _symbols(settings: Mapping[str, object], indent: int) -> list[str]:
    # JSON's values are YAML's too; a name with a colon in front is Ruby's symbol.
    return [f"{'':{indent}}:{name}: {json.dumps(value)}" for name, value in settings.items()]


def _no_mail_room() -> str | None:
    return None if shutil.which("mail_room") else "mail_room is not installed: on Debian ruby-mail-room"


def _no_faraday() -> str | None:
    if missing := _no_mail_room():
        return missing
    tried = subprocess.run(["ruby", "-e", "require 'faraday'"], stderr=subprocess.DEVNULL, check=False)
    return "its postback needs faraday: on Debian ruby-faraday" if tried.returncode else None


def _module(*arguments: str) -> Callable[[Place], tuple[str, ...]]:
    return lambda _: (sys.executable, "-m", *arguments)


CONTENDERS = (
    Contender("ours", _module("worker", "poll"), _ours, DECISIONS_QUEUE),
    Contender("plain loop", _module("bench.peers.loop"), _peer),
    Contender("mail_room postback", _receiver, _peer, missing=_no_faraday),
    Contender("mail_room logger", _logger, _peer, queue=None, missing=_no_mail_room),
)


def chosen(names: Iterable[str]) -> tuple[Contender, ...]:
    """The contenders whose names start with one of ``names``."""
    wanted = tuple(names)
    return tuple(contender for contender in CONTENDERS if contender.name.startswith(wanted))
