"""The models to the pages generated from them: ``python -m worker.docs`` writes, ``--check`` finds what has drifted."""

import sys
from pathlib import Path

from worker.schema import schema_files
from worker.settings import settings_page

DOCS = Path("docs")


def pages() -> dict[Path, str]:
    """Every generated file and its text."""
    return {DOCS / "settings.md": settings_page()} | {DOCS / name: text for name, text in schema_files().items()}


def main(arguments: list[str]) -> int:
    """Write the pages, or name those that differ; the exit status."""
    drifted = [path for path, text in pages().items() if not path.is_file() or path.read_text() != text]
    if "--check" in arguments:
        for path in drifted:
            print(f"{path} is not what the models say: run `make docs`", file=sys.stderr)  # noqa: T201 - a command
        return 1 if drifted else 0
    for path in drifted:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(pages()[path])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
