"""A kind of mail server to a running one on loopback, which can say what it took; with a delay in front or none."""

import getpass
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.sink import ask

ROOT = Path(__file__).resolve().parent.parent
KINDS = "chunking", "pipelining", "smtp-sink"


@dataclass(frozen=True, slots=True)
class Counted:
    """What a mail server took: how many, when by the monotonic clock, and how many different Message-IDs."""

    count: int
    first: float
    last: float
    unique: int | None = None
    size: int = 0


class Mailbox(Protocol):
    """A mail server that takes everything and counts."""

    @property
    def port(self) -> int:
        """Where it listens, on loopback."""

    def count(self) -> Counted:
        """Cheap enough to be asked every few milliseconds."""

    def everything(self) -> Counted:
        """With the number of different Message-IDs, where the server knows it."""


@dataclass(frozen=True, slots=True)
class OwnSink:
    """``bench.sink``."""

    port: int
    control: int

    def count(self) -> Counted:
        """How many so far."""
        answer = ask(self.control, "count")
        return Counted(answer["count"], answer["first"], answer["last"])

    def everything(self) -> Counted:
        """All that it knows."""
        answer = ask(self.control, "all")
        return Counted(answer["count"], answer["first"], answer["last"], answer["unique"], answer["bytes"])


class PostfixSink:
    """Postfix's ``smtp-sink -c``: its running counter is all that it tells."""

    _COUNTER = re.compile(rb"mesg=(\d+)\r")

    def __init__(self, port: int, output: int) -> None:
        self.port = port
        self._counted = Counted(0, 0.0, 0.0)
        threading.Thread(target=self._follow, args=(output,), daemon=True).start()

    def count(self) -> Counted:
        """How many so far."""
        return self._counted

    def everything(self) -> Counted:
        """The same: ``smtp-sink`` does not look into what it takes."""
        return self._counted

    def _follow(self, output: int) -> None:
        held = b""
        while got := os.read(output, 1 << 16):
            held += got
            counts = self._COUNTER.findall(held)
            held = held[held.rfind(b"\r") + 1 :]
            if counts and int(counts[-1]) > self._counted.count:
                now = time.monotonic()
                self._counted = Counted(int(counts[-1]), self._counted.first or now, now)


@contextmanager
def mailbox(kind: str, delay: float) -> Iterator[tuple[Mailbox, int]]:
    """A running mail server of that kind, and the port to reach it through ``delay`` milliseconds of round trip."""
    with ExitStack() as stack:
        server = stack.enter_context(_postfix_sink() if kind == "smtp-sink" else _own_sink(kind))
        port = stack.enter_context(_delayed(server.port, delay)) if delay else server.port
        yield server, port


def missing(kind: str) -> bool:
    """Whether that kind of mail server is not installed here."""
    return kind == "smtp-sink" and shutil.which("smtp-sink") is None


@contextmanager
def _own_sink(kind: str) -> Iterator[Mailbox]:
    port, control = free_port(), free_port()
    more = () if kind == "chunking" else ("--no-chunking",)
    with _running([sys.executable, "-m", "bench.sink", "--port", f"{port}", "--control", f"{control}", *more], control):
        yield OwnSink(port, control)


@contextmanager
def _postfix_sink() -> Iterator[Mailbox]:
    port = free_port()
    user = ("-u", "nobody") if getpass.getuser() == "root" else ()
    with _running(["smtp-sink", *user, "-c", f"127.0.0.1:{port}", "128"], port) as process:
        assert process.stdout
        yield PostfixSink(port, process.stdout.fileno())


@contextmanager
def _delayed(to: int, milliseconds: float) -> Iterator[int]:
    port = free_port()
    command = [sys.executable, "-m", "bench.proxy", "--port", f"{port}", "--to", f"{to}"]
    with _running([*command, "--milliseconds", f"{milliseconds}"], port):
        yield port


@contextmanager
def _running(command: Sequence[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    try:
        _wait_for(port)
        yield process
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(port: int) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise TimeoutError(f"nothing listens on port {port}")


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
