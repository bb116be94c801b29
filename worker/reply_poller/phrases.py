"""``phrases.toml`` to what the readers ask of it: what clients and gateways write by themselves."""

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

_WORD = re.compile(r"\w+")
_APOSTROPHE = re.compile("['\u2019\u2018\u02bc`\u00b4]")
_DIGITS = re.compile(r"\d+")
# Portuguese for "on the day", and the Czech abbreviation of Sunday, which would deny something elsewhere.
_NOT_NO = re.compile(r"\bno dia\b|^ne(?=,? \d)", re.IGNORECASE)
_LINK = re.compile(r"<[^<>]{0,500}>|\(?\b(?:https?://|www\.)[^\s<>]{1,500}")
_ASIAN = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")


@dataclass(frozen=True, slots=True)
class Phrases:
    """Lower-case phrases of many languages; patterns ignore letter case."""

    phone_words: frozenset[str]
    sending: frozenset[str]
    products: re.Pattern[str]
    phone_begins: tuple[str, ...]
    phone_ends: tuple[str, ...]
    sentences: frozenset[str]
    disclaimer_begins: tuple[str, ...]
    addressee: tuple[str, ...]
    legal: tuple[str, ...]
    closings: frozenset[str]
    titles: frozenset[str]
    reply_lines: frozenset[str]
    labels: dict[str, frozenset[str]]
    when_words: frozenset[str]
    when_asian: re.Pattern[str]
    wrote: re.Pattern[str]
    subject_prefix: re.Pattern[str]

    def strip_prefixes(self, subject: str) -> str:
        """The subject without ``Re:`` and what it is in other languages."""
        return self.subject_prefix.sub("", subject, count=1)

    def only_says_when(self, text: str) -> bool:
        """Whether all of its words are those of a date, or say that somebody wrote."""
        return not self.other_words(text)

    def other_words(self, text: str) -> list[str]:
        """Its words that say something else."""
        return [word for word in words_of(_DIGITS.sub(" ", _NOT_NO.sub(" ", text))) if not self._says_when(word)]

    def _says_when(self, word: str) -> bool:
        if word in self.when_words:
            return True
        if _ASIAN.search(word) is None:
            # Ordinals, and the abbreviations of words such as year and hour.
            return len(word) == 1
        return self.when_asian.fullmatch(word) is not None

    def is_phone_signature(self, line: str) -> bool:
        """Whether a line says what it was sent from, and nothing else."""
        said = _LINK.sub(" ", line.casefold()).strip(" .!\u200f\u200e")
        left, count = self.products.subn(" ", said)
        words = {*words_of(_DIGITS.sub(" ", left))}
        tells = self.may_be_phone_signature(said) or not words.isdisjoint(self.sending)
        return tells and count > 0 and words <= self.phone_words

    def is_small_print(self, line: str) -> bool:
        """Whether a line is a sentence of a scanner, or asks to save paper."""
        # A tree in the font Webdings is a P in any other.
        return " ".join(words_of(_LINK.sub(" ", line))).removeprefix("p ") in self.sentences

    def may_be_phone_signature(self, said: str) -> bool:
        """Whether a line, in lower case, begins or ends as such lines do."""
        return said.startswith(self.phone_begins) or said.endswith(self.phone_ends)


def words_of(text: str) -> list[str]:
    """The words of a text, letter case and apostrophes aside."""
    return _WORD.findall(_APOSTROPHE.sub("", text.casefold()))


def _load() -> Phrases:
    said: dict[str, Any] = tomllib.loads(files("worker.reply_poller").joinpath("phrases.toml").read_text("utf-8"))
    when: dict[str, str] = said["when"]
    prefixes = "|".join(map(re.escape, said["subject_prefixes"]))
    return Phrases(
        phone_words=frozenset(word for sentence in said["phone"] for word in words_of(sentence)),
        sending=frozenset(said["sending"]),
        products=re.compile(rf"(?<![a-z]){_any(said['products'])}"),
        phone_begins=tuple(said["phone_begins"]),
        phone_ends=tuple(said["phone_ends"]),
        sentences=frozenset(" ".join(words_of(sentence)) for sentence in said["sentences"]),
        disclaimer_begins=tuple(said["disclaimer_begins"]),
        addressee=tuple(said["addressee"]),
        legal=tuple(said["legal"]),
        closings=frozenset(said["closings"]),
        titles=frozenset(said["titles"]),
        reply_lines=frozenset(said["reply_lines"]),
        labels={kind: frozenset(said["labels"][kind]) for kind in ("from", "date", "to", "subject")},
        when_words=frozenset(word for words in when.values() for word in words_of(words)),
        when_asian=re.compile(f"(?:{_any(when['asian'].split())})+"),
        wrote=re.compile("|".join(_verb(verb) for verb in said["wrote"]), re.IGNORECASE),
        subject_prefix=re.compile(rf"\s*(?:(?:{prefixes})(?:\[\d{{1,3}}\])?\s?[:\uff1a]\s*)+", re.IGNORECASE),
    )


def _any(phrases: Iterable[str]) -> str:
    """One of them, the longest that is there."""
    return f"(?:{'|'.join(re.escape(phrase) for phrase in sorted(phrases, key=len, reverse=True))})"


def _verb(verb: str) -> str:
    # Asian and Semitic languages put no blank before or behind it.
    return rf"(?<!\w){re.escape(verb)}(?!\w)" if verb[0] < "\u0590" else re.escape(verb)


PHRASES = _load()
