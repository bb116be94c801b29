"""An ``Email`` to its header fields, folded and encoded (RFC 5322, 2047, 2231, 6532)."""

import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache

from worker.errors import InvalidEventError, TemplateError
from worker.events import Person
from worker.mail.email import Email

FOLD = "\r\n "
LINE = 78
"""What a line should hold at most (RFC 5322 2.1.1); a single word may be longer."""
LONGEST_WORD = 900
"""What can't be folded must fit into a line of 998 (RFC 5322 2.1.1), with its field name."""

_WORD = 54
"""Letters of an encoded word: with ``=?utf-8?q?`` and ``?=`` it stands behind the field names that we write."""
_WORD_BYTES = 39
_PLAIN_FILENAME = 150
_FILENAME_SECTION = 50

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_FIELD_NAME = re.compile(r"[!-9;-~]{1,70}")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_SPECIALS = re.compile(r'[\s()<>\[\]:;\\,"]')
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

# What may stand for itself in a phrase (RFC 2047 5.3) serves unstructured fields as well.
_ATTRIBUTE = {byte: chr(byte) if byte in _LETTERS + b"-._~" else f"%{byte:02X}" for byte in range(256)}


def header_fields(email: Email) -> str:
    """Every field but those that describe the body; each ends with CRLF. ``Bcc`` is never among them.

    Only an address with a non-ASCII local part makes it other than ASCII (RFC 6532).

    Raises:
        TemplateError: the subject is not one line of text.
        InvalidEventError: a control character, or what can't be an address or an id, in any other field.
    """
    fields = [_mailboxes("From", (email.sender,))]
    if email.to:
        fields.append(_mailboxes("To", email.to))
    if email.cc:
        fields.append(_mailboxes("Cc", email.cc))
    if email.reply_to is not None:
        fields.append(f"Reply-To: {_address('Reply-To', email.reply_to)}")
    fields += (_date(int(email.date.timestamp())), _subject(email.words.subject), _ids("Message-ID", email.message_id))
    if email.references is not None:
        fields.append(_ids("References", email.references))
    fields.extend(_further(name, value) for name, value in email.headers)
    fields.append("MIME-Version: 1.0\r\n")
    return "\r\n".join(fields)


@lru_cache(maxsize=1024)
def disposition(filename: str) -> str:
    """``Content-Disposition`` of an attachment: a quoted string, or RFC 2231 where the name is long or not ASCII.

    Raises:
        InvalidEventError: a control character in the name.
    """
    _refuse_controls("attachment's file name", filename)
    if len(filename) <= _PLAIN_FILENAME and _has_plain_blanks(filename):
        return f"Content-Disposition: attachment;{FOLD}filename={_quoted(filename)}"
    sections = list(_filled(_spelt(filename, _ATTRIBUTE), _FILENAME_SECTION))
    if len(sections) == 1:
        return f"Content-Disposition: attachment;{FOLD}filename*=utf-8''{sections[0]}"
    sections[0] = f"utf-8''{sections[0]}"
    return "Content-Disposition: attachment" + "".join(
        f";{FOLD}filename*{number}*={section}" for number, section in enumerate(sections)
    )


def _mailboxes(field: str, people: tuple[Person, ...]) -> str:
    # One a line: every client and gateway unfolds it, however many they are.
    return f"{field}: " + f",{FOLD}".join([_mailbox(field, person.name, person.email) for person in people])


@lru_cache(maxsize=4096)
def _mailbox(field: str, name: str, email: str) -> str:
    address = _address(field, email)
    phrase = _phrase(field, name.strip())
    if not phrase:
        return address
    last_line = phrase.rpartition(FOLD)[2]
    gap = " " if len(field) + len(last_line) + len(address) + len(":  <>,") <= LINE else FOLD
    return f"{phrase}{gap}<{address}>"


