"""Bytes of a mail to a ``Reply``, within fixed limits. Pure; what a library can't be trusted with runs in ``reading``.

The header is read strictly and by ourselves: trust depends on it, and parsers that forgive disagree about what they
forgave. The body is the standard library's, and nothing that it raises leaves this module.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from email import message_from_bytes
from email.errors import HeaderParseError, MessageError
from email.header import decode_header
from email.message import Message
from functools import lru_cache
from hashlib import sha256

from worker.errors import PermanentError
from worker.reply_poller.line import Line, Mark
from worker.reply_poller.markup import read_markup
from worker.reply_poller.origin import Origin
from worker.reply_poller.part import TYPED, Part
from worker.reply_poller.phrases import PHRASES
from worker.reply_poller.plain import decode, read_plain
from worker.reply_poller.quotation import find_typed
from worker.reply_poller.reply import Headers, Reply, Typed

MAX_BYTES = 10_000_000
MAX_LINES = 200_000
MAX_LEVELS = 100
MAX_PARTS = 1_000
MAX_HEADER_LINES = 1_000
TEXT_BYTES = 64_000
TEXT_LINES = 500
MARKUP_CHARACTERS = 2_000_000
PLAIN_CHARACTERS = 500_000
REPORT_FIELDS = 200
SHORTEST_NAME = 3

_FIELD = re.compile(rb"([!-9;-~]{1,200})[ \t]*:(.*)", re.DOTALL)
_REPORTS = frozenset(
    {"message/delivery-status", "message/disposition-notification", "message/feedback-report"}
    | {"message/global-delivery-status", "message/global-disposition-notification"}
)
_RETURNED = frozenset({"message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers"})
_DISPLAY_NAME = re.compile(r'\s*"?([^"<>]{3,80}?)"?\s*<')
# What the email package is known to raise on mails of strangers: 5 of 2,499 public ones did.
_BREAKS = (MessageError, LookupError, ValueError, TypeError, AttributeError, RecursionError, AssertionError)


class UnreadableError(PermanentError):
    """A mail that breaks a limit or the reader; ``str(error)`` is a reason to publish, without anything from it."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads mails that answer to ours: ``addresses`` are those that we send and are answered at, ``name`` our name."""

    addresses: tuple[str, ...]
    name: str = ""

    def read(self, raw: bytes) -> Reply:
        """What the mail holds.

        Raises:
            UnreadableError: it breaks a limit of the contract (section 4), or it can't be read.
        """
        _check_size(raw)
        headers = read_headers(raw)
        try:
            return self._read(raw, headers)
        except _BREAKS as error:
            raise UnreadableError(f"it can't be parsed ({type(error).__name__})") from error

    def _read(self, raw: bytes, headers: Headers) -> Reply:
        whole = Part(message_from_bytes(raw))
        parts = _parts(whole)
        subject = decode_words(headers.first("subject") or "")
        origin = self._origin(headers, subject)
        body, later = _bodies(whole)
        ambiguous = any(part.is_ambiguous for part in parts)
        return Reply(
            digest=sha256(raw).digest(),
            headers=headers,
            subject=subject,
            media_type=whole.kind,
            parameters=whole.parameters,
            typed=tuple(_with_later(_form(part, origin, ambiguous=ambiguous), later) for part in body),
            text=_whole_text(parts),
            reports=tuple(_reports(parts)),
            returned=_returned(parts),
        )

    def _origin(self, headers: Headers, subject: str) -> Origin:
        ours = our_addresses(self.addresses)
        named = re.compile(rf'"?([^"<>,;]{{3,80}}?)"? *<{ours.pattern}>', re.IGNORECASE)
        fields = [value[:2000] for value in (*headers.all("to"), *headers.all("cc"))]
        called = [decode_words(match[1].strip()) for value in fields for match in named.finditer(value)]
        names = {name: None for name in (self.name, *called) if len(name) >= SHORTEST_NAME}
        return Origin(ours, tuple(names), PHRASES.strip_prefixes(subject), _display_name(headers))


def _display_name(headers: Headers) -> str:
    """The name in From, as claimed: it finds a signature, and proves nothing."""
    match = _DISPLAY_NAME.match(headers.first("from") or "")
    return decode_words(match[1]) if match else ""


