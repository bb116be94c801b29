"""``labels/<locale>.toml`` texts to ``Labels``: the fixed words of one language, and how it writes times."""

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from worker.mail.sources import Source
from worker.mail.units import TimeFormat, time_format

TIME, CLOCK = "time_format", "clock_format"
FORMATS = (TIME, CLOCK)


class LabelError(ValueError):
    """A labels file can't be used; ``source`` is the file, ``line`` where in it (1 where unknown)."""

    def __init__(self, source: Source, line: int, text: str) -> None:
        super().__init__(text)
        self.source = source
        self.line = line


@dataclass(frozen=True, slots=True)
class Labels:
    """The words by name, and the two formats of times."""

    words: dict[str, str]
    time: TimeFormat
    clock: TimeFormat


def read_labels(sources: Iterable[Source]) -> Labels:
    """The words of those files, the first file's before the next one's: a language lacks nothing that English has.

    Raises:
        LabelError: a file is not TOML, or holds something else than ``name = "text"``.
    """
    words: dict[str, str] = {}
    for source in sources:
        words = _words(source) | words
    return Labels(words, time_format(words[TIME]), time_format(words[CLOCK]))


def _words(source: Source) -> dict[str, str]:
    if source.fault:
        raise LabelError(source, 1, source.fault)
    try:
        found = tomllib.loads(source.text)
    except tomllib.TOMLDecodeError as error:
        raise LabelError(source, _line_of(str(error), source.text), f"not TOML: {error}") from None
    for name, value in found.items():
        _check(source, name, value)
    return found


def _check(source: Source, name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise LabelError(source, _defined_at(source, name), f"{name}: a text in quotation marks is expected")
    if name in FORMATS:
        try:
            time_format(value)
        except ValueError as error:
            raise LabelError(source, _defined_at(source, name), f"{name}: {error}") from None


def _defined_at(source: Source, name: str) -> int:
    lines = source.text.splitlines()
    return next((number for number, line in enumerate(lines, 1) if line.lstrip('"').startswith(name)), 1)


def _line_of(complaint: str, text: str) -> int:
    # tomllib of Python 3.11 to 3.13 says where in its message alone.
    found = re.search(r"\(at line (\d+)", complaint)
    return int(found[1]) if found else text.count("\n") + 1
