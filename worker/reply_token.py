"""An approver's question to a token, and a token to the answer's address: all that the two halves share.

A token is an HMAC-SHA256 over source, approval, event, approver and expiry, cut to 160 bits and written in
lower-case base32: 32 letters and digits that survive case folding and fit a sub-address (RFC 5233).
"""

import hmac
from base64 import b32encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

TOKEN_LENGTH = 32
_BYTES = 20


@dataclass(frozen=True, slots=True)
class Question:
    """What a token stands for: one approver, asked by one event about one approval, until then."""

    source: str
    approval_id: str
    event_id: str
    approver: str
    expires_at: datetime | None


class TokenKeys:
    """The keys that sign and verify tokens: the first signs, all verify."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = tuple(keys)

    def mint(self, question: Question) -> str:
        """The token of that question; the same question has the same token while the first key stays."""
        return _token(self._keys[0], question)

    def verify(self, token: str, question: Question) -> bool:
        """Whether one of the keys signed this token for that question. Takes the same time for every token."""
        claimed = token.lower().encode("utf-8", "surrogatepass")
        found = [hmac.compare_digest(_token(key, question).encode(), claimed) for key in self._keys]
        return any(found)


def token_hash(token: str) -> bytes:
    """What the journal keeps in the token's place."""
    return sha256(token.lower().encode("utf-8", "surrogatepass")).digest()


def reply_address(address: str, separator: str, token: str) -> str:
    """The address that an approver answers to; without sub-addressing the plain one."""
    local, _, domain = address.rpartition("@")
    return f"{local}{separator}{token}@{domain}" if separator else address


def _token(key: bytes, question: Question) -> str:
    fields = (
        "countersign token 1",
        question.source,
        question.approval_id,
        question.event_id,
        question.approver.lower(),
        "" if question.expires_at is None else repr(question.expires_at.timestamp()),
    )
    # Each field with its length: no two questions write the same bytes.
    signed = b"".join(len(raw).to_bytes(4) + raw for raw in (field.encode() for field in fields))
    return b32encode(hmac.digest(key, signed, "sha256")[:_BYTES]).decode().lower()
