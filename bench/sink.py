"""SMTP sessions to counts: a mail server that takes everything, fast, and can say what it took.

A process of its own, one thread, so that the worker in front of it has its interpreter to itself::

    python -m bench.sink --port 2525 --control 2526 [--no-chunking]

A client that connects to the control port and sends ``count`` or ``all`` gets one JSON object.
"""

import argparse
import contextlib
import json
import re
import selectors
import signal
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

READ_BYTES = 1 << 20
HEAD_BYTES = 4096
END_OF_DATA = b"\r\n.\r\n"
MESSAGE_ID = re.compile(rb"^Message-ID:\s*(<[^>\r\n]*>)", re.IGNORECASE | re.MULTILINE)
# Header fields end at the first empty line: a Message-ID that a body quotes is not the mail's.
END_OF_HEAD = b"\r\n\r\n"

HELLO = "PIPELINING", "SIZE 52428800", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"
SIMPLE = {
    b"RSET": b"250 2.0.0 Ok\r\n",
    b"NOOP": b"250 2.0.0 Ok\r\n",
    b"HELO": b"250 sink\r\n",
    b"VRFY": b"252 2.0.0 Perhaps\r\n",
}
TAKEN = b"250 2.0.0 Ok: taken\r\n"
OUT_OF_ORDER = b"503 5.5.1 Bad sequence of commands\r\n"


@dataclass(slots=True)
class Taken:
    """What all sessions took together."""

    count: int = 0
    size: int = 0
    first: float = 0.0
    last: float = 0.0
    sessions: int = 0
    errors: int = 0
    ids: set[bytes] = field(default_factory=set)

    def take(self, head: bytes, size: int) -> None:
        """Count one mail of ``size`` bytes by the Message-ID in its ``head``."""
        self.last = time.monotonic()
        self.first = self.first or self.last
        self.count += 1
        self.size += size
        found = MESSAGE_ID.search(head.partition(END_OF_HEAD)[0])
        self.ids.add(found[1] if found else b"none")

    def count_only(self) -> dict[str, Any]:
        """How many, and when by the machine's monotonic clock: cheap enough to be asked while it runs."""
        return {"count": self.count, "first": self.first, "last": self.last}

    def everything(self) -> dict[str, Any]:
        """The counts, the number of different Message-IDs and a hash over all of them."""
        ids = sha256(b"\n".join(sorted(self.ids))).hexdigest()
        more = {"unique": len(self.ids), "ids": ids, "bytes": self.size}
        return self.count_only() | more | {"sessions": self.sessions, "errors": self.errors}


