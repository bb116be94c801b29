"""What the relay is given and gives back: an ``Envelope`` goes in, a ``Receipt`` says who took it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol


class Content(Protocol):
    """A mail as octets, in the form of RFC 5322: what the encoder makes and the relay writes.

    Every line ends with CRLF and has at most 998 octets before it, the last one too. Iterating yields the octets in
    chunks of any length, ``size`` of them in all, and can be repeated: a mail may have to be written again on another
    session. ``OSError`` and ``ValueError`` while iterating mean that the octets cannot be read just now.
    """

    @property
    def size(self) -> int:
        """Octets in all, as RFC 1870 counts them: CRLF are two, stuffed dots are none."""

    @property
    def smtputf8(self) -> bool:
        """Whether header fields hold UTF-8 (RFC 6531); otherwise every octet is ASCII."""

    def __iter__(self) -> Iterator[bytes]: ...


@dataclass(frozen=True, slots=True)
class Envelope:
    """A mail and where it goes: addresses without angle brackets; an empty sender is the null one."""

    sender: str
    recipients: tuple[str, ...]
    content: Content


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a recipient was not served: the server's code and words (or ours), in one line.

    ``outage`` marks a refusal that is not about this mail, of a recipient whose mail went to others: again, whatever
    its code.
    """

    code: int
    text: str
    outage: bool = False

    @property
    def permanent(self) -> bool:
        """Whether the same mail would be refused again (RFC 5321 4.2.1: 5yz)."""
        return self.code >= 500 and not self.outage  # noqa: PLR2004 - the number is the RFC's

    def __str__(self) -> str:
        return f"{self.code} {self.text}".rstrip()


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a mail, recipient by recipient. ``taken`` is final: nothing may undo it."""

    taken: tuple[str, ...] = ()
    refused: Mapping[str, Refusal] = field(default_factory=dict)
