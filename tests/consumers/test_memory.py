"""Large logs cost disk, not memory: many mails at once hold no more than a bounded amount of it."""

import secrets
from pathlib import Path

from builders import a_request_event, a_step
from process import Worker
from servers.mailbox_sink import SmtpSink
from upstream import Upstream

MIB = 1024 * 1024
LOG = 6 * MIB
EVENTS = 16


def peak(pid: int) -> int:
    """The most memory that the process ever held, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def test_many_large_logs_stay_on_disk(
    tmp_path: Path, upstream: Upstream, settings: dict[str, str], smtp: SmtpSink
) -> None:
    """16 mails with a log of 6 MiB each, by reference and incompressible: at most 64 MiB above an idle worker."""
    logs = tmp_path / "logs"
    logs.mkdir()
    events = []
    for number in range(EVENTS):
        (logs / f"{number}.log").write_bytes(secrets.token_bytes(LOG))
        step = a_step(status="failed", log={"url": f"file://{logs}/{number}.log"})
        events.append(a_request_event("request.failed", event_id=f"e-{number}", steps=[step]))
    with Worker(tmp_path, settings | {"ATTACH_LOGS": "always", "LOGS_DIR": str(logs)}) as running:
        running.wait_ready()
        upstream.publish(a_request_event(event_id="first"))
        smtp.wait_for(1)
        idle = peak(running.process.pid)
        upstream.publish(*events)
        mails = smtp.wait_for(1 + EVENTS, timeout=100)
        grown = peak(running.process.pid) - idle
        assert running.stop() == 0
    assert all(len(mail.content) > LOG for mail in mails[1:])
    assert grown <= 64 * MIB, f"{grown / MIB:.0f} MiB"
