"""A log's bytes to what a person needs of them: head and tail of one that is too long, and its last lines."""

import re
from collections.abc import Iterator
from itertools import islice

LINES = 15
LINE_LENGTH = 200

_GAP = 64
"""Room for the line that says what is missing, of a log of any size."""

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
_INVISIBLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
# UTF-8 (RFC 3629 3)
_CONTINUATION = bytes(range(0x80, 0xC0))
_LEAD, _LEAD_OF_3, _LEAD_OF_4 = 0xC0, 0xE0, 0xF0
_LONGEST_CHARACTER = 4


class Reading(Iterator[bytes]):
    """The same pieces, counted, and the end of them remembered."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._before = self._last = b""
        self.size = 0

    def __next__(self) -> bytes:
        piece = next(self._pieces)
        self._before, self._last = self._last, piece
        self.size += len(piece)
        return piece

    @property
    def ending(self) -> bytes:
        """The last two pieces that were read."""
        return self._before + self._last


def last_lines(ending: bytes) -> tuple[str, ...]:
    """The last lines that hold something, as a terminal would show them: no colours, no control characters."""
    lines = filter(None, map(_shown, reversed(ending.split(b"\n"))))
    return tuple(islice(lines, LINES))[::-1]


def _shown(raw: bytes) -> str:
    # A progress bar returns to the start of its line: what it wrote last is what stays.
    final = _ANSI.sub("", raw.decode("utf-8", "replace")).rstrip("\r").rpartition("\r")[2].replace("\t", "    ")
    return _INVISIBLE.sub("", final).rstrip()[:LINE_LENGTH]


class Excerpt:
    """Head and tail of ``size`` bytes in at most ``room``, whole lines where it can be, and a line between.

    ``missing`` is how many bytes are not in it, once it was iterated.
    """

    def __init__(self, pieces: Iterator[bytes], size: int, room: int) -> None:
        self._pieces = pieces
        self._size = size
        self._half = max(room - _GAP, 0) // 2
        self._tail = size - self._half
        self._fits = size <= room
        self.missing = 0

    def __iter__(self) -> Iterator[bytes]:
        if self._fits:
            yield from self._pieces
            return
        position, gap = 0, _Gap(self._size)
        for piece in self._pieces:
            end = position + len(piece)
            if position < self._half:
                yield gap.after(piece[: self._half - position], is_last=end >= self._half)
            if end > self._tail:
                part = piece[max(self._tail - position, 0) :]
                yield gap.before(part, self._size - end) if position <= self._tail else part
            position = end
        self.missing = gap.missing


class _Gap:
    """What lies between head and tail, and the line that says so."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._head = 0
        self._ends_line = True
        self.missing = 0

    def after(self, part: bytes, *, is_last: bool) -> bytes:
        """A part of the head as it is to be shown."""
        if is_last:
            part = part[: part.rfind(b"\n") + 1] or _without_half_character(part)
        self._head += len(part)
        self._ends_line = part.endswith(b"\n") if part else self._ends_line
        return part

    def before(self, part: bytes, behind: int) -> bytes:
        """The first part of the tail as it is to be shown, under the line; so many bytes follow it."""
        part = part[part.find(b"\n") + 1 :] or part
        part = part.lstrip(_CONTINUATION) if len(part) > _LONGEST_CHARACTER else part
        self.missing = self._size - self._head - len(part) - behind
        return b"%b[... %d bytes are missing here ...]\n%b" % (b"" if self._ends_line else b"\n", self.missing, part)


def _without_half_character(part: bytes) -> bytes:
    """Without the beginning of a UTF-8 character whose rest was cut off."""
    for back, byte in enumerate(reversed(part[-_LONGEST_CHARACTER:]), start=1):
        if byte >= _LEAD:
            length = 2 + (byte >= _LEAD_OF_3) + (byte >= _LEAD_OF_4)
            return part[:-back] if back < length else part
        if byte < _CONTINUATION[0]:
            break
    return part
