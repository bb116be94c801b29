"""Ours against what a user would pick instead, in one run: ``python -m bench``. See README.md here."""

import sys
from pathlib import Path

# The servers that the tests start are the bench's too.
sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))
