"""Of a long log stays what a person reads: how it began, how it ended, and how much is missing between."""

import re
from itertools import accumulate, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.mail.excerpt import Excerpt, Reading, last_lines

LOG = st.lists(st.one_of(st.binary(max_size=40), st.text(max_size=40).map(str.encode), st.just(b"\n")), max_size=60)
LINE = re.compile(rb"\n?\[\.\.\. (\d+) bytes are missing here \.\.\.\]\n")


def shortened(log: bytes, room: int, cuts: tuple[int, ...] = ()) -> tuple[bytes, int]:
    """The excerpt of a log that comes in pieces, and how much is missing from it."""
    places = [0, *sorted(cuts), len(log)]
    excerpt = Excerpt((log[start:end] for start, end in pairwise(places)), len(log), room)
    return b"".join(excerpt), excerpt.missing


@given(pieces=LOG, room=st.integers(200, 1500))
@settings(deadline=None)
def test_an_excerpt_is_honest(pieces: list[bytes], room: int) -> None:
    """Head and tail are the log's own, the number is right, and it keeps to its room."""
    log = b"".join(pieces)
    cuts = tuple(accumulate(map(len, pieces)))

    text, missing = shortened(log, room, cuts)

    assert len(text) <= room
    if len(log) <= room:
        assert (text, missing) == (log, 0)
        return
    line = b"[... %d bytes are missing here ...]\n" % missing
    head, _, tail = text.partition(line)
    assert line in text
    assert log.endswith(tail)
    assert log.startswith((head, head.removesuffix(b"\n")))
    kept = len(head) if log.startswith(head) and len(log) - missing - len(tail) == len(head) else len(head) - 1
    assert kept + missing + len(tail) == len(log)


def test_an_excerpt_has_whole_lines() -> None:
    """The head ends with a line and the tail begins with one."""
    log = b"".join(b"line %04d\n" % number for number in range(1000))

    text, missing = shortened(log, 364, (5000,))

    assert text.startswith(b"line 0000\n")
    assert text.endswith(b"line 0999\n")
    assert f"line 0014\n[... {missing} bytes are missing here ...]\nline 0986\n".encode() in text
    assert missing == len(log) - 15 * 10 - 14 * 10


@pytest.mark.parametrize("letter", ["ü", "日", "🧑"])
@pytest.mark.parametrize("shift", [0, 1, 2, 3])
def test_no_character_is_halved(letter: str, shift: int) -> None:
    """Where a line is longer than the excerpt, it is cut between two characters."""
    log = b"x" * shift + letter.encode() * 1000

    text, _ = shortened(log, 365)

    assert set(text.decode()) <= {"x", letter, *"\n[]. bytesarmiinghe0123456789"}


def test_little_is_lost_to_the_cut() -> None:
    """Of the room for a log without line breaks, nearly all is used."""
    text, _ = shortened(b"x" * 10_000, 1000)

    assert len(text) > 950
    assert b"x\n[... 9" in text


class TestLastLines:
    """The lines that the mail itself shows."""

    def test_the_last_lines_that_hold_something(self) -> None:
        """Fifteen lines, the last ones, in their order, without the empty ones."""
        log = b"".join(b"line %d\r\n \r\n\n" % number for number in range(40))

        assert last_lines(log) == tuple(f"line {number}" for number in range(25, 40))

    @pytest.mark.parametrize(
        ("raw", "shown"),
        [
            (b"\x1b[31mfailed\x1b[0m: exit \x1b[1;4m1\x1b[m", "failed: exit 1"),
            (b"\x1b]0;title\x07text", "text"),
            (b"\x1b]8;;https://x.example\x1b\\link\x1b]8;;\x1b\\", "link"),
            (b"\x1b(Btext\x1b=", "text"),
            (b"a\0b\x08c\x7fd", "abcd"),
            (b"10 %\r20 %\r100 %", "100 %"),
            (b"done\r", "done"),
            (b"a\tb", "a    b"),
            ("gpj\u202eexe".encode(), "gpjexe"),
            (b"caf\xe9", "caf\ufffd"),
            (b"x" * 300, "x" * 200),
            (b"  indented  ", "  indented"),
        ],
    )
    def test_a_line_is_shown_as_a_terminal_would(self, raw: bytes, shown: str) -> None:
        """Colours, titles, control characters and what a progress bar overwrote are not shown."""
        assert last_lines(raw) == (shown,)

    @given(log=st.binary(max_size=400))
    @settings(deadline=None)
    def test_any_log_has_printable_lines(self, log: bytes) -> None:
        """Whatever is in a log, no control character is in its lines."""
        lines = last_lines(log)

        assert len(lines) <= 15
        assert not [line for line in lines if len(line) > 200 or re.search(r"[\x00-\x1f\x7f-\x9f]", line)]

    @given(pieces=LOG)
    @settings(deadline=None)
    def test_reading_remembers_the_end(self, pieces: list[bytes]) -> None:
        """The pieces pass through; the last two and their number of bytes are remembered."""
        reading = Reading(iter(pieces))

        assert list(reading) == pieces
        assert reading.size == sum(map(len, pieces))
        assert reading.ending == b"".join(pieces[-2:])
