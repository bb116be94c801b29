"""Lines between quotes to those that were typed, and those that may be small print.

What a phone adds, a company's gateway puts under every mail, or a signature holds is no typed text. What is certainly
none is dropped; the rest is set aside, where an approval is still checked against it.
"""

import re
from collections.abc import Sequence

from worker.reply_poller.phrases import PHRASES, words_of

LONGEST_SENTENCE = 160
SHORTEST_DISCLAIMER = 60
DISCLAIMER_LINES = 40
SIGNATURE_LINES = 10
LONGEST_SIGNATURE_LINE = 90

_RULE = re.compile(r"[-_=*~#+\u2010-\u2015\u2500-\u2501]{4,}")
_LINK = re.compile(r"(?:https?://|www\.)\S+")
# What lists put at the end, in their programs' own words.
_UNSUBSCRIBES = re.compile(
    r"to unsubscribe(?: from (?:the |this )?[\w.-]{0,40} ?(?:mailing )?(?:list|group))?,? "
    r"(?:send an? e?-?mail(?: message)? to|click (?:on )?the following link|go to|visit)"
    r":?(?: [^\s@]{1,64}@[^\s@]{1,255})?",
    re.IGNORECASE,
)
_DECIDES = re.compile("approv|reject")
_SIGNATURE = "--"
_DASH = "\u2014"

_Split = tuple[list[str], list[str]]


def without_footer(lines: Sequence[str], sender: str = "") -> _Split:
    """Typed lines, and those that may be a footer. What stands behind a signature's ``--`` is neither."""
    own = list(lines[: lines.index(_SIGNATURE)] if _SIGNATURE in lines else lines)
    typed, aside = _above_rule(_without_small_print(own))
    typed, signed = _above_name(typed, sender)
    left = (_LINK.sub("", text).strip() for text in (*signed, *aside))
    return typed, [text for text in left if text and not _UNSUBSCRIBES.fullmatch(text)]


def _without_small_print(lines: Sequence[str]) -> list[str]:
    kept: list[str] = []
    number = 0
    while number < len(lines):
        length = _small_print_length(lines, number)
        if not length:
            kept.append(lines[number])
        number += length or 1
    return kept


def _small_print_length(lines: Sequence[str], number: int) -> int:
    text = lines[number]
    if not text:
        return 0
    if len(text) <= LONGEST_SENTENCE and (PHRASES.is_phone_signature(text) or PHRASES.is_small_print(text)):
        # A scanner puts its address below.
        return 2 if number + 1 < len(lines) and _LINK.fullmatch(lines[number + 1]) else 1
    if not _begins_disclaimer(text):
        return 0
    most = min(number + DISCLAIMER_LINES, len(lines))
    end = next((place for place in range(number, most) if not lines[place]), most)
    return end - number if is_disclaimer(" ".join(lines[number:end])) else 0


def _begins_disclaimer(text: str) -> bool:
    return text.casefold().lstrip("*_ [(\u25ba").startswith(PHRASES.disclaimer_begins)


def is_disclaimer(paragraph: str) -> bool:
    """Whether this is a notice of confidentiality: it begins as one, and speaks of the addressee and of the law."""
    if len(paragraph.encode()) < SHORTEST_DISCLAIMER or not _begins_disclaimer(paragraph):
        return False
    said = paragraph.casefold()
    # One that speaks of approving was not written by a lawyer.
    return (
        any(phrase in said for phrase in PHRASES.addressee)
        and any(phrase in said for phrase in PHRASES.legal)
        and _DECIDES.search(said) is None
    )


def _above_rule(lines: Sequence[str]) -> _Split:
    """What stands above a line drawn across, and what below it; phone signatures are below wherever they stand."""
    typed: list[str] = []
    aside: list[str] = []
    for number, text in enumerate(lines):
        if _RULE.fullmatch(text) or text == _DASH:
            return typed, [*aside, *(other for other in lines[number + 1 :] if not _RULE.fullmatch(other))]
        (aside if may_be_phone_signature(text) else typed).append(text)
    return typed, aside


def may_be_phone_signature(line: str) -> bool:
    """Whether this is a line such as *Sent from my iPhone*, in one of the languages that phones write it in."""
    return len(line) <= LONGEST_SENTENCE and PHRASES.may_be_phone_signature(line.casefold())


def _above_name(lines: list[str], sender: str) -> _Split:
    """What stands above the writer's name, and a short signature that begins with it or with a closing above it."""
    names = {*words_of(sender)}
    if not names:
        return lines, []
    for number in range(1, len(lines)):
        if _signs(lines, number, names) and _is_short(lines[number:]):
            return lines[:number], lines[number:]
    return lines, []


def _signs(lines: Sequence[str], number: int, names: set[str]) -> bool:
    words = {*words_of(lines[number])}
    if words and words <= names and (len(words) > 1 or not any(lines[number + 1 :])):
        return True
    if lines[number].casefold().strip(" ,.!\uff0c\u3002") not in PHRASES.closings:
        return False
    below = next((text for text in lines[number + 1 :] if text), "")
    return bool(words_of(below)) and {*words_of(below)} <= names


def _is_short(lines: Sequence[str]) -> bool:
    filled = [text for text in lines if text]
    return len(filled) <= SIGNATURE_LINES and all(len(text) <= LONGEST_SIGNATURE_LINE for text in filled)
