"""Folders of template files to ``Source`` texts, each under its canonical name; a ``Folder`` says when it changed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from os import DirEntry, scandir, stat_result
from pathlib import Path

BUILT_IN = Path(__file__).parent.parent / "templates"
SUFFIXES = (".html.j2", ".txt.j2", ".css", ".toml")

# Enough for <event type>/<locale>/<file>; a link that points upwards ends there too.
_DEPTH = 3


@dataclass(frozen=True, slots=True)
class Source:
    """One file's text; where it could not be read, ``fault`` says why."""

    path: Path
    text: str
    fault: str | None = None


Sources = Mapping[str, Source]
Stamps = Mapping[str, tuple[Path, int, int, int]]


def locale_tag(name: str) -> str:
    """A locale in the form that templates are found by: ``de_AT`` is ``de-at``."""
    return name.replace("_", "-").lower()


def read_folder(folder: Path) -> dict[str, Source]:
    """Every template file below that folder, by canonical name."""
    return {name: _read(stamp[0]) for name, stamp in _stamps(folder).items()}


class Folder:
    """A folder of overrides, which may change at any time, and may not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: Stamps | None = None

    def changed(self) -> dict[str, Source] | None:
        """All its files where any was added, changed or removed since the last call; else None."""
        stamps = _stamps(self.path)
        if stamps == self._seen:
            return None
        self._seen = stamps
        return {name: _read(stamp[0]) for name, stamp in stamps.items()}


def _stamps(folder: Path) -> Stamps:
    return {
        _canonical(path.relative_to(folder)): (path, status.st_mtime_ns, status.st_size, status.st_ino)
        for path, status in _files(folder, _DEPTH)
    }


def _files(folder: Path, depth: int) -> Iterator[tuple[Path, stat_result]]:
    try:
        with scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return
    for entry in found:
        yield from _below(entry, depth)


def _below(entry: DirEntry[str], depth: int) -> Iterator[tuple[Path, stat_result]]:
    # Kubernetes mounts a ConfigMap as links into hidden folders: links are followed, hidden names are not.
    if entry.name.startswith("."):
        return
    if entry.is_dir():
        if depth > 1:
            yield from _files(Path(entry.path), depth - 1)
    elif entry.name.endswith(SUFFIXES):
        try:
            yield Path(entry.path), entry.stat()
        except OSError:
            return


def _canonical(path: Path) -> str:
    *folders, name = path.parts
    if folders == ["labels"]:
        return f"labels/{locale_tag(path.stem)}.toml"
    # Event types have a dot in their name, locales have none.
    return "/".join([*(part if "." in part else locale_tag(part) for part in folders), name])


def _read(path: Path) -> Source:
    try:
        return Source(path, path.read_text("utf-8"))
    except OSError as error:
        return Source(path, "", error.strerror or str(error))
    except UnicodeDecodeError as error:
        return Source(path, "", f"not UTF-8, at byte {error.start}")
