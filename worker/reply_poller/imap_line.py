"""A socket to the lines of an IMAP server: bounded, in time, counting what is in the folder; imaplib does the rest.

imaplib's own reading waits without end, takes a literal of any size, and loses what arrived when a wait times out.
"""

import imaplib
import re
import select
import socket
import ssl
import time
from collections.abc import Callable
from typing import Literal

from worker.mail.connection import is_loopback

CONNECT_SECONDS = 20.0
MOST_LINE_BYTES = 1_000_000
MOST_LITERAL_BYTES = 16_000_000

_READ_SIZE = 65536
_COUNT = re.compile(rb"\* (\d{1,10}) (EXISTS|EXPUNGE)\s", re.IGNORECASE)

Opened = Callable[[socket.socket], None]


class Line(imaplib.IMAP4):
    """A connection that has been greeted. ``exists`` is how many mails the selected folder holds.

    ``grown``: a mail has come since somebody set it to false. ``opened`` gets a duplicate of the socket, so that
    another thread can cut the connection; ``context`` encrypts from the first octet.
    """

    def __init__(
        self, host: str, port: int, *, context: ssl.SSLContext | None, opened: Opened, answer_seconds: float
    ) -> None:
        self.exists = 0
        self.grown = False
        self._context = context
        self._opened = opened
        self._answer_seconds = answer_seconds
        self._octets = bytearray()
        self._farewell = ""
        self.allow(CONNECT_SECONDS + answer_seconds)
        super().__init__(host, port)

    def allow(self, seconds: float) -> None:
        """Whatever is asked from now on has to be answered wholly within so many seconds."""
        self._until = time.monotonic() + seconds

    def has_line(self, seconds: float) -> bool:
        """Whether the server has said something, waited for up to ``seconds``; it may answer sooner.

        Raises:
            imaplib.IMAP4.abort: the connection is closed.
        """
        if b"\n" not in self._octets and self._readable(seconds):
            self.sock.setblocking(False)
            try:
                self._take(self.sock.recv(_READ_SIZE))
            except (BlockingIOError, ssl.SSLWantReadError):
                return False
            finally:
                self.sock.settimeout(self._answer_seconds)
        return b"\n" in self._octets

    def hear(self) -> None:
        """Take what the server says without being asked.

        Raises:
            imaplib.IMAP4.abort: it says goodbye, or something that is no part of IMAP here.
        """
        line = self.readline()
        if self._farewell or not line.startswith(b"* "):
            raise self.abort(self._farewell or f"unexpected: {line[:100]!r}")

    def readline(self) -> bytes:
        """The next line, with its end."""
        while (end := self._octets.find(b"\n")) < 0:
            if len(self._octets) > MOST_LINE_BYTES:
                raise self.abort("a line without end")
            self._receive()
        line = self._cut_off(end + 1)
        self._notice(line)
        return line

    def read(self, size: int) -> bytes:
        """So many octets of a literal."""
        if size > MOST_LITERAL_BYTES:
            raise self.abort(f"a literal of {size} bytes, which is more than was asked for")
        while len(self._octets) < size:
            self._receive()
        return self._cut_off(size)

    def starttls(self, ssl_context: ssl.SSLContext | None = None) -> tuple[Literal["OK"], list[None]]:
        """Encrypt, and forget what was said in plain before (RFC 3501 6.2.1)."""
        if ssl_context is None:
            raise self.error("no context for TLS")
        kind, words = self._simple_command("STARTTLS")
        if kind != "OK":
            raise self.error(f"the server said {kind} {words[-1]!r}")
        if self._octets:
            raise self.abort("the server said more than it was asked before the encryption began")
        self.sock = ssl_context.wrap_socket(self.sock, server_hostname=self.host)
        self.untagged_responses.clear()
        return "OK", [None]

    def login(self, user: str, password: str) -> tuple[Literal["OK"], list[bytes]]:
        """The LOGIN command; imaplib's own does not quote the user, and takes ASCII alone."""
        kind, words = self._simple_command("LOGIN", _quoted(user), _quoted(password))
        if kind != "OK":
            raise self.error(words[-1].decode("utf-8", "replace"))
        self.state = "AUTH"
        return "OK", words

    def _create_socket(self, timeout: float | None = None) -> socket.socket:
        # The same hook as in imaplib.IMAP4_SSL.
        del timeout
        host = self.host.strip("[]")
        connected = socket.create_connection((host, self.port), min(self._answer_seconds, CONNECT_SECONDS))
        try:
            self._opened(connected.dup())
            return self._prepared(connected, host)
        except BaseException:
            connected.close()
            raise

    def _prepared(self, connected: socket.socket, host: str) -> socket.socket:
        connected.settimeout(self._answer_seconds)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._context is not None:
            return self._context.wrap_socket(connected, server_hostname=host)
        if is_loopback(host) and not is_loopback(str(connected.getpeername()[0])):
            raise ConnectionError(f"{host} is not this machine")
        return connected

    def _readable(self, seconds: float) -> bool:
        # What TLS has read already, no poll sees.
        if isinstance(self.sock, ssl.SSLSocket) and self.sock.pending():
            return True
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def _receive(self) -> None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("no whole answer in time")
        self.sock.settimeout(min(left, self._answer_seconds))
        try:
            octets = self.sock.recv(_READ_SIZE)
        except TimeoutError:
            raise TimeoutError(f"no answer within {min(left, self._answer_seconds):.3g} seconds") from None
        finally:
            self.sock.settimeout(self._answer_seconds)
        self._take(octets)

    def _take(self, octets: bytes) -> None:
        if not octets:
            raise self.abort(self._farewell or "the server closed the connection")
        self._octets += octets

    def _cut_off(self, size: int) -> bytes:
        octets = bytes(self._octets[:size])
        del self._octets[:size]
        return octets

    def _notice(self, line: bytes) -> None:
        # Of what imaplib keeps of these, the order is lost, and with it the number.
        if found := _COUNT.match(line):
            before = self.exists
            self.exists = before - 1 if found[2].upper() == b"EXPUNGE" else int(found[1])
            self.grown = self.grown or self.exists > before
        elif line[:5].upper() == b"* BYE":
            self._farewell = f"the server said {line[2:].decode('ascii', 'replace').strip()}"


def _quoted(text: str) -> bytes:
    if any(character in text for character in "\r\n\0"):
        raise ValueError("a login can't hold a line break")
    return b'"%b"' % text.replace("\\", "\\\\").replace('"', '\\"').encode()
