"""The value of an address field to its one mailbox, or to nothing where its grammar leaves any doubt.

Source: RFC 5322 3.4, RFC 6532 3.2. What section 4 of it calls obsolete is refused, but for the dot in a display name;
so are quoted local parts, domain literals, groups and whatever stands between the two halves of an address: nobody
who may approve has such an address (``worker.events``), and readers differ about them.
"""

import re
import unicodedata
from base64 import b64decode
from binascii import a2b_qp
from dataclasses import dataclass

from worker.reply_poller.reply import Headers
from worker.reply_poller.structured import QUOTED, fold, split_comments

LONGEST = 2000
"""Characters of a field with one mailbox; a longer one is refused."""

_LONGEST_DOMAIN = 253
_DEFECT = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_ATOM = r'[^\x00-\x20\x7f()<>\[\]:;@\\,".]++'
_ADDRESS = rf"{_ATOM}(?:\.{_ATOM})*+@{_ATOM}(?:\.{_ATOM})*+"
_PART = re.compile(
    rf"[ \t]++|<(?P<angle>{_ADDRESS})>|(?P<bare>{_ADDRESS})|(?P<word>(?:{_ATOM}|\.)++|{QUOTED})", re.DOTALL
)

_ENCODED_WORD = re.compile(r"=\?([^?\s]{1,40})\?([bq])\?([^?]*+)\?=(?:\s++(?==\?))?", re.IGNORECASE | re.ASCII)
_CHARSETS = (
    "utf",
    "us-ascii",
    "iso",
    "windows",
    "cp",
    "koi8",
    "gb",
    "big5",
    "shift",
    "euc",
    "ks",
    "mac",
    "latin",
    "tis",
)
_SHOWN = re.compile(r"[^\s<>()\[\]:;,@\"'\\]{1,64}@[^\s<>()\[\]:;,@\"'\\]{1,253}")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address as written, and the addresses that its display name and comments show, folded by ``address_key``."""

    address: str
    shown: frozenset[str] = frozenset()

    @property
    def key(self) -> str:
        """What equal addresses have in common."""
        return address_key(self.address)

    @property
    def domain(self) -> str:
        """Behind the ``@``, as ``domain_key`` writes it."""
        return self.key.rpartition("@")[2]


def read_mailbox(value: str) -> Mailbox | None:
    """The only mailbox in that value; None where there is none, or a second, or a defect."""
    if len(value) > LONGEST or _DEFECT.search(value):
        return None
    parts = split_comments(value)
    if not parts.whole:
        return None
    found = _scan(parts.text)
    if found is None:
        return None
    address, phrase = found
    return Mailbox(address, _shown(f"{phrase} {parts.comments}"))


def sole_author(headers: Headers) -> Mailbox | None:
    """The one mailbox in the one From field; None where either is missing, doubled or broken."""
    values = headers.all("from")
    return read_mailbox(values[0]) if len(values) == 1 else None


def address_key(address: str) -> str:
    """An address with its ASCII letters in lower case, its domain as DNS knows it; equal for equal mailboxes."""
    local, _, domain = address.rpartition("@")
    return f"{fold(local)}@{domain_key(domain)}"


def domain_key(domain: str) -> str:
    """A domain in lower case and ASCII (IDNA 2003), or as it is where it isn't in the form that IDNA gives back.

    So no character that only looks like another, or that IDNA would map to another, ever equals it.
    """
    folded = fold(domain)
    if folded.isascii() or len(folded) > _LONGEST_DOMAIN:
        return folded
    try:
        encoded = ".".join(label.encode("idna").decode("ascii") for label in folded.split("."))
        decoded = ".".join(label.encode("ascii").decode("idna") for label in encoded.split("."))
    except UnicodeError:
        return folded
    return encoded if decoded == folded else folded


def _scan(text: str) -> tuple[str, str] | None:
    kinds, address, phrase = "", "", []
    place = 0
    while place < len(text):
        part = _PART.match(text, place)
        if part is None:
            return None
        place = part.end()
        if part.lastgroup == "word":
            phrase.append(part[0])
        if part.lastgroup:
            kinds += part.lastgroup[0]
            address = part["angle"] or part["bare"] or address
    # Words and then an address in angle brackets, or an address alone.
    if not re.fullmatch(r"w*a|b", kinds):
        return None
    return address, " ".join(phrase)


def _shown(text: str) -> frozenset[str]:
    readable = unicodedata.normalize("NFKC", _ENCODED_WORD.sub(_decoded, text.replace("\\", "")))
    shown = (found[0].strip(".") for found in _SHOWN.finditer(readable))
    # What has no dot in its domain is a nickname.
    return frozenset(address_key(address) for address in shown if "." in address.rpartition("@")[2])


def _decoded(word: re.Match[str]) -> str:
    charset, encoding, text = fold(word[1]).partition("*")[0], word[2], word[3]
    raw = text.encode("ascii", "replace")
    octets = _base64(raw) if encoding in "bB" else a2b_qp(raw, header=True)
    try:
        # Python's other codecs are no charsets, and some of them warn or grow.
        return octets.decode(charset if charset.startswith(_CHARSETS) else "latin-1", "replace")
    except (LookupError, UnicodeError):
        return octets.decode("latin-1")


def _base64(octets: bytes) -> bytes:
    letters = re.sub(rb"[^A-Za-z0-9+/]", b"", octets)
    # A letter alone holds less than a byte.
    letters = letters[: len(letters) - (len(letters) % 4 == 1)]
    return b64decode(letters + b"=" * (-len(letters) % 4))
