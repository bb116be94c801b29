"""Whether there is a Docker engine to test with, and its compose."""

import shutil
import subprocess


def engine_answers() -> bool:
    """Whether ``docker`` is installed and its engine runs."""
    return _succeeds("docker", "info")


def compose_answers() -> bool:
    """Whether ``docker compose`` (version 2) is installed; it needs no engine to read a file."""
    return _succeeds("docker", "compose", "version")


def _succeeds(*command: str) -> bool:
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0
