"""A line of a mail's text, with what its form says about it: quoted by a mark, hidden, or a rule drawn across."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from unicodedata import normalize

from worker.reply_poller.reply import Doubt

_INVISIBLE = re.compile("[\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff\u00ad]")
_AT_ENDS = " \u061c\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\u2063\u2064\ufeff\u00ad"
# Both ends of what clients put around right-to-left words. An override (U+202D, U+202E) is no such thing: it makes
# letters stand where they are not.
_EMBEDDING = re.compile(
    "[\u202a\u202b]([^\u202a-\u202e\u2066-\u2069]*)\u202c|[\u2066-\u2068]([^\u202a-\u202e\u2066-\u2069]*)\u2069"
)
_NO_LETTERS = re.compile(r"[\W_]+")


class Mark(Enum):
    """What a form of the mail says about one of its lines."""

    NONE = "none"
    QUOTED = "quoted"
    SIGNATURE = "signature"
    ASIDE = "aside"
    """Probably not typed, but that is not certain."""
    ORIGINAL = "original"
    """From here on the client put the mail that is answered."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line as a person sees it, white space folded; ``doubt`` where something in it can't be seen for sure."""

    text: str
    mark: Mark = Mark.NONE
    doubt: Doubt | None = None


def bare(text: str) -> str:
    """The text without the invisible marks that clients put at the ends of right-to-left or Asian text."""
    text = text.strip(_AT_ENDS)
    whole = _EMBEDDING.fullmatch(text)
    return (whole[1] or whole[2] or "").strip(_AT_ENDS) if whole else text


def without_marks(text: str) -> str:
    """The text without any invisible mark, as attributions of right-to-left languages are full of them.

    Some programs (QQ Mail) leave HTML's blanks in their plain text as they are written.
    """
    return " ".join(_INVISIBLE.sub("", text.replace("&nbsp;", " ")).split())


def letters_of(texts: Iterable[str]) -> str:
    """Letters and digits alone, letter case aside."""
    return _NO_LETTERS.sub("", normalize("NFKC", "".join(texts)).casefold())
