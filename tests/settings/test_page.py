"""docs/settings.md: current, complete, and its example works."""

import subprocess
import sys
from pathlib import Path

from worker.settings import PollSettings, Settings, read_settings, settings_page
from worker.settings.page import EXAMPLE

ROOT = Path(__file__).parents[2]


def test_page_is_current() -> None:
    """docs/settings.md is what `python -m worker.settings` writes."""
    written = subprocess.run([sys.executable, "-m", "worker.settings"], cwd=ROOT, capture_output=True, check=True)

    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == written.stdout.decode() == settings_page()


def test_page_is_complete() -> None:
    """Every setting has one row with a default and one sentence."""
    rows = [line.split(" | ") for line in settings_page().splitlines() if "| `" in line]

    for name in Settings.model_fields:
        (row,) = [row for row in rows if any(cell.strip("| ") == f"`{name.upper()}`" for cell in row[:2])]
        assert all(cell.strip("| ") for cell in row)
        assert row[-1].endswith(". |")


def test_example_works(tmp_path: Path) -> None:
    """The TOML file on the page is a complete configuration of both halves."""
    (tmp_path / "password").write_text("pw\n")
    (tmp_path / "key").write_text("a" * 64)
    example = EXAMPLE.replace("/run/secrets/smtp-password", f"{tmp_path}/password")
    config = tmp_path / "countersign.toml"
    config.write_text(example.replace("/run/secrets/approval-token-key", f"{tmp_path}/key"))

    settings = read_settings({"COUNTERSIGN_CONFIG": str(config)}, PollSettings).settings

    assert settings.imap_user == "deployments"
    assert len(settings.broker_url) == 2
