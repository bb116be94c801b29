"""A running process to a file that says so, and that file to healthy or not: works without any port."""

import json
import os
import re
import socket
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

STALE_SECONDS = 60.0
"""A loop turns at least every few seconds; one that has not for this long is stuck."""


def health_file(state_directory: str | None, role: str) -> Path:
    """Where the process writes: the state folder of the service, else the temporary one.

    Named after the machine, too: containers may share the folder with the journal in it.
    """
    return _folder(state_directory) / f"health-{_machine()}.{role}.json"


def health_files(state_directory: str | None) -> Sequence[Path]:
    """The files of all processes on this machine (in this container); where there is none, where one would be."""
    found = sorted(_folder(state_directory).glob(f"health-{_machine()}.*.json"))
    return found or [health_file(state_directory, "consume")]


def _folder(state_directory: str | None) -> Path:
    return Path(state_directory) if state_directory else Path(tempfile.gettempdir()) / f"countersign-{os.getuid()}"


def _machine() -> str:
    return re.sub(r"[^A-Za-z0-9-]", "_", socket.gethostname())


class Heart:
    """Notes when each loop last turned, and writes it down at most once a second."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._loops: dict[str, tuple[float, str]] = {}
        self._written = 0.0
        self._lock = threading.Lock()

    def beat(self, loop: str, state: str) -> None:
        """That loop turned, and is doing this."""
        with self._lock:
            now = time.time()
            self._loops[loop] = (now, state)
            if now - self._written < 1.0:
                return
            self._written = now
            # A disk that is full is no reason to stop: the file grows old, and says so by itself.
            with suppress(OSError):
                self._write()

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # A new file of our own each time: nobody's link is followed.
        number, draft = tempfile.mkstemp(dir=self._path.parent, prefix="health-")
        with os.fdopen(number, "w") as file:
            json.dump({"pid": os.getpid(), "loops": self._loops}, file)
        Path(draft).replace(self._path)

    def stop(self) -> None:
        """The process ends in order: no file, not a stale one."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


def examine(path: Path, now: float) -> tuple[bool, str]:
    """Whether all loops of the process turned lately, and a sentence for a person."""
    try:
        loops = json.loads(path.read_text())["loops"]
    except FileNotFoundError:
        return False, f"not running: {path} does not exist"
    except (OSError, ValueError, KeyError) as error:
        return False, f"{path} can't be read: {error}"
    lines = [f"{loop}: {state}, {now - moment:.0f} s ago" for loop, (moment, state) in loops.items()]
    stuck = [loop for loop, (moment, _) in loops.items() if now - moment > STALE_SECONDS]
    return bool(loops) and not stuck, "\n".join(lines)