def _phrase(field: str, name: str) -> str:
    _refuse_controls(field, name)
    if len(name) <= _WORD and "=?" not in name and _has_plain_blanks(name):
        return name if _ATOMS.fullmatch(name) else _quoted(name)
    return FOLD.join(_encoded_words(name))


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _address(field: str, email: str) -> str:
    if _SPECIALS.search(email) or _CONTROL.search(email) or email.count("@") != 1 or len(email.encode()) > LONGEST_WORD:
        raise InvalidEventError(f"{field}: not an email address of the form local@domain")
    return email


@lru_cache(maxsize=64)
def _date(second: int) -> str:
    # strftime would follow the locale; UTC spares the offsets with seconds that old time zones have.
    utc = datetime.fromtimestamp(second, UTC)
    day = f"{_DAYS[utc.weekday()]}, {utc.day:02} {_MONTHS[utc.month]} {utc.year:04}"
    return f"Date: {day} {utc.hour:02}:{utc.minute:02}:{utc.second:02} +0000"


def _subject(subject: str) -> str:
    if _CONTROL.search(subject):
        raise TemplateError("subject: it has to be one line without control characters")
    return _unstructured("Subject", subject)


def _ids(field: str, ids: str) -> str:
    line = f"{field}: {ids}"
    if not (line.isascii() and line.isprintable()) or len(line) > LONGEST_WORD:
        raise InvalidEventError(f"{field}: not an id of printable ASCII characters in angle brackets")
    return line


@lru_cache(maxsize=1024)
def _further(name: str, value: str) -> str:
    if not _FIELD_NAME.fullmatch(name) or name.lower() == "bcc":
        raise InvalidEventError("header: not the name of a field that may be added")
    _refuse_controls(name, value)
    return _unstructured(name, value)


def _refuse_controls(field: str, value: str) -> None:
    if _CONTROL.search(value):
        raise InvalidEventError(f"{field}: a control character or line break is not allowed here")


def _unstructured(name: str, value: str) -> str:
    line = f"{name}: {value}"
    if "=?" not in value and _has_plain_blanks(value):
        if len(line) <= LINE:
            return line
        words = value.split(" ")
        if max(map(len, words)) < LINE:
            return f"{name}: {FOLD.join(_lines(name, words))}"
    return f"{name}: {FOLD.join(_encoded_words(value))}"


def _has_plain_blanks(text: str) -> bool:
    """Whether it is ASCII whose blanks no parser drops: single ones, and none at an end."""
    return text.isascii() and "  " not in text and text == text.strip()


def _lines(name: str, words: Iterable[str]) -> Iterator[str]:
    line, room = "", LINE - len(name) - 1
    for word in words:
        if line and len(line) + len(word) + 1 > room:
            yield line
            line, room = word, LINE - 1
        else:
            line = f"{line} {word}" if line else word
    yield line


def _encoded_words(text: str) -> Iterator[str]:
    # Base64 throughout: Q would be shorter for most languages written in Latin letters, and costs ten times as much.
    raw = text.encode("utf-8", "replace")
    start = 0
    while start < len(raw):
        end = start + _WORD_BYTES
        # No character is split (RFC 2047 5): what continues one goes with its beginning.
        while end < len(raw) and raw[end] & 0xC0 == 0x80:  # noqa: PLR2004 - UTF-8's mark of a continuation
            end -= 1
        yield f"=?utf-8?b?{binascii.b2a_base64(raw[start:end], newline=False).decode('ascii')}?="
        start = end


def _spelt(text: str, alphabet: Mapping[int, str]) -> Iterator[tuple[str, int]]:
    for letter in text:
        spelling = "".join(alphabet[byte] for byte in letter.encode("utf-8", "replace"))
        yield spelling, len(spelling)


def _filled(letters: Iterable[tuple[str, int]], room: int) -> Iterator[str]:
    piece, used = "", 0
    for letter, length in letters:
        if used + length > room:
            yield piece
            piece, used = "", 0
        piece, used = piece + letter, used + length
    yield piece
