"""Chosen logs to one attachment within a budget: as it is, else zipped, else zipped with only head and tail of some.

The logs are read once, and a second time only where they do not fit: nothing but the attachment is ever kept.
"""

import sys
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

from worker.events import Log
from worker.mail.archive import END, MOST_MEMBERS, Archive, overhead
from worker.mail.email import Attachment
from worker.mail.excerpt import Excerpt, Reading, last_lines
from worker.mail.places import LogError, Places, Reason

TEXT = "text/plain; charset=utf-8"
ZIP = "application/zip"
LARGEST = 2**31
"""Bytes of an attachment, whatever the budget: beyond, a zip file would need a later format."""

_IN_MEMORY = 256 * 1024
_LEAST = 1024
"""Octets that an excerpt needs to be worth reading; below that a log is left out, so that others have room."""


@dataclass(frozen=True, slots=True)
class Shortened:
    """A log of which head and tail are attached."""

    filename: str
    missing_bytes: int


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A log that is not attached: it may not be read, can't be read, or is too large."""

    filename: str
    reason: Reason


@dataclass(slots=True)
class ChosenLog:
    """A log that is to be attached; ``name`` is the one that it has in a zip file.

    ``size`` and ``packed`` are bytes, known once it was read; ``packed`` is ``None`` where it takes more than the room.
    """

    index: int
    name: str
    log: Log
    is_failed: bool
    size: int = 0
    packed: int | None = None


class Bundle:
    """One event's logs on their way into one file of at most ``room`` bytes, until that ``time.monotonic()``.

    What became of them stands in ``shortened``, ``left_out`` and ``tails``, the latter two by the step's index.
    """

    def __init__(self, places: Places, room: int, deadline: float) -> None:
        self._places = places
        self._room = room
        self._deadline = deadline
        # It has no name in any folder: whatever ends this process removes it.
        self._file = cast(BinaryIO, SpooledTemporaryFile(max_size=_IN_MEMORY))  # noqa: SIM115 - the mail closes it, once it left
        self.shortened: list[Shortened] = []
        self.left_out: dict[int, LeftOut] = {}
        self.tails: dict[int, tuple[str, ...]] = {}

    def attachment(self, logs: Sequence[ChosenLog], *, alone: str | None, zipped: str) -> Attachment | None:
        """The file with those logs, or none of them came; ``alone`` is what the only one is called outside a zip."""
        attachment = None
        try:
            attachment = self._plain(logs[0], alone) if alone is not None else None
            if attachment is None:
                attachment = self._zip([log for log in logs if log.index not in self.left_out], zipped)
        except OSError:
            # No room for a temporary file: the mail goes without logs.
            self.shortened.clear()
            self.left_out = {log.index: LeftOut(log.name, "unreadable") for log in logs} | self.left_out
        finally:
            if attachment is None:
                # What could not be written is not worth another error.
                with suppress(OSError):
                    self._file.close()
        return attachment

    def _plain(self, log: ChosenLog, filename: str) -> Attachment | None:
        reading = self._reading(log)
        try:
            for piece in reading:
                if reading.size > self._room:
                    return None
                self._file.write(piece)
            self._file.flush()
        except LogError as error:
            self.left_out[log.index] = LeftOut(filename, error.reason)
            return None
        self._follow(log, reading)
        return Attachment(filename, TEXT, self._file, reading.size)

    def _zip(self, logs: Sequence[ChosenLog], filename: str) -> Attachment | None:
        archive = Archive(self._file)
        whole = [self._add_whole(archive, log) for log in logs]
        if not all(whole) or len(logs) > MOST_MEMBERS:
            archive = Archive(self._file)
            self._add_fitting(archive, [log for log in logs if log.index not in self.left_out])
        return Attachment(filename, ZIP, self._file, archive.finish()) if archive else None

    def _add_whole(self, archive: Archive, log: ChosenLog) -> bool:
        """Measure a log, and add all of it where it fits."""
        reading = self._reading(log)
        try:
            log.packed = archive.add(log.name, reading, self._room)
            # How long it is, and how it ends, has to be told also where it did not fit.
            for _ in reading:
                pass
        except LogError as error:
            self._leave_out(log, error.reason)
            return True
        self._follow(log, reading)
        if log.packed is not None and archive.size > self._room:
            archive.undo()
            return False
        return log.packed is not None

    def _add_fitting(self, archive: Archive, logs: Sequence[ChosenLog]) -> None:
        kept, share = _divided(logs, self._room)
        for log in logs:
            if log.index in kept:
                self._add_share(archive, log, share)
            else:
                self._leave_out(log, "too_large")

    def _add_share(self, archive: Archive, log: ChosenLog, share: int) -> None:
        pieces = _exactly(self._places.pieces(log.log, self._deadline), log.size)
        # Deflate adds less than a thousandth to what it can't pack.
        whole = log.packed is not None and log.packed <= share
        excerpt = Excerpt(pieces, log.size, log.size if whole else share - share // 256 - 64)
        try:
            packed = archive.add(log.name, excerpt, share if log.packed is None else min(log.packed, share))
        except LogError as error:
            self._leave_out(log, error.reason)
            return
        if packed is None:
            self._leave_out(log, "too_large")
        elif excerpt.missing:
            self.shortened.append(Shortened(log.name, excerpt.missing))

    def _reading(self, log: ChosenLog) -> Reading:
        return Reading(self._places.pieces(log.log, self._deadline))

    def _follow(self, log: ChosenLog, reading: Reading) -> None:
        log.size = reading.size
        if log.is_failed and (lines := last_lines(reading.ending)):
            self.tails[log.index] = lines

    def _leave_out(self, log: ChosenLog, reason: Reason) -> None:
        self.left_out[log.index] = LeftOut(log.name, reason)


def _exactly(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    """The same bytes that were measured: no more of a log that grew, and none of one that shrank."""
    for piece in pieces:
        yield piece[:size]
        size -= min(len(piece), size)
    if size:
        raise LogError("unreadable")


def _divided(logs: Sequence[ChosenLog], room: int) -> tuple[set[int], int]:
    """The indexes of as many as have room, failed steps' first, and what each of them may take."""
    order = sorted(logs, key=lambda log: not log.is_failed)
    counts = range(1, min(len(order), MOST_MEMBERS) + 1)
    count = bisect_left(counts, True, key=lambda count: _share(order[:count], room) < _LEAST)
    return {log.index for log in order[:count]}, _share(order[:count], room)


def _share(logs: Sequence[ChosenLog], room: int) -> int:
    """What each may take so that all have room together: what small ones leave goes to the others."""
    left = room - END - sum(overhead(log.name) for log in logs)
    smallest_first = sorted(logs, key=lambda log: sys.maxsize if log.packed is None else log.packed)
    for count, log in enumerate(smallest_first):
        share = left // (len(logs) - count)
        if log.packed is None or log.packed > share:
            return share
        left -= log.packed
    return sys.maxsize if left >= 0 else left
