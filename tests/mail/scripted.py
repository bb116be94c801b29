"""A mail server that plays a script: what it answers, in which pieces, where it cuts, and what it really took."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from mail.envelopes import name_of

ALL = ("PIPELINING", "CHUNKING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "SIZE 50000000")
NO_CHUNKING = tuple(word for word in ALL if word != "CHUNKING")
BARE = ("8BITMIME", "SIZE 50000000")


@dataclass(frozen=True)
class Play:
    """What the server does at one command.

    ``reply`` replaces the usual one. ``cut``: it closes, after ``part`` octets of the reply (``None``: all of it).
    ``reset`` closes with RST. ``early``: it answers the content before it has read it. ``delay`` is in seconds.
    """

    reply: bytes | None = None
    cut: bool = False
    part: int | None = None
    reset: bool = False
    early: bool = False
    delay: float = 0.0


@dataclass
class Transaction:
    """A mail as the server saw it.

    ``told``: the whole reply to its content went out, behind nothing but SMTP; ``code`` is that reply's.
    """

    sender: str
    recipients: list[str]
    content: bytes
    code: int
    told: bool


Choose = Callable[[str, str], Play]


@dataclass
class Scripted:
    """Listens on loopback; ``choose(verb, line)`` gives the play for each command, over all connections."""

    choose: Choose = lambda _verb, _line: Play()
    offers: Sequence[str] = ALL
    greeting: bytes = b"220 scripted ESMTP\r\n"
    segment: int = 0
    transactions: list[Transaction] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    connections: int = 0
    failures: list[BaseException] = field(default_factory=list)

    def taken(self) -> list[str]:
        """The names of the mails that it took, in its order."""
        return [name_of(mail.content) for mail in self.transactions if mail.code == 250]

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port = int(self._listener.getsockname()[1])
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_listening()
        for sock in list(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        assert not self.failures

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port

    def stop_listening(self) -> None:
        """Refuse connections from now on; those open stay."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(sock)
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            _Conversation(self, sock).run()
        except (OSError, _CutError):
            pass
        except BaseException as error:  # noqa: BLE001 - a fault of this server fails the test, in its own thread
            self.failures.append(error)
        finally:
            sock.close()


class _CutError(Exception):
    """The connection is closed."""


