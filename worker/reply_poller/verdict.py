"""What a mail amounts to: one of seven verdicts, each with a reason that can be published and shown to a person."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from worker.reply_poller.known import Known

UndecidedReason = Literal["empty", "no-word", "both-words", "comment", "disagree", "hidden", "subject", "too-long"]
LateReason = Literal["withdrawn", "superseded", "expired", "decided"]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The mail breaks a limit, or the reader."""

    reason: str


@dataclass(frozen=True, slots=True)
class Automatic:
    """A machine wrote it: an absence notice, a receipt, a delay, a mail of our own."""

    reason: str


@dataclass(frozen=True, slots=True)
class Bounced:
    """A mail could not be delivered for good; ``address`` is the recipient that failed, where the report names one."""

    reason: str
    address: str | None


@dataclass(frozen=True, slots=True)
class Untrusted:
    """It does not come from whom it must come from."""

    reason: str


UNDECIDED: Mapping[UndecidedReason, str] = {
    "empty": "nothing: no typed text was found beside the quote, the signature and footers",
    "no-word": "no decision: its first typed line is not one of the words that decide",
    "both-words": "both: a second decision word stands in it",
    "comment": "an approval with a comment that limits, doubts, asks or takes back",
    "disagree": "two things: its text and its HTML differ",
    "hidden": "not for sure: text is hidden, struck out or can't be seen for certain",
    "subject": "two things: its subject says the opposite",
    "too-long": "not for sure: it is longer than what is looked at (64 kB, 500 lines)",
}
"""What an undecided reply says, for a person."""


@dataclass(frozen=True, slots=True)
class Undecided:
    """An approver wrote it, and it says neither yes nor no beyond doubt."""

    reason: UndecidedReason


@dataclass(frozen=True, slots=True)
class Approved:
    """An approver's yes."""

    comment: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """An approver's no."""

    comment: str


Verdict = Unreadable | Automatic | Bounced | Untrusted | Undecided | Approved | Rejected


@dataclass(frozen=True, slots=True)
class Finding:
    """One mail, judged as far as can be without asking whether its approval is still open.

    ``digest`` is the SHA-256 of the raw mail. ``known`` is what its genuine token stands for; None where it has none.
    ``sender`` is the address in From as claimed, ``authentication`` what proved it (empty where nothing did).
    ``typed_text`` has its tokens blanked out already, and 4 kB at most.
    """

    digest: bytes
    received_at: datetime
    verdict: Verdict
    known: Known | None = None
    message_id: str = ""
    sender: str = ""
    authentication: str = ""
    typed_text: str = ""
