"""A comment to whether it takes back, limits or doubts the approval that it comes with."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import pairwise
from unicodedata import category, normalize

from worker.reply_poller.lettering import is_odd, with_plain_letters

SHORTEST_WITHOUT_ACCENTS = 4
"""Letters of a word from which on its accents don't count: Portuguese *só* is no English *so*."""

_WORD = re.compile(r"[^\W_]+")
_APOSTROPHE = re.compile("['\u2019\u2018\u02bc`\u00b4\u2032]")
_QUESTION = re.compile(
    "[?\uff1f\u061f\u037e\u055e\u1367\u2047\u2048\u2049\u00bf\u203d\u2e2e\u2e54\ufe56\ufe16\ua60f]"
    # Greeks ask with a semicolon.
    "|[\u0370-\u03ff\u1f00-\u1fff] ?;"
)
_SIGN = re.compile(
    # Struck out by hand; unequal, minus one; boxes to be ticked; faces that are not glad.
    r"[\u0335-\u0338]|!=|~~|\u2260|(?<![\w.])[-\u2212]1(?!\w|[.,:/]\d)|\A\W*0\W*\Z|[\[(] ?[\])]"
    r"|(?<![\w)])[:;=8][-'\u2019^o]{0,2}(?:[(\[{|\\$@]|/(?!/))|(?<!\S)[-\u2212><]_+[-\u2212><](?!\S)|(?<!\S)/s(?!\S)"
)
# A time at which something is to happen, in the languages' own ways to write one.
_HOLD = re.compile(
    r"(?<!\w)(?:at|from|around|about|by|starting|ab|um|gegen|\u00e0|vers|a las|alle|dalle|\u00e0s|as|om|vanaf|rond|kl|o"
    r"|od|v|ve|\u0432|\u0441|\u043e|\u043e\u0431|klo|la|saat|u|\u03c3\u03c4\u03b9\u03c2)\.? ?"
    r"\d{1,2}(?: ?[:h.] ?\d{2}(?!\d|\.\d)(?: ?(?:[ap]\.?m|uhr|h)\b)?| ?(?:[ap]\.?m\b|uhr|h\b|o.?clock))"
    r"|(?<![\w.])\d{1,2} ?(?:[ap]\.?m\b|uhr\b|o.?clock)",
    re.IGNORECASE,
)
# A clock, a date, a span: an approval is for now.
_MONTH = (
    r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|m\u00e4r|mai|okt|dez|f\u00e9vr|mars|avr|juin|juil|ao\u00fbt|ene|abr"
    r"|ago|gen|mag|giu|lug|set|ott|dic|fev|out)"
)
_WHEN = re.compile(
    r"(?<![\w.:/+-])\d{1,2}(?::\d{2}| ?h(?:\d{2})?\b)(?![\w:])|(?<![\w./-])\d{1,2}/\d{1,2}/\d{2,4}(?![\w/])"
    r"|(?<![\w./-])\d{1,2}\.\d{1,2}\.20\d\d(?!\w)|(?<!\w)20\d\d-\d{2}-\d{2}(?!\w)"
    r"|(?<!\w)(?:am|ab|on|from|by|le|il|el|den|dne|dnia) (?:\d{1,2}\.(?:\d{1,2}\.)?|\d{1,2}/\d{1,2})(?!\d|\w)"
    rf"|(?<!\w)(?:on|in|by|from|mid|of|im|am|ab|le|en|el|d\u00e8s|de|da|dal|em) ?-?(?:the )?"
    rf"(?:\d{{1,2}}(?:st|nd|rd|th)?\.? )?(?:of )?{_MONTH}(?:\w{{2,7}})?(?: \d|[ ,.;!]|$)"
    r"|(?<!\w)in (?:\d+|a few|two|three|some) ?(?:min|h|hour|day|week|month|sprint)\w*"
    r"|(?<!\w)(?:tue|tues|wed|thu|thur|thurs|fri)\b"
    # Somebody else's word is asked for.
    r"|(?<!\w)(?:with|given|upon|on|after|get) \w+'s (?:ok|okay|go|approval|consent|sign-?off|blessing|green light)\b",
    re.IGNORECASE | re.MULTILINE,
)
_ORNAMENT = re.compile(r"(?<=\w)[*_~^.\u00b7\u2022|/\\+=\-\u2010-\u2015]{1,3}(?=\w)")
_SPACED_OUT = re.compile(r"(?<!\w)\w(?:[ .\-_*]{1,3}\w){2,}(?!\w)")
_CAMEL = re.compile("(?<=[a-z\u00df-\u00ff])(?=[A-Z\u00c0-\u00de])")
_BOUNDARY = re.compile(r"[.,;:!?()\[\]{}\"\u201c\u201d\u2013\u2014\n\u3002\u3001\uff0c]|(?<!\w)-|-(?!\w)")
_DIGIT_LETTERS = str.maketrans("013457", "oieast")
_BEGIN = "|"


@dataclass(frozen=True, slots=True)
class _Lists:
    """What hesitates: words, words with their accents taken off, sequences of words, and pieces of a text."""

    words: frozenset[str]
    bare: frozenset[str]
    phrases: frozenset[str]
    bare_phrases: frozenset[str]
    longest: int
    parts: tuple[str, ...]
    refusals: frozenset[str]


