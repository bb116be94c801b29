"""The demo plays its whole story on this machine, and fails where a mail does not come as expected."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from demo.told import DANA, a_decision, a_reply_event
from rich.console import Console

from worker.demo import show
from worker.demo.replies import gmail
from worker.demo.story import ReplyScene, Scene
from worker.reply_events import DecisionEvent, ReplyEvent


def test_the_demo_shows_the_loop(tmp_path: Path) -> None:
    """Exit status 0; what happens is printed, with the broker's URL; the mails of both directions are kept."""
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
    assert done.stderr == ""
    assert "amqp://guest:guest@127.0.0.1:" in done.stdout
    assert "BillingService_logs.zip" in done.stdout
    assert re.search("dead letter +specversion: Field required", done.stdout)
    assert "All 14 scenes went as expected" in done.stdout
    mails = sorted(path.stem for path in (tmp_path / "demo-outbox").glob("*.eml"))
    assert len([name for name in mails if "reply" not in name]) == 10
    assert len([name for name in mails if "reply" in name]) == 6
    texts = {path.stem for path in (tmp_path / "demo-outbox").glob("*.html")}
    assert set(mails) - texts == {"04-reply-dana"}  # a machine wrote it


def test_the_demo_closes_the_loop(tmp_path: Path) -> None:
    """What each reply led to, on which queue, is told in plain lines: decided by whom, or refused and why."""
    with (tmp_path / "out").open("w+") as file:
        assert show.run_demo(tmp_path / "outbox", Console(file=file, width=100), keep=False)
        file.seek(0)
        lines = [" ".join(line.split()) for line in file]
    queues = [line.removeprefix("queue ") for line in lines if line.startswith("queue ")]
    assert queues == [
        "approvals.undecided reply.automatic A-77",
        "approvals.undecided reply.untrusted A-77",
        "approvals.undecided reply.undecided A-77",
        "approvals approval.approved A-77 by Dana Ito",
        "approvals approval.approved A-77 by Bo Müller",
        "approvals approval.rejected A-78 by Bo Müller",
    ]
    assert {"checked the change list", "no migration before the backup is done"} <= set(lines)
    assert "kept Quarantine for a person to look at" in lines
    assert lines[lines.index(f"queue {queues[1]}") + 1].startswith("not authenticated")
    assert "\x1b" not in "".join(lines)


@pytest.mark.parametrize(
    ("mails_to", "good"), [((), True), (("dana@corp.example",), False), (("bo@corp.example",), False)]
)
def test_a_mail_that_does_not_come_fails(mails_to: tuple[str, ...], *, good: bool) -> None:
    """Or comes to somebody else."""
    assert show._is_expected(Scene("", "", b"", mails_to), []) is good


@pytest.mark.parametrize(
    ("event", "good"),
    [
        (a_decision("approval.rejected", comment="no"), True),
        (None, False),
        (a_decision("approval.approved", comment="no"), False),
        (a_decision("approval.rejected", comment="no", approval="A-78"), False),
        (a_decision("approval.rejected", comment="no", email="bo@corp.example"), False),
        (a_decision("approval.rejected", comment="perhaps"), False),
        (a_reply_event("reply.undecided"), False),
    ],
)
def test_a_reply_that_leads_elsewhere_fails(event: DecisionEvent | ReplyEvent | None, *, good: bool) -> None:
    """Another event, another approval, another person or other words are not what the story says."""
    scene = ReplyScene("", "A-77", DANA, gmail("Reject: no"), "approval.rejected", "no")
    assert show._is_as_told(scene, event, []) is good


@pytest.mark.parametrize(("approval", "good"), [("A-77", True), (None, False)])
def test_a_reply_that_nobody_is_told_of_fails(approval: str | None, *, good: bool) -> None:
    """Where an answer is due one has to come, and none where none is; the event names the approval."""
    event = a_reply_event("reply.automatic", approval=approval)
    silent = ReplyScene("", "A-77", DANA, gmail("Hm"), "reply.automatic")
    assert show._is_as_told(silent, event, []) is good
    assert not show._is_as_told(replace(silent, mails_to=(DANA,)), event, [])
