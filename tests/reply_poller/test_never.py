"""No mail in ``tests/replies/never`` approves; ``manifest.toml`` says of each why not."""

import tomllib
from pathlib import Path

import pytest
from reply_poller.hostile import approves

NEVER = Path(__file__).parents[1] / "replies" / "never"
WHY: dict[str, str] = tomllib.loads((NEVER / "manifest.toml").read_text("utf-8"))


@pytest.mark.parametrize("name", [pytest.param(name, id=f"{name}: {why}") for name, why in WHY.items()])
def test_never(name: str) -> None:
    """A mail that does not say yes beyond doubt approves nothing."""
    assert not approves((NEVER / f"{name}.eml").read_bytes())


def test_manifest_is_complete() -> None:
    """Each mail has its reason, and each reason its mail."""
    assert {path.stem for path in NEVER.glob("*.eml")} == WHY.keys()
