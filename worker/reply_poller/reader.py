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

import webencodings

from worker.errors import PermanentError
from worker.reply_poller.line import Line, Mark
from worker.reply_poller.markup import read_markup
from worker.reply_poller.origin import Origin
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
_TYPED_TYPES = frozenset({"text/plain", "text/html"})
# What Exchange makes of text that was typed below an attachment on an iPhone: named, and typed all the same.
_SPLIT_OFF = re.compile(r"ATT\d{5,}\.(?:txt|html?)", re.IGNORECASE)
_ENCODINGS = frozenset({"", "7bit", "8bit", "binary", "quoted-printable", "base64"})
_BASE64 = re.compile(rb"[A-Za-z0-9+/\s]*=*")
# Shift sequences of charsets that write other letters in ASCII.
_ESCAPES = (b"\x1b", b"~{")
_SHIFTING = frozenset({"hz-gb-2312", "iso-2022-kr", "iso-2022-cn", "iso-2022-cn-ext"})
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
        message = message_from_bytes(raw)
        parts = _parts(message)
        subject = decode_words(headers.first("subject") or "")
        origin = self._origin(headers, subject)
        body, later = _bodies(message)
        ambiguous = any(_is_ambiguous(part) for part in parts)
        return Reply(
            digest=sha256(raw).digest(),
            headers=headers,
            subject=subject,
            media_type=message.get_content_type(),
            parameters=_parameters(message),
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


def _parts(message: Message) -> list[Message]:
    """All parts, outermost first, without recursion."""
    found: list[Message] = []
    waiting = [(message, 1)]
    while waiting:
        part, level = waiting.pop()
        found.append(part)
        if level > MAX_LEVELS:
            raise UnreadableError(f"its parts nest deeper than {MAX_LEVELS} levels")
        if len(found) > MAX_PARTS:
            raise UnreadableError(f"it has more than {MAX_PARTS} parts")
        waiting += [(child, level + 1) for child in reversed(_children(part))]
    return found


def _children(part: Message) -> list[Message]:
    payload = part.get_payload() if part.is_multipart() else []
    return [child for child in payload if isinstance(child, Message)] if isinstance(payload, list) else []


def _parameters(message: Message) -> dict[str, str]:
    pairs = message.get_params(failobj=[], unquote=True) or []
    return {name.lower(): value for name, value in pairs[1:] if isinstance(value, str)}


def _bodies(message: Message) -> tuple[list[Message], list[Message]]:
    """The forms of the body (each says the same in another form), and later parts that a client shows below."""
    part = message
    later: list[Message] = []
    while part.get_content_maintype() == "multipart":
        children = _children(part)
        kind = part.get_content_subtype()
        if kind == "alternative":
            # What we can't read stays among them: a client may show just that one.
            return [form for child in children for form in _shown(child) or [child]], later
        if not children or kind in {"report", "encrypted"}:
            return [], later
        inner = _root(part, children) if kind == "related" else children[0]
        later += [other for child in children if child is not inner for other in _shown(child)]
        part = inner
    return _shown(part), later


def _root(part: Message, children: list[Message]) -> Message:
    """The part of a ``related`` that is shown (RFC 2387 3.2)."""
    start = str(part.get_param("start", "")).strip()
    named = [child for child in children if start and str(child.get("content-id", "")).strip() == start]
    texts = [child for child in children if child.get_content_maintype() in {"text", "multipart"}]
    return next(iter((*named, *texts)), children[0])


def _shown(part: Message) -> list[Message]:
    """Its text parts that a client shows as text: no attachments, and nothing of a mail inside."""
    found: list[Message] = []
    waiting = [part]
    while waiting:
        leaf = waiting.pop()
        if leaf.get_content_maintype() == "multipart":
            waiting += reversed(_children(leaf))
        elif leaf.get_content_type() in _TYPED_TYPES and not _is_attached(leaf):
            found.append(leaf)
    return found


def _is_attached(part: Message) -> bool:
    name = part.get_filename()
    if name is not None and _SPLIT_OFF.fullmatch(name):
        return False
    return name is not None or part.get_content_disposition() == "attachment"


# -- text -------------------------------------------------------------------------------------------------------------


def _content(part: Message) -> str:
    payload = part.get_payload(decode=True)
    return decode(payload if isinstance(payload, bytes) else b"", part.get_content_charset(""))


def _form(part: Message, origin: Origin, *, ambiguous: bool) -> Typed:
    if part.get_content_type() not in _TYPED_TYPES:
        return Typed(doubt="hidden")
    content = _content(part)
    if part.get_content_type() == "text/html":
        lines = read_markup(content[:MARKUP_CHARACTERS], origin.ours)
        cut = len(content) > MARKUP_CHARACTERS
    else:
        flowed, delsp = _has(part, "format", "flowed"), _has(part, "delsp", "yes")
        lines = read_plain(content[:PLAIN_CHARACTERS], flowed=flowed, delsp=delsp)
        cut = len(content) > PLAIN_CHARACTERS
    typed = find_typed(_within_limits(lines, cut=cut), origin)
    unsure = ambiguous or _is_damaged(part)
    # An HTML form without text is a picture, and no empty text beside the other form.
    is_blank = typed.is_blank and part.get_content_type() == "text/plain"
    return replace(typed, doubt=typed.doubt or ("hidden" if unsure else None), is_blank=is_blank)


def _has(part: Message, name: str, value: str) -> bool:
    return str(part.get_param(name, "")).lower() == value


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


def _with_later(form: Typed, later: list[Message]) -> Typed:
    """The form with what a client shows below it: no answer, but an approval must not stumble over it."""
    if not later:
        return form
    lines = tuple(text for part in later for text in _content(part)[:TEXT_BYTES].splitlines() if text.strip())
    return replace(form, aside=form.aside + lines[:TEXT_LINES])


def _is_ambiguous(part: Message) -> bool:
    """Whether readers would not agree on how the part is written: it says so twice."""
    if any(len(part.get_all(name, [])) > 1 for name in ("content-type", "content-transfer-encoding")):
        return True
    names = [name.lower().rstrip("*") for name, _ in part.get_params(failobj=[]) or []]
    return len(names) != len({*names})


def _is_damaged(part: Message) -> bool:
    """Whether readers would not agree on what its bytes say."""
    encoding = str(part.get("content-transfer-encoding", "")).strip().lower()
    payload = part.get_payload()
    raw = payload.encode("ascii", "replace").strip() if isinstance(payload, str) else b""
    broken = encoding == "base64" and not _BASE64.fullmatch(raw)
    return broken or encoding not in _ENCODINGS or not _is_legible(part)


def _is_legible(part: Message) -> bool:
    """Whether every client takes the charset for the same: it is a common one, or nothing but ASCII is there."""
    charset = part.get_content_charset("")
    payload = part.get_payload(decode=True)
    raw = payload if isinstance(payload, bytes) else b""
    known = charset not in _SHIFTING and (not charset or webencodings.lookup(charset) is not None)
    if not raw.isascii() or charset == "iso-2022-jp":
        return known
    return not any(escape in raw for escape in (_ESCAPES if known else (*_ESCAPES, b"+")))


def _whole_text(parts: list[Message]) -> str:
    text = next((part for part in parts if part.get_content_type() == "text/plain"), None)
    return _content(text)[:TEXT_BYTES] if text is not None else ""


# -- reports ----------------------------------------------------------------------------------------------------------


def _reports(parts: list[Message]) -> Iterator[Headers]:
    for part in parts:
        if part.get_content_type() in _REPORTS:
            groups = _children(part) or [part]
            for group in groups[:REPORT_FIELDS]:
                if (fields := _loose_fields(group)).fields:
                    yield fields
            if not part.is_multipart():
                yield _text_fields(part)


def _loose_fields(message: Message) -> Headers:
    items = [(name.lower(), _unfolded(str(value))) for name, value in message.raw_items()]
    return Headers(tuple(items[:REPORT_FIELDS]))


def _text_fields(part: Message) -> Headers:
    pairs = [line.partition(":") for line in _content(part)[:TEXT_BYTES].splitlines()[:REPORT_FIELDS]]
    return Headers(tuple((name.strip().lower(), value.strip()) for name, colon, value in pairs if colon))


def _unfolded(value: str) -> str:
    raw = value.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    return " ".join(raw.replace("\r", "\n").split("\n")).strip()


def _returned(parts: list[Message]) -> Headers | None:
    for part in parts[1:]:
        kind = part.get_content_type()
        if kind in {"text/rfc822-headers", "message/global-headers"}:
            return _text_fields(part)
        if kind in _RETURNED:
            return next((_loose_fields(child) for child in _children(part)), None)
    return None
