"""Raw mails to ``Reply`` values in a process of its own, which may be killed: time and memory are limits, not hopes.

Nothing secret is in that process, and what it sends back is read as data of the same program. It is started with the
first mail, and again after one that broke it.
"""

import io
import json
import os
import pickle
import resource
import select
import signal
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO

import worker
from worker.errors import OutageError
from worker.reply_poller.reader import Reader, UnreadableError
from worker.reply_poller.reply import Reply

CPU_SECONDS = 2.0
MEMORY_BYTES = 256 * 2**20
WALL_SECONDS = 30.0
"""A machine that does not get two seconds of work done in this time has other troubles than this mail."""

_LENGTH = struct.Struct(">I")
_READ, _UNREADABLE = b"r", b"u"
_OUT_OF_MEMORY = 3


class ReadingProcess:
    """Reads mails as ``Reader`` does, with limits that hold whatever a mail does to a library. Not for two threads."""

    def __init__(self, reader: Reader, *, cpu_seconds: float = CPU_SECONDS, memory_bytes: int = MEMORY_BYTES) -> None:
        """``cpu_seconds`` and ``memory_bytes`` are for one mail."""
        self._reader = reader
        self._cpu_seconds = cpu_seconds
        self._memory_bytes = memory_bytes
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process, so that the first mail need not wait for it; nothing where it runs.

        Raises:
            OutageError: it can't be started.
        """
        self._process = self._process or self._start()

    def read(self, raw: bytes) -> Reply:
        """What the mail holds.

        Raises:
            UnreadableError: it breaks a limit, the reader, or takes more than 2 s of work or 256 MiB.
            OutageError: the process can't be started, or the machine does not get round to it.
        """
        if self._process is not None:
            # What went before, or somebody else, may be to blame: the second time the mail is alone.
            with suppress(_EndedError):
                return self._ask(raw)
        try:
            return self._ask(raw)
        except _EndedError as error:
            raise UnreadableError(str(error)) from None

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                # What is still in the buffer was for a process that is gone.
                with suppress(OSError):
                    pipe.close()

    def _ask(self, raw: bytes) -> Reply:
        process = self._process = self._process or self._start()
        if process.stdin is None or process.stdout is None:
            raise OutageError("the reading process has no pipes")
        try:
            _send(process.stdin, raw)
            readable, _, _ = select.select([process.stdout], [], [], WALL_SECONDS)
            answer = _receive(process.stdout) if readable else None
        except OSError:
            answer = b""
        if answer:
            return _open(answer)
        status = process.poll() if answer is None else process.wait(WALL_SECONDS)
        self.close()
        raise self._explain(status)

    def _explain(self, status: int | None) -> Exception:
        if status == -signal.SIGPROF:
            return UnreadableError(f"it takes more than {self._cpu_seconds:g} s to read")
        if status is None:
            return OutageError(f"the reading process did not answer within {WALL_SECONDS:g} s")
        if status == _OUT_OF_MEMORY:
            return _EndedError(f"it takes more than {self._memory_bytes // 2**20} MiB to read")
        return _EndedError(f"it ends the process that reads it (status {status})")

    def _start(self) -> subprocess.Popen[bytes]:
        root = str(Path(worker.__file__).parent.parent)
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "worker.reply_poller.reading"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                # None of ours: no secret is there to be found.
                env={"PYTHONPATH": root, "LC_ALL": "C.UTF-8"},
            )
        except OSError as error:
            raise OutageError(f"the reading process can't be started: {error}") from error
        if process.stdin is not None:
            told = [self._reader.addresses, self._reader.name, self._cpu_seconds, self._memory_bytes]
            _send(process.stdin, json.dumps(told).encode())
        return process


class _EndedError(Exception):
    """The reading process ended over a mail; ``str(error)`` is the reason to publish where the mail is to blame."""


def _open(answer: bytes) -> Reply:
    if answer[:1] == _UNREADABLE:
        raise UnreadableError(answer[1:].decode("utf-8", "replace"))
    reply = pickle.loads(answer[1:])  # noqa: S301 - written by our own process, from our own code
    if not isinstance(reply, Reply):
        raise UnreadableError("the reading process answered nonsense")
    return reply


def _send(pipe: IO[bytes], body: bytes) -> None:
    pipe.write(_LENGTH.pack(len(body)) + body)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> bytes:
    """The next message; empty where the other side is gone."""
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return b""
    length = _LENGTH.unpack(head)[0]
    body = pipe.read(length)
    return body if len(body) == length else b""


# -- in the process ---------------------------------------------------------------------------------------------------


def _serve() -> None:
    # Whoever stops the poller stops this process in its time.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # What a library prints must not be taken for an answer.
    sys.stdout = io.StringIO()
    addresses, name, cpu_seconds, memory_bytes = json.loads(_receive(pipe))
    reader = Reader(tuple(addresses), name)
    _limit_memory(memory_bytes)
    while raw := _receive(pipe):
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        try:
            answer = _READ + pickle.dumps(reader.read(raw), pickle.HIGHEST_PROTOCOL)
        except UnreadableError as error:
            answer = _UNREADABLE + str(error).encode("utf-8", "replace")
        except MemoryError:
            os._exit(_OUT_OF_MEMORY)
        signal.setitimer(signal.ITIMER_PROF, 0)
        _send(answers, answer)


def _limit_memory(size: int) -> None:
    # Only Linux says what a process has; elsewhere the time limit and the mail's size have to do.
    with suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + size
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    _serve()
