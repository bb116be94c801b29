"""Where a poller is broken off: replies in by the folder, and what stands in queues, mailbox, journal and mail server.

Approvals are asked for straight in the journal, and replies are put straight into the Maildir: thousands in seconds.
"""

import base64
import json
import shutil
import signal
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any, Self

from builders import parsed
from process import Worker
from reply_poller.crashing import Place
from reply_poller.desk import AUTHSERV_ID, KEY, Question, an_approval_requested, an_approval_withdrawn
from servers.dovecot import DovecotUser
from servers.mailbox_sink import SmtpSink
from servers.ports import LOOPBACK, wait_until
from sqlalchemy import select, update

from worker import topology
from worker.broker import connect
from worker.events import ApprovalRequested, ApprovalWithdrawn, Approver, mail_key
from worker.journal import Journal
from worker.register import Asked, Register
from worker.reply_events import decision_id, reply_id
from worker.reply_token import Question as Asking
from worker.reply_token import TokenKeys, reply_address, token_hash
from worker.tables import answers, leases

Events = Mapping[str, Sequence[Mapping[str, Any]]]
"""Copies of each event, by its id."""

CRASHING = str(Path(__file__).with_name("crashing.py"))
KEYS = TokenKeys([base64.urlsafe_b64decode(KEY + "=")])