@lru_cache(maxsize=64)
def our_addresses(addresses: tuple[str, ...]) -> re.Pattern[str]:
    """What finds one of these addresses in a text, with or without something behind its local part."""
    parts = [address.rpartition("@") for address in addresses]
    behind = r"(?:[^\s\w@<>][^\s@<>]{0,80})?"
    each = "|".join(rf"{re.escape(local)}{behind}@{re.escape(domain)}" for local, _, domain in parts)
    return re.compile(f"(?:{each})", re.IGNORECASE)


def _check_size(raw: bytes) -> None:
    if len(raw) > MAX_BYTES:
        raise UnreadableError(f"it is larger than {MAX_BYTES // 1_000_000} MB")
    if raw.count(b"\n") + raw.count(b"\r") - raw.count(b"\r\n") > MAX_LINES:
        raise UnreadableError(f"it has more than {MAX_LINES} lines")


def read_headers(raw: bytes) -> Headers:
    """The header block of a mail.

    Raises:
        UnreadableError: it is none: a line without a colon, a bare CR, or too many of them.
    """
    block = re.split(rb"\r?\n\r?\n", raw, maxsplit=1)[0] if not raw.startswith((b"\n", b"\r\n")) else b""
    lines = re.split(rb"\r?\n", block)
    if len(lines) > MAX_HEADER_LINES:
        raise UnreadableError(f"its header has more than {MAX_HEADER_LINES} lines")
    if b"\r" in block.replace(b"\r\n", b""):
        raise UnreadableError("its header holds a control character that no header may hold")
    return Headers(tuple(_field(line) for line in _unfold(lines) if line))


def _unfold(lines: list[bytes]) -> Iterator[bytes]:
    held = b""
    # A delivery agent may leave the line of a mailbox file in front.
    for line in lines[1:] if lines[0].startswith(b"From ") else lines:
        if line[:1] in b" \t" and line:
            if not held:
                raise UnreadableError("its header begins with a continuation line")
            held += line
        else:
            yield held
            held = line
    yield held


def _field(line: bytes) -> tuple[str, str]:
    match = _FIELD.fullmatch(line)
    if match is None:
        raise UnreadableError("its header has a line that is no field")
    return match[1].decode("ascii").lower(), match[2].decode("utf-8", "surrogateescape").strip(" \t")