class Session:
    """One client's SMTP session: bytes in, replies out, mails into ``taken``."""

    def __init__(self, taken: Taken, *, chunking: bool) -> None:
        self._taken = taken
        self._hello = _hello((*HELLO, "CHUNKING") if chunking else HELLO)
        self._chunking = chunking
        self._held = bytearray()
        self._scanned = 0
        self._in_data = False
        self._head = b""
        self._size = 0
        self._recipients = 0
        self._from = False
        self.over = False

    def feed(self, got: bytes) -> bytes:
        """The replies to what has come in, in order."""
        self._held += got
        return b"".join(self._replies())

    def _replies(self) -> Iterator[bytes]:
        while not self.over:
            reply = self._end_of_data() if self._in_data else self._command()
            if reply is None:
                return
            yield reply

    def _end_of_data(self) -> bytes | None:
        held = self._held
        # An empty mail's dot has no line before it: the CR LF of DATA was left in place for that.
        end = held.find(END_OF_DATA, max(0, self._scanned - len(END_OF_DATA)))
        if end < 0:
            self._scanned = len(held)
            return None
        self._take(bytes(held[2:HEAD_BYTES]), end)
        del held[: end + len(END_OF_DATA)]
        self._in_data = False
        return TAKEN

    def _command(self) -> bytes | None:
        end = self._held.find(b"\r\n")
        if end < 0:
            return None
        line = bytes(self._held[:end])
        verb = line[:4].upper()
        if verb == b"BDAT" and self._chunking:
            return self._chunk(line, end + 2)
        del self._held[: end if verb == b"DATA" and self._ready() else end + 2]
        return self._answer(verb, line)

    def _answer(self, verb: bytes, line: bytes) -> bytes:
        if verb == b"MAIL":
            return self._begin()
        if verb == b"RCPT":
            return self._recipient()
        if verb == b"DATA":
            return self._open_data()
        if verb == b"EHLO":
            return self._hello
        if verb == b"QUIT":
            self.over = True
            return b"221 2.0.0 Bye\r\n"
        return self._other(verb, line)

    def _other(self, verb: bytes, line: bytes) -> bytes:
        if verb == b"RSET":
            self._forget()
        if verb not in SIMPLE:
            self._taken.errors += 1
            return b"500 5.5.2 Unknown: " + line[:40] + b"\r\n"
        return SIMPLE[verb]

    def _ready(self) -> bool:
        return self._from and self._recipients > 0

    def _begin(self) -> bytes:
        if self._from:
            return self._refuse()
        self._from = True
        return b"250 2.1.0 Ok\r\n"

    def _recipient(self) -> bytes:
        if not self._from:
            return self._refuse()
        self._recipients += 1
        return b"250 2.1.5 Ok\r\n"

    def _open_data(self) -> bytes:
        if not self._ready():
            return self._refuse()
        self._in_data, self._scanned = True, 0
        return b"354 Go on\r\n"

    def _chunk(self, line: bytes, at: int) -> bytes | None:
        words = line.split()
        size = int(words[1])
        if len(self._held) < at + size:
            return None
        if len(self._head) < HEAD_BYTES:
            self._head += bytes(self._held[at : at + min(size, HEAD_BYTES)])
        del self._held[: at + size]
        if not self._ready():
            return self._refuse()
        self._size += size
        if len(words) == 3:
            self._take(self._head, self._size)
            return TAKEN
        return b"250 2.0.0 Go on\r\n"

    def _refuse(self) -> bytes:
        self._taken.errors += 1
        return OUT_OF_ORDER

    def _take(self, head: bytes, size: int) -> None:
        self._taken.take(head, size)
        self._forget()

    def _forget(self) -> None:
        self._head, self._size, self._recipients, self._from = b"", 0, 0, False


def _hello(extensions: tuple[str, ...]) -> bytes:
    lines = ("sink", *extensions)
    return "".join(f"250{'-' if line is not lines[-1] else ' '}{line}\r\n" for line in lines).encode()


class Sink:
    """The listening sockets and their one loop."""

    def __init__(self, port: int, control: int, *, chunking: bool) -> None:
        self.taken = Taken()
        self._chunking = chunking
        self._selector = selectors.DefaultSelector()
        self._listen(port, self._welcome)
        self._listen(control, self._control)

    def serve(self) -> None:
        """Answer clients until the process is told to stop."""
        while True:
            for key, _ in self._selector.select():
                # A client that is gone is gone; the bench sees by the counts what that meant.
                with contextlib.suppress(ConnectionError):
                    key.data(key.fileobj)

    def _listen(self, port: int, accept: Any) -> None:
        listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self._selector.register(listener, selectors.EVENT_READ, accept)

    def _welcome(self, listener: socket.socket) -> None:
        client, _ = listener.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(b"220 sink ESMTP\r\n")
        self.taken.sessions += 1
        session = Session(self.taken, chunking=self._chunking)
        self._selector.register(client, selectors.EVENT_READ, lambda _: self._read(client, session))

    def _read(self, client: socket.socket, session: Session) -> None:
        try:
            got = client.recv(READ_BYTES)
            client.sendall(session.feed(got))
        except ConnectionError:
            got = b""
        if not got or session.over:
            self._selector.unregister(client)
            client.close()

    def _control(self, listener: socket.socket) -> None:
        client, _ = listener.accept()
        with client:
            asked = client.recv(16)
            answer = self.taken.everything() if asked == b"all" else self.taken.count_only()
            client.sendall(json.dumps(answer).encode())


def ask(control: int, question: str) -> dict[str, Any]:
    """The answer of the sink at that control port to ``count`` or ``all``."""
    with socket.create_connection(("127.0.0.1", control), timeout=10) as client:
        client.sendall(question.encode())
        answer: dict[str, Any] = json.loads(b"".join(iter(lambda: client.recv(65536), b"")))
        return answer


def main() -> None:
    """Run one sink as the command line says."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--control", type=int, required=True)
    arguments.add_argument("--no-chunking", action="store_true")
    chosen = arguments.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Sink(chosen.port, chosen.control, chunking=not chosen.no_chunking).serve()


if __name__ == "__main__":
    main()
