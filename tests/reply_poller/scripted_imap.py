"""An IMAP server that plays a script: what it answers to each command, on loopback."""

import socket
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Self

GREETING = b"* OK [CAPABILITY IMAP4rev1] ready\r\n"
OFFERS = b"* CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 UIDPLUS MOVE IDLE\r\n"
SELECTED = b"* 1 EXISTS\r\n* OK [UIDVALIDITY 7] here\r\nTAG OK [READ-WRITE] open\r\n"
STATUS = b"* STATUS Quarantine (UIDNEXT 1)\r\nTAG OK done\r\n"
DONE = b"TAG OK done\r\n"

Answers = Mapping[str, bytes | list[bytes]]
"""By command (``"UID STORE"`` for one with UID); a list is played one by one, its last for ever.

``TAG`` is the command's tag; ``HANG`` is no answer at all, ``CUT`` the end of the connection behind what stands before.
"""


class ScriptedImap:
    """Listens on ``port``; ``commands`` is what it was told, tags and all, over all connections."""

    def __init__(self, answers: Answers, greeting: bytes = GREETING) -> None:
        self.commands: list[bytes] = []
        self._answers = {
            "CAPABILITY": OFFERS + DONE,
            "AUTHENTICATE": b"+ \r\n",
            "SELECT": SELECTED,
            "STATUS": STATUS,
            **answers,
        }
        self._greeting = greeting
        self._played: dict[str, int] = {}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._open: list[socket.socket] = []
        self._closing = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        for sock in (self._listener, *self._open):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(sock)
            self._threads.append(threading.Thread(target=self._serve, args=(sock,), daemon=True))
            self._threads[-1].start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, sock.makefile("rb") as lines:
            try:
                sock.sendall(self._greeting)
                tag = b""
                for line in lines:
                    tag = self._answer(sock, line.rstrip(b"\r\n"), tag)
            except OSError:
                return

    def _answer(self, sock: socket.socket, line: bytes, before: bytes) -> bytes:
        self.commands.append(line)
        tag, _, rest = line.partition(b" ")
        words = rest.split()
        if not words:
            # What continues a command: a login, or the end of IDLE.
            tag, words = before, [b"CONTINUED"]
        verb = b" ".join(words[:2] if words[0] == b"UID" else words[:1]).decode()
        answer, hang, _ = self._next(verb).partition(b"HANG")
        answer, cut, _ = answer.partition(b"CUT")
        sock.sendall(answer.replace(b"TAG", tag))
        if cut:
            sock.shutdown(socket.SHUT_RDWR)
        if hang:
            self._closing.wait(30)
        return tag

    def _next(self, verb: str) -> bytes:
        answer = self._answers.get(verb, DONE)
        if isinstance(answer, bytes):
            return answer
        number = self._played.get(verb, 0)
        self._played[verb] = number + 1
        return answer[min(number, len(answer) - 1)]
