"""Postfix's ``smtp-sink``: a mail server with PIPELINING that drops, delays and refuses as its options say."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from servers.mailbox_sink import TakenMail
from servers.ports import LOOPBACK, answers, free_port, wait_until

PLACES = "/usr/sbin:/usr/local/sbin:/usr/libexec/postfix:/usr/lib/postfix/sbin:/opt/homebrew/sbin"
ADDRESS = re.compile(r"<([^>]*)>")


def find_program() -> str | None:
    """Where ``smtp-sink`` is; sbin is not in everybody's PATH."""
    return shutil.which("smtp-sink") or shutil.which("smtp-sink", path=PLACES)


class PostfixSink:
    """Runs ``smtp-sink`` with ``options`` on ``port`` of the loopback; ``mails()`` is what it has taken.

    Options are those of smtp-sink(1), such as ``-q dot`` (close after the final dot), ``-p`` (no PIPELINING),
    ``-W 1`` (wait before answering).
    """

    def __init__(self, program: str, folder: Path, *options: str) -> None:
        self.port = free_port()
        self._folder = folder
        # Started by root it insists on a user to become, and started by anyone else it could become nobody.
        user = ["-u", "root"] if os.geteuid() == 0 else []
        self._command = [program, *user, *options, "-d", "mail.", f"{LOOPBACK}:{self.port}", "100"]

    def __enter__(self) -> Self:
        self._server = subprocess.Popen(
            self._command, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        wait_until(self._ready, "the start of smtp-sink", 10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server, and every session with it; harmless when it is over."""
        self._server.terminate()
        self._server.wait(10)

    def mails(self) -> list[TakenMail]:
        """What it has written, oldest first: a mail is whole when its client has had the last reply."""
        files = sorted(self._folder.glob("mail.*"), key=lambda path: path.stat().st_mtime_ns)
        return [_read(path) for path in files]

    def wait_for(self, count: int, timeout: float = 10.0) -> list[TakenMail]:
        """The mails, once there are at least ``count``.

        Raises:
            TimeoutError: there were fewer after ``timeout`` seconds.
        """
        wait_until(lambda: len(list(self._folder.glob("mail.*"))) >= count, f"{count} mails in smtp-sink", timeout)
        return self.mails()

    def _ready(self) -> bool:
        if self._server.poll() is not None:
            raise RuntimeError(f"smtp-sink ended at once with status {self._server.returncode}: {self._command}")
        return answers(self.port)


def _read(path: Path) -> TakenMail:
    """One of its files: lines of the envelope, its own Received, then the mail, with LF."""
    head, _, content = path.read_bytes().partition(b"\nReceived: ")
    fields = [line.partition(": ") for line in head.decode("utf-8", "surrogateescape").splitlines()]
    senders = [_address(value) for name, _, value in fields if name == "X-Mail-Args"]
    recipients = tuple(_address(value) for name, _, value in fields if name == "X-Rcpt-Args")
    # Received is folded: it ends before the first line that does not begin with white space.
    mail = re.split(rb"\n(?![ \t])", content, maxsplit=1)[1]
    return TakenMail(senders[-1], recipients, mail.removesuffix(b"\n").replace(b"\n", b"\r\n"))


def _address(argument: str) -> str:
    found = ADDRESS.search(argument)
    return found[1] if found else argument
