"""The real command as a process of its own: started, watched, told to stop, or killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

READY = "consuming"


class Worker:
    """A command that runs, with settings of its own; nothing of the machine's environment reaches it."""

    def __init__(
        self, folder: Path, settings: Mapping[str, str], *, command: Sequence[str] = ("-m", "worker", "consume")
    ) -> None:
        self._folder = folder
        self._settings = dict(settings)
        self._command = command
        self._log = folder / f"worker-{time.monotonic_ns()}.log"
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {
            "PATH": os.environ["PATH"],
            "STATE_DIRECTORY": str(self._folder),
            "LOG_FORMAT": "json",
            "SMTP_HOST": "127.0.0.1",
            "SMTP_FROM_ADDRESS": "Deployments <deploy@corp.example>",
        } | self._settings
        with self._log.open("ab") as log:
            return subprocess.Popen([sys.executable, *self._command], env=environment, stderr=log)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What it logged so far; the last line only when it is whole."""
        whole = self._log.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in whole if line.startswith("{") and line.endswith("\n")]

    @property
    def text(self) -> str:
        """All that it wrote to standard error."""
        return self._log.read_text()

    def wait_ready(self, queues: int = 2) -> "Worker":
        """Wait until it consumes that many queues."""
        return self.wait_line(READY, count=queues)

    def wait_line(self, event: str, *, count: int = 1, seconds: float = 20.0) -> "Worker":
        """Wait until it logged that so many times."""
        deadline = time.monotonic() + seconds
        while sum(line["event"] == event for line in self.lines) < count:
            assert time.monotonic() < deadline, f"no {event!r}:\n{self.text}"
            assert self.process.poll() is None, f"it ended:\n{self.text}"
            time.sleep(0.05)
        return self

    def stop(self) -> int:
        """Ask it to end, and give back its exit status."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=35)
        assert status == 0, self.text
        return status

    def kill(self) -> None:
        """End it in the middle of whatever it does."""
        self.process.kill()
        self.process.wait(timeout=10)
