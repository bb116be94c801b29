"""Mails read in a process of its own: the same answer, and limits that hold."""

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from worker.reply_poller.reader import Reader, UnreadableError
from worker.reply_poller.reading import ReadingProcess

READER = Reader(("approvals@corp.example",))
GOOD = b"From: dana@corp.example\r\nSubject: caf\xe9\r\n\r\nApprove\r\n"
HTML = b"From: dana@corp.example\r\nContent-Type: text/html\r\n\r\n"


@pytest.fixture
def process() -> Iterator[ReadingProcess]:
    """A process that reads."""
    with closing(ReadingProcess(READER)) as reading:
        yield reading


def test_it_reads_as_the_reader_does(process: ReadingProcess) -> None:
    """The same value, and the same error."""
    assert process.read(GOOD) == READER.read(GOOD)
    with pytest.raises(UnreadableError, match="no field"):
        process.read(b"no header\r\n\r\n")
    assert process.read(GOOD) == READER.read(GOOD)


def test_a_mail_that_takes_too_long_ends() -> None:
    """So much work and no more; the next mail is read."""
    with closing(ReadingProcess(READER, cpu_seconds=0.1)) as process:
        process.start()
        with pytest.raises(UnreadableError, match=r"more than 0\.1 s"):
            process.read(HTML + b"<div>" * 1_900_000)
        assert process.read(GOOD).typed[0].lines == ("Approve",)


def test_a_mail_that_takes_too_much_memory_ends() -> None:
    """So much and no more, also when it is the first; the next mail is read."""
    with closing(ReadingProcess(READER, memory_bytes=2**24)) as process:
        for _ in range(2):
            with pytest.raises(UnreadableError, match="more than 16 MiB"):
                process.read(HTML + b"<div>x" * 1_500_000)
            assert process.read(GOOD).typed[0].lines == ("Approve",)


def test_a_process_that_somebody_killed_is_started_again(process: ReadingProcess) -> None:
    """The mail in hand is not to blame."""
    process.read(GOOD)
    child = process._process
    assert child is not None
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert process.read(GOOD).typed[0].lines == ("Approve",)


def test_it_holds_no_secret(process: ReadingProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of our environment reaches it."""
    monkeypatch.setenv("IMAP_PASSWORD", "secret")
    process.read(GOOD)
    child = process._process
    assert child is not None
    assert b"secret" not in Path(f"/proc/{child.pid}/environ").read_bytes()
