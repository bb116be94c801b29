"""A mail server that keeps what it takes, parsed, and fails on demand: the codes a test asks for, where it asks."""

import asyncio
import ssl
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from types import TracebackType
from typing import Literal, NamedTuple, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from servers.ports import LOOPBACK, wait_until

Stage = Literal["EHLO", "MAIL", "RCPT", "DATA"]
"""Where a fault shows: ``DATA`` is the answer to the final dot."""


class TakenMail(NamedTuple):
    """One mail as it was taken: envelope sender, envelope recipients, bytes with CR LF."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes

    @property
    def parsed(self) -> EmailMessage:
        """The mail by the standard library's modern parser."""
        return message_from_bytes(self.content, policy=policy.default)


@dataclass(frozen=True, slots=True)
class _Fault:
    stage: Stage
    reply: str
    recipient: str | None


class SmtpSink:
    """Listens on ``port`` of the loopback and keeps every mail in ``mails``, in the order taken.

    With ``tls`` it offers STARTTLS; with ``login`` it wants that user and password first. ``attempts`` counts
    the MAIL commands, those refused included. It answers the final dot after ``pause`` seconds.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None, login: tuple[str, str] | None = None) -> None:
        self.mails: list[TakenMail] = []
        self.attempts = 0
        self.port = 0
        self.pause = 0.0
        self._tls = tls
        self._login = login
        self._faults: tuple[_Fault, ...] = ()
        self._servers: list[SMTP] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def fail(self, stage: Stage, reply: str, *, recipient: str | None = None) -> None:
        """Answer ``reply`` (``"451 4.3.0 later"``) there from now on; a 421 ends the session as well.

        With ``recipient`` only that RCPT fails, or the dot of a mail to that address.
        """
        self._faults = (*self._faults, _Fault(stage, reply, recipient))

    def mend(self) -> None:
        """Take everything again."""
        self._faults = ()

    def wait_for(self, count: int, timeout: float = 10.0) -> list[TakenMail]:
        """The mails, once there are at least ``count``.

        Raises:
            TimeoutError: there were fewer after ``timeout`` seconds.
        """
        wait_until(lambda: len(self.mails) >= count, f"{count} mails (there are {len(self.mails)} at first)", timeout)
        return list(self.mails)

    async def _listen(self) -> None:
        self._listener = await self._loop.create_server(self._session, LOOPBACK, 0)
        self.port = self._listener.sockets[0].getsockname()[1]

    def _session(self) -> SMTP:
        server = SMTP(
            self,
            hostname="sink.example",
            enable_SMTPUTF8=True,
            tls_context=self._tls,
            require_starttls=self._tls is not None,
            authenticator=self._authenticate if self._login else None,
            # Where only a login is asked for, it is offered in the clear: this is loopback.
            auth_require_tls=self._login is None or self._tls is not None,
            loop=self._loop,
        )
        self._servers.append(server)
        return server

    async def _close(self) -> None:
        self._listener.close()
        for server in self._servers:
            if server.transport is not None:
                server.transport.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _authenticate(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, credentials: object
    ) -> AuthResult:
        if not isinstance(credentials, LoginPassword):
            return AuthResult(success=False, handled=False)
        given = credentials.login.decode(), credentials.password.decode()
        return AuthResult(success=given == self._login, handled=False)

    def _fault(self, server: SMTP, stage: Stage, recipients: Sequence[str]) -> str | None:
        for fault in self._faults:
            if fault.stage == stage and (fault.recipient is None or fault.recipient in recipients):
                if fault.reply.startswith("421") and server.transport is not None:
                    # Behind the reply, which is written as soon as the hook returns.
                    self._loop.call_soon(server.transport.close)
                return fault.reply
        return None

    async def handle_EHLO(  # noqa: N802 - aiosmtpd finds its hooks by these names
        self, server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """Greet, or fail."""
        session.host_name = hostname
        fault = self._fault(server, "EHLO", ())
        return [fault] if fault else responses

    async def handle_MAIL(  # noqa: N802 - likewise
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Begin a mail, or fail."""
        self.attempts += 1
        if self._login and not session.authenticated:
            return "530 5.7.0 Authentication required"
        if fault := self._fault(server, "MAIL", ()):
            return fault
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 Ok"

    async def handle_RCPT(  # noqa: N802 - likewise
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Take a recipient, or fail."""
        if fault := self._fault(server, "RCPT", (address,)):
            return fault
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - likewise
        """Keep the mail, or fail."""
        await asyncio.sleep(self.pause)
        if fault := self._fault(server, "DATA", envelope.rcpt_tos):
            return fault
        content = envelope.original_content
        self.mails.append(TakenMail(envelope.mail_from or "", tuple(envelope.rcpt_tos), content or b""))
        return "250 2.0.0 Ok: taken"