class _Conversation:
    def __init__(self, server: Scripted, sock: socket.socket) -> None:
        self.server = server
        self.sock = sock
        self.buffer = b""
        self.sender: str | None = None
        self.recipients: list[str] = []
        self.nonsense = False
        sock.settimeout(30)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def run(self) -> None:
        if not self.play("CONNECT", "", self.server.greeting):
            return
        for line in self.lines():
            verb = line.partition(" ")[0].partition(":")[0].upper()
            self.server.commands.append(line)
            getattr(self, f"do_{verb.lower()}", self.do_other)(line)

    def lines(self) -> Iterator[str]:
        while True:
            while b"\r\n" not in self.buffer:
                self.more()
            line, _, self.buffer = self.buffer.partition(b"\r\n")
            yield line.decode()

    def more(self) -> None:
        octets = self.sock.recv(65536)
        if not octets:
            raise _CutError
        self.buffer += octets

    def play(self, verb: str, line: str, usual: bytes, play: Play | None = None) -> int:
        """Answer as the script says; the code that was told whole, else the cut."""
        play = play or self.server.choose(verb, line)
        time.sleep(play.delay)
        reply = usual if play.reply is None else play.reply
        if play.cut:
            self.send(reply if play.part is None else reply[: play.part])
            self.close(reset=play.reset)
            raise _CutError
        self.send(reply)
        self.nonsense |= not reply[:3].isdigit() or (reply[:1] == b"3" and verb != "DATA")
        if reply[:3] == b"421":
            self.close(reset=play.reset)
            raise _CutError
        return int(reply.splitlines()[-1][:3]) if reply[:3].isdigit() else 0

    def send(self, octets: bytes) -> None:
        step = self.server.segment or len(octets) or 1
        for start in range(0, len(octets), step):
            self.sock.sendall(octets[start : start + step])

    def close(self, *, reset: bool) -> None:
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def do_ehlo(self, line: str) -> None:
        rows = ["scripted", *self.server.offers]
        reply = "".join(f"250{'-' if row is not rows[-1] else ' '}{row}\r\n" for row in rows)
        self.play("EHLO", line, reply.encode())

    def do_quit(self, line: str) -> None:
        self.play("QUIT", line, b"221 2.0.0 Bye\r\n")
        raise _CutError

    def do_rset(self, line: str) -> None:
        self.clear()
        self.play("RSET", line, b"250 2.0.0 Ok\r\n")

    def clear(self) -> None:
        self.sender, self.recipients = None, []

    def do_mail(self, line: str) -> None:
        if self.sender is not None:
            self.play("MAIL", line, b"", Play(b"503 5.5.1 nested MAIL command\r\n"))
        elif self.play("MAIL", line, b"250 2.1.0 Ok\r\n") // 100 == 2:
            self.sender = _address(line)

    def do_rcpt(self, line: str) -> None:
        if self.sender is None:
            self.play("RCPT", line, b"", Play(b"503 5.5.1 need MAIL command\r\n"))
        elif self.play("RCPT", line, b"250 2.1.5 Ok\r\n") // 100 == 2:
            self.recipients.append(_address(line))

    def do_bdat(self, line: str) -> None:
        size = int(line.split()[1])
        play = self.server.choose("BDAT", line) if self.recipients else Play(b"554 5.5.1 no valid recipients\r\n")
        if play.early:
            self.play("BDAT", line, b"", play)
        while len(self.buffer) < size:
            self.more()
        content, self.buffer = self.buffer[:size], self.buffer[size:]
        self.finish("BDAT", line, content, play)

    def do_data(self, line: str) -> None:
        if self.sender is None:
            self.play("DATA", line, b"", Play(b"503 5.5.1 need MAIL command\r\n"))
            return
        if self.play("DATA", line, b"354 go on\r\n") != 354:
            return
        play = self.server.choose(".", "") if self.recipients else Play(b"554 5.5.1 no valid recipients\r\n")
        if play.early:
            self.play(".", "", b"", play)
        while b"\r\n.\r\n" not in b"\r\n" + self.buffer:
            self.more()
        content, _, self.buffer = (b"\r\n" + self.buffer).partition(b"\r\n.\r\n")
        self.finish(".", line, content[2:].replace(b"\r\n..", b"\r\n.") + b"\r\n", play)

    def finish(self, verb: str, line: str, content: bytes, play: Play) -> None:
        sender, recipients = self.sender or "", self.recipients
        reply = b"250 2.0.0 Ok: queued\r\n" if play.reply is None else play.reply
        told = (not play.cut or play.part is None or play.part >= len(reply)) and not self.nonsense
        code = int(reply[:3]) if reply[:3].isdigit() else 0
        if recipients:
            self.server.transactions.append(Transaction(sender, list(recipients), content, code, told))
        self.clear()
        if not play.early:
            self.play(verb, line, reply, play)

    def do_other(self, line: str) -> None:
        self.play(line.partition(" ")[0].upper(), line, b"250 2.0.0 Ok\r\n")


def _address(line: str) -> str:
    return line.partition("<")[2].partition(">")[0]


def at(verb: str, play: Play, *, times: int = 1, containing: str = "", after: int = 0) -> Choose:
    """Play this at the given command, the first times that it comes (behind so many others of its kind)."""
    left = [after, times]

    def choose(asked: str, line: str) -> Play:
        if asked != verb or containing not in line:
            return Play()
        if left[0]:
            left[0] -= 1
            return Play()
        left[1] -= 1
        return play if left[1] >= 0 else Play()

    return choose
