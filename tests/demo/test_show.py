"""The demo plays its whole story on this machine, and fails where a mail does not come as expected."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from worker.demo import show
from worker.demo.story import Scene


def test_the_demo_shows_the_loop(tmp_path: Path) -> None:
    """Exit status 0; what happens is printed, the mails and the broker's URL with it."""
    done = subprocess.run(
        [sys.executable, "-m", "worker", "demo"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "SMPT_HOST": "read by nobody"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "amqp://guest:guest@127.0.0.1:" in done.stdout
    assert "BillingService_logs.zip" in done.stdout
    assert "dead letter  specversion: Field required" in done.stdout
    assert "All 7 scenes went as expected" in done.stdout
    mails = sorted(path.name for path in (tmp_path / "demo-outbox").glob("*.eml"))
    assert len(mails) == 7
    assert all((tmp_path / "demo-outbox" / name).with_suffix(".html").is_file() for name in mails)


@pytest.mark.parametrize(
    ("mails_to", "good"), [((), True), (("dana@corp.example",), False), (("bo@corp.example",), False)]
)
def test_a_mail_that_does_not_come_fails(mails_to: tuple[str, ...], *, good: bool) -> None:
    """Or comes to somebody else."""
    assert show._is_expected(Scene("", "", b"", mails_to), []) is good


def test_the_demo_needs_no_terminal(tmp_path: Path) -> None:
    """Plain lines without control sequences where the output is a file."""
    with (tmp_path / "out").open("w") as file:
        assert show.run_demo(tmp_path / "outbox", Console(file=file), keep=False)
    assert "\x1b" not in (tmp_path / "out").read_text()
