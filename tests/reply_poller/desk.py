"""Both ends of the loop for the poller's tests: approvals asked for by a real event, and people who answer them."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from itertools import count
from pathlib import Path
from typing import Any

from process import Worker
from servers.dovecot import DovecotUser
from servers.mailbox_sink import SmtpSink
from upstream import Upstream

from worker import topology

AUTHSERV_ID = "mx.corp.example"
DANA = {"name": "Dana Ito", "email": "dana@corp.example"}
BO = {"name": "Bo Müller", "email": "bo@corp.example", "locale": "de"}
PASSED = f"{AUTHSERV_ID}; dmarc=pass header.from=corp.example"
KEY = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI"
RUN, POLL, POLL_ONCE = ("-m", "worker", "run"), ("-m", "worker", "poll"), ("-m", "worker", "poll", "--once")


@dataclass(frozen=True, slots=True)
class Question:
    """An approval mail as its approver has it."""

    message: EmailMessage
    approver: str

    @property
    def reply_to(self) -> str:
        """Where an answer goes."""
        return str(self.message["Reply-To"])

    @property
    def token(self) -> str:
        """The token in it."""
        return self.reply_to.partition("+")[2].partition("@")[0]

    def reply(self, text: str, *, sender: str | None = None, results: str | None = PASSED, **headers: str) -> bytes:
        """A plain answer, as it comes out of the approver's client and through our gateway."""
        fields = {
            **({"Authentication-Results": results} if results else {}),
            "From": sender or self.approver,
            "To": self.reply_to,
            "Subject": f"Re: {self.message['Subject']}",
            "Message-ID": f"<{next(_NUMBERS)}.reply@corp.example>",
            "In-Reply-To": str(self.message["Message-ID"]),
            "MIME-Version": "1.0",
            "Content-Type": "text/plain; charset=utf-8",
            "Content-Transfer-Encoding": "8bit",
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return (head + "\r\n" + text.replace("\n", "\r\n")).encode()


_NUMBERS = count(1)


@dataclass(slots=True)
class Desk:
    """A deployment system, a mail server, a mailbox for replies, and settings that join them."""

    folder: Path
    upstream: Upstream
    smtp: SmtpSink
    mailbox: DovecotUser
    settings: dict[str, str]
    seen: int = 0

    def worker(self, command: Sequence[str] = RUN, **settings: str) -> Worker:
        """A command with these settings."""
        return Worker(self.folder, self.settings | settings, command=command)

    def run(self, command: Sequence[str], **settings: str) -> tuple[int, str, str]:
        """A command that ends by itself: its exit status, what it printed, and what it said."""
        environment = {"PATH": os.environ["PATH"], "STATE_DIRECTORY": str(self.folder), "COLUMNS": "160"}
        environment |= {"SMTP_HOST": "127.0.0.1"} | self.settings | settings
        done = subprocess.run(
            [sys.executable, *command], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        return done.returncode, done.stdout, done.stderr

    def ask(self, *approvers: dict[str, Any], expires_in: float = 3600, **approval: Any) -> list[Question]:
        """Ask these people, and wait for their mails."""
        self.upstream.publish(an_approval_requested(*approvers, expires_in=expires_in, **approval))
        return self.questions(len(approvers))

    def questions(self, number: int) -> list[Question]:
        """The next mails that went out, as their recipients have them."""
        arrived = self.smtp.wait_for(self.seen + number)[self.seen :]
        self.seen += number
        return [Question(message_from_bytes(raw, policy=policy.default), to[0]) for _, to, raw in arrived]

    def deliver(self, question: Question, text: str, **more: Any) -> None:
        """An answer arrives."""
        self.mailbox.deliver(question.reply(text, **more), detail=question.token)

    def decision(self) -> dict[str, Any]:
        """The next decision on the approvals queue."""
        return self._next(topology.DECISIONS_QUEUE)

    def told(self) -> dict[str, Any]:
        """The next event about a reply that decided nothing."""
        return self._next(topology.UNDECIDED_QUEUE)

    def _next(self, queue: str) -> dict[str, Any]:
        ((properties, body),) = self.upstream.take(queue, seconds=20)
        event: dict[str, Any] = json.loads(body)
        assert properties.content_type == "application/cloudevents+json"
        assert properties.delivery_mode == 2
        assert properties.message_id == event["id"]
        return event


def an_approval_requested(
    *approvers: dict[str, Any],
    expires_in: float = 3600,
    number: str = "A-77",
    event_id: str = "01J9",
    time: datetime | None = None,
) -> dict[str, Any]:
    """An ``approval.requested`` about request 48213."""
    now = datetime.now(UTC)
    approval = {
        "id": number,
        "title": f"Deploy Billing 4.2 to PROD ({number})",
        "expires_at": (now + timedelta(seconds=expires_in)).isoformat(),
        "url": "https://deploy.example/approvals/77",
    }
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": "/deploy/prod",
        "type": "approval.requested",
        "time": (time or now).isoformat(),
        "data": {"approval": approval, "request": {"id": "48213", "title": "Billing"}, "approvers": list(approvers)},
    }


def an_approval_withdrawn(number: str = "A-77") -> dict[str, Any]:
    """An ``approval.withdrawn``, newer than what was asked."""
    return {
        "specversion": "1.0",
        "id": f"{number}-withdrawn",
        "source": "/deploy/prod",
        "type": "approval.withdrawn",
        "time": (datetime.now(UTC) + timedelta(seconds=1)).isoformat(),
        "data": {"approval": {"id": number}},
    }
