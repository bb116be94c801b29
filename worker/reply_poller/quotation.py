"""Lines of a mail to what its writer typed: without the quote, its attribution, the signature and footers.

A quote is known by marks (``>``, a ``blockquote``), or by what a client puts before it: a line of dashes, a block of
header fields, a line that names our address and a time. None of that depends on the client's language.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from unicodedata import normalize

from worker.reply_poller.footer import is_disclaimer, is_phone_signature
from worker.reply_poller.line import Line, Mark
from worker.reply_poller.phrases import PHRASES
from worker.reply_poller.reply import Doubt, Typed

LONGEST_ATTRIBUTION = 4
HEADER_BLOCK_LINES = 10
HEADER_FIELDS = 3

_INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff\u00ad]")
_RULE = re.compile(r"[-_=*~#\u2010-\u2015\u2500-\u2501]{5,}")
_TITLED_RULE = re.compile(r"([-_=*~\u2010-\u2015]{2,}) ?[^\s\d-][^<>@]{1,60}? ?([-_=*~\u2010-\u2015]{2,})")
_GROUPWISE = re.compile(r">>>.*")
_SIGNATURE = re.compile(r"--|\u2014")
_FIELD = re.compile(r"[*_]{0,2}[^\W\d][^:\uff1a<>@?!]{0,28}[*_]{0,2} ?[:\uff1a][*_]{0,2}(?: |$)")
_ADDRESS = re.compile(r"[^\s<>@()\[\]]{1,64}@[^\s<>@()\[\]]{2,255}")
_CLOCK = re.compile(r"\d{1,2} ?[:.hH\u6642\u65f6\uc2dc\u70b9] ?\d{2}|20\d\d")


@dataclass(frozen=True, slots=True)
class Origin:
    """How a client names us when it quotes: what finds our address, and the names that it may give us."""

    ours: re.Pattern[str]
    names: tuple[str, ...] = ()
    subject: str = ""

    def names_us(self, text: str) -> bool:
        """Whether our address, or the name that we send under, stands there."""
        return self.ours.search(text) is not None or any(name in text for name in self.names)


def find_typed(lines: Sequence[Line], origin: Origin) -> Typed:
    """What was typed above and below the quote, in its order."""
    lines = [_visible(line) for line in lines]
    end = _cut(lines, origin)
    kept = _without_attributions(lines[:end], origin)
    typed: list[str] = []
    aside: list[str] = []
    for segment in _segments(kept):
        own, other = _without_footer(segment)
        typed += own
        aside += other
    return Typed(
        lines=_trimmed(typed),
        aside=tuple(text for text in aside if text),
        doubt=_doubt(kept),
        is_blank=not any(line.text for line in lines),
    )


def _visible(line: Line) -> Line:
    """Without what clients put around words of right-to-left or Asian text, where it stands at an end."""
    text = line.text
    while text and (_INVISIBLE.match(text[0]) or text[0] == " "):
        if text[0] in "\u202a\u202b\u202d\u202e\u2066\u2067\u2068":
            break
        text = text[1:]
    while text and (_INVISIBLE.match(text[-1]) or text[-1] == " "):
        text = text[:-1]
    return Line(text, line.mark, line.doubt) if text != line.text else line


def _plain(text: str) -> str:
    return _INVISIBLE.sub("", text)


# -- where an unmarked quote begins -----------------------------------------------------------------------------------


def _cut(lines: Sequence[Line], origin: Origin) -> int:
    """The first line of an unmarked quote, which goes on to the end; the number of lines where there is none."""
    for number, line in enumerate(lines):
        if line.mark is Mark.ORIGINAL:
            return number
        if line.text and line.mark is not Mark.SIGNATURE and _begins_quote(lines, number, origin):
            return number
    return len(lines)


def _begins_quote(lines: Sequence[Line], number: int, origin: Origin) -> bool:
    text = _plain(lines[number].text)
    if _GROUPWISE.fullmatch(text):
        return _ADDRESS.search(text) is not None or text.endswith(">>>")
    if lines[number].mark is not Mark.NONE:
        return False
    if _is_titled_rule(text):
        return True
    if _FIELD.match(text) and _is_header_block(lines, number, origin):
        return True
    return origin.ours.search(text) is not None and _ends_attribution(lines, number)


def _is_titled_rule(text: str) -> bool:
    """``-----Original Message-----`` in any language, and ``---------- Forwarded message ---------``."""
    titled = _TITLED_RULE.fullmatch(text)
    return titled is not None and len(titled[1]) + len(titled[2]) > LONGEST_ATTRIBUTION


def _is_header_block(lines: Sequence[Line], number: int, origin: Origin) -> bool:
    """Whether header fields of a mail stand here: the first names us, two more are behind it, and a time among them.

    Where we are not named (a list or a gateway may rewrite that), the first has an address and the subject is ours.
    """
    first, *others = _block(lines, number)
    fields = [first, *(text for text in others if _FIELD.match(text))]
    head = " ".join((first, *others))
    named = origin.names_us(first) or (_ADDRESS.search(first) is not None and _has_subject(head, origin))
    return named and len(fields) >= HEADER_FIELDS and _CLOCK.search(head) is not None


def _block(lines: Sequence[Line], number: int) -> list[str]:
    """The fields from there on, and what continues them (a long list of recipients is broken)."""
    block: list[str] = []
    for line in lines[number : number + HEADER_BLOCK_LINES]:
        text = _plain(line.text)
        if not text or not (_FIELD.match(text) or (block and _ADDRESS.search(text))):
            break
        block.append(text)
    return block


def _has_subject(head: str, origin: Origin) -> bool:
    return len(origin.subject) > LONGEST_ATTRIBUTION and origin.subject in head


def _ends_attribution(lines: Sequence[Line], number: int) -> bool:
    """Whether a line with our address ends an attribution of a quote that has no marks."""
    if not _plain(lines[number].text).endswith((":", "\uff1a")):
        return False
    following = next((line for line in lines[number + 1 :] if line.text), None)
    return following is not None and following.mark is Mark.NONE


# -- attributions of marked quotes ------------------------------------------------------------------------------------


def _without_attributions(lines: list[Line], origin: Origin) -> list[Line]:
    kept = list(lines)
    for number, line in enumerate(lines):
        if line.mark is Mark.QUOTED and (number == 0 or lines[number - 1].mark is not Mark.QUOTED):
            _drop_attribution(kept, number, origin)
    return kept


def _drop_attribution(lines: list[Line], number: int, origin: Origin) -> None:
    last = number - 1
    while last >= 0 and not lines[last].text and lines[last].mark is Mark.NONE:
        last -= 1
    if last < 0 or lines[last].mark is not Mark.NONE or not _plain(lines[last].text).endswith((":", "\uff1a")):
        return
    for first in range(last, max(last - LONGEST_ATTRIBUTION, -1), -1):
        if lines[first].mark is not Mark.NONE or not lines[first].text:
            return
        if _is_attribution(_plain(" ".join(line.text for line in lines[first : last + 1])), origin):
            for place in range(first, last + 1):
                lines[place] = Line(lines[place].text, Mark.QUOTED)
            return


def _is_attribution(text: str, origin: Origin) -> bool:
    if _CLOCK.search(text) is None:
        return False
    return origin.names_us(text) or PHRASES.wrote.search(text) is not None


# -- signatures and footers -------------------------------------------------------------------------------------------


def _segments(lines: Sequence[Line]) -> list[list[str]]:
    """What stands between the quotes."""
    segments: list[list[str]] = [[]]
    for line in lines:
        if line.mark is Mark.NONE:
            segments[-1].append(line.text)
        elif segments[-1]:
            segments.append([])
    return segments


def _without_footer(lines: Sequence[str]) -> tuple[list[str], list[str]]:
    """Typed lines, and those that may be a footer. What stands behind a signature's ``--`` is neither."""
    own: list[str] = []
    for number, text in enumerate(lines):
        if _SIGNATURE.fullmatch(text):
            break
        if _RULE.fullmatch(text):
            return own, [other for other in lines[number + 1 :] if not _RULE.fullmatch(other)]
        own.append(text)
    return _without_small_print(own)


def _without_small_print(lines: list[str]) -> tuple[list[str], list[str]]:
    typed, aside = [], []
    for number, paragraph in enumerate(_paragraphs(lines)):
        joined = " ".join(paragraph)
        if number > 0 and is_disclaimer(joined):
            continue
        if is_phone_signature(joined):
            aside.append(joined)
        else:
            typed += [*paragraph, ""]
    return typed, aside


def _paragraphs(lines: Sequence[str]) -> list[list[str]]:
    paragraphs: list[list[str]] = [[]]
    for text in lines:
        if text:
            paragraphs[-1].append(text)
        elif paragraphs[-1]:
            paragraphs.append([])
    return [paragraph for paragraph in paragraphs if paragraph]


def _trimmed(lines: list[str]) -> tuple[str, ...]:
    texts = [normalize("NFC", text) for text in lines]
    while texts and not texts[-1]:
        texts.pop()
    while texts and not texts[0]:
        texts.pop(0)
    return tuple(texts)


def _doubt(lines: Sequence[Line]) -> Doubt | None:
    return next((line.doubt for line in lines if line.mark is Mark.NONE and line.doubt), None)
