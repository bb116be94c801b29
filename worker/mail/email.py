"""An ``Email``: what a consumer composed and the encoder writes. Plain values, no behaviour."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO

from worker.events import Person


@dataclass(frozen=True, slots=True)
class Words:
    """What the templates made of an event: subject (one line), plain text and HTML."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file beside the words.

    ``content`` is an open binary file, read from its start each time the mail is written: a log of any size
    stays on disk. ``size`` is its length in bytes, before base64.
    """

    filename: str
    media_type: str
    content: BinaryIO
    size: int


@dataclass(frozen=True, slots=True)
class Email:
    """One mail, ready to be encoded.

    ``message_id`` and ``references`` have their angle brackets. ``headers`` are further fields, name and
    unstructured value.
    """

    message_id: str
    date: datetime
    sender: Person
    to: tuple[Person, ...]
    words: Words
    cc: tuple[Person, ...] = ()
    reply_to: str | None = None
    references: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    attachments: tuple[Attachment, ...] = field(default=())
