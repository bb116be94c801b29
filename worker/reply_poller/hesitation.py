"""A comment to whether it takes back, limits or doubts the approval that it comes with."""

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from unicodedata import category, normalize

SHORTEST_WITHOUT_ACCENTS = 4
"""Letters of a word from which on its accents don't count: Portuguese *só* is no English *so*."""

_WORD = re.compile(r"\w+")
_APOSTROPHE = re.compile("['\u2019\u2018\u02bc`\u00b4]")
_QUESTION = re.compile("[?\uff1f\u061f\u037e\u2047\u2048\u2049\u00bf\u203d]")
# Struck out or replaced by hand, and signs that say no, wait or perhaps.
_SIGN = re.compile(
    "[\u0335-\u0338\u2717\u2718\u274c\u274e\u2716\u2715\u26d4\u23f3\u231b\u23f0\u23f8\u23f9\u270b\u2753\u2754"
    "\U0001f6ab\U0001f6d1\U0001f44e\U0001f914\U0001f937\U0001f645\U0001f590\U0001f91a\U0001f928]|!=|~~"
)


@dataclass(frozen=True, slots=True)
class _Lists:
    """What hesitates: words, words with their accents taken off, sequences of words, and pieces of a text."""

    words: frozenset[str]
    bare: frozenset[str]
    phrases: tuple[str, ...]
    parts: tuple[str, ...]


def hesitates(lines: Iterable[str]) -> bool:
    """Whether these lines hold a negation, a condition, a question or a hold, in one of the languages we know."""
    text = normalize("NFC", "\n".join(lines))
    if _QUESTION.search(text) or _SIGN.search(text) or any(category(letter) == "Cf" for letter in text):
        return True
    lists, words = _lists(), words_of(text)
    if any(word in lists.words or _bare(word) in lists.bare for word in words):
        return True
    spoken = f" {' '.join(words)} "
    return any(phrase in spoken for phrase in lists.phrases) or any(part in text for part in lists.parts)


def words_of(text: str) -> list[str]:
    """The words of a text, letter case and apostrophes aside: ``Don't`` is ``dont``."""
    return _WORD.findall(_APOSTROPHE.sub("", normalize("NFC", text.casefold())))


@lru_cache(maxsize=1)
def _lists() -> _Lists:
    languages = tomllib.loads(files("worker.reply_poller").joinpath("hesitation.toml").read_text("utf-8")).values()
    words = {word for lists in languages for word in words_of(lists.get("words", ""))}
    phrases = [phrase for lists in languages for phrase in lists.get("phrases", "").split(",") if phrase]
    parts = {normalize("NFC", part) for lists in languages for part in lists.get("parts", "").split()}
    return _Lists(
        words=frozenset(words),
        bare=frozenset(_bare(word) for word in words if len(word) >= SHORTEST_WITHOUT_ACCENTS),
        phrases=tuple(f" {' '.join(words_of(phrase))} " for phrase in phrases),
        parts=tuple(sorted(parts)),
    )


def _bare(word: str) -> str:
    return "".join(letter for letter in normalize("NFKD", word) if not category(letter).startswith("M"))
