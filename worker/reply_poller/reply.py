"""A mail, read: who claims to have written it, and what they typed. Nothing in it is proven."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Doubt = Literal["hidden", "too-long"]


@dataclass(frozen=True, slots=True)
class Headers:
    """A header block (RFC 5322 2.2): names in lower case, values unfolded but not decoded, in their order."""

    fields: tuple[tuple[str, str], ...] = ()

    def all(self, name: str) -> tuple[str, ...]:
        """Each value of that field, topmost first; ``name`` in lower case."""
        return tuple(value for key, value in self.fields if key == name)

    def first(self, name: str) -> str | None:
        """The topmost value of that field."""
        return next((value for key, value in self.fields if key == name), None)


@dataclass(frozen=True, slots=True)
class Typed:
    """What one form of the mail (its text, or its HTML) shows as typed: neither quote, signature nor footer.

    ``aside`` is what is probably no typed text (a phone's signature, a disclaimer), but might be. ``doubt`` is the code
    of a reason why this may be more or less than what a person saw; such text never approves. ``is_blank`` says that
    this form holds no text at all, not even a quote. ``whole`` is all its text, quote and signature too, as letters and
    digits alone: forms are compared by it.
    """

    lines: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()
    doubt: Doubt | None = None
    is_blank: bool = False
    whole: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a mail holds. ``typed`` has one entry for each form: plain text, HTML, or both.

    ``text`` is its plain text as it stands (64 kB at most), ``reports`` the groups of fields of a
    ``message/delivery-status``, ``message/disposition-notification`` or ``message/feedback-report`` part, ``returned``
    the header of the mail that such a report gives back.
    """

    digest: bytes
    headers: Headers
    subject: str = ""
    media_type: str = "text/plain"
    parameters: Mapping[str, str] = field(default_factory=dict)
    typed: tuple[Typed, ...] = ()
    text: str = ""
    reports: tuple[Headers, ...] = ()
    returned: Headers | None = None
