"""An ``Email`` to ``Content``: the octets of a mail (RFC 5322, 2045, 2046), attachments streamed from their files.

Line ends of the words become CRLF, whichever of CR, LF and CRLF they were; nothing else is changed. Words without
HTML become a mail of plain text, which ends with a line break even where the text did not.
"""

import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from struct import Struct

from worker.errors import InvalidEventError
from worker.mail.email import Attachment, Email, Words
from worker.mail.headers import disposition, header_fields

CRLF = b"\r\n"
LONGEST_LINE = 998
"""Octets of a line before its CRLF (RFC 5322 2.1.1)."""
LONGEST_QUOTED = 2000
"""Bytes of words up to which quoted-printable keeps them readable as they travel; for longer ones base64 takes a
fifth of its time."""

_BASE64_LINE = 57
_ENCODED_LINE = 76
_PIECE = _BASE64_LINE * 1149
"""About 64 kB: what is read from a file at a time, in whole lines of base64."""


def base64_size(length: int) -> int:
    """Octets that so many bytes take as base64 in lines of 76 with CRLF (RFC 2045 6.8)."""
    return (length + 2) // 3 * 4 + (length + _BASE64_LINE - 1) // _BASE64_LINE * len(CRLF)


def base64_capacity(octets: int) -> int:
    """The most bytes that take no more than so many octets as base64: the inverse of ``base64_size``."""
    lines, rest = divmod(max(octets, 0), _ENCODED_LINE + len(CRLF))
    return lines * _BASE64_LINE + max(rest - len(CRLF), 0) // 4 * 3


@dataclass(frozen=True, slots=True)
class Content:
    """A mail as octets. Iterating yields them in chunks, and can be repeated; a mail without attachments is one chunk.

    ``size`` is how many octets they are, ``smtputf8`` whether an address needs RFC 6531; else all are ASCII.
    No line begins with a dot, none is longer than 998, and each ends with CRLF, the last one too.

    Raises:
        OSError: while iterating, an attachment can't be read, or is shorter than its ``size``.
    """

    size: int
    smtputf8: bool
    head: bytes
    files: tuple[tuple[bytes, Attachment], ...] = ()
    end: bytes = b""

    def __iter__(self) -> Iterator[bytes]:
        yield self.head
        for fields, attachment in self.files:
            yield fields
            yield from _base64_pieces(attachment)
        if self.end:
            yield self.end


def encode(email: Email) -> Content:
    """The octets of that mail: equal for equal mails.

    Raises:
        TemplateError: the subject is not one line of text.
        InvalidEventError: a control character or line break in a header field, a name, an address or a file name.
    """
    fields = header_fields(email)
    unique = sha256(email.message_id.encode()).hexdigest()[:24].encode()
    words = _words(email.words, b"=_a" + unique)
    if not email.attachments:
        head = b"%b%b\r\n" % (fields.encode(), words)
        return Content(len(head), not fields.isascii(), head)
    return _mixed(fields, words, b"=_m" + unique, email.attachments)


def _mixed(fields: str, words: bytes, boundary: bytes, attachments: tuple[Attachment, ...]) -> Content:
    kind = b'Content-Type: multipart/mixed; boundary="%b"\r\n\r\n' % boundary
    head = b"%b%b--%b\r\n%b\r\n" % (fields.encode(), kind, boundary, words)
    files = tuple((_file_fields(boundary, attachment), attachment) for attachment in attachments)
    end = b"--%b--\r\n" % boundary
    size = len(head) + sum(len(part) + base64_size(attachment.size) for part, attachment in files) + len(end)
    return Content(size, not fields.isascii(), head, files, end)


def _words(words: Words, boundary: bytes) -> bytes:
    if not words.html:
        return _text_part(b"plain", words.text).removesuffix(CRLF)
    return b'Content-Type: multipart/alternative; boundary="%b"\r\n\r\n--%b\r\n%b\r\n--%b\r\n%b\r\n--%b--' % (
        boundary,
        boundary,
        _text_part(b"plain", words.text),
        boundary,
        _text_part(b"html", words.html),
        boundary,
    )


