"""A worker killed again and again while thousands of events flow: `make soak`."""

import sys
from collections import Counter
from pathlib import Path

import pytest
from builders import a_request_event
from process import Worker
from servers.mailbox_sink import SmtpSink
from servers.ports import wait_until
from upstream import Upstream

EVENTS = 5_000
KILLS = 50
IN_FLIGHT = 2 * 8
"""Mails on their way at once: the defaults of SMTP_CONNECTIONS and SMTP_PIPELINE_DEPTH."""


@pytest.mark.soak
def test_fifty_kills_lose_nothing(upstream: Upstream, tmp_path: Path, settings: dict[str, str], smtp: SmtpSink) -> None:
    """Every event has its mail; what came twice was in flight at a kill, and has the same Message-ID."""
    upstream.publish(*(a_request_event(event_id=f"e-{number}") for number in range(EVENTS)))
    for _ in range(KILLS):
        before = len(smtp.mails)
        with Worker(tmp_path, settings) as running:
            wait_until(lambda before=before: len(smtp.mails) > before + 20, "some mails", timeout=60)  # type: ignore[misc]
            running.kill()
    with Worker(tmp_path, settings) as running:
        wait_until(lambda: _different(smtp) == EVENTS, "every event has its mail", timeout=600)
        upstream.wait_empty()
        assert running.stop() == 0
    times = Counter(str(mail.parsed["Message-ID"]) for mail in smtp.mails)
    sys.stdout.write(f"{len(times)} mails, {sum(times.values()) - len(times)} of them again after {KILLS} kills\n")
    assert len(times) == EVENTS
    assert sum(times.values()) - EVENTS <= KILLS * IN_FLIGHT


def _different(smtp: SmtpSink) -> int:
    marker = b"Message-ID: "
    return len({mail.content.partition(marker)[2].partition(b"\r\n")[0] for mail in list(smtp.mails)})
