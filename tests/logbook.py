"""Events with logs of any kind, and what a reader finds attached to the mail."""

import base64
import re
import zipfile
from random import Random
from typing import Any

from builders import a_request_event, a_step, parsed

from worker.events import RequestEvent
from worker.mail.email import Attachment
from worker.mail.logs import AttachedLogs, Logs

NOISE = Random(1).randbytes(1 << 20)


def a_failure(*steps: dict[str, Any], kind: str = "request.failed", **data: Any) -> RequestEvent:
    """A failed request with those steps."""
    event = parsed(
        a_request_event(kind, **data) | {"data": a_request_event(kind, **data)["data"] | {"steps": list(steps)}}
    )
    assert isinstance(event, RequestEvent)
    return event


def a_log(number: int = 1, text: str = "done\n", *, status: str = "failed", **log: str) -> dict[str, Any]:
    """A step that failed, with its log."""
    return a_step(number, status=status, log=log or {"text": text})


def noise(length: int) -> str:
    """Base64 of a log that can't be packed."""
    return base64.b64encode((NOISE * (length // len(NOISE) + 1))[:length]).decode()


def some_logs(**changed: Any) -> Logs:
    """Logs that are always attached, in a usual budget."""
    plain: dict[str, Any] = {"policy": "always", "max_bytes": 18 << 20}
    return Logs(**plain | changed)


def content(attachment: Attachment) -> bytes:
    """The attached file, of the length that was said."""
    attachment.content.seek(0)
    found = attachment.content.read()
    assert len(found) == attachment.size
    return found


def files(attached: AttachedLogs) -> dict[str, bytes]:
    """The logs that a reader finds, unzipped."""
    found: dict[str, bytes] = {}
    for attachment in attached.attachments:
        if attachment.media_type != "application/zip":
            found[attachment.filename] = content(attachment)
            continue
        attachment.content.seek(0)
        with zipfile.ZipFile(attachment.content) as archive:
            assert archive.testzip() is None
            found |= {name: archive.read(name) for name in archive.namelist()}
    return found


def bytes_of(kind: str, size: int) -> bytes:
    """A log of that kind and size."""
    if kind == "lines":
        return b"".join(b"line %d\n" % number for number in range(size // 10))
    return NOISE[:size] if kind == "noise" else b"done\n" * (size // 5)


def encoded(kind: str, log: bytes) -> str:
    """The log as the event holds it."""
    return "not base64" if kind == "bad" else base64.b64encode(log).decode()


def number_in(name: str) -> str:
    """The step's number in a file name."""
    found = re.search(r"(\d+)_Step", name)
    assert found is not None
    return found[1]


def gap(text: bytes) -> tuple[bytes, int]:
    """The line that says what is missing, with the line break that was put before it, and the number in it."""
    found = re.search(rb"\n?\[\.\.\. (\d+) bytes are missing here \.\.\.\]\n", text)
    assert found is not None
    line = found[0]
    # A head of whole lines ends with its own line break.
    return (line.removeprefix(b"\n") if b"\n" in text[: found.start() + 1] else line), int(found[1])
