"""Typed words to a verdict: approved, rejected, or undecided. The gate: what it lets through may start a deployment.

An approval is one word alone on the first typed line, with a comment at most that takes nothing back. A rejection is
the safe side: its word first, and then whatever it says.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from worker.reply_poller.hesitation import hesitates, refuses, spoken_in, words_of
from worker.reply_poller.line import bare, letters_of
from worker.reply_poller.phrases import PHRASES
from worker.reply_poller.reply import Reply, Typed
from worker.reply_poller.verdict import Approved, Rejected, Undecided, UndecidedReason

_SEPARATED = re.compile(r"\s*(?:[:\u2013\u2014,]|-(?=\s)|(?<=\s)-(?!\d))\s*(?P<rest>.*)", re.DOTALL)
_ALONE = re.compile(r"\s*[.!]?")
_FOLLOWED = re.compile(
    r"(?:\s*[:\uff1a;\uff1b\-\u2013\u2014,\uff0c\u3001.\u3002!\uff01\u2026]+\s*|\s+)(?P<rest>.*)", re.DOTALL
)
_EMPHASIS = re.compile(r"([*_]{1,3})(?P<inner>[^*_]+)\1(?P<rest>.*)", re.DOTALL)
# Scripts that put no blanks between words.
_UNSPACED = re.compile("[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")

Verdict = Approved | Rejected | Undecided


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The only words that decide."""

    approve: tuple[str, ...]
    reject: tuple[str, ...]

    def decide(self, text: str) -> bool:
        """Whether one of them stands in the text, whichever."""
        return _speaks(text, (*self.approve, *self.reject))


def read_decision(reply: Reply, words: Vocabulary, *, title: str) -> Verdict:
    """What the approver decided. ``title`` is the approval's: a subject that repeats it says nothing of its own."""
    forms = [form for form in reply.typed if not _says_nothing(form, reply.typed)]
    verdict = _agreed([(form, _read_form(form, words)) for form in forms])
    if isinstance(verdict, Approved) and _contradicts(reply.subject, words, title):
        return _undecided("subject")
    return verdict


def _says_nothing(form: Typed, forms: tuple[Typed, ...]) -> bool:
    """Whether this is the plain text that some programs leave empty beside the HTML: the first form, and blank."""
    return form.is_blank and form.doubt is None and len(forms) > 1 and form is forms[0]


def _agreed(forms: Sequence[tuple[Typed, Verdict]]) -> Verdict:
    """What all forms of the mail say; the last is the richest, and the one that its writer saw (RFC 2046 5.1.4)."""
    if not forms:
        return _undecided("empty")
    last, said = forms[-1]
    for form, other in forms[:-1]:
        if type(other) is not type(said) or not _same_words(form, other, last, said):
            return _undecided("disagree")
    return said


def _same_words(form: Typed, one: Verdict, last: Typed, other: Verdict) -> bool:
    """Whether an approval's comment is the same in both, but for what the other form shows as signature or footer."""
    if not (isinstance(one, Approved) and isinstance(other, Approved)):
        return True
    first, second = letters_of([one.comment]), letters_of([other.comment])
    return _is_within(first, second, last.whole) and _is_within(second, first, form.whole)


def _is_within(mine: str, theirs: str, whole: str) -> bool:
    if mine in theirs:
        return True
    before, found, behind = mine.partition(theirs) if theirs else (mine, "", "")
    return bool(found or not theirs) and before in whole and behind in whole


def _read_form(form: Typed, words: Vocabulary) -> Verdict:
    if not form.lines:
        return _undecided("hidden" if form.doubt == "hidden" else "empty")
    first, rest = _unemphasised(form.lines[0]), form.lines[1:]
    reason = _rejection(first, words)
    if reason is not None:
        return Rejected(_comment(reason, rest))
    said = _approval(first, words)
    if said is None:
        return _undecided("both-words" if _has_both(form.lines, words) else "no-word")
    return _approved(form, said, rest, words)


def _approved(form: Typed, said: str, rest: tuple[str, ...], words: Vocabulary) -> Approved | Undecided:
    others = (said, *rest, *form.aside)
    if form.doubt is not None:
        return _undecided(form.doubt)
    if words.decide("\n".join(others)):
        return _undecided("both-words")
    if hesitates(others):
        return _undecided("comment")
    comment = _comment(said, rest)
    return Approved(comment)


def _approval(line: str, words: Vocabulary) -> str | None:
    """The comment on an approval's line, empty where the word is alone; None where it is no approval."""
    for behind in _behind(line, words.approve):
        if _ALONE.fullmatch(behind):
            return ""
        separated = _SEPARATED.fullmatch(behind)
        if separated is not None and re.search(r"\w", separated["rest"]):
            return separated["rest"]
    return None


def _rejection(line: str, words: Vocabulary) -> str | None:
    """The reason on a rejection's line, perhaps empty; None where it is no rejection."""
    for behind in _behind(line, words.reject):
        if not behind:
            return ""
        followed = _FOLLOWED.fullmatch(behind)
        if followed is not None:
            return followed["rest"]
    return None


def _behind(line: str, words: Iterable[str]) -> list[str]:
    """What stands behind one of the words at the line's beginning, letter case aside."""
    found = []
    for word in words:
        begin = line[: len(word)]
        # Case folding alone would let other letters pass as ours (the Kelvin sign as a k).
        if begin.casefold() == word.casefold() and begin.isascii() == word.isascii():
            found.append(line[len(word) :])
    return found


def _unemphasised(line: str) -> str:
    """The line without the marks that clients write for bold in a plain text: ``*Approve*``."""
    match = _EMPHASIS.fullmatch(line)
    return f"{match['inner']}{match['rest']}" if match else line


def _has_both(lines: tuple[str, ...], words: Vocabulary) -> bool:
    text = "\n".join(lines)
    return _speaks(text, words.approve) and _speaks(text, words.reject)


def _speaks(text: str, words: Iterable[str]) -> bool:
    """Whether one of the words stands in the text, also with blanks, dots or stars between its letters."""
    spoken = spoken_in(text)
    wanted = ["".join(words_of(word)) for word in words]
    return any(word in spoken or (_UNSPACED.search(word) is not None and word in text) for word in wanted)


def _comment(first: str, rest: tuple[str, ...]) -> str:
    return "\n".join(map(bare, (first, *rest))).strip()


def _contradicts(subject: str, words: Vocabulary, title: str) -> bool:
    """Whether the subject refuses, in words that are neither our own nor the approval's title."""
    own, asked = " ".join(PHRASES.strip_prefixes(subject).split()), " ".join(title.split())
    lead, found, tail = own.partition(asked) if asked else (own, "", "")
    # A question mark in front is how our own subjects begin, and one of them says "not decided yet".
    is_ours = bool(found) and lead.startswith("?")
    return _speaks(f"{lead} {tail}", words.reject) or refuses(tail if is_ours else f"{lead} {tail}")


def _undecided(reason: UndecidedReason) -> Undecided:
    return Undecided(reason)
