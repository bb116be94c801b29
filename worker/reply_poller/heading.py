"""Lines of a mail to how many of them its client wrote above the quote: an attribution, header fields, a rule.

What is recognised here is lost to whoever checks an approval. So each form is one in which a person can't have put
a condition: it names us or has the fields of a mail, and all that it says beside is when.
"""

import re
from collections.abc import Iterator, Sequence

from worker.reply_poller.origin import Origin
from worker.reply_poller.phrases import PHRASES

LONGEST_ATTRIBUTION = 4
LONGEST_TEXT = 600
BLOCK_LINES = 14
LOOSE_LINES = 2
FIELDS = 3
SHORTEST_SUBJECT = 5

_COLON = (":", "\uff1a")
_AROUND_TITLE = "-_=*~+<> \u2010\u2011\u2012\u2013\u2014\u2015\u2500"
_DASHED = re.compile(r"-{2,} ?([^-].*[^-]) ?-{2,}")
_GROUPWISE = re.compile(r">>>(.*)>>>")
_FIELD = re.compile(r"[*_]{0,2}([^\W\d][^:\uff1a<>@?!*]{0,28}?)[*_]{0,2} ?[:\uff1a][*_]{0,2} ?(.*)")
_ADDRESS = re.compile(r"[^\s<>@()\[\]]{1,64}@[^\s<>@()\[\]]{2,255}")
_BEFORE_QUOTE = re.compile(r"[^<>]{0,200}<[^\s<>@]{1,64}@[^\s<>]{2,255}>[^:\uff1a<>]{0,80}[:\uff1a](?= )")
_ZONE = re.compile(r"(?:[+\u2212-]|GMT)\d{1,2}:?\d{2}(?!\d)")
_CLOCK = re.compile(r"\d{1,2} ?[:.hH\u6642\u65f6\u70b9\u9ede\uc2dc] ?\d{2}(?!\d)(?!\.\d{2,4})")
_YEAR = re.compile(r"(?<!\d)\d{4}(?!\d)|(?<!\d)\d{1,2}[./-] ?\d{1,2}[./-] ?\d{2}(?!\d)")


def heading_length(texts: Sequence[str], number: int, origin: Origin) -> int:
    """How many lines from there on stand above a mail that was put below; 0 where none does."""
    text = texts[number]
    if len(text) > LONGEST_TEXT:
        return 0
    if text.casefold() in PHRASES.reply_lines or _is_closed_attribution(text, origin):
        return 1
    if _is_title(text):
        below = _next(texts, number + 1)
        fields = _block_length(texts, below, origin) if below is not None else 0
        return 1 if text.strip(_AROUND_TITLE) != text or fields else 0
    return _block_length(texts, number, origin) or _notes_length(texts, number, origin)


def attribution_length(texts: Sequence[str], number: int, origin: Origin) -> int:
    """How many lines from there on say that we wrote something, and when; 0 where none does."""
    span = ""
    for length, text in enumerate(texts[number : number + LONGEST_ATTRIBUTION], 1):
        span = f"{span} {text}".lstrip()
        if not text or len(span) > LONGEST_TEXT:
            return 0
        if _is_attribution(span, origin) and (length == 1 or _clocks(span) <= 1):
            return length
        # Only a line that is too long is broken: one with a date or our name. "On Tuesday" above it is none of it.
        if length == 1 and not (is_dated(text) or origin.names_us(text)):
            return 0
    return 0


def is_certain(attribution: str, origin: Origin) -> bool:
    """Whether this attribution needs no marked quote below it to be one."""
    told = PHRASES.wrote.search(attribution) is not None or origin.ours.search(attribution) is not None
    return told and is_dated(attribution)


def is_probable(text: str, origin: Origin) -> bool:
    """Whether a text right above a marked quote may be its attribution, with words that we don't know."""
    if len(text) > LONGEST_TEXT or not text.endswith(_COLON) or not is_dated(text):
        return False
    return origin.names_us(text) or PHRASES.wrote.search(text) is not None


def unknown_part(text: str, origin: Origin) -> str:
    """What a probable attribution says beside who we are, and when."""
    return " ".join(PHRASES.other_words(origin.without_us(text)))