def decode_words(value: str) -> str:
    """An unstructured header field for people: encoded words (RFC 2047) decoded, white space folded."""
    try:
        chunks = decode_header(value.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
        text = "".join(chunk if isinstance(chunk, str) else decode(chunk, charset or "") for chunk, charset in chunks)
    except (HeaderParseError, *_BREAKS):
        text = value
    return " ".join(text.encode("utf-8", "replace").decode().split())


# -- parts ------------------------------------------------------------------------------------------------------------


def _parts(whole: Part) -> list[Part]:
    """All parts, outermost first, without recursion."""
    found: list[Part] = []
    waiting = [(whole, 1)]
    while waiting:
        part, level = waiting.pop()
        found.append(part)
        if level > MAX_LEVELS:
            raise UnreadableError(f"its parts nest deeper than {MAX_LEVELS} levels")
        if len(found) > MAX_PARTS:
            raise UnreadableError(f"it has more than {MAX_PARTS} parts")
        waiting += [(child, level + 1) for child in reversed(part.children)]
    return found


def _bodies(whole: Part) -> tuple[list[Part], list[Part]]:
    """The forms of the body (each says the same in another form), and later parts that a client shows below."""
    part = whole
    later: list[Part] = []
    while part.is_multipart:
        if part.kind == "multipart/alternative":
            # What we can't read stays among them: a client may show just that one.
            return [form for child in part.children for form in _shown(child) or [child]], later
        if not part.children or part.kind in {"multipart/report", "multipart/encrypted"}:
            return [], later
        inner = _root(part) if part.kind == "multipart/related" else part.children[0]
        later += [other for child in part.children if child is not inner for other in _shown(child)]
        part = inner
    return _shown(part), later


def _root(part: Part) -> Part:
    """The part of a ``related`` that is shown (RFC 2387 3.2)."""
    start = part.parameters.get("start", "").strip()
    named = [child for child in part.children if start and str(child.message.get("content-id", "")).strip() == start]
    texts = [child for child in part.children if child.is_multipart or child.kind.startswith("text/")]
    return next(iter((*named, *texts)), part.children[0])


def _shown(part: Part) -> list[Part]:
    """Its text parts that a client shows as text: no attachments, and nothing of a mail inside."""
    found: list[Part] = []
    waiting = [part]
    while waiting:
        leaf = waiting.pop()
        if leaf.is_multipart:
            waiting += reversed(leaf.children)
        elif leaf.is_typed:
            found.append(leaf)
    return found


# -- text -------------------------------------------------------------------------------------------------------------


def _form(part: Part, origin: Origin, *, ambiguous: bool) -> Typed:
    if part.kind not in TYPED:
        return Typed(doubt="hidden")
    text = part.text
    if part.kind == "text/html":
        lines = read_markup(text[:MARKUP_CHARACTERS], origin.ours)
        cut = len(text) > MARKUP_CHARACTERS
    else:
        said = {name: value.lower() for name, value in part.parameters.items()}
        flowed, delsp = said.get("format") == "flowed", said.get("delsp") == "yes"
        lines = read_plain(text[:PLAIN_CHARACTERS], flowed=flowed, delsp=delsp)
        cut = len(text) > PLAIN_CHARACTERS
    typed = find_typed(_within_limits(lines, cut=cut), origin)
    unsure = ambiguous or part.is_damaged
    # An HTML form without text is a picture, and no empty text beside the other form.
    is_blank = typed.is_blank and part.kind == "text/plain"
    return replace(typed, doubt=typed.doubt or ("hidden" if unsure else None), is_blank=is_blank)


def _within_limits(lines: tuple[Line, ...], *, cut: bool) -> list[Line]:
    """What is looked at: so much text beside marked quotes. Where it ends early, its last line is in doubt."""
    kept: list[Line] = []
    left, count = TEXT_BYTES, TEXT_LINES
    for line in lines:
        if line.mark is Mark.QUOTED:
            # One line is enough to know that a quote stands here.
            if not kept or kept[-1].mark is not Mark.QUOTED or count > 0:
                kept.append(line)
            continue
        raw = line.text.encode("utf-8", "replace")
        if count == 0 or len(raw) > left:
            return [*kept, Line(raw[:left].decode("utf-8", "ignore"), line.mark, "too-long")]
        kept.append(line)
        left, count = left - len(raw), count - 1
    return [*kept, Line("", doubt="too-long")] if cut else kept


def _with_later(form: Typed, later: list[Part]) -> Typed:
    """The form with what a client shows below it: no answer, but an approval must not stumble over it."""
    if not later:
        return form
    lines = tuple(text for part in later for text in part.text[:TEXT_BYTES].splitlines() if text.strip())
    return replace(form, aside=form.aside + lines[:TEXT_LINES])


def _whole_text(parts: list[Part]) -> str:
    text = next((part for part in parts if part.kind == "text/plain"), None)
    return text.text[:TEXT_BYTES] if text is not None else ""


# -- reports ----------------------------------------------------------------------------------------------------------


def _reports(parts: list[Part]) -> Iterator[Headers]:
    for part in parts:
        if part.kind in _REPORTS:
            groups = part.children or [part]
            for group in groups[:REPORT_FIELDS]:
                if (fields := _loose_fields(group.message)).fields:
                    yield fields
            if not part.children:
                yield _text_fields(part)


def _loose_fields(message: Message) -> Headers:
    items = [(name.lower(), _unfolded(str(value))) for name, value in message.raw_items()]
    return Headers(tuple(items[:REPORT_FIELDS]))


def _text_fields(part: Part) -> Headers:
    pairs = [line.partition(":") for line in part.text[:TEXT_BYTES].splitlines()[:REPORT_FIELDS]]
    return Headers(tuple((name.strip().lower(), value.strip()) for name, colon, value in pairs if colon))


def _unfolded(value: str) -> str:
    raw = value.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    return " ".join(raw.replace("\r", "\n").split("\n")).strip()


def _returned(parts: list[Part]) -> Headers | None:
    for part in parts[1:]:
        if part.kind in {"text/rfc822-headers", "message/global-headers"}:
            return _text_fields(part)
        if part.kind in _RETURNED:
            return next((_loose_fields(child.message) for child in part.children), None)
    return None
