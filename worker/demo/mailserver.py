"""SMTP on loopback to a list of the mails that arrived: the demo's mail server (aiosmtpd)."""

import queue
import socket
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A mail that the server took: its envelope's recipients, its octets, and what they say."""

    recipients: tuple[str, ...]
    raw: bytes
    message: EmailMessage


class MailServer:
    """Takes every mail. Use it as a context manager; ``port`` is its TCP port."""

    def __init__(self) -> None:
        self._arrivals: queue.SimpleQueue[Arrival] = queue.SimpleQueue()
        self.port = _free_port()
        self._controller = Controller(self, hostname=LOOPBACK, port=self.port, ready_timeout=10)

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd
        """A mail is complete (the hook of aiosmtpd)."""
        raw = envelope.content if isinstance(envelope.content, bytes) else b""
        message = message_from_bytes(raw, policy=policy.default)
        self._arrivals.put(Arrival(tuple(envelope.rcpt_tos), raw, message))
        return "250 2.0.0 taken"

    def next(self, timeout: float) -> Arrival | None:
        """The next mail, waited for at most ``timeout`` seconds."""
        try:
            return self._arrivals.get(timeout=timeout)
        except queue.Empty:
            return None


def _free_port() -> int:
    # aiosmtpd connects to its own port to see that it is up, so it has to know it beforehand.
    with socket.create_server((LOOPBACK, 0)) as listener:
        return int(listener.getsockname()[1])
