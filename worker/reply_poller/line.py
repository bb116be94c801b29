"""A line of a mail's text, with what its form says about it: quoted by a mark, hidden, or a rule drawn across."""

from dataclasses import dataclass
from enum import Enum

from worker.reply_poller.reply import Doubt


class Mark(Enum):
    """What a form of the mail says about one of its lines."""

    NONE = "none"
    QUOTED = "quoted"
    SIGNATURE = "signature"
    ORIGINAL = "original"
    """From here on the client put the mail that is answered."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line as a person sees it, white space folded; ``doubt`` where something in it can't be seen for sure."""

    text: str
    mark: Mark = Mark.NONE
    doubt: Doubt | None = None