def _text_part(subtype: bytes, text: str) -> bytes:
    encoding, body = _encoded(text)
    return b"Content-Type: text/%b; charset=utf-8\r\nContent-Transfer-Encoding: %b\r\n\r\n%b" % (
        subtype,
        encoding,
        body,
    )


def _encoded(text: str) -> tuple[bytes, bytes]:
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if _travels_as_is(text):
        return b"7bit", text.replace("\n", "\r\n").encode("ascii")
    # A lone surrogate is no character: it becomes a question mark.
    raw = text.encode("utf-8", "replace")
    if len(raw) > LONGEST_QUOTED:
        return b"base64", _base64_lines(raw.replace(b"\n", CRLF)).removesuffix(CRLF)
    quoted = _quoted_printable(raw)
    if len(quoted) <= base64_size(len(raw)):
        return b"quoted-printable", quoted
    return b"base64", _base64_lines(raw.replace(b"\n", CRLF)).removesuffix(CRLF)


def _travels_as_is(text: str) -> bool:
    return (
        text.isascii()
        and "\0" not in text
        # Dots are stuffed, "From " gets a ">" in mailboxes, and a boundary of ours begins like that.
        and not text.startswith((".", "From "))
        and "\n." not in text
        and "\nFrom " not in text
        and "--=_" not in text
        and len(max(text.split("\n"), key=len)) <= LONGEST_LINE
    )


def _quoted_printable(raw: bytes) -> bytes:
    # Given CRLF, b2a_qp breaks some lines with LF alone: it gets LF, and all become CRLF behind it.
    quoted = binascii.b2a_qp(raw)
    if _needs_care(b"\n" + quoted + b"\n"):
        quoted = b"\n".join(map(_careful, quoted.split(b"\n")))
    return quoted.replace(b"\n", CRLF)


def _needs_care(lines: bytes) -> bool:
    return b"\n." in lines or b"\nFrom " in lines or b"=20\n" in lines or b"=09\n" in lines


def _careful(line: bytes) -> bytes:
    """What b2a_qp leaves undone: no dot and no ``From`` at the start, no blank that made the line too long."""
    if len(line) > _ENCODED_LINE:
        return _careful(line[:-3]) + b"=\n" + line[-3:]
    if not line.startswith((b".", b"From ")):
        return line
    first = b"=%02X" % line[0]
    if len(line) + 2 <= _ENCODED_LINE:
        return first + line[1:]
    return first + b"=\n" + _careful(line[1:])


def _base64_lines(raw: bytes) -> bytes:
    encoded = binascii.b2a_base64(raw, newline=False)
    count, rest = divmod(len(encoded), _ENCODED_LINE)
    last = (encoded[-rest:], b"") if rest else (b"",)
    return CRLF.join(_full_lines(count).unpack_from(encoded) + last)


@lru_cache(maxsize=256)
def _full_lines(count: int) -> Struct:
    # It cuts in a third of the time that slices take.
    return Struct(f"{_ENCODED_LINE}s" * count)


def _file_fields(boundary: bytes, attachment: Attachment) -> bytes:
    if not (attachment.media_type.isascii() and attachment.media_type.isprintable()):
        raise InvalidEventError("attachment's media type: not printable ASCII")
    fields = f"Content-Type: {attachment.media_type}\r\n{disposition(attachment.filename)}"
    return b"--%b\r\n%b\r\nContent-Transfer-Encoding: base64\r\n\r\n" % (boundary, fields.encode())


def _base64_pieces(attachment: Attachment) -> Iterator[bytes]:
    for start in range(0, attachment.size, _PIECE):
        length = min(_PIECE, attachment.size - start)
        # Sought anew for each piece: the file may be read by another turn of the same mail in between.
        attachment.content.seek(start)
        piece = attachment.content.read(length)
        if len(piece) != length:
            raise OSError(f"an attachment is shorter than the {attachment.size} bytes it had")
        yield _base64_lines(piece)
