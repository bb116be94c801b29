"""A MIME entity to what the reader asks of it: its type, its text, its children. Each is worked out once."""

import re
from collections.abc import Sequence
from email.message import Message
from functools import cached_property

import webencodings

from worker.reply_poller.plain import decode

TYPED = frozenset({"text/plain", "text/html"})
"""The types that people type in."""

# What Exchange makes of text that was typed below an attachment on an iPhone: named, and typed all the same.
_SPLIT_OFF = re.compile(r"ATT\d{5,}\.(?:txt|html?)", re.IGNORECASE)
_ENCODINGS = frozenset({"", "7bit", "8bit", "binary", "quoted-printable", "base64"})
_BASE64 = re.compile(rb"[A-Za-z0-9+/\s]*=*")
# Shift sequences of charsets that write other letters in ASCII.
_ESCAPES = (b"\x1b", b"~{")
_SHIFTING = frozenset({"hz-gb-2312", "iso-2022-kr", "iso-2022-cn", "iso-2022-cn-ext"})


class Part:
    """One entity. It may raise whatever the standard library's parser does on mails of strangers."""

    def __init__(self, message: Message) -> None:
        self.message = message

    @cached_property
    def kind(self) -> str:
        """Its media type, in lower case."""
        return self.message.get_content_type()

    @cached_property
    def children(self) -> Sequence["Part"]:
        """What it consists of; a mail's header and body for ``message/rfc822``."""
        payload = self.message.get_payload() if self.message.is_multipart() else []
        found = payload if isinstance(payload, list) else []
        return [Part(child) for child in found if isinstance(child, Message)]

    @property
    def is_multipart(self) -> bool:
        """Whether its type says that it consists of others."""
        return self.kind.startswith("multipart/")

    @property
    def is_typed(self) -> bool:
        """Whether a client shows it as text that was typed: it is of such a type, and not attached."""
        return self.kind in TYPED and not self._is_attached

    @cached_property
    def parameters(self) -> dict[str, str]:
        """The parameters of its Content-Type, names in lower case."""
        return {name.lower(): value for name, value in self._pairs[1:] if isinstance(value, str)}

    @cached_property
    def _pairs(self) -> list[tuple[str, object]]:
        return [*(self.message.get_params(failobj=[], unquote=True) or [])]

    @cached_property
    def _is_attached(self) -> bool:
        name = self.message.get_filename() if "content-disposition" in self.message or "name" in self._names else None
        if name is not None and _SPLIT_OFF.fullmatch(name):
            return False
        return name is not None or self.message.get_content_disposition() == "attachment"

    @cached_property
    def _names(self) -> list[str]:
        return [name.lower().rstrip("*") for name, _ in self._pairs]

    @cached_property
    def is_ambiguous(self) -> bool:
        """Whether readers would not agree on how it is written: it says so twice."""
        fields = [name.lower() for name in self.message.keys()]  # noqa: SIM118 - a Message counts doubled fields there
        twice = any(fields.count(name) > 1 for name in ("content-type", "content-transfer-encoding"))
        return twice or len(self._names) != len({*self._names})

    # -- content ------------------------------------------------------------------------------------------------

    @cached_property
    def charset(self) -> str:
        """What it says of its charset, in lower case; empty where it says nothing."""
        return self.message.get_content_charset("") if "charset" in self._names else ""

    @cached_property
    def raw(self) -> bytes:
        """Its octets, the transfer encoding taken off as well as can be."""
        payload = self.message.get_payload(decode=True)
        return payload if isinstance(payload, bytes) else b""

    @cached_property
    def text(self) -> str:
        """Its text, what can't be read replaced."""
        return decode(self.raw, self.charset)

    @property
    def is_damaged(self) -> bool:
        """Whether readers would not agree on what its octets say."""
        encoding = str(self.message.get("content-transfer-encoding", "")).strip().lower()
        return encoding not in _ENCODINGS or (encoding == "base64" and self._is_torn) or not self._is_legible

    @property
    def _is_torn(self) -> bool:
        payload = self.message.get_payload()
        return isinstance(payload, str) and not _BASE64.fullmatch(payload.encode("ascii", "replace").strip())

    @property
    def _is_legible(self) -> bool:
        """Whether every client takes the charset for the same: it is a common one, or nothing but ASCII is there."""
        known = self.charset not in _SHIFTING and (not self.charset or webencodings.lookup(self.charset) is not None)
        if not self.raw.isascii() or self.charset == "iso-2022-jp":
            return known
        return not any(escape in self.raw for escape in (_ESCAPES if known else (*_ESCAPES, b"+")))