class BreakingPoller(Worker):
    """The poller as a process with a fuse."""

    def __init__(self, folder: Path, settings: Mapping[str, str], command: str) -> None:
        self._fuse = folder / "fuse"
        self._held = folder / "fuse.held"
        super().__init__(folder, settings, command=("-P", CRASHING, command, str(self._fuse)))

    def kill_at(self, place: Place) -> None:
        """It ends when it comes to that place."""
        self._set(place, "kill")

    def hold_at(self, place: Place) -> None:
        """It stands still when it comes to that place, until ``let_go``."""
        self._set(place, "hold")

    def wait_killed(self) -> None:
        """Wait until it has ended by its own hand."""
        assert self.process.wait(20) == -signal.SIGKILL, self.text

    def wait_held(self) -> None:
        """Wait until it stands still."""
        wait_until(self._held.exists, f"a standstill:\n{self.text}", 20)

    def let_go(self) -> None:
        """It goes on."""
        self._held.unlink()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Whatever comes meanwhile it finds all at once."""
        self.process.send_signal(signal.SIGSTOP)
        yield
        self.process.send_signal(signal.SIGCONT)

    def _set(self, place: Place, what: str) -> None:
        draft = self._fuse.with_suffix(".draft")
        draft.write_text(f"{place}\n{what}")
        draft.replace(self._fuse)


class CrashSite:
    """A mailbox, a broker, a mail server and a journal, and the pollers between them."""

    def __init__(
        self,
        folder: Path,
        url: str,
        smtp: SmtpSink,
        mailbox: DovecotUser,
        state_url: str | None = None,
        **settings: str,
    ) -> None:
        """The journal is SQLite where no other is named; ``settings`` may name another way to a server."""
        self.smtp = smtp
        self.inbox = mailbox.home / "mail"
        self._mailbox = mailbox
        self._folder = folder
        self.url = url
        self._numbers = count(1)
        self._pollers: list[BreakingPoller] = []
        state_url = state_url or f"sqlite:///{folder}/journal.db"
        self.settings = {
            "BROKER_URL": url,
            "STATE_URL": state_url,
            "SMTP_PORT": str(smtp.port),
            "SMTP_FROM_ADDRESS": f"Deploy Approvals <{mailbox.name}>",
            "ENABLE_EMAIL_APPROVAL": "true",
            "IMAP_HOST": LOOPBACK,
            "IMAP_PORT": str(mailbox.server.port),
            "IMAP_USER": mailbox.name,
            "IMAP_PASSWORD": mailbox.password,
            "IMAP_ENABLE_STARTTLS": "false",
            "APPROVAL_TOKEN_KEY": KEY,
            "TRUSTED_AUTHSERV_ID": AUTHSERV_ID,
            "EMAIL_REPLY_PROCESS_COUNT": "10000",
        } | settings
        self.journal = Journal(state_url, retention=86_400)
        self._register = Register(self.journal)

    def __enter__(self) -> Self:
        self.journal.open()
        self._mailbox.mails()  # Dovecot has made its folders then
        return self

    def __exit__(self, *_: object) -> None:
        for poller in self._pollers:
            poller.kill()
        self.journal.close()

    # -- the pollers ------------------------------------------------------------------------------------------------

    def start(self, command: str = "poll") -> BreakingPoller:
        """One more of them; it ends with the site at the latest."""
        folder = self._folder / f"process-{next(self._numbers)}"
        folder.mkdir()
        self._pollers.append(BreakingPoller(folder, self.settings, command))
        return self._pollers[-1]

    def running(self, command: str = "poll") -> BreakingPoller:
        """The last one started, or where that has ended a new one."""
        if not self._pollers or self._pollers[-1].process.poll() is not None:
            self.start(command).wait_line("polling")
        return self._pollers[-1]

    @property
    def text(self) -> str:
        """What all of them wrote."""
        return "\n".join(f"{poller.process.pid}\n{poller.text}" for poller in self._pollers)

    def free_lease(self) -> None:
        """As if the time had passed in which nobody may take the mailbox over."""
        with self.journal.transaction() as connection:
            connection.execute(update(leases).values(until=0.0))

    # -- approvals and replies --------------------------------------------------------------------------------------

    def ask(self, number: str, *people: dict[str, Any], again: bool = False) -> list[Question]:
        """Ask them, as approval mails do; ``again`` is a newer event, which supersedes the first."""
        time = datetime.now(UTC) + timedelta(seconds=1 if again else 0)
        event_id = f"{number}-again" if again else number
        event = parsed(an_approval_requested(*people, number=number, event_id=event_id, time=time))
        assert isinstance(event, ApprovalRequested)
        self._register.admit(event)
        tokens = {approver: _token(event, approver) for approver in event.data.approvers}
        self._register.ask(event, [_asked(event, approver, token) for approver, token in tokens.items()])
        return [self._question(event, approver, token) for approver, token in tokens.items()]

    def withdraw(self, number: str) -> None:
        """Take the approval back."""
        event = parsed(an_approval_withdrawn(number))
        assert isinstance(event, ApprovalWithdrawn)
        self._register.admit(event)

    def put(self, mails: Iterable[bytes]) -> None:
        """Into the folder, in this order."""
        new = self.inbox / "new"
        for raw in mails:
            draft = self.inbox / "tmp" / f"{next(self._numbers):010}.reply.localhost"
            draft.write_bytes(raw)
            shutil.chown(draft, new.owner(), new.group())
            draft.rename(new / draft.name)

    def _question(self, event: ApprovalRequested, approver: Approver, token: str) -> Question:
        message = EmailMessage()
        message["Subject"] = event.data.approval.title
        message["Message-ID"] = f"<approval.{token}@corp.example>"
        message["Reply-To"] = reply_address(self._mailbox.name, "+", token)
        return Question(message, approver.email)

    # -- what came of it --------------------------------------------------------------------------------------------

    def left(self) -> int:
        """How many mails the reply folder holds."""
        return len(_mails(self.inbox))

    def empty(self, folder: str = "") -> list[bytes]:
        """The mails in the folder, or in that one below it; they are deleted there."""
        paths = _mails(self.inbox / folder)
        mails = [path.read_bytes() for path in paths]
        for path in paths:
            path.unlink()
        return mails

    def published(self) -> Events:
        """All that lies in the queues of replies, taken: each event by its id.

        However often one came, all copies are the same, octet for octet.
        """
        copies: dict[str, list[bytes]] = {}
        connection = connect([self.url], name="test")
        channel = connection.channel()
        for queue in (topology.DECISIONS_QUEUE, topology.UNDECIDED_QUEUE):
            while (taken := channel.basic_get(queue, auto_ack=True))[0] is not None:
                copies.setdefault(taken[1].message_id, []).append(taken[2])
        connection.close()
        assert {event_id: len(set(bodies)) for event_id, bodies in copies.items() if len(set(bodies)) > 1} == {}
        return {event_id: [json.loads(body) for body in bodies] for event_id, bodies in copies.items()}

    def answers(self) -> dict[bytes, int]:
        """Each answer in the journal, and its state; an approver has one about an approval."""
        with self.journal.transaction() as connection:
            rows = connection.execute(select(answers)).all()
        assert len({(row.approval_id, row.email) for row in rows}) == len(rows)
        return {bytes(row.digest): row.state for row in rows}

    def answered(self) -> Counter[bytes]:
        """How often each answer was sent, named by the first half of its digest."""
        return Counter(bytes.fromhex(each[8:40]) for each in self._sent() if each.startswith("<answer."))

    def asked(self) -> int:
        """How many approval mails were sent."""
        return sum(each.startswith("<approval.") for each in self._sent())

    def _sent(self) -> Sequence[str]:
        return [str(mail.parsed["Message-ID"]) for mail in list(self.smtp.mails)]


def a_decision_of(question: Question) -> str:
    """The id of the decision that answers it."""
    return str(decision_id(question.token))


def told_of(raw: bytes) -> str:
    """The id of the event about a mail that decided nothing."""
    return str(reply_id(sha256(raw).digest()))


def said(event: Mapping[str, Any]) -> str:
    """Its type, and why where that is one of a few words."""
    return f"late: {event['data']['reason']}" if event["type"] == "reply.late" else str(event["type"])


def _token(event: ApprovalRequested, approver: Approver) -> str:
    approval = event.data.approval
    return KEYS.mint(Asking(event.source, approval.id, event.id, approver.email, approval.expires_at))


def _asked(event: ApprovalRequested, approver: Approver, token: str) -> Asked:
    return Asked(approver, mail_key(event.source, event.id, approver.email), token_hash(token))


def _mails(folder: Path) -> Sequence[Path]:
    return [path for part in ("new", "cur") if (folder / part).exists() for path in (folder / part).iterdir()]