def is_dated(text: str) -> bool:
    """Whether a time of day or a year stands there."""
    return _CLOCK.search(text) is not None or _YEAR.search(text) is not None


def is_titled(text: str) -> bool:
    """Whether a text may be a rule with a title in a language that we don't know."""
    core = text.strip(_AROUND_TITLE)
    return 0 < len(core) <= len(text) - 4 and text[0] == text[-1] == "-"


def _is_attribution(span: str, origin: Origin) -> bool:
    if span.endswith(_COLON) and _is_ours(span, origin):
        return True
    # Yahoo's app writes the quoted mail behind it, in the same line.
    begin = _BEFORE_QUOTE.match(span)
    return begin is not None and is_certain(begin[0], origin) and _is_ours(begin[0], origin)


def _is_ours(text: str, origin: Origin) -> bool:
    return origin.names_us(text) and PHRASES.only_says_when(origin.without_us(text))


def _clocks(text: str) -> int:
    return len(_CLOCK.findall(_ZONE.sub(" ", text)))


def _is_closed_attribution(text: str, origin: Origin) -> bool:
    """One between dashes (Notes, Zoho) or angles (GroupWise)."""
    match = _DASHED.fullmatch(text) or _GROUPWISE.fullmatch(text)
    if match is None or not _is_ours(match[1], origin):
        return False
    return is_dated(text) or PHRASES.wrote.search(text) is not None


def _is_title(text: str) -> bool:
    """``-----Original Message-----`` in any language, and ``---------- Forwarded message ---------``."""
    return text.strip(_AROUND_TITLE).rstrip(" :").casefold() in PHRASES.titles


def _next(texts: Sequence[str], number: int) -> int | None:
    return next((place for place in range(number, min(number + FIELDS, len(texts))) if texts[place]), None)


# -- header fields ----------------------------------------------------------------------------------------------------


def _block_length(texts: Sequence[str], number: int, origin: Origin) -> int:
    """How many lines from there on are header fields of a mail: from whom, when, and to whom or about what."""
    if not _proofs(texts[number], origin):
        return 0
    block = list(_block(texts, number))
    fields = [proofs for text in block if (proofs := _proofs(text, origin)) is not None]
    proved = set().union(*fields)
    is_mail = {"sender", "time", "mail"} <= proved or {"from", "date", "to", "subject"} <= proved
    return len(block) if is_mail and len(fields) >= FIELDS else 0


def _proofs(text: str, origin: Origin) -> set[str] | None:
    """What a line proves as a field of a mail's header; None where it is no field at all."""
    match = _FIELD.match(text)
    if match is None:
        return None
    label, value = " ".join(match[1].casefold().split()), match[2]
    has_address, is_time = _ADDRESS.search(value) is not None, _is_time(value)
    proofs = {kind for kind, labels in PHRASES.labels.items() if label in labels and is_time == (kind == "date")}
    if origin.is_us(value) or ("from" in proofs and (has_address or origin.names_us(value))):
        proofs.add("sender")
    if is_time:
        proofs.add("time")
    if "subject" in proofs or ("to" in proofs and has_address) or _is_subject(value, origin):
        proofs.add("mail")
    return proofs


def _is_time(value: str) -> bool:
    return is_dated(value) and PHRASES.only_says_when(value)


def _is_subject(value: str, origin: Origin) -> bool:
    return len(origin.subject) >= SHORTEST_SUBJECT and PHRASES.strip_prefixes(value) == origin.subject


def _block(texts: Sequence[str], number: int) -> Iterator[str]:
    """The fields, and what continues them: a long list of recipients or a subject is broken."""
    loose = 0
    for place in range(number, min(number + BLOCK_LINES, len(texts))):
        text = texts[place]
        if _FIELD.match(text) is None:
            loose += _ADDRESS.search(text) is None
            if loose > LOOSE_LINES or not text:
                return
        yield text


def _notes_length(texts: Sequence[str], number: int, origin: Origin) -> int:
    """The head of a mail as older Notes show it: who, and in the next line when."""
    if origin.ours.search(texts[number]) is None or not origin.is_us(texts[number]):
        return 0
    below = _next(texts, number + 1)
    return below - number + 1 if below is not None and _is_time(texts[below]) else 0
