"""The product at work on the demo's servers: a scene fails where it leads elsewhere than the story says."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from demo.told import DANA
from rich.console import Console

from worker.demo import show
from worker.demo.replies import gmail
from worker.demo.stage import Stage, set_stage
from worker.demo.story import ReplyScene, Scene, tell

FORGED = ReplyScene("forged", "A-77", DANA, gmail("Approve"), "reply.untrusted", dmarc="fail", quarantined=True)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A stage with nothing played on it."""
    with (tmp_path / "out").open("w+") as file, set_stage(tmp_path / "outbox", Console(file=file)) as stage:
        yield stage


def _ask(stage: Stage) -> None:
    asking = next(
        scene
        for scene in tell(datetime.now(UTC).replace(microsecond=0))
        if isinstance(scene, Scene) and scene.approval == FORGED.approval
    )
    assert show._play(stage, asking)


def test_a_reply_to_nothing_fails(stage: Stage) -> None:
    """Where nobody was asked there is no mail to answer, and the demo says so."""
    assert not show._play(stage, FORGED)
    assert "no mail of A-77 to dana@corp.example" in _shown(stage)


def test_what_the_gateway_says_decides(stage: Stage) -> None:
    """The same mail is refused where the sender's domain disowns it, and a decision where it does not."""
    _ask(stage)
    assert show._play(stage, FORGED)
    assert not show._play(stage, replace(FORGED, dmarc="pass"))
    assert "expected reply.untrusted" in _shown(stage)
    assert len(stage.mailbox.folders()["Quarantine"]) == 1


def _shown(stage: Stage) -> str:
    file = stage.console.file
    file.seek(0)
    return file.read()