def hesitates(lines: Iterable[str]) -> bool:
    """Whether these lines hold a negation, a condition, a question or a hold, in one of the languages we know.

    So do letters that stand for others, invisible ones, and those of a script that we have no words of.
    """
    raw = "\n".join(lines)
    if not raw.strip():
        return False
    text = normalize("NFKC", raw)
    if _QUESTION.search(raw) or _SIGN.search(raw) or _SIGN.search(text) or _asks_for_time(text) or is_odd(raw):
        return True
    lists = _lists()
    return any(_is_hesitant(word, lists) for word in _all_words(text)) or _has_phrase(text, lists)


def refuses(text: str) -> bool:
    """Whether a subject line says no."""
    return not _lists().refusals.isdisjoint(words_of(text))


def _asks_for_time(text: str) -> bool:
    return _HOLD.search(text) is not None or _WHEN.search(_APOSTROPHE.sub("'", text)) is not None


def words_of(text: str) -> list[str]:
    """The words of a text, letter case and apostrophes aside: ``Don't`` is ``dont``."""
    return _WORD.findall(_APOSTROPHE.sub("", _folded(text)))


def spoken_in(text: str) -> set[str]:
    """All words that a reader may find in a text, whatever ornaments, blanks or line ends are put between letters."""
    return {*_all_words(normalize("NFKC", text))}


def _folded(text: str) -> str:
    """In lower case, and without marks that belong to no letter."""
    whole = normalize("NFC", with_plain_letters(normalize("NFKC", text).casefold()))
    return whole if whole.isascii() else "".join(letter for letter in whole if not category(letter).startswith("M"))


def _all_words(text: str) -> Iterable[str]:
    yield from words_of(text)
    yield from words_of(_APOSTROPHE.sub(" ", text))
    yield from words_of(_CAMEL.sub(" ", text))
    yield from words_of(_ORNAMENT.sub("", text))
    yield from (re.sub(r"[\W_]+", "", found[0]).casefold() for found in _SPACED_OUT.finditer(text))
    yield from _across_lines(text)
    yield from (word.translate(_DIGIT_LETTERS) for word in words_of(text) if not word.isalpha() and not word.isdigit())


def _across_lines(text: str) -> Iterable[str]:
    """Words that a line end stands in."""
    lines = [words for line in text.split("\n") if (words := words_of(line))]
    return (above[-1] + below[0] for above, below in pairwise(lines))


def _is_hesitant(word: str, lists: _Lists) -> bool:
    return word in lists.words or _bare(word) in lists.bare


def _has_phrase(text: str, lists: _Lists) -> bool:
    if not text.isascii() and any(part in text for part in lists.parts):
        return True
    plain = _APOSTROPHE.sub(" ", text)
    marked = _spoken(_BOUNDARY.sub(f" {_BEGIN} ", f"\n{plain}"), keep=_BEGIN)
    return any(
        run in lists.phrases or (not run.isascii() and _bare(run) in lists.bare_phrases)
        for said in (marked, _spoken(plain))
        for run in _runs(said, lists.longest)
    )


def _runs(words: Sequence[str], longest: int) -> Iterator[str]:
    """Each sequence of up to so many words."""
    for begin in range(len(words)):
        for end in range(begin + 1, min(begin + longest, len(words)) + 1):
            yield " ".join(words[begin:end])


def _spoken(text: str, keep: str = "") -> list[str]:
    pattern = rf"[^\W_]+|{re.escape(keep)}" if keep else r"[^\W_]+"
    return re.findall(pattern, _folded(text))


@lru_cache(maxsize=1)
def _lists() -> _Lists:
    languages = tomllib.loads(files("worker.reply_poller").joinpath("hesitation.toml").read_text("utf-8")).values()
    words = {word for lists in languages for word in words_of(lists.get("words", ""))}
    spoken = [_spoken(phrase) for lists in languages for phrase in _separate(lists.get("phrases", ""))]
    spoken += [[_BEGIN, *_spoken(begin)] for lists in languages for begin in _separate(lists.get("begins", ""))]
    phrases = [" ".join(words) for words in spoken]
    parts = {normalize("NFKC", part) for lists in languages for part in lists.get("parts", "").split()}
    return _Lists(
        words=frozenset(words),
        bare=frozenset(_bare(word) for word in words if len(word) >= SHORTEST_WITHOUT_ACCENTS),
        phrases=frozenset(phrases),
        bare_phrases=frozenset(_bare(phrase) for phrase in phrases if not phrase.isascii()),
        longest=max(map(len, spoken)),
        parts=tuple(sorted(parts)),
        refusals=frozenset(word for lists in languages for word in words_of(lists.get("refusals", ""))),
    )


def _separate(phrases: str) -> Sequence[str]:
    return [_APOSTROPHE.sub(" ", phrase) for phrase in phrases.split(",") if phrase.strip()]


@lru_cache(maxsize=4096)
def _bare(word: str) -> str:
    if word.isascii():
        return word
    return "".join(letter for letter in normalize("NFKD", word) if not category(letter).startswith("M"))
