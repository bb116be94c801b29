"""A deployment system, a mail server, and the worker between them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from process import Worker
from servers.mailbox_sink import SmtpSink
from upstream import Upstream


@pytest.fixture
def smtp(mailbox_sink: SmtpSink) -> SmtpSink:
    """The mail server that the worker hands its mails to."""
    return mailbox_sink


@pytest.fixture
def upstream(vhost_url: str) -> Iterator[Upstream]:
    """A deployment system at an empty broker."""
    with Upstream(vhost_url) as connected:
        yield connected


@pytest.fixture
def settings(vhost_url: str, smtp: SmtpSink) -> dict[str, str]:
    """What the worker needs to know."""
    return {"BROKER_URL": vhost_url, "SMTP_PORT": str(smtp.port)}


@pytest.fixture
def worker(tmp_path: Path, upstream: Upstream, settings: dict[str, str]) -> Iterator[Worker]:  # noqa: ARG001 - declares
    """A worker that consumes."""
    with Worker(tmp_path, settings) as running:
        yield running.wait_ready()
