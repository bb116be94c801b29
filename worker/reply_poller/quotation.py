"""Lines of a mail to what its writer typed: without the quote, its attribution, the signature and footers.

A quote is known by marks (``>``, a ``blockquote``), or by what a client puts before it (``heading``).
"""

from collections.abc import Sequence
from unicodedata import normalize

from worker.reply_poller.footer import without_footer
from worker.reply_poller.heading import (
    LONGEST_ATTRIBUTION,
    attribution_length,
    heading_length,
    is_certain,
    is_probable,
    is_titled,
    unknown_part,
)
from worker.reply_poller.line import Line, Mark, bare, letters_of, without_marks
from worker.reply_poller.origin import Origin
from worker.reply_poller.reply import Doubt, Typed

__all__ = ["Origin", "find_typed"]


def find_typed(lines: Sequence[Line], origin: Origin) -> Typed:
    """What was typed above and below the quote, in its order."""
    kept = _without_quote([_visible(line) for line in lines], origin)
    typed: list[str] = []
    aside = [line.text for line in kept if line.mark is Mark.ASIDE]
    for segment in _segments(kept):
        own, other = without_footer(segment, origin.sender)
        typed += own
        aside += other
    return Typed(
        lines=_trimmed(typed),
        aside=tuple(normalize("NFC", text) for text in aside if text),
        doubt=_doubt(kept),
        is_blank=not any(line.text for line in lines),
        whole=letters_of(line.text for line in lines),
    )


def _visible(line: Line) -> Line:
    text = bare(line.text)
    return Line(text, line.mark, line.doubt) if text != line.text else line


# -- the quote --------------------------------------------------------------------------------------------------------


def _without_quote(lines: list[Line], origin: Origin) -> list[Line]:
    """The lines up to an unmarked quote, which goes on to the end; those above a marked one are marked themselves."""
    kept = list(lines)
    texts = [without_marks(line.text) if _is_plain(line) else "" for line in lines]
    number = 0
    while number < len(lines):
        if lines[number].mark is Mark.ORIGINAL:
            return kept[:number]
        length, is_cut = _heading(lines, texts, number, origin) if texts[number] else (1, False)
        if is_cut:
            return _with_asides(kept[:number], texts, origin, cut=True)
        if length:
            _mark(kept, number, length, Mark.QUOTED if texts[number] else lines[number].mark)
        number += length or 1
    return _with_asides(kept, texts, origin, cut=False)


def _is_plain(line: Line) -> bool:
    return line.mark is Mark.NONE or (line.mark is Mark.QUOTED and line.text.startswith(">>>"))


def _heading(lines: Sequence[Line], texts: Sequence[str], number: int, origin: Origin) -> tuple[int, bool]:
    """How many lines from there on are a heading, and whether all that follows is the quote."""
    length = heading_length(texts, number, origin)
    if length:
        return length, not _marked_behind(lines, number + length)
    length = attribution_length(texts, number, origin)
    if not length or _marked_behind(lines, number + length):
        return length, False
    is_cut = is_certain(" ".join(texts[number : number + length]), origin)
    return (length if is_cut else 0), is_cut


def _marked_behind(lines: Sequence[Line], number: int) -> bool:
    following = next((line for line in lines[number:] if line.text), None)
    return following is not None and following.mark is Mark.QUOTED and not following.text.startswith(">>>")


def _mark(lines: list[Line], number: int, length: int, mark: Mark) -> None:
    for place in range(number, number + length):
        lines[place] = Line(lines[place].text, mark, lines[place].doubt)


def _with_asides(lines: list[Line], texts: Sequence[str], origin: Origin, *, cut: bool) -> list[Line]:
    """The lines, and marked as aside those that are probably a heading."""
    for number in range(len(lines) + 1):
        begins = lines[number].mark is Mark.QUOTED if number < len(lines) else cut
        if begins and (number == 0 or lines[number - 1].mark is not Mark.QUOTED):
            _put_aside(lines, texts, number, origin)
    return lines


def _put_aside(lines: list[Line], texts: Sequence[str], number: int, origin: Origin) -> None:
    last = number - 1
    while last >= 0 and not texts[last] and lines[last].mark is Mark.NONE:
        last -= 1
    if last < 0 or lines[last].mark is not Mark.NONE:
        return
    if is_titled(texts[last]):
        _mark(lines, last, 1, Mark.ASIDE)
        return
    for first in range(last, max(last - LONGEST_ATTRIBUTION, -1), -1):
        if lines[first].mark is not Mark.NONE or not texts[first]:
            return
        span = " ".join(texts[first : last + 1])
        if is_probable(span, origin):
            _mark(lines, first, last + 1 - first, Mark.QUOTED)
            lines[first] = Line(unknown_part(span, origin), Mark.ASIDE, lines[first].doubt)
            return


# -- what is left -----------------------------------------------------------------------------------------------------


def _segments(lines: Sequence[Line]) -> list[list[str]]:
    """What stands between the quotes."""
    segments: list[list[str]] = [[]]
    for line in lines:
        if line.mark is Mark.NONE:
            segments[-1].append(line.text)
        elif line.mark is not Mark.ASIDE and segments[-1]:
            segments.append([])
    return segments


def _trimmed(lines: list[str]) -> tuple[str, ...]:
    texts = [normalize("NFC", text) for text in lines]
    while texts and not texts[-1]:
        texts.pop()
    while texts and not texts[0]:
        texts.pop(0)
    return tuple(texts)


def _doubt(lines: Sequence[Line]) -> Doubt | None:
    return next((line.doubt for line in lines if line.mark in {Mark.NONE, Mark.ASIDE} and line.doubt), None)
